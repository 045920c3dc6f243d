"""The report: one HTML page that loads nothing and runs no script."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scripts.checking import consistency
from scripts.checking.coverage import unmeasured
from scripts.page import contents
from scripts.page.contents import Inputs
from scripts.page.errors import confusion_matrix, errors_by_kind, group_errors
from scripts.queueing.recommendation import COLUMNS, cells
from scripts.queueing.rules import ACTIONS, RULES
from scripts.reporting.comparison import f_cell, interval, list_differences, list_notes, mark, rows_of
from scripts.reporting.console import BREAKS, amount, count, listed, plural, ratio
from scripts.reporting.scores import metric_cells, variance_source
from scripts.scoring.examples import ERROR_KINDS
from scripts.scoring.learning_curve import LearningCurve
from scripts.scoring.metrics import columns_of
from scripts.suspecting.suspects import TIERS

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
        "listed": listed, "plural": plural, "visible": visible, "breakable": breakable, "when": minute,
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


def _curve_floor(curve: LearningCurve | None) -> float:
    """Start of the F axes of the curves: below the lowest F, in steps of a tenth."""
    scores = [score.f for point in (curve.points if curve else []) for score in point.labels.values()]
    return math.floor(10 * min((f for f in scores if f is not None), default=0.0)) / 10
