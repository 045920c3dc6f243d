"""The gold in shards, ranges of hashes: which there are, by what rules they are made, and what was made of each.

spaCy is not needed for it, and takes a second to load: what did not change is known without.

A shard of the gold becomes three DocBins.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import srsly
from spacy.attrs import ENT_TYPE, ORTH, SPACY
from spacy.language import Language
from spacy.tokenizer import Tokenizer
from spacy.tokens import Doc, DocBin

from scripts.building.documents import DocMaker, Made, Misaligned, tokenizer
from scripts.building.splits import SIDES, Side, Splitter
from scripts.core.answers import GoldText, hash_of_line

_SHARD_BYTES = 2**17  # of gold, at most, on average
_MOST_BITS = 12
_decode = msgspec.json.Decoder(GoldText).decode


class Cut(NamedTuple):
    """A shard's place in gold.jsonl: where it starts, how many bytes it has, and their digest."""

    name: str
    start: int
    size: int
    sha256: str


class Shard(msgspec.Struct):
    """What was made of a shard.

    gold (str): Digest of its lines of gold.
    files (dict[str, str]): Digests of its files by their paths in the corpus; a side without texts has none.
    texts (dict[Side, int]), tokens (dict[Side, int]): How many.
    spans (dict[Side, dict[str, int]]): Gold spans by label.
    covered (dict[Side, dict[str, int]]): Texts in which a label is known everywhere.
    fates (dict[str, int]): What became of the spans, see `DocMaker`.
    too_long (int): Texts left out.
    """

    gold: str
    files: dict[str, str] = {}
    texts: dict[Side, int] = {}
    tokens: dict[Side, int] = {}
    spans: dict[Side, dict[str, int]] = {}
    covered: dict[Side, dict[str, int]] = {}
    fates: dict[str, int] = {}
    too_long: int = 0


class Rules(NamedTuple):
    """What a shard is made by, apart from its gold.

    nlp (dict[str, Any]): The [nlp] block of the training config.
    """

    nlp: dict[str, Any]
    labels: frozenset[str]
    misaligned: Misaligned
    splitter: Splitter


