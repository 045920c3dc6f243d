"""What each label still lacks, on one screen.

corpus/coverage.csv as a matrix: in how many texts each label is known, and which datasets say so.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from scripts.checking.coverage import Coverage, Known
from scripts.core.errors import UserError
from scripts.reporting.console import listed, plural

_COLUMNS = ("texts", "= covered", "+ lacking", "words", "twice", "like\nanother", "s each", "hours")


def print_coverage(console: Console, found: Coverage) -> None:
    """Per label: texts covered and lacking, and what it would cost; then what is known of the numbers."""
    table = Table("label", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for label, known in found.labels.items():
        table.add_row(label, *_cells(known))
    console.print(table)
    console.print()
    labels = len(found.labels)
    console.print(
        f"{found.complete:,} of {plural(found.texts, 'text')} are annotated for all {plural(labels, 'label')}; "
        f"{plural(found.similar, 'text')} much like an earlier one.",
    )
    console.print(
        "Of what is lacking, “twice” is much like another text that is lacking, “like another” like one that is there.",
    )
    for why, names in unmeasured(found).items():
        console.print(f"Time not measured, {why}: {listed(names)}")


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


NAME = "coverage.csv"
STATES = ("covered", "partly_covered", "unresolved", "not_covered")
_ALL = "*"  # instead of a dataset


class CoveredLabel(NamedTuple):
    """What is known of one label.

    states (dict[str, int]): Texts by state; together they are `texts`.
    datasets (dict[str, int]): By dataset: texts it covers. Several can cover one text.
    """

    label: str
    texts: int
    spans: int
    states: dict[str, int]
    datasets: dict[str, int]

    @property
    def covered(self) -> float:
        """Share of the texts."""
        return self.states["covered"] / self.texts if self.texts else 0.0


class CoverageMatrix(NamedTuple):
    """Labels as they are in the file, and the datasets, sorted."""

    labels: list[CoveredLabel]
    datasets: list[str]

    @property
    def share(self) -> float:
        """Of all pairs of a text and a label, those that are covered."""
        texts = sum(known.texts for known in self.labels)
        return sum(known.states["covered"] for known in self.labels) / texts if texts else 0.0


def read(path: Path) -> CoverageMatrix | None:
    """Read the file, if there is one. RAISES (UserError): If it is damaged."""
    try:
        with path.open(encoding="utf8", newline="") as file:
            rows = list(csv.DictReader(file))
        return _matrix(rows)
    except FileNotFoundError:
        return None
    except (KeyError, ValueError, TypeError, csv.Error) as err:
        raise UserError(f"{path}: is damaged ({type(err).__name__} {err}); merge again: weasel run merge") from err


def _matrix(rows: list[dict[str, str]]) -> CoverageMatrix:
    labels: dict[str, CoveredLabel] = {}
    for row in rows:
        if row["dataset"] == _ALL:
            states = {state: int(row[state]) for state in STATES}
            labels[row["label"]] = CoveredLabel(row["label"], int(row["texts"]), int(row["spans"]), states, {})
        else:
            labels[row["label"]].datasets[row["dataset"]] = int(row["covered"])
    return CoverageMatrix(list(labels.values()), sorted({name for known in labels.values() for name in known.datasets}))
