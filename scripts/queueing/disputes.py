"""Texts in which the annotation of a label is disputed: suspects, and conflicts between answers. A reviewer decides."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec

from scripts.checking.review import FOLDER, Suspect, stream_suspects
from scripts.core.answers import GoldText, Span, hash_of_line
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, UNREADABLE, damaged
from scripts.merging.account import Ledger
from scripts.merging.decide import longest_first
from scripts.merging.text_record import REPLACEMENT, Conflict
from scripts.queueing.request import QueueItem, Request, Selection, question_key, spans_of, without_overlap

SOURCES = {"suspects.jsonl": "suspects", "consistency.jsonl": "consistency"}  # lists, and the steps that write them
_BOTH_MAY_BE_RIGHT = ("overlap between labels",)
_decode_gold = msgspec.json.Decoder(GoldText).decode
T = TypeVar("T", Suspect, Conflict)
RankedItem = tuple[tuple[float, ...], QueueItem]  # the smallest rank is asked first; a task has all disputes of a text


def choose_suspects(corpus: Path, request: Request, before: frozenset[str]) -> Selection:
    """Choose the suspects with the best tier and score; a reviewer decides between the annotation and the proposal.

    RAISES (UserError): If there is no list of suspects, or one is damaged.
    """
    paths = [corpus / FOLDER / name for name in SOURCES]
    if not any(path.exists() for path in paths):
        steps = " or ".join(f"weasel run {step}" for step in SOURCES.values())
        raise UserError(f"{corpus / FOLDER}: has no list of suspects; make one first: {steps}")
    counts = Ledger()
    lists = (stream_suspects(path, f"weasel run {SOURCES[path.name]}") for path in paths if path.exists())
    suspects = _by_text(chain.from_iterable(lists), request, before, counts)
    items = []
    for text in _texts(corpus / "gold.jsonl", suspects):
        listed = suspects.pop(text.text)
        current = [
            suspect for suspect in listed
            if text.covers(request.label, suspect.start, suspect.end)
            and set(spans_of(suspect.annotated, request.label)) <= set(text.covered_spans())
        ]  # fmt: skip
        counts["annotation changed since"] += len(listed) - len(current)
        if current:
            items.append(_review_suspects(text, current, request.label))
    counts["text no longer in the gold"] = sum(map(len, suspects.values()))
    return _select(items, request, counts)


def choose_conflicts(corpus: Path, request: Request, before: frozenset[str]) -> Selection:
    """Choose conflicts, unresolved first, for a reviewer. RAISES (UserError): If conflicts.jsonl is damaged."""
    counts = Ledger()
    listed = (each for each in _lines(corpus / "conflicts.jsonl", Conflict) if each.kind != REPLACEMENT)
    conflicts = _by_text(listed, request, before, counts)
    texts = _texts(corpus / "gold.jsonl", conflicts)
    return _select([_review_conflicts(text, conflicts[text.text], request.label) for text in texts], request, counts)


def count_waiting(corpus: Path, request: Request, before: frozenset[str]) -> dict[str, int]:
    """Count the suspects and conflicts of a label that nobody was asked about; without a kind that has no list."""
    waiting = {}
    for kind, choose in (("suspects", choose_suspects), ("conflicts", choose_conflicts)):
        with suppress(UserError):
            counts = choose(corpus, request, before).counts
            waiting[kind] = counts["queued"] + counts["over the limit"]
    return waiting


def _lines(path: Path, of: type[T]) -> Iterator[T]:
    try:
        with path.open("rb", BUFFER) as lines:
            yield from map(msgspec.json.Decoder(of).decode, lines)
    except FileNotFoundError:
        return
    except UNREADABLE as err:
        raise damaged(path, err, "merge again: weasel run merge") from err


def _by_text(disputes: Iterable[T], request: Request, before: frozenset[str], counts: Ledger) -> dict[str, list[T]]:
    """Group by text what is about the label and was not asked before; count the reasons against the rest."""
    by_text: dict[str, list[T]] = defaultdict(list)
    for dispute in disputes:
        counts["read"] += 1
        if request.label not in ([dispute.label] if isinstance(dispute, Suspect) else dispute.labels):
            counts["other labels"] += 1
        elif isinstance(dispute, Conflict) and dispute.kind in _BOTH_MAY_BE_RIGHT:
            counts["both may be right"] += 1
        elif _key(dispute, request.label) in before:
            counts["queued before"] += 1
        else:
            by_text[dispute.text].append(dispute)
    return by_text


def _key(dispute: Suspect | Conflict, label: str) -> str:
    """Key of a place and its annotation, whichever method suspects it; or of all answers about the label."""
    if isinstance(dispute, Suspect):
        return question_key(dispute.text, dispute.start, dispute.end, spans_of(dispute.annotated, label))
    answers = [(each.dataset, each.annotator, each.answer, spans_of(each.spans, label)) for each in dispute.answers]
    return question_key(dispute.text, dispute.kind, answers)


def _texts(gold: Path, wanted: dict[str, list[T]]) -> Iterator[GoldText]:
    """Yield the gold of the texts that are wanted. Of other lines only the hashes are decoded, since they are many."""
    hashes = {dispute.input_hash for disputes in wanted.values() for dispute in disputes}
    with gold.open("rb", BUFFER) as lines:
        for line in lines:
            if hash_of_line(line) in hashes and (text := _decode_gold(line)).text in wanted:
                yield text


def _review_suspects(text: GoldText, suspects: list[Suspect], label: str) -> RankedItem:
    annotated = spans_of([*text.spans, *text.accepted], label)
    suspected = {span for suspect in suspects for span in spans_of(suspect.annotated, label)}
    proposed = longest_first({span for suspect in suspects for span in spans_of(suspect.proposed, label)})[0]
    kept = without_overlap([span for span in annotated if span not in suspected], proposed)
    suspects = sorted(suspects, key=lambda each: (each.tier, -each.score, each.start, each.end, each.found_by))
    reason = " ".join(dict.fromkeys(suspect.reason for suspect in suspects))
    versions = [(annotated, ["as annotated"]), (sorted([*kept, *proposed]), ["as proposed"])]
    item = QueueItem(text, annotated, {"reason": reason}, [_key(suspect, label) for suspect in suspects], versions)
    return (suspects[0].tier, -suspects[0].score, text.input_hash), item


def _review_conflicts(text: GoldText, conflicts: list[Conflict], label: str) -> RankedItem:
    current = spans_of(text.spans, label) or spans_of(text.accepted, label)
    proposed_by: dict[tuple[Span, ...], set[str]] = defaultdict(set)
    for conflict, answer in ((each, answer) for each in conflicts for answer in each.answers):
        spans = spans_of(answer.spans, label)
        if conflict.range:  # the rest of the text is as it is
            start, end = conflict.range
            rest = [span for span in current if span.start < start or end < span.end]
            spans = sorted([*without_overlap(rest, spans), *spans])
        elif answer.kind == "binary":  # it judges its one span; the rest is as it is
            rest = without_overlap(current, spans)
            spans = sorted([*rest, *spans]) if answer.answer == "accept" else rest
        proposed_by[tuple(spans)].add(answer.annotator or answer.dataset)
    versions = [(list(spans), sorted(by)) for spans, by in sorted(proposed_by.items())]
    reason = " ".join(dict.fromkeys(f"{conflict.kind}, {conflict.decision}" for conflict in conflicts))
    item = QueueItem(text, current, {"reason": reason}, [_key(conflict, label) for conflict in conflicts], versions)
    return (label not in text.unresolved, text.input_hash), item


def _select(items: list[RankedItem], request: Request, counts: Ledger) -> Selection:
    items.sort(key=lambda ranked: (ranked[0], ranked[1].text.text))
    selection = Selection([item for _, item in items[: request.limit]], counts)
    counts["queued"] = sum(len(item.asked) for item in selection.items)
    counts.fill("over the limit")
    return selection
