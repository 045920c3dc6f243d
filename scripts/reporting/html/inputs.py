"""What the report is made of: files that other steps wrote, each of which may be absent."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from scripts.annotations.errors import UserError
from scripts.reporting.html import coverage
from scripts.reporting.html.coverage import Coverage
from scripts.scoring import compared, curve, runs
from scripts.scoring.compared import Comparisons
from scripts.scoring.curve import Curve
from scripts.scoring.examples import Example
from scripts.scoring.runs import Confusion, Scored


class Inputs(NamedTuple):
    """What was found. No counts: what is compared was compared by `compare`.

    runs (list[Scored]): By time; at least one.
    left_out (list[str]): Why folders were left out.
    compared (Comparisons | None): What `compare` found last.
    confusion (Confusion | None): Of the newest run.
    errors (list[Example] | None): Of the newest run; None if texts are not wanted.
    coverage (Coverage | None): Of the corpus.
    curve (Curve | None): What `learning-curve` found last.
    """

    runs: list[Scored]
    left_out: list[str]
    compared: Comparisons | None
    confusion: Confusion | None
    errors: list[Example] | None
    coverage: Coverage | None
    curve: Curve | None


def load(metrics: Path, corpus: Path, with_texts: bool) -> Inputs:
    """Read it.

    metrics (Path): Holds the runs.
    corpus (Path): Holds coverage.csv.
    with_texts (bool): Whether errors are shown, with the text around them.
    RAISES (UserError): If there is no run, or something is damaged.
    """
    scored, left_out = runs.load_all(metrics)
    if not scored:
        raise UserError(f"{metrics}: there is no run; evaluate a model first: weasel run evaluate")
    newest = metrics / scored[-1].run.folder
    return Inputs(
        runs=scored,
        left_out=left_out,
        compared=compared.load(metrics),
        confusion=runs.load_confusion(newest) if (newest / runs.CONFUSION).exists() else None,
        errors=runs.load_errors(newest) if with_texts else None,
        coverage=coverage.read(corpus / coverage.NAME),
        curve=curve.load(metrics),
    )
