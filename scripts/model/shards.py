"""The gold in shards: ranges of hashes, each of them three DocBins. A shard that did not change is not made again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import srsly
from spacy.attrs import ENT_TYPE, ORTH, SPACY
from spacy.language import Language
from spacy.tokens import Doc, DocBin

from scripts.annotations.records import GoldText, hash_of_line
from scripts.model.documents import DocMaker, Misaligned
from scripts.model.label_heads import COVERED, GOLD
from scripts.model.pipeline import tokenizer
from scripts.model.split import SIDES, Side, Splitter

_SHARD_BYTES = 2**18  # of gold, at most, on average
_MOST_BITS = 12
_SHARDS_A_VOCABULARY = 256
_ATTRS = ["ENT_IOB", "ENT_TYPE"]
_decode = msgspec.json.Decoder(GoldText).decode
_encode = msgspec.json.Encoder().encode_lines


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


def make_shard(job: Job) -> Shard:
    """Tokenize a shard's texts: `<side>/<name>.spacy`, and `misaligned/<name>.jsonl` if there is anything to list."""
    nlp = pipeline(msgspec.json.encode(job.rules.nlp), int(job.cut.name) // _SHARDS_A_VOCABULARY)
    maker = DocMaker(nlp, job.rules.labels, job.rules.misaligned)
    shard = Shard(job.cut.sha256)
    bins = {side: EntityBin(attrs=_ATTRS) for side in SIDES}
    with encoders_looked_up():
        for text in read_gold(job.gold, job.cut.start, job.cut.size):
            doc = maker.make(text)
            if doc is None:
                shard.too_long += 1
                continue
            side = job.rules.splitter.side(text)
            bins[side].add(doc)
            _count(shard, side, doc)
    shard.fates = dict(sorted(maker.spans.items()))
    assert 2 * maker.spans["read"] == maker.spans.total(), shard.fates
    contents = {f"{side}/{job.cut.name}.spacy": docs.to_bytes() for side, docs in bins.items() if len(docs)}
    if maker.misfits:
        contents[f"misaligned/{job.cut.name}.jsonl"] = _encode(maker.misfits)
    shard.files = {name: _write(job.folder / name, content) for name, content in contents.items()}
    return shard


@lru_cache(maxsize=1)
def pipeline(nlp: bytes, generation: int = 0) -> Language:
    """The pipeline of an [nlp] block, for some shards: a vocabulary grows with all it reads and never shrinks."""
    return tokenizer(msgspec.json.decode(nlp))


def read_gold(path: Path, start: int = 0, size: int = -1) -> Iterator[GoldText]:
    """Stream gold.jsonl, or a part of it: so many bytes from its start on, which must be whole lines."""
    with path.open("rb") as lines:
        lines.seek(start)
        while size and (line := lines.readline()):
            size -= len(line)
            yield _decode(line)


def _count(shard: Shard, side: Side, doc: Doc) -> None:
    shard.texts[side] = shard.texts.get(side, 0) + 1
    shard.tokens[side] = shard.tokens.get(side, 0) + len(doc)
    everywhere = (span for span in doc.spans[COVERED] if span.end - span.start == len(doc))
    for counts, found in ((shard.spans, doc.spans[GOLD]), (shard.covered, everywhere)):
        own = counts.setdefault(side, {})
        for label, times in Counter(span.label for span in found).items():
            name = doc.vocab.strings[label]
            own[name] = own.get(name, 0) + times


def _write(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


class EntityBin(DocBin):
    """A DocBin for Docs with entities and spans alone.

    spaCy's collects the strings of nine attributes of every token, stored or not, which takes as long as it takes to
    tokenize; here it is those of the attributes that are stored.
    """

    def add(self, doc: Doc) -> None:
        """Add a Doc. See https://spacy.io/api/docbin#add."""
        attrs: list[int | str] = list(self.attrs)
        array = doc.to_array(attrs)
        self.tokens.append(array)
        self.spaces.append(doc.to_array(SPACY).astype(bool).reshape(-1, 1))
        self.flags.append({"has_unknown_spaces": doc.has_unknown_spaces})
        self.cats.append(doc.cats)
        self.span_groups.append(doc.spans.to_bytes())
        strings = doc.vocab.strings
        stored = {strings[key] for name in (ORTH, ENT_TYPE) for key in array[:, attrs.index(name)].tolist()}
        self.strings.update(stored, (strings[span.label] for group in doc.spans.values() for span in group))


class DocWriter:
    """Writes Docs into a folder, so many to a shard, of which one is in memory. The folder is made, and closed last."""

    def __init__(self, folder: Path, shard: int = 1_000) -> None:
        folder.mkdir(parents=True)
        self._folder, self._shard, self._number = folder, shard, 0
        self._docs = EntityBin(attrs=_ATTRS)

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
            self._docs = EntityBin(attrs=_ATTRS)


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
