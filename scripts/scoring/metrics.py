"""Scores from counts, by label and over all labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:  # what only looks at scores needs no spaCy
    from scripts.scoring.counts import Counts

_DIGITS = 6


class Score(msgspec.Struct):
    """Strict precision, recall and F1, and what they are made of. Means over seeds where there are several.

    p (float | None): tp / (tp + fp); None where nothing was predicted.
    r (float | None): tp / (tp + fn); None where there is no entity.
    f (float | None): 2 tp / (2 tp + fp + fn), the harmonic mean of both; None where there is neither.
    tp (float), fp (float), fn (float): Entities found, invented and missed. Whole numbers for one seed.
    support (int): tp + fn.
    texts (int): Texts that are scored; for all labels together, those that are for any.
    """

    p: float | None
    r: float | None
    f: float | None
    tp: float
    fp: float
    fn: float
    support: int
    texts: int


class Macro(msgspec.Struct):
    """The mean F1 of the labels that have support, and how many they are."""

    f: float | None
    labels: int


class Metrics(msgspec.Struct, omit_defaults=True):
    """metrics.json.

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
    """Precision, recall and F1, see https://en.wikipedia.org/wiki/F-score, rounded to six places.

    counts (Iterable[int]): True positives, false positives and false negatives.
    texts (int): Texts that they were counted on.
    """
    tp, fp, fn = map(int, counts)
    return Score(
        p=_ratio(tp, tp + fp),
        r=_ratio(tp, tp + fn),
        f=_ratio(2 * tp, 2 * tp + fp + fn),
        tp=tp,
        fp=fp,
        fn=fn,
        support=tp + fn,
        texts=int(texts),
    )


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, _DIGITS) if whole else None


def metrics(counts: Counts) -> Metrics:
    """The scores of one model."""
    sums, texts = counts.values.sum(0), counts.is_scored.sum(0)
    labels = {label: score(sums[column], texts[column]) for column, label in enumerate(counts.labels)}
    micro = score(sums.sum(0), counts.is_scored.any(1).sum())
    return Metrics(dict(sorted(labels.items())), micro, _macro(labels.values()))


def _macro(scores: Iterable[Score]) -> Macro:
    found = [score.f for score in scores if score.support and score.f is not None]
    return Macro(_mean(found), len(found))


def over_seeds(found: dict[int, Metrics]) -> Metrics:
    """The scores of a run: those of its one seed, or means over its seeds, and each seed's.

    A score that is undefined for some seeds is averaged over the others.
    """
    seeds = [found[seed] for seed in sorted(found)]
    if len(seeds) == 1:
        return seeds[0]
    return Metrics(
        labels={label: _average([metrics.labels[label] for metrics in seeds]) for label in seeds[0].labels},
        micro=_average([metrics.micro for metrics in seeds]),
        macro=Macro(_mean([metrics.macro.f for metrics in seeds]), seeds[0].macro.labels),
        seeds={str(seed): found[seed] for seed in sorted(found)},
    )


def _average(scores: Sequence[Score]) -> Score:
    means = {name: _mean([getattr(score, name) for score in scores]) for name in ("p", "r", "f", "tp", "fp", "fn")}
    return Score(**means, support=scores[0].support, texts=scores[0].texts)  # type: ignore[arg-type]


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return round(fmean(defined), _DIGITS) if defined else None
