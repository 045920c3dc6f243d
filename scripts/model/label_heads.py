"""A tagging head for each label: one named entity recognizer out of texts that are annotated for some labels each.

Whether a label is there and where is decided by its own head, which learns at the tokens at which that label is known
and nowhere else. The module needs spaCy, thinc and numpy alone, so that `spacy package --code` puts it into a wheel.

What is known of a text stands in its reference Doc:

doc.spans["gold"]: Every span known to be an entity. Spans of different labels may overlap.
doc.spans["covered"]: Ranges of tokens, each labelled with the label that is known there.
doc.spans["incorrect_spans"]: Spans known not to be an entity of their label, where else nothing is known of it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import spacy
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.strings import get_string_id
from spacy.tokens import Doc, Span, SpanGroup, Token
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import (  # fmt: skip
    Config,
    Model,
    Optimizer,
    chain,
    get_array_module,
    glorot_uniform_init,
    list2array,
    set_dropout_rate,
)
from thinc.types import Floats2d

GOLD, COVERED, INCORRECT = "gold", "covered", "incorrect_spans"  # keys of doc.spans; the last is spaCy's own name
TAGS = 5
_AT_ONCE = 1024  # tokens at a time of which the hidden layers are computed, so that they stay in the cache
OUT, BEGIN, IN, LAST, UNIT = range(TAGS)

DEFAULT_MODEL = """
[model]
@architectures = "labelwise.LabelHeads.v1"
hidden_width = 64
maxout_pieces = 2

