"""Label heads: a named entity recognizer with a tagging head for each label, trained on partially annotated texts.

The head of a label learns at the tokens that are covered for the label, and nowhere else. The module needs only spaCy,
thinc and numpy, so that `spacy package --code` puts it into a wheel.

Annotations are in the spans of the reference Doc:

doc.spans["gold"]: Entities. Those of different labels may overlap.
doc.spans["covered"]: Token ranges, each with the label that it is covered for; accepted spans cover their own tokens.
doc.spans["incorrect_spans"]: Rejected spans: no entities of their label, in a text that is not covered for it.
doc.spans["misaligned"]: Entities whose boundaries are inside tokens: all tokens that they touch. Its
    `attrs["annotated"]` has for each their [start, end) in characters, and whether these tokens are in "gold" instead.
    Training knows nothing of them; scores are against the entities as annotated. Absent where there are none.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import spacy
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.strings import get_string_id
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import (
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

# Keys of doc.spans; the third is spaCy's own name.
GOLD, COVERED, INCORRECT, MISALIGNED = "gold", "covered", "incorrect_spans", "misaligned"
_ACCEPTED = 2  # the id of accepted spans that have all tokens of a text that is not covered
TAGS = 5
OUT, BEGIN, IN, LAST, UNIT = range(TAGS)
_CHUNK = 1024  # tokens that are predicted at a time, so that all layers stay in the processor's cache
_MAX_CELLS = 2**20  # tokens, padding included, that are decoded at a time
_DIGITS = 6  # of calibration, and of a precision
_LEAST = 1e-11  # of the probability that an entity is none: smaller ones are rounding errors
_SAMPLE = 10  # Docs from which the layers below infer their widths

DEFAULT_MODEL = """
[model]
@architectures = "labelwise.LabelHeads.v1"
hidden_width = 64
maxout_pieces = 2
rate = 1.0

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
    tok2vec: Model[list[Doc], list[Floats2d]], hidden_width: int, maxout_pieces: int, rate: float = 1.0
) -> Model[list[Doc], Floats2d]:
    """A model with a hidden layer and five scores for each label, over a shared tok2vec.

    tok2vec (Model[List[Doc], List[Floats2d]]): Any tok2vec or listener.
    hidden_width (int), maxout_pieces (int): Units of each label's hidden layer, and pieces of each unit.
    rate (float): By which the heads multiply the optimizer's learning rate: a transformer's is too low for layers that
        start at zero.
    RETURNS (Model[List[Doc], Floats2d]): (tokens of all Docs, labels * 5): scores of the tags O, B, I, L and U of the
        first label, then of the second, and so on.
    """
    width = tok2vec.get_dim("nO") if tok2vec.has_dim("nO") else None
    heads = heads_layer(hidden_width, maxout_pieces, width, rate)
    model = chain(tok2vec, list2array(), heads)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("heads", heads)
    return model


def heads_layer(width: int, pieces: int, nI: int | None = None, rate: float = 1.0) -> Model[Floats2d, Floats2d]:
    """The heads of all labels: maxout(X W1 + b1) W2 + b2. The first axis of each parameter is the label."""
    # The number of labels is an attribute: thinc does not let a dimension change, and labels can be added.
    return Model(
        "label_heads",
        _forward,
        init=_init,
        dims={"nI": nI},
        params={"W1": None, "b1": None, "W2": None, "b2": None},
        attrs={"width": width, "pieces": pieces, "rate": rate, "labels": 0, "dropout_rate": 0.0},
    )


def _init(model: Model[Floats2d, Floats2d], X: Floats2d | None = None, Y: Floats2d | None = None) -> None:
    if X is not None and not model.has_dim("nI"):
        model.set_dim("nI", X.shape[1])
    for name, value in new_heads(model, model.attrs["labels"]).items():
        model.set_param(name, value)


def new_heads(model: Model[Floats2d, Floats2d], labels: int) -> dict[str, Any]:
    """Initial parameters of heads: W2 is 0, and so are all scores."""
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
    ops, tokens, labels = model.ops, X.shape[0], W1.shape[0]
    width, pieces, drop = model.attrs["width"], model.attrs["pieces"], model.attrs["dropout_rate"]
    Y = ops.alloc3f(tokens, labels, TAGS)
    hidden = []
    # Label by label: a hidden layer stays in the processor's cache, and the scores of a head do not depend, to the bit,
    # on the number of others.
    for label in range(labels):
        Z = X @ W1[label].T
        Z += b1[label]
        H, which = ops.maxout(Z.reshape(tokens, width, pieces))
        mask = ops.get_dropout_mask(H.shape, drop) if is_train and drop else None
        if mask is not None:
            H *= mask
        Y[:, label] = H @ W2[label] + b2[label]
        hidden += [(H, which, mask)] if is_train else []

    def backprop(dY: Floats2d) -> Floats2d:
        grads = {name: ops.xp.zeros_like(model.get_param(name)) for name in ("W1", "b1", "W2", "b2")}
        dX = ops.xp.zeros_like(X)
        for label, (H, which, mask) in enumerate(hidden):
            d_scores = ops.as_contig(dY.reshape(tokens, labels, TAGS)[:, label])
            if not d_scores.any():  # covered in no text of the batch, as most labels are in partially annotated texts
                continue
            dH = d_scores @ W2[label].T
            if mask is not None:
                dH *= mask
            dZ = ops.backprop_maxout(dH, which, pieces).reshape(tokens, -1)
            dX += dZ @ W1[label]
            grads["W1"][label], grads["b1"][label] = dZ.T @ X, dZ.sum(0)
            grads["W2"][label], grads["b2"][label] = H.T @ d_scores, d_scores.sum(0)
        for name, grad in grads.items():
            model.inc_grad(name, grad)
        return dX

    return Y.reshape(tokens, -1), backprop


