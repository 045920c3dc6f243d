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


class ShownError(NamedTuple):
    """An error: the text with its entities, and with its predictions."""

    gold: MarkedText
    predicted: MarkedText


class ErrorGroup(NamedTuple):
    """Errors of one kind: those that are shown, and their number in the first seed, if it is known."""

    kind: str
    shown: list[ShownError]
    total: int | None


def group_errors(examples: Sequence[ErrorExample], metrics: Metrics) -> dict[str, list[ErrorGroup]]:
    """Group examples by label and kind, as many of each as the page can hold."""
    by_kind: dict[tuple[str, str], list[ErrorExample]] = {}
    for example in examples:
        by_kind.setdefault((example.label, example.kind), []).append(example)
    limit = max(1, min(_MAX_OF_KIND, _MAX_SHOWN // max(1, len(by_kind))))
    first_seed = next(iter(metrics.seeds.values()), metrics)
    groups: dict[str, list[ErrorGroup]] = {}
    for label, kind in sorted(by_kind, key=lambda key: (key[0], ERROR_KINDS.index(key[1]))):
        score = first_seed.labels.get(label)
        total = _number_of_kind(score.errors, kind) if score and score.errors else None
        shown = [_shown_error(example) for example in by_kind[label, kind][:limit]]
        groups.setdefault(label, []).append(ErrorGroup(kind, shown, total))
    return groups


def _number_of_kind(errors: Errors, kind: str) -> int:
    """False negatives of a kind, or spurious predictions: as examples are collected."""
    return int(errors.fp.spurious if kind == "spurious" else getattr(errors.fn, kind))


def _shown_error(example: ErrorExample) -> ShownError:
    gold = [(span, "own" if span == example.entity else "other") for span in example.gold]
    predicted = [(span, "own" if span == example.prediction else "other") for span in example.predicted]
    not_covered = [(span, "not-covered") for span in example.not_covered]
    return ShownError(mark_spans(example.text, gold), mark_spans(example.text, [*predicted, *not_covered]))


def mark_spans(text: str, spans: Iterable[tuple[Span, str]]) -> MarkedText:
    """Cut a text where spans begin and end.

    spans (Iterable[tuple[Span, str]]): With their kinds; those outside of the text are ignored.
    """
    ordered = sorted((span, kind) for span, kind in spans if 0 <= span.start < span.end <= len(text))
    marks = [(span, SpanMark(lane, kind)) for (span, kind), lane in zip(ordered, _lanes(ordered), strict=True)]
    boundaries = sorted({0, len(text), *(boundary for span, _ in marks for boundary in (span.start, span.end))})
    pieces = [_text_piece(text, start, end, marks) for start, end in pairwise(boundaries)]
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


def _text_piece(text: str, start: int, end: int, marks: Sequence[tuple[Span, SpanMark]]) -> TextPiece:
    inside = sorted(mark for span, mark in marks if span.start <= start and end <= span.end)
    ends = [(span.label, mark) for span, mark in marks if span.end == end and span.start <= start]
    return TextPiece(text[start:end], inside, ends)


# Confusion


_MAX_PAIRS = 10


class ConfusionRow(NamedTuple):
    """Entities of a label by predicted label. The last row, without a label, has spurious predictions."""

    label: str | None
    numbers: list[float]
    total: float


class ConfusedPair(NamedTuple):
    """Entities of one label that are predicted as another."""

    gold: str
    predicted: str
    number: float
    share: float


class ConfusionMatrix(NamedTuple):
    """Confusion of a run: means over its seeds."""

    labels: list[str]  # of the columns, but for the last one: missed
    rows: list[ConfusionRow]  # a row for each label, and a last one
    pairs: list[ConfusedPair]  # the most frequent ones


def confusion_matrix(found: Confusion) -> ConfusionMatrix:
    """Average the confusion over seeds, and find the labels that are confused most."""
    means = np.mean(list(found.seeds.values()), axis=0).tolist()
    rows = [ConfusionRow(label, row, sum(row)) for label, row in zip([*found.labels, None], means, strict=True)]
    pairs = [
        ConfusedPair(str(row.label), label, number, number / row.total)
        for row in rows[:-1]
        for label, number in zip(found.labels, row.numbers[:-1], strict=True)
        if number and label != row.label
    ]
    pairs.sort(key=lambda pair: (-pair.number, pair.gold, pair.predicted))
    return ConfusionMatrix(found.labels, rows, pairs[:_MAX_PAIRS])
