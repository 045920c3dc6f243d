"""Blocks of the gold as arrays: characters, word boundaries, spans and covered labels of all texts together.

Also excerpts, which show a span in its context, and pairs of labels whose spans overlap.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.checking.review import Suspect
from scripts.core.answers import Coverage, Range, Span
from scripts.core.texts import is_unspaced
from scripts.merging.survey import Block, Fingerprints, Numbers, lines

Flags = NDArray[np.bool_]


class CoveredText(Coverage, gc=False):
    """The fields of a gold line that consistency needs: a text, and the spans where their labels are covered in it."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    spans: list[Span]  # once decoded, also those of labels that are covered in ranges, in these
    covered: list[str]
    covered_ranges: dict[str, list[Range]] = msgspec.field(default_factory=dict)
    accepted: list[Span] = msgspec.field(default_factory=list)


class SpanColumns(NamedTuple):
    """Spans of a passage, in code points of all its texts together; sorted by label, then start.

    Spans of one label do not overlap, so starts and ends of a label both ascend.
    """

    labels: Numbers
    starts: Numbers
    ends: Numbers


class Passage(NamedTuple):
    """Some texts, one after the other."""

    texts: list[CoveredText]  # in the order of the gold
    prints: Fingerprints  # hashes of their substrings
    boundaries: Numbers  # where a word or sign may begin or end, ascending: not inside a word, and the edges of texts
    is_boundary: Flags  # the same by code point; one more than there are
    is_whitespace: Flags  # by code point
    spans: SpanColumns  # all that are annotated
    covered: Flags  # texts × labels
    ranges: SpanColumns  # in which other labels are covered

    def are_covered(self, labels: Numbers, starts: Numbers, ends: Numbers) -> Flags:
        """Whether each label is covered in a range of the passage."""
        covered = self.covered[self.prints.text_at(starts), labels]
        if len(self.ranges.labels):
            size = len(self.prints) + 1
            found = np.searchsorted(self.ranges.labels * size + self.ranges.starts, labels * size + starts, "right") - 1
            covered |= (found >= 0) & (self.ranges.labels[found] == labels) & (ends <= self.ranges.ends[found])
        return covered

    def texts_covered(self) -> Numbers:
        """By label, the texts in which it is covered, in the whole or in a range."""
        covered = self.covered.copy()
        covered[self.prints.text_at(self.ranges.starts), self.ranges.labels] = True
        return covered.sum(0)


_decode = msgspec.json.Decoder(CoveredText).decode


def decode_text(line: bytes) -> CoveredText:
    """Decode a line of the gold."""
    text = _decode(line)
    text.spans = text.covered_spans()
    return text


def read_passage(block: Block, labels: Sequence[str]) -> Passage:
    """Read a block of the gold. labels (Sequence[str]): All labels; their positions stand for them."""
    return to_passage([decode_text(line) for _, line in lines(block)], labels)


def read_texts(block: Block, numbers: Container[int]) -> dict[int, CoveredText]:
    """Some texts of a block of the gold, by their numbers in it."""
    return {number: decode_text(line) for number, (_, line) in enumerate(lines(block)) if number in numbers}


def to_passage(texts: list[CoveredText], labels: Sequence[str]) -> Passage:
    """Arrange texts as arrays."""
    prints = Fingerprints([text.text for text in texts])
    kinds = _character_kinds(prints.codes)
    is_boundary = np.ones(len(kinds) + 1, np.bool_)
    is_boundary[1:-1] = ~((kinds[:-1] == _WORD) & (kinds[1:] == _WORD))
    is_boundary[prints.starts] = True
    is_whitespace = np.append(kinds == _WHITESPACE, True)
    spans = _span_columns([text.spans for text in texts], labels, prints.starts)
    ranges = _span_columns([_ranges(text) for text in texts], labels, prints.starts)
    covered = covered_labels(texts, labels)
    return Passage(texts, prints, np.flatnonzero(is_boundary), is_boundary, is_whitespace, spans, covered, ranges)


def covered_labels(texts: Sequence[CoveredText], labels: Sequence[str]) -> Flags:
    """Whether each label is covered in each text, texts × labels."""
    numbers = {label: number for number, label in enumerate(labels)}
    covered = np.zeros((len(texts), len(labels)), np.bool_)
    for row, text in enumerate(texts):
        covered[row, [numbers[label] for label in text.covered]] = True
    return covered


