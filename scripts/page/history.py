"""Runs on the page: the last ones side by side, the changes since the baseline, and cautions about the newest."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scripts.page.inputs import Inputs
from scripts.reporting.console import listed, plural
from scripts.scoring.changes import Changes
from scripts.scoring.comparison import RunComparison
from scripts.scoring.examples import ERROR_KINDS
from scripts.scoring.metrics import Errors, Score
from scripts.scoring.runs import ScoredRun

_MAX_RUNS = 6
_STEP = 0.05  # of the scale of changes


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
    scores = [(label, score) for label, score in scored.metrics.labels.items() if score.error_count]
    return sorted(scores, key=lambda pair: (-pair[1].error_count, pair[0]))[:limit]


def errors_by_kind(errors: Errors) -> dict[str, float]:
    """Add up false negatives and false positives of each kind."""
    return {kind: getattr(errors.fn, kind, 0.0) + getattr(errors.fp, kind, 0.0) for kind in ERROR_KINDS}


# Cautions

_FEW = 30  # entities: with fewer, an interval of F is wider than any change one hopes for
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
    if found.comparisons is None or (len(found.runs) > 1 and compared is None):
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
    elif run.data.trained != run.data.evaluated:
        yield (
            "The model was trained on another state of the corpus than it is evaluated on.",
            "Train again, so that the scores reflect the current annotations: weasel run train.",
        )


def _label_cautions(newest: ScoredRun) -> Iterator[Caution]:
    labels = newest.metrics.labels
    none = [label for label, score in labels.items() if not score.support]
    few = [label for label, score in labels.items() if 0 < score.support < _FEW]
    trained = newest.run.trained
    low = [label for label in labels if trained and trained.covered.get(label, 0) < _LOW * trained.texts]
    if none:
        yield (
            f"{_labels_have(none)} no entity in the test texts: {listed(none, 8)}.",
            "A label without entities cannot be scored.",
        )
    if few:
        yield (
            f"{_labels_have(few)} fewer than {_FEW} entities in the test texts: {listed(few, 8)}.",
            "One entity more or less changes their F a lot: mind the intervals.",
        )
    if low:
        yield (
            f"{plural(len(low), 'label')} covered in fewer than half of the training texts: {listed(low, 8)}.",
            "More texts annotated for them are likely to help.",
        )


def _labels_have(labels: list[str]) -> str:
    return f"{plural(len(labels), 'label')} {'has' if len(labels) == 1 else 'have'}"
