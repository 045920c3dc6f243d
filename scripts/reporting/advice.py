"""What to do next, label by label, on one screen."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.reporting.scores import ratio
from scripts.reviewing.advice import RULES, Signals
from scripts.reviewing.deciding import Next

DO = {
    "annotate": "annotate more",
    "guideline": "mend the guideline, then review",
    "redefine": "tell both labels apart",
    "review": "review",
    "leave": "leave it",
}
_COLUMNS = ("covered", "spans", "doubt", "agree", "F", "95 %", "× 2", "new", "wrong")


def print_next(console: Console, found: Next) -> None:
    """Per label: what is known, and what to do; then the rules, and the reasons."""
    table = Table("label", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    for label, row in found.labels.items():
        table.add_row(escape(label), *cells(row.signals), f"{row.advice.rule} {row.advice.do}")
    console.print(table)
    console.print("\nThe first rule that holds:")
    for number, rule in enumerate(RULES, 1):
        console.print(f"{number} {DO[rule.do]}: {rule.when}", markup=False, highlight=False)
    to_do = [(label, row.advice) for label, row in found.labels.items() if row.advice.do != "leave"]
    if to_do:
        console.print("\nWhy, the most wrong first:")
    for label, advice in to_do:
        console.print(f"- {label}: {DO[advice.do]}. {advice.why}", markup=False, highlight=False)
    for note in found.notes:
        console.print(note, style="yellow", markup=False, highlight=False)


def cells(of: Signals) -> list[str]:
    """The columns of the table."""
    return [
        f"{of.covered / of.texts:.0%}" if of.texts else "–",
        _count(of.spans), _count(of.doubtful), _short(of.agreement), _short(of.f),
        "–" if of.low is None or of.high is None else f"{_short(of.low)}–{_short(of.high)}",
        ratio(of.slope, sign=True), _short(of.unseen), _count(of.wrong),
    ]  # fmt: skip


def _count(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("0.", ".", 1)
