"""Surface forms: the wordings of annotated spans, found again wherever they occur in the texts.

A surface form occurs wherever it is written and neither begins nor ends inside a word. Forms are identified by hashes
of 64 bits and not kept themselves: 30 bytes each, however long. Among a million forms and a hundred million candidates,
the probability of one confusion is 1 in 100,000.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from scripts.checking.passages import LabelOverlap, Passage, find_overlaps, read_passage, sum_overlaps
from scripts.core.workers import spread
from scripts.merging.survey import Block, Hashes, Numbers, keys, looked_up, with_lengths

# key: of the form. first: of its first word. length: in code points. label: its number. count: spans.
FORM = np.dtype([("key", "u8"), ("first", "u8"), ("length", "i4"), ("label", "i4"), ("count", "i4")])
FormTable = np.ndarray[Any, np.dtype[np.void]]
UNSUMMED = 2**18  # rows that are kept before equal ones are summed

_AT_A_TIME = 2**18  # candidates that are compared together
_SIEVE_BITS = 20
_SHIFT = np.uint64(64 - _SIEVE_BITS)
_MIX = np.uint64(0x9E3779B97F4A7C15)


class Inventory(NamedTuple):
    """The surface forms of some texts, or of all."""

    table: FormTable  # a row a form and label, sorted by both
    texts: Numbers  # by label: in which it is covered
    spans: Numbers  # by label
    inside_words: Numbers  # by label: spans that begin or end inside a word, which have no row
    overlaps: list[LabelOverlap]  # between labels


def collect_forms(blocks: Sequence[Block], labels: tuple[str, ...], processes: int) -> Inventory:
    """First pass over the gold: its surface forms, counts by label, and overlaps."""
    tables: list[FormTable] = []
    sums = np.zeros((3, len(labels)), np.int64)
    overlaps: list[LabelOverlap] = []
    for part in spread(_block_forms, [(block, labels) for block in blocks], processes, "Collecting surface forms"):
        tables.append(part.table)
        sums += np.stack([part.texts, part.spans, part.inside_words])
        overlaps = sum_overlaps([*overlaps, *part.overlaps])
        if sum(map(len, tables)) > 2 * len(tables[0]) + UNSUMMED:
            tables = [sum_forms(tables)]
    texts, spans, inside_words = sums
    return Inventory(sum_forms(tables), texts, spans, inside_words, overlaps)


def _block_forms(job: tuple[Block, tuple[str, ...]]) -> Inventory:
    passage = read_passage(*job)
    labels = len(job[1])
    table = annotated_forms(passage)
    spans = np.bincount(passage.spans.labels, minlength=labels)
    whole = np.bincount(table["label"], weights=table["count"], minlength=labels).astype(np.int64)
    return Inventory(table, passage.texts_covered(), spans, spans - whole, sum_overlaps(find_overlaps(passage)))


def annotated_forms(passage: Passage) -> FormTable:
    """The surface forms of a passage's spans, without those that begin or end inside a word."""
    spans, prints, boundaries = passage.spans, passage.prints, passage.boundaries
    whole = passage.is_boundary[spans.starts] & passage.is_boundary[spans.ends]
    starts, ends = spans.starts[whole], spans.ends[whole]
    rows = np.zeros(len(starts), FORM)
    rows["key"] = keys(prints.of(starts, ends - starts), ends - starts)
    after_first = boundaries[np.minimum(np.searchsorted(boundaries, starts) + 1, len(boundaries) - 1)]
    lengths = np.minimum(after_first, ends) - starts
    rows["first"] = keys(prints.of(starts, lengths), lengths)
    rows["length"] = ends - starts
    rows["label"] = spans.labels[whole]
    rows["count"] = 1
    return sum_forms([rows])


def sum_forms(parts: Iterable[FormTable]) -> FormTable:
    """Sum the rows of the same form and label; sorted by both."""
    rows = np.concatenate([np.zeros(0, FORM), *parts])
    rows = rows[np.lexsort((rows["label"], rows["key"]))]
    if not len(rows):
        return rows
    is_new = np.append(True, (rows["key"][1:] != rows["key"][:-1]) | (rows["label"][1:] != rows["label"][:-1]))
    firsts = np.flatnonzero(is_new)
    sums = rows[firsts]
    sums["count"] = np.add.reduceat(rows["count"], firsts)
    return sums


