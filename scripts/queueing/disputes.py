"""Texts whose annotation of a label is in doubt: suspects, and answers that disagree. A person decides."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from scripts.checking.findings import FOLDER, Suspect
from scripts.core.answers import GoldText, Span, hash_of_line
from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.merging.decide import longest_first
from scripts.merging.merge_text import Conflict
from scripts.queueing.request import Item, Request, Version, free_of, key, of_label

SOURCES = {"suspects.jsonl": "suspects", "consistency.jsonl": "consistency"}  # and the steps that make them
_LEFT = ("overlap between labels",)  # both may be right
_decode_gold = msgspec.json.Decoder(GoldText).decode
T = TypeVar("T", Suspect, Conflict)


class Dispute(NamedTuple):
    """All that is in doubt in one text. rank: the smaller, the earlier."""

    rank: tuple[float, ...]
    text: GoldText
    current: list[Span]
    versions: list[Version]
    reasons: list[str]
    asked: list[str]


def suspects(corpus: Path, request: Request, before: frozenset[str]) -> tuple[list[Item], Counter[str]]:
    """The suspects of a label, the surest first, a task a text: as it is annotated, or as is proposed.

    RETURNS (tuple[list[Item], Counter[str]]): What to ask, and the account of all suspects.
    RAISES (UserError): If nobody has looked for any, or a file is damaged.
    """
    paths = [corpus / FOLDER / name for name in SOURCES]
    if not any(path.exists() for path in paths):
        steps = " or ".join(f"weasel run {step}" for step in SOURCES.values())
        raise UserError(f"{corpus / FOLDER}: nobody has looked for suspects; do it first: {steps}")
    counts: Counter[str] = Counter()
    found = _by_text((one for path in paths for one in _lines(path, Suspect)), request, before, counts)
    disputes = []
    for text in _texts(corpus / "gold.jsonl", found):
        current = of_label(text.spans, request.label)
        own = [one for one in found.pop(text.text) if _is_current(one, text, current, request.label, counts)]
        if own:
            disputes.append(_suspected(text, current, own, request.label))
    counts["text is not there any more"] = sum(map(len, found.values()))
    return _items(disputes, request, counts)


def conflicts(corpus: Path, request: Request, before: frozenset[str]) -> tuple[list[Item], Counter[str]]:
    """The conflicts of a label, undecided ones first, a task a text: what is right, of what people said.

    RETURNS (tuple[list[Item], Counter[str]]): What to ask, and the account of all conflicts.
    RAISES (UserError): If the file is damaged.
    """
    counts: Counter[str] = Counter()
    found = _by_text(_lines(corpus / "conflicts.jsonl", Conflict), request, before, counts)
    texts = _texts(corpus / "gold.jsonl", found)
    disputes = [_conflicting(text, found[text.text], request.label) for text in texts]
    return _items(disputes, request, counts)


def waiting(corpus: Path, request: Request, before: frozenset[str]) -> dict[str, int]:
    """How many suspects and conflicts of a label nobody was asked about yet; nothing of what nobody has looked for."""
    found = {}
    for kind, choose in (("suspects", suspects), ("conflicts", conflicts)):
        try:
            counts = choose(corpus, request, before)[1]
        except UserError:
            continue
        found[kind] = counts["queued"] + counts["over the limit"]
    return found


def _lines(path: Path, of: type[T]) -> Iterator[T]:
    decode = msgspec.json.Decoder(of).decode
    try:
        with path.open("rb", BUFFER) as lines:
            yield from map(decode, lines)
    except FileNotFoundError:
        return
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise UserError(f"{path}: is damaged ({err}); make it again") from err


def _by_text(found: Iterable[T], request: Request, before: frozenset[str], counts: Counter[str]) -> dict[str, list[T]]:
    """What is about the label and was not asked before, by text."""
    texts: dict[str, list[T]] = defaultdict(list)
    for one in found:
        counts["read"] += 1
        if request.label not in ([one.label] if isinstance(one, Suspect) else one.labels):
            counts["of other labels"] += 1
        elif isinstance(one, Conflict) and one.kind in _LEFT:
            counts["both may be right"] += 1
        elif _key(one, request.label) in before:
            counts["queued before"] += 1
        else:
            texts[one.text].append(one)
    return texts


def _key(one: Suspect | Conflict, label: str) -> str:
    """Of the place and what is there, whoever found it; or of who said what about the label."""
    if isinstance(one, Suspect):
        return key(one.text, one.start, one.end, of_label(one.annotated, label))
    said = [(voice.dataset, voice.annotator, voice.answer, of_label(voice.spans, label)) for voice in one.answers]
    return key(one.text, one.kind, said)


def _texts(gold: Path, wanted: dict[str, list[T]]) -> Iterator[GoldText]:
    """The texts that are wanted; other lines are not decoded."""
    hashes = {one.input_hash for found in wanted.values() for one in found}
    with gold.open("rb", BUFFER) as lines:
        for line in lines:
            if hash_of_line(line) in hashes and (text := _decode_gold(line)).text in wanted:
                yield text


def _is_current(one: Suspect, text: GoldText, current: list[Span], label: str, counts: Counter[str]) -> bool:
    """Whether the text is annotated as it was when it was suspected."""
    is_so = label in text.covered and all(span in current for span in of_label(one.annotated, label))
    counts["annotated otherwise since"] += not is_so
    return is_so


def _suspected(text: GoldText, current: list[Span], found: list[Suspect], label: str) -> Dispute:
    doubtful = {span for one in found for span in of_label(one.annotated, label)}
    proposed = longest_first({span for one in found for span in of_label(one.proposed, label)})[0]
    kept = free_of([span for span in current if span not in doubtful], proposed)
    found = sorted(found, key=lambda one: (one.tier, -one.score, one.start, one.end, one.found_by))
    return Dispute(
        (found[0].tier, -found[0].score, text.input_hash),
        text,
        current,
        [Version(current, ["as annotated"]), Version(sorted([*kept, *proposed]), ["as proposed"])],
        list(dict.fromkeys(one.reason for one in found)),
        [_key(one, label) for one in found],
    )


def _conflicting(text: GoldText, found: list[Conflict], label: str) -> Dispute:
    current = of_label(text.spans, label) or of_label(text.accepted, label)
    said: dict[tuple[Span, ...], list[str]] = defaultdict(list)
    for one in found:
        for voice in one.answers:
            own = of_label(voice.spans, label)
            if voice.kind == "binary":
                rest = free_of(current, own)
                own = sorted([*rest, *own]) if voice.answer == "accept" else rest
            said[tuple(own)].append(voice.annotator or voice.dataset)
    versions = [Version(list(spans), sorted(set(by))) for spans, by in sorted(said.items())]
    is_open = label in text.unresolved
    reasons = list(dict.fromkeys(f"{one.kind}, {one.decision}" for one in found))
    return Dispute((not is_open, text.input_hash), text, current, versions, reasons, [_key(o, label) for o in found])


def _items(disputes: list[Dispute], request: Request, counts: Counter[str]) -> tuple[list[Item], Counter[str]]:
    disputes = sorted(disputes, key=lambda one: (one.rank, one.text.text))[: request.limit]
    items = [
        Item(one.text, one.current, {"reason": " ".join(one.reasons)}, one.asked, one.versions) for one in disputes
    ]
    counts["queued"] = sum(len(item.asked) for item in items)
    counts["over the limit"] = 2 * counts["read"] - counts.total()
    return items, counts
