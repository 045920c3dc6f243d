"""Runs side by side on one screen: all of them in short, and the newest beside its baseline in full."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.reporting.scores import ratio
from scripts.reporting.sentences import differs, notes
from scripts.reporting.tables import mark, span
from scripts.scoring.compared import Compared, Comparisons
from scripts.scoring.comparison import Change
from scripts.scoring.runs import Scored

MOST_RUNS = 4  # that fit 80 columns
_WIDE = 92  # columns, from which there is room for more


def print_comparison(console: Console, shown: Sequence[Scored], found: Comparisons) -> None:
    """F of the runs, then what changed in the newest of those that were compared, and why."""
    if len(shown) != 2 or not found.runs:
        _print_runs(console, shown, found)
    if not found.runs:
        console.print("There is one run, and nothing to compare it with yet: annotate more, and run again.")
        return
    compared = found.runs[-1]
    scored = next(each for each in shown if each.run.folder == compared.run)
    console.print(f"{compared.run}, compared with {found.baseline}:\n", markup=False, highlight=False)
    _print_changes(console, compared, scored)
    for title, lines in (("What differs", differs(compared)), ("To bear in mind", notes(compared, found))):
        sentences = list(lines)
        if sentences:
            console.print(f"\n{title}", style="bold")
        for line in sentences:
            console.print(f"- {line}", markup=False, highlight=False)
    console.print()


def _print_runs(console: Console, shown: Sequence[Scored], found: Comparisons) -> None:
    table = Table("F", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for scored in shown:
        table.add_column(_heading(scored, found), justify="right", no_wrap=len(scored.run.folder) <= 14)
    for label in sorted({label for scored in shown for label in scored.metrics.labels}):
        table.add_row(escape(label), *(_cell_of(scored, found, label) for scored in shown))
    for name in ("micro", "macro"):
        table.add_row(name, *(_cell_of_all(scored, found, name) for scored in shown), style="bold")
    console.print(table)
    if any(mark(change) for one in found.runs for change in one.changes.labels.values()):
        console.print("▲ ▼ more than noise, compared with the baseline on the texts both are scored on")
    console.print()


def _heading(scored: Scored, found: Comparisons) -> str:
    time = scored.run.time[5:16].replace("T", " ")
    return f"{escape(scored.run.folder)}\n{time}\n{'baseline' if scored.run.folder == found.baseline else ''}"


def _cell_of(scored: Scored, found: Comparisons, label: str) -> str:
    score, compared = scored.metrics.labels.get(label), found.of(scored)
    return _cell(score.f if score else None, compared.changes.labels.get(label) if compared else None)


def _cell_of_all(scored: Scored, found: Comparisons, name: str) -> str:
    compared = found.of(scored)
    return _cell(getattr(scored.metrics, name).f, getattr(compared.changes, name) if compared else None)


def _cell(f: float | None, change: Change | None) -> str:
    return f"{mark(change)} {ratio(f)}".strip()


def _print_changes(console: Console, compared: Compared, scored: Scored) -> None:
    wide = console.width >= _WIDE
    heads = ("label", "before", "F", "change", "95 % interval", "verdict")
    table = Table(*heads, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("support", "known in") if wide else ("support",):
        table.add_column(name)
    table.columns[0].overflow = "fold"
    for column in (*table.columns[1:5], *table.columns[6:]):
        column.justify, column.no_wrap = "right", True
    known = scored.run.trained.covered if scored.run.trained else {}
    for label, change in compared.changes.labels.items():
        cells = _cells(change, f"{known[label]:,}" if label in known else "–")
        table.add_row(escape(label), *cells[: len(table.columns) - 1], style="bold" if mark(change) else "")
    for name, change in (("micro", compared.changes.micro), ("macro", compared.changes.macro)):
        table.add_row(name, *_cells(change, "")[: len(table.columns) - 1], style="bold")
    console.print(table)


def _cells(change: Change, known: str) -> list[str]:
    return [
        ratio(change.before), ratio(change.f), ratio(change.delta, sign=True), span(change), change.verdict,
        f"{change.support:,}", known,
    ]  # fmt: skip
