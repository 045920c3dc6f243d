"""How much it means that models contradict an annotation: the more, the more rarely such models do.

Where models are as sure of a label as here, how often is the annotation another? If wrong annotations are about as
frequent everywhere, then what is wrong at a place of all places is inversely proportional to that share, by Bayes'
theorem; it is near 1 for labels that models have not learned, and near 0 for those that they have. What is counted is
the annotation as it is, wrong ones too, as in confident learning (Northcutt 2021, https://doi.org/10.1613/jair.1.12125).
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from scripts.reviewing.doubts import Judged
from scripts.reviewing.records import Suspect

_STEPS = 1000  # in which probabilities are counted
_Key = tuple[str, str]


class Weights:
    """Counts of how sure models are, by label: of what contradicts the annotation, and of all there is."""

    def __init__(self) -> None:
        self._all: dict[_Key, NDArray[np.int64]] = defaultdict(_nothing)
        self._contrary: dict[_Key, NDArray[np.int64]] = defaultdict(_nothing)

    def add(self, judged: Judged) -> None:
        """Count what models say of a text."""
        for label, probability in judged.claimed:
            self._all["claimed", label][_step(probability)] += 1
        for label, nothing in judged.denied:
            self._all["denied", label][_step(nothing)] += 1
        for suspect in judged.suspects:
            self._contrary[suspect.doubt, _judge(suspect)][_step(suspect.score)] += 1

    def close(self) -> None:
        """All has been counted: from now on counts are of so sure and surer."""
        for counts in (*self._all.values(), *self._contrary.values()):
            counts[:] = counts[::-1].cumsum()[::-1]

    def weight(self, suspect: Suspect) -> float:
        """1 less the share of places where models are so sure, and contradict the annotation in this way."""
        step, label = _step(suspect.score), _judge(suspect)
        contrary = self._contrary[suspect.doubt, label][step]
        whole = self._all["denied" if suspect.doubt == "spurious" else "claimed", label][step]
        return float(1 - (contrary + 1) / (max(whole, contrary) + 2))


def _nothing() -> NDArray[np.int64]:
    return np.zeros(_STEPS + 1, np.int64)


def _step(probability: float) -> int:
    return int(probability * _STEPS)


def _judge(suspect: Suspect) -> str:
    """The label whose head it was that contradicted."""
    return suspect.proposed[0].label if suspect.proposed else suspect.label
