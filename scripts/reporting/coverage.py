"""What each label still lacks, on one screen."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.reporting.accounts import listed, plural
from scripts.reviewing.coverage import Coverage, Known

_COLUMNS = ("texts", "= covered", "+ lacking", "words", "twice", "like\nanother", "s each", "hours")


def print_coverage(console: Console, found: Coverage) -> None:
    """Per label: texts covered and lacking, and what it would cost; then what is known of the numbers."""
    table = Table("label", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for label, known in found.labels.items():
        table.add_row(escape(label), *_cells(known))
    console.print(table)
    console.print()
    labels = len(found.labels)
    console.print(
        f"{found.complete:,} of {plural(found.texts, 'text')} are annotated for all {plural(labels, 'label')}; "
        f"{plural(found.similar, 'text')} much like an earlier one.",
        highlight=False,
    )
    console.print(
        "Of what is lacking, “twice” is much like another text that is lacking, “like another” like one that is there.",
        highlight=False,
    )
    for why, names in unmeasured(found).items():
        console.print(f"Time not measured, {why}: {listed(names)}", markup=False, highlight=False)


def unmeasured(found: Coverage) -> dict[str, list[str]]:
    """Labels whose time is not known, by reason."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for label, known in found.labels.items():
        if known.speed.seconds is None:
            reasons[known.speed.why].append(label)
    return dict(sorted(reasons.items()))


def _cells(known: Known) -> list[str]:
    numbers = (known.texts, known.covered, known.lacking, known.words, known.twins, known.like_covered)
    return [*(f"{number:,}" for number in numbers), seconds(known), hours(known)]


def seconds(known: Known) -> str:
    """`4`, or a dash if it is not known."""
    return "–" if known.speed.seconds is None else f"{known.speed.seconds:,.0f}"


def hours(known: Known) -> str:
    """`1.5`, or a dash if it is not known."""
    return "–" if known.hours is None else f"{known.hours:,.1f}"
