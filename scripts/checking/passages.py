"""A part of the gold as arrays: where words begin and end, which spans there are, and which labels are known.

A place with the words around it, for people to look at.

Spans of different labels that overlap, by pairs of labels.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.checking.findings import Suspect
from scripts.core.answers import Span
from scripts.merging.fingerprints import Fingerprints, Numbers
from scripts.merging.survey import Block, lines

Flags = NDArray[np.bool_]


class Known(msgspec.Struct, gc=False):
    """What of a line of gold.jsonl is needed: a text, and the spans of the labels that are covered in it."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    spans: list[Span]
    covered: list[str]


class Spans(NamedTuple):
    """Spans of a passage, in code points of all its texts together; sorted by label, then place.

    Those of one label do not overlap, so that starts and ends of a label both ascend.
    """

    labels: Numbers
    starts: Numbers
    ends: Numbers


class Passage(NamedTuple):
    """Some texts, one after the other.

    texts (list[Known]): In the order of the gold.
    prints (Fingerprints): Hashes of their parts.
    borders (Numbers): Where a word or a sign may begin or end, ascending: not inside a word, and the edges of texts.
    is_border (Flags): The same by place; one more than there are code points.
    is_blank (Flags): By place, whether a blank is there.
    spans (Spans): All that are annotated.
    covered (Flags): texts × labels.
    """

    texts: list[Known]
    prints: Fingerprints
    borders: Numbers
    is_border: Flags
    is_blank: Flags
    spans: Spans
    covered: Flags


_decode = msgspec.json.Decoder(Known).decode


def passage(block: Block, labels: Sequence[str]) -> Passage:
    """Read a part of the gold.

    labels (Sequence[str]): All there are; their numbers stand for them.
    """
    return arranged([_decode(line) for _, line in lines(block)], labels)


def some_texts(block: Block, numbers: Container[int]) -> dict[int, Known]:
    """Some texts of a part of the gold, by their numbers in it."""
    return {number: _decode(line) for number, (_, line) in enumerate(lines(block)) if number in numbers}


def arranged(texts: list[Known], labels: Sequence[str]) -> Passage:
    """Texts as arrays."""
    prints = Fingerprints([known.text for known in texts])
    kinds = _kinds(prints.codes)
    is_border = np.ones(len(kinds) + 1, np.bool_)
    is_border[1:-1] = ~((kinds[:-1] == _WORD) & (kinds[1:] == _WORD))
    is_border[prints.starts] = True
    numbers = {label: number for number, label in enumerate(labels)}
    covered = np.zeros((len(texts), len(labels)), np.bool_)
    for row, known in enumerate(texts):
        covered[row, [numbers[label] for label in known.covered]] = True
    is_blank = np.append(kinds == _BLANK, True)
    spans = _spans(texts, numbers, prints.starts)
    return Passage(texts, prints, np.flatnonzero(is_border), is_border, is_blank, spans, covered)


def _spans(texts: Sequence[Known], numbers: Mapping[str, int], starts: Numbers) -> Spans:
    counts = [len(known.spans) for known in texts]
    all_spans = [span for known in texts for span in known.spans]
    before = np.repeat(starts, counts)
    labels = np.array([numbers[span.label] for span in all_spans], np.int64)
    begin = np.array([span.start for span in all_spans], np.int64) + before
    end = np.array([span.end for span in all_spans], np.int64) + before
    order = np.lexsort((begin, labels))
    return Spans(labels[order], begin[order], end[order])


# Words: letters, digits, and marks that belong to them (vowel signs, accents). Everything else stands for itself.

_UNSEEN, _BLANK, _SIGN, _WORD = range(4)


def _kinds(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The kind of each code point; each one is looked up once in a process."""
    table = _table()
    kinds = table.take(codes)  # which is twice as fast as table[codes]
    if (unseen := codes[kinds == _UNSEEN]).size:
        for code in np.unique(unseen).tolist():
            table[code] = _kind(chr(code))
        kinds = table.take(codes)  # which is twice as fast as table[codes]
    return kinds


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    return np.zeros(0x110000, np.uint8)


def _kind(character: str) -> int:
    if character.isalnum() or unicodedata.category(character)[0] == "M":
        return _WORD
    return _BLANK if character.isspace() else _SIGN


_AROUND = 60  # code points to each side
_LONGEST = 200  # of the place itself


class Context(msgspec.Struct):
    """A place: which text, what is before it, what it says, and what comes after; cut where it is long."""

    input_hash: int
    before: str
    said: str
    after: str


def context(known: Known | Suspect, start: int, end: int) -> Context:
    """The context of a place, without the parts of words at its far ends."""
    before, after = known.text[max(0, start - _AROUND) : start], known.text[end : end + _AROUND]
    if start > _AROUND:
        before = "…" + before.partition(" ")[2]
    if end + _AROUND < len(known.text):
        after = after.rpartition(" ")[0] + "…"
    said = known.text[start:end]
    return Context(known.input_hash, before, said if len(said) <= _LONGEST else said[:_LONGEST] + "…", after)


_EXAMPLES = 3


class Overlap(msgspec.Struct):
    """Two labels whose spans overlap.

    labels (tuple[str, str]): Sorted.
    count (int): Pairs of spans. same (int): Of these, those at just the same place.
    examples (list[Context]): The first of them, what both cover.
    """

    labels: tuple[str, str]
    count: int = 0
    same: int = 0
    examples: list[Context] = []


def overlaps(found: Passage) -> list[Overlap]:
    """Those of a passage, in the order of their first places."""
    order = np.argsort(found.spans.starts, kind="stable")
    starts, ends = found.spans.starts[order], found.spans.ends[order]
    touching = starts[1:][starts[1:] < np.maximum.accumulate(ends)[:-1]]
    result: dict[tuple[str, str], Overlap] = {}
    for number in np.unique(found.prints.text_at(touching)).tolist():
        _add(
            result,
            ((labels, same, context(found.texts[number], *both)) for labels, same, both in _of(found.texts[number])),
        )
    return list(result.values())


def joined(parts: Iterable[list[Overlap]]) -> list[Overlap]:
    """Those of several passages as one list, the most frequent first."""
    result: dict[tuple[str, str], Overlap] = {}
    for part in parts:
        for each in part:
            sum_ = result.setdefault(each.labels, Overlap(each.labels, examples=[]))
            sum_.count += each.count
            sum_.same += each.same
            sum_.examples = [*sum_.examples, *each.examples][:_EXAMPLES]
    return sorted(result.values(), key=lambda each: (-each.count, each.labels))


def _add(result: dict[tuple[str, str], Overlap], found: Iterable[tuple[tuple[str, str], bool, Context]]) -> None:
    for labels, same, where in found:
        overlap = result.setdefault(labels, Overlap(labels, examples=[]))
        overlap.count += 1
        overlap.same += same
        if len(overlap.examples) < _EXAMPLES:
            overlap.examples.append(where)


def _of(known: Known) -> Iterator[tuple[tuple[str, str], bool, tuple[int, int]]]:
    """Pairs of spans of a text: their labels, whether they are at the same place, and what they share."""
    for one, other in _pairs(sorted(known.spans)):
        labels = (one.label, other.label) if one.label < other.label else (other.label, one.label)
        same = (one.start, one.end) == (other.start, other.end)
        yield labels, same, (max(one.start, other.start), min(one.end, other.end))


def _pairs(spans: list[Span]) -> Iterator[tuple[Span, Span]]:
    for place, one in enumerate(spans):
        for other in spans[place + 1 :]:
            if other.start >= one.end:
                break
            if other.label != one.label:
                yield one, other
