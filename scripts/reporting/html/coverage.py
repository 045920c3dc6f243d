"""corpus/coverage.csv as a matrix: in how many texts each label is known, and which datasets say so."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from scripts.annotations.errors import UserError

NAME = "coverage.csv"
STATES = ("covered", "partly", "unresolved", "unknown")
_ALL = "*"  # instead of a dataset


class Known(NamedTuple):
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


class Coverage(NamedTuple):
    """Labels as they are in the file, and the datasets, sorted."""

    labels: list[Known]
    datasets: list[str]

    @property
    def share(self) -> float:
        """Of all pairs of a text and a label, those that are covered."""
        texts = sum(known.texts for known in self.labels)
        return sum(known.states["covered"] for known in self.labels) / texts if texts else 0.0


def read(path: Path) -> Coverage | None:
    """Read the file, if there is one. RAISES (UserError): If it is damaged."""
    try:
        with path.open(encoding="utf8", newline="") as file:
            rows = list(csv.DictReader(file))
        return _matrix(rows)
    except FileNotFoundError:
        return None
    except (KeyError, ValueError, TypeError, csv.Error) as err:
        raise UserError(f"{path}: is damaged ({type(err).__name__} {err}); merge again: weasel run merge") from err


def _matrix(rows: list[dict[str, str]]) -> Coverage:
    labels: dict[str, Known] = {}
    for row in rows:
        if row["dataset"] == _ALL:
            states = {state: int(row[state]) for state in STATES}
            labels[row["label"]] = Known(row["label"], int(row["texts"]), int(row["spans"]), states, {})
        else:
            labels[row["label"]].datasets[row["dataset"]] = int(row["covered"])
    return Coverage(list(labels.values()), sorted({name for known in labels.values() for name in known.datasets}))
