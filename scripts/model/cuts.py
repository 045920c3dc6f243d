"""The gold in shards, ranges of hashes: which there are, by what rules they are made, and what was made of each.

spaCy is not needed for it, and takes a second to load: what did not change is known without.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from scripts.annotations.records import GoldText, hash_of_line
from scripts.model.split import Side, Splitter

Misaligned = Literal["snap", "refuse"]

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
