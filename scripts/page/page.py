"""The report: one HTML page that loads nothing and runs no script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scripts.checking import consistency
from scripts.checking.coverage import unmeasured
from scripts.checking.review import TIERS
from scripts.core.answers import Span
from scripts.page import contents
from scripts.page.contents import Inputs
from scripts.queueing.recommendation import COLUMNS, cells
from scripts.queueing.rules import ACTIONS, RULES
from scripts.reporting.comparison import f_cell, interval, list_differences, list_notes, mark, rows_of
from scripts.reporting.console import BREAKS, amount, count, listed, plural, ratio
from scripts.reporting.scores import metric_cells, variance_source
from scripts.scoring.examples import ERROR_KINDS, ErrorExample
from scripts.scoring.learning_curve import LearningCurve
from scripts.scoring.metrics import Errors, Metrics, columns_of
from scripts.scoring.reliability import LEAST_SPANS
from scripts.scoring.runs import Confusion

TEMPLATES = Path(__file__).with_name("templates")


def render(found: Inputs) -> bytes:
    """Render the page as HTML in UTF-8. The same inputs give the same bytes."""
    page = _environment().get_template("page.html.j2").render(**_context(found))
    return page.encode("utf8", "replace")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "ratio": ratio, "count": count, "at": position, "share": percent, "interval": interval, "mark": mark,
        "listed": listed, "plural": plural, "visible": visible, "breakable": breakable, "unbroken": unbroken,
        "when": minute,
        "log2": math.log2, "amount": amount, "unmeasured": unmeasured, "cells": cells,
        "by_kind": errors_by_kind,
        **consistency.FILTERS,
    }  # fmt: skip
    environment.globals |= {
        "stack": stack,
        "changes_reach": contents.changes_reach,
        "rows_of": rows_of,
        "f_cell": f_cell,
        "kinds": {kind: kind.replace("_", " + ") for kind in ERROR_KINDS},
        "columns": columns_of("page"),
        "metric_cells": metric_cells,
        "variance_source": variance_source,
        "states": consistency.STATES,
        "suspect_kinds": consistency.SUSPECT_KINDS,
        "least_spans": LEAST_SPANS,
        "tiers": TIERS,
        "rules": RULES,
        "actions": ACTIONS,
        "columns_of_next": list(COLUMNS),
    }
    return environment


def _context(found: Inputs) -> dict[str, Any]:
    newest, compared = found.runs[-1], contents.newest_comparison(found)
    comparisons = found.comparisons if compared else None
    return found._asdict() | {
        "newest": newest,
        "cautions": contents.cautions(found, compared),
        "weakest": contents.weakest_labels(newest),
        "most_errors": max((score.error_count for score in newest.metrics.labels.values()), default=0),
        "compared": compared,
        "baseline": comparisons.baseline if comparisons else None,
        "differences": list_differences(compared) if compared else [],
        "notes": list(list_notes(compared, comparisons.variance_seeds)) if compared and comparisons else [],
        "history": contents.run_history(found),
        "matrix": confusion_matrix(found.confusion) if found.confusion and found.confusion.seeds else None,
        "errors": None if found.errors is None else group_errors(found.errors, newest.metrics),
        "curve_floor": _curve_floor(found.curve),
        "consistency_anchors": consistency.anchors(found.consistency, found.consistency_suspects),
    }


def stack(numbers: Sequence[tuple[str, float]], total: float) -> Iterator[tuple[str, float, float]]:
    """Put the parts of a bar one after another, without those that are 0: name, and start and width as shares."""
    start = 0.0
    for name, number in numbers:
        if number and total:
            yield name, start / total, number / total
        start += number


def position(share: float | None) -> str:
    """Format a position in a chart: `45.25%`."""
    return f"{100 * min(1.0, max(0.0, share or 0.0)):.2f}".rstrip("0").rstrip(".") + "%"


def percent(share: float | None) -> str:
    """Format a share: `45 %`, and `<1 %` where rounding would make it 0."""
    if share is None:
        return "–"
    return "<1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")


def minute(time: str) -> str:
    """Shorten an ISO time: `2026-01-31 12:05`."""
    return time[:16].replace("T", " ")


def visible(text: str) -> str:
    """Replace control characters, which HTML does not allow, by their symbols."""
    return "".join(chr(0x2400 + ord(c)) if c < " " and c not in "\n\t" else "␡" if c == "\x7f" else c for c in text)


def breakable(text: str) -> Markup:
    """Let names break over lines: after `_`, `-` and the like, and before a capital."""
    return Markup("<wbr>").join(BREAKS.split(visible(text))).replace(Markup(" <wbr>"), " ")


def unbroken(command: str) -> Markup:
    """Let a command break over lines at its spaces alone, and not after the hyphens of its options."""
    return Markup(" ").join(Markup("<span>{}</span>").format(word) for word in visible(command).split(" "))


def _curve_floor(curve: LearningCurve | None) -> float:
    """Start of the F axes of the curves: below the lowest F, in steps of a tenth."""
    scores = [score.f for point in (curve.points if curve else []) for score in point.labels.values()]
    return math.floor(10 * min((f for f in scores if f is not None), default=0.0)) / 10


# Errors: texts with their spans marked

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


# Confusion: entities by label and predicted label

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
