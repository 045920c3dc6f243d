"""What a model says of texts: which entities it finds there, and what it thinks of those that are annotated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from scripts.annotations.errors import UserError
from scripts.annotations.records import GoldText
from scripts.model.label_heads import OUT, TAGS, LabelHeads, find, log_softmax, set_tags
from scripts.model.training import heads, prepared

_BATCH = 64  # texts


class Guess(msgspec.Struct, array_like=True, gc=False):
    """An entity that a model finds: [start, end) in code points, and the probability of exactly it."""

    start: int
    end: int
    label: str
    probability: float


class Given(msgspec.Struct, array_like=True, gc=False):
    """What a model says of an annotated span.

    start (int), end (int): Of its tokens, in code points.
    probability (float): Of exactly it.
    nothing (float): That none of its tokens is in an entity of its label.
    """

    start: int
    end: int
    probability: float
    nothing: float


class Vote(msgspec.Struct, gc=False):
    """What one model says of one text.

    found (list[Guess]): The entities it finds, of labels that are covered in the text.
    given (list[Given]): Of each span of the gold, in its order.
    is_too_long (bool): The pipeline does not take the text, and so nothing is said of it.
    """

    input_hash: int
    found: list[Guess]
    given: list[Given]
    is_too_long: bool = False


def votes(nlp: Language, texts: Iterable[GoldText]) -> Iterator[Vote]:
    """What a pipeline says of texts, some at a time.

    RAISES (UserError): If it has no label heads, which alone say how probable an entity is.
    """
    pipe = heads(nlp)
    if pipe is None:
        raise UserError("the config has no label_heads, which say how probable an entity is: --vars.run ner")
    for batch in minibatch(texts, _BATCH):
        made = [nlp.make_doc(text.text if len(text.text) <= nlp.max_length else "") for text in batch]
        docs = [example.predicted for example in prepared(nlp, (Example(doc, doc.copy()) for doc in made))]
        yield from _votes(pipe, batch, docs)


def _votes(pipe: LabelHeads, texts: Sequence[GoldText], docs: Sequence[Doc]) -> Iterator[Vote]:
    bias = np.array([pipe.out_bias.get(label, 0.0) for label in pipe.labels], "f")
    scores = pipe.scores(docs) + bias[:, None] * (np.arange(TAGS) == OUT)
    lengths = list(map(len, docs))
    found = find(scores, lengths)
    first = np.cumsum([0, *lengths])
    document = np.searchsorted(first, found.start, "right") - 1
    for number, (text, doc) in enumerate(zip(texts, docs, strict=True)):
        if text.text and not len(doc):
            yield Vote(text.input_hash, [], [], is_too_long=True)
            continue
        own = np.flatnonzero(document == number)
        rows = zip(*(column[own].tolist() for column in found[:4]), strict=True)
        guesses = [
            Guess(doc[a - first[number]].idx, _end(doc, z - first[number]), pipe.labels[k], round(p, 4))
            for a, z, k, p in rows
            if pipe.labels[k] in text.covered
        ]
        part = scores[first[number] : first[number + 1]]
        yield Vote(text.input_hash, sorted(guesses, key=_place), list(_given(pipe, text, doc, part)))


def _place(guess: Guess) -> tuple[int, int, str]:
    return guess.start, guess.end, guess.label


def _end(doc: Doc, token: int) -> int:
    """Where the token before this one ends."""
    return doc[token - 1].idx + len(doc[token - 1])


def _given(pipe: LabelHeads, text: GoldText, doc: Doc, scores: np.ndarray) -> Iterator[Given]:
    column = {label: number for number, label in enumerate(pipe.labels)}
    for span in text.spans:
        on = doc.char_span(span.start, span.end, alignment_mode="expand")
        assert on is not None  # the span is inside the text
        logs = log_softmax(scores[on.start : on.end, column[span.label]].astype(np.float64))
        tags = np.zeros(len(on), np.int64)
        set_tags(tags, 0, len(on))
        exactly, nothing = np.exp(logs[np.arange(len(on)), tags].sum()), np.exp(logs[:, OUT].sum())
        yield Given(on.start_char, on.end_char, round(float(exactly), 4), round(float(nothing), 4))
