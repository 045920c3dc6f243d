"""What the report is made of: files that other steps wrote, each of which may be absent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from scripts.checking import consistency
from scripts.checking import coverage as lacking
from scripts.checking import coverage_views as coverage
from scripts.checking.consistency import Consistency
from scripts.checking.consistency_views import firsts
from scripts.checking.coverage_views import CoverageMatrix
from scripts.checking.review import Outdated, Suspect
from scripts.core.errors import UserError
from scripts.queueing import recommendation as deciding
from scripts.queueing.recommendation import Next
from scripts.scoring import compared, runs
from scripts.scoring import learning_curve as curve
from scripts.scoring.compared import Comparisons
from scripts.scoring.examples import Example
from scripts.scoring.learning_curve import Curve
from scripts.scoring.runs import Confusion, Scored
from scripts.suspecting import suspects
from scripts.suspecting.suspects import Suspects

T = TypeVar("T")


class Inputs(NamedTuple):
    """What was found. No counts: what is compared was compared by `compare`.

    runs (list[Scored]): By time; at least one.
    left_out (list[str]): Why folders were left out.
    compared (Comparisons | None): What `compare` found last.
    confusion (Confusion | None): Of the newest run.
    errors (list[Example] | None): Of the newest run; None if texts are not wanted.
    coverage (CoverageMatrix | None): Of the corpus.
    curve (Curve | None): What `learning-curve` found last.
    consistency (Consistency | None): Of the annotations.
    findings (dict[str, list[Suspect]] | None): The first of each label; None if texts are not wanted.
    suspects (Suspects | None): What models found, and the first of each label in `first_suspects`, as above.
    lacking (Coverage | None): What `coverage` found last.
    next (Next | None): What `next` says of the newest run and these annotations.
    outdated (dict[str, str]): Of "consistency", "coverage", "suspects" and "next": what is the matter, if one is not of
        what there is now.
    """

    runs: list[Scored]
    left_out: list[str]
    compared: Comparisons | None
    confusion: Confusion | None
    errors: list[Example] | None
    coverage: CoverageMatrix | None
    curve: Curve | None
    consistency: Consistency | None
    findings: dict[str, list[Suspect]] | None
    suspects: Suspects | None
    first_suspects: dict[str, list[Suspect]] | None
    lacking: lacking.Coverage | None
    next: Next | None
    outdated: dict[str, str]


def load(metrics: Path, corpus: Path, with_texts: bool) -> Inputs:
    """Read it.

    metrics (Path): Holds the runs.
    corpus (Path): Holds coverage.csv, and what was found in the annotations.
    with_texts (bool): Whether errors, forms and findings are shown, with the text around them.
    RAISES (UserError): If there is no run, or something is damaged.
    """
    scored, left_out = runs.load_all(metrics)
    if not scored:
        raise UserError(f"{metrics}: there is no run; evaluate a model first: weasel run evaluate")
    newest = metrics / scored[-1].run.folder
    outdated = dict.fromkeys(("consistency", "coverage", "suspects", "next"), "")
    forms = _current(consistency.load, corpus, "consistency", outdated)
    judged = _current(suspects.load, corpus, "suspects", outdated)
    return Inputs(
        runs=scored,
        left_out=left_out,
        compared=compared.load(metrics),
        confusion=runs.load_confusion(newest) if (newest / runs.CONFUSION).exists() else None,
        errors=runs.load_errors(newest) if with_texts else None,
        coverage=coverage.read(corpus / coverage.NAME),
        curve=curve.load(metrics),
        consistency=forms,
        findings=firsts(consistency.read_suspects(corpus)) if with_texts and forms else None,
        suspects=judged,
        first_suspects=firsts(suspects.read_suspects(corpus)) if with_texts and judged else None,
        lacking=_current(lacking.load, corpus, "coverage", outdated),
        next=_current(partial(_next, metrics, scored[-1].run.folder), corpus, "next", outdated),
        outdated=outdated,
    )


def _next(metrics: Path, newest: str, corpus: Path) -> Next | None:
    found = deciding.load(metrics, corpus)
    if found and found.run != newest:
        raise Outdated(f"{metrics / deciding.NAME}: is of another run than the newest")
    return found


def _current(load: Callable[[Path], T | None], corpus: Path, what: str, outdated: dict[str, str]) -> T | None:
    """What a step found, unless the annotations have changed since."""
    try:
        return load(corpus)
    except Outdated:
        outdated[what] = "There is something new since this was looked at. To look again:"
        return None
