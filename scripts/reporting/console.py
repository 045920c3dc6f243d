"""Console output that all screens share: tables, account tables, and numbers and names as text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from scripts.core.errors import visible

MAX_LINES = 8  # of reasons and notes each; the files have them all
BREAKS = re.compile(r"(?<=[\s_/.:-])(?=[^\s_/.:-])|(?<=[a-z])(?=[A-Z])")  # places at which a name may be broken
_INDENT = "  "  # of its further lines
_ROOM = 12  # columns, from which there is room for that
_MAX_ROOM = 28  # columns: names up to this length stay on one line, if headings of several lines allow it


class Name(NamedTuple):
    """A name or sentence in a table: broken where it may be if its column is too narrow, and never cut."""

    text: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        lines = visible(self.text).split("\n")
        return Measurement(
            max(cell_len(part.rstrip()) for line in lines for part in BREAKS.split(line)), max(map(cell_len, lines))
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        for line in visible(self.text).split("\n"):
            yield Text("\n".join(broken(line, options.max_width)), no_wrap=True, justify=options.justify)


def broken(name: str, width: int) -> list[str]:
    """Break a name into lines of at most a number of columns: where `BREAKS` has a place, and inside a part of it only
    if that is longer than a line. The lines after the first are indented.
    """
    indent = _INDENT if width >= _ROOM else ""
    lines = [""]
    for part in BREAKS.split(name):
        if lines[-1].strip() and cell_len(lines[-1] + part.rstrip()) > width:
            lines.append(indent)
        fits = cell_len(lines[-1] + part.rstrip()) <= width
        first, *rest = [part] if fits else chop_cells(part, max(2, width - len(indent)))
        lines[-1] += first
        lines += [indent + each for each in rest]
    return [line.rstrip() for line in lines]


class _NameTable(Table):
    """A table whose columns that are aligned to the left hold names."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row, see https://rich.readthedocs.io/en/stable/reference/table.html."""
        columns = zip(cells, self.columns, strict=False)
        named = (Name(cell) if isinstance(cell, str) and column.justify == "left" else cell for cell, column in columns)
        super().add_row(*named, **options)


def new_table(*headings: str, text: Collection[str] = (), gap: int = 1) -> Table:
    """Return an empty table without lines.

    headings (str): The first column holds names, which are broken where they are too long for the line.
    text (Collection[str]): Other columns of text. The rest holds numbers: aligned to the right, never broken.
    gap (int): Spaces between columns.
    """
    table = _NameTable(*headings, box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for column in table.columns[1:]:
        if column.header not in text:
            column.justify, column.no_wrap = "right", True
    return table


def print_sums(
    console: Console, first: str, rows: Mapping[str, Mapping[str, Mapping[str, int]]],
    outcomes: Mapping[str, Sequence[str]], add_up: bool = True,
) -> None:  # fmt: skip
    """Print a table of counts: of each unit those read, then their outcomes, which add up to them.

    If that is too wide, headings take several lines; if it still is, each unit has a table of its own.

    first (str): Heading of the names of the rows.
    rows (Mapping): By name and unit: the counts of "read" and of outcomes.
    outcomes (Mapping): By unit. Those that never occur are not shown.
    add_up (bool): Add a row with the sums of the others.
    """
    found = [_sum_columns(unit, names, rows) for unit, names in outcomes.items()]
    room = min(_MAX_ROOM, max(map(cell_len, [first, *rows]), default=0))
    for columns in [list(chain(*found))] if _width(chain(*found), _SHAPES[-1]) + room <= console.width else found:
        shape = next((each for each in _SHAPES if _width(columns, each) + room <= console.width), _SHAPES[-1])
        table = new_table(first, *(shape.heading(heading) for heading, _ in columns), gap=shape.gap)
        for name, *numbers in zip(rows, *(counts for _, counts in columns), strict=True):
            table.add_row(name, *(f"{number:,}" for number in numbers))
        if add_up and len(rows) > 1:
            table.add_row("all", *(f"{sum(counts):,}" for _, counts in columns), style="bold")
        console.print(table)


_Columns = list[tuple[str, list[int]]]  # heading and counts


class _Shape(NamedTuple):
    """The shape of a table of sums."""

    gap: int  # spaces between columns
    breaks: str  # places in a heading, as a regular expression

    def heading(self, heading: str) -> str:
        """Break a heading into lines."""
        return re.sub(self.breaks, "\n", heading)


_SHAPES = (_Shape(2, r"$^"), _Shape(2, r"(?<=\w) "), _Shape(1, r"(?<=\w) "), _Shape(1, " "))  # the widest first


def _sum_columns(unit: str, names: Sequence[str], rows: Mapping[str, Mapping[str, Mapping[str, int]]]) -> _Columns:
    columns: _Columns = [(unit, [row[unit].get("read", 0) for row in rows.values()])]
    for outcome in names:
        counts = [row[unit].get(outcome, 0) for row in rows.values()]
        if any(counts):
            columns.append((f"{'=' if len(columns) == 1 else '+'} {outcome.replace('_', ' ')}", counts))
    return columns


def _width(columns: Iterable[tuple[str, list[int]]], shape: _Shape) -> int:
    """Characters that the columns take, with the gaps before them."""
    return sum(
        shape.gap + max(*map(cell_len, shape.heading(heading).split("\n")), len(f"{sum(counts):,}"))
        for heading, counts in columns
    )


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
    """Escape a text so that Markdown shows it as it is, and a terminal, too."""
    shown = visible(text.replace("\n", "\\n"))
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]<>()#+!|&" else c for c in shown)
