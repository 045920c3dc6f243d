"""A threshold for each label, chosen on texts that were not trained on: a bias on the score of O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from scripts.model.label_heads import OUT, count_spans, covered_of, find_entities

BIASES = tuple(step / 4 for step in range(-12, 13))  # on a score: 1 makes O e times as probable against the rest
_PRIOR = 50  # entities: how much the best threshold of all labels together counts in the choice for one
_BATCH = 64


@runtime_checkable
class LabelScorer(Protocol):
    """A component that scores the tags of each label by themselves: `LabelHeads`, or another one beside it.

    `train` sets its thresholds; `queue` and `suspects` read its scores.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the scores."""

    @property
    def thresholds(self) -> dict[str, float]:
        """By label, the bias that is added to the score of O before decoding: less than 0 finds more."""

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


def set_thresholds(pipe: LabelScorer, examples: Iterable[Example]) -> tuple[dict[str, float], dict[str, list[int]]]:
    """Set the thresholds that give each label the best F1 on some examples.

    pipe (LabelScorer): A trained component. Components below it must have run on the examples.
    examples (Iterable[Example]): Texts that it was not trained on, for example corpus/dev. They are streamed.
    RETURNS (tuple[dict[str, float], dict[str, list[int]]]): By label: the threshold; and with it the true positives,
        false positives and false negatives.
    """
    counts = count_by_threshold(pipe, examples)
    chosen = best_thresholds(pipe.labels, counts)
    pipe.thresholds.clear()
    pipe.thresholds.update(chosen)
    columns = enumerate(chosen.items())
    return chosen, {label: counts[BIASES.index(bias), column].tolist() for column, (label, bias) in columns}


def count_by_threshold(
    pipe: LabelScorer, examples: Iterable[Example], biases: Sequence[float] = BIASES
) -> NDArray[np.int64]:
    """Counts with each threshold, where labels are covered: (thresholds, labels, [tp, fp, fn]).

    Overlaps between entities of different labels are all counted: they are resolved later.
    """
    counts = np.zeros((len(biases), len(pipe.labels), 3), np.int64)
    columns = {label: column for column, label in enumerate(pipe.labels)}
    for batch in minibatch(examples, _BATCH):
        docs = [example.predicted for example in batch]
        gold = [covered_of(example.reference) for example in batch]
        lengths = [len(doc) for doc in docs]
        # By row: where the token starts and ends in its text, and the number of its Doc.
        starts = np.array([token.idx for doc in docs for token in doc])
        ends = np.array([token.idx + len(token) for doc in docs for token in doc])
        number = np.repeat(np.arange(len(docs)), lengths)
        scores = pipe.scores(docs).copy()
        for step, bias in enumerate(biases):
            scores[:, :, OUT] += bias - (biases[step - 1] if step else 0)
            found = find_entities(scores, lengths)
            spans: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
            places = zip(number[found.start], found.label, starts[found.start], ends[found.end - 1], strict=True)
            for doc, column, start, end in places:
                spans[doc, column].add((start, end))
            for doc, by_label in enumerate(gold):
                for label, covered in by_label.items():
                    if covered.is_scored and label in columns:
                        column = columns[label]
                        counts[step, column] += count_spans(covered, spans.get((doc, column), ()))
    return counts


def best_thresholds(
    labels: Sequence[str], counts: NDArray[np.int64], biases: Sequence[float] = BIASES, prior: float = _PRIOR
) -> dict[str, float]:
    """The threshold of each label with the best F1; of several, the one nearest to 0.

    counts (NDArray[int64]): See `count_by_threshold`.
    prior (float): To the counts of a label, those of all labels together are added, scaled to so many entities: a label
        with few entities leans on the others.
    """
    together = counts.sum(1, keepdims=True)
    support = max(1.0, float(together[0, 0, 0] + together[0, 0, 2]))
    smooth = counts + prior * together / support
    tp, fp, fn = np.moveaxis(smooth, 2, 0)
    f = 2 * tp / np.maximum(2 * tp + fp + fn, 1e-9)
    order = np.argsort(np.abs(biases), kind="stable")
    best = order[f[order].argmax(0)]
    return {label: biases[index] for label, index in zip(labels, best.tolist(), strict=True)}
