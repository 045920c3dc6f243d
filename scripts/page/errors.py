"""Errors and confusion on the page: texts with their spans marked, and entities by label and predicted label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from scripts.core.answers import Span
from scripts.scoring.examples import ERROR_KINDS, ErrorExample
from scripts.scoring.metrics import Errors, Metrics
from scripts.scoring.runs import Confusion

_MAX_SHOWN, _MAX_OF_KIND = 240, 5  # examples altogether, and of each label and kind


class SpanMark(NamedTuple):
    """A span in a piece of text."""

    lane: int  # how far below the text its line is drawn: spans that overlap are in different lanes
    kind: str  # "own" if the error is about it, "not-covered" if its label is not covered there, or "other"


class TextPiece(NamedTuple):
    """Text in which no span begins or ends."""

    text: str
    marks: list[SpanMark]  # the lowest lane first
    ends: list[tuple[str, SpanMark]]  # labels of the spans that end with it


class MarkedText(NamedTuple):
    """A text with its spans marked."""

    pieces: list[TextPiece]
    lanes: int


class ErrorGroup(NamedTuple):
    """Errors of one kind."""

    kind: str
    shown: list[tuple[MarkedText, MarkedText]]  # examples: the text with its entities, and with its predictions
    total: float | None  # as in the other tables, false negatives and false positives; None if kinds are not known


def errors_by_kind(errors: Errors) -> dict[str, float]:
    """Add up false negatives and false positives of each kind."""
    return {kind: getattr(errors.fn, kind, 0.0) + getattr(errors.fp, kind, 0.0) for kind in ERROR_KINDS}


def group_errors(examples: Sequence[ErrorExample], metrics: Metrics) -> dict[str, list[ErrorGroup]]:
    """Group examples by label and kind, as many of each as the page can hold; nothing without an example."""
    found: dict[tuple[str, str], list[ErrorExample]] = {}
    for example in examples:
        found.setdefault((example.label, example.kind), []).append(example)
    limit = max(1, min(_MAX_OF_KIND, _MAX_SHOWN // max(1, len(found))))
    groups: dict[str, list[ErrorGroup]] = {}
    for label, score in metrics.labels.items() if found else ():
        totals = errors_by_kind(score.errors) if score.errors else {}
        for kind in ERROR_KINDS:
            shown = [_mark_error(example) for example in found.get((label, kind), [])[:limit]]
            if shown or totals.get(kind):
                groups.setdefault(label, []).append(ErrorGroup(kind, shown, totals.get(kind)))
    return groups


def _mark_error(example: ErrorExample) -> tuple[MarkedText, MarkedText]:
    gold = [(span, "own" if span == example.entity else "other") for span in example.gold]
    predicted = [(span, "own" if span == example.prediction else "other") for span in example.predicted]
    not_covered = [(span, "not-covered") for span in example.not_covered]
    return mark_spans(example.text, gold), mark_spans(example.text, [*predicted, *not_covered])


def mark_spans(text: str, spans: Iterable[tuple[Span, str]]) -> MarkedText:
    """Cut a text where spans begin and end.

    spans (Iterable[tuple[Span, str]]): With their kinds; those outside of the text are ignored.
    """
    ordered = sorted((span, kind) for span, kind in spans if 0 <= span.start < span.end <= len(text))
    marks = [(span, SpanMark(lane, kind)) for (span, kind), lane in zip(ordered, _lanes(ordered), strict=True)]
    boundaries = sorted({0, len(text), *(boundary for span, _ in marks for boundary in (span.start, span.end))})
    pieces = []
    for start, end in pairwise(boundaries):
        inside = [(span, mark) for span, mark in marks if span.start <= start and end <= span.end]
        ends = [(span.label, mark) for span, mark in inside if span.end == end]
        pieces.append(TextPiece(text[start:end], sorted(mark for _, mark in inside), ends))
    return MarkedText(pieces, 1 + max((mark.lane for _, mark in marks), default=0))


def _lanes(spans: Sequence[tuple[Span, str]]) -> list[int]:
    """For each span, the first lane in which it overlaps no earlier one."""
    ends: list[int] = []
    lanes = []
    for span, _ in spans:
        lane = next((lane for lane, end in enumerate(ends) if end <= span.start), len(ends))
        ends[lane : lane + 1] = [span.end]
        lanes.append(lane)
    return lanes


# Confusion

_MAX_PAIRS = 10


class ConfusionMatrix(NamedTuple):
    """Confusion of a run: means over its seeds."""

    labels: list[str]  # of the columns, but for the last one: missed
    rows: list[tuple[str | None, list[float]]]  # label and entities; the last, without a label: spurious predictions
    pairs: list[tuple[str, str, float, float]]  # label, predicted label, entities, share; the most frequent ones


def confusion_matrix(found: Confusion) -> ConfusionMatrix:
    """Average the confusion over seeds, and find the labels that are confused most."""
    means = np.mean(list(found.seeds.values()), axis=0).tolist()
    pairs = [
        (label, predicted, number, number / sum(numbers))
        for label, numbers in zip(found.labels, means[:-1], strict=True)
        for predicted, number in zip(found.labels, numbers[:-1], strict=True)
        if number and predicted != label
    ]
    pairs.sort(key=lambda pair: (-pair[2], *pair[:2]))
    rows = list(zip([*found.labels, None], means, strict=True))
    return ConfusionMatrix(found.labels, rows, pairs[:_MAX_PAIRS])
