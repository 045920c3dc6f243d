"""A threshold for each label, and the calibration of its probabilities, both from texts that were not trained on.

A threshold is a bias on the score of O. It decides what is predicted, and changes no probability.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from confection import Config
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from scripts.core.errors import UserError
from scripts.model.label_heads import (
    Calibration,
    Covered,
    count_spans,
    covered_of,
    decode_entities,
    log_odds,
    log_softmax,
    read_gold,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BIASES = tuple(step / 4 for step in range(-12, 13))  # on a score: 1 makes O e times as probable against the rest
_HIGHER = tuple(step / 2 for step in range(7, 17))  # in addition, where a precision is asked for
_PRIOR = 50  # entities: how much the other labels count in the choice for one
_TEMPERATURES = tuple(2 ** (step / 2) for step in range(-2, 8))
_LOWEST_ODDS, _ODDS_STEP, _ODDS_STEPS = -15.0, 0.25, 165  # of the log odds of entities
# Of normal distributions: of what all labels share around 1 and 0, and of what a label has for itself around that
_SHARED_SD, _SLOPE_SD, _OFFSET_SD = 1.0, 0.1, 0.6
_TEMPERATURE_SD = 0.25  # of the logarithm of a label's temperature around that of all
_LEAST_SLOPE = 0.05  # so that the order of a label's entities stays
_BATCH = 64


@runtime_checkable
class LabelScorer(Protocol):
    """A component that scores the tags of each label by themselves: `LabelHeads`, or another one beside it.

    `train` sets its thresholds and calibration; `queue` and `suspects` read its scores.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the scores."""

    @property
    def thresholds(self) -> dict[str, float]:
        """By label, the bias that is added to the score of O before decoding: less than 0 finds more."""

    @property
    def calibration(self) -> dict[str, Sequence[float]]:
        """By label, the fields of `Calibration`, which turn scores into probabilities."""

    def scores(self, docs: Sequence[Doc]) -> NDArray[np.float32]:
        """(tokens of all Docs, labels, 5): scores of the tags O, B, I, L and U, without thresholds."""


def label_scorer(nlp: Language) -> LabelScorer | None:
    """The component of a pipeline that scores labels; None if it has none."""
    components: list[Any] = [component for _, component in nlp.pipeline]
    return next((component for component in components if isinstance(component, LabelScorer)), None)


def run_components_below(nlp: Language, docs: Iterable[Doc]) -> list[Doc]:
    """Run the components that come before the label scorer, which may listen to their layers."""
    docs = list(docs)
    components: list[Any] = [component for _, component in nlp.pipeline]
    for component in takewhile(lambda component: not isinstance(component, LabelScorer), components):
        docs = list(component.pipe(docs))
    return docs


def examples_with_layers(nlp: Language, examples: Iterable[Example]) -> Iterator[Example]:
    """Examples whose predicted Docs have what the components below the label scorer set. See `run_components_below`."""
    if isinstance(nlp.pipeline[0][1], LabelScorer):  # none below: nothing to copy
        yield from examples
        return
    for batch in minibatch(examples, _BATCH):
        docs = run_components_below(nlp, [example.predicted.copy() for example in batch])
        yield from (Example(doc, example.reference) for doc, example in zip(docs, batch, strict=True))


class Tally(NamedTuple):
    """What is known of a component's scores from some texts, where labels are covered.

    counts (NDArray[int64]): (thresholds, labels, [tp, fp, fn]), see `count_by_threshold`.
    odds (NDArray[int64]): (log odds, labels, [wrong, right]): entities that are found with the lowest of `BIASES`.
    losses (NDArray[float64]): (`_TEMPERATURES`, labels): cross entropy of the tags, summed over tokens.
    """

    counts: Integers
    odds: Integers
    losses: Floats


def set_thresholds(
    pipe: LabelScorer, examples: Iterable[Example], shared: Calibration | None = None
) -> tuple[dict[str, float], dict[str, list[int]]]:
    """Set the thresholds that give each label the best F1 on some examples, and calibrate its probabilities.

    If the component has a `min_precision`, thresholds are those of `precise_thresholds`.

    pipe (LabelScorer): A trained component. Components below it must have run on the examples.
    examples (Iterable[Example]): Texts that it was not trained on, for example corpus/dev. They are streamed.
    shared (Calibration | None): See `calibrate`.
    RETURNS (tuple[dict[str, float], dict[str, list[int]]]): By label: the threshold; and with it the true positives,
        false positives and false negatives.
    """
    precision = min_precision(pipe)
    biases = BIASES if precision is None else BIASES + _HIGHER
    found = tally(pipe, examples, biases)
    chosen = best_thresholds(pipe.labels, found.counts[: len(BIASES)])
    if precision is not None:
        chosen |= precise_thresholds(pipe.labels, found.counts, biases, precision)
    pipe.thresholds.clear()
    pipe.thresholds.update(chosen)
    pipe.calibration.clear()
    pipe.calibration.update(calibrate(pipe.labels, found, shared))
    columns = enumerate(chosen.items())
    return chosen, {label: found.counts[biases.index(bias), column].tolist() for column, (label, bias) in columns}


class _ScoredTexts:
    """The scores and the gold of some texts."""

    def __init__(self, pipe: LabelScorer, examples: Sequence[Example]) -> None:
        docs = [example.predicted for example in examples]
        self._labels = pipe.labels
        self._gold = [covered_of(example.reference) for example in examples]
        self.lengths = [len(doc) for doc in docs]
        self.scores = pipe.scores(docs)
        # By row: where the token starts and ends in its text, and the number of its Doc.
        self._starts = [token.idx for doc in docs for token in doc]
        self._ends = [token.idx + len(token) for doc in docs for token in doc]
        self._docs = np.repeat(np.arange(len(docs)), self.lengths).tolist()

    def support(self) -> Integers:
        """Entities by label."""
        scored = ({name: len(each.gold) for name, each in gold.items() if each.is_scored} for gold in self._gold)
        return np.array([[of_text.get(label, 0) for label in self._labels] for of_text in scored], np.int64).sum(0)

    def judge(self, start: Integers, end: Integers, label: Integers) -> Integers:
        """By entity: 1 if it is right, 0 if it is wrong, -1 if it is not where its label is covered."""
        places = zip(start.tolist(), end.tolist(), label.tolist(), strict=True)
        return np.array([self._judge(first, last - 1, self._labels[column]) for first, last, column in places], int)

    def _judge(self, first: int, last: int, label: str) -> int:
        covered: Covered | None = self._gold[self._docs[first]].get(label)
        if covered is None or not covered.is_scored:
            return -1
        right, wrong, _ = count_spans(covered, [(self._starts[first], self._ends[last])])
        return 1 if right else 0 if wrong else -1

    def counts(self, biases: Sequence[float]) -> Integers:
        """See `count_by_threshold`."""
        return np.stack([self._count(bias) for bias in biases])

    def _count(self, bias: float) -> Integers:
        columns = len(self._labels)
        found = decode_entities(self.scores, self.lengths, np.full(columns, bias, "f"))
        judged = self.judge(*found)
        tp, fp = (np.bincount(found[2][judged == which], minlength=columns) for which in (1, 0))
        return np.stack([tp, fp, self.support() - tp], 1)

    def odds(self) -> Integers:
        """See `Tally`."""
        columns = len(self._labels)
        found = decode_entities(self.scores, self.lengths, np.full(columns, min(BIASES), "f"))
        counts = np.zeros((_ODDS_STEPS, columns, 2), np.int64)
        steps = np.rint((log_odds(self.scores, self.lengths, *found) - _LOWEST_ODDS) / _ODDS_STEP).astype(int)
        judged = self.judge(*found)
        is_covered = judged >= 0
        steps = steps.clip(0, _ODDS_STEPS - 1)
        np.add.at(counts, (steps[is_covered], found[2][is_covered], judged[is_covered]), 1)
        return counts

    def losses(self, examples: Sequence[Example]) -> Floats:
        """See `Tally`."""
        gold = read_gold(examples, self._labels)
        rows, columns = gold.covered.nonzero()
        scores, tags = self.scores[rows, columns].astype(np.float64), gold.tags[rows, columns]
        losses = (-log_softmax(scores / each)[np.arange(len(rows)), tags] for each in _TEMPERATURES)
        return np.stack([np.bincount(columns, loss, len(self._labels)) for loss in losses])


def tally(pipe: LabelScorer, examples: Iterable[Example], biases: Sequence[float] = BIASES) -> Tally:
    """Count all that thresholds and calibration are chosen by, in one pass."""
    labels = len(pipe.labels)
    counts = np.zeros((len(biases), labels, 3), np.int64)
    odds = np.zeros((_ODDS_STEPS, labels, 2), np.int64)
    losses = np.zeros((len(_TEMPERATURES), labels))
    for batch in minibatch(examples, _BATCH):
        texts = _ScoredTexts(pipe, batch)
        counts += texts.counts(biases)
        odds += texts.odds()
        losses += texts.losses(batch)
    return Tally(counts, odds, losses)


def count_by_threshold(pipe: LabelScorer, examples: Iterable[Example], biases: Sequence[float] = BIASES) -> Integers:
    """Counts with each threshold, where labels are covered: (thresholds, labels, [tp, fp, fn]).

    Overlaps between entities of different labels are all counted: they are resolved later.
    """
    counts = np.zeros((len(biases), len(pipe.labels), 3), np.int64)
    for batch in minibatch(examples, _BATCH):
        counts += _ScoredTexts(pipe, batch).counts(biases)
    return counts


def best_thresholds(
    labels: Sequence[str], counts: Integers, biases: Sequence[float] = BIASES, prior: float = _PRIOR
) -> dict[str, float]:
    """The threshold of each label with the best F1, if it is better than 0 by more than a standard error.

    Else, few texts would choose it by chance, and others would lose by it: the one standard error rule of Breiman et
    al. 1984, Classification and Regression Trees, section 3.4.3. A change of F1 is that of the entities that are found
    with one threshold and not with the other; whether each is right is taken for a coin's toss.

    counts (NDArray[int64]): See `count_by_threshold`.
    prior (float): To the counts of a label, those of all other labels are added, scaled to so many entities: a label
        with few entities leans on the others.
    """
    others = counts.sum(1, keepdims=True) - counts
    support = np.maximum(others[:1, :, 0] + others[:1, :, 2], 1)
    smooth = counts + prior * others / support[..., None]
    tp, fp, fn = np.moveaxis(smooth, 2, 0)
    total = np.maximum(2 * tp + fp + fn, 1e-9)
    f = 2 * tp / total
    order = np.argsort(np.abs(biases), kind="stable")
    zero = order[0]
    error = np.sqrt(np.abs(tp - tp[zero]) + np.abs(fp - fp[zero])) / total
    best = order[(f - f[zero] - error)[order].argmax(0)]
    return {label: biases[index] for label, index in zip(labels, best.tolist(), strict=True)}


def min_precision(pipe: LabelScorer) -> float | None:
    """The precision that a component asks for; None if it asks for the best F1."""
    return getattr(pipe, "min_precision", None)


def demand_numbers(path: Path, config: Config) -> None:
    """RAISES (UserError): If a component has a `min_precision` not between 0 and 1, or an `assumed_outside` below 0."""
    for name, block in config.get("components", {}).items():
        value = block.get("min_precision")
        if value is not None and (type(value) is not float or not 0 < value < 1):
            raise UserError(
                f"{path}: [components.{name}] min_precision = {value!r}: must be a number between 0 and 1, as 0.95, or "
                "null for the best F"
            )
        value = block.get("assumed_outside", 0.0)
        if type(value) not in (int, float) or not 0 <= value < float("inf"):
            raise UserError(
                f"{path}: [components.{name}] assumed_outside = {value!r}: must be a number of tokens, 0 or more"
            )


def precise_thresholds(
    labels: Sequence[str], counts: Integers, biases: Sequence[float], precision: float
) -> dict[str, float]:
    """The lowest threshold of each label whose precision is high enough; if none is, the most precise one.

    See `least_precision`. A label that nothing is predicted of has none.

    counts (NDArray[int64]): See `count_by_threshold`.
    """
    least = least_precision(counts)
    chosen = {}
    for column, label in enumerate(labels):
        reached = np.flatnonzero(least[:, column] >= precision)
        if len(reached) or least[:, column].any():
            chosen[label] = biases[int(reached[0] if len(reached) else least[:, column].argmax())]
    return chosen


def least_precision(counts: Integers) -> Floats:
    """The lower limit of precision, a standard error below: 19 predicted entities that are all right have .95.

    Wilson's score interval (1927, https://doi.org/10.1080/01621459.1927.10502953) with z = 1. 0 without a prediction.

    counts (NDArray[int64]): … × (tp, fp, fn).
    """
    tp, predicted = counts[..., 0], counts[..., 0] + counts[..., 1]
    n = np.maximum(predicted, 1)
    p = tp / n
    limit = (p + 1 / (2 * n) - np.sqrt(p * (1 - p) / n + 1 / (4 * n**2))) / (1 + 1 / n)
    return np.where(predicted, limit.round(9), 0.0)


def calibrate(labels: Sequence[str], found: Tally, shared: Calibration | None = None) -> dict[str, Calibration]:
    """The calibration of each label: what all labels share, and what is its own as far as its texts show it.

    Maximum a posteriori estimates with normal priors, so that few texts change little: temperatures by the tags (Guo
    et al. 2017, section 4.2), slopes and offsets by whether entities are right (Platt 1999).

    shared (Calibration | None): What all labels share, if it is known; None to estimate it.
    """
    temperature = _temperatures(found.losses, shared.temperature if shared else None)
    slope, offset = _slopes_and_offsets(found.odds, (shared.slope, shared.offset) if shared else None)
    rows = np.stack([temperature, slope, offset], 1).tolist()
    return {label: Calibration(*row) for label, row in zip(labels, rows, strict=True)}


def mean_calibration(calibration: Mapping[str, Sequence[float]]) -> Calibration | None:
    """What labels share; None without any."""
    if not calibration:
        return None
    logs, slopes, offsets = zip(*((np.log(row[0]), *row[1:]) for row in calibration.values()), strict=True)
    return Calibration(float(np.exp(np.mean(logs))), float(np.mean(slopes)), float(np.mean(offsets)))


def _temperatures(losses: Floats, shared: float | None) -> Floats:
    """By label; the lowest point of a parabola through the three best of `_TEMPERATURES`."""
    logs = np.log(_TEMPERATURES)

    def best(losses: Floats, center: float, sd: float) -> Floats:
        costs = losses + ((logs - center) / sd)[:, None] ** 2 / 2
        middle = costs.argmin(0).clip(1, len(logs) - 2)
        low, mid, high = (costs[middle + step, np.arange(costs.shape[1])] for step in (-1, 0, 1))
        curve = np.maximum(low - 2 * mid + high, 1e-9)
        return logs[middle] + (logs[1] - logs[0]) * np.clip((low - high) / (2 * curve), -1, 1)

    center = np.log(shared) if shared else best(losses.sum(1, keepdims=True), 0.0, _SHARED_SD)[0]
    return np.exp(best(losses, float(center), _TEMPERATURE_SD))


def _slopes_and_offsets(odds: Integers, shared: tuple[float, float] | None) -> tuple[Floats, Floats]:
    """By label, by Newton's method with halved steps: the posterior is concave."""
    steps, columns, right = odds.nonzero()
    weights, x = odds[steps, columns, right], _LOWEST_ODDS + steps * _ODDS_STEP
    labels = odds.shape[1]
    design = np.zeros((len(steps), 2 + 2 * labels))  # slope and offset of all, then the slopes and offsets of each
    design[:, 0], design[:, 1] = x, 1
    design[np.arange(len(steps)), 2 + columns], design[np.arange(len(steps)), 2 + labels + columns] = x, 1
    center = np.zeros(2 + 2 * labels)
    center[:2] = shared or (1.0, 0.0)
    precision = np.repeat([_SHARED_SD, _SLOPE_SD, _OFFSET_SD], [2, labels, labels]) ** -2.0
    if shared:
        precision[:2] = 1e9
    sign = 2 * right - 1

    def cost(values: Floats) -> float:
        fit = weights @ np.logaddexp(0.0, -sign * (design @ values))
        return float(fit + precision @ (values - center) ** 2 / 2)

    values = center
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ values, -500, 500)))
        gradient = design.T @ (weights * (p - right)) + precision * (values - center)
        curvature = (design.T * (weights * p * (1 - p))) @ design + np.diag(precision)
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while size > 1e-6 and cost(values - size * step) > cost(values):
            size /= 2
        values = values - size * step
        if np.abs(step).max() < 1e-6:
            break
    slope, offset = values[0] + values[2 : 2 + labels], values[1] + values[2 + labels :]
    return np.maximum(slope, _LEAST_SLOPE), offset
