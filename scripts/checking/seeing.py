"""Forms and their places in all of the gold: what is shown of them, and what is found."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scripts.checking.answers import Authors
from scripts.checking.findings import Suspect
from scripts.checking.passages import Context, context
from scripts.checking.ranking import RULES, Evidence, suspects, wanted
from scripts.checking.scan import (
    ALL,
    EXAMPLES,
    SOME,
    TABLE,
    WANTED,
    Counts,
    Job,
    Look,
    Place,
    first_look,
    second_look,
    third_look,
    want,
)
from scripts.checking.surface_forms import ANNOTATED, KINDS, NONE, PARTLY, RELABELLED, Rows
from scripts.merging.survey import blocks

_SHOWN = 20  # forms of a label
_SEVERAL = 50  # forms with several labels


class Examples:
    """By number of a form: what it says, and some of its places of each kind."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.of: dict[int, dict[str, list[Context]]] = defaultdict(lambda: defaultdict(list))

    def add(self, place: Place) -> None:
        """Keep a place, unless there are enough of its kind."""
        self.names[place.row] = place.known.text[place.start : place.end]
        of_kind = self.of[place.row][KINDS[place.kind]]
        if len(of_kind) < EXAMPLES:
            of_kind.append(context(place.known, place.start, place.end))


class Seen(NamedTuple):
    """What three looks at the gold found.

    first (Look): The table of forms, and counts by label. counts (Counts): Of the table, by what is at their places.
    tops (list[list[int]]): By label, the forms that are shown, as numbers of rows. several (list[list[int]]): Rows that
        share a form, of those shown. all_several (int): How many such forms there are.
    suspects (list[Suspect]): Findings. doubtful (int): Places that could have been one.
    """

    first: Look
    counts: Counts
    tops: list[list[int]]
    several: list[list[int]]
    all_several: int
    examples: Examples
    suspects: list[Suspect]
    doubtful: int


def look_at_forms(gold: Path, labels: tuple[str, ...], authors: Authors, work: Path, processes: int) -> Seen:
    """Look at all of the gold. In memory are what `looking` says, and the texts of what is listed.

    labels (tuple[str, ...]): All there are. work (Path): A folder, for what the processes share.
    """
    parts = blocks(gold)
    first = first_look(parts, labels, processes)
    table = first.rows
    np.save(work / TABLE, table)
    jobs = [Job(block, labels, authors, work) for block in parts]
    pairs = second_look(jobs, processes)
    evidence = Evidence(table, labels, pairs)
    counts = evidence.counts
    tops = [_top(table, counts, number) for number in range(len(labels))]
    several, all_several = _several(table)
    marks = wanted(pairs, evidence.sure)
    shown = {row for rows in [*tops, *several] for row in rows}
    some = np.isin(pairs.rows, list(shown))
    marks[some] = np.maximum(marks[some], np.where(pairs.counts[some] > 0, SOME, 0))
    want(pairs, marks, work / WANTED)
    examples = Examples()
    listed = []
    for place in third_look(jobs, processes):
        if marks[place.pair, place.kind] == ALL:
            listed.append(place)
        if place.row in shown:
            examples.add(place)
    doubts = suspects(listed, evidence)
    doubtful = sum(int(pairs.counts[evidence.sure[:, place] > 0, rule.kind].sum()) for place, rule in enumerate(RULES))
    return Seen(
        first, counts, tops, several, all_several, examples, doubts, doubtful
    )  # fmt: skip


def _top(table: Rows, counts: Counts, label: int) -> list[int]:
    """The forms of a label that are as often annotated as not."""
    rows = np.flatnonzero(table["label"] == label)
    uneven = np.minimum(counts[rows, ANNOTATED], counts[rows][:, [PARTLY, RELABELLED, NONE]].sum(1))
    order = np.lexsort((rows, -counts[rows].sum(1), -uneven))
    return rows[order[uneven[order] > 0][:_SHOWN]].tolist()


def _several(table: Rows) -> tuple[list[list[int]], int]:
    """Forms with several labels, as rows; the most evenly divided first. And how many there are."""
    edges = np.flatnonzero(np.append(True, table["key"][1:] != table["key"][:-1])) if len(table) else np.zeros(0, int)
    sizes = np.diff(np.append(edges, len(table)))
    found = []
    for edge, size in zip(edges[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        rows = sorted(range(edge, edge + size), key=lambda row: (-int(table["count"][row]), row))
        found.append(([-int(table["count"][row]) for row in rows[1::-1]], rows))
    return [rows for _, rows in sorted(found)[:_SEVERAL]], len(found)
