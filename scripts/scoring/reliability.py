"""Whether probabilities are right: of predicted spans with .8, about 80 % should be.

Spans are sorted by probability and cut into bins of equal size. The expected calibration error (ECE) is the mean
difference between probability and precision over the bins (Naeini et al. 2015,
https://doi.org/10.1609/aaai.v29i1.9602; with bins of equal size Nixon et al. 2019, https://arxiv.org/abs/1904.01685).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.scoring.bootstrap import rounded

Floats = NDArray[np.float64]

BINS = 15
LEAST_SPANS = 10 * BINS  # with fewer, the error would be mostly noise, so there is none


class Reliability(msgspec.Struct):
    """How reliable the probabilities of predicted spans are; means over seeds where there are several.

    All but `spans` is None below `LEAST_SPANS`.
    """

    spans: float  # predicted where their label is covered, a whole number for one seed
    ece: float | None = None  # expected calibration error
    exact_ece: float | None = None  # what it would be with so many spans if all probabilities were exact
    p30: float | None = None  # precision of the most certain 30 % of the spans
    p50: float | None = None  # likewise
    p80: float | None = None


class ReliabilityBin(NamedTuple):
    """A bin of the reliability diagram: its spans, their mean probability, and the share of them that is right."""

    spans: float
    probability: float
    precision: float


class SeedBins(msgspec.Struct):
    """Bins of one seed, the lowest probabilities first; none below `LEAST_SPANS`."""

    micro: list[ReliabilityBin]  # of all labels together
    labels: dict[str, list[ReliabilityBin]]  # sorted

    def __post_init__(self) -> None:
        """RAISES (ValueError): If a diagram has another number of bins, or a share is none."""
        for bins in (self.micro, *self.labels.values()):
            if len(bins) not in (0, BINS) or any(not 0 <= share <= 1 for _, *shares in bins for share in shares):
                raise ValueError(f"a diagram has not {BINS} bins of shares from 0 to 1")


class ReliabilityDiagrams(msgspec.Struct):
    """reliability.json: the reliability diagrams of a run, by seed."""

    seeds: dict[str, SeedBins]

    def means(self) -> SeedBins:
        """Means over seeds; a label is left out if a seed has no bins of it."""
        found = list(self.seeds.values())
        shared = [label for label in found[0].labels if all(each.labels.get(label) for each in found)]
        micro = _mean_bins([each.micro for each in found]) if all(each.micro for each in found) else []
        return SeedBins(micro, {label: _mean_bins([each.labels[label] for each in found]) for label in shared})


def _mean_bins(diagrams: Sequence[Sequence[ReliabilityBin]]) -> list[ReliabilityBin]:
    return [ReliabilityBin(*row) for row in np.mean(np.array(diagrams, np.float64), 0).tolist()]


class JudgedSpans:
    """Collects of each predicted span its label, its probability, and whether it is right: 11 bytes a span."""

    def __init__(self) -> None:
        self._label, self._probability, self._is_right = array("H"), array("d"), array("b")

    def add(self, label: int, probability: float, is_right: bool) -> None:
        """Add a span that is predicted where its label, given by number, is covered."""
        self._label.append(label)
        self._probability.append(probability)
        self._is_right.append(is_right)

    def of(self, label: int | None = None) -> tuple[Floats, Floats]:
        """Probabilities of the spans of a label, or of all, and whether these are right: 1 or 0."""
        probability, is_right = np.array(self._probability, np.float64), np.array(self._is_right, np.float64)
        chosen = slice(None) if label is None else np.array(self._label) == label
        return probability[chosen], is_right[chosen]

    def diagrams(self, labels: Sequence[str]) -> SeedBins:
        """Bins of all labels together, and of each that has enough spans."""
        by_label = {label: diagram(*self.of(number)) for number, label in enumerate(labels)}
        return SeedBins(diagram(*self.of()), {label: bins for label, bins in by_label.items() if bins})


def reliability(probability: Floats, is_right: Floats) -> Reliability:
    """Compare the probabilities of spans with whether these are right."""
    found, bins = Reliability(len(probability)), diagram(probability, is_right)
    if bins:
        total = len(probability)
        found.ece = rounded(sum(each.spans * abs(each.probability - each.precision) for each in bins) / total)
        found.exact_ece = rounded(sum(_mean_deviation(round(each.spans), each.probability) for each in bins) / total)
        _, right = _sorted(probability, is_right)
        found.p30, found.p50, found.p80 = (
            rounded(float(right[-math.ceil(share * total) :].mean())) for share in (0.3, 0.5, 0.8)
        )
    return found


def diagram(probability: Floats, is_right: Floats) -> list[ReliabilityBin]:
    """Bins of equal size, the lowest probabilities first; none if there are fewer than `LEAST_SPANS` spans."""
    if len(probability) < LEAST_SPANS:
        return []
    parts = (np.array_split(each, BINS) for each in _sorted(probability, is_right))
    return [
        ReliabilityBin(len(p), round(float(p.mean()), 6), round(float(right.mean()), 6))
        for p, right in zip(*parts, strict=True)
    ]


def _sorted(probability: Floats, is_right: Floats) -> tuple[Floats, Floats]:
    """Sort by probability. Spans of the same one share how many of them are right: their order tells nothing."""
    values, group, sizes = np.unique(probability, return_inverse=True, return_counts=True)
    right = np.bincount(group, is_right, len(values)) / sizes
    return np.repeat(values, sizes), np.repeat(right, sizes)


def _mean_deviation(spans: int, p: float) -> float:
    """The mean of |right - spans p|, where each span is right with probability p.

    De Moivre's formula, see Diaconis and Zabell 1991, https://doi.org/10.1214/ss/1177011699.
    """
    if not 0 < p < 1:
        return 0.0
    k = min(spans, math.floor(spans * p) + 1)
    ways = math.lgamma(spans + 1) - math.lgamma(k + 1) - math.lgamma(spans - k + 1)
    return 2 * k * math.exp(ways + k * math.log(p) + (spans - k + 1) * math.log1p(-p))
