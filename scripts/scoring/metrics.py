"""Scores from counts, by label and over all labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats
from scripts.scoring.seed_variance import measured, spread

if TYPE_CHECKING:  # what only looks at scores needs no spaCy
    from scripts.scoring.counts import Counts
    from scripts.scoring.evaluation import Findings

_DIGITS = 6
S = TypeVar("S", bound=msgspec.Struct)


class Partial(msgspec.Struct):
    """Precision, recall and F1 in which the right label with other borders that overlap counts half.

    As MUC-5 scores it (Chinchor and Sundheim 1993, https://aclanthology.org/M93-1007), and SemEval-2013 task 9.1:
    p = (hit + boundary / 2) / predicted, r = (hit + boundary / 2) / entities.
    """

    p: float | None
    r: float | None
    f: float | None


class Errors(msgspec.Struct):
    """What is wrong, by kind, see `align`. fn = boundary + type + both + missed; fp = boundary + mistaken + spurious.

    boundary (float): Found with the right label and other borders.
    type (float): Found with the right borders as another label.
    both (float): Something that overlaps was found, of another label.
    missed (float): Nothing was found.
    spurious (float): Found where there is nothing.
    mistaken (float): Found where there is an entity of another label: the other side of `type` and `both`.
    """

    boundary: float
    type: float
    both: float
    missed: float
    spurious: float
    mistaken: float


class Recall(msgspec.Struct):
    """How many of some entities were found. r is None where there are none."""

    entities: float
    found: float
    r: float | None


class Score(msgspec.Struct, omit_defaults=True):
    """Strict precision, recall and F1, and what they are made of. Means over seeds where there are several.

    p (float | None): tp / (tp + fp); None where nothing was predicted.
    r (float | None): tp / (tp + fn); None where there is no entity.
    f (float | None): 2 tp / (2 tp + fp + fn), the harmonic mean of both; None where there is neither.
    low (float | None), high (float | None): Between these F lies with a confidence of 95 %, on other texts of the
        kind; with several seeds, on other texts and with other seeds.
    tp (float), fp (float), fn (float): Entities found, invented and missed. Whole numbers for one seed.
    support (int): tp + fn.
    texts (int): Texts that are scored; for all labels together, those that are for any.
    partial (Partial): With half credit for wrong borders.
    errors (Errors | None): What is wrong, by kind.
    seen (Recall | None), unseen (Recall | None): Of entities whose form is one of their label in the texts that were
        trained on, and of the others; None if the texts that were trained on are not at hand.
    sd (float | None): Of F over seeds; None for one.
    """

    p: float | None
    r: float | None
    f: float | None
    low: float | None
    high: float | None
    tp: float
    fp: float
    fn: float
    support: int
    texts: int
    partial: Partial
    errors: Errors | None = None
    seen: Recall | None = None
    unseen: Recall | None = None
    sd: float | None = None


class Macro(msgspec.Struct, omit_defaults=True):
    """The mean F1 of the labels that have support, how many they are, its interval, and its SD over seeds."""

    f: float | None
    labels: int
    low: float | None = None
    high: float | None = None
    sd: float | None = None


class Metrics(msgspec.Struct, omit_defaults=True):
    """metrics.json: nested objects whose leaves are numbers, or null where a score is undefined.

    labels (dict[str, Score]): By label, sorted. One that is scored on no text is here too.
    micro (Score): Of all entities, whatever their label.
    macro (Macro): Of all labels, however many entities they have.
    seeds (dict[str, Metrics]): The same for each seed, if there are several.
    """

    labels: dict[str, Score]
    micro: Score
    macro: Macro
    seeds: dict[str, Metrics] = {}


def score(counts: Iterable[int], texts: int) -> Score:
    """Precision, recall and F1, see https://en.wikipedia.org/wiki/F-score, rounded to six places, without interval.

    counts (Iterable[int]): True positives, false positives, false negatives, and how many of these are partial.
    texts (int): Texts that they were counted on.
    """
    tp, fp, fn, partial = map(int, counts)
    half = tp + partial / 2
    return Score(
        p=_ratio(tp, tp + fp), r=_ratio(tp, tp + fn), f=_ratio(2 * tp, 2 * tp + fp + fn), low=None, high=None,
        tp=tp, fp=fp, fn=fn, support=tp + fn, texts=int(texts),
        partial=Partial(_ratio(half, tp + fp), _ratio(half, tp + fn), _ratio(2 * half, 2 * tp + fp + fn)),
    )  # fmt: skip


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, _DIGITS) if whole else None


def metrics(counts: Counts, findings: Sequence[Findings] | None = None) -> Metrics:
    """The scores of a run: of its one seed, or means over its seeds, and each seed's.

    counts (Counts): What was counted.
    findings (Sequence[Findings] | None): What else was found out, by seed; None if nothing.
    """
    seeds = [_of_seed(counts, row, findings[row] if findings else None) for row in range(len(counts.seeds))]
    result = seeds[0] if len(seeds) == 1 else _over_seeds(counts.seeds, seeds)
    _set_intervals(result, counts)
    return result


def _of_seed(counts: Counts, row: int, findings: Findings | None) -> Metrics:
    sums, texts = counts.values[row].sum(0), counts.is_scored.sum(0)
    labels = {label: score(sums[column], texts[column]) for column, label in enumerate(counts.labels)}
    micro = score(sums.sum(0), counts.is_scored.any(1).sum())
    if findings:
        _add_findings([*labels.values(), micro], findings)
    found = [score.f for score in labels.values() if score.support and score.f is not None]
    return Metrics(labels, micro, Macro(_mean(found), len(found)))


def _add_findings(scores: Sequence[Score], findings: Findings) -> None:
    """To the scores of all labels, and of all together."""
    confusion, kinds = findings.confusion, findings.kinds[:, 1:]
    mistaken = confusion[:-1, :-1].sum(0) - confusion.diagonal()[:-1]
    errors = np.column_stack([kinds, confusion[-1, :-1], mistaken])
    for row, each in zip(np.vstack([errors, errors.sum(0)]).tolist(), scores, strict=True):
        each.errors = Errors(*row)
    if findings.seen is not None:
        for (entities, found), each in zip(
            np.vstack([findings.seen, findings.seen.sum(0)]).tolist(), scores, strict=True
        ):
            rest = each.support - entities, int(each.tp) - found
            each.seen = Recall(entities, found, _ratio(found, entities))
            each.unseen = Recall(*rest, _ratio(rest[1], rest[0]))


def _over_seeds(numbers: Sequence[int], seeds: Sequence[Metrics]) -> Metrics:
    """Means; a score that is undefined for some seeds is averaged over the others."""
    first = seeds[0]
    return Metrics(
        labels={label: _averaged([each.labels[label] for each in seeds]) for label in first.labels},
        micro=_averaged([each.micro for each in seeds]),
        macro=_averaged([each.macro for each in seeds]),
        seeds=dict(zip(map(str, numbers), seeds, strict=True)),
    )


def _averaged(parts: Sequence[S]) -> S:
    """Structs of numbers, and of such structs, averaged field by field; whole numbers that are equal stay so."""
    merged = _average([msgspec.to_builtins(part) for part in parts])
    merged |= {"sd": _sd([getattr(part, "f", None) for part in parts])}
    return msgspec.convert(merged, type(parts[0]))


def _average(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: _average_value([part.get(name) for part in parts]) for name in parts[0]}


def _average_value(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return _average(values)
    return values[0] if len(set(values)) == 1 else _mean(values)


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return round(math.fsum(defined) / len(defined), _DIGITS) if defined else None


def _sd(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return round(float(np.std(defined, ddof=1)), _DIGITS) if len(defined) > 1 else None


def _set_intervals(found: Metrics, counts: Counts) -> None:
    """By bootstrap over texts; with several seeds, with their noise added, since three are too few to be drawn from."""
    low, high = intervals(counts)
    scores: list[Score | Macro] = [*found.labels.values(), found.micro, found.macro]
    for each, *limits in zip(scores, low, high, strict=True):
        if each.f is not None:
            each.low, each.high = (_limit(limit) for limit in limits)


def _limit(value: float) -> float | None:
    return None if math.isnan(value) else round(min(1.0, max(0.0, float(value))), _DIGITS)


def intervals(counts: Counts) -> tuple[Floats, Floats]:
    """Limits of F by label, then of micro and macro."""
    sums = counts.values.sum(1)
    support = sums[0, :, 0] + sums[0, :, 2]
    samples = bootstrap.mean(
        np.stack([bootstrap.all_f1(bootstrap.resampled(values), support > 0) for values in counts.values]), 0
    )
    if len(counts.seeds) > 1:
        samples = samples + seed_noise(counts, support, len(samples))
    return bootstrap.interval(samples)


def seed_noise(counts: Counts, support: NDArray[np.integer], samples: int) -> Floats:
    """What other seeds would add to means over these: samples × (labels + 2), drawn from a t-distribution."""
    scores = bootstrap.all_f1(counts.values.sum(1), support > 0)
    found = spread([measured(scores)], support, bootstrap.mean(scores, 0))
    generator = np.random.default_rng(len(counts.seeds))
    draws = generator.standard_t(found.freedom, (samples, len(found.sd)))
    return draws * found.sd / math.sqrt(len(counts.seeds))
