"""The texts of the gold as numbers, a few dozen bytes each: enough to see which resemble each other."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from scripts.core.workers import Workers
from scripts.merging.fingerprints import Fingerprints, keys

LEVELS = tuple(4**power for power in range(2, 14))  # lengths of beginnings that are looked for: 16, 64, 256, …
_BLOCK = 2**20  # bytes of gold that are looked at together
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff"  # soft hyphens, joiners, marks of width zero

# level: how many of LEVELS are not longer than the text. beginning: the hash of as much of it as the last of them
# says; first: as the first of them says. key: of the whole. bare: of the text without blanks. place: where its line
# begins in gold.jsonl.
ROW = np.dtype(
    [
        ("beginning", "u8"),
        ("first", "u8"),
        ("key", "u8"),
        ("bare", "u8"),
        ("place", "i8"),
        ("length", "i8"),
        ("level", "i1"),
    ]
)
Rows = np.ndarray[Any, np.dtype[np.void]]


class Text(msgspec.Struct):
    """What of a line of gold.jsonl is needed."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    sources: list[str]


_decode = msgspec.json.Decoder(Text).decode


class Block(NamedTuple):
    """Whole lines of gold.jsonl, from one place to before another."""

    gold: Path
    start: int
    stop: int


def blocks(gold: Path, size: int = _BLOCK) -> list[Block]:
    """The whole of the gold, in parts of about so many bytes."""
    edges = [0]
    with gold.open("rb") as file:
        end = file.seek(0, 2)
        while edges[-1] < end:
            file.seek(edges[-1] + size)
            file.readline()
            edges.append(min(file.tell(), end))
    return [Block(gold, start, stop) for start, stop in pairwise(edges)]


def survey(parts: Sequence[Block], path: Path, workers: Workers) -> tuple[Rows, list[int]]:
    """Look at all texts.

    parts (Sequence[Block]): All of the gold.
    path (Path): A file for what is found, since it may be much.
    RETURNS (tuple[Rows, list[int]]): A row a text, in the order of the gold; and the number of each block's first row.
    """
    firsts = []
    written = 0
    with path.open("wb") as file:
        for rows in workers.spread(_rows, parts, "Surveying"):
            firsts.append(written)
            written += len(rows)
            file.write(rows.tobytes())
    found = np.memmap(path, ROW, "r") if written else np.zeros(0, ROW)
    return found, firsts


def lines(block: Block) -> Iterator[tuple[int, bytes]]:
    """The lines of a block, each with its place."""
    with block.gold.open("rb") as file:
        place = file.seek(block.start)
        for line in file.read(block.stop - block.start).splitlines(keepends=True):
            yield place, line
            place += len(line)


def text_at(file: Any, place: int) -> Text:
    """The text whose line begins at a place of the open gold."""
    file.seek(place)
    return _decode(file.readline())


def texts(block: Block) -> list[str]:
    """The texts of a block."""
    return [_decode(line).text for _, line in lines(block)]


def _rows(block: Block) -> Rows:
    found = [(place, _decode(line).text) for place, line in lines(block)]
    prints = Fingerprints([text for _, text in found])
    rows = np.zeros(len(found), ROW)
    rows["place"] = [place for place, _ in found]
    rows["bare"] = [_digest(bare(text)) for _, text in found]
    rows["length"] = lengths = prints.ends - prints.starts
    rows["level"] = np.searchsorted(LEVELS, lengths, side="right")
    rows["key"] = keys(prints.of(prints.starts, lengths), lengths)
    beginnings = np.array([0, *LEVELS])[rows["level"]]
    rows["beginning"] = prints.of(prints.starts, beginnings)
    rows["first"] = prints.of(prints.starts, np.minimum(beginnings, LEVELS[0]))
    return rows


def bare(text: str) -> str:
    """The text in the Unicode form NFKC, without blanks and what cannot be seen."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        for mark in _INVISIBLE:
            if mark in text:
                text = text.replace(mark, "")
    return "".join(text.replace(" ", "").split())  # to divide it at each blank takes three times as long


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
