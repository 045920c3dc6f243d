"""What models think of a label in texts: how unsure they are of each token, and the entities they find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.model.label_heads import LabelHeads, find
from scripts.model.models import Trained, load
from scripts.model.training import heads
from scripts.queueing.candidates import Floats, entropies, probabilities


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
