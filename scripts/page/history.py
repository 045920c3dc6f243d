"""The last runs side by side, and what changed in the newest since the baseline.

What a reader should know before believing a number of the newest run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from scripts.page.inputs import Inputs
from scripts.page.marked import KINDS
from scripts.reporting.comparison import mark
from scripts.reporting.console import listed, plural
from scripts.scoring.compared import Compared, Comparisons
from scripts.scoring.comparison import BETTER, BEYOND, WORSE, Change
from scripts.scoring.metrics import Macro, Score
from scripts.scoring.runs import Scored

MOST_RUNS = 6
_STEP = 0.05


class Dot(NamedTuple):
    """F of one run in one row; None where the label is not there. `sign` is ▲ or ▼ beyond noise."""

    score: Score | Macro | None
    sign: str

    @property
    def is_known(self) -> bool:
        """Whether there is an F that says something: it is 0 where a label without entities was found nevertheless."""
        return self.score is not None and self.score.f is not None and getattr(self.score, "support", 1) > 0


class Strip(NamedTuple):
    """A label, or all of them, in all runs that are shown."""

    name: str
    is_label: bool
    dots: list[Dot]


class History(NamedTuple):
    """Runs by time, and which of them is the baseline."""

    runs: list[Scored]
    baseline: str | None
    strips: list[Strip]


class Changes(NamedTuple):
    """The newest run beside the baseline.

    rows (list[tuple[str, bool, Change]]): Names, and whether they are labels; micro and macro come last.
    reach (float): No interval goes further from 0 than this.
    up (list[str]), down (list[str]): Labels that changed by more than noise.
    """

    rows: list[tuple[str, bool, Change]]
    reach: float
    up: list[str]
    down: list[str]


class Weak(NamedTuple):
    """A label, how many errors it has, which kind is the most frequent ("" if that is not known), and how frequent."""

    label: str
    score: Score
    errors: float
    kind: str
    number: float


def newest_compared(found: Inputs) -> Compared | None:
    """What `compare` found of the newest run, if its baseline is still there."""
    if found.compared is None or found.compared.baseline not in {scored.run.folder for scored in found.runs}:
        return None
    return found.compared.of(found.runs[-1])


def changes(compared: Compared) -> Changes:
    """For a table, and a scale that holds all of it."""
    of = compared.changes
    rows = [*((label, True, change) for label, change in of.labels.items())]
    rows += [("micro", False, of.micro), ("macro", False, of.macro)]
    limits = [
        abs(limit)
        for *_, change in rows
        for limit in (change.low, change.high, change.delta)
        if limit is not None and change.support
    ]
    reach = max(_STEP, math.ceil(round(max(limits, default=0.0) / _STEP, 6)) * _STEP)
    clear = [(label, change) for label, is_label, change in rows if is_label and is_clear(change)]
    up = [label for label, change in clear if (change.delta or 0) > 0]
    return Changes(rows, reach, up, [label for label, _ in clear if label not in up])


def is_clear(change: Change) -> bool:
    """Whether it is more than noise."""
    return change.verdict in (BETTER, WORSE, BEYOND)


def history(found: Inputs) -> History:
    """The last runs, and the baseline, however long ago."""
    compared = found.compared
    baseline = compared.baseline if compared else None
    runs = found.runs[-MOST_RUNS:]
    older = [scored for scored in found.runs[:-MOST_RUNS] if scored.run.folder == baseline]
    runs = [*older, *runs[len(older) :]]
    labels = sorted({label for scored in runs for label in scored.metrics.labels})
    strips = [Strip(label, True, [_dot(scored, compared, label) for scored in runs]) for label in labels]
    strips += [
        Strip(name, False, [_dot_of_all(scored, compared, name) for scored in runs]) for name in ("micro", "macro")
    ]
    return History(runs, baseline, strips)


def _dot(scored: Scored, compared: Comparisons | None, label: str) -> Dot:
    one = compared.of(scored) if compared else None
    return Dot(scored.metrics.labels.get(label), mark(one.changes.labels.get(label)) if one else "")


def _dot_of_all(scored: Scored, compared: Comparisons | None, name: str) -> Dot:
    one = compared.of(scored) if compared else None
    return Dot(getattr(scored.metrics, name), mark(getattr(one.changes, name)) if one else "")


def wrong(score: Score) -> float:
    """How many errors there are: an entity that was found otherwise is one, and so is what was invented."""
    if score.errors is None:
        return score.fn + score.fp
    return score.fn + score.errors.spurious


def weakest(scored: Scored, most: int = 5) -> list[Weak]:
    """The labels with the most errors."""
    found = [_weak(label, score) for label, score in scored.metrics.labels.items() if wrong(score)]
    return sorted(found, key=lambda weak: (-weak.errors, weak.label))[:most]


def _weak(label: str, score: Score) -> Weak:
    kinds = {kind: getattr(score.errors, kind) for kind in KINDS} if score.errors else {}
    kind = max(kinds, key=kinds.__getitem__, default="")
    return Weak(label, score, wrong(score), kind, kinds.get(kind, 0.0))


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
