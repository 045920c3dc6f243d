"""Three looks at the gold, part by part: which forms there are, where they stand, and which of it is worth showing.

Where they stand is kept on disk, 32 bytes a place, so that the third look reads only the texts that it shows.
What is held of all texts together is 30 bytes a form and label, and six counts, also for each annotator of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.checking.answers import Authors, authors_of
from scripts.checking.passages import Known, Overlap, Passage, joined, overlaps, passage, some_texts
from scripts.checking.surface_forms import ANNOTATED, KINDS, Finder, Rows, annotated_forms, finder, occurrences, summed
from scripts.core.workers import spread
from scripts.merging.fingerprints import Hashes, Numbers, keys, looked_up
from scripts.merging.survey import Block

Counts = NDArray[np.int64]  # forms × kinds, or by label
SOME, ALL = 1, 2  # of the places of a form and kind are wanted
EXAMPLES = 3  # are some
_MANY = 2**18  # rows that are kept before they are summed
_BITS = 15  # of the number of an annotator
TABLE, WANTED = "table.npy", "wanted.npy"
# pair: form and annotator. text: its number in the part. longer: see `Place`.
_PLACE = np.dtype(
    [("pair", "i8"), ("text", "i4"), ("start", "i4"), ("end", "i4"), ("longer", "i4"), ("kind", "i1")], align=True
)


class Job(NamedTuple):
    """A part of the gold; the labels; who annotated; and a folder with the table, what is wanted of it, and places."""

    block: Block
    labels: tuple[str, ...]
    authors: Authors
    folder: Path

    @property
    def places(self) -> Path:
        """The file of the places in this part."""
        return self.folder / f"places-{self.block.start}.npy"


class Pairs(NamedTuple):
    """Forms and their annotators, sorted: numbers of rows of the table, of annotators; and counts, pairs × kinds."""

    rows: Numbers
    authors: Numbers
    counts: Counts


class _Table(NamedTuple):
    """All forms; their keys, which are sorted; and what finds them."""

    rows: Rows
    keys: Hashes
    search: Finder


class Look(NamedTuple):
    """What the first look at a part finds, or at all of them.

    rows (Rows): Forms. texts (Counts), spans (Counts), within (Counts): By label: texts in which it is covered, its
    spans, and those that begin or end inside a word. overlaps (list[Overlap]): Between labels.
    """

    rows: Rows
    texts: Counts
    spans: Counts
    within: Counts
    overlaps: list[Overlap]


class Place(NamedTuple):
    """A place that is wanted: the numbers of its form, and of form and annotator; what is there, and the text.

    authors (NDArray[int16]): Whose annotations of this text those of each label are.
    longer (int): How often the form of the label's span that it touches was annotated; 0 if there is none.
    """

    row: int
    pair: int
    kind: int
    known: Known
    authors: NDArray[np.int16]
    start: int
    end: int
    longer: int


def first_look(parts: Sequence[Block], labels: tuple[str, ...], processes: int) -> Look:
    """The table of all forms, counts by label, and overlaps."""
    waiting: list[Rows] = []
    sums = np.zeros((3, len(labels)), np.int64)
    found: list[Overlap] = []
    for look in spread(_first, [(block, labels) for block in parts], processes, "Collecting forms"):
        waiting.append(look.rows)
        sums += np.stack([look.texts, look.spans, look.within])
        found = joined([found, look.overlaps])
        if sum(map(len, waiting)) > 2 * len(waiting[0]) + _MANY:
            waiting = [summed(waiting)]
    return Look(summed(waiting), sums[0], sums[1], sums[2], found)


def _first(part: tuple[Block, tuple[str, ...]]) -> Look:
    found = passage(*part)
    rows = annotated_forms(found)
    spans = np.bincount(found.spans.labels, minlength=len(part[1]))
    whole = np.bincount(rows["label"], weights=rows["count"], minlength=len(part[1])).astype(np.int64)
    return Look(rows, found.covered.sum(0), spans, spans - whole, overlaps(found))


def second_look(jobs: Sequence[Job], processes: int) -> Pairs:
    """How often each form of the table stands in texts of each annotator, by what is there."""
    waiting: list[Coded] = []
    for found in spread(_second, jobs, processes, "Finding forms"):
        waiting.append(found)
        if sum(len(each.codes) for each in waiting) > 2 * len(waiting[0].codes) + _MANY:
            waiting = [_added(waiting)]
    codes, times = _added(waiting)
    keys_, which = np.unique(codes // len(KINDS), return_inverse=True)
    counts = np.zeros((len(keys_), len(KINDS)), np.int64)
    counts[which, codes % len(KINDS)] = times
    return Pairs(keys_ >> _BITS, keys_ & ((1 << _BITS) - 1), counts)


class Coded(NamedTuple):
    """Forms, annotators and kinds as one number each, ascending, and how often each occurs."""

    codes: Numbers
    times: Numbers


def _added(parts: Sequence[Coded]) -> Coded:
    codes = np.concatenate([np.zeros(0, np.int64), *(part.codes for part in parts)])
    times = np.concatenate([np.zeros(0, np.int64), *(part.times for part in parts)])
    order = np.argsort(codes, kind="stable")
    codes, times = codes[order], times[order]
    firsts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])) if len(codes) else order
    return Coded(codes[firsts], np.add.reduceat(times, firsts) if len(codes) else times)


def _second(job: Job) -> Coded:
    found = passage(job.block, job.labels)
    whose = authors_of(found.texts, len(job.labels), job.authors)
    table = _table(job.folder / TABLE)
    longer = np.append(_times(found, table), 0)  # the last for those that touch none
    parts = [np.zeros(0, _PLACE)]
    for each in occurrences(found, table.search, table.rows):
        part = np.zeros(len(each.rows), _PLACE)
        part["text"] = texts = found.prints.text_at(each.starts)
        part["pair"] = (each.rows << _BITS) | whose[texts, table.rows["label"][each.rows]]
        part["kind"] = each.kinds
        part["start"], part["end"] = each.starts - found.prints.starts[texts], each.ends - found.prints.starts[texts]
        part["longer"] = np.where(each.kinds == ANNOTATED, 0, longer[each.touching])
        parts.append(part)
    places = np.concatenate(parts)
    np.save(job.places, places)
    return Coded(*np.unique(places["pair"] * len(KINDS) + places["kind"], return_counts=True))


def _times(found: Passage, table: _Table) -> Numbers:
    """How often the form of each span was annotated as its label."""
    spans = found.spans
    lengths = spans.ends - spans.starts
    key = keys(found.prints.of(spans.starts, lengths), lengths)
    first, last = (np.searchsorted(table.keys, key, side) for side in ("left", "right"))
    times = np.zeros(len(key), np.int64)
    for offset in range(int((last - first).max(initial=0))):  # as many as labels share a form
        at = np.minimum(first + offset, len(table.keys) - 1)
        same = (first + offset < last) & (table.rows["label"][at] == spans.labels)
        times[same] = table.rows["count"][at[same]]
    return times


def third_look(jobs: Sequence[Job], processes: int) -> Iterator[Place]:
    """The places of the forms and kinds that are wanted, in the order of the gold; of some more than `EXAMPLES`."""
    for found in spread(_third, jobs, processes, "Looking at places"):
        yield from found


def _third(job: Job) -> list[Place]:
    chosen = _chosen(job.folder / WANTED)
    found = np.load(job.places)
    which, is_chosen = looked_up(chosen.pairs, found["pair"])
    degree = np.zeros(len(found), np.int8)
    degree[is_chosen] = chosen.degrees[which[is_chosen], found["kind"][is_chosen]]
    taken: Counter[tuple[int, int]] = Counter()
    picked = []
    for place in np.flatnonzero(degree).tolist():
        key = (int(found["pair"][place]) >> _BITS, int(found["kind"][place]))
        taken[key] += 1
        if degree[place] == ALL or taken[key] <= EXAMPLES:
            picked.append((place, key))
    texts = some_texts(job.block, set(found["text"][[place for place, _ in picked]].tolist()))
    whose = dict(zip(texts, authors_of(list(texts.values()), len(job.labels), job.authors), strict=True))
    result = []
    for place, (row, kind) in picked:
        _, text, start, end, longer, _ = found[place].item()
        pair = int(chosen.numbers[which[place]])
        result.append(Place(row, pair, kind, texts[text], whose[text], start, end, longer))
    return result


@lru_cache(maxsize=1)
def _table(path: Path) -> _Table:
    rows = np.load(path)
    return _Table(rows, np.ascontiguousarray(rows["key"]), finder(rows))


def want(pairs: Pairs, degrees: NDArray[np.int8], path: Path) -> None:
    """Write down which places of which pairs, pairs × kinds, are wanted: none, `SOME` or `ALL`."""
    numbers = np.flatnonzero(degrees.any(1))
    with path.open("wb") as file:
        for values in (numbers, (pairs.rows[numbers] << _BITS) | pairs.authors[numbers], degrees[numbers]):
            np.save(file, values)


class _Chosen(NamedTuple):
    """The pairs of which something is wanted: their numbers, form and annotator as one number, and what of them."""

    numbers: Numbers
    pairs: Numbers
    degrees: NDArray[np.int8]


@lru_cache(maxsize=1)
def _chosen(wanted: Path) -> _Chosen:
    with wanted.open("rb") as file:
        return _Chosen(*(np.load(file) for _ in range(3)))
