"""The Docs of a shard, tokenized and written as DocBins."""

import hashlib
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from spacy.attrs import ENT_TYPE, ORTH, SPACY
from spacy.language import Language
from spacy.strings import StringStore, get_string_id
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc, DocBin, Span, SpanGroup
from spacy.vocab import Vocab

from scripts.building.documents import (
    ACCEPTED,
    COVERED,
    GOLD,
    INCORRECT,
    AlignedText,
    DocMaker,
    Tokens,
    TokenSpan,
    tokenizer,
)
from scripts.building.plan import ShardJob
from scripts.building.splits import SPLITS, CorpusShard, SplitName, digest_of_placed
from scripts.merging.merged import read_gold

_SHARDS_A_VOCABULARY = 512
_CACHED_WORDS = 100_000  # with their tokens; spaCy's 10,000 are few for some megabytes of text
_SPAN = struct.Struct(">QQQllll")  # as spaCy stores a span
_ATTRS = ["ENT_IOB", "ENT_TYPE"]
_encode_lines = msgspec.json.Encoder().encode_lines


def make_shard(job: ShardJob) -> CorpusShard:
    """Tokenize the texts of a shard into `<split>/<name>.spacy`; misaligned spans go to `misaligned/<name>.jsonl`."""
    name, rules = job.range.name, job.rules
    nlp = pipeline(msgspec.json.encode(rules.nlp), int(name) // _SHARDS_A_VOCABULARY)
    maker = DocMaker(nlp, rules.labels, rules.misaligned)
    shard = CorpusShard(job.range.sha256, digest_of_placed(job.placed))
    splitter = msgspec.structs.replace(rules.splitter, placed=job.placed)
    bins = {split: EntityBin(rules.labels) for split in SPLITS}
    read = dict.fromkeys(("spans", "accepted", "rejected"), 0)
    for text in read_gold(job.gold, job.range.start, job.range.size):
        for field in read:
            read[field] += len(getattr(text, field))
        shard.without_document += splitter.lacks_document(text)
        split = splitter.split_of(text)
        if split is None:
            shard.no_split += 1
            maker.leave_out(text, "no split")
            continue
        aligned = maker.align(text)
        if aligned is None:
            shard.too_long += 1
            continue
        bins[split].add_text(aligned, nlp.vocab.strings)
        _count(shard, split, aligned)
        shard.rejected += len(aligned.groups[INCORRECT])
    shard.read = read
    assert 2 * maker.spans["read"] == maker.spans.total(), dict(maker.spans)
    for label, counts in sorted(maker.by_label.items()):
        counts["exact"] = 2 * counts["read"] - counts.total()
        shard.outcomes[label] = dict(sorted((+counts).items()))
    contents = {f"{split}/{name}.spacy": docs.to_bytes() for split, docs in bins.items() if len(docs)}
    if maker.misaligned:
        contents[f"misaligned/{name}.jsonl"] = _encode_lines(maker.misaligned)
    for path, content in contents.items():
        (job.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (job.folder / path).write_bytes(content)
        shard.files[path] = hashlib.sha256(content).hexdigest()
    return shard


@lru_cache(maxsize=1)
def pipeline(nlp: bytes, generation: int = 0) -> Language:
    """The tokenizer of an [nlp] block, with a new vocabulary for each generation.

    nlp (bytes): The block, as JSON.
    generation (int): A vocabulary keeps all words it has met, so it serves a number of shards and no more.
    """
    made = tokenizer(msgspec.json.decode(nlp))
    if type(made.tokenizer) is Tokenizer:
        # spaCy's own tokenizer never reads lexical attributes (shape, norm, like_num …) and no shard has them.
        # Without them, tokenizing takes up to half the time. Other tokenizers may read them.
        made.vocab.lex_attr_getters = {}  # type: ignore[attr-defined]
        made.tokenizer.max_cache_size = _CACHED_WORDS  # type: ignore[union-attr]
    return made


def _count(shard: CorpusShard, split: SplitName, text: AlignedText) -> None:
    length = len(text.tokens.starts)
    shard.texts[split] = shard.texts.get(split, 0) + 1
    shard.tokens[split] = shard.tokens.get(split, 0) + length
    whole_text = (span for span in text.groups[COVERED] if span.end - span.start == length and span.id != ACCEPTED)
    for counts, spans in ((shard.spans, text.groups[GOLD]), (shard.covered, whole_text)):
        by_label = counts.setdefault(split, {})
        for label, number in Counter(span.label for span in spans).items():
            by_label[label] = by_label.get(label, 0) + number


class EntityBin(DocBin):
    """A DocBin for Docs with entities and spans alone.

    spaCy's collects the strings of nine attributes of every token, stored or not, and the labels of every span, which
    takes longer than to tokenize. This one collects the strings of the stored attributes, each once, in the end, and
    takes the labels from its maker. All Docs and texts of a bin are of one vocabulary.

    labels (Iterable[str]): All labels that spans may have.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        super().__init__(_ATTRS)
        self._ids = {label: get_string_id(label) for label in labels}
        self._strings: StringStore | None = None
        self.strings.update(self._ids)

    def add(self, doc: Doc) -> None:
        """Add a Doc. See https://spacy.io/api/docbin#add."""
        array, spaces = doc.to_array(list(self.attrs)), doc.to_array(SPACY).astype(bool)
        self._add(array, spaces, doc.has_unknown_spaces, doc.cats, _span_groups(doc), doc.vocab.strings)

    def add_text(self, text: AlignedText, strings: StringStore) -> None:
        """Add what `AlignedText.annotate` would make a Doc of. The strings are of the vocabulary of its tokens."""
        tokens = text.tokens
        array = np.column_stack((tokens.orths, text.entities))
        groups = ((key, key, text.attributes(key), self._pack(tokens, spans)) for key, spans in text.groups.items())
        self._add(array, tokens.spaces, tokens.has_unknown_spaces, {}, _encode_groups(groups), strings)

    def _pack(self, tokens: Tokens, spans: Iterable[TokenSpan]) -> list[bytes]:
        starts, ends, ids = tokens.starts, tokens.ends, self._ids
        return [
            _SPAN.pack(
                span.id, 0, ids[span.label], span.start, span.end,
                starts[span.start] if starts else 0, ends[span.end - 1] if ends else 0,
            )
            for span in spans
        ]  # fmt: skip

    def _add(
        self, array: Any, spaces: Any, has_unknown_spaces: bool, cats: dict[str, float], groups: bytes,
        strings: StringStore,
    ) -> None:  # fmt: skip
        self.tokens.append(array)
        self.spaces.append(spaces.reshape(-1, 1))
        self.flags.append({"has_unknown_spaces": has_unknown_spaces})
        self.cats.append(cats)
        self.span_groups.append(groups)
        self._strings = strings

    def to_bytes(self) -> bytes:
        """As https://spacy.io/api/docbin#to_bytes, but at zlib's fastest level: a third of the time, a tenth larger."""
        if self._strings is not None:
            columns = [self.attrs.index(name) for name in (ORTH, ENT_TYPE)]
            stored = np.unique(np.concatenate(self.tokens)[:, columns])
            self.strings.update(map(self._strings.__getitem__, stored.tolist()))
        content = {
            "version": self.version,
            "attrs": self.attrs,
            "tokens": b"".join(tokens.tobytes() for tokens in self.tokens),
            "spaces": b"".join(spaces.tobytes() for spaces in self.spaces),
            "lengths": np.array([len(tokens) for tokens in self.tokens], "i4").tobytes(),
            "strings": sorted(self.strings),
            "cats": self.cats,
            "flags": self.flags,
            "span_groups": self.span_groups,
        }
        return zlib.compress(msgspec.msgpack.encode(content), zlib.Z_BEST_SPEED)


def _span_groups(doc: Doc) -> bytes:
    """The bytes of https://spacy.io/api/doc#spans as `doc.spans.to_bytes()` gives them (tested to be equal).

    That asks srsly's registry of encoders, which searches all registries, four times for each Doc: ten times as long.
    """
    return _encode_groups(
        (key, group.name, group.attrs, [
            _SPAN.pack(span.id, span.kb_id, span.label, span.start, span.end, span.start_char, span.end_char)
            for span in group
        ])
        for key, group in doc.spans.items()
    )  # fmt: skip


def _encode_groups(groups: Iterable[tuple[str, str, dict[str, Any], list[bytes]]]) -> bytes:
    """Encode groups of spans: keys, names, attributes, and the bytes of their spans."""
    found: dict[bytes, list[str]] = {}
    for key, name, attributes, spans in groups:
        content = {"name": name, "attrs": attributes, "spans": spans}
        found.setdefault(msgspec.msgpack.encode(content), []).append(key)
    return msgspec.msgpack.encode(found or [])


def unpack_docs(content: bytes, vocab: Vocab) -> Iterator[Doc]:
    """The Docs that `DocBin().from_bytes(content).get_docs(vocab)` gives (tested to be equal).

    That asks srsly's registry of decoders for each group of spans: of a short text 20 times as long.
    """
    docs = DocBin().from_bytes(content)
    groups, docs.span_groups = docs.span_groups, [b""] * len(docs)
    for doc, encoded in zip(docs.get_docs(vocab), groups, strict=True):
        decoded = msgspec.msgpack.decode(encoded) if encoded else []
        if isinstance(decoded, dict):
            for group, keys in decoded.items():
                for key in keys:
                    doc.spans[key] = _decode_group(doc, group)
        else:  # of spaCy before 3.4, or nothing
            doc.spans.from_bytes(encoded)
        yield doc


def _decode_group(doc: Doc, encoded: bytes) -> SpanGroup:
    group = msgspec.msgpack.decode(encoded)
    if group["attrs"]:  # which can hold arrays, as srsly encodes them
        return SpanGroup(doc).from_bytes(encoded)
    unpacked = map(_SPAN.unpack, group["spans"])
    spans = [Span(doc, start, end, label, kb_id=kb, span_id=id_) for id_, kb, label, start, end, *_ in unpacked]
    return SpanGroup(doc, name=group["name"], spans=spans)


class DocWriter:
    """Writes Docs into a new folder, a file for each thousand, of which one is in memory. To be closed at the end.

    labels (Iterable[str]): All labels that spans may have.
    """

    def __init__(self, folder: Path, labels: Iterable[str], size: int = 1_000) -> None:
        folder.mkdir(parents=True)
        self._folder, self._labels, self._size, self._number = folder, list(labels), size, 0
        self._docs = EntityBin(self._labels)

    def add(self, doc: Doc) -> None:
        """Add a Doc."""
        self._docs.add(doc)
        if len(self._docs) == self._size:
            self.close()

    def close(self) -> None:
        """Write the Docs that are not written yet."""
        if len(self._docs):
            self._docs.to_disk(self._folder / f"{self._number:04}.spacy")
            self._number += 1
            self._docs = EntityBin(self._labels)
