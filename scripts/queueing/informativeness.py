"""How much a model would learn from the annotation of a text, by its uncertainty about each token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.model.label_heads import OUT, LabelHeads, find, log_softmax
from scripts.model.models import Trained, load
from scripts.model.training import heads

Floats = NDArray[np.float64]

_DISCOUNT = 0.5  # what a form is still worth, each time that a text has been taken for it
_PART = 0.1  # a text is taken for the forms that are at least so much of what it is worth
_LENGTH = 0.5  # worth is a sum over tokens, and is divided by this power of their number


class Chosen(NamedTuple):
    """One of the texts that were taken: its place among the candidates, and what it was worth at that point."""

    number: int
    worth: float


def probabilities(pipe: LabelHeads, docs: Sequence[Doc]) -> Floats:
    """(tokens of all Docs, labels, 5): of each tag, with the bias by which the pipeline decides."""
    scores = pipe.scores(docs).astype(np.float64)
    scores[:, :, OUT] += np.array([pipe.out_bias.get(label, 0.0) for label in pipe.labels])
    found: Floats = np.exp(log_softmax(scores))
    return found


def entropies(models: Sequence[Floats]) -> Floats:
    """How unsure one or several models are of each token: the entropy of their mean, in nats.

    It is the sum of how unsure each of them is and of how far they disagree (Houlsby et al. 2011,
    https://arxiv.org/abs/1112.5745).

    models (Sequence[Floats]): Of each model (…, 5), see `probabilities`.
    """
    mean = sum(models[1:], models[0]) / len(models)
    return -(mean * np.log(np.maximum(mean, 1e-12))).sum(-1)


def by_form(words: Iterable[str], doubts: Sequence[float], length: float = _LENGTH) -> dict[str, float]:
    """What a text is worth, by the forms of its tokens.

    words (Iterable[str]): Its tokens.
    doubts (Sequence[float]): How unsure the models are of each, see `entropies`.
    length (float): 0: what is learned from a text counts, 1: what is learned from a word.
    RETURNS (dict[str, float]): Forms in lower case.
    """
    found: dict[str, float] = {}
    for word, doubt in zip(words, doubts, strict=True):
        form = word.lower()
        found[form] = found.get(form, 0.0) + doubt
    divisor = max(1, len(doubts)) ** length
    return {form: doubt / divisor for form, doubt in found.items()}


def worth(forms: Mapping[str, float], seen: Mapping[str, int], discount: float = _DISCOUNT) -> float:
    """What is still to be learned from a text when forms have been seen so many times."""
    return sum(value * discount ** seen.get(form, 0) for form, value in forms.items())


def taken_for(forms: Mapping[str, float]) -> list[str]:
    """The forms that a text is taken for: others, such as a comma, are in it by chance."""
    least = _PART * sum(forms.values())
    return [form for form, value in forms.items() if value >= least]


def choose(
    candidates: Sequence[Mapping[str, float]],
    is_free: Callable[[int], bool] = lambda number: True,
    discount: float = _DISCOUNT,
) -> Iterator[Chosen]:
    """Take the candidates one after the other, each time the one that is worth most beside those already taken.

    That worth only falls as more is taken, so that a candidate whose worth is still the largest when it is computed
    anew is the best one: lazy greedy maximisation of a submodular function (Minoux 1978,
    https://doi.org/10.1007/BFb0006528).

    candidates (Sequence[Mapping[str, float]]): See `by_form`. Of equals, the first is taken first.
    is_free (Callable[[int], bool]): Whether a candidate can be taken at all when it is its turn.
    YIELDS (Chosen): All that can be taken, in that order.
    """
    seen: Counter[str] = Counter()
    waiting = [(-worth(forms, seen, discount), number) for number, forms in enumerate(candidates)]
    heapify(waiting)
    while waiting:
        stale, number = waiting[0]
        now = -worth(candidates[number], seen, discount)
        if now > stale:
            heapreplace(waiting, (now, number))
            continue
        heappop(waiting)
        if is_free(number):
            yield Chosen(number, -now)
            seen.update(taken_for(candidates[number]))


class Tagged(NamedTuple):
    """A text as models see it.

    words (list[str]): Its tokens.
    doubts (list[float]): How unsure they are of each, see `entropies`.
    spans (list[Span]): The entities of the label that they find, together.
    """

    words: list[str]
    doubts: list[float]
    spans: list[Span]


class Tagger:
    """Models of one run.

    models (Sequence[Trained]): At least one.
    label (str): The label.
    RAISES (UserError): If one cannot be loaded, has no head for the label, or no heads.
    """

    def __init__(self, models: Sequence[Trained], label: str) -> None:
        self.label = label
        self._models = [(load(model.path), model) for model in models]
        self._heads = [_heads(nlp, model, label) for nlp, model in self._models]

    @property
    def longest(self) -> int:
        """Code points that a text may have."""
        return min(nlp.max_length for nlp, _ in self._models)

    def tag(self, texts: Sequence[str]) -> list[Tagged]:
        """What they think of some texts, none of them longer than they take."""
        of_models = []
        for (nlp, _), pipe in zip(self._models, self._heads, strict=True):
            with nlp.memory_zone():  # a vocabulary would grow with all that it reads
                docs = _below(nlp, [nlp.make_doc(text) for text in texts])
                places = [[(token.idx, token.text) for token in doc] for doc in docs]
                of_models.append(probabilities(pipe, docs)[:, pipe.labels.index(self.label)])
        return list(self._together(places, of_models))

    def _together(self, places: list[list[tuple[int, str]]], of_models: list[Floats]) -> list[Tagged]:
        lengths = [len(tokens) for tokens in places]
        doubts = entropies(of_models)
        mean = sum(of_models[1:], of_models[0]) / len(of_models)
        found = find(np.log(np.maximum(mean, 1e-12))[:, None], lengths)
        spans = list(zip(found.start.tolist(), found.end.tolist(), strict=True))
        result, first = [], 0
        for tokens, length in zip(places, lengths, strict=True):
            own = [(start - first, end - first - 1) for start, end in spans if first <= start < first + length]
            result.append(
                Tagged(
                    [word for _, word in tokens],
                    doubts[first : first + length].tolist(),
                    [Span(tokens[a][0], tokens[z][0] + len(tokens[z][1]), self.label) for a, z in own],
                )
            )
            first += length
        return result


def _heads(nlp: Language, model: Trained, label: str) -> LabelHeads:
    pipe = heads(nlp)
    instead = "or draw at random: --vars.order random"
    if pipe is None:
        raise UserError(
            f"{model.path}: has no label heads, which say how sure they are; take a run that has, {instead}"
        )
    if label not in pipe.labels:
        known = ", ".join(pipe.labels)
        raise UserError(f"{model.path}: does not know {label}; it knows {known}; train it again, {instead}")
    return pipe


def _below(nlp: Language, docs: list[Doc]) -> list[Doc]:
    """Run what comes before the heads: layers below them may be there."""
    names = nlp.pipe_names[: [isinstance(pipe, LabelHeads) for _, pipe in nlp.pipeline].index(True)]
    for name in names:
        below: Any = nlp.get_pipe(name)
        docs = list(below.pipe(docs))
    return docs