def fineness(size: int) -> int:
    """How many bits of a text's hash name its shard, if there are so many bytes of gold: shards are to be small, and
    not many. As the gold grows, all are cut in two at a time.
    """
    return min((size // _SHARD_BYTES).bit_length(), _MOST_BITS)


def cut(gold: Path, bits: int) -> Iterator[Cut]:
    """Cut sorted gold, or a part of it that ends where a shard ends, into shards.

    bits (int): See `fineness`.
    RAISES (ValueError): If it is damaged.
    """
    start, place, name = 0, 0, ""
    digest = hashlib.sha256()
    with gold.open("rb") as lines:
        for line in lines:
            this = f"{(hash_of_line(line) + 2**31) >> (32 - bits):04}"
            if this != name and place > start:
                yield Cut(name, start, place - start, digest.hexdigest())
                start, digest = place, hashlib.sha256()
            name = this
            place += len(line)
            digest.update(line)
    if place > start:
        yield Cut(name, start, place - start, digest.hexdigest())


class Job(NamedTuple):
    """The work of making a shard; its files go to the folder."""

    cut: Cut
    gold: Path
    rules: Rules
    folder: Path


def read_gold(path: Path, start: int = 0, size: int = -1) -> Iterator[GoldText]:
    """Stream gold.jsonl, or a part of it: so many bytes from its start on, which must be whole lines."""
    with path.open("rb") as lines:
        lines.seek(start)
        while size and (line := lines.readline()):
            size -= len(line)
            yield _decode(line)


_SHARDS_A_VOCABULARY = 512
_REMEMBERED = 100_000  # words, with the tokens they become; spaCy's 10,000 are few for some megabytes of text
_ATTRS = ["ENT_IOB", "ENT_TYPE"]
_encode = msgspec.json.Encoder().encode_lines


def make_shard(job: Job) -> Shard:
    """Tokenize a shard's texts: `<side>/<name>.spacy`, and `misaligned/<name>.jsonl` if there is anything to list."""
    nlp = pipeline(msgspec.json.encode(job.rules.nlp), int(job.cut.name) // _SHARDS_A_VOCABULARY)
    maker = DocMaker(nlp, job.rules.labels, job.rules.misaligned)
    shard = Shard(job.cut.sha256)
    bins = {side: EntityBin(job.rules.labels) for side in SIDES}
    with encoders_looked_up():
        for text in read_gold(job.gold, job.cut.start, job.cut.size):
            made = maker.make(text)
            if made is None:
                shard.too_long += 1
                continue
            side = job.rules.splitter.side(text)
            bins[side].add(made.doc)
            _count(shard, side, made)
        contents = {f"{side}/{job.cut.name}.spacy": docs.to_bytes() for side, docs in bins.items() if len(docs)}
    shard.fates = dict(sorted(maker.spans.items()))
    assert 2 * maker.spans["read"] == maker.spans.total(), shard.fates
    if maker.misfits:
        contents[f"misaligned/{job.cut.name}.jsonl"] = _encode(maker.misfits)
    shard.files = {name: _write(job.folder / name, content) for name, content in contents.items()}
    return shard


@lru_cache(maxsize=1)
def pipeline(nlp: bytes, generation: int = 0) -> Language:
    """The pipeline of an [nlp] block, for some shards: a vocabulary grows with all it reads and never shrinks.

    spaCy's own tokenizer looks at words alone, never at their lexical attributes (shape, norm, whether they are like a
    number …), and no shard has them: that each new word is not given them saves up to half of the time it takes to
    tokenize. Other tokenizers may look at them.
    """
    made = tokenizer(msgspec.json.decode(nlp))
    if type(made.tokenizer) is Tokenizer:
        made.vocab.lex_attr_getters = {}  # type: ignore[attr-defined]
        made.tokenizer.max_cache_size = _REMEMBERED  # type: ignore[union-attr]
    return made


def _count(shard: Shard, side: Side, made: Made) -> None:
    length = len(made.doc)
    shard.texts[side] = shard.texts.get(side, 0) + 1
    shard.tokens[side] = shard.tokens.get(side, 0) + length
    everywhere = (span for span in made.covered if span.end - span.start == length)
    for counts, found in ((shard.spans, made.gold), (shard.covered, everywhere)):
        own = counts.setdefault(side, {})
        for label, times in Counter(span.label for span in found).items():
            name = made.doc.vocab.strings[label]
            own[name] = own.get(name, 0) + times


def _write(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


class EntityBin(DocBin):
    """A DocBin for Docs with entities and spans alone.

    spaCy's collects the strings of nine attributes of every token, stored or not, and the labels of every span, which
    takes longer than to tokenize; here it is those of the attributes that are stored, each once, and what is known.

    labels (Iterable[str]): All that spans may have.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        super().__init__(_ATTRS)
        self.strings.update(labels)
        self._known: set[int] = set()  # the keys of words and labels of entities that are among the strings

    def add(self, doc: Doc) -> None:
        """Add a Doc. See https://spacy.io/api/docbin#add."""
        attrs: list[int | str] = list(self.attrs)
        array = doc.to_array(attrs)
        self.tokens.append(array)
        self.spaces.append(doc.to_array(SPACY).astype(bool).reshape(-1, 1))
        self.flags.append({"has_unknown_spaces": doc.has_unknown_spaces})
        self.cats.append(doc.cats)
        self.span_groups.append(doc.spans.to_bytes())
        keys = set().union(*(array[:, attrs.index(name)].tolist() for name in (ORTH, ENT_TYPE))) - self._known
        self._known |= keys
        self.strings.update(map(doc.vocab.strings.__getitem__, keys))

    def to_bytes(self) -> bytes:
        """As https://spacy.io/api/docbin#to_bytes, compressed in a third of the time: a tenth larger."""
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
        return zlib.compress(srsly.msgpack_dumps(content), zlib.Z_BEST_SPEED)


class DocWriter:
    """Writes Docs into a folder, so many to a shard, of which one is in memory. The folder is made, and closed last.

    labels (Iterable[str]): All that spans may have.
    """

    def __init__(self, folder: Path, labels: Iterable[str], shard: int = 1_000) -> None:
        folder.mkdir(parents=True)
        self._folder, self._labels, self._shard, self._number = folder, list(labels), shard, 0
        self._docs = EntityBin(self._labels)

    def add(self, doc: Doc) -> None:
        """Add a Doc."""
        self._docs.add(doc)
        if len(self._docs) == self._shard:
            self.close()

    def close(self) -> None:
        """Write what is not written yet."""
        if len(self._docs):
            self._docs.to_disk(self._folder / f"{self._number:04}.spacy")
            self._number += 1
            self._docs = EntityBin(self._labels)


@contextmanager
def encoders_looked_up() -> Iterator[None]:
    """Let srsly look up once which encoders there are, instead of four times for each Doc with spans: two thirds of
    the time it takes to add one to a DocBin.
    """
    encoders = srsly.msgpack_encoders
    found = encoders.get_all()
    encoders.get_all = lambda: found
    try:
        yield
    finally:
        del encoders.get_all
