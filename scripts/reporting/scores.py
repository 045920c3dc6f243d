"""The scores of one run on one screen.

The learning curve on one screen.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from scripts.reporting.console import count, plural, ratio
from scripts.scoring.learning_curve import HELPS, HURTS, NO_SUPPORT, Curve, Trend
from scripts.scoring.metrics import Metrics, Score

_COUNTS = ("support", "tp", "fp", "fn", "texts")


def print_scores(console: Console, metrics: Metrics) -> None:
    """Per label: precision, recall, F1, and the counts they are made of; then over all labels."""
    table = Table("label", "P", "R", "F", *_COUNTS, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for label, score in metrics.labels.items():
        table.add_row(label, *_cells(score), style="" if score.texts else "dim")
    table.add_row("micro (all entities)", *_cells(metrics.micro), style="bold")
    table.add_row(f"macro ({metrics.macro.labels} labels)", "", "", ratio(metrics.macro.f), style="bold")
    console.print(table)


def print_errors(console: Console, metrics: Metrics, words_per_second: Sequence[int]) -> None:
    """What is wrong, in one sentence each: kinds of errors, forms that were not seen in training, and the speed."""
    errors, seen, unseen = metrics.micro.errors, metrics.micro.seen, metrics.micro.unseen
    if errors:
        kinds = (("wrong borders", errors.boundary), ("wrong label", errors.type), ("both", errors.both))
        said = ", ".join(f"{count(number)} {kind}" for kind, number in (*kinds, ("missed", errors.missed)))
        console.print(f"Not found as they are: {said}. Found where nothing is: {count(errors.spurious)}.")
    if seen and unseen:
        console.print(
            f"Recall of forms seen in training {ratio(seen.r)} (of {count(seen.entities)} entities), "
            f"of new ones {ratio(unseen.r)} (of {count(unseen.entities)}).",
        )
    if words_per_second:
        console.print(f"{sum(words_per_second) // len(words_per_second):,} words/s")


def _cells(score: Score) -> list[str]:
    counts = [getattr(score, name) for name in _COUNTS]
    return [ratio(score.p), ratio(score.r), ratio(score.f), *(count(number) for number in counts)]


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
        table.add_row(label, *scores, entities, ratio(trend.slope, sign=True), _says(trend))
    for name, trend in (("micro", found.micro), ("macro", found.macro)):
        scores = [ratio(getattr(point, name).f) for point in found.points]
        table.add_row(name, *scores, "", ratio(trend.slope, sign=True), _says(trend), style="bold")
    console.print(table)
    noise = f"measured with {found.noise_seeds} seeds" if found.noise_seeds else "taken to be what is usual"
    console.print(
        f"\n× 2: what twice as many texts brought so far. Each point is {plural(len(found.seeds), 'seed')}; seed noise "
        f"is {noise}. All parts were trained for as many steps.",
    )


def _says(trend: Trend) -> str:
    if trend.verdict == HELPS:
        return "help"
    if trend.verdict == HURTS:
        return "lower F: look at them"
    return trend.verdict if trend.verdict == NO_SUPPORT else "cannot tell: noise"