[model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true
"""


# The model


@spacy.registry.architectures("labelwise.LabelHeads.v1")
def label_heads_model(
    tok2vec: Model[list[Doc], list[Floats2d]], hidden_width: int, maxout_pieces: int
) -> Model[list[Doc], Floats2d]:
    """A hidden layer and five scores for each label, over one shared tok2vec.

    tok2vec (Model[List[Doc], List[Floats2d]]): Any, also a listener.
    hidden_width (int): Units of each label's hidden layer.
    maxout_pieces (int): Of which each unit takes the largest.
    RETURNS (Model[List[Doc], Floats2d]): (tokens of all Docs, labels * 5): scores of the tags O, B, I, L and U of the
        first label, then of the second, and so on.
    """
    width = tok2vec.get_dim("nO") if tok2vec.has_dim("nO") else None
    heads = heads_layer(hidden_width, maxout_pieces, width)
    model = chain(tok2vec, list2array(), heads)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("heads", heads)
    return model


def heads_layer(width: int, pieces: int, nI: int | None = None) -> Model[Floats2d, Floats2d]:
    """The heads of all labels: maxout(X W1 + b1) W2 + b2 for each, the label being the first axis of each parameter.

    How many labels there are is an attribute and no dimension of the layer, since thinc lets no dimension change.

    width (int), pieces (int): Of each label's hidden layer.
    nI (Optional[int]): Width of the input.
    """
    return Model(
        "label_heads",
        _forward,
        init=_init,
        dims={"nI": nI},
        params={"W1": None, "b1": None, "W2": None, "b2": None},
        attrs={"width": width, "pieces": pieces, "labels": 0, "dropout_rate": 0.0},
    )


def _init(model: Model[Floats2d, Floats2d], X: Floats2d | None = None, Y: Floats2d | None = None) -> None:
    if X is not None and not model.has_dim("nI"):
        model.set_dim("nI", X.shape[1])
    for name, value in new_heads(model, model.attrs["labels"]).items():
        model.set_param(name, value)


def new_heads(model: Model[Floats2d, Floats2d], labels: int) -> dict[str, Any]:
    """Parameters of heads that have learned nothing yet: what they say of any token is 0."""
    ops, nI, width, pieces = model.ops, model.get_dim("nI"), model.attrs["width"], model.attrs["pieces"]
    hidden = [glorot_uniform_init(ops, (width * pieces, nI)) for _ in range(labels)]
    return {
        "W1": ops.xp.stack(hidden),
        "b1": ops.alloc2f(labels, width * pieces),
        "W2": ops.alloc3f(labels, width, TAGS),
        "b2": ops.alloc2f(labels, TAGS),
    }


def _forward(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    W1, b1 = model.get_param("W1"), model.get_param("b1")
    W2, b2 = model.get_param("W2"), model.get_param("b2")
    ops, matmul, tokens, labels = model.ops, model.ops.xp.matmul, X.shape[0], W1.shape[0]
    width, pieces, drop = model.attrs["width"], model.attrs["pieces"], model.attrs["dropout_rate"]
    if not is_train and tokens > _AT_ONCE:
        parts = [_forward(model, X[row : row + _AT_ONCE], False)[0] for row in range(0, tokens, _AT_ONCE)]
        return ops.xp.concatenate(parts), _no_backprop
    # All products are of one label each, so that what a head says does not depend on how many others there are.
    Z = matmul(X, W1.transpose(0, 2, 1))
    Z += b1[:, None]
    H, which = ops.maxout(Z.reshape(-1, width, pieces))
    mask = ops.get_dropout_mask(H.shape, drop) if is_train and drop else None
    if mask is not None:
        H *= mask
    H = H.reshape(labels, tokens, width)
    Y = matmul(H, W2)
    Y += b2[:, None]

    def backprop(dY: Floats2d) -> Floats2d:
        d_scores = ops.as_contig(dY.reshape(tokens, labels, TAGS).transpose(1, 0, 2))
        model.inc_grad("b2", d_scores.sum(1))
        model.inc_grad("W2", matmul(H.transpose(0, 2, 1), d_scores))
        dH = matmul(d_scores, W2.transpose(0, 2, 1)).reshape(-1, width)
        if mask is not None:
            dH *= mask
        dZ = ops.backprop_maxout(dH, which, pieces).reshape(labels, tokens, -1)
        model.inc_grad("b1", dZ.sum(1))
        model.inc_grad("W1", matmul(dZ.transpose(0, 2, 1), X))
        return matmul(dZ, W1).sum(0)

    return ops.as_contig(Y.transpose(1, 0, 2).reshape(tokens, -1)), backprop


def _no_backprop(dY: Floats2d) -> Floats2d:
    raise RuntimeError("this prediction was not made for training")


# What is known


class BatchGold(NamedTuple):
    """What is known of a batch, a row a token of all its Docs and a column a label.

    tags (np.ndarray): (tokens, labels), int64: OUT, BEGIN, IN, LAST or UNIT.
    covered (np.ndarray): (tokens, labels), bool: whether the tag counts.
    incorrect (list[tuple[int, int, int]]): First row, row after the last, and column of each span known to be wrong.
    """

    tags: np.ndarray
    covered: np.ndarray
    incorrect: list[tuple[int, int, int]]


def read_gold(examples: Sequence[Example], labels: Sequence[str]) -> BatchGold:
    """Read what the references of some examples know, by the tokens of what is predicted.

    Where both are tokenized otherwise, a span counts if its borders are those of tokens; else its tokens are unknown.

    examples (Sequence[Example]): The batch.
    labels (Sequence[str]): The columns. What is known of other labels is passed over.
    RAISES (ValueError): If a reference does not say what is covered: it must not be taken for "everything".
    """
    columns = {get_string_id(label): column for column, label in enumerate(labels)}
    return join_gold([_read(example, columns) for example in examples])


def join_gold(parts: Sequence[BatchGold]) -> BatchGold:
    """The gold of a batch from that of its texts, in their order."""
    offsets = np.cumsum([0, *(len(part.tags) for part in parts)]).tolist()
    return BatchGold(
        np.concatenate([part.tags for part in parts]),
        np.concatenate([part.covered for part in parts]),
        [
            (a + at, z + at, column)
            for at, part in zip(offsets[:-1], parts, strict=True)
            for a, z, column in part.incorrect
        ],
    )


def _read(example: Example, columns: Mapping[int, int]) -> BatchGold:
    reference, predicted = example.reference, example.predicted
    demand_coverage(reference)
    same = len(reference) == len(predicted) and all(map(_is_same, reference, predicted))
    tags = np.zeros((len(predicted), len(columns)), np.int64)
    known = np.zeros((len(reference), len(columns)), bool)
    for span in reference.spans[COVERED]:
        if span.label in columns:
            known[span.start : span.end, columns[span.label]] = True
    if not same:
        known = _by_predicted(example, known)
    for span, aligned in _aligned(example, reference.spans.get(GOLD, ()), same):
        column = columns.get(span.label)
        if column is None:
            continue
        if aligned is None:
            known[_tokens_of(example, span), column] = False
        else:
            set_tags(tags[:, column], *aligned)
    incorrect = [
        (*aligned, columns[span.label])
        for span, aligned in _aligned(example, reference.spans.get(INCORRECT, ()), same)
        if aligned and span.label in columns and not known[slice(*aligned), columns[span.label]].all()
    ]
    return BatchGold(tags, known, incorrect)


def demand_coverage(reference: Doc) -> None:
    """RAISES (ValueError): If a Doc does not say at which tokens which labels are known."""
    if COVERED not in reference.spans:
        raise ValueError(
            f'a text has no doc.spans["{COVERED}"], which says which labels are known in it: "{reference.text[:60]}"; '
            "make the corpus with the corpus step, or cover the whole text with a span for each label that is"
        )


def set_tags(tags: np.ndarray, start: int, end: int) -> None:
    """Tag an entity from the token `start` to the one before `end`."""
    if end - start == 1:
        tags[start] = UNIT
    else:
        tags[start], tags[start + 1 : end - 1], tags[end - 1] = BEGIN, IN, LAST


def _is_same(one: Token, other: Token) -> bool:
    return one.orth == other.orth


def _aligned(example: Example, spans: Iterable[Span], same: bool) -> Iterator[tuple[Span, tuple[int, int] | None]]:
    """Each span of a reference, and where its text is in what is predicted: [start, end), if on whole tokens."""
    for span in spans:
        if same:
            yield span, (span.start, span.end)
        else:
            found = example.get_aligned_spans_y2x([span], allow_overlap=True)
            yield span, (found[0].start, found[0].end) if found else None


def _tokens_of(example: Example, span: Span) -> list[int]:
    """The predicted tokens that have a part of a reference's span."""
    return example.alignment.y2x[span.start : span.end].ravel().tolist()


def _by_predicted(example: Example, known: np.ndarray) -> np.ndarray:
    """A predicted token is known where all tokens of the reference are that have a part of it."""
    result = np.zeros((len(example.predicted), known.shape[1]), bool)
    for token in range(len(result)):
        parts = example.alignment.x2y[token].ravel()
        if len(parts):
            result[token] = known[parts].all(0)
    return result


# Decoding


class BatchEntities(NamedTuple):
    """Entities of a batch, by label, then by place.

    start (np.ndarray), end (np.ndarray): Rows: the first token's, and the one after the last's.
    label (np.ndarray): Columns.
    probability (np.ndarray): Of exactly these tags at these tokens, as the label's head sees it.
    margin (np.ndarray): By how much, in log probability, they are preferred to no entity there.
    """

    start: np.ndarray
    end: np.ndarray
    label: np.ndarray
    probability: np.ndarray
    margin: np.ndarray


def decode(scores: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """The best valid tags of each label: of all sequences O, U and B I* L the one whose scores have the largest sum.

    Mostly the best tag of each token is valid beside its neighbours', and then that is it. Else it is found by the
    Viterbi algorithm: https://en.wikipedia.org/wiki/Viterbi_algorithm

    scores (np.ndarray): (tokens, labels, 5).
    lengths (Sequence[int]): Tokens of each Doc.
    RETURNS (np.ndarray): (tokens, labels): OUT, BEGIN, IN, LAST or UNIT.
    """
    tags = scores.argmax(2)
    sizes = np.array([length for length in lengths if length], np.int64)
    if not len(sizes):
        return tags
    ends = np.cumsum(sizes)
    starts = ends - sizes
    continues = (tags == BEGIN) | (tags == IN)  # to the next token
    open_before = np.zeros_like(continues)
    open_before[1:] = continues[:-1]
    open_before[starts] = False
    invalid = open_before != ((tags == IN) | (tags == LAST))
    invalid[ends - 1] |= continues[ends - 1]
    docs, labels = np.logical_or.reduceat(invalid, starts).nonzero()
    order = np.argsort(-sizes[docs], kind="stable")
    for part in _parts(sizes[docs[order]]):
        chosen = order[part]
        first, column, size = starts[docs[chosen]], labels[chosen], sizes[docs[chosen]]
        steps = np.arange(size[0])
        rows = np.minimum(first[:, None] + steps, len(scores) - 1)
        best = _viterbi(scores[rows, column[:, None]], size)
        inside = steps < size[:, None]
        tags[rows[inside], np.broadcast_to(column[:, None], rows.shape)[inside]] = best[inside]
    return tags


def _parts(sizes: np.ndarray, most: int = 2**20) -> Iterator[slice]:
    """Cut sequences, the longest first, into parts that are not large when they are padded."""
    start = 0
    while start < len(sizes):
        count = max(1, most // int(sizes[start]))
        yield slice(start, start + count)
        start += count


def _viterbi(scores: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Decode padded sequences, the longest first.

    There are two states between tokens, outside of an entity and inside, and a sequence begins and ends outside. From
    outside, O and U lead outside and B inside; from inside, I leads inside and L outside.

    scores (np.ndarray): (sequences, tokens, 5).
    lengths (np.ndarray): (sequences,).
    RETURNS (np.ndarray): (sequences, tokens). What is beyond a sequence's end means nothing.
    """
    count, steps, _ = scores.shape
    outside, inside = np.zeros(count, scores.dtype), np.full(count, -np.inf, scores.dtype)
    to_outside, to_inside = np.zeros((steps, count), np.int8), np.zeros((steps, count), np.int8)
    active = np.searchsorted(-lengths, -np.arange(steps), side="left")  # how many are longer than the step
    for step, n in enumerate(active.tolist()):
        now = scores[:n, step]
        out, within = outside[:n], inside[:n]
        ways_out = np.stack((out + now[:, OUT], within + now[:, LAST], out + now[:, UNIT]))
        ways_in = np.stack((out + now[:, BEGIN], within + now[:, IN]))
        best_out, best_in = ways_out.argmax(0), ways_in.argmax(0)
        to_outside[step, :n] = np.array((OUT, LAST, UNIT), np.int8)[best_out]
        to_inside[step, :n] = np.array((BEGIN, IN), np.int8)[best_in]
        outside[:n] = ways_out.max(0)
        inside[:n] = ways_in.max(0)
    tags = np.zeros((count, steps), np.int64)
    is_inside = np.zeros(count, bool)
    for step in range(steps - 1, -1, -1):
        n = active[step]
        tag = np.where(is_inside[:n], to_inside[step, :n], to_outside[step, :n])
        tags[:n, step] = tag
        is_inside[:n] = (tag == LAST) | (tag == IN)
    return tags


def find_entities(scores: np.ndarray, lengths: Sequence[int]) -> BatchEntities:
    """Decode the scores of a batch into entities. See `decode`."""
    tags = decode(scores, lengths).T
    label, start = ((tags == BEGIN) | (tags == UNIT)).nonzero()
    end = ((tags == LAST) | (tags == UNIT)).nonzero()[1] + 1
    if not len(start):
        return BatchEntities(start, end, label, np.zeros(0), np.zeros(0))
    sizes = end - start
    firsts = np.cumsum(sizes) - sizes
    rows = np.arange(sizes.sum()) + np.repeat(start - firsts, sizes)
    columns = np.repeat(label, sizes)
    logs = log_softmax(scores[rows, columns].astype(np.float64))
    taken = logs[np.arange(len(rows)), tags[columns, rows]]
    total = np.add.reduceat(taken, firsts)
    return BatchEntities(start, end, label, np.exp(total), total - np.add.reduceat(logs[:, OUT], firsts))


def log_softmax(scores: Any) -> Any:
    """Log probabilities of the tags: over the last axis. Arrays of numpy or cupy."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - get_array_module(shifted).log(get_array_module(shifted).exp(shifted).sum(-1, keepdims=True))


# The component


class LabelHeads(TrainablePipe):
    """Finds entities of each label by a head of its own, and learns from texts annotated for some labels each.

    What is found is in `doc.ents`, where of entities that overlap the clearer one stays and what was there before is
    kept, and in `doc.spans`, all of it, with probabilities in the group's `attrs["scores"]`.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], Floats2d],
        name: str = "label_heads",
        *,
        spans_key: str = "predicted",
        scorer: Callable[..., dict[str, Any]] | None = None,
    ) -> None:
        """Initialize the component.

        vocab (Vocab): The shared vocabulary.
        model (Model[List[Doc], Floats2d]): See `label_heads_model`.
        name (str): The component's name, by which its losses are known.
        spans_key (str): Where all entities go in `doc.spans`.
        scorer (Optional[Callable]): Scores examples; `score_covered` where None.
        """
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer or score_covered
        self.cfg: dict[str, Any] = {"labels": [], "thresholds": {}, "spans_key": spans_key}
        self._rehearsal_model: Model[list[Doc], Floats2d] | None = None

    # Labels

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of their heads."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> list[str]:
        """The labels, as `spacy init labels` saves them and `initialize` takes them."""
        return list(self.labels)

    @property
    def thresholds(self) -> dict[str, float]:
        """By label, what is added to the score of O before decoding: less than 0 finds more. See `tune`."""
        return cast(dict[str, float], self.cfg["thresholds"])

    def add_label(self, label: str) -> int:
        """Add a head, also to a trained model. It finds nothing before it has learned; the others stay as they are.

        label (str): The label.
        RETURNS (int): 0 if it is there already, else 1.
        """
        if not isinstance(label, str) or not label:
            raise ValueError(f"a label is a string that is not empty, not {label!r}")
        if label in self.labels:
            return 0
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        heads = self.model.get_ref("heads")
        if heads.has_param("W1"):
            heads.attrs["labels"] += 1
            xp = heads.ops.xp
            for name, value in new_heads(heads, 1).items():
                heads.set_param(name, xp.concatenate((heads.get_param(name), value)))
                if heads.has_grad(name):
                    heads.set_grad(name, xp.zeros_like(heads.get_param(name)))
        return 1

    # Learning

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        """Set up the heads and the layers below.

        get_examples (Callable[[], Iterable[Example]]): Gives examples. Where no labels are given, it has to give all.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[Sequence[str]]): The labels; else they are those that are known or covered somewhere.
        RAISES (ValueError): If there is no label, or an example does not say what is covered.
        """
        sample: list[Doc] = []
        found = set()
        for example in get_examples():
            demand_coverage(example.reference)
            if len(sample) < 10:  # enough to tell the layers below how wide they are
                sample.append(example.predicted)
            if labels is None:
                groups = (example.reference.spans.get(key, ()) for key in (COVERED, GOLD, INCORRECT))
                found |= {span.label_ for group in groups for span in group}
        for label in sorted(found) if labels is None else labels:
            self.add_label(label)
        if not self.labels:
            raise ValueError(f"{self.name}: no label; name them in [initialize.components.{self.name}.labels]")
        self.model.get_ref("heads").attrs["labels"] = len(self.labels)
        self.model.initialize(X=sample or None)

    def get_loss(self, examples: Iterable[Example], scores: Floats2d) -> tuple[float, Floats2d]:
        """Cross entropy of the tags that are known, and -log(1 - p) of each span known to be wrong, p being the
        probability of its tags.

        examples (Iterable[Example]): The batch.
        scores (Floats2d): (tokens, labels * 5), from the model.
        RETURNS (tuple[float, Floats2d]): The sum over the batch, and its gradient by the scores.
        """
        gold = read_gold(list(examples), self.labels)
        loss, d_scores = masked_loss(scores.reshape(len(scores), -1, TAGS), gold, self.model.ops.xp)
        return loss, d_scores.reshape(scores.shape)

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
        **config: Any,
    ) -> dict[str, float]:
        """Learn to find what the model found when training was resumed, so that it does not forget.

        See `TrainablePipe.rehearse`.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "LabelHeads.rehearse")
        docs = [example.predicted for example in examples]
        if self._rehearsal_model is None or not any(map(len, docs)):
            return losses
        set_dropout_rate(self.model, drop)
        scores, backprop = self.model.begin_update(docs)
        before = self._rehearsal_model.predict(docs)
        tags = before.shape[1]  # labels may have been added since
        xp = self.model.ops.xp
        target = xp.exp(log_softmax(before.reshape(len(before), -1, TAGS))).reshape(before.shape)
        now = xp.exp(log_softmax(scores[:, :tags].reshape(len(scores), -1, TAGS))).reshape(before.shape)
        d_scores = xp.zeros_like(scores)
        d_scores[:, :tags] = now - target
        backprop(d_scores)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += float((d_scores**2).sum())
        return losses

    # Finding

    def scores(self, docs: Sequence[Doc]) -> np.ndarray:
        """The scores of all tags, without the bias: (tokens of all Docs, labels, 5)."""
        if not any(map(len, docs)) or not self.labels:
            return np.zeros((0, len(self.labels), TAGS), "f")
        scores = self.model.ops.to_numpy(self.model.predict(list(docs)))
        return scores.reshape(len(scores), len(self.labels), TAGS)

    def predict(self, docs: Iterable[Doc]) -> BatchEntities:
        """Find the entities of a batch, without changing the Docs."""
        docs = list(docs)
        scores = self.scores(docs)
        if self.thresholds:
            scores = scores.copy()
            scores[:, :, OUT] += np.array([self.thresholds.get(label, 0.0) for label in self.labels], scores.dtype)
        return find_entities(scores, list(map(len, docs)))

    def set_annotations(self, docs: Iterable[Doc], found: BatchEntities) -> None:
        """Write what was found into `doc.ents` and `doc.spans`."""
        names = [self.vocab.strings.add(label) for label in self.labels]
        order = np.lexsort((found.label, found.end, found.start))
        start, end, label = (column[order].tolist() for column in found[:3])
        probability, margin = found.probability[order], found.margin[order]
        first, offset = 0, 0
        for doc in docs:
            last = first
            while last < len(start) and start[last] < offset + len(doc):
                last += 1
            spans = [Span(doc, start[i] - offset, end[i] - offset, names[label[i]]) for i in range(first, last)]
            group = SpanGroup(doc, name=self.cfg["spans_key"], spans=spans)
            group.attrs["scores"] = probability[first:last]
            doc.spans[self.cfg["spans_key"]] = group
            if spans:
                doc.set_ents([*doc.ents, *_clearest(doc, spans, margin[first:last].tolist())])
            first, offset = last, offset + len(doc)


def masked_loss(scores: Any, gold: BatchGold, xp: Any) -> tuple[float, Any]:
    """Cross entropy of the tags that are known, and -log(1 - p) of each span known to be wrong.

    scores (Floats3d): (tokens, labels, 5).
    gold (BatchGold): What is known.
    xp (Any): numpy or cupy.
    RETURNS (tuple[float, Floats3d]): The sum, and its gradient by the scores.
    """
    logs = log_softmax(scores)
    d_scores = xp.exp(logs)
    rows, columns = (xp.asarray(index) for index in gold.covered.nonzero())
    tags = xp.asarray(gold.tags[gold.covered])
    loss = -float(logs[rows, columns, tags].sum())
    pushes = [_push_down(logs, d_scores, *span, xp) for span in gold.incorrect]
    d_scores[rows, columns, tags] -= 1
    d_scores *= xp.asarray(gold.covered)[:, :, None]
    for start, end, column, gradient, more in pushes:
        d_scores[start:end, column] += gradient
        loss += more
    return loss, d_scores


def _push_down(
    logs: Any, probabilities: Any, start: int, end: int, column: int, xp: Any
) -> tuple[int, int, int, Any, float]:
    """Where a span is known to be wrong: the gradient of -log(1 - p), and its value, p being that of its tags."""
    tags = np.zeros(end - start, np.int64)
    set_tags(tags, 0, end - start)
    rows = xp.arange(end - start)
    own = logs[start:end, column]
    log_p = float(own[rows, xp.asarray(tags)].sum())
    rest = max(-float(np.expm1(log_p)), 1e-6)
    gradient = -probabilities[start:end, column].copy()
    gradient[rows, xp.asarray(tags)] += 1
    return start, end, column, gradient * (np.exp(log_p) / rest), -float(np.log(rest))


def _clearest(doc: Doc, spans: Sequence[Span], margins: Sequence[float]) -> list[Span]:
    """Of spans that overlap the one of the largest margin; none that overlaps what is in `doc.ents` already."""
    taken = {token for span in doc.ents for token in range(span.start, span.end)}
    kept = []
    for i in sorted(range(len(spans)), key=lambda i: (-margins[i], spans[i].start, spans[i].end, spans[i].label_)):
        tokens = range(spans[i].start, spans[i].end)
        if taken.isdisjoint(tokens):
            taken.update(tokens)
            kept.append(spans[i])
    return kept


# Scoring


Range = tuple[int, int]  # [start, end)


class Covered(NamedTuple):
    """What is known of one label in one text, in characters.

    gold (frozenset[Range]): Its entities, those that lie in covered ranges.
    covered (list[Range]): Where it is known, sorted and apart from each other.
    is_scored (bool): Whether a false prediction could be told: somewhere it is known not to be.
    """

    gold: frozenset[Range]
    covered: list[Range]
    is_scored: bool


def covered_of(doc: Doc) -> dict[str, Covered]:
    """What is known of each label that is covered anywhere in a Doc.

    RAISES (ValueError): If the Doc does not say what is covered.
    """
    demand_coverage(doc)
    gold, covered = _by_label(doc, GOLD), _by_label(doc, COVERED)
    # So that ranges include blanks, and neighbours touch, a range ends where the next token starts.
    starts = [*(token.idx for token in doc), len(doc.text)]
    return {label: _known(doc, starts, gold.get(label, []), ranges) for label, ranges in covered.items()}


def _by_label(doc: Doc, key: str) -> dict[str, list[Range]]:
    found: dict[str, list[Range]] = defaultdict(list)
    for span in doc.spans.get(key, []):
        found[span.label_].append((span.start, span.end))
    return found


def _known(doc: Doc, starts: Sequence[int], gold: Collection[Range], covered: Collection[Range]) -> Covered:
    ranges = join_ranges(covered)
    inside = [span for span in gold if _is_within(span, ranges)]
    tokens = _size(ranges)
    return Covered(
        gold=frozenset((starts[start], starts[end - 1] + len(doc[end - 1])) for start, end in inside),
        covered=[(starts[start], starts[end]) for start, end in ranges],
        is_scored=tokens == len(doc) or tokens > _size(join_ranges(inside)),
    )


def join_ranges(ranges: Iterable[Range]) -> list[Range]:
    """The same ground in the fewest ranges, sorted."""
    result: list[Range] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result


def _size(ranges: Iterable[Range]) -> int:
    return sum(end - start for start, end in ranges)


def _is_within(span: Range, ranges: Iterable[Range]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in ranges)


def count_spans(label: Covered, predicted: Collection[Range]) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of one label in one text, where it is known."""
    predicted = {span for span in predicted if _is_within(span, label.covered)}
    hits = len(label.gold & predicted)
    return hits, len(predicted) - hits, len(label.gold) - hits


def predictions(doc: Doc) -> dict[str, set[Range]]:
    """The entities of a Doc by label, in characters."""
    found: dict[str, set[Range]] = defaultdict(set)
    for span in doc.ents:
        found[span.label_].add((span.start_char, span.end_char))
    return found


def score_covered(examples: Iterable[Example], **_: Any) -> dict[str, Any]:
    """Strict scores of `doc.ents`, each label counted where the references know it and nowhere else.

    RETURNS (dict[str, Any]): ents_p, ents_r, ents_f of all labels together and ents_per_type by label, as spaCy's own
        scorer: https://spacy.io/api/scorer#score_spans. None where there is nothing to divide by.
    """
    counts = count_covered(examples)
    per_type = {label: prf(*counts[label]) for label in sorted(counts)}
    micro = prf(*(sum(column) for column in zip((0, 0, 0), *counts.values(), strict=True)))
    return {f"ents_{name}": value for name, value in micro.items()} | {"ents_per_type": per_type}


def count_covered(examples: Iterable[Example]) -> dict[str, list[int]]:
    """By label: entities found, invented and missed, where the references know the label. See `count`."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for example in examples:
        found = predictions(example.predicted)
        for label, gold in covered_of(example.reference).items():
            if gold.is_scored:
                for i, number in enumerate(count_spans(gold, found.get(label, ()))):
                    counts[label][i] += number
    return counts


def prf(tp: int, fp: int, fn: int) -> dict[str, float | None]:
    """Precision, recall and F1; None where there is nothing to divide by."""
    pairs = {"p": (tp, tp + fp), "r": (tp, tp + fn), "f": (2 * tp, 2 * tp + fp + fn)}
    return {name: part / whole if whole else None for name, (part, whole) in pairs.items()}


@spacy.registry.scorers("labelwise.CoveredScorer.v1")
def make_covered_scorer() -> Callable[..., dict[str, Any]]:
    """See `score_covered`."""
    return score_covered


# The factory


def make_label_heads(
    nlp: Language,
    name: str,
    model: Model[list[Doc], Floats2d],
    spans_key: str,
    scorer: Callable[..., dict[str, Any]] | None,
) -> LabelHeads:
    """See `LabelHeads`."""
    return LabelHeads(nlp.vocab, model, name, spans_key=spans_key, scorer=scorer)


if not Language.has_factory("label_heads"):  # else a packaged model brought it: two of them in a process are no error
    Language.factory(
        "label_heads",
        assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans"],
        default_config={
            "model": Config().from_str(DEFAULT_MODEL)["model"],
            "spans_key": "predicted",
            "scorer": {"@scorers": "labelwise.CoveredScorer.v1"},
        },
        default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
        func=make_label_heads,
    )
