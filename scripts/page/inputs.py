"""Inputs of the page: files that other steps wrote, any of which may be missing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from scripts.checking import consistency, coverage
from scripts.checking.consistency import Consistency
from scripts.checking.consistency_views import firsts
from scripts.checking.coverage import Coverage, CoverageMatrix
from scripts.checking.review import Outdated, Suspect
from scripts.queueing import recommendation
from scripts.queueing.recommendation import Next
from scripts.scoring import comparison, examples, learning_curve, runs
from scripts.scoring.comparison import Comparisons
from scripts.scoring.examples import ErrorExample
from scripts.scoring.learning_curve import LearningCurve
from scripts.scoring.runs import Confusion, ScoredRun
from scripts.suspecting import suspects
from scripts.suspecting.suspects import Suspects

T = TypeVar("T")


class Inputs(NamedTuple):
    """Results of the steps; None for those that are missing or outdated."""

    runs: list[ScoredRun]  # by time; at least one
    skipped: list[str]  # the reason for each folder that was skipped
    comparisons: Comparisons | None  # of `compare`
    confusion: Confusion | None  # of the newest run
    errors: list[ErrorExample] | None  # of the newest run; None without texts
    coverage_matrix: CoverageMatrix | None  # of `merge`
    coverage: Coverage | None
    consistency: Consistency | None
    consistency_suspects: dict[str, list[Suspect]] | None  # the first of each label; None without texts
    suspects: Suspects | None
    first_suspects: dict[str, list[Suspect]] | None  # of each label; None without texts
    curve: LearningCurve | None  # of `learning-curve`
    next: Next | None  # of `next`, about the newest run and the current annotations
    outdated: dict[str, str]  # for "consistency", "coverage", "suspects" and "next": a sentence if it is outdated


def load(metrics: Path, corpus: Path, with_texts: bool) -> Inputs:
    """Read the inputs.

    metrics (Path): Holds the runs.
    corpus (Path): Holds coverage.csv, and results of the steps that check annotations.
    with_texts (bool): Whether errors, surface forms and suspects are shown, with the text around them.
    RAISES (UserError): If there is no run, or a file is damaged.
    """
    scored, skipped = runs.load_comparable(metrics)
    newest = scored[-1].run.folder
    outdated = dict.fromkeys(("consistency", "coverage", "suspects", "next"), "")
    of_consistency = _if_current(consistency.load, corpus, "consistency", outdated)
    of_suspects = _if_current(suspects.load, corpus, "suspects", outdated)
    return Inputs(
        runs=scored,
        skipped=skipped,
        comparisons=comparison.load(metrics),
        confusion=runs.load_confusion(metrics / newest),
        errors=examples.load(metrics / newest / examples.NAME) if with_texts else None,
        coverage_matrix=coverage.read_matrix(corpus / coverage.MATRIX),
        coverage=_if_current(coverage.load, corpus, "coverage", outdated),
        consistency=of_consistency,
        consistency_suspects=firsts(consistency.read_suspects(corpus)) if with_texts and of_consistency else None,
        suspects=of_suspects,
        first_suspects=firsts(suspects.read_suspects(corpus)) if with_texts and of_suspects else None,
        curve=learning_curve.load(metrics),
        next=_if_current(partial(_next_of_run, metrics, newest), corpus, "next", outdated),
        outdated=outdated,
    )


def _next_of_run(metrics: Path, newest: str, corpus: Path) -> Next | None:
    found = recommendation.load(metrics, corpus)
    if found and found.run != newest:
        raise Outdated(f"{metrics / recommendation.NAME}: is of another run than the newest")
    return found


def _if_current(load: Callable[[Path], T | None], corpus: Path, step: str, outdated: dict[str, str]) -> T | None:
    """Return the result of a step, unless the annotations have changed since."""
    try:
        return load(corpus)
    except Outdated:
        outdated[step] = "The annotations have changed since. To run it again:"
        return None
