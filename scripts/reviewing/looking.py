"""Three looks at the gold, part by part: which forms there are, where they stand, and which of it is worth showing.

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

from scripts.annotations.parallel import spread
from scripts.merging.fingerprints import Numbers, keys
from scripts.merging.survey import Block
from scripts.reviewing.authors import Authors, authors_of
from scripts.reviewing.forms import Finder, Rows, annotated_forms, finder, summed
from scripts.reviewing.occurrences import ANNOTATED, KINDS, Occurrences, occurrences
from scripts.reviewing.overlaps import Overlap, joined, overlaps
from scripts.reviewing.passages import Known, Passage, passage

Counts = NDArray[np.int64]  # forms × kinds, or by label
SOME, ALL = 1, 2  # of the places of a form and kind are wanted
EXAMPLES = 3  # are some
_MANY = 2**20  # rows that are kept before they are summed
_BITS = 15  # of the number of an annotator


class Job(NamedTuple):
    """A part of the gold; the labels; who annotated; and the files of the table, and of what is wanted of it."""

    block: Block
    labels: tuple[str, ...]
    authors: Authors
    table: Path
    wanted: Path


class Pairs(NamedTuple):
    """Forms and their annotators, sorted: numbers of rows of the table, of annotators; and counts, pairs × kinds."""

    rows: Numbers
    authors: Numbers
    counts: Counts


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
    table, search = _table(job.table)
    codes = [np.zeros(0, np.int64)]
    for each in occurrences(found, search, table):
        pairs = _pairs(found, whose, each, each.rows, table["label"][each.rows])
        codes.append(pairs * len(KINDS) + each.kinds)
    return Coded(*np.unique(np.concatenate(codes), return_counts=True))


def _pairs(found: Passage, whose: NDArray[np.int16], each: Occurrences, rows: Numbers, labels: Numbers) -> Numbers:
    """Form and annotator of each place, as one number."""
    return (rows << _BITS) | whose[found.prints.text_at(each.starts), labels]


def third_look(jobs: Sequence[Job], processes: int) -> Iterator[Place]:
    """The places of the forms and kinds that are wanted, in the order of the gold; of some more than `EXAMPLES`."""
    for found in spread(_third, jobs, processes, "Looking at places"):
        yield from found


def _third(job: Job) -> list[Place]:
    found = passage(job.block, job.labels)
    whose = authors_of(found.texts, len(job.labels), job.authors)
    all_rows, _ = _table(job.table)
    chosen = _chosen(job.table, job.wanted)
    taken: Counter[tuple[int, int]] = Counter()
    places = []
    for each in occurrences(found, chosen.search, chosen.table):
        pairs = _pairs(found, whose, each, chosen.rows[each.rows], chosen.table["label"][each.rows])
        which = np.minimum(np.searchsorted(chosen.pairs, pairs), len(chosen.pairs) - 1)
        degree = np.where(chosen.pairs[which] == pairs, chosen.degrees[which, each.kinds], 0)
        for place in np.flatnonzero(degree).tolist():
            key = (int(chosen.rows[each.rows[place]]), int(each.kinds[place]))
            taken[key] += 1
            if degree[place] == ALL or taken[key] <= EXAMPLES:
                pair = int(chosen.numbers[which[place]])
                places.append(_place(found, whose, each, place, (key[0], pair, key[1]), all_rows))
    return places


def _place(
    found: Passage,
    whose: NDArray[np.int16],
    each: Occurrences,
    number: int,
    key: tuple[int, int, int],
    table: Rows,
) -> Place:
    start, end, touching = int(each.starts[number]), int(each.ends[number]), int(each.touching[number])
    text = int(found.prints.text_at(each.starts[number : number + 1])[0])
    before = int(found.prints.starts[text])
    longer = _times(found, touching, table) if touching >= 0 and key[2] != ANNOTATED else 0
    return Place(*key, found.texts[text], whose[text], start - before, end - before, longer)


def _times(found: Passage, span: int, table: Rows) -> int:
    """How often the form of a span was annotated as its label."""
    start, length = found.spans.starts[span : span + 1], (found.spans.ends - found.spans.starts)[span : span + 1]
    key = keys(found.prints.of(start, length), length)[0]
    first, last = (int(np.searchsorted(table["key"], key, side)) for side in ("left", "right"))
    same = table[first:last]
    return int(same["count"][same["label"] == found.spans.labels[span]].sum())


@lru_cache(maxsize=1)
def _table(path: Path) -> tuple[Rows, Finder]:
    table = np.load(path)
    return table, finder(table)


def want(pairs: Pairs, degrees: NDArray[np.int8], path: Path) -> None:
    """Write down which places of which pairs, pairs × kinds, are wanted: none, `SOME` or `ALL`."""
    numbers = np.flatnonzero(degrees.any(1))
    with path.open("wb") as file:
        for values in (numbers, (pairs.rows[numbers] << _BITS) | pairs.authors[numbers], degrees[numbers]):
            np.save(file, values)


class Chosen(NamedTuple):
    """The pairs of which something is wanted: their numbers, form and annotator as one number, and what of them; the
    forms: their numbers, and the rows of the table, to be found.
    """

    numbers: Numbers
    pairs: Numbers
    degrees: NDArray[np.int8]
    rows: Numbers
    table: Rows
    search: Finder


@lru_cache(maxsize=1)
def _chosen(path: Path, wanted: Path) -> Chosen:
    with wanted.open("rb") as file:
        numbers, pairs, degrees = (np.load(file) for _ in range(3))
    rows = np.unique(pairs >> _BITS)
    some = np.load(path)[rows]
    return Chosen(numbers, pairs, degrees, rows, some, finder(some))
