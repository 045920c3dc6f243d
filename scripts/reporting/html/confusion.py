"""Which labels are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scripts.scoring.runs import Confusion

NOTHING = "nothing"
_MOST = 10  # mix-ups


class Cell(NamedTuple):
    """How often, and what share of its row that is."""

    number: float
    share: float


class Row(NamedTuple):
    """What became of the entities of a label. The last one has what was found where there is nothing."""

    label: str | None
    cells: list[Cell]
    total: float


class MixUp(NamedTuple):
    """Entities of one label that were found as another."""

    gold: str
    found: str
    number: float
    share: float


class Matrix(NamedTuple):
    """Of one run: means over its seeds.

    labels (list[str]): Of the columns, but for the last one: missed.
    rows (list[Row]): A row for each label, and a last one.
    mix_ups (list[MixUp]): The most frequent ones.
    mixed (float): How many entities were found as another label.
    """

    labels: list[str]
    rows: list[Row]
    mix_ups: list[MixUp]
    mixed: float


def matrix(found: Confusion) -> Matrix:
    """Average over seeds, with shares."""
    means = _means(list(found.seeds.values()))
    rows = [_row(label, numbers) for label, numbers in zip([*found.labels, None], means, strict=True)]
    mixed = [
        MixUp(str(row.label), label, *cell)
        for row in rows[:-1]
        for label, cell in zip(found.labels, row.cells[:-1], strict=True)
        if cell.number and label != row.label
    ]
    mixed.sort(key=lambda each: (-each.number, each.gold, each.found))
    return Matrix(found.labels, rows, mixed[:_MOST], sum(each.number for each in mixed))


def _means(matrices: Sequence[list[list[int]]]) -> list[list[float]]:
    return [[sum(cells) / len(matrices) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def _row(label: str | None, numbers: Sequence[float]) -> Row:
    total = sum(numbers)
    return Row(label, [Cell(number, number / total if total else 0.0) for number in numbers], total)
