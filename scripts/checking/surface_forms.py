"""Forms, as they were annotated, and all places where they stand.

A form is what a span says, letter by letter. A form stands wherever it is written and neither begins nor ends inside a
word. Forms are known by hashes of 64 bits and not kept themselves: 30 bytes each, however long they are. That of a
million forms and a hundred million places two are taken for the same has a chance of one in a hundred thousand.

What is annotated where a form stands: the form itself, something longer, something else, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from scripts.checking.passages import Flags, Passage
from scripts.merging.fingerprints import Hashes, Numbers, keys, looked_up, with_lengths

# key: of the form. first: of its first word. length: in code points. label: its number. count: spans.
FORM = np.dtype([("key", "u8"), ("first", "u8"), ("length", "i4"), ("label", "i4"), ("count", "i4")])
Rows = np.ndarray[Any, np.dtype[np.void]]

_AT_A_TIME = 2**18  # candidates that are looked at together
_SIEVE_BITS = 20
_SHIFT = np.uint64(64 - _SIEVE_BITS)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def annotated_forms(found: Passage) -> Rows:
    """The forms of a passage's spans, label by label, without those that begin or end inside a word."""
    spans, prints = found.spans, found.prints
    whole = found.is_border[spans.starts] & found.is_border[spans.ends]
    starts, ends = spans.starts[whole], spans.ends[whole]
    rows = np.zeros(len(starts), FORM)
    rows["key"] = keys(prints.of(starts, ends - starts), ends - starts)
    after = found.borders[np.minimum(np.searchsorted(found.borders, starts) + 1, len(found.borders) - 1)]
    firsts = np.minimum(after, ends) - starts
    rows["first"] = keys(prints.of(starts, firsts), firsts)
    rows["length"] = ends - starts
    rows["label"] = spans.labels[whole]
    rows["count"] = 1
    return summed([rows])


def summed(parts: Iterable[Rows]) -> Rows:
    """Rows with the same form and label as one, sorted by both."""
    rows = np.concatenate([np.zeros(0, FORM), *parts])
    rows = rows[np.lexsort((rows["label"], rows["key"]))]
    if not len(rows):
        return rows
    is_new = np.append(True, (rows["key"][1:] != rows["key"][:-1]) | (rows["label"][1:] != rows["label"][:-1]))
    firsts = np.flatnonzero(is_new)
    result = rows[firsts]
    result["count"] = np.add.reduceat(rows["count"], firsts)
    return result


class Places(NamedTuple):
    """Where forms stand: the number of the form among all different ones, and from where to where in a passage."""

    forms: Numbers
    starts: Numbers
    ends: Numbers


@dataclass
class Finder:
    """Finds all places of forms.

    keys (Hashes): Of the forms, sorted, each once.
    """

    keys: Hashes
    _sieve: Flags  # by the first bits of a hash, whether a first word may have it
    _firsts: Hashes  # of first words, sorted
    _edges: Numbers  # where in `_lengths` those of each first word start; one more says where all end
    _lengths: Numbers  # that forms with a first word have, each once

    def places(self, found: Passage) -> Iterator[Places]:
        """The places, so many at a time, in the order of the texts."""
        starts = found.borders[:-1]
        sizes = np.diff(found.borders)
        is_word = ~found.is_blank[starts]
        starts, sizes = starts[is_word], sizes[is_word]
        hashes = keys(found.prints.of(starts, sizes), sizes)
        maybe = self._sieve[hashes * _MIX >> _SHIFT]
        which, is_one = looked_up(self._firsts, hashes[maybe])
        for begin, lengths in with_lengths(
            starts[maybe][is_one], which[is_one], self._edges, self._lengths, _AT_A_TIME
        ):
            yield self._compared(found, begin, lengths)

    def _compared(self, found: Passage, starts: Numbers, lengths: Numbers) -> Places:
        ends = starts + lengths
        inside = ends <= found.prints.ends[found.prints.text_at(starts)]
        inside[inside] = found.is_border[ends[inside]]
        starts, ends, lengths = starts[inside], ends[inside], lengths[inside]
        which, is_one = looked_up(self.keys, keys(found.prints.of(starts, lengths), lengths))
        return Places(which[is_one], starts[is_one], ends[is_one])


