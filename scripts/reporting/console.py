"""Console output that all screens share: the console, tables, account tables, and numbers and names as text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.core.errors import visible

MAX_LINES = 8  # of reasons and notes each; the files have them all


class _PlainConsole(Console):
    """A console that shows what a terminal would obey, in cells of tables too."""

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        """Convert a string, see https://rich.readthedocs.io/en/stable/reference/console.html."""
        return super().render_str(visible(text), **options)


def plain_console(width: int | None = None) -> Console:
    """Return a console that prints text as it is: labels such as `[bold]` or `:bug:` are neither markup nor emoji."""
    return _PlainConsole(width=width, markup=False, emoji=False, highlight=False)


def new_table(*headings: str, text: Collection[str] = (), gap: int = 1) -> Table:
    """Return an empty table without lines.

    headings (str): The first column holds names, which are folded where they are too long for the line.
    text (Collection[str]): Other columns of text. The rest holds numbers: aligned to the right, never broken.
    gap (int): Spaces between columns.
    """
    table = Table(*headings, box=None, pad_edge=False, padding=(0, gap, 0, 0))
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        if column.header not in text:
            column.justify, column.no_wrap = "right", True
    return table


def print_sums(
    console: Console, first: str, rows: Mapping[str, Mapping[str, Mapping[str, int]]],
    outcomes: Mapping[str, Sequence[str]], add_up: bool = True,
) -> None:  # fmt: skip
    """Print a table of counts: of each unit those read, then their outcomes, which add up to them.

    first (str): Heading of the names of the rows.
    rows (Mapping): By name and unit: the counts of "read" and of outcomes.
    outcomes (Mapping): By unit. Those that never occur are not shown.
    add_up (bool): Add a row with the sums of the others.
    """
    table = new_table(first, gap=2)
    cells: list[list[int]] = []  # by column
    for unit, names in outcomes.items():
        sign = "="
        for outcome in ("read", *names):
            counts = [row[unit].get(outcome, 0) for row in rows.values()]
            if outcome == "read" or any(counts):
                heading = unit if outcome == "read" else f"{sign} {outcome.replace('_', ' ')}"
                table.add_column(heading, justify="right")  # rather a heading of two lines than a name of many
                cells.append(counts)
                sign = "=" if outcome == "read" else "+"
    for name, *numbers in zip(rows, *cells, strict=True):
        table.add_row(name, *(f"{number:,}" for number in numbers))
    if add_up and len(rows) > 1:
        table.add_row("all", *(f"{sum(counts):,}" for counts in cells), style="bold")
    console.print(table)


def print_counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    """Print the most frequent reasons or notes, one a line."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for reason, number in ordered[:MAX_LINES]:
        console.print(f"{title}: {number:,} × {reason}")
    if len(ordered) > MAX_LINES:
        rest = sum(number for _, number in ordered[MAX_LINES:])
        console.print(f"{title}: {rest:,} for {len(ordered) - MAX_LINES} other reasons")


def as_sum(counts: Mapping[str, int]) -> str:
    """Format the outcomes of what was read: `1,488 = 1,280 written + 208 other labels`."""
    return f"{counts['read']:,} = " + " + ".join(
        f"{number:,} {name}" for name, number in counts.items() if name != "read"
    )


def decided_apart(read: Mapping[str, int]) -> str:
    """Say how many spans of the gold are decided one by one, or nothing if none is."""
    apart = [f"{read[kind]:,} {kind}" for kind in ("accepted", "rejected") if read.get(kind)]
    return f"Spans of the gold: {read['spans']:,} of covered labels + {' + '.join(apart)}" if apart else ""


def print_skipped(console: Console, reasons: Iterable[str]) -> None:
    """Print why runs or models were skipped, a reason a line."""
    for reason in reasons:
        console.print(f"⚠ skipped: {reason}")


def plural(number: float, singular: str, plural: str = "") -> str:
    """Format a number with its noun: `1 text`, `2 texts`, `3 entities`."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def listed(names: Iterable[str], limit: int = 5) -> str:
    """Join names by commas, only the first if there are many: `LOC, ORG and 3 more`."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def count(number: float) -> str:
    """Format a count: `1,024`; a mean over seeds has one digit more: `1,024.5`."""
    return f"{number:,.0f}" if number == int(number) else f"{number:,.1f}"


def amount(value: float | None, decimals: int = 0) -> str:
    """Format a number: `1,024`, or with decimals; a dash where it is unknown."""
    return "–" if value is None else f"{value:,.{decimals}f}"


def ratio(value: float | None, sign: bool = False) -> str:
    """Format a score: `.912`, `1.000`, with its sign `+.012`; a dash where it is undefined."""
    if value is None:
        return "–"
    return f"{value:{'+' if sign else ''}.3f}".replace("0.", ".", 1)


def escape_markdown(text: str) -> str:
    """Escape a text so that Markdown shows it as it is."""
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]<>()#+!|&\r\n" else c for c in text)