def finish_update(model: Model[Any, Floats2d], heads: Model[Floats2d, Floats2d], optimizer: Optimizer) -> None:
    """Step with an optimizer, as `model.finish_update` does; the heads at their own rate.

    In `nlp.rehearse`, spaCy gives a function that collects the gradients: all layers step at one rate then.
    """
    rate = heads.attrs["rate"]

    def step(key: tuple[int, str], weights: Any, gradient: Any) -> tuple[Any, Any]:
        return optimizer(key, weights, gradient, lr_scale=rate if key[0] == heads.id else 1.0)

    own = rate != 1 and isinstance(optimizer, Optimizer)
    model.finish_update(cast(Optimizer, step) if own else optimizer)


# Gold


class BatchGold(NamedTuple):
    """The annotations of a batch: a row for each token of all Docs, a column for each label.

    tags (np.ndarray): (tokens, labels), int64: OUT, BEGIN, IN, LAST or UNIT.
    covered (np.ndarray): (tokens, labels), bool: whether the tag counts.
    incorrect (list[tuple[int, int, int]]): First row, row after the last, and column of each rejected span.
    assumed (np.ndarray): (tokens, labels), float32: how much O counts where nothing is covered, see `read_gold`.
    """

    tags: np.ndarray
    covered: np.ndarray
    incorrect: list[tuple[int, int, int]]
    assumed: np.ndarray


def read_gold(examples: Sequence[Example], labels: Sequence[str], assumed_outside: float = 0.0) -> BatchGold:
    """Read the annotations of references, aligned to the tokens of the predicted Docs.

    If the two are tokenized differently, a span whose boundaries are inside predicted tokens leaves these not covered.

    labels (Sequence[str]): The columns. Other labels are ignored.
    assumed_outside (float): Where single spans are all that is decided of a label in a text, its other tokens are taken
        for O. For each of these spans, they count together as much as this number of covered tokens.
    RAISES (ValueError): If a reference has no covered spans at all: it must not be taken for covered.
    """
    columns = {get_string_id(label): column for column, label in enumerate(labels)}
    return join_gold([_read_example(example, columns, assumed_outside) for example in examples])


def join_gold(texts: Sequence[BatchGold]) -> BatchGold:
    """Join the gold of texts to that of their batch."""
    offsets = np.cumsum([0, *(len(text.tags) for text in texts)]).tolist()
    return BatchGold(
        np.concatenate([text.tags for text in texts]),
        np.concatenate([text.covered for text in texts]),
        [
            (start + offset, end + offset, column)
            for offset, text in zip(offsets[:-1], texts, strict=True)
            for start, end, column in text.incorrect
        ],
        np.concatenate([text.assumed for text in texts]),
    )


def _read_example(example: Example, columns: Mapping[int, int], assumed_outside: float) -> BatchGold:
    """The gold of one example. columns: By the hash of a label."""
    reference, predicted = example.reference, example.predicted
    demand_coverage(reference)
    # As arrays: token by token, it takes longer than the matrix products of a batch.
    same_tokens = np.array_equal(reference.to_array("ORTH"), predicted.to_array("ORTH"))
    tags = np.zeros((len(predicted), len(columns)), np.int64)
    covered = np.zeros((len(reference), len(columns)), bool)
    for span in reference.spans[COVERED]:
        if span.label in columns:
            covered[span.start : span.end, columns[span.label]] = True
    if not same_tokens:
        covered = _covered_of_predicted(example, covered)
    for span, aligned in _aligned(example, reference.spans.get(GOLD, ()), same_tokens):
        column = columns.get(span.label)
        if column is None:
            continue
        if aligned is None:
            covered[example.alignment.y2x[span.start : span.end].ravel(), column] = False
        else:
            set_tags(tags[:, column], *aligned)
    incorrect = [
        (*aligned, columns[span.label])
        for span, aligned in _aligned(example, reference.spans.get(INCORRECT, ()), same_tokens)
        # Where the label is covered, the tags say already that the span is no entity.
        if aligned and span.label in columns and not covered[slice(*aligned), columns[span.label]].all()
    ]
    return BatchGold(tags, covered, incorrect, _assume_outside(tags, covered, incorrect, assumed_outside))


