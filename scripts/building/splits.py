"""Splits: which texts are for training and which for evaluation, and corpus/split.json, the account of a corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal, get_args

import msgspec

from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.files import read_json
from scripts.core.hashing import fraction, normalized

SplitName = Literal["train", "dev", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
NAME = "split.json"
STORED = "docbins.json"  # beside split.json if the shards are elsewhere: says where


class Splitter(msgspec.Struct, frozen=True):
    """Decides by a text (or its document) alone which split it is in, so that it never changes.

    dev (float), test (float): Shares of the texts.
    document (str): The key of the texts' meta that names the document; texts of one document are in one split.
    reserved_dev, reserved_test (frozenset[bytes]): Keys of texts that are in a split whatever their hash.
    """

    dev: float
    test: float
    document: str = ""
    reserved_dev: frozenset[bytes] = frozenset()
    reserved_test: frozenset[bytes] = frozenset()

    def split_of(self, text: GoldText) -> SplitName:
        """The split of a text. Texts that differ only in case, whitespace and punctuation are in the same one."""
        key = _split_key(text, self.document)
        if self.reserved_test or self.reserved_dev:
            digest = _digest(key)
            if digest in self.reserved_test:
                return "test"
            if digest in self.reserved_dev:
                return "dev"
        share = fraction(key)
        # Test comes first, so that a text stays in test when the share of dev changes.
        if share < self.test:
            return "test"
        return "dev" if share < self.test + self.dev else "train"


def reserved(texts: Iterable[GoldText], datasets: Collection[str], document: str) -> frozenset[bytes]:
    """Keys of the texts that have an answer from one of these datasets: they and their duplicates are evaluated on."""
    return frozenset(
        _digest(_split_key(text, document)) for text in texts if not set(datasets).isdisjoint(text.sources)
    )


def _split_key(text: GoldText, document: str) -> str:
    if document and document in text.meta:
        return f"{document}={text.meta[document]}"
    return normalized(text.text)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=12).digest()


class CorpusShard(msgspec.Struct):
    """A shard of the corpus: the Docs of a range of hashes. Counts are those of `Corpus`, but split before label.

    gold (str): Digest of its lines of gold.
    files (dict[str, str]): Digests of its files by their paths in the corpus; a split without texts has none.
    """

    gold: str
    files: dict[str, str] = {}
    texts: dict[SplitName, int] = {}
    tokens: dict[SplitName, int] = {}
    spans: dict[SplitName, dict[str, int]] = {}
    covered: dict[SplitName, dict[str, int]] = {}
    outcomes: dict[str, int] = {}
    too_long: int = 0


class Corpus(msgspec.Struct, kw_only=True):
    """corpus/split.json.

    digest (str): Of the gold, its labels and the settings; the same whatever code made the corpus.
    texts (dict[SplitName, int]), tokens (dict[SplitName, int]): Counts by split.
    spans (dict[str, dict[SplitName, int]]): Gold spans by label and split.
    covered (dict[str, dict[SplitName, int]]): Texts covered for a label, by label and split.
    outcomes (dict[str, int]): Outcomes of all spans: "read" is the sum of the others, see `DocMaker`.
    too_long (int): Texts that were skipped, since the pipeline does not take them.
    made_by (str): Digest of all that a shard depends on but its gold: settings, code, version of spaCy.
    shards (dict[str, CorpusShard]): By name.
    """

    digest: str
    texts: dict[SplitName, int] = {}
    tokens: dict[SplitName, int] = {}
    spans: dict[str, dict[SplitName, int]] = {}
    covered: dict[str, dict[SplitName, int]] = {}
    outcomes: dict[str, int] = {}
    too_long: int = 0
    made_by: str = ""
    shards: dict[str, CorpusShard] = {}


class StoredShards(msgspec.Struct):
    """corpus/docbins.json, if the shards are not beside it: URL of the storage, and the folder of each shard there."""

    storage: str
    folders: dict[str, str]


def read_corpus(path: Path) -> Corpus:
    """Read corpus/split.json. RAISES (UserError): If it is missing or damaged, or the shards are elsewhere."""
    if path.with_name(STORED).exists():
        raise UserError(f"{path.parent}: its shards stayed on the storage; bring them: fetch = true, weasel run corpus")
    return read_json(
        path, Corpus, "make the corpus first: weasel run corpus", "make the corpus again: weasel run corpus"
    )
