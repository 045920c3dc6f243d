"""A text with its spans marked, however these overlap, and errors to be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from scripts.annotations.records import Span
from scripts.scoring.examples import Example
from scripts.scoring.metrics import Metrics

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