def finder(rows: Rows) -> Finder:
    """Prepare to find forms."""
    pairs = np.unique(rows[["first", "length"]])
    firsts, edges = np.unique(pairs["first"], return_index=True)
    sieve = np.zeros(1 << _SIEVE_BITS, np.bool_)
    sieve[firsts * _MIX >> _SHIFT] = True
    lengths = pairs["length"].astype(np.int64)
    return Finder(np.unique(rows["key"]), sieve, firsts, np.append(edges, len(pairs)), lengths)


# Of a form and a label it was annotated as, at one place of a text where that label is covered:
#   annotated: just so. inside: a longer span of the label holds it. partly: a span of the label has a part of it.
#   relabelled: another label has just this place. other: spans of other labels touch it. none: nothing does.
KINDS = ("annotated", "inside", "partly", "relabelled", "other", "none")
ANNOTATED, INSIDE, PARTLY, RELABELLED, OTHER, NONE = range(len(KINDS))


class Occurrences(NamedTuple):
    """rows (Numbers): Numbers of the form and label in the table. kinds (Numbers): See above. starts, ends: In the
    passage. touching (Numbers): The number of the label's own span that it touches, -1 if none.
    """

    rows: Numbers
    kinds: Numbers
    starts: Numbers
    ends: Numbers
    touching: Numbers


def occurrences(found: Passage, finder: Finder, table: Rows) -> Iterator[Occurrences]:
    """All places of all forms, for each label they were annotated as, in texts where that is covered.

    table (Rows): Forms and labels, sorted by form; `finder` was made of it.
    """
    edges = np.append(np.searchsorted(table["key"], finder.keys), len(table))
    annotated = _annotated(found)
    for places in finder.places(found):
        counts = edges[places.forms + 1] - edges[places.forms]
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(edges[places.forms], counts) + within
        starts, ends = np.repeat(places.starts, counts), np.repeat(places.ends, counts)
        labels = table["label"][rows].astype(np.int64)
        known = found.covered[found.prints.text_at(starts), labels]
        rows, starts, ends, labels = rows[known], starts[known], ends[known], labels[known]
        kinds, touching = _classified(found, annotated, labels, starts, ends)
        yield Occurrences(rows, kinds, starts, ends, touching)


class _Annotated(NamedTuple):
    """All spans: where they start, ascending; and of each, where it and those before it have all ended."""

    starts: Numbers
    ends: Numbers

    def touch(self, starts: Numbers, ends: Numbers) -> Flags:
        """Whether some span has a part of each place."""
        before = np.searchsorted(self.starts, ends)
        return self.ends[before] > starts


def _annotated(found: Passage) -> _Annotated:
    order = np.argsort(found.spans.starts, kind="stable")
    ends = np.maximum.accumulate(found.spans.ends[order])
    return _Annotated(found.spans.starts[order], np.append(0, ends))


def _classified(
    found: Passage, annotated: _Annotated, labels: Numbers, starts: Numbers, ends: Numbers
) -> tuple[Numbers, Numbers]:
    spans, size = found.spans, len(found.prints) + 1
    kinds = np.full(len(starts), NONE)
    kinds[annotated.touch(starts, ends)] = OTHER
    if not len(spans.starts):
        return kinds, np.full(len(starts), -1)
    same_place = np.unique(spans.starts * size + spans.ends)
    wanted = starts * size + ends
    at = np.minimum(np.searchsorted(same_place, wanted), len(same_place) - 1)
    kinds[same_place[at] == wanted] = RELABELLED
    own = np.searchsorted(spans.labels * size + spans.ends, labels * size + starts, side="right")
    at = np.minimum(own, len(spans.starts) - 1)
    touches = (own < len(spans.starts)) & (spans.labels[at] == labels) & (spans.starts[at] < ends)
    longer = touches & (spans.starts[at] <= starts) & (ends <= spans.ends[at])
    kinds[touches] = PARTLY
    kinds[longer] = INSIDE
    kinds[longer & (spans.starts[at] == starts) & (spans.ends[at] == ends)] = ANNOTATED
    return kinds, np.where(touches, at, -1)
