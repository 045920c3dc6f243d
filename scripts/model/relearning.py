"""One label of a trained pipeline is learned again, or anew; what it says of the others stays as it was, to the bit."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch, registry
from thinc.api import Model, Optimizer, set_dropout_rate

from scripts.building.reading import Reader
from scripts.building.splits import read_split
from scripts.core.errors import UserError
from scripts.model.label_heads import (
    COVERED,
    INCORRECT,
    TAGS,
    Gold,
    LabelHeads,
    heads_layer,
    joined,
    masked_loss,
    prf,
    read_gold,
)
from scripts.model.provenance import BEST, KEY, provenance
from scripts.model.thresholds import choose, curve
from scripts.model.training import heads, prepared, publishing

_PARAMS = ("W1", "b1", "W2", "b2")
_LOOP = ("optimizer", "batcher", "dropout")
_EVALUATIONS = 6
_LEAST_STEPS = 100
_MOST_KEPT = 80 * 2**20  # bytes of what the layers below say of some texts
_BATCH = 64


class Relearned(NamedTuple):
    """What came of it.

    is_new (bool): Whether the pipeline did not know the label.
    before (Optional[float]), after (Optional[float]): F1 of its head on the dev texts; None without support.
    texts (int): Texts to train on of which the label is known.
    steps (int): Batches.
    """

    is_new: bool
    before: float | None
    after: float | None
    texts: int
    steps: int


def relearn(source: Path, label: str, corpus: Path, folder: Path, steps: int | None = None) -> Relearned:
    """Train the head of one label on what a corpus now knows of it, and put `model-best` into a folder.

    source (Path): A trained pipeline with label heads. It stays as it is.
    label (str): Known to the pipeline or not.
    corpus (Path): With train, dev and split.json.
    folder (Path): For example training/ner-ORG/seed-0.
    steps (Optional[int]): Batches; None for as many as the pipeline was trained for, or a third of that where texts are
        too many to keep what the layers below the heads say of them, so that a batch costs more.
    RAISES (UserError): If there is no such pipeline, it has no heads, or nothing is known of the label.
    """
    nlp = _load(source)
    pipe = heads(nlp)
    if pipe is None:
        raise UserError(f"{source}: has no label heads, so that no label can be learned alone; train it anew")
    split = read_split(corpus / "split.json")
    seed = nlp.config.interpolate()["training"]["seed"]
    most = _MOST_KEPT // (4 * pipe.model.get_ref("heads").get_dim("nI"))
    train = _Texts(nlp, corpus / "train", label, most, seed)
    if not train.number:
        raise UserError(f"{corpus}/train: no text is annotated for {label}")
    steps, loop = _loop(nlp, steps, 1 if train.kept else 3)
    spacy.util.fix_random_seed(seed)
    is_new = bool(pipe.add_label(label))
    head = _Head(pipe, label)
    dev = _Texts(nlp, corpus / "dev", label, most)
    for texts in (train, dev):
        head.keep(texts.kept)
    before = None if is_new else head.score(dev.epoch(), pipe.out_bias.get(label, 0.0))
    batches = _endless(lambda: loop["batcher"](train.epoch()))
    head.train(islice(batches, steps), loop["optimizer"], loop["dropout"], lambda: head.score(dev.epoch()), steps)
    bias = choose(curve(head, dev.epoch()))[label]
    head.put_back()
    pipe.out_bias[label] = bias
    _record(nlp, label, split.digest)
    with publishing(folder) as work:
        nlp.to_disk(work / BEST)
    return Relearned(is_new, before, head.score(dev.epoch(), bias), train.number, steps)


def _load(source: Path) -> Language:
    try:
        return spacy.load(source)
    except Exception as err:  # whatever its components raise
        raise UserError(f"{source}: cannot be loaded ({type(err).__name__}: {err}); train a model first") from err


def _loop(nlp: Language, steps: int | None, share: int) -> tuple[int, dict[str, Any]]:
    """How the pipeline was trained: steps, or a share of them, and the optimizer, batcher and dropout for so many."""
    config = nlp.config.copy()
    steps = steps or max(_LEAST_STEPS, config.interpolate()["training"]["max_steps"] // share)
    config["training"]["max_steps"] = steps
    training = config.interpolate()["training"]
    return steps, registry.resolve({name: training[name] for name in _LOOP})


def _about(examples: Iterable[Example], label: str) -> Iterator[Example]:
    """The examples that say anything of a label."""
    for example in examples:
        groups = (example.reference.spans.get(key, ()) for key in (COVERED, INCORRECT))
        if any(span.label_ == label for group in groups for span in group):
            yield example


def _endless(epoch: Callable[[], Iterable[list[Example]]]) -> Iterator[list[Example]]:
    while True:
        yield from epoch()


def _record(nlp: Language, label: str, corpus: str) -> None:
    """Say in the meta that a label was learned from another corpus than the rest, which makes it another model."""
    told = provenance(nlp.meta)
    if told:
        told.relearned[label] = corpus
        told.corpus = hashlib.sha256(msgspec.json.encode([told.corpus, label, corpus])).hexdigest()
        nlp.meta[KEY] = msgspec.to_builtins(told)


class _Texts:
    """The texts of a folder of which a label is known, prepared; kept, if they are not too many, else read again.

    most (int): How many tokens are not too many.

    number (int): How many.
    kept (list[Example]): All of them, or none.
    """

    def __init__(self, nlp: Language, folder: Path, label: str, most: int, seed: int | None = None) -> None:
        self._nlp, self._folder, self._label = nlp, folder, label
        self._shuffled = None if seed is None else random.Random(seed)  # noqa: S311
        self._stream = Reader(folder, seed=seed)
        self.kept: list[Example] = []
        self.number = tokens = 0
        for example in self._read(Reader(folder)):
            self.number += 1
            tokens += len(example.predicted)
            if tokens <= most:
                self.kept.append(example)
        if tokens > most:
            self.kept.clear()

    def epoch(self) -> Iterable[Example]:
        """All texts, in another order each time if there is a seed."""
        if not self.kept:
            return self._read(self._stream)
        if self._shuffled:
            return self._shuffled.sample(self.kept, len(self.kept))
        return self.kept

    def _read(self, reader: Reader) -> Iterator[Example]:
        return prepared(self._nlp, _about(reader(self._nlp), self._label))


class _Head:
    """The head of one label, taken out, over the layers of its pipeline. It says what the pipeline's would."""

    def __init__(self, pipe: LabelHeads, label: str) -> None:
        self.pipe, self.labels = pipe, (label,)
        self.column = pipe.labels.index(label)
        self.whole: Model[Any, Any] = pipe.model.get_ref("heads")
        self.model = heads_layer(self.whole.attrs["width"], self.whole.attrs["pieces"], self.whole.get_dim("nI"))
        self.model.attrs["labels"] = 1
        for name in _PARAMS:
            self.model.set_param(name, self.whole.get_param(name)[self.column : self.column + 1].copy())
        self.features: dict[int, Any] = {}  # by id of a text's Doc
        self.gold: dict[int, Gold] = {}

    def keep(self, examples: Iterable[Example]) -> None:
        """Keep what does not change: what the layers below the heads say of some texts, and their gold."""
        for batch in minibatch(examples, _BATCH):
            docs = [example.predicted for example in batch]
            for example, doc, rows in zip(batch, docs, self._below(docs), strict=True):
                self.features[id(doc)] = rows
                self.gold[id(doc)] = read_gold([example], self.labels)

    def _below(self, docs: Sequence[Doc]) -> Any:
        """A (tokens, width) for each text."""
        kept = [self.features.get(id(doc)) for doc in docs]
        return self.pipe.model.get_ref("tok2vec").predict(docs) if any(rows is None for rows in kept) else kept

    def _gold(self, examples: Sequence[Example]) -> Gold:
        kept = [self.gold.get(id(example.predicted)) for example in examples]
        return joined([gold or read_gold([example], self.labels) for gold, example in zip(kept, examples, strict=True)])

    def train(
        self,
        batches: Iterable[list[Example]],
        optimizer: Optimizer,
        dropout: float,
        score: Callable[[], float | None],
        steps: int,
    ) -> None:
        """Train, and take the averaged weights that score best."""
        best = -1.0
        kept = {name: self.model.get_param(name) for name in _PARAMS}
        for step, examples in enumerate(batches, 1):
            set_dropout_rate(self.model, dropout)
            rows = self.model.ops.xp.concatenate(self._below([example.predicted for example in examples]))
            scores, backprop = self.model.begin_update(rows)
            _, d_scores = masked_loss(scores.reshape(len(scores), 1, TAGS), self._gold(examples), self.model.ops.xp)
            backprop(d_scores.reshape(scores.shape))
            self.model.finish_update(optimizer)
            optimizer.step_schedules()
            if step % max(1, steps // _EVALUATIONS) == 0 or step == steps:
                with self.model.use_params(optimizer.averages or {}):
                    reached = score() or 0.0
                    if reached >= best:
                        best, kept = reached, {name: self.model.get_param(name).copy() for name in _PARAMS}
        for name in _PARAMS:
            self.model.set_param(name, kept[name])

    def scores(self, docs: Sequence[Doc]) -> Any:
        """(tokens, 1, 5), as `LabelHeads.scores`. The Docs must have been prepared."""
        rows = self.model.ops.xp.concatenate(self._below(docs))
        return self.model.ops.to_numpy(self.model.predict(rows)).reshape(-1, 1, TAGS)

    def score(self, dev: Iterable[Example], bias: float = 0.0) -> float | None:
        """F1 of the label on prepared texts."""
        return prf(*curve(self, dev, [bias]).counts[0, 0].tolist())["f"]

    def put_back(self) -> None:
        """Give the pipeline the head as it is now."""
        for name in _PARAMS:
            value = self.whole.get_param(name).copy()
            value[self.column] = self.model.get_param(name)[0]
            self.whole.set_param(name, value)
