"""Which texts are for training and which for evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Literal, get_args

import msgspec

from scripts.annotations.hashing import fraction, normalized
from scripts.annotations.records import GoldText

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
