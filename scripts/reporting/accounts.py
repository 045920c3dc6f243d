"""What a step did with every record, on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from scripts.annotations.manifest import Manifest

MOST_LINES = 8  # of reasons and notes each; the files have them all


def print_intake(console: Console, manifest: Manifest) -> None:
    """Per dataset: records read = kept + left out + refused, the same for spans; then why."""
    fates = ("read", "kept", "left_out", "refused")
    rows = {}
    reasons: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for name, found in manifest.datasets.items():
        rows[name] = Counter({f"records {fate}": found.records[fate] for fate in fates})
        rows[name].update({f"spans {fate}": found.spans[fate] for fate in fates})
        reasons.update(found.reasons)
        notes.update(found.notes)
    columns = [f"{what} {fate}" for what in ("records", "spans") for fate in fates]
    print_sums(console, "dataset", rows, columns)
    print_counts(console, "Refused", reasons)
    print_counts(console, "Noted", notes)


def print_sums(console: Console, first: str, rows: Mapping[str, Counter[str]], columns: Sequence[str]) -> None:
    """A table of counts with their sum, in which each "<what> read" is the sum of what follows it.

    Columns in which there is nothing are not shown.
    """
    total: Counter[str] = sum(rows.values(), Counter())
    shown = [column for column in columns if total[column] or column.endswith(" read")]
    table = Table(first, box=None, pad_edge=False)
    for column in shown:
        what, fate = column.split(" ", 1)
        heading = what if fate == "read" else f"{'=' if fate == 'kept' else '+'} {fate.replace('_', ' ')}"
        table.add_column(heading, justify="right")
    for name, counts in rows.items():
        table.add_row(name, *(f"{counts[column]:,}" for column in shown))
    if len(rows) > 1:
        table.add_row("all", *(f"{total[column]:,}" for column in shown), style="bold")
    console.print(table)


def print_counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    """The most frequent reasons or notes, a line each."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for what, times in ordered[:MOST_LINES]:
        console.print(f"{title}: {times:,} × {what}", markup=False, highlight=False)
    if len(ordered) > MOST_LINES:
        rest = sum(times for _, times in ordered[MOST_LINES:])
        console.print(f"{title}: {rest:,} for {len(ordered) - MOST_LINES} other reasons", highlight=False)


def plural(number: int, what: str) -> str:
    """`1 text`, `2 texts`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names, the first of them if there are many."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
