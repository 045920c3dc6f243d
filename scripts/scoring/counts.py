"""What was found, invented and missed, by text and label, where it is known; all scores follow from it.

Strict: a span is found if its label and both its borders are right. What is not known is not counted: neither a
prediction where nobody looked for its label, nor a text for a label of which nothing but entities is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.annotations.hashing import input_hash
from scripts.model.label_heads import Known, Range, count


class Counts(NamedTuple):
    """texts × labels × (true positives, false positives, false negatives).

    texts (list[str]): Names of the texts, see `text_id`.
    labels (list[str]): Names of the labels.
    values (NDArray[int32]): The counts, 0 where a text is not scored for a label.
    is_scored (NDArray[bool]): texts × labels.
    """

    texts: list[str]
    labels: list[str]
    values: NDArray[np.int32]
    is_scored: NDArray[np.bool_]


def text_id(text: str) -> str:
    """Names a text by its input hash, under which its annotations are found, and by what does not collide."""
    return f"{input_hash(text)}:{_sha256(text.encode('utf-8', 'surrogatepass'))[:16]}"


class Tally:
    """Collects counts text by text; it keeps no text and no Doc."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = {label: column for column, label in enumerate(labels)}
        self._texts: list[str] = []
        self._values: list[NDArray[np.int32]] = []
        self._is_scored: list[NDArray[np.bool_]] = []
        self._records: dict[str, list[bytes]] = {label: [] for label in labels}

    def add(self, text: str, gold: Mapping[str, Known], predicted: Mapping[str, Collection[Range]]) -> None:
        """Count one text. Labels that are not among those of the tally are passed over."""
        name = text_id(text)
        values = np.zeros((len(self._labels), 3), np.int32)
        is_scored = np.zeros(len(self._labels), np.bool_)
        for label in sorted(gold.keys() & self._labels.keys()):
            if gold[label].is_scored:
                column = self._labels[label]
                values[column] = count(gold[label], predicted.get(label, ()))
                is_scored[column] = True
                self._records[label].append(_record(text, gold[label]))
        self._texts.append(name)
        self._values.append(values)
        self._is_scored.append(is_scored)

    def counts(self) -> Counts:
        """All that was counted, sorted by text."""
        order = sorted(range(len(self._texts)), key=self._texts.__getitem__)
        shape = len(order), len(self._labels)
        values = np.array([self._values[row] for row in order], np.int32).reshape(*shape, 3)
        is_scored = np.array([self._is_scored[row] for row in order], np.bool_).reshape(shape)
        return Counts([self._texts[row] for row in order], list(self._labels), values, is_scored)

    def digests(self) -> dict[str, str]:
        """By label: which texts were scored, with which gold. Scores under another digest are of another test."""
        return {label: _sha256(b"".join(sorted(records))) for label, records in self._records.items()}


def _record(text: str, label: Known) -> bytes:
    what = [_sha256(text.encode("utf-8", "surrogatepass")), sorted(label.gold), label.covered]
    return hashlib.sha256(msgspec.json.encode(what)).digest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
