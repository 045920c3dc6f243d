"""Contents of the page: results of other steps, the runs chosen of them, and cautions about the newest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from scripts.checking import consistency, coverage
from scripts.checking.consistency import Consistency, firsts
from scripts.checking.coverage import Coverage, CoverageMatrix
from scripts.checking.review import Outdated, Suspect, Suspects, load_suspects, read_suspects
from scripts.queueing import recommendation
from scripts.queueing.recommendation import Next
from scripts.queueing.rules import FEW_ENTITIES
from scripts.reporting.console import listed, plural
from scripts.scoring import comparison, examples, learning_curve, runs
from scripts.scoring.changes import Changes
from scripts.scoring.comparison import Comparisons, RunComparison
from scripts.scoring.examples import ErrorExample
from scripts.scoring.learning_curve import LearningCurve
from scripts.scoring.metrics import Score, most_errors_first
from scripts.scoring.reliability import SeedBins
from scripts.scoring.runs import Confusion, ScoredRun

T = TypeVar("T")

_MAX_RUNS = 6
_STEP = 0.05  # of the scale of changes


class Inputs(NamedTuple):
    """Results of the steps; None for those that are missing or outdated."""

    runs: list[ScoredRun]  # by time; at least one
    skipped: list[str]  # the reason for each folder that was skipped
    comparisons: Comparisons | None  # of `compare`, of the scores that the runs have
    confusion: Confusion | None  # of the newest run
    errors: list[ErrorExample] | None  # of the newest run; None without texts
    reliability: SeedBins | None  # of the newest run: means over seeds
    coverage_matrix: CoverageMatrix | None  # of `merge`
    coverage: Coverage | None
    consistency: Consistency | None
    consistency_suspects: dict[str, list[Suspect]] | None  # the first of each label; None without texts
    suspects: Suspects | None
    first_suspects: dict[str, list[Suspect]] | None  # of each label; None without texts
    curve: LearningCurve | None  # of `learning-curve`
    next: Next | None  # of `next`, about the newest run and the current annotations
    outdated: dict[str, str]  # by step, as "compare" and "next": a sentence if its result is outdated


def load(metrics: Path, corpus: Path, with_texts: bool) -> Inputs:
    """Read the inputs.

    metrics (Path): Holds the runs.
    corpus (Path): Holds coverage.csv, and results of the steps that check annotations.
    with_texts (bool): Whether errors, surface forms and suspects are shown, with the text around them.
    RAISES (UserError): If there is no run, or a file is damaged.
    """
    scored, skipped = runs.load_comparable(metrics)
    newest = scored[-1].run.folder
    diagrams = runs.load_reliability(metrics / newest)
    outdated = dict.fromkeys(("compare", "consistency", "coverage", "suspects", "next"), "")
    comparisons = comparison.load(metrics)
    if comparisons and not comparisons.is_of(scored):
        comparisons, outdated["compare"] = None, "The scores have changed since. To compare them again:"
    of_consistency = _if_current(consistency.load, corpus, "consistency", outdated)
    of_suspects = _if_current(load_suspects, corpus, "suspects", outdated)
    return Inputs(
        runs=scored,
        skipped=skipped,
        comparisons=comparisons,
        confusion=runs.load_confusion(metrics / newest),
        errors=examples.load(metrics / newest / examples.NAME) if with_texts else None,
        reliability=diagrams.means() if diagrams else None,
        coverage_matrix=coverage.read_matrix(corpus / coverage.MATRIX),
        coverage=_if_current(coverage.load, corpus, "coverage", outdated),
        consistency=of_consistency,
        consistency_suspects=firsts(consistency.read_suspects(corpus)) if with_texts and of_consistency else None,
        suspects=of_suspects,
        first_suspects=firsts(read_suspects(corpus)) if with_texts and of_suspects else None,
        curve=learning_curve.load(metrics),
        next=_if_current(partial(_next_of_run, metrics, scored[-1]), corpus, "next", outdated),
        outdated=outdated,
    )


def _next_of_run(metrics: Path, newest: ScoredRun, corpus: Path) -> Next | None:
    found = recommendation.load(metrics, corpus)
    if found and (found.run != newest.run.folder or found.scores not in ("", newest.digest)):
        raise Outdated(f"{metrics / recommendation.NAME}: is of another run than the newest, or of other scores")
    return found


def _if_current(load: Callable[[Path], T | None], corpus: Path, step: str, outdated: dict[str, str]) -> T | None:
    """Return the result of a step, unless the annotations have changed since."""
    try:
        return load(corpus)
    except Outdated:
        outdated[step] = "The annotations have changed since. To run it again:"
        return None


# Runs: the last ones side by side, and the changes since the baseline


def newest_comparison(found: Inputs) -> RunComparison | None:
    """Comparison of the newest run, if it was compared and its baseline is still there."""
    if found.comparisons is None or found.comparisons.baseline not in {scored.run.folder for scored in found.runs}:
        return None
    return found.comparisons.of(found.runs[-1])


def changes_reach(changes: Changes) -> float:
    """Choose a scale: no interval goes further from 0 than this."""
    limits = [
        abs(limit)
        for *_, change in changes.rows()
        for limit in (change.low, change.high, change.delta)
        if limit is not None and change.support
    ]
    return max(_STEP, math.ceil(round(max(limits, default=0.0) / _STEP, 6)) * _STEP)


def run_history(found: Inputs) -> list[ScoredRun]:
    """Choose the last runs, and the baseline, however old it is."""
    baseline = found.comparisons.baseline if found.comparisons else None
    runs = found.runs[-_MAX_RUNS:]
    older = [scored for scored in found.runs[:-_MAX_RUNS] if scored.run.folder == baseline]
    return [*older, *runs[len(older) :]]


def weakest_labels(scored: ScoredRun, limit: int = 5) -> list[tuple[str, Score]]:
    """Find the labels with the most errors."""
    scores = scored.metrics.labels
    ordered = most_errors_first({label: score.error_count for label, score in scores.items() if score.error_count})
    return [(label, scores[label]) for label in ordered[:limit]]


# Cautions

_LOW = 0.5  # of the training texts


Caution = tuple[str, str]  # a reason to doubt a number, and its consequence or remedy


def cautions(found: Inputs, compared: RunComparison | None) -> list[Caution]:
    """Collect cautions about the newest run, the most important first."""
    newest = found.runs[-1]
    return [
        *_comparison_cautions(found, compared),
        *_run_cautions(newest),
        *_label_cautions(newest),
        *((f"A folder was skipped: {reason}.", "Evaluate it again, or remove it.") for reason in found.skipped),
    ]


def _comparison_cautions(found: Inputs, compared: RunComparison | None) -> Iterator[Caution]:
    if found.outdated["compare"]:
        yield "The scores have changed since the runs were compared.", "Compare them again: weasel run compare."
    elif found.comparisons is None or (len(found.runs) > 1 and compared is None):
        yield "The newest run is not compared with another.", "Compare it: weasel run compare."
    elif compared and compared.differences.test:
        labels = compared.differences.test
        yield (
            f"The test changed for {plural(len(labels), 'label')} since the baseline: {listed(labels)}.",
            "Scores of these labels are of different tests. The changes below are on the texts both runs share.",
        )


def _run_cautions(newest: ScoredRun) -> Iterator[Caution]:
    run = newest.run
    if len(run.seeds) == 1:
        yield (
            "One seed.",
            "Another seed alone would change every F. To measure how much, train several: "
            "weasel run all . --vars.seeds 3.",
        )
    if run.code.uncommitted:
        files = f"{plural(len(run.code.uncommitted), 'file')} ({listed(run.code.uncommitted)})"
        yield f"Uncommitted changes in {files}.", "Nobody can check out what made this run."
    if run.data.trained is None:
        yield "The model has no record of its training data.", "It may have seen the test texts."
    elif run.is_outdated:
        yield (
            "The model was trained on another state of the corpus than it is evaluated on.",
            "Train again, so that the scores reflect the current annotations: weasel run train.",
        )


def _label_cautions(newest: ScoredRun) -> Iterator[Caution]:
    labels = newest.metrics.labels
    none = [label for label, score in labels.items() if not score.support]
    few = [label for label, score in labels.items() if 0 < score.support < FEW_ENTITIES]
    trained = newest.run.trained
    low = [label for label in labels if trained and trained.covered.get(label, 0) < _LOW * trained.texts]
    if none:
        yield (
            f"{_labels_have(none)} no entity in the test texts: {listed(none, 8)}.",
            "A label without entities cannot be scored.",
        )
    if few:
        yield (
            f"{_labels_have(few)} fewer than {FEW_ENTITIES} entities in the test texts: {listed(few, 8)}.",
            "One entity more or less changes F a lot: mind the intervals.",
        )
    if low:
        yield (
            f"{plural(len(low), 'label')} covered in fewer than half of the training texts: {listed(low, 8)}.",
            "Annotating more texts is likely to help.",
        )


def _labels_have(labels: list[str]) -> str:
    return f"{plural(len(labels), 'label')} {'has' if len(labels) == 1 else 'have'}"
