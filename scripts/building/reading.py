"""Readers for training configs: the labels of the corpus, and its Docs, streamed shard by shard."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import spacy
from confection import ConfigValidationError
from spacy.language import Language
from spacy.pipeline._parser_internals.ner import BiluoPushDown
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from spacy.vocab import Vocab

from scripts.building.documents import COVERED, MISALIGNED
from scripts.building.shards import unpack_docs
from scripts.building.splits import ShardFile, check_labels, shard_files
from scripts.core.errors import UserError
from scripts.core.files import read_json


@spacy.registry.readers("labelwise.Labels.v1")
def label_heads_labels(path: str) -> list[str]:
    """For [initialize.components.label_heads.labels]: read corpus/labels.json, so that spaCy need not read the corpus.

    RAISES (ConfigValidationError): If there is no such list; `spacy train` shows it without a traceback.
    """
    try:
        return read_labels(Path(path))
    except UserError as err:
        raise ConfigValidationError(title="No labels", desc=str(err), show_config=False) from err


@spacy.registry.readers("labelwise.NerLabels.v1")
def ner_labels(path: str) -> dict[int, Counter[str]]:
    """For [initialize.components.ner.labels]: read corpus/labels.json as transitions.

    RETURNS (dict[int, Counter[str]]): Labels by the number of the action, as `spacy init labels` writes them.
    RAISES (ConfigValidationError): As `label_heads_labels`.
    """
    return BiluoPushDown.get_actions(entity_types=label_heads_labels(path))


def read_labels(path: Path) -> list[str]:
    """Read corpus/labels.json. RAISES (UserError): If it is missing or damaged, or not as the corpus was made."""
    labels = read_json(
        path, list[str], "make the corpus first: weasel run corpus", "make the corpus again: weasel run corpus"
    )
    check_labels(path)
    return labels


@spacy.registry.readers("labelwise.Corpus.v1")
@dataclass
class CorpusReader:
    """Reads a folder of .spacy shards: each call gives one epoch.

    With [training] max_epochs = -1 spaCy streams it, in the memory of the buffer. With 0 or more spaCy keeps it all.

    path (str): The folder, for example corpus/train.
    seed (Optional[int]): Shuffles each epoch differently. None: the order of the shards, always.
    limit (int): Number of texts to read, the first of the shards in order; 0 for all.
    max_length (int): In tokens; 0 for no limit. Longer texts are split, at the end of a sentence where those are known,
        and never inside a span. All spans are carried over.
    buffer (int): Tokens that are kept in memory and shuffled.
    augmenter (Optional[Callable]): Makes variants of examples: https://spacy.io/api/data-formats#augmenters
    RAISES (ConfigValidationError): If there is no shard, one is not as the corpus was made, or a number is too low;
        `spacy train` shows it without a traceback.
    """

    path: str | Path
    seed: int | None = None
    limit: int = 0
    max_length: int = 0
    buffer: int = 200_000
    augmenter: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        try:
            self._shards = shard_files(Path(self.path))
            if not self._shards:
                raise UserError(f"{self.path}: has no .spacy files; make the corpus first: weasel run corpus")
            for name, least in (("limit", 0), ("max_length", 0), ("buffer", 1)):
                if getattr(self, name) < least:
                    raise UserError(f"{name} = {getattr(self, name)}: must be {least} or more")
            for shard in self._shards:  # now, not after hours of training
                shard.read()
        except UserError as err:
            raise ConfigValidationError(title="No corpus", desc=str(err), show_config=False) from err
        self._epoch = 0
        self._cached: tuple[Language, list[Example]] | None = None  # for the last pipeline, if all fits the buffer

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """The examples of one epoch. RAISES (UserError): If a shard is damaged, or was changed meanwhile."""
        shuffled = None if self.seed is None else random.Random(f"{self.seed} {self._epoch}")  # noqa: S311
        self._epoch += 1
        for window in self._windows(nlp, shuffled):
            if shuffled:
                shuffled.shuffle(window)
            for example in window:
                yield from self.augmenter(nlp, example) if self.augmenter else (example,)

    def _windows(self, nlp: Language, shuffled: random.Random | None) -> Iterator[list[Example]]:
        if self._cached and self._cached[0] is nlp:
            yield list(self._cached[1])
            return
        shards = list(self._shards)
        if shuffled and not self.limit:
            shuffled.shuffle(shards)
        window: list[Example] = []
        tokens, is_first = 0, True
        for example in self._read_examples(nlp, shards):
            if tokens + len(example.reference) > self.buffer and window:
                is_first = False
                yield window
                window, tokens = [], 0
            window.append(example)
            tokens += len(example.reference)
        if is_first:
            self._cached = nlp, list(window)  # a copy: the window is shuffled in place
        yield window

    def _read_examples(self, nlp: Language, shards: Iterable[ShardFile]) -> Iterator[Example]:
        docs = (doc for doc in read_docs(shards, nlp.vocab) if len(doc))
        for doc in islice(docs, self.limit or None):
            for reference in split_doc(doc, self.max_length):
                yield Example(nlp.make_doc(reference.text), reference)


def read_docs(shards: Iterable[ShardFile], vocab: Vocab) -> Iterator[Doc]:
    """Stream the Docs of shards, see `shard_files`. RAISES (UserError): If one has changed or is damaged."""
    for shard in shards:
        content = shard.read()
        try:
            docs = list(unpack_docs(content, vocab))
        except Exception as err:  # zlib, msgpack and spaCy each have their own, which may quote the text
            raise UserError(
                f"{shard.path}: is damaged ({type(err).__name__}); make the corpus again: weasel run corpus"
            ) from err
        yield from docs


def split_doc(doc: Doc, max_length: int) -> Iterator[Doc]:
    """Split a Doc with all its spans into Docs of at most so many tokens; of more only where a span is longer."""
    if not max_length or len(doc) <= max_length:
        yield doc
        return
    start = 0
    while start < len(doc):
        end = _find_cut(doc, start, max_length)
        yield _slice_doc(doc, start, end)
        start = end


def _find_cut(doc: Doc, start: int, max_length: int) -> int:
    """The last end of a sentence that is near enough; else the last token boundary at which no span is cut."""
    last = min(start + max_length, len(doc))
    if last == len(doc):
        return last
    # Covered ranges may be cut: both halves stay covered.
    spans = [span for key, group in doc.spans.items() if key != COVERED for span in group] + list(doc.ents)
    places = [(span.start, span.end) for span in spans]
    cuts = [end for end in range(last, start, -1) if not any(a < end < z for a, z in places)]
    if not cuts:
        return min(end for end in range(last, len(doc) + 1) if not any(a < end < z for a, z in places))
    sentences = (end for end in cuts if doc[end].is_sent_start)
    return next(sentences, cuts[0])


def _slice_doc(doc: Doc, start: int, end: int) -> Doc:
    result = doc[start:end].as_doc()
    for key, group in doc.spans.items():
        clipped = ((max(span.start, start), min(span.end, end), span) for span in group)
        result.spans[key] = [
            Span(result, a - start, z - start, span.label, span_id=span.id) for a, z, span in clipped if a < z
        ]
    if MISALIGNED in doc.spans:
        group, offset = doc.spans[MISALIGNED], doc[start].idx
        annotated = [
            [a - offset, z - offset, is_gold]
            for span, (a, z, is_gold) in zip(group, group.attrs["annotated"], strict=True)
            if start <= span.start < end  # none is cut
        ]
        spans = list(result.spans[MISALIGNED])
        result.spans[MISALIGNED] = SpanGroup(result, name=MISALIGNED, spans=spans, attrs={"annotated": annotated})
    return result
