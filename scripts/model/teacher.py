"""A teacher: a first model, whose predictions the model learns where labels are not covered.

A label's annotations teach a first model what the label is. It was never told about a text in which the label is not
covered, so what it predicts there is as good as on new texts. The second model learns these probabilities beside all
annotations (knowledge distillation: Hinton et al. 2015, https://arxiv.org/abs/1503.02531).
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
from confection import Config
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from scripts.core.errors import UserError
from scripts.model.fitting import read_length, steps_of_epochs
from scripts.model.label_heads import TAGS, LabelHeads
from scripts.model.thresholds import examples_with_layers
from scripts.model.vectors import heads_of

OTHER_SEED = 1000  # more than the model's
_CACHE_BYTES = 80 * 2**20  # of probabilities: those of other texts are predicted each time


def demand_heads_to_teach(config: Config) -> None:
    """RAISES (UserError): If a config has a teacher and no label heads to learn from it, or its [length] is wrong."""
    share = read_length(config.interpolate()).teacher if "length" in config else 0.0
    if share and heads_of(config) is None:
        raise UserError(f"[length] teacher = {share} does nothing without label_heads; set 0")


def teacher_values(config: Config, words: int) -> dict[str, int]:
    """Values for the training of a teacher, by a config of which `length` has set the steps; empty: there is none.

    It has as many epochs as the model, at least its share of least_steps, and no more steps than the model; as many, if
    those of the epochs are not known. Its seed is another one, so that it errs elsewhere than the model would.

    words (int): Tokens of the training texts.
    """
    config = config.interpolate()
    rules, training = read_length(config) if "length" in config else None, config["training"]
    if not rules or not rules.teacher:
        return {}
    by_epochs = steps_of_epochs(rules, training, words)
    steps = training["max_steps"]
    if by_epochs is not None:
        steps = min(steps, max(by_epochs, ceil(rules.teacher * rules.least_steps)))
    seeds = {f"{name}.seed": config.get(name, {}).get("seed") for name in ("system", "training")}
    return {
        **{key: seed + OTHER_SEED for key, seed in seeds.items() if seed is not None},
        "training.eval_frequency": 0,  # and the next one: as the steps ask for
        "training.patience": 0,
        "training.max_epochs": -1,
        "training.max_steps": steps,
    }


def label_heads_of(nlp: Language) -> LabelHeads:
    """The label heads of a pipeline that has some."""
    return next(pipe for _, pipe in nlp.pipeline if isinstance(pipe, LabelHeads))


class Teacher:
    """The predictions of a trained pipeline. Called with Docs, it gives what `LabelHeads.learn_from` takes."""

    def __init__(self, nlp: Language) -> None:
        """nlp (Language): With label heads, which are calibrated."""
        self._nlp, self._heads = nlp, label_heads_of(nlp)
        self._known: dict[str, np.ndarray] = {}  # by text
        self._room = _CACHE_BYTES // (2 * TAGS * len(self._heads.labels))  # tokens

    def __call__(self, docs: Sequence[Doc]) -> np.ndarray:
        """Calibrated probabilities of all tags: (tokens of all Docs, labels, 5), float16."""
        docs_of = {doc.text: doc for doc in docs if doc.text not in self._known}
        examples = examples_with_layers(self._nlp, (Example(doc, doc) for doc in docs_of.values()))
        found = self._heads.probabilities([example.predicted for example in examples]).astype(np.float16)
        ends = np.cumsum([len(doc) for doc in docs_of.values()], dtype=int)
        new = dict(zip(docs_of, np.split(found, ends[:-1]), strict=True)) if docs_of else {}
        result = np.concatenate([new[doc.text] if doc.text in new else self._known[doc.text] for doc in docs])
        for text, probabilities in new.items():
            if len(probabilities) <= self._room:
                self._known[text] = probabilities
                self._room -= len(probabilities)
        return result
