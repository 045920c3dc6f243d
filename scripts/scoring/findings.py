"""What one model did right and wrong, summed over texts: kinds of errors, confusion, and forms it had seen before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from scripts.model.label_heads import GOLD
from scripts.scoring.alignment import HIT, KINDS, LABEL, MISSED
from scripts.scoring.counts import Chunk

Forms = Mapping[str, Collection[str]]


class Findings:
    """Sums over chunks.

    kinds (NDArray[int64]): labels × `KINDS`: entities by what became of them.
    confusion (NDArray[int64]): (labels + 1) × (labels + 1): entities of a label (row) that were found as another
        (column), with whatever borders; the last column has those that were missed, the last row what was found
        where there is nothing.
    seen (NDArray[int64] | None): labels × (entities, found) of those whose form is an entity of their label in
        the texts that were trained on; None if these are not known.
    """

    def __init__(self, labels: int, forms: Forms | None) -> None:
        self.kinds = np.zeros((labels, len(KINDS)), np.int64)
        self.confusion = np.zeros((labels + 1, labels + 1), np.int64)
        self.seen: NDArray[np.int64] | None = None if forms is None else np.zeros((labels, 2), np.int64)
        self._forms = forms

    def add(self, chunk: Chunk, labels: list[str]) -> None:
        """Add what was aligned."""
        gold, predicted, partner, kind, is_spurious = chunk.aligned
        np.add.at(self.kinds, (gold[:, LABEL], kind), 1)
        none = np.full(len(gold), len(labels))
        if len(predicted):
            none = np.where(kind == MISSED, none, predicted[partner, LABEL])
        np.add.at(self.confusion, (gold[:, LABEL], none), 1)
        np.add.at(self.confusion, (len(labels), predicted[is_spurious, LABEL]), 1)
        if self.seen is not None:
            self._add_seen(chunk, labels)

    def _add_seen(self, chunk: Chunk, labels: list[str]) -> None:
        assert self._forms is not None
        assert self.seen is not None
        for (text, label, start, end), kind in zip(
            chunk.aligned.gold.tolist(), chunk.aligned.kind.tolist(), strict=True
        ):
            if chunk.texts[text][start:end] in self._forms.get(labels[label], ()):
                self.seen[label] += 1, kind == HIT


def forms(docs: Iterable[Doc]) -> dict[str, set[str]]:
    """The surface forms of each label's entities, as they are written."""
    found: dict[str, set[str]] = {}
    for doc in docs:
        for span in doc.spans[GOLD]:
            found.setdefault(span.label_, set()).add(span.text)
    return found
