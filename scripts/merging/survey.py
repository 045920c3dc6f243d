"""One row of numbers per text of the gold, some 50 bytes each: enough to find duplicates and contained texts."""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np

from scripts.core.hashing import unescaped
from scripts.core.workers import Workers
from scripts.merging.fingerprints import Fingerprints, keys

LEVELS = tuple(4**power for power in range(2, 14))  # lengths of beginnings: 16, 64, 256, … code points
_BLOCK = 2**20  # bytes of gold that are read together
_INVISIBLE = dict.fromkeys("\xad\u200b\u200c\u200d\u2060\ufeff", "")  # soft hyphens, joiners, of width zero
_QUOTES = dict.fromkeys("‘’‚‛′‵ʼ´", "'") | dict.fromkeys("“”„‟″‶«»", '"')

ROW = np.dtype(
    [
        ("beginning", "u8"),  # hash of the first LEVELS[level - 1] code points
        ("first", "u8"),  # hash of the first LEVELS[0] code points
        ("key", "u8"),  # hash of the whole text
        ("bare", "u8"),  # hash of the text without whitespace
        ("hash", "i4"),  # input hash
        ("offset", "i8"),  # of its line in gold.jsonl
        ("length", "i8"),  # in code points
        ("level", "i1"),  # number of LEVELS that are not longer than the text
    ]
)
TextRows = np.ndarray[Any, np.dtype[np.void]]


class SourcedText(msgspec.Struct):
    """A text of the gold, and the datasets it comes from."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    sources: list[str]


_decode = msgspec.json.Decoder(SourcedText).decode


class Block(NamedTuple):
    """Whole lines of gold.jsonl, from one offset to before another."""

    gold: Path
    start: int
    stop: int


def blocks(gold: Path, size: int = _BLOCK) -> list[Block]:
    """Divide the gold into blocks of about `size` bytes."""
    edges = [0]
    with gold.open("rb") as file:
        end = file.seek(0, 2)
        while edges[-1] < end:
            file.seek(edges[-1] + size)
            file.readline()
            edges.append(min(file.tell(), end))
    return [Block(gold, start, stop) for start, stop in pairwise(edges)]


def lines(block: Block) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line of a block."""
    with block.gold.open("rb") as file:
        offset = file.seek(block.start)
        for line in file.read(block.stop - block.start).splitlines(keepends=True):
            yield offset, line
            offset += len(line)


def texts(block: Block) -> list[str]:
    """The texts of a block."""
    return [text.text for text in sourced_texts(block)]


def sourced_texts(block: Block) -> Iterator[SourcedText]:
    """The texts of a block with their datasets."""
    return (_decode(line) for _, line in lines(block))


def text_at(file: IO[bytes], offset: int) -> SourcedText:
    """The text whose line begins at an offset of the open gold."""
    file.seek(offset)
    return _decode(file.readline())


def survey(gold: Sequence[Block], path: Path, workers: Workers) -> tuple[TextRows, list[int]]:
    """Compute the rows of all texts.

    path (Path): A file for the rows, which need not fit into memory.
    RETURNS (tuple[TextRows, list[int]]): The rows in the order of the gold, and the number of each block's first row.
    """
    firsts = []
    written = 0
    with path.open("wb") as file:
        for rows in workers.spread(_rows_of_block, gold, "Surveying"):
            firsts.append(written)
            written += len(rows)
            file.write(rows.tobytes())
    return np.memmap(path, ROW, "r") if written else np.zeros(0, ROW), firsts


def _rows_of_block(block: Block) -> TextRows:
    found = [(offset, _decode(line)) for offset, line in lines(block)]
    prints = Fingerprints([text.text for _, text in found])
    rows = np.zeros(len(found), ROW)
    rows["offset"] = [offset for offset, _ in found]
    rows["hash"] = [text.input_hash for _, text in found]
    digests = [hashlib.blake2b(bare(text.text).encode(), digest_size=8).digest() for _, text in found]
    rows["bare"] = np.frombuffer(b"".join(digests), ">u8")
    rows["length"] = lengths = prints.ends - prints.starts
    rows["level"] = np.searchsorted(LEVELS, lengths, side="right")
    rows["key"] = keys(prints.of(prints.starts, lengths), lengths)
    beginnings = np.array([0, *LEVELS])[rows["level"]]
    rows["beginning"] = prints.of(prints.starts, beginnings)
    rows["first"] = prints.of(prints.starts, np.minimum(beginnings, LEVELS[0]))
    return rows


def bare(text: str) -> str:
    """The text without whitespace and invisible characters, in the Unicode form NFKC, with straight quotes and its HTML
    entities as characters. Duplicates have the same.
    """
    return without_whitespace(one_form(plain_quotes(visible(unescaped(text)))))


def visible(text: str) -> str:
    """The text without soft hyphens and characters of width zero."""
    return _substituted(text, _INVISIBLE)


def plain_quotes(text: str) -> str:
    """The text with straight quotes; two single ones are a double one."""
    return _substituted(text, _QUOTES).replace("`", "'").replace("''", '"')


def _substituted(text: str, table: dict[str, str]) -> str:
    if not text.isascii():
        for character, other in table.items():  # str.translate takes ten times as long
            if character in text:
                text = text.replace(character, other)
    return text


def one_form(text: str) -> str:
    """The text in the Unicode form NFKC."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def without_whitespace(text: str) -> str:
    """The text without whitespace."""
    return "".join(text.replace(" ", "").split())  # split() alone takes three times as long
