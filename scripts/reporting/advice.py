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
    "look": "look at its errors",
    "leave": "leave it",
}
COLUMNS = ("known", "support", "doubt", "agree", "F", "95 %", "× 2", "new", "wrong")
_UNKNOWN = "–"
_LEGEND = (
    "Known: in this share of the texts. Doubt: places where the annotation is probably wrong. Agree: F between "
    "annotators. × 2: F that twice as many texts brought. New: recall of forms that were not learned. Wrong: missed or "
    "invented."
)


def print_next(console: Console, found: Next) -> None:
    """Per label: what is known (but for columns without a number), and what to do; then the rules, and the reasons."""
    rows = {label: cells(row.signals) for label, row in found.labels.items()}
    known = [column for column in range(len(COLUMNS)) if any(row[column] != _UNKNOWN for row in rows.values())]
    table = Table("label", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for column in known:
        table.add_column(COLUMNS[column], justify="right", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    for label, row in found.labels.items():
        shown = (rows[label][column] for column in known)
        table.add_row(escape(label), *shown, f"{row.advice.rule} {row.advice.do}")
    console.print(table)
    console.print(f"\n{_LEGEND}", highlight=False)
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
    """What `COLUMNS` say of a label; a dash where it is not known."""
    return [
        f"{of.covered / of.texts:.0%}" if of.texts else _UNKNOWN,
        _count(of.support),
        _count(of.doubtful),
        _short(of.agreement),
        _short(of.f),
        _UNKNOWN if of.low is None or of.high is None else f"{_short(of.low)}–{_short(of.high)}",
        ratio(of.slope, sign=True),
        _short(of.unseen),
        _count(of.wrong),
    ]


def _count(number: float | None) -> str:
    return _UNKNOWN if number is None else f"{number:,.0f}"


def _short(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}".replace("0.", ".", 1)
