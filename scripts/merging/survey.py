"""One row of numbers per text of the gold, some 50 bytes each: enough to find duplicates and contained texts; and the
rolling hashes that these are made of.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.texts import unescaped
from scripts.core.workers import Workers

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


class SourcedText(msgspec.Struct, omit_defaults=True):
    """A text of the gold, and the datasets it comes from. See `GoldText`."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    sources: list[str]
    other_sources: list[str] = []

    def datasets(self) -> list[str]:
        """All datasets that have an answer about it. A correction does not take the text out of what it corrects."""
        return [*self.sources, *self.other_sources] if self.other_sources else self.sources


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


# ---- Rolling hashes: of any substring of a text in constant time, and of all substrings of a length at once
#
# The hash of code points c0 c1 … is the sum of c_i * BASE^i modulo 2^64 (Rabin–Karp without a prime: the overflow of
# NumPy's integers is the modulo). The sums before two positions give the hash of the substring between them. Equal
# hashes are a hint only: texts have to be compared.

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]

_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_MIX = np.array(0xC2B2AE3D27D4EB4F, np.uint64)


class Fingerprints:
    """Texts, one after the other, and the hashes of their substrings. Positions are in all code points together.

    codes (NDArray): All code points.
    starts (Numbers), ends (Numbers): Boundaries of the texts.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._joined = "".join(texts)
        self.codes = np.frombuffer(self._joined.encode("utf-32-le"), "<u4")
        self.ends: Numbers = np.cumsum([len(text) for text in texts], dtype=np.int64)
        self.starts: Numbers = np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])
        # A power of 2, so that blocks of about the same size share the cached arrays.
        powers, self._inverses = _powers(1 << max(10, len(self.codes).bit_length()))
        self._sums = np.empty(len(self.codes) + 1, np.uint64)
        self._sums[0] = 0
        sums = self._sums[1:]
        # Plus 1: else a text and the same text after code points of 0 would have the same hash.
        np.multiply(self.codes + np.uint32(1), powers[: len(sums)], out=sums)
        np.cumsum(sums, out=sums)

    def __len__(self) -> int:
        return len(self._sums) - 1

    def of(self, starts: Numbers, lengths: Numbers) -> Hashes:
        """Hashes of the substrings with these starts and lengths."""
        return (self._sums[starts + lengths] - self._sums[starts]) * self._inverses[starts]

    def all_of(self, length: int) -> Hashes:
        """Hashes of all substrings of a length, also of those that cross from one text into the next."""
        count = max(0, len(self) - length + 1)
        return (self._sums[length : length + count] - self._sums[:count]) * self._inverses[:count]

    def text_at(self, positions: Numbers) -> Numbers:
        """Numbers of the texts at these positions."""
        return np.searchsorted(self.ends, positions, side="right")

    def are_apart(self, positions: Numbers) -> NDArray[np.bool_]:
        """Whether each position is not inside a word."""
        text = self._joined
        return np.array(
            [not (text[at - 1 : at].isalnum() and text[at : at + 1].isalnum()) for at in positions], np.bool_
        )


def keys(hashes: Hashes, lengths: Numbers) -> Hashes:
    """Hashes that depend on the lengths too."""
    return hashes ^ (lengths.astype(np.uint64) * _MIX)


def looked_up(values: NDArray[Any], wanted: NDArray[Any]) -> tuple[Numbers, NDArray[np.bool_]]:
    """Index of each wanted value among sorted values, and whether it is there."""
    if not len(values):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    which = np.searchsorted(values, wanted)
    which[which == len(values)] = 0
    return which, values[which] == wanted


def with_lengths(
    positions: Numbers, which: Numbers, edges: Numbers, lengths: Numbers, at_a_time: int
) -> Iterator[tuple[Numbers, Numbers]]:
    """Pair each position with every length that texts which begin there may have, about `at_a_time` pairs at a time.

    which (Numbers): For each position the number of the beginning found there.
    edges (Numbers), lengths (Numbers): The lengths of beginning `n` are `lengths[edges[n]:edges[n + 1]]`.
    """
    counts = edges[which + 1] - edges[which]
    sums = np.cumsum(counts)
    start = 0
    while start < len(positions):
        done = int(sums[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(sums, done + at_a_time, side="right")))
        own = counts[start:stop]
        within = np.arange(int(own.sum())) - np.repeat(np.cumsum(own) - own, own)
        yield np.repeat(positions[start:stop], own), lengths[np.repeat(edges[which[start:stop]], own) + within]
        start = stop


@lru_cache(maxsize=1)
def _powers(size: int) -> tuple[Hashes, Hashes]:
    """Powers of the base, and of its inverse modulo 2^64."""
    powers = []
    for base in (_BASE, _INVERSE):
        factors = np.full(size, base, np.uint64)
        factors[0] = 1
        powers.append(np.cumprod(factors, dtype=np.uint64))
    return powers[0], powers[1]
