"""A text with its spans marked, however these overlap, and errors to be looked at.

Which labels are taken for which.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from scripts.core.answers import Span
from scripts.scoring.examples import Example
from scripts.scoring.metrics import Metrics
from scripts.scoring.runs import Confusion

_SHOWN, _EACH = 240, 5  # examples altogether, and of each label and kind
KINDS = ("boundary", "type", "both", "missed", "spurious")


class Mark(NamedTuple):
    """A span in a piece of text.

    lane (int): How far below the text its line is drawn: spans that overlap are in different ones.
    kind (str): "own" if the error is about it, "unjudged" if nobody knows whether it is right, or "other".
    """

    lane: int
    kind: str


class Piece(NamedTuple):
    """Text in which nothing begins or ends.

    marks (list[Mark]): The lowest lane first.
    ends (list[tuple[str, Mark]]): Labels of the spans that end with it.
    """

    text: str
    marks: list[Mark]
    ends: list[tuple[str, Mark]]


class Line(NamedTuple):
    """The text once, with spans of one sort."""

    pieces: list[Piece]
    lanes: int


class Shown(NamedTuple):
    """An error: what should have been found, above what was."""

    gold: Line
    found: Line


class Group(NamedTuple):
    """Errors of one kind: those that are shown, and how many there are in the first seed, if that is known."""

    kind: str
    shown: list[Shown]
    total: int | None


def grouped(examples: Sequence[Example], metrics: Metrics) -> dict[str, list[Group]]:
    """Errors by label, then kind. Of each as many as a page can hold."""
    found: dict[tuple[str, str], list[Example]] = {}
    for example in examples:
        found.setdefault((example.label, example.kind), []).append(example)
    most = max(1, min(_EACH, _SHOWN // max(1, len(found))))
    first = next(iter(metrics.seeds.values()), metrics)
    result: dict[str, list[Group]] = {}
    for label, kind in sorted(found, key=lambda key: (key[0], KINDS.index(key[1]))):
        errors = first.labels[label].errors if label in first.labels else None
        total = int(getattr(errors, kind)) if errors else None
        shown = [_shown(example) for example in found[label, kind][:most]]
        result.setdefault(label, []).append(Group(kind, shown, total))
    return result


def _shown(example: Example) -> Shown:
    gold = [(span, "own" if span == example.entity else "other") for span in example.gold]
    found = [(span, "own" if span == example.prediction else "other") for span in example.predicted]
    unjudged = [(span, "unjudged") for span in example.unjudged]
    return Shown(line(example.text, gold), line(example.text, [*found, *unjudged]))


def line(text: str, spans: Iterable[tuple[Span, str]]) -> Line:
    """Cut a text where spans begin and end.

    spans (Iterable[tuple[Span, str]]): With their kinds; those that are not in the text are left out.
    """
    ordered = sorted((span, kind) for span, kind in spans if 0 <= span.start < span.end <= len(text))
    marks = [(span, Mark(lane, kind)) for (span, kind), lane in zip(ordered, _lanes(ordered), strict=True)]
    borders = sorted({0, len(text), *(border for span, _ in marks for border in (span.start, span.end))})
    pieces = [_piece(text, start, end, marks) for start, end in pairwise(borders)]
    return Line(pieces, 1 + max((mark.lane for _, mark in marks), default=0))


def _lanes(spans: Sequence[tuple[Span, str]]) -> list[int]:
    """For each the first lane in which it overlaps none before."""
    ends: list[int] = []
    lanes = []
    for span, _ in spans:
        lane = next((lane for lane, end in enumerate(ends) if end <= span.start), len(ends))
        ends[lane : lane + 1] = [span.end]
        lanes.append(lane)
    return lanes


def _piece(text: str, start: int, end: int, marks: Sequence[tuple[Span, Mark]]) -> Piece:
    inside = sorted(mark for span, mark in marks if span.start <= start and end <= span.end)
    ends = [(span.label, mark) for span, mark in marks if span.end == end and span.start <= start]
    return Piece(text[start:end], inside, ends)


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