class FormFinder:
    """Finds all occurrences of the surface forms of a table.

    keys (Hashes): Of the forms, sorted, each once.
    """

    def __init__(self, table: FormTable) -> None:
        pairs = np.unique(table[["first", "length"]])
        firsts, edges = np.unique(pairs["first"], return_index=True)
        self.keys: Hashes = np.unique(table["key"])
        self._firsts = firsts  # hashes of first words, sorted
        self._lengths = pairs["length"].astype(np.int64)  # of the forms with each first word, each length once
        self._edges = np.append(edges, len(pairs))  # where in `_lengths` those of each first word start
        # By the first bits of a hash: whether a first word may have it. It spares most words the binary search.
        self._sieve = np.zeros(1 << _SIEVE_BITS, np.bool_)
        self._sieve[firsts * _MIX >> _SHIFT] = True

    def find(self, passage: Passage) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
        """The occurrences, some at a time, in the order of the texts: number of the form in `keys`, start and end."""
        starts = passage.boundaries[:-1]
        sizes = np.diff(passage.boundaries)
        is_word = ~passage.is_whitespace[starts]
        starts, sizes = starts[is_word], sizes[is_word]
        hashes = keys(passage.prints.of(starts, sizes), sizes)
        maybe = self._sieve[hashes * _MIX >> _SHIFT]
        which, is_first = looked_up(self._firsts, hashes[maybe])
        starts, which = starts[maybe][is_first], which[is_first]
        for begins, lengths in with_lengths(starts, which, self._edges, self._lengths, _AT_A_TIME):
            ends = begins + lengths
            is_whole = ends <= passage.prints.ends[passage.prints.text_at(begins)]
            is_whole[is_whole] = passage.is_boundary[ends[is_whole]]
            begins, ends, lengths = begins[is_whole], ends[is_whole], lengths[is_whole]
            forms, is_form = looked_up(self.keys, keys(passage.prints.of(begins, lengths), lengths))
            yield forms[is_form], begins[is_form], ends[is_form]


# An occurrence of a form and a label it was annotated as, where the label is covered, is
#   annotated: exactly it is a span of the label. inside: a longer span of the label contains it. partial: a span of the
#   label has a part of it. relabeled: exactly it is a span of another label. overlapped: spans of other labels overlap
#   it. none: nothing is annotated.
KINDS = ("annotated", "inside", "partial", "relabeled", "overlapped", "none")
ANNOTATED, INSIDE, PARTIAL, RELABELED, OVERLAPPED, NONE = range(len(KINDS))


class Occurrences(NamedTuple):
    """Occurrences of forms, a row a label."""

    rows: Numbers  # of the form and label in the table
    kinds: Numbers  # see `KINDS`
    starts: Numbers  # in the passage
    ends: Numbers
    spans: Numbers  # the label's own span that overlaps, -1 if none


def find_occurrences(passage: Passage, finder: FormFinder, table: FormTable) -> Iterator[Occurrences]:
    """All occurrences of all forms, for each label they were annotated as, where that is covered.

    table (FormTable): `finder` was made of it.
    """
    edges = np.append(np.searchsorted(table["key"], finder.keys), len(table))
    for forms, starts, ends in finder.find(passage):
        counts = edges[forms + 1] - edges[forms]
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(edges[forms], counts) + offsets
        starts, ends = np.repeat(starts, counts), np.repeat(ends, counts)
        labels = table["label"][rows].astype(np.int64)
        is_covered = passage.are_covered(labels, starts, ends)
        rows, starts, ends, labels = rows[is_covered], starts[is_covered], ends[is_covered], labels[is_covered]
        yield Occurrences(rows, *_classify(passage, labels, starts, ends))


def _classify(passage: Passage, labels: Numbers, starts: Numbers, ends: Numbers) -> tuple[Numbers, ...]:
    """The other columns of `Occurrences`."""
    spans, size = passage.spans, len(passage.prints) + 1
    if not len(spans.starts):
        return np.full(len(starts), NONE), starts, ends, np.full(len(starts), -1)
    order = np.argsort(spans.starts)
    last_ends = np.append(0, np.maximum.accumulate(spans.ends[order]))  # of the spans that start before each
    overlaps_any = last_ends[np.searchsorted(spans.starts[order], ends)] > starts
    kinds = np.where(overlaps_any, OVERLAPPED, NONE)
    _, is_span = looked_up(np.unique(spans.starts * size + spans.ends), starts * size + ends)
    kinds[is_span] = RELABELED
    # The label's first span that ends after the start; a label's spans do not overlap, so no other one can matter more.
    own = np.searchsorted(spans.labels * size + spans.ends, labels * size + starts, side="right")
    at = np.minimum(own, len(spans.starts) - 1)
    overlaps = (own < len(spans.starts)) & (spans.labels[at] == labels) & (spans.starts[at] < ends)
    contains = overlaps & (spans.starts[at] <= starts) & (ends <= spans.ends[at])
    kinds[overlaps] = PARTIAL
    kinds[contains] = INSIDE
    kinds[contains & (spans.starts[at] == starts) & (spans.ends[at] == ends)] = ANNOTATED
    return kinds, starts, ends, np.where(overlaps, at, -1)
