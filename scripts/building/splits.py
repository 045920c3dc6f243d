"""Which texts are for training and which for evaluation.

corpus/split.json, as far as the steps after it want to know which corpus there is.
"""

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

Side = Literal["train", "dev", "test"]
SIDES: tuple[Side, ...] = get_args(Side)


class Splitter(msgspec.Struct, frozen=True):
    """Decides on which side a text is, by the text (or its document) alone, so that it stays there for ever.

    dev (float), test (float): Shares of the texts.
    document (str): The key of the texts' meta that names the document; those of one document stay together.
    reserved_dev, reserved_test (frozenset[bytes]): Keys of texts that are on a side whatever their hash.
    """

    dev: float
    test: float
    document: str = ""
    reserved_dev: frozenset[bytes] = frozenset()
    reserved_test: frozenset[bytes] = frozenset()

    def side(self, text: GoldText) -> Side:
        """The side of a text. Texts that are equal but for case, blanks and punctuation are on the same."""
        key = _key(text, self.document)
        if self.reserved_test or self.reserved_dev:
            digest = _digest(key)
            if digest in self.reserved_test or digest in self.reserved_dev:
                return "test" if digest in self.reserved_test else "dev"
        place = fraction(key)
        if place < self.test:
            return "test"
        return "dev" if place < self.test + self.dev else "train"


def reserved(texts: Iterable[GoldText], datasets: Collection[str], document: str) -> frozenset[bytes]:
    """Keys of the texts in which one of these datasets took part: evaluation data, and what is equal to it."""
    return frozenset(_digest(_key(text, document)) for text in texts if not set(datasets).isdisjoint(text.sources))


def _key(text: GoldText, document: str) -> str:
    if document and document in text.meta:
        return f"{document}={text.meta[document]}"
    return normalized(text.text)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=12).digest()


STORED = "docbins.json"  # beside split.json where the shards are not: says where they are


class Split(msgspec.Struct):
    """What of corpus/split.json says which corpus it is.

    digest (str): Of the texts, what is known of them, how they are split and tokenized.
    texts (dict[str, int]): How many on each side.
    covered (dict[str, dict[str, int]]): By label and side: texts in which the label is known everywhere.
    spans (dict[str, dict[str, int]]): By label and side: its entities.
    """

    digest: str
    texts: dict[str, int]
    covered: dict[str, dict[str, int]] = {}
    spans: dict[str, dict[str, int]] = {}


def read_split(path: Path) -> Split:
    """Read corpus/split.json. RAISES (UserError): If there is none, it is damaged, or the shards are elsewhere."""
    if path.with_name(STORED).exists():
        raise UserError(f"{path.parent}: its shards stayed on the storage; bring them: fetch = true, weasel run corpus")
    return read_json(
        path, Split, "make the corpus first: weasel run corpus", "make the corpus again: weasel run corpus"
    )
