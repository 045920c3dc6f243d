"""The command `next`: which label to work on and how, by the first of a few rules that holds, and its screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from rich.console import Console

from scripts.building.splits import read_corpus
from scripts.checking import consistency, coverage
from scripts.checking.consistency import Consistency
from scripts.checking.coverage import Coverage
from scripts.checking.review import Outdated, load_current
from scripts.core.errors import UserError
from scripts.core.files import write_json
from scripts.merging.merged import Merged, gold_as_merged, known_labels
from scripts.reporting.console import new_table, ratio
from scripts.scoring import learning_curve as curve
from scripts.scoring import runs
from scripts.scoring.learning_curve import LearningCurve
from scripts.scoring.metrics import Score
from scripts.scoring.runs import Confusion, ScoredRun
from scripts.suspecting import suspects
from scripts.suspecting.suspects import Suspects

NAME = "next.json"
Action = Literal["annotate", "guideline", "redefine", "review", "inspect", "leave"]
ACTIONS: dict[Action, str] = {
    "annotate": "annotate more texts",
    "guideline": "clarify the guideline, then review",
    "redefine": "tell both labels apart",
    "review": "review its suspects",
    "inspect": "inspect its errors",
    "leave": "leave it",
}

FEW_ENTITIES = 30  # in the test texts
LOW_AGREEMENT, AGREEMENT_SPANS = 0.8, 50
CONFUSED_SHARE, CONFUSIONS = 0.25, 10  # of a label's errors
SUSPECT_SHARE, SUSPECTS = 0.03, 5  # of a label's spans
RECALL_GAP, UNSEEN_ENTITIES = 0.15, 30
LOW_COVERAGE = 0.5  # of the texts
LOW_F = 0.9

_FIRST_TIER = 1
_UNKNOWN = "–"


class Signals(msgspec.Struct, kw_only=True):
    """The measurements of a label. None: not measured, or undefined.

    texts (int), covered (int): All texts, and those in which the label is covered.
    hours (float | None): To annotate the label in the other texts, at the speed so far.
    spans (int | None), suspects (int | None): Annotated spans, and suspects of the first tier: of the step `suspects`
        if it was run, else of `consistency`.
    agreement (float | None): F between annotators on exact spans. agreement_spans (int): Spans that any of them marked.
    support (int | None): Entities in the test texts.
    f, low, high (float | None): F of the newest run, and its 95 % interval.
    errors (float | None): False positives and false negatives in the test texts.
    slope (float | None): F gained by the last doubling of the texts. trend (str | None): The learning curve's verdict.
    seen, unseen (float | None): Recall of surface forms that are in the training texts, and of others.
    unseen_entities (float): Entities of other surface forms in the test texts.
    confused_with (str | None): The label that it is most often confused with. confusions (float): How often.
    """

    texts: int
    covered: int
    hours: float | None = None
    spans: int | None = None
    suspects: int | None = None
    agreement: float | None = None
    agreement_spans: int = 0
    support: int | None = None
    f: float | None = None
    low: float | None = None
    high: float | None = None
    errors: float | None = None
    slope: float | None = None
    trend: str | None = None
    seen: float | None = None
    unseen: float | None = None
    unseen_entities: float = 0
    confused_with: str | None = None
    confusions: float = 0


class Recommendation(msgspec.Struct):
    """What to do about a label: the action, the number of the rule (from 1), and the measurements that it rests on."""

    action: Action
    rule: int
    reason: str


class LabelRecommendation(msgspec.Struct):
    """A label in next.json."""

    signals: Signals
    recommendation: Recommendation


class Next(msgspec.Struct, kw_only=True):
    """metrics/next.json.

    gold (str): Digest of the gold.
    run (str | None): The newest run, whose scores these are. None if nothing was evaluated.
    notes (list[str]): What is missing, or older than the annotations.
    labels (dict[str, LabelRecommendation]): Labels to work on, those with the most errors first; then the others.
    """

    gold: str
    run: str | None
    notes: list[str]
    labels: dict[str, LabelRecommendation]


# The rules


class Rule(NamedTuple):
    """An action and its condition, in words and as a function: the reason if it holds for the signals, else None."""

    action: Action
    condition: str
    reason: Callable[[Signals], str | None]


def _few_entities(label: Signals) -> str | None:
    if label.support is None or label.support >= FEW_ENTITIES:
        return None
    return f"{label.support:,} entities in the test texts"


def _low_agreement(label: Signals) -> str | None:
    if label.agreement is None or label.agreement >= LOW_AGREEMENT or label.agreement_spans < AGREEMENT_SPANS:
        return None
    return f"F between annotators {_two_digits(label.agreement)} on {label.agreement_spans:,} spans"


def _confused(label: Signals) -> str | None:
    if not label.errors or label.confusions < max(CONFUSIONS, CONFUSED_SHARE * label.errors):
        return None
    return f"confused with {label.confused_with} {label.confusions:,.0f} times, {label.errors:,.0f} errors in all"


def _suspected(label: Signals) -> str | None:
    if not label.spans or not label.suspects or label.suspects < max(SUSPECTS, SUSPECT_SHARE * label.spans):
        return None
    return f"{label.suspects:,} suspects among {label.spans:,} spans"


def _still_rising(label: Signals) -> str | None:
    if label.trend != "more helps" or not label.slope:
        return None
    return f"F {label.slope:+.3f} by doubling the texts"


def _unseen_forms(label: Signals) -> str | None:
    if label.seen is None or label.unseen is None or label.unseen_entities < UNSEEN_ENTITIES:
        return None
    if label.seen - label.unseen < RECALL_GAP:
        return None
    unseen = f"recall {_two_digits(label.unseen)} on {label.unseen_entities:,.0f} entities of unseen surface forms"
    return f"{unseen}, {_two_digits(label.seen)} on seen ones"


def _low_coverage(label: Signals) -> str | None:
    if not label.texts or label.covered >= LOW_COVERAGE * label.texts:
        return None
    return f"covered in {label.covered:,} of {label.texts:,} texts"


def _low_f(label: Signals) -> str | None:
    if label.f is None or label.f >= LOW_F:
        return None
    return f"F {_two_digits(label.f)}, {label.errors or 0:,.0f} errors"


RULES = (
    Rule("annotate", f"it has fewer than {FEW_ENTITIES} entities in the test texts", _few_entities),
    Rule("guideline", f"F between annotators is below .8 on at least {AGREEMENT_SPANS} spans", _low_agreement),
    Rule("redefine", f"one label accounts for a quarter of its errors, at least {CONFUSIONS}", _confused),
    Rule("review", f"suspects are 3 % of its spans, at least {SUSPECTS}", _suspected),
    Rule("annotate", "its learning curve rises by more than noise", _still_rising),
    Rule("annotate", f"recall on at least {UNSEEN_ENTITIES} unseen surface forms is .15 below seen", _unseen_forms),
    Rule("annotate", "it is covered in less than half of the texts", _low_coverage),
    Rule("inspect", "F is below .9", _low_f),
    Rule("leave", "no other rule holds", lambda _: ""),
)


def recommend(signals: Signals) -> Recommendation:
    """Return what the first rule that holds recommends."""
    reasons = ((number, rule, rule.reason(signals)) for number, rule in enumerate(RULES, 1))
    return next(Recommendation(rule.action, number, reason) for number, rule, reason in reasons if reason is not None)


# The measurements


class Measured(NamedTuple):
    """The results of the other steps. None: not made, or of other annotations."""

    texts: int
    covered: Mapping[str, int]
    coverage: Coverage | None
    consistency: Consistency | None
    suspects: Suspects | None
    scored: ScoredRun | None
    confusion: Confusion | None
    curve: LearningCurve | None


def decide(corpus: Path, metrics: Path) -> Next:
    """Write next.json: a recommendation for each label, by the results of the other steps.

    corpus (Path): Has the gold and, if they were made, the results of `coverage`, `consistency` and `suspects`.
    metrics (Path): Has the runs and the learning curve, if there are any; next.json is written here.
    RAISES (UserError): If nothing was merged, the gold was changed, or a result is damaged.
    """
    merged, gold = gold_as_merged(corpus)
    notes: list[str] = []
    measured = _measured(merged, corpus, metrics, notes)
    labels = {}
    for label in known_labels(merged):
        signals = _signals(label, measured)
        labels[label] = LabelRecommendation(signals, recommend(signals))
    result = Next(
        gold=merged.outputs[gold.name],
        run=measured.scored.run.folder if measured.scored else None,
        notes=notes,
        labels=dict(sorted(labels.items(), key=lambda pair: _priority(*pair))),
    )
    metrics.mkdir(parents=True, exist_ok=True)
    write_json(metrics / NAME, result)
    return result


def load(metrics: Path, corpus: Path) -> Next | None:
    """Read next.json; None if there is none.

    RAISES (UserError): If it is damaged; `Outdated` if the gold has changed since.
    """
    return load_current(metrics / NAME, Next, corpus, "make it again: weasel run next")


def _priority(label: str, row: LabelRecommendation) -> tuple[Any, ...]:
    return row.recommendation.action == "leave", -(row.signals.errors or 0), label


def _measured(merged: Merged, corpus: Path, metrics: Path, notes: list[str]) -> Measured:
    scored = runs.load_all(metrics)[0] if metrics.is_dir() else []
    newest = scored[-1] if scored else None
    if newest is None:
        notes.append("No run was evaluated: weasel run evaluate.")
    elif not _is_current(newest, corpus):
        notes.append(f"The annotations have changed since {newest.run.folder}: weasel run train, evaluate.")
    folder = metrics / newest.run.folder if newest else None
    learning_curve = curve.load(metrics)
    if learning_curve is None:
        notes.append("The learning curve was not measured: weasel run learning-curve.")
    return Measured(
        texts=merged.totals["texts"],
        covered={label: counts["covered"] for label, counts in merged.coverage.items()},
        coverage=_if_current("coverage", coverage.load, corpus, notes),
        consistency=_if_current("consistency", consistency.load, corpus, notes),
        suspects=_if_current("suspects", suspects.load, corpus, notes),
        scored=newest,
        confusion=runs.load_confusion(folder) if folder else None,
        curve=learning_curve,
    )


def _is_current(scored: ScoredRun, corpus: Path) -> bool:
    try:
        return scored.run.data.evaluated == read_corpus(corpus / "split.json").digest
    except UserError:
        return False


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
    signals = Signals(texts=measured.texts, covered=measured.covered[label])
    if measured.coverage and label in measured.coverage.labels:
        signals.hours = measured.coverage.labels[label].hours
    if measured.consistency:
        _add_consistency(signals, label, measured.consistency)
    if measured.suspects and measured.suspects.label in (None, label):
        kinds = measured.suspects.labels.get(label, {})
        signals.suspects = sum(tiers.get(_FIRST_TIER, 0) for tiers in kinds.values())
    if measured.scored and (score := measured.scored.metrics.labels.get(label)):
        _add_score(signals, score)
    if measured.confusion and label in measured.confusion.labels:
        signals.confused_with, signals.confusions = _most_confused(label, measured.confusion)
    if measured.curve and (trend := measured.curve.labels.get(label)):
        signals.slope, signals.trend = trend.slope, trend.verdict
    return signals


def _add_consistency(signals: Signals, label: str, found: Consistency) -> None:
    if of_label := found.labels.get(label):
        signals.spans = of_label.spans
        signals.suspects = of_label.tiers.get(str(_FIRST_TIER), 0)
    if agreement := found.agreement.get(label):
        signals.agreement = agreement.f
        signals.agreement_spans = sum(pair.both + pair.first + pair.second for pair in agreement.pairs)


def _add_score(signals: Signals, score: Score) -> None:
    signals.support, signals.f, signals.low, signals.high = score.support, score.f, score.low, score.high
    signals.errors = score.error_count
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


# The screen

COLUMNS = ("covered", "support", "suspects", "agree", "F", "95 %", "× 2", "unseen", "errors")
_LEGEND = (
    "covered: share of the texts; suspects: annotations that are probably wrong; agree: F between annotators; × 2: F "
    "gained by doubling the texts; unseen: recall on surface forms that are not in the training texts; errors: false "
    "positives + false negatives"
)


def print_next(console: Console, found: Next) -> None:
    """Print a row of measurements per label, without columns that have none; then the rules and the reasons."""
    rows = {label: cells(row.signals) for label, row in found.labels.items()}
    shown = [column for column in range(len(COLUMNS)) if any(row[column] != _UNKNOWN for row in rows.values())]
    table = new_table("label", *(COLUMNS[column] for column in shown), "rule")
    for label, row in rows.items():
        table.add_row(label, *(row[column] for column in shown), str(found.labels[label].recommendation.rule))
    console.print(table)
    console.print(f"\n{_LEGEND}\n\nThe first rule that holds:")
    for number, rule in enumerate(RULES, 1):
        console.print(f"{number} {ACTIONS[rule.action]} if {rule.condition}")
    advised = {label: row.recommendation for label, row in found.labels.items() if row.recommendation.action != "leave"}
    if advised:
        console.print("\nLabels to work on, most errors first:")
    for label, recommendation in advised.items():
        console.print(f"- {label}: {ACTIONS[recommendation.action]} ({recommendation.reason})")
    for note in found.notes:
        console.print(note, style="yellow")


def cells(signals: Signals) -> list[str]:
    """Format the measurements of a label for `COLUMNS`; a dash for one that is missing."""
    low, high = signals.low, signals.high
    return [
        f"{signals.covered / signals.texts:.0%}" if signals.texts else _UNKNOWN,
        _whole(signals.support),
        _whole(signals.suspects),
        _two_digits(signals.agreement),
        _two_digits(signals.f),
        _UNKNOWN if low is None or high is None else f"{_two_digits(low)}–{_two_digits(high)}",
        ratio(signals.slope, sign=True),
        _two_digits(signals.unseen),
        _whole(signals.errors),
    ]


def _whole(number: float | None) -> str:
    return _UNKNOWN if number is None else f"{number:,.0f}"


def _two_digits(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}".replace("0.", ".", 1)