def _ranges(text: CoveredText) -> list[Span]:
    return [Span(start, end, label) for label, ranges in text.covered_ranges.items() for start, end in ranges]


def _span_columns(by_text: Sequence[list[Span]], labels: Sequence[str], starts: Numbers) -> SpanColumns:
    numbers = {label: number for number, label in enumerate(labels)}
    spans = [span for found in by_text for span in found]
    offsets = np.repeat(starts, list(map(len, by_text)))
    label_numbers = np.array([numbers[span.label] for span in spans], np.int64)
    begins = np.array([span.start for span in spans], np.int64) + offsets
    ends = np.array([span.end for span in spans], np.int64) + offsets
    order = np.lexsort((begins, label_numbers))
    return SpanColumns(label_numbers[order], begins[order], ends[order])


# A word is letters, digits, and marks that belong to them (vowel signs, accents). All else stands for itself, also the
# letters of scripts that put no space between words.

_UNSEEN, _WHITESPACE, _SIGN, _WORD = range(4)
_kind_table = np.zeros(0x110000, np.uint8)  # by code point; each is looked up when it is first seen


def _character_kinds(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    unseen = codes[_kind_table.take(codes) == _UNSEEN]  # take is twice as fast as [codes]
    for code in np.unique(unseen).tolist():
        is_word = chr(code).isalnum() or unicodedata.category(chr(code))[0] == "M"
        is_word = is_word and not is_unspaced(chr(code))
        _kind_table[code] = _WORD if is_word else _WHITESPACE if chr(code).isspace() else _SIGN
    return _kind_table.take(codes)


_AROUND = 60  # code points before and after
_LONGEST = 200  # code points of the span itself


class Excerpt(msgspec.Struct):
    """A span in its context: the text before it, its own, and the text after it, shortened where they are long."""

    input_hash: int
    before: str
    text: str
    after: str


def excerpt(source: CoveredText | Suspect, start: int, end: int) -> Excerpt:
    """Cut a span with its context out of a text, without partial words at the far ends."""
    before, after = source.text[max(0, start - _AROUND) : start], source.text[end : end + _AROUND]
    if start > _AROUND:  # what has no space is not cut any further
        before = "…" + (before.partition(" ")[2] or before)
    if end + _AROUND < len(source.text):
        after = (after.rpartition(" ")[0] or after) + "…"
    text = source.text[start:end]
    return Excerpt(source.input_hash, before, text if len(text) <= _LONGEST else text[:_LONGEST] + "…", after)


_EXAMPLES = 3


class LabelOverlap(msgspec.Struct):
    """Two labels whose spans overlap."""

    labels: tuple[str, str]  # sorted
    count: int = 0  # pairs of spans
    same_boundaries: int = 0  # those with the same start and end
    examples: list[Excerpt] = []  # the text that the first pairs have in common


def find_overlaps(passage: Passage) -> Iterator[LabelOverlap]:
    """Each pair of spans of a passage that overlap."""
    order = np.argsort(passage.spans.starts, kind="stable")
    starts, ends = passage.spans.starts[order], passage.spans.ends[order]
    overlapping = starts[1:][starts[1:] < np.maximum.accumulate(ends)[:-1]]
    for number in np.unique(passage.prints.text_at(overlapping)).tolist():
        text = passage.texts[number]
        for first, second in _overlapping_pairs(sorted(text.spans)):
            labels = (min(first.label, second.label), max(first.label, second.label))
            is_same = (first.start, first.end) == (second.start, second.end)
            yield LabelOverlap(labels, 1, int(is_same), [excerpt(text, second.start, min(first.end, second.end))])


def _overlapping_pairs(spans: list[Span]) -> Iterator[tuple[Span, Span]]:
    for number, first in enumerate(spans):
        for second in spans[number + 1 :]:
            if second.start >= first.end:
                break
            if second.label != first.label:
                yield first, second


def sum_overlaps(overlaps: Iterable[LabelOverlap]) -> list[LabelOverlap]:
    """Sum overlaps by their labels, the most frequent first."""
    sums: dict[tuple[str, str], LabelOverlap] = {}
    for part in overlaps:
        total = sums.setdefault(part.labels, LabelOverlap(part.labels))
        total.count += part.count
        total.same_boundaries += part.same_boundaries
        total.examples = [*total.examples, *part.examples][:_EXAMPLES]
    return sorted(sums.values(), key=lambda overlap: (-overlap.count, overlap.labels))
