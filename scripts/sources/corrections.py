"""Which datasets another one corrects, as far as their answers and names tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile

from scripts.sources.blocks import Proposal
from scripts.sources.evidence import Evidence, Known, Sampled, simple_name

_MOST = 0.5  # share of texts that are shared
_FEW = 0.5  # of the spans of the other dataset
_CORRECTING = re.compile(
    r"(.*?)[\W_]*(?:corr(?:ect(?:ed|ions?)?)?|final|gold|fixed|curated|adjudicated)", re.IGNORECASE
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z_]+")  # of a name such as city_ana, cityAna
_VERSION = re.compile(r"(?:.* )?(?:v|ver|version|rev|round|pass|week) ?\d+|(?:.* )?\d{4,}(?: \d+)*")


def find_corrected(one: Known, others: Iterable[Known], new: Iterable[Known]) -> Iterator[Proposal]:
    """Propose the datasets whose texts and label a dataset has, if it is later or its name says that it corrects; and
    those whose answers it has, as one that `db-merge` made of them: each answer would count twice.

    others (Iterable[Known]): The blocks that stay in the config.
    new (Iterable[Known]): Those that are to be written.
    """
    found: list[tuple[str, str, bool]] = []
    for other, is_new in [(known, False) for known in others] + [(known, True) for known in new]:
        if other.origin == one.origin or not other.labels & one.labels:
            continue
        has_all = _has_all_answers(one.evidence, other.evidence)
        is_within = _has_all_answers(other.evidence, one.evidence)
        if has_all and not (is_within and is_new and one.block < other.block):
            found.append((other.block, f"it has all answers of {other.dataset}, with their times", True))
        if has_all or is_within:
            continue
        shared, texts, are_parts = _shared(one.evidence, other.evidence)
        later, named = _is_later(one, other, are_parts), _is_named_after(one.dataset, other.dataset)
        earlier = _is_later(other, one, are_parts) or (_is_named_after(other.dataset, one.dataset) and not named)
        if not shared or earlier or not (named or shared >= _MOST * texts) or (is_new and not (later or named)):
            continue
        why = ["its name"] * named + ["all its answers about them are later"] * later
        doubts = list(_doubts(one, other, named, are_parts))
        ways = "".join(f"; {reason}" for reason in why + doubts)
        how = "are parts of those of" if are_parts else "are those of"
        said = f"{shared:,} of {texts:,} texts {how} {other.dataset}, with the same label{ways}"
        found.append((other.block, said, shared >= _MOST * texts and (named or later) and not doubts))
    for is_active in (True, False):
        if some := [(block, said) for block, said, active in found if active == is_active]:
            yield Proposal("corrects", [block for block, _ in some], ". ".join(said for _, said in some), is_active)


def _doubts(one: Known, other: Known, named: bool, are_parts: bool) -> Iterator[str]:
    """Yield what speaks against a correction."""
    mine, theirs = set(one.evidence.answers), set(other.evidence.answers)
    are_told = "" not in mine | theirs and bool(mine) and bool(theirs)  # both name their annotators
    if not named and are_told and not mine & theirs:
        yield "annotators differ"
    elif not named and not are_told and _are_of_two(one.dataset, other.dataset):
        yield "by their names, they may be of two annotators"
    ours, before = (0, 0) if are_parts else _count_spans(one, other)
    if ours < _FEW * before:
        yield f"it has {ours:,} spans of the label in these texts, {other.dataset} {before:,}"


def _shared(one: Evidence, other: Evidence) -> tuple[int, int, bool]:
    """Return how many of the sampled texts are those of another dataset, of how many, and whether these are parts of
    its texts.
    """
    limit = min(one.texts.limit, other.texts.limit)
    mine = one.texts.below(limit)
    shared = len(mine & other.texts.below(limit))
    within = min(one.texts.limit, other.pieces.limit)
    parts = one.texts.below(within)
    contained = len(parts & other.pieces.below(within))
    if contained > shared:
        return contained, len(parts), True
    return shared, len(mine), False


def _shared_answers(one: Evidence, other: Evidence) -> Iterator[tuple[list[Sampled], list[Sampled]]]:
    """Yield the answers of both about each sampled text that both have."""
    for key in one.texts.items.keys() & other.texts.items.keys():
        yield one.texts.items[key], other.texts.items[key]


def _has_all_answers(one: Evidence, other: Evidence) -> bool:
    """Whether a dataset has all complete answers of another, as their times tell: it was made of that, or exported."""
    limit = min(one.texts.limit, other.texts.limit)
    theirs = [(key, answers) for key, answers in other.texts.items.items() if key < limit]
    return bool(theirs) and all(  # until the first that it lacks: most datasets have little in common
        all(answer.order[0] and answer.kind != "binary" for answer in answers)
        and _with_times(answers) <= _with_times(one.texts.items.get(key, ()))
        for key, answers in theirs
    )


def _with_times(answers: Iterable[Sampled]) -> set[tuple[str, int, str, frozenset[tuple[int, int, str]]]]:
    return {(answer.annotator, answer.order[0], answer.kind, answer.spans) for answer in answers}


# ---- Spans


def _count_spans(one: Known, other: Known) -> tuple[int, int]:
    """Return how many spans of their label both have in the texts that they have complete answers about."""
    mine = theirs = 0
    for here, there in _shared_answers(one.evidence, other.evidence):
        if _is_complete(here) and _is_complete(there):
            mine += len(_spans_in(here, one, one.labels & other.labels))
            theirs += len(_spans_in(there, other, one.labels & other.labels))
    return mine, theirs


def _is_complete(answers: Iterable[Sampled]) -> bool:
    return any(answer.kind != "binary" for answer in answers)


def _spans_in(answers: Iterable[Sampled], known: Known, labels: frozenset[str]) -> set[tuple[int, int, str]]:
    wanted = {known.found} if known.found else labels
    return {span for answer in answers for span in answer.spans if span[2] in wanted}


# ---- Times


def _is_later(one: Known, other: Known, are_parts: bool) -> bool:
    """Whether all answers of a dataset are later than those of another about the same text; if its texts are parts of
    the other's, than all of the other.

    In one database it goes by their numbers if only the other has no times, as after `db-in`.
    """
    by_number = not other.evidence.times and bool(one.place) and one.place == other.place
    if not are_parts:
        pairs = _shared_answers(one.evidence, other.evidence)
        return all(_are_later(here, there, by_number) for here, there in pairs)
    mine, theirs = one.evidence, other.evidence
    if not mine.times or mine.untimed:
        return False
    if theirs.times:
        return not theirs.untimed and mine.times[0] > theirs.times[1]
    return by_number and bool(mine.numbers and theirs.numbers) and mine.numbers[0] > theirs.numbers[1]


def _are_later(answers: Sequence[Sampled], others: Sequence[Sampled], by_number: bool) -> bool:
    """Whether all answers about a text are later than the others; one without a time is not.

    by_number (bool): Whether the numbers of the others' places tell it.
    """
    first = min(answers, key=lambda answer: answer.order).order
    if not first[0]:
        return False
    if by_number:
        return min(answer.order[-1] for answer in answers) > max(answer.order[-1] for answer in others)
    times = [answer.order[0] for answer in others]
    return all(times) and first[0] > max(times)


# ---- Names


def _is_named_after(name: str, other: str) -> bool:
    """Whether the name of a dataset says that it corrects another."""
    match = _CORRECTING.fullmatch(name)
    return (
        match is not None
        and (not match[1] or simple_name(match[1]) in simple_name(other))
        and not _CORRECTING.fullmatch(other)
    )


def _are_of_two(name: str, other: str) -> bool:
    """Whether two names differ in one part only, as city_ana and city_ben, which is no number of a version or year."""
    mine, theirs = _words_before_correcting(name), _words_before_correcting(other)
    start = _alike_at_start(mine, theirs)
    end = _alike_at_start(mine[start:][::-1], theirs[start:][::-1])
    if not start + end or min(len(mine), len(theirs)) == start + end:
        return False
    ends = [" ".join(words[max(start - 1, 0) : len(words) - end]) for words in (mine, theirs)]
    return not all(_VERSION.fullmatch(words) for words in ends)


def _words_before_correcting(name: str) -> list[str]:
    match = _CORRECTING.fullmatch(name)
    return [word.casefold() for word in _WORDS.findall(match[1] if match else name)]


def _alike_at_start(one: Iterable[str], other: Iterable[str]) -> int:
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
