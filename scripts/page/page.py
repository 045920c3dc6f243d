"""The report: one HTML page with all in it, which loads nothing and runs nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scripts.checking import consistency_views as consistency
from scripts.checking.coverage_views import hours, seconds, unmeasured
from scripts.page import history, marked
from scripts.page import marked as confusion
from scripts.page.history import cautions
from scripts.page.inputs import Inputs
from scripts.queueing.recommendation import ACTIONS, COLUMNS, RULES, cells
from scripts.reporting.comparison import differs, mark, notes, span
from scripts.reporting.console import count, listed, plural, ratio
from scripts.scoring.learning_curve import Curve
from scripts.suspecting import suspects_views as suspects
from scripts.suspecting.suspects import TIERS

_BREAKS = re.compile(r"(?<=[_/.:-])(?=\w)|(?<=[a-z])(?=[A-Z])")
TEMPLATES = Path(__file__).with_name("templates")
_ERRORS = {
    "boundary": "wrong borders", "type": "wrong label", "both": "wrong borders and label", "missed": "missed",
    "spurious": "invented",
}  # fmt: skip


class Part(NamedTuple):
    """A part of a bar: what it stands for, where it begins, and how wide it is, as shares of the bar."""

    name: str
    number: float
    start: float
    width: float


def render(found: Inputs) -> bytes:
    """Make the page. The same inputs give the same bytes.

    found (Inputs): At least one run.
    RETURNS (bytes): HTML in UTF-8.
    """
    page = _environment().get_template("page.html.j2").render(**_view(found))
    return page.encode("utf8", "replace")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "ratio": ratio, "count": count, "at": at, "share": share, "span": span, "mark": mark, "listed": listed,
        "plural": plural, "visible": visible, "breakable": breakable, "clear": history.is_clear, "wrong": history.wrong,
        "when": when, "log2": math.log2, "hours": hours, "seconds": seconds, "unmeasured": unmeasured,
        "cells": cells,
    }  # fmt: skip
    environment.globals |= {
        "stack": stack,
        "kinds": _ERRORS,
        "states": consistency.STATES,
        "suspect_kinds": consistency.SUSPECT_KINDS,
        "rules": RULES,
        "actions": ACTIONS,
        "columns_of_next": COLUMNS,
    }
    return environment


def _view(found: Inputs) -> dict[str, Any]:
    newest, compared = found.runs[-1], history.newest_compared(found)
    looked_at = consistency.section(found.consistency, found.findings) if found.consistency else None
    return {
        "runs": found.runs,
        "newest": newest,
        "cautions": cautions(found, compared),
        "weakest": history.weakest(newest),
        "most_wrong": max((history.wrong(score) for score in newest.metrics.labels.values()), default=0),
        "compared": compared,
        "baseline": found.compared.baseline if found.compared and compared else None,
        "changes": history.changes(compared) if compared else None,
        "differs": list(differs(compared)) if compared else [],
        "notes": list(notes(compared, found.compared)) if compared and found.compared else [],
        "history": history.history(found),
        "matrix": confusion.matrix(found.confusion) if found.confusion and found.confusion.seeds else None,
        "errors": None if found.errors is None else marked.grouped(found.errors, newest.metrics),
        "coverage": found.coverage,
        "curve": found.curve,
        "curve_floor": _floor(found.curve),
        "consistency": looked_at,
        "findings_at": _findings_at(looked_at),
        "suspects": suspects.section(found.suspects, found.first_suspects, TIERS) if found.suspects else None,
        "lacking": found.lacking,
        "next": found.next,
        "outdated": found.outdated,
    }


def _findings_at(found: consistency.ConsistencySection | None) -> dict[str, str]:
    """Where on the page the findings of each label are that has any."""
    shown = enumerate(found.labels if found else [], 1)
    return {each.name: f"consistency-{number}" for number, each in shown if each.is_open}


def stack(numbers: Sequence[tuple[str, float]], whole: float) -> Iterator[Part]:
    """The parts of a bar one after another, of those that are not 0."""
    before = 0.0
    for name, number in numbers:
        if number and whole:
            yield Part(name, number, before / whole, number / whole)
        before += number


def at(share: float | None) -> str:
    """A place in a chart: `45.25%`."""
    return f"{100 * min(1.0, max(0.0, share or 0.0)):.2f}".rstrip("0").rstrip(".") + "%"


def share(value: float | None) -> str:
    """`45 %`, and `<1 %` where rounding would make it nothing."""
    if value is None:
        return "–"
    return "<1 %" if 0 < value < 0.005 else f"{value:.0%}".replace("%", " %")


def when(time: str) -> str:
    """`2026-01-31 12:05` of an ISO time."""
    return time[:16].replace("T", " ")


def visible(text: str) -> str:
    """Control characters as the signs that stand for them; HTML has no place for them."""
    return "".join(chr(0x2400 + ord(c)) if c < " " and c not in "\n\t" else "␡" if c == "\x7f" else c for c in text)


def breakable(text: str) -> Markup:
    """A name, with places in it where a line may end: after `_`, `-` and the like, and before a capital."""
    return Markup("<wbr>").join(_BREAKS.split(visible(text)))


def _floor(curve: Curve | None) -> float:
    """Where the axes of the curves begin: below the lowest F, in steps of a tenth."""
    scores = [score.f for point in (curve.points if curve else []) for score in point.labels.values()]
    return math.floor(10 * min((f for f in scores if f is not None), default=0.0)) / 10
