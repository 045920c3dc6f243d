"""Which label to work on next: all that the other steps found out, a row a label, and what follows from it.

What to do next, label by label, on one screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from scripts.building.splits import read_split
from scripts.checking import consistency, coverage
from scripts.checking.consistency import Consistency
from scripts.checking.coverage import Coverage
from scripts.checking.findings import Outdated, load_current
from scripts.core.errors import UserError
from scripts.core.files import write_json
from scripts.merging.merged import Merged, gold_as_merged, known_labels
from scripts.queueing.rules import RULES, Advice, Signals, advise
from scripts.reporting.console import ratio
from scripts.scoring import learning_curve as curve
from scripts.scoring import runs
from scripts.scoring.learning_curve import Curve
from scripts.scoring.metrics import Score
from scripts.scoring.runs import Confusion, Scored
from scripts.suspecting import suspects
from scripts.suspecting.suspects import Suspects

NAME = "next.json"
_FIRST = 1  # tier
_MEND = "make it again: weasel run next"


class Row(msgspec.Struct):
    """A label: what is known, and what to do."""

    signals: Signals
    advice: Advice


class Next(msgspec.Struct, kw_only=True):
    """metrics/next.json.

    gold (str): Digest of the gold.
    run (str | None): Whose scores these are: the newest. None if nothing was evaluated.
    notes (list[str]): What is missing, or older than the annotations.
    labels (dict[str, Row]): What is to be worked on first, those with the most wrong entities before; then the others.
    """

    gold: str
    run: str | None
    notes: list[str]
    labels: dict[str, Row]


class Sources(NamedTuple):
    """What there is. None is what has not been made, or is of other annotations."""

    texts: int
    covered: Mapping[str, int]
    coverage: Coverage | None
    consistency: Consistency | None
    suspects: Suspects | None
    scored: Scored | None
    confusion: Confusion | None
    curve: Curve | None


def decide(corpus: Path, metrics: Path) -> Next:
    """Bring together what is known, and write next.json.

    corpus (Path): Has what was merged, and what `coverage`, `consistency` and `suspects` found; they may be missing.
    metrics (Path): Has the runs and the learning curve, if there are any; gets next.json.
    RETURNS (Next): What was written.
    RAISES (UserError): If nothing was merged, the gold is not as it was merged, or something is damaged.
    """
    merged, gold = gold_as_merged(corpus)
    notes: list[str] = []
    found = _sources(merged, corpus, metrics, notes)
    rows = {label: _row(label, found) for label in known_labels(merged)}
    order = sorted(rows, key=lambda label: _place(label, rows[label]))
    result = Next(
        gold=merged.outputs[gold.name], run=found.scored.run.folder if found.scored else None, notes=notes,
        labels={label: rows[label] for label in order},
    )  # fmt: skip
    metrics.mkdir(parents=True, exist_ok=True)
    write_json(metrics / NAME, result)
    return result


def load(metrics: Path, corpus: Path) -> Next | None:
    """Read next.json; None if there is none.

    RAISES (UserError): If it is damaged; `Outdated` if it is of another gold than there is now.
    """
    return load_current(metrics / NAME, Next, corpus, _MEND)


def _row(label: str, found: Sources) -> Row:
    signals = _signals(label, found)
    return Row(signals, advise(signals))


def _place(label: str, row: Row) -> tuple[Any, ...]:
    return row.advice.do == "leave", -(row.signals.wrong or 0), label


# What there is


def _sources(merged: Merged, corpus: Path, metrics: Path, notes: list[str]) -> Sources:
    scored = runs.load_all(metrics)[0] if metrics.is_dir() else []
    newest = scored[-1] if scored else None
    if newest is None:
        notes.append("No model was evaluated: weasel run evaluate.")
    elif not _is_current(newest, corpus):
        notes.append(f"{newest.run.folder} is of annotations that have changed since: weasel run train, evaluate.")
    return Sources(
        texts=merged.totals["texts"],
        covered={label: counts["covered"] for label, counts in merged.coverage.items()},
        coverage=_if_current("coverage", coverage.load, corpus, notes),
        consistency=_if_current("consistency", consistency.load, corpus, notes),
        suspects=_if_current("suspects", suspects.load, corpus, notes),
        scored=newest,
        confusion=_confusion(metrics, newest),
        curve=_curve(metrics, notes),
    )


def _is_current(scored: Scored, corpus: Path) -> bool:
    try:
        return scored.run.data.evaluated == read_split(corpus / "split.json").digest
    except UserError:
        return False


def _if_current(step: str, load: Any, corpus: Path, notes: list[str]) -> Any:
    try:
        found = load(corpus)
    except Outdated:
        found = None
        notes.append(f"What {step} found is of annotations that have changed since: weasel run {step}.")
    else:
        if found is None:
            notes.append(f"Not looked at yet: {step}. weasel run {step}.")
    return found


def _confusion(metrics: Path, newest: Scored | None) -> Confusion | None:
    path = metrics / newest.run.folder if newest else None
    return runs.load_confusion(path) if path and (path / runs.CONFUSION).exists() else None


def _curve(metrics: Path, notes: list[str]) -> Curve | None:
    found = curve.load(metrics)
    if found is None:
        notes.append("Not measured yet: whether more texts help. weasel run learning-curve.")
    return found


# What that is of a label


def _signals(label: str, found: Sources) -> Signals:
    signals = Signals(texts=found.texts, covered=found.covered[label])
    if found.coverage and label in found.coverage.labels:
        signals.hours = found.coverage.labels[label].hours
    if found.consistency:
        _add_consistency(signals, label, found.consistency)
    if found.suspects and found.suspects.label in (None, label):
        doubts = found.suspects.labels.get(label, {})
        signals.doubtful = sum(tiers.get(_FIRST, 0) for tiers in doubts.values())
    if found.scored and (score := found.scored.metrics.labels.get(label)):
        _add_score(signals, score)
    if found.confusion and label in found.confusion.labels:
        signals.confused, signals.times = _most_confused(label, found.confusion)
    if found.curve and (trend := found.curve.labels.get(label)):
        signals.slope, signals.more = trend.slope, trend.verdict
    return signals


def _add_consistency(signals: Signals, label: str, found: Consistency) -> None:
    if of_label := found.labels.get(label):
        signals.spans = of_label.spans
        signals.doubtful = of_label.tiers.get(str(_FIRST), 0)
    if agreement := found.agreement.get(label):
        signals.agreement = agreement.f
        signals.agreed_on = sum(pair.both + pair.first + pair.second for pair in agreement.pairs)


def _add_score(signals: Signals, score: Score) -> None:
    signals.support, signals.f, signals.low, signals.high = score.support, score.f, score.low, score.high
    signals.wrong = round(score.fp + score.fn, 6)
    if score.seen and score.unseen:
        signals.seen, signals.unseen, signals.new = score.seen.r, score.unseen.r, score.unseen.entities


def _most_confused(label: str, found: Confusion) -> tuple[str | None, float]:
    """The other label it is taken for, or that is taken for it, most often; the mean over seeds."""
    if not found.seeds:
        return None, 0
    means = np.mean(list(found.seeds.values()), axis=0)[:-1, :-1]
    own = found.labels.index(label)
    both = means[own] + means[:, own]
    both[own] = 0
    most = int(both.argmax())
    return (found.labels[most], round(float(both[most]), 6)) if both[most] else (None, 0)


DO = {
    "annotate": "annotate more",
    "guideline": "mend the guideline, then review",
    "redefine": "tell both labels apart",
    "review": "review",
    "look": "look at its errors",
    "leave": "leave it",
}
COLUMNS = ("known", "support", "doubt", "agree", "F", "95 %", "× 2", "new", "wrong")
_UNKNOWN = "–"
_LEGEND = (
    "Known: in this share of the texts. Doubt: places where the annotation is probably wrong. Agree: F between "
    "annotators. × 2: F that twice as many texts brought. New: recall of forms that were not learned. Wrong: missed or "
    "invented."
)


def print_next(console: Console, found: Next) -> None:
    """Per label: what is known (but for columns without a number), and what to do; then the rules, and the reasons."""
    rows = {label: cells(row.signals) for label, row in found.labels.items()}
    known = [column for column in range(len(COLUMNS)) if any(row[column] != _UNKNOWN for row in rows.values())]
    table = Table("label", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for column in known:
        table.add_column(COLUMNS[column], justify="right", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    for label, row in found.labels.items():
        shown = (rows[label][column] for column in known)
        table.add_row(label, *shown, f"{row.advice.rule} {row.advice.do}")
    console.print(table)
    console.print(f"\n{_LEGEND}")
    console.print("\nThe first rule that holds:")
    for number, rule in enumerate(RULES, 1):
        console.print(f"{number} {DO[rule.do]}: {rule.when}")
    to_do = [(label, row.advice) for label, row in found.labels.items() if row.advice.do != "leave"]
    if to_do:
        console.print("\nWhy, the most wrong first:")
    for label, advice in to_do:
        console.print(f"- {label}: {DO[advice.do]}. {advice.why}")
    for note in found.notes:
        console.print(note, style="yellow")


def cells(of: Signals) -> list[str]:
    """What `COLUMNS` say of a label; a dash where it is not known."""
    return [
        f"{of.covered / of.texts:.0%}" if of.texts else _UNKNOWN,
        _count(of.support),
        _count(of.doubtful),
        _short(of.agreement),
        _short(of.f),
        _UNKNOWN if of.low is None or of.high is None else f"{_short(of.low)}–{_short(of.high)}",
        ratio(of.slope, sign=True),
        _short(of.unseen),
        _count(of.wrong),
    ]


def _count(number: float | None) -> str:
    return _UNKNOWN if number is None else f"{number:,.0f}"


def _short(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}".replace("0.", ".", 1)
