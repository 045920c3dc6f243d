"""Three looks at the gold, part by part: which forms there are, where they stand, and which of it is worth showing.

What is held of all texts together is 30 bytes a form and label, and six counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.annotations.parallel import spread
from scripts.merging.fingerprints import keys
from scripts.merging.survey import Block
from scripts.reviewing.forms import Finder, Rows, annotated_forms, finder, summed
from scripts.reviewing.occurrences import ANNOTATED, KINDS, Occurrences, occurrences
from scripts.reviewing.overlaps import Overlap, joined, overlaps
from scripts.reviewing.passages import Known, Passage, passage

Counts = NDArray[np.int64]  # forms × kinds, or by label
SOME, ALL = 1, 2  # of the places of a form and kind are wanted
EXAMPLES = 3  # are some
_MANY = 2**20  # rows that are kept before they are summed


class Job(NamedTuple):
    """A part of the gold; the labels; and the files of the table, and of what is wanted of it: forms × kinds."""

    block: Block
    labels: tuple[str, ...]
    table: Path = Path()
    wanted: Path = Path()


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
    """A place that is wanted: the number of its form, what is there, and the text.

    longer (int): How often the form of the label's span that it touches was annotated; 0 if there is none.
    """

    row: int
    kind: int
    known: Known
    start: int
    end: int
    longer: int


def first_look(parts: Sequence[Block], labels: tuple[str, ...], processes: int) -> Look:
    """The table of all forms, counts by label, and overlaps."""
    waiting: list[Rows] = []
    sums = np.zeros((3, len(labels)), np.int64)
    found: list[Overlap] = []
    for look in spread(_first, [Job(block, labels) for block in parts], processes, "Collecting forms"):
        waiting.append(look.rows)
        sums += np.stack([look.texts, look.spans, look.within])
        found = joined([found, look.overlaps])
        if sum(map(len, waiting)) > 2 * len(waiting[0]) + _MANY:
            waiting = [summed(waiting)]
    return Look(summed(waiting), sums[0], sums[1], sums[2], found)


def _first(job: Job) -> Look:
    found = passage(job.block, job.labels)
    rows = annotated_forms(found)
    spans = np.bincount(found.spans.labels, minlength=len(job.labels))
    whole = np.bincount(rows["label"], weights=rows["count"], minlength=len(job.labels)).astype(np.int64)
    return Look(rows, found.covered.sum(0), spans, spans - whole, overlaps(found))


def second_look(jobs: Sequence[Job], rows: int, processes: int) -> Counts:
    """How often each form of the table stands somewhere, by what is there."""
    totals = np.zeros(rows * len(KINDS), np.int64)
    for codes, counts in spread(_second, jobs, processes, "Finding forms"):
        totals[codes] += counts
    return totals.reshape(rows, len(KINDS))


def _second(job: Job) -> tuple[Any, Any]:
    found = passage(job.block, job.labels)
    table, search = _table(job.table)
    codes = [np.zeros(0, np.int64)]
    codes += [each.rows * len(KINDS) + each.kinds for each in occurrences(found, search, table)]
    return np.unique(np.concatenate(codes), return_counts=True)


def third_look(jobs: Sequence[Job], processes: int) -> Iterator[Place]:
    """The places of the forms and kinds that are wanted, in the order of the gold; of some more than `EXAMPLES`."""
    for found in spread(_third, jobs, processes, "Looking at places"):
        yield from found


def _third(job: Job) -> list[Place]:
    found = passage(job.block, job.labels)
    all_rows, _ = _table(job.table)
    numbers, wanted, some, search = _chosen(job.table, job.wanted)
    taken: Counter[tuple[int, int]] = Counter()
    places = []
    for each in occurrences(found, search, some):
        degree = wanted[each.rows, each.kinds]
        for place in np.flatnonzero(degree).tolist():
            key = (int(numbers[each.rows[place]]), int(each.kinds[place]))
            taken[key] += 1
            if degree[place] == ALL or taken[key] <= EXAMPLES:
                places.append(_place(found, each, place, key, all_rows))
    return places


def _place(found: Passage, each: Occurrences, number: int, key: tuple[int, int], table: Rows) -> Place:
    start, end, touching = int(each.starts[number]), int(each.ends[number]), int(each.touching[number])
    text = int(found.prints.text_at(each.starts[number : number + 1])[0])
    before = int(found.prints.starts[text])
    longer = _times(found, touching, table) if touching >= 0 and key[1] != ANNOTATED else 0
    return Place(*key, found.texts[text], start - before, end - before, longer)


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


@lru_cache(maxsize=1)
def _chosen(path: Path, wanted: Path) -> tuple[Counts, NDArray[np.int8], Rows, Finder]:
    """The rows of the table of which something is wanted: their numbers, what of them, and the rows."""
    degrees = np.load(wanted)
    numbers = np.flatnonzero(degrees.any(1))
    some = np.load(path)[numbers]
    return numbers, degrees[numbers], some, finder(some)
