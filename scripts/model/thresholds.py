"""How readily each label is found: the bias on O of its head, chosen on texts that were not trained on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from scripts.model.label_heads import OUT, LabelHeads, count, find, known

BIASES = tuple(step / 4 for step in range(-12, 13))  # on a score: 1 makes O e times as probable against the rest
_PRIOR = 50  # entities' worth of what is best for all labels together, in the choice for one
_BATCH = 64


class Heads(Protocol):
    """What scores texts: `LabelHeads`, or one of its heads alone."""

    @property
    def labels(self) -> tuple[str, ...]:
        """A head each."""

    def scores(self, docs: Sequence[Doc]) -> NDArray[np.float32]:
        """(tokens, labels, 5), without bias."""


class Curve(NamedTuple):
    """Biases × labels × (true positives, false positives, false negatives), where known."""

    labels: tuple[str, ...]
    counts: NDArray[np.int64]


def tune(pipe: LabelHeads, examples: Iterable[Example]) -> dict[str, float]:
    """Set `pipe.out_bias` to what gives each label the best F1 on some examples, labels of little support leaning on
    what is best for all.

    pipe (LabelHeads): A trained component. The layers below must be in it, or have run on the examples.
    examples (Iterable[Example]): Texts that it was not trained on, for example corpus/dev. Streamed.
    RETURNS (dict[str, float]): The biases by label. Those of labels without support are the ones for all.
    """
    chosen = choose(curve(pipe, examples))
    pipe.out_bias.clear()
    pipe.out_bias.update(chosen)
    return chosen


def curve(pipe: Heads, examples: Iterable[Example], biases: Sequence[float] = BIASES) -> Curve:
    """What a component finds with each bias, before overlaps between labels are settled."""
    counts = np.zeros((len(biases), len(pipe.labels), 3), np.int64)
    columns = {label: column for column, label in enumerate(pipe.labels)}
    for batch in minibatch(examples, _BATCH):
        docs = [example.predicted for example in batch]
        gold = [known(example.reference) for example in batch]
        lengths = [len(doc) for doc in docs]
        # Characters of each row, and each document's number.
        starts = np.array([token.idx for doc in docs for token in doc])
        ends = np.array([token.idx + len(token) for doc in docs for token in doc])
        number = np.repeat(np.arange(len(docs)), lengths)
        scores = pipe.scores(docs).copy()
        for step, bias in enumerate(biases):
            scores[:, :, OUT] += bias - (biases[step - 1] if step else 0)
            found = find(scores, lengths)
            spans: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
            places = zip(number[found.start], found.label, starts[found.start], ends[found.end - 1], strict=True)
            for doc, column, start, end in places:
                spans[doc, column].add((start, end))
            for doc, knowledge in enumerate(gold):
                for label, what in knowledge.items():
                    if what.is_scored and label in columns:
                        column = columns[label]
                        counts[step, column] += count(what, spans.get((doc, column), ()))
    return Curve(pipe.labels, counts)


def choose(found: Curve, biases: Sequence[float] = BIASES, prior: float = _PRIOR) -> dict[str, float]:
    """The bias of each label. Of biases that are as good, the one nearest to 0."""
    counts = found.counts.astype(np.float64)
    together = counts.sum(1, keepdims=True)
    support = max(1.0, float(together[0, 0, 0] + together[0, 0, 2]))
    smooth = counts + prior * together / support
    tp, fp, fn = np.moveaxis(smooth, 2, 0)
    f = 2 * tp / np.maximum(2 * tp + fp + fn, 1e-9)
    order = np.argsort(np.abs(biases), kind="stable")
    best = order[f[order].argmax(0)]
    return {label: biases[index] for label, index in zip(found.labels, best.tolist(), strict=True)}
