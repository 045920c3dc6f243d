"""What a reader should know before believing a number of the newest run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from scripts.reporting.accounts import listed, plural
from scripts.reporting.html.inputs import Inputs
from scripts.scoring.compared import Compared
from scripts.scoring.runs import Scored

_FEW = 30  # entities: with fewer an interval of F is wider than any change one hopes for
_LOW = 0.5  # of the texts that were trained on


class Caution(NamedTuple):
    """What is the matter, and what follows from it or can be done."""

    what: str
    then: str


def cautions(found: Inputs, compared: Compared | None) -> list[Caution]:
    """All of them, what matters most first."""
    newest = found.runs[-1]
    return [
        *_comparison(found, compared),
        *_made(newest),
        *_labels(newest),
        *(
            Caution(f"A folder was left out: {reason}.", "Evaluate it again, or remove it.")
            for reason in found.left_out
        ),
    ]


def _comparison(found: Inputs, compared: Compared | None) -> Iterator[Caution]:
    if found.compared is None or (len(found.runs) > 1 and compared is None):
        yield Caution("The newest run is not compared with another.", "Compare it: weasel run compare.")
    elif compared and compared.differences.test:
        labels = compared.differences.test
        yield Caution(
            f"The evaluation set changed for {plural(len(labels), 'label')} since the baseline: {listed(labels)}.",
            "Scores of these labels are of different tests. The changes below are on the texts both runs share.",
        )


def _made(newest: Scored) -> Iterator[Caution]:
    run = newest.run
    if len(run.seeds) == 1:
        yield Caution(
            "One seed.",
            "Another seed alone would move every F. Train several to know how much: weasel run all . --vars.seeds 3.",
        )
    if run.code.uncommitted:
        files = plural(len(run.code.uncommitted), "file")
        yield Caution(
            f"Uncommitted code: {files} were not as committed ({listed(run.code.uncommitted)})."
            if len(run.code.uncommitted) > 1
            else f"Uncommitted code: {run.code.uncommitted[0]} was not as committed.",
            "Nobody can check out what made this run.",
        )
    if run.data.trained is None:
        yield Caution("The model does not say what it was trained on.", "It may have seen the texts it is tested on.")
    elif run.data.trained != run.data.evaluated:
        yield Caution(
            "The model was trained on another state of the corpus than it is evaluated on.",
            "Train again, so that the scores are of what is annotated now: weasel run train.",
        )


def _labels(newest: Scored) -> Iterator[Caution]:
    labels = newest.metrics.labels
    none = [label for label, score in labels.items() if not score.support]
    few = [label for label, score in labels.items() if 0 < score.support < _FEW]
    trained = newest.run.trained
    low = [label for label in labels if trained and trained.covered.get(label, 0) < _LOW * trained.texts]
    if none:
        yield Caution(
            f"{_of(none)} no entity in the test texts: {listed(none, 8)}.",
            "How well they are found is not known until there are some.",
        )
    if few:
        yield Caution(
            f"{_of(few)} fewer than {_FEW} entities in the test texts: {listed(few, 8)}.",
            "One entity more or less moves their F a lot: look at the intervals.",
        )
    if low:
        yield Caution(
            f"{plural(len(low), 'label')} known in fewer than half of the texts trained on: {listed(low, 8)}.",
            "More texts annotated for them are likely to help.",
        )


def _of(labels: list[str]) -> str:
    return f"{plural(len(labels), 'label')} {'has' if len(labels) == 1 else 'have'}"