def _assume_outside(
    tags: np.ndarray, covered: np.ndarray, incorrect: Sequence[tuple[int, int, int]], amount: float
) -> np.ndarray:
    """How much O counts at the tokens of one text that are not covered. See `read_gold`."""
    decided = (covered & ((tags == BEGIN) | (tags == UNIT))).sum(0)
    for _, _, column in incorrect:
        decided[column] += 1
    decided[(covered & (tags == OUT)).any(0)] = 0  # more than single spans is covered
    free = ~covered & (tags == OUT)
    weights = np.minimum(amount * decided / np.maximum(free.sum(0), 1), 1)
    return (free * weights).astype("f")


def demand_coverage(reference: Doc) -> None:
    """RAISES (ValueError): If a Doc has no `doc.spans["covered"]`, which may be empty."""
    if COVERED not in reference.spans:
        raise ValueError(
            f'a text has no doc.spans["{COVERED}"], the ranges covered for each label; make the corpus with the corpus '
            "step, or add a span of the whole text for each label that is annotated in it"
        )


def set_tags(tags: np.ndarray, start: int, end: int) -> None:
    """Tag an entity from the token `start` to the one before `end`."""
    if end - start == 1:
        tags[start] = UNIT
    else:
        tags[start], tags[start + 1 : end - 1], tags[end - 1] = BEGIN, IN, LAST


def _aligned(
    example: Example, spans: Iterable[Span], same_tokens: bool
) -> Iterator[tuple[Span, tuple[int, int] | None]]:
    """Each span of a reference with its range [start, end) of predicted tokens; None if it is inside a token."""
    for span in spans:
        if same_tokens:
            yield span, (span.start, span.end)
        else:
            found = example.get_aligned_spans_y2x([span], allow_overlap=True)
            yield span, (found[0].start, found[0].end) if found else None


def _covered_of_predicted(example: Example, covered: np.ndarray) -> np.ndarray:
    """Coverage by predicted token: where all overlapping tokens of the reference are covered."""
    result = np.zeros((len(example.predicted), covered.shape[1]), bool)
    for token in range(len(result)):
        overlapping = example.alignment.x2y[token].ravel()
        if len(overlapping):
            result[token] = covered[overlapping].all(0)
    return result


# Decoding


class BatchEntities(NamedTuple):
    """The entities predicted in a batch, sorted by label and position.

    start (np.ndarray), end (np.ndarray): The row of the first token, and the row after the last one.
    label (np.ndarray): Columns.
    probability (np.ndarray): That exactly this is an entity, calibrated; thresholds do not change it.
    margin (np.ndarray): Log probability of the tags, minus that of O at all these tokens, thresholds included.
    """

    start: np.ndarray
    end: np.ndarray
    label: np.ndarray
    probability: np.ndarray
    margin: np.ndarray


def decode(scores: np.ndarray, lengths: Sequence[int], max_cells: int = _MAX_CELLS) -> np.ndarray:
    """Find for each label the valid sequence of tags, of O, U and B I* L, with the largest sum of scores.

    scores (np.ndarray): (tokens, labels, 5).
    lengths (Sequence[int]): Tokens of each Doc.
    RETURNS (np.ndarray): (tokens, labels): OUT, BEGIN, IN, LAST or UNIT.
    """
    # The best tag of each token is nearly always a valid sequence, which then is the best one. Only the others need the
    # Viterbi algorithm: https://en.wikipedia.org/wiki/Viterbi_algorithm
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
    for part in _padded_batches(sizes[docs[order]], max_cells):
        chosen = order[part]
        first, column, size = starts[docs[chosen]], labels[chosen], sizes[docs[chosen]]
        steps = np.arange(size[0])
        rows = np.minimum(first[:, None] + steps, len(scores) - 1)
        best = _viterbi(scores[rows, column[:, None]], size)
        inside = steps < size[:, None]
        tags[rows[inside], np.broadcast_to(column[:, None], rows.shape)[inside]] = best[inside]
    return tags


