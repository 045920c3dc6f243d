"""The scores of one run on one screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
        table.add_row(escape(label), *_cells(score), style="" if score.texts else "dim")
    table.add_row("micro (all entities)", *_cells(metrics.micro), style="bold")
    table.add_row(f"macro ({metrics.macro.labels} labels)", "", "", ratio(metrics.macro.f), style="bold")
    console.print(table)


def print_errors(console: Console, metrics: Metrics, words_per_second: Sequence[int]) -> None:
    """What is wrong, in one sentence each: kinds of errors, forms that were not seen in training, and the speed."""
    errors, seen, unseen = metrics.micro.errors, metrics.micro.seen, metrics.micro.unseen
    if errors:
        kinds = (("wrong borders", errors.boundary), ("wrong label", errors.type), ("both", errors.both))
        said = ", ".join(f"{count(number)} {kind}" for kind, number in (*kinds, ("missed", errors.missed)))
        console.print(
            f"Not found as they are: {said}. Found where nothing is: {count(errors.spurious)}.", highlight=False
        )
    if seen and unseen:
        console.print(
            f"Recall of forms seen in training {ratio(seen.r)} (of {count(seen.entities)} entities), "
            f"of new ones {ratio(unseen.r)} (of {count(unseen.entities)}).",
            highlight=False,
        )
    if words_per_second:
        console.print(f"{sum(words_per_second) // len(words_per_second):,} words/s", highlight=False)


def ratio(value: float | None, sign: bool = False) -> str:
    """`.912`, `1.000`, with sign `+.012`; a dash where it is undefined."""
    if value is None:
        return "–"
    return f"{value:{'+' if sign else ''}.3f}".replace("0.", ".", 1)


def markdown(text: str) -> str:
    """A text as Markdown shows it, whatever is in it."""
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]<>()#+!|&\r\n" else c for c in text)


def _cells(score: Score) -> list[str]:
    counts = [getattr(score, name) for name in _COUNTS]
    return [ratio(score.p), ratio(score.r), ratio(score.f), *(count(number) for number in counts)]


def count(number: float) -> str:
    """`1,024`, and with one digit more where it is a mean over seeds."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"
