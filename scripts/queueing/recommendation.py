"""metrics/next.json: which label to work on next, by the measurements of all steps and a few rules, and its screen."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from scripts.building.splits import Corpus, read_corpus
from scripts.checking import consistency, coverage
from scripts.checking.consistency import Consistency
from scripts.checking.coverage import Coverage
from scripts.checking.review import Outdated, Suspects, load_current, load_suspects
from scripts.core.errors import UserError
from scripts.core.files import read_json_if_there, write_json
from scripts.merging.merged import MergeRecord, annotated_labels, gold_as_merged
from scripts.queueing.rules import ACTIONS, RULES, Recommendation, Signals, recommend, two_digits
from scripts.reporting.console import count, new_table, plural, ratio
from scripts.scoring import learning_curve, runs
from scripts.scoring.learning_curve import LearningCurve
from scripts.scoring.metrics import most_errors_first
from scripts.scoring.runs import MAY_KNOW_TESTS, Confusion, ScoredRun

NAME = "next.json"
_FIRST_TIER = 1
_UNKNOWN = "–"


class LabelRecommendation(msgspec.Struct):
    """A label in next.json."""

    signals: Signals
    recommendation: Recommendation


class Next(msgspec.Struct, kw_only=True):
    """metrics/next.json."""

    gold: str  # digest
    run: str | None  # the newest, whose scores these are
    scores: str = ""  # their digest, see `ScoredRun`
    notes: list[str]  # results that are missing, or older than the annotations
    labels: dict[str, LabelRecommendation]  # those that were not learned first, then by errors: the most first
    new: dict[str, int] = {}  # texts covered for a label since this step last ran on other annotations

    def to_do(self) -> dict[str, Recommendation]:
        """Labels to work on, in their order."""
        found = {label: row.recommendation for label, row in self.labels.items()}
        return {label: each for label, each in found.items() if each.action != "leave"}


class Measured(NamedTuple):
    """The results of the other steps. None: not made, or of other annotations."""

    merged: MergeRecord
    split: Corpus | None
    coverage: Coverage | None
    consistency: Consistency | None
    suspects: Suspects | None
    scored: ScoredRun | None
    confusion: Confusion | None
    curve: LearningCurve | None


def decide(corpus: Path, metrics: Path) -> Next:
    """Write next.json to metrics: a recommendation for each label, by the results of the other steps.

    RAISES (UserError): If nothing was merged, the gold was changed, or a result is damaged.
    """
    merged, gold = gold_as_merged(corpus)
    notes: list[str] = []
    measured = _measured(merged, corpus, metrics, notes)
    signals = {label: _signals(label, measured) for label in annotated_labels(merged)}
    ordered = most_errors_first({label: found.errors or 0 for label, found in signals.items()})
    rows = [(label, LabelRecommendation(signals[label], recommend(label, signals[label]))) for label in ordered]
    rows.sort(key=lambda row: row[1].recommendation.action != "train")
    run = measured.scored.run.folder if measured.scored else None
    scores = measured.scored.digest if measured.scored else ""
    result = Next(gold=merged.outputs[gold.name], run=run, scores=scores, notes=notes, labels=dict(rows))
    try:
        before = read_json_if_there(metrics / NAME, Next, "what is new is not known")
    except UserError as err:
        notes.append(f"{err}.")
    else:
        result.new = _newly_covered(before, result) if before else {}
    metrics.mkdir(parents=True, exist_ok=True)
    write_json(metrics / NAME, result)
    return result


def _newly_covered(before: Next, now: Next) -> dict[str, int]:
    """Count the texts that are covered since, by label; what was counted before if nothing was merged since."""
    if before.gold == now.gold:
        return before.new
    known = {label: row.signals.covered for label, row in before.labels.items()}
    more = {label: row.signals.covered - known.get(label, 0) for label, row in now.labels.items()}
    return {label: number for label, number in more.items() if number > 0}


def load(metrics: Path, corpus: Path) -> Next | None:
    """Read next.json, if it was made. RAISES (UserError): If it is damaged; `Outdated` if the gold has changed."""
    return load_current(metrics / NAME, Next, corpus, "make it again: weasel run next")


def _measured(merged: MergeRecord, corpus: Path, metrics: Path, notes: list[str]) -> Measured:
    labels = set(annotated_labels(merged))
    newest = next((scored for scored in reversed(runs.load_all(metrics)[0]) if labels & set(scored.run.tests)), None)
    try:
        split = read_corpus(corpus / "split.json")
    except UserError as err:
        split = None
        notes.append(f"{err}.")
    if newest is None:
        notes.append("No run of these labels was evaluated: weasel run evaluate.")
    else:
        notes += _run_notes(newest, split)
    curve = learning_curve.load(metrics)
    if curve is None:
        notes.append("The learning curve was not measured: weasel run learning-curve.")
    elif split and curve.data != split.digest:
        notes.append("The annotations have changed since the learning curve: weasel run learning-curve.")
    steps = {"coverage": coverage.load, "consistency": consistency.load, "suspects": load_suspects}
    current = {step: _if_current(step, load, corpus, notes) for step, load in steps.items()}
    confusion = runs.load_confusion(metrics / newest.run.folder) if newest else None
    return Measured(merged=merged, split=split, scored=newest, confusion=confusion, curve=curve, **current)


def _run_notes(newest: ScoredRun, split: Corpus | None) -> Iterator[str]:
    """Say whether the run is of other annotations than there are now, or of other ones than its model learned."""
    run = newest.run
    if split and run.data.evaluated != split.digest:
        yield f"The annotations have changed since {run.folder}: weasel run train, evaluate."
    elif run.is_outdated:
        yield f"{run.folder} {MAY_KNOW_TESTS}: weasel run train, evaluate."


def _if_current(step: str, load: Any, corpus: Path, notes: list[str]) -> Any:
    try:
        result = load(corpus)
    except Outdated:
        notes.append(f"The annotations have changed since {step}: weasel run {step}.")
        return None
    if result is None:
        notes.append(f"The step {step} was not run: weasel run {step}.")
    return result


def _signals(label: str, measured: Measured) -> Signals:
    signals = Signals(texts=measured.merged.totals["texts"], covered=measured.merged.coverage[label]["covered"])
    if measured.coverage and label in measured.coverage.labels:
        signals.hours = measured.coverage.labels[label].hours
    if measured.consistency:
        _add_consistency(label, signals, measured.consistency)
    if measured.suspects and measured.suspects.label in (None, label):
        kinds = measured.suspects.labels.get(label, {})
        signals.suspects = sum(tiers.get(_FIRST_TIER, 0) for tiers in kinds.values())
    if measured.scored:
        _add_score(label, signals, measured.scored)
    if measured.confusion and label in measured.confusion.labels:
        signals.confused_with, signals.confusions = _most_confused(label, measured.confusion)
    if measured.curve and (trend := measured.curve.labels.get(label)):
        signals.slope, signals.trend = trend.slope, trend.verdict
    if measured.split:
        signals.test_left = measured.split.uncovered(label, "test")
    return signals


def _add_consistency(label: str, signals: Signals, found: Consistency) -> None:
    if consistent := found.labels.get(label):
        signals.spans = consistent.spans
        signals.suspects = consistent.tiers.get(str(_FIRST_TIER), 0)
    if agreement := found.agreement.get(label):
        signals.agreement = agreement.f
        signals.agreement_spans = sum(pair.both + pair.first + pair.second for pair in agreement.pairs)


def _add_score(label: str, signals: Signals, scored: ScoredRun) -> None:
    score = scored.metrics.labels.get(label)
    if score is None:
        return
    signals.support, signals.f, signals.low, signals.high = score.support, score.f, score.low, score.high
    signals.errors, signals.predicted, signals.scored = score.error_count, score.tp + score.fp, score.texts
    signals.all_f = scored.metrics.micro.f
    if scored.run.trained:
        signals.trained = scored.run.trained.entities.get(label)
    if score.seen and score.unseen:
        signals.seen, signals.unseen, signals.unseen_entities = score.seen.r, score.unseen.r, score.unseen.entities


def _most_confused(label: str, confusion: Confusion) -> tuple[str | None, float]:
    """Return the label with which it is most often confused, either way, and how often: the mean over seeds."""
    if not confusion.seeds:
        return None, 0
    means = np.mean(list(confusion.seeds.values()), axis=0)[:-1, :-1]
    row = confusion.labels.index(label)
    both_ways = means[row] + means[:, row]
    both_ways[row] = 0
    most = int(both_ways.argmax())
    return (confusion.labels[most], round(float(both_ways[most]), 6)) if both_ways[most] else (None, 0)


COLUMNS = {  # and what their headings do not say
    "covered": "share of the texts",
    "entities": "",
    "suspects": "annotations that are probably wrong, of tier 1",
    "agree": "F between annotators",
    "F": "",
    "95 %": "",
    "× 2": "F gained by doubling the texts",
    "unseen": "recall on surface forms that are not in the training texts",
    "errors": "false positives + false negatives",
}
_LEAST_NEEDED = ("entities", "95 %", "× 2", "agree")
_MIN_LABEL = 25  # characters: labels up to this length stay on one line


def print_next(console: Console, found: Next) -> None:
    """Print a row of measurements per label, then the rules and the reasons."""
    rows = {label: dict(zip(COLUMNS, cells(row.signals), strict=True)) for label, row in found.labels.items()}
    columns = _columns(rows, console.width)
    table = new_table("label", *columns, "rule")
    for label, row in rows.items():
        table.add_row(label, *map(row.__getitem__, columns), str(found.labels[label].recommendation.rule))
    console.print(table)
    console.print("\n" + "; ".join(f"{column}: {COLUMNS[column]}" for column in columns if COLUMNS[column]))
    console.print("\nThe first rule that holds:")
    for number, rule in enumerate(RULES, 1):
        console.print(f"{number} {ACTIONS[rule.action]}: {rule.condition}")
    to_do = found.to_do()
    if to_do:
        console.print("\nLabels to work on, most errors first:")
    for label, recommendation in to_do.items():
        console.print(f"- {label}: {ACTIONS[recommendation.action]} ({recommendation.reason})")
        if recommendation.command:
            console.print(f"  {recommendation.command}", soft_wrap=True)
    for label, number in found.new.items():
        console.print(f"{plural(number, 'more text')} covered for {label} since next last ran on other annotations")
    for note in found.notes:
        console.print(note, style="yellow")


def _columns(rows: Mapping[str, Mapping[str, str]], width: int) -> list[str]:
    """Choose the columns that have a value; without the least needed ones if labels would have little room."""
    columns = [column for column in COLUMNS if any(row[column] != _UNKNOWN for row in rows.values())]
    widths = {column: max(len(column), *(len(row[column]) for row in rows.values())) for column in columns}
    longest = max(map(len, rows), default=0)
    for column in _LEAST_NEEDED:
        room = width - len(" rule") - sum(widths[each] + 1 for each in columns)
        if room < min(longest, _MIN_LABEL) and column in columns:
            columns.remove(column)
    return columns


def cells(signals: Signals) -> list[str]:
    """Format the measurements of a label for `COLUMNS`; a dash for one that is missing."""
    low, high = signals.low, signals.high
    return [
        f"{signals.covered / signals.texts:.0%}" if signals.texts else _UNKNOWN,
        _whole(signals.support),
        _whole(signals.suspects),
        two_digits(signals.agreement),
        two_digits(signals.f),
        _UNKNOWN if low is None or high is None else f"{two_digits(low)}–{two_digits(high)}",
        ratio(signals.slope, sign=True),
        two_digits(signals.unseen),
        _UNKNOWN if signals.errors is None else count(signals.errors),
    ]


def _whole(number: float | None) -> str:
    return _UNKNOWN if number is None else f"{number:,.0f}"
