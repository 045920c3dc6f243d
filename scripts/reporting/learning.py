"""The learning curve on one screen."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.reporting.accounts import plural
from scripts.reporting.scores import ratio
from scripts.scoring.curve import HELPS, HURTS, NO_SUPPORT, Curve, Trend


def print_curve(console: Console, found: Curve) -> None:
    """Per label: F with each part of the texts, what twice as many brought, and whether that is more than noise."""
    heads = [f"{point.share:.0%}\n{point.texts:,}" for point in found.points]
    table = Table("label", *heads, "entities", "× 2", "more texts", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for column in table.columns[1:-1]:
        column.justify, column.no_wrap = "right", True
    for label, trend in found.labels.items():
        scores = [ratio(point.labels[label].f) for point in found.points]
        entities = f"{found.points[-1].entities.get(label, 0):,}"
        table.add_row(escape(label), *scores, entities, ratio(trend.slope, sign=True), _says(trend))
    for name, trend in (("micro", found.micro), ("macro", found.macro)):
        scores = [ratio(getattr(point, name).f) for point in found.points]
        table.add_row(name, *scores, "", ratio(trend.slope, sign=True), _says(trend), style="bold")
    console.print(table)
    noise = f"measured with {found.noise_seeds} seeds" if found.noise_seeds else "taken to be what is usual"
    console.print(
        f"\n× 2: what twice as many texts brought so far. Each point is {plural(len(found.seeds), 'seed')}; seed noise "
        f"is {noise}. All parts were trained for as many steps.",
        highlight=False,
    )


def _says(trend: Trend) -> str:
    if trend.verdict == HELPS:
        return "help"
    if trend.verdict == HURTS:
        return "lower F: look at them"
    return trend.verdict if trend.verdict == NO_SUPPORT else "cannot tell: noise"
