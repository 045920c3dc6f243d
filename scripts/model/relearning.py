"""Train one label of a pipeline again, or a new one; all other heads find the same spans, to the bit.

Where spans of the label overlap with theirs, `doc.ents` is settled anew, and can have others of their labels, too.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch, registry
from thinc.api import Model, Optimizer, set_dropout_rate

from scripts.building.reading import CorpusReader, read_labels
from scripts.building.splits import Corpus, read_corpus
from scripts.core.errors import UserError
from scripts.model import label_heads
from scripts.model.label_heads import COVERED, INCORRECT, TAGS, BatchGold, LabelHeads
from scripts.model.models import BEST, KEY, demand_finished, demand_labels, load_model, provenance, save_model
from scripts.model.thresholds import (
    count_by_threshold,
    examples_with_layers,
    label_scorer,
    mean_calibration,
    set_thresholds,
)
from scripts.model.training import replacing_model

_PARAMS = ("W1", "b1", "W2", "b2")
_LOOP = ("optimizer", "batcher", "dropout")  # keys of [training]
_EVALUATIONS = 6
_MIN_STEPS = 100
_CACHE_BYTES = 80 * 2**20  # for the output of the layers below the heads
_BATCH = 64


class Relearned(NamedTuple):
    """The result of training one label.

    before (float | None), after (float | None): F1 of its head on the dev texts; None without support.
    texts (int): Training texts that are covered for the label, in part or whole.
    """

    is_new: bool
    before: float | None
    after: float | None
    texts: int
    steps: int


def relearn(source: Path, label: str, corpus: Path, folder: Path, steps: int | None = None) -> Relearned:
    """Train the head of one label on a corpus, and put `model-best` into a folder.

    source (Path): A trained pipeline with label heads. It is not changed.
    folder (Path): For example training/ner-ORG/seed-0.
    steps (int | None): Batches; None for as many as the pipeline was trained for, or a third of that if the output of
        the layers below cannot be cached, so that a batch takes longer.
    RAISES (UserError): If the pipeline is missing, has no label heads or is of another project, a later training of it
        did not end, or no text is annotated for the label.
    """
    demand_finished(source)
    account = read_corpus(corpus / "split.json")
    nlp = load_model(source)
    pipe = label_scorer(nlp)
    if not isinstance(pipe, LabelHeads):  # others have no head that could be taken out
        raise UserError(f"{source}: has no label heads, so no label can be trained alone; train it anew")
    demand_labels(source, pipe.labels, read_labels(corpus / "labels.json"))
    seed = nlp.config.interpolate()["training"]["seed"]
    max_tokens = _CACHE_BYTES // (4 * pipe.model.get_ref("heads").get_dim("nI"))
    train, dev = (
        _LabelTexts(nlp, corpus / name, label, max_tokens, at) for name, at in (("train", seed), ("dev", None))
    )
    if not train.number:
        raise UserError(f"{corpus}/train: no text is annotated for {label}")
    with replacing_model(folder) as work:
        done = _relearn(nlp, pipe, label, train, dev, steps)
        _record(nlp, label, account, done.steps)
        save_model(nlp, work / BEST)
    return done


def _relearn(
    nlp: Language, pipe: LabelHeads, label: str, train: _LabelTexts, dev: _LabelTexts, steps: int | None
) -> Relearned:
    """Train the head of a label on its texts, and put it, its threshold and its calibration into the pipeline."""
    steps, loop = _training_loop(nlp, steps, 1 if train.cached else 3)
    spacy.util.fix_random_seed(nlp.config.interpolate()["training"]["seed"])
    is_new = bool(pipe.add_label(label))
    head = _LabelHead(pipe, label)
    for texts in (train, dev):
        head.cache(texts.cached)
    before = None if is_new else head.f1(dev.epoch(), pipe.thresholds.get(label, 0.0))
    batches = chain.from_iterable(loop["batcher"](train.epoch()) for _ in count())
    head.train(islice(batches, steps), loop["optimizer"], loop["dropout"], lambda: head.f1(dev.epoch()), steps)
    others = {name: values for name, values in pipe.calibration.items() if name != label}
    set_thresholds(head, dev.epoch(), mean_calibration(others))
    head.put_back()
    return Relearned(is_new, before, head.f1(dev.epoch(), head.thresholds[label]), train.number, steps)


def _training_loop(nlp: Language, steps: int | None, divisor: int) -> tuple[int, dict[str, Any]]:
    """The steps, and the pipeline's optimizer, batcher and dropout with schedules for these steps."""
    config = nlp.config.copy()
    steps = steps or max(_MIN_STEPS, config.interpolate()["training"]["max_steps"] // divisor)
    config["training"]["max_steps"] = steps
    training = config.interpolate()["training"]
    return steps, registry.resolve({name: training[name] for name in _LOOP})


def _record(nlp: Language, label: str, corpus: Corpus, steps: int) -> None:
    """Record in the meta that a label was trained alone, on which corpus and for how long: it is another model."""
    found = provenance(nlp.meta)
    if found:
        found.others = found.others or found.corpus
        found.relearned[label] = corpus.digest
        found.steps.append((label, steps))
        found.corpus = hashlib.sha256(msgspec.json.encode([found.corpus, label, corpus.digest])).hexdigest()
        found.covered[label] = corpus.covered.get(label, {}).get("train", 0)
        found.texts["train"] = max(found.texts.get("train", 0), corpus.texts.get("train", 0))
        nlp.meta[KEY] = msgspec.to_builtins(found)


class _LabelTexts:
    """The texts of a folder that are covered for a label: all cached if they have few tokens, else none."""

    def __init__(self, nlp: Language, folder: Path, label: str, max_tokens: int, seed: int | None = None) -> None:
        self._nlp, self._label = nlp, label
        self._random = None if seed is None else random.Random(seed)  # noqa: S311
        self._reader = CorpusReader(folder, seed=seed)
        self.cached: list[Example] = []
        self.number = tokens = 0
        for example in self._read(CorpusReader(folder)):
            self.number += 1
            tokens += len(example.predicted)
            if tokens <= max_tokens:
                self.cached.append(example)
        if tokens > max_tokens:
            self.cached.clear()

    def epoch(self) -> Iterable[Example]:
        """All texts, shuffled if there is a seed."""
        if not self.cached:
            return self._read(self._reader)
        return self._random.sample(self.cached, len(self.cached)) if self._random else self.cached

    def _read(self, reader: CorpusReader) -> Iterator[Example]:
        return examples_with_layers(self._nlp, filter(self._is_about_label, reader(self._nlp)))

    def _is_about_label(self, example: Example) -> bool:
        groups = (example.reference.spans.get(key, ()) for key in (COVERED, INCORRECT))
        return any(span.label_ == self._label for group in groups for span in group)


class _LabelHead:
    """The head of one label, taken out of its pipeline. A `LabelScorer` of one label."""

    def __init__(self, pipe: LabelHeads, label: str) -> None:
        self.pipe, self.labels, self.min_precision = pipe, (label,), pipe.min_precision
        self.thresholds: dict[str, float] = {}
        self.calibration: dict[str, Sequence[float]] = {}
        self.column = pipe.labels.index(label)
        self.all_heads: Model[Any, Any] = pipe.model.get_ref("heads")
        attrs = self.all_heads.attrs
        self.model = label_heads.heads_layer(
            attrs["width"], attrs["pieces"], self.all_heads.get_dim("nI"), attrs["rate"]
        )
        self.model.attrs["labels"] = 1
        for name in _PARAMS:
            self.model.set_param(name, self.all_heads.get_param(name)[self.column : self.column + 1].copy())
        self._features: dict[int, Any] = {}  # by id of the predicted Doc
        self._gold: dict[int, BatchGold] = {}

    def cache(self, examples: Iterable[Example]) -> None:
        """Cache the output of the layers below the heads, which training does not change, and the gold."""
        for batch in minibatch(examples, _BATCH):
            features = self._features_of([example.predicted for example in batch])
            for example, rows in zip(batch, features, strict=True):
                self._features[id(example.predicted)] = rows
                self._gold[id(example.predicted)] = label_heads.read_gold(
                    [example], self.labels, self.pipe.assumed_outside
                )

    def _features_of(self, docs: Sequence[Doc]) -> Any:
        """The output of the layers below: (tokens, width) for each Doc."""
        if all(id(doc) in self._features for doc in docs):
            return [self._features[id(doc)] for doc in docs]
        return self.pipe.model.get_ref("tok2vec").predict(docs)

    def _gold_of(self, examples: Sequence[Example]) -> BatchGold:
        if all(id(example.predicted) in self._gold for example in examples):
            return label_heads.join_gold([self._gold[id(example.predicted)] for example in examples])
        return label_heads.read_gold(examples, self.labels, self.pipe.assumed_outside)

    def train(
        self,
        batches: Iterable[list[Example]],
        optimizer: Optimizer,
        dropout: float,
        score: Callable[[], float | None],
        steps: int,
    ) -> None:
        """Train, and set the averaged weights with the best score."""
        best = -1.0
        weights = {name: self.model.get_param(name) for name in _PARAMS}
        for step, examples in enumerate(batches, 1):
            set_dropout_rate(self.model, dropout)
            rows = self.model.ops.xp.concatenate(self._features_of([example.predicted for example in examples]))
            scores, backprop = self.model.begin_update(rows)
            gold = self._gold_of(examples)
            _, d_scores = label_heads.masked_loss(scores.reshape(len(scores), 1, TAGS), gold, self.model.ops.xp)
            backprop(d_scores.reshape(scores.shape))
            label_heads.finish_update(self.model, self.model, optimizer)
            optimizer.step_schedules()
            if step % max(1, steps // _EVALUATIONS) == 0 or step == steps:
                with self.model.use_params(optimizer.averages or {}):
                    reached = score() or 0.0
                    if reached >= best:
                        best, weights = reached, {name: self.model.get_param(name).copy() for name in _PARAMS}
        for name in _PARAMS:
            self.model.set_param(name, weights[name])

    def scores(self, docs: Sequence[Doc]) -> Any:
        """(tokens, 1, 5), as `LabelHeads.scores`. The components below must have run on the Docs."""
        rows = self.model.ops.xp.concatenate(self._features_of(docs))
        return self.model.ops.to_numpy(self.model.predict(rows)).reshape(-1, 1, TAGS)

    def f1(self, dev: Iterable[Example], threshold: float = 0.0) -> float | None:
        """F1 of the label; None without support."""
        return label_heads.prf(*count_by_threshold(self, dev, [threshold])[0, 0].tolist())["f"]

    def put_back(self) -> None:
        """Copy the weights, the threshold and the calibration of the head into the pipeline."""
        for name in _PARAMS:
            value = self.all_heads.get_param(name).copy()
            value[self.column] = self.model.get_param(name)[0]
            self.all_heads.set_param(name, value)
        self.pipe.thresholds.update(self.thresholds)
        self.pipe.calibration.update(self.calibration)
