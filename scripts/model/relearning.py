"""One label of a trained pipeline is learned again, or anew; what it says of the others stays as it was, to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from thinc.api import Model, Optimizer, set_dropout_rate

from scripts.annotations.errors import UserError
from scripts.model.label_heads import COVERED, INCORRECT, TAGS, LabelHeads, heads_layer, masked_loss, prf, read_gold
from scripts.model.provenance import BEST, KEY, provenance, read_split
from scripts.model.reading import Reader
from scripts.model.training import heads, prepared, publishing
from scripts.model.tuning import choose, curve

_PARAMS = ("W1", "b1", "W2", "b2")
_LOOP = ("optimizer", "batcher", "dropout")
_EVALUATIONS = 6
_LEAST_STEPS = 100


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
    steps (Optional[int]): Batches; None for a third of what the pipeline was trained for.
    RAISES (UserError): If there is no such pipeline, it has no heads, or nothing is known of the label.
    """
    nlp = _load(source)
    pipe = heads(nlp)
    if pipe is None:
        raise UserError(f"{source}: has no label heads, so that no label can be learned alone; train it anew")
    split = read_split(corpus / "split.json")
    steps, seed, loop = _loop(nlp, steps)
    train = Reader(corpus / "train", seed=seed)
    sizes = [len(example.reference) for example in _about(train(nlp), label)]
    if not sizes:
        raise UserError(f"{corpus}/train: no text is annotated for {label}")
    spacy.util.fix_random_seed(seed)
    is_new = bool(pipe.add_label(label))
    head = _Head(nlp, pipe, label, is_kept=sum(sizes) <= train.buffer)
    dev = list(prepared(nlp, _about(Reader(corpus / "dev")(nlp), label)))
    before = None if is_new else head.score(dev, pipe.out_bias.get(label, 0.0))
    batches = _endless(lambda: loop["batcher"](_about(train(nlp), label)))
    head.train(islice(batches, steps), loop["optimizer"], loop["dropout"], lambda: head.score(dev), steps)
    bias = choose(curve(head, dev))[label]
    head.put_back()
    pipe.out_bias[label] = bias
    _record(nlp, label, split.digest)
    with publishing(folder) as work:
        nlp.to_disk(work / BEST)
    return Relearned(is_new, before, head.score(dev, bias), len(sizes), steps)


def _load(source: Path) -> Language:
    try:
        return spacy.load(source)
    except Exception as err:  # whatever its components raise
        raise UserError(f"{source}: cannot be loaded ({type(err).__name__}: {err}); train a model first") from err


def _loop(nlp: Language, steps: int | None) -> tuple[int, int, dict[str, Any]]:
    """How the pipeline was trained: steps, seed, and the optimizer, batcher and dropout, for so many steps."""
    config = nlp.config.copy()
    steps = steps or max(_LEAST_STEPS, config.interpolate()["training"]["max_steps"] // 3)
    config["training"]["max_steps"] = steps
    training = config.interpolate()["training"]
    return steps, training["seed"], registry.resolve({name: training[name] for name in _LOOP})


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


class _Head:
    """The head of one label, taken out, over the layers of its pipeline. It says what the pipeline's would."""

    def __init__(self, nlp: Language, pipe: LabelHeads, label: str, is_kept: bool) -> None:
        self.nlp, self.pipe, self.labels = nlp, pipe, (label,)
        self.column = pipe.labels.index(label)
        self.whole: Model[Any, Any] = pipe.model.get_ref("heads")
        self.model = heads_layer(self.whole.attrs["width"], self.whole.attrs["pieces"], self.whole.get_dim("nI"))
        self.model.attrs["labels"] = 1
        for name in _PARAMS:
            self.model.set_param(name, self.whole.get_param(name)[self.column : self.column + 1].copy())
        self.is_kept = is_kept
        self.kept: dict[int, tuple[Example, Any]] = {}  # by id: an example, and what the layers below say of it

    def features(self, examples: Sequence[Example]) -> Any:
        """(tokens, width): what the layers below the heads say. They do not change, and so it may be kept."""
        new = [example for example in examples if id(example) not in self.kept]
        found = dict(self.kept)
        if new:
            docs = [example.predicted for example in prepared(self.nlp, new)]
            rows = self.pipe.model.get_ref("tok2vec").predict(docs)
            found |= {id(example): (example, row) for example, row in zip(new, rows, strict=True)}
        if self.is_kept:
            self.kept = found
        return self.model.ops.xp.concatenate([found[id(example)][1] for example in examples])

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
            scores, backprop = self.model.begin_update(self.features(examples))
            gold = read_gold(examples, self.labels)
            _, d_scores = masked_loss(scores.reshape(len(scores), 1, TAGS), gold, self.model.ops.xp)
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
        features = self.model.ops.xp.concatenate(self.pipe.model.get_ref("tok2vec").predict(docs))
        return self.model.ops.to_numpy(self.model.predict(features)).reshape(-1, 1, TAGS)

    def score(self, dev: Iterable[Example], bias: float = 0.0) -> float | None:
        """F1 of the label on prepared texts."""
        return prf(*curve(self, dev, [bias]).counts[0, 0].tolist())["f"]

    def put_back(self) -> None:
        """Give the pipeline the head as it is now."""
        for name in _PARAMS:
            value = self.whole.get_param(name).copy()
            value[self.column] = self.model.get_param(name)[0]
            self.whole.set_param(name, value)