def _padded_batches(sizes: np.ndarray, max_cells: int) -> Iterator[slice]:
    """Cut sequences, the longest first, into batches of limited size when they are padded to their first one."""
    start = 0
    while start < len(sizes):
        count = max(1, max_cells // int(sizes[start]))
        yield slice(start, start + count)
        start += count


def _viterbi(scores: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Decode padded sequences, the longest first.

    Between tokens there are two states, outside of an entity and inside; a sequence begins and ends outside. From
    outside, O and U lead outside and B leads inside; from inside, I leads inside and L leads outside.

    scores (np.ndarray): (sequences, tokens, 5).
    RETURNS (np.ndarray): (sequences, tokens). Tags beyond the end of a sequence are arbitrary.
    """
    count, steps, _ = scores.shape
    outside, inside = np.zeros(count, scores.dtype), np.full(count, -np.inf, scores.dtype)
    to_outside, to_inside = np.zeros((steps, count), np.int8), np.zeros((steps, count), np.int8)
    active = np.searchsorted(-lengths, -np.arange(steps), side="left")  # the number of sequences that reach the step
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


def find_entities(
    scores: np.ndarray,
    lengths: Sequence[int],
    thresholds: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
) -> BatchEntities:
    """Decode the scores of a batch into entities, with thresholds; their probabilities are without them.

    scores (np.ndarray): (tokens, labels, 5), without thresholds.
    thresholds (np.ndarray | None): See `threshold_array`; None for 0.
    calibration (np.ndarray | None): See `calibration_array`; None to leave probabilities as they are.
    """
    if thresholds is None:
        thresholds = np.zeros(scores.shape[1], scores.dtype)
    start, end, label = decode_entities(scores, lengths, thresholds)
    if not len(start):
        return BatchEntities(start, end, label, np.zeros(0), np.zeros(0))
    odds = log_odds(scores, lengths, start, end, label)
    margin = tag_scores(scores, start, end, label) - tag_scores(scores, start, end, label, is_entity=False)
    margin -= (end - start) * thresholds[label].astype(np.float64)
    return BatchEntities(start, end, label, entity_probability(odds, label, calibration), margin)


def decode_entities(
    scores: np.ndarray, lengths: Sequence[int], thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first row, the row after the last, and the column of each entity; see `find_entities`."""
    biased = scores.copy()
    biased[:, :, OUT] += thresholds
    tags = decode(biased, lengths).T
    label, start = ((tags == BEGIN) | (tags == UNIT)).nonzero()
    return start, ((tags == LAST) | (tags == UNIT)).nonzero()[1] + 1, label


# Probabilities


class Calibration(NamedTuple):
    """What turns the scores of a label into probabilities; `scripts.model.thresholds` fits it on dev texts.

    temperature (float): Divides scores, for the probabilities of a token's tags (Guo et al. 2017, section 4.2,
        https://arxiv.org/abs/1706.04599).
    slope (float), offset (float): Of the log odds of entities, for their probabilities (Platt 1999; Guo et al. 2017,
        section 4.1). Both keep the order of entities of a label.
    """

    temperature: float = 1.0
    slope: float = 1.0
    offset: float = 0.0


def threshold_array(labels: Sequence[str], thresholds: Mapping[str, float]) -> np.ndarray:
    """By label, what is added to the score of O before decoding: (labels,); 0 for a label without threshold."""
    return np.array([thresholds.get(label, 0.0) for label in labels], "f")


def calibration_array(labels: Sequence[str], calibration: Mapping[str, Sequence[float]]) -> np.ndarray:
    """The fields of `Calibration` by label: (labels, 3). A label without calibration stays as it is."""
    rows = np.array([calibration.get(label, Calibration()) for label in labels], np.float64).reshape(-1, 3)
    return rows.round(_DIGITS)  # the same to the bit however often a model is saved and loaded: srsly's JSON is not


def tag_probabilities(scores: np.ndarray, calibration: np.ndarray) -> np.ndarray:
    """Calibrated probabilities of the tags of each token, without thresholds: (tokens, labels, 5)."""
    return np.exp(log_softmax(scores / calibration[:, :1]))


def entity_probability(odds: np.ndarray, label: np.ndarray, calibration: np.ndarray | None) -> np.ndarray:
    """Calibrated probabilities of entities, by their `log_odds` and the columns of their labels."""
    if calibration is not None:
        odds = odds * calibration[label, 1] + calibration[label, 2]
    return np.exp(-np.logaddexp(0.0, -odds))


def log_odds(
    scores: np.ndarray,
    lengths: Sequence[int],
    start: np.ndarray,
    end: np.ndarray,
    label: np.ndarray,
    is_entity: bool = True,
) -> np.ndarray:
    """Log odds that exactly these tokens are an entity, or that none is in one, among all valid sequences of tags.

    The product of the tags' probabilities alone would be too low for long entities: where a token begins an entity,
    another must end it. The sum over all sequences is by the forward-backward algorithm:
    https://en.wikipedia.org/wiki/Forward–backward_algorithm

    scores (np.ndarray): (tokens, labels, 5), without thresholds.
    start (np.ndarray), end (np.ndarray), label (np.ndarray): As in `BatchEntities`.
    is_entity (bool): Whether the tokens are an entity; else, they are all O.
    """
    found = np.empty(len(start))
    ends = np.cumsum(np.array(lengths, np.int64))
    doc = np.searchsorted(ends, start, "right")
    labels = scores.shape[1]
    sequences, sequence = np.unique(doc * labels + label, return_inverse=True)
    sizes = np.array(lengths, np.int64)[sequences // labels]
    order = np.argsort(-sizes, kind="stable")
    place = np.argsort(order)[sequence]  # of each entity's sequence, the longest being the first
    inside = tag_scores(scores, start, end, label, is_entity)
    for part in _padded_batches(sizes[order], _MAX_CELLS):
        chosen = order[part]
        size, column = sizes[chosen], sequences[chosen] % labels
        first = ends[sequences[chosen] // labels] - size
        row, step = (np.arange(size[0]) < size[:, None]).nonzero()
        logs = np.zeros((TAGS, size[0], len(size)))
        # Of real tokens only: with the padding, each sequence would take as long as the longest.
        logs[:, step, row] = log_softmax(scores[first[row] + step, column[row]].astype(np.float64)).T
        before, after = _outside_sums(logs, size)
        own = np.flatnonzero((place >= part.start) & (place < part.stop))
        number = place[own] - part.start
        from_, to = start[own] - first[number], end[own] - first[number]
        total = before[size[number], number]
        found[own] = before[from_, number] + inside[own] + after[to, number] - total
    log_p = np.minimum(found, -_LEAST)
    return log_p - np.log(-np.expm1(log_p))


def tag_scores(
    scores: np.ndarray, start: np.ndarray, end: np.ndarray, label: np.ndarray, is_entity: bool = True
) -> np.ndarray:
    """The sum of the log probabilities of the tags of entities, or of O at their tokens; in the same order."""
    sizes = end - start
    firsts = np.cumsum(sizes) - sizes
    rows = np.arange(sizes.sum()) + np.repeat(start - firsts, sizes)
    tags = np.zeros(len(rows), np.int64)
    if is_entity:
        tags[:] = IN
        tags[firsts], tags[firsts + sizes - 1] = BEGIN, LAST
        tags[firsts[sizes == 1]] = UNIT
    logs = log_softmax(scores[rows, np.repeat(label, sizes)].astype(np.float64))
    return np.add.reduceat(logs[np.arange(len(rows)), tags], firsts) if len(rows) else np.zeros(0)


def _outside_sums(logs: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the summed probabilities of all valid tags before, and after, each boundary that is in no entity.

    logs (np.ndarray): (5, tokens, sequences): log probabilities of the tags, the longest sequence first, padded.
    RETURNS (tuple[np.ndarray, np.ndarray]): (tokens + 1, sequences) each.
    """
    alone = np.logaddexp(logs[OUT], logs[UNIT])
    _, steps, count = logs.shape
    active = np.searchsorted(-lengths, -np.arange(steps), side="left")  # the number of sequences that reach the step
    before, after = (np.full((steps + 1, count), -np.inf) for _ in range(2))
    before[0], after[lengths, np.arange(count)] = 0, 0
    inside = np.full(count, -np.inf)
    for step, n in enumerate(active.tolist()):
        out, within = before[step, :n], inside[:n]
        before[step + 1, :n] = np.logaddexp(out + alone[step, :n], within + logs[LAST, step, :n])
        inside[:n] = np.logaddexp(out + logs[BEGIN, step, :n], within + logs[IN, step, :n])
    inside = np.full(count, -np.inf)
    for step in range(steps - 1, -1, -1):
        n = active[step]
        out, within = after[step + 1, :n], inside[:n].copy()
        inside[:n] = np.logaddexp(out + logs[LAST, step, :n], within + logs[IN, step, :n])
        after[step, :n] = np.logaddexp(out + alone[step, :n], within + logs[BEGIN, step, :n])
    return before, after


def log_softmax(scores: Any) -> Any:
    """Log probabilities over the last axis, for arrays of numpy or cupy."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - get_array_module(shifted).log(get_array_module(shifted).exp(shifted).sum(-1, keepdims=True))


# The component


class LabelHeads(TrainablePipe):
    """A named entity recognizer with a head for each label, trained on texts that are annotated for some labels.

    All predicted entities go to `doc.spans`, with their probabilities, calibrated, in the group's `attrs["scores"]`.
    `doc.ents` gets those that do not overlap: of two, the one with the larger margin. Entities that were in it before
    stay.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], Floats2d],
        name: str = "label_heads",
        *,
        spans_key: str = "predicted",
        min_precision: float | None = None,
        assumed_outside: float = 1.0,
        scorer: Callable[..., dict[str, Any]] | None = None,
    ) -> None:
        """Initialize the component.

        spans_key (str): The key in `doc.spans` for all predicted entities.
        min_precision (Optional[float]): The precision that thresholds must reach; None for those with the best F1.
        assumed_outside (float): How much is learned from texts of which single spans are decided, beside these spans:
            see `read_gold`. With 0, nothing.
        scorer (Optional[Callable]): Scores examples; `score_covered` if None.
        """
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer or score_covered
        self.cfg: dict[str, Any] = {"labels": [], "thresholds": {}, "calibration": {}, "spans_key": spans_key}
        self.cfg |= {"min_precision": min_precision, "assumed_outside": assumed_outside}
        self._rehearsal_model: Model[list[Doc], Floats2d] | None = None
        self._teacher: Callable[[Sequence[Doc]], np.ndarray] | None = None

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
    def spans_key(self) -> str:
        """The key in `doc.spans` for all predicted entities."""
        return cast(str, self.cfg["spans_key"])

    @property
    def min_precision(self) -> float | None:
        """The precision that thresholds must reach; None for those with the best F1."""
        precision = self.cfg.get("min_precision")
        return None if precision is None else round(precision, _DIGITS)  # srsly's JSON reads .95 as .9500000000000001

    @property
    def assumed_outside(self) -> float:
        """How much O counts in texts of which single spans are decided. See `read_gold`."""
        return cast(float, self.cfg["assumed_outside"])

    @property
    def thresholds(self) -> dict[str, float]:
        """By label, the bias that is added to the score of O before decoding: less than 0 finds more entities."""
        return cast(dict[str, float], self.cfg["thresholds"])

    @property
    def calibration(self) -> dict[str, Sequence[float]]:
        """By label, the fields of `Calibration`, which turn scores into probabilities."""
        return cast(dict[str, Sequence[float]], self.cfg["calibration"])

    def add_label(self, label: str) -> int:
        """Add a head, also to a trained model. It predicts nothing before it is trained; others do not change.

        RETURNS (int): 0 if the label has a head, else 1.
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

        get_examples (Callable[[], Iterable[Example]]): Gives examples: all of them if no labels are given.
        labels (Optional[Sequence[str]]): The labels; None for all labels of gold, covered and incorrect spans.
        RAISES (ValueError): If there is no label, or an example has no `doc.spans["covered"]`.
        """
        sample: list[Doc] = []
        found = set()
        for example in get_examples():
            demand_coverage(example.reference)
            if len(sample) < _SAMPLE:
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

    def learn_from(self, teacher: Callable[[Sequence[Doc]], np.ndarray]) -> None:
        """From now on, learn the predictions of a teacher where labels are not covered.

        See Hinton et al. 2015, https://arxiv.org/abs/1503.02531.

        teacher (Callable): Gives the probabilities of all tags in Docs: (tokens of all Docs, labels, 5).
        """
        self._teacher = teacher

    def get_loss(self, examples: Iterable[Example], scores: Floats2d) -> tuple[float, Floats2d]:
        """The loss of a batch, and its gradient by the scores: (tokens, labels * 5). See `masked_loss`."""
        examples = list(examples)
        gold = read_gold(examples, self.labels, self.assumed_outside)
        targets = self._teacher([example.predicted for example in examples]) if self._teacher else None
        loss, d_scores = masked_loss(scores.reshape(len(scores), -1, TAGS), gold, self.model.ops.xp, targets)
        return loss, d_scores.reshape(scores.shape)

    def finish_update(self, sgd: Optimizer) -> None:
        """Step with an optimizer, the heads at their own rate."""
        finish_update(self.model, self.model.get_ref("heads"), sgd)

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
        **config: Any,
    ) -> dict[str, float]:
        """Train towards the predictions of the model with which training was resumed, against catastrophic forgetting.

        See https://spacy.io/api/pipe#rehearse.
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
        previous = self._rehearsal_model.predict(docs)
        tags = previous.shape[1]  # of the labels there were then: others may have been added
        xp = self.model.ops.xp
        target = xp.exp(log_softmax(previous.reshape(len(previous), -1, TAGS))).reshape(previous.shape)
        current = xp.exp(log_softmax(scores[:, :tags].reshape(len(scores), -1, TAGS))).reshape(previous.shape)
        d_scores = xp.zeros_like(scores)
        d_scores[:, :tags] = current - target
        backprop(d_scores)
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += float((d_scores**2).sum())
        return losses

    # Predicting

    def scores(self, docs: Sequence[Doc]) -> np.ndarray:
        """The scores of all tags, without thresholds: (tokens of all Docs, labels, 5)."""
        filled = [doc for doc in docs if len(doc)]
        if not filled or not self.labels:
            return np.zeros((0, len(self.labels), TAGS), "f")
        parts = map(self.model.predict, _in_chunks(filled))
        return np.concatenate([self.model.ops.to_numpy(part) for part in parts]).reshape(-1, len(self.labels), TAGS)

    def probabilities(self, docs: Sequence[Doc]) -> np.ndarray:
        """Calibrated probabilities of all tags: (tokens of all Docs, labels, 5). See `tag_probabilities`."""
        return tag_probabilities(self.scores(docs), calibration_array(self.labels, self.calibration))

    def predict(self, docs: Iterable[Doc]) -> BatchEntities:
        """Predict the entities of a batch, without changing the Docs."""
        docs = list(docs)
        thresholds = threshold_array(self.labels, self.thresholds)
        calibration = calibration_array(self.labels, self.calibration)
        return find_entities(self.scores(docs), list(map(len, docs)), thresholds, calibration)

    def set_annotations(self, docs: Iterable[Doc], found: BatchEntities) -> None:
        """Write predicted entities into `doc.ents` and `doc.spans`."""
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
                doc.set_ents([*doc.ents, *_without_overlaps(doc, spans, margin[first:last].tolist())])
            first, offset = last, offset + len(doc)


def _in_chunks(docs: Iterable[Doc]) -> Iterator[list[Doc]]:
    """Docs in their order, as many at a time as `_CHUNK` tokens allow, and one at least."""
    chunk: list[Doc] = []
    tokens = 0
    for doc in docs:
        if chunk and tokens + len(doc) > _CHUNK:
            yield chunk
            chunk, tokens = [], 0
        chunk.append(doc)
        tokens += len(doc)
    if chunk:
        yield chunk


def masked_loss(scores: Any, gold: BatchGold, xp: Any, targets: np.ndarray | None = None) -> tuple[float, Any]:
    """Cross entropy of the tags that are covered or assumed, plus -log(1 - p) for each rejected span, p being that of
    its tags, plus cross entropy of targets where nothing is known.

    scores (Floats3d): (tokens, labels, 5).
    xp (Any): numpy or cupy.
    targets (np.ndarray | None): Probabilities of the tags: (tokens, labels, 5); None: unknown tags do not count.
    RETURNS (tuple[float, Floats3d]): The sum, and its gradient by the scores.
    """
    logs = log_softmax(scores)
    d_scores = xp.exp(logs)
    weights = gold.covered + gold.assumed
    counted = weights.nonzero()
    rows, columns = (xp.asarray(index) for index in counted)
    tags = xp.asarray(gold.tags[counted])
    weights = xp.asarray(weights)
    loss = -float((logs[rows, columns, tags] * weights[rows, columns]).sum())
    # Before d_scores changes: until here it holds the probabilities.
    pushes = [_push_down(logs, d_scores, *span, xp) for span in gold.incorrect]
    d_scores[rows, columns, tags] -= 1
    if targets is not None:
        unknown = _unknown(gold).nonzero()
        wanted, place = xp.asarray(targets[unknown], "f"), tuple(map(xp.asarray, unknown))
        loss -= float((logs[place] * wanted).sum())
        d_scores[place] -= wanted
        weights[place] = 1
    d_scores *= weights[:, :, None]
    for start, end, column, gradient, more in pushes:
        d_scores[start:end, column] += gradient
        loss += more
    return loss, d_scores


def _unknown(gold: BatchGold) -> np.ndarray:
    """Where nothing is covered, assumed or rejected: (tokens, labels), bool."""
    unknown = ~gold.covered & (gold.assumed == 0)
    for start, end, column in gold.incorrect:
        unknown[start:end, column] = False
    return unknown


def _push_down(
    logs: Any, probabilities: Any, start: int, end: int, column: int, xp: Any
) -> tuple[int, int, int, Any, float]:
    """Range and column of a rejected span, and gradient and value of its -log(1 - p), p being that of its tags."""
    tags = np.zeros(end - start, np.int64)
    set_tags(tags, 0, end - start)
    rows = xp.arange(end - start)
    own = logs[start:end, column]
    log_p = float(own[rows, xp.asarray(tags)].sum())
    rest = max(-float(np.expm1(log_p)), 1e-6)  # 1 - p; bounded, so that a certain span is no division by 0
    gradient = -probabilities[start:end, column].copy()
    gradient[rows, xp.asarray(tags)] += 1
    return start, end, column, gradient * (np.exp(log_p) / rest), -float(np.log(rest))


def _without_overlaps(doc: Doc, spans: Sequence[Span], margins: Sequence[float]) -> list[Span]:
    """Spans that overlap no entity of the Doc, and each other neither: of two, the one with the larger margin stays."""
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
    """The ranges of one text in which one label is scored, and the entities in them as annotated, in characters.

    gold (frozenset[Range]): Entities that lie in these ranges.
    covered (list[Range]): Sorted and apart from each other. A covered span that is the same as an entity, and has no
        id, is not among them, unless it is the whole text: the entity was accepted by itself, and no prediction could
        be a false positive there.
    misaligned (frozenset[Range]): Of the entities, those that are not on token boundaries.
    """

    gold: frozenset[Range]
    covered: list[Range]
    misaligned: frozenset[Range]

    @property
    def is_scored(self) -> bool:
        """Whether the label is scored in the text."""
        return bool(self.covered)


class _Misaligned(NamedTuple):
    """An entity that is not on token boundaries."""

    tokens: Range
    characters: Range
    is_gold: bool  # the tokens are among the gold spans instead of it


def covered_of(doc: Doc) -> dict[str, Covered]:
    """The scored ranges, and the entities as annotated, of each label that is covered anywhere in a Doc.

    RAISES (ValueError): If the Doc has no `doc.spans["covered"]`.
    """
    demand_coverage(doc)
    gold: dict[str, list[Range]] = defaultdict(list)
    covered: dict[str, list[Range]] = defaultdict(list)
    ranges: dict[str, set[Range]] = defaultdict(set)
    misaligned: dict[str, list[_Misaligned]] = defaultdict(list)
    for key, by_label in ((GOLD, gold), (COVERED, covered)):
        for span in doc.spans.get(key, []):
            if span.id == _ACCEPTED:
                continue
            by_label[span.label_].append((span.start, span.end))
            if key == COVERED and span.id:
                ranges[span.label_].add((span.start, span.end))
    if MISALIGNED in doc.spans:
        group = doc.spans[MISALIGNED]
        for span, (start, end, is_gold) in zip(group, group.attrs["annotated"], strict=True):
            if span.id != _ACCEPTED:
                misaligned[span.label_].append(_Misaligned((span.start, span.end), (start, end), is_gold))
    # A range ends where the next token starts: it includes whitespace, so that neighbors touch.
    starts = [*(token.idx for token in doc), len(doc.text)]
    return {
        label: _in_characters(
            doc, starts, gold.get(label, []), covered.get(label, []), ranges[label], misaligned.get(label, [])
        )
        for label in dict.fromkeys([*covered, *misaligned])
    }


def _in_characters(
    doc: Doc, starts: Sequence[int], gold: Sequence[Range], covered: Sequence[Range], whole: Collection[Range],
    misaligned: Sequence[_Misaligned],
) -> Covered:  # fmt: skip
    touched = [entity.tokens for entity in misaligned]
    # The tokens of an entity that was skipped are a hole for training, but not for scoring.
    ranges = join_ranges([*covered, *touched])
    if ranges != [(0, len(doc))]:
        judged = [span for span in covered if span in whole or (span not in gold and span not in touched)]
        ranges = [span for span in ranges if any(_is_within(inside, [span]) for inside in judged)]
    snapped = {entity.tokens for entity in misaligned if entity.is_gold}
    exact = [span for span in gold if span not in snapped and _is_within(span, ranges)]
    others = frozenset(entity.characters for entity in misaligned if _is_within(entity.tokens, ranges))
    return Covered(
        gold=others.union((starts[start], starts[end - 1] + len(doc[end - 1])) for start, end in exact),
        covered=[(starts[start], starts[end]) for start, end in ranges],
        misaligned=others,
    )


def join_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges that overlap or touch; sorted."""
    result: list[Range] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result


def _is_within(span: Range, ranges: Iterable[Range]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in ranges)


def count_spans(label: Covered, predicted: Collection[Range]) -> tuple[int, int, int]:
    """True positives, false positives and false negatives of one label in one text, in covered ranges."""
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
    """Strict scores of `doc.ents`, each label only where the references are covered for it.

    RETURNS (dict[str, Any]): ents_p, ents_r, ents_f of all labels together and ents_per_type by label, as spaCy's own
        scorer: https://spacy.io/api/scorer#score_spans. None if the divisor is 0.
    """
    counts = count_covered(examples)
    per_type = {label: prf(*counts[label]) for label in sorted(counts)}
    micro = prf(*(sum(column) for column in zip((0, 0, 0), *counts.values(), strict=True)))
    return {f"ents_{name}": value for name, value in micro.items()} | {"ents_per_type": per_type}


def count_covered(examples: Iterable[Example]) -> dict[str, list[int]]:
    """By label: true positives, false positives and false negatives in covered ranges."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for example in examples:
        predicted = predictions(example.predicted)
        for label, covered in covered_of(example.reference).items():
            if covered.is_scored:
                for i, number in enumerate(count_spans(covered, predicted.get(label, ()))):
                    counts[label][i] += number
    return counts


def prf(tp: int, fp: int, fn: int) -> dict[str, float | None]:
    """Precision, recall and F1; None if the divisor is 0."""
    fractions = {"p": (tp, tp + fp), "r": (tp, tp + fn), "f": (2 * tp, 2 * tp + fp + fn)}
    return {name: value / divisor if divisor else None for name, (value, divisor) in fractions.items()}


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
    min_precision: float | None,
    assumed_outside: float,
    scorer: Callable[..., dict[str, Any]] | None,
) -> LabelHeads:
    """See `LabelHeads`."""
    return LabelHeads(
        nlp.vocab, model, name, spans_key=spans_key, min_precision=min_precision, assumed_outside=assumed_outside,
        scorer=scorer,
    )  # fmt: skip


if not Language.has_factory("label_heads"):  # a packaged model that was loaded has registered its own copy
    Language.factory(
        "label_heads",
        assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans"],
        default_config={
            "model": Config().from_str(DEFAULT_MODEL)["model"],
            "spans_key": "predicted",
            "min_precision": None,
            "assumed_outside": 1.0,
            "scorer": {"@scorers": "labelwise.CoveredScorer.v1"},
        },
        default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0, "ents_per_type": None},
        func=make_label_heads,
    )
