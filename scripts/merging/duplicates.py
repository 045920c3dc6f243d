"""Duplicates and near-duplicates among texts.

Duplicates are equal but for whitespace, Unicode form, quotes, invisible characters or HTML entities. Their hashes
differ, so their annotations are not merged.

Near-duplicates have most of their shingles (all sequences of five letters and digits) in common. Candidates are texts
whose MinHash signatures are equal in a band (Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900); of these the
similarity is computed exactly.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, reduce
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.texts import normalized, unescaped
from scripts.merging.survey import (
    SourcedText,
    TextRows,
    bare,
    one_form,
    plain_quotes,
    text_at,
    visible,
    without_whitespace,
)  # fmt: skip

_AT_A_TIME = 2**22  # texts whose hashes are sorted together

# ---- Duplicates


class Duplicates(msgspec.Struct):
    """Texts that are duplicates of each other; a line of `corpus/duplicates.jsonl`.

    differ (str): In what they differ, for example "whitespace and quotes".
    texts (list[SourcedText]): The texts, in the order of the gold, each with its datasets.
    """

    differ: str
    texts: list[SourcedText]


def write_duplicates(gold: Path, rows: TextRows, path: Path) -> int:
    """Write duplicates.jsonl, in the order of the first text of each group. Returns the number of texts in it."""
    encode = msgspec.json.Encoder().encode_lines
    count = 0
    with gold.open("rb") as file, path.open("wb") as out:
        for offsets in _same_hash(rows):
            by_bare = defaultdict(list)  # different texts can share a hash
            for offset in offsets:
                text = text_at(file, offset)
                by_bare[bare(text.text)].append(text)
            for texts in by_bare.values():
                if len(texts) > 1:
                    out.write(encode([Duplicates(_difference(texts), texts)]))
                    count += len(texts)
    return count


def _same_hash(rows: TextRows) -> Iterator[list[int]]:
    """Offsets in the gold of texts that share the hash of their bare form, in the order of the first of each group."""
    passes = len(rows) // _AT_A_TIME + 1
    groups: list[list[int]] = []
    for number in range(passes):
        own = np.flatnonzero(rows["bare"] % np.uint64(passes) == number)
        own = own[np.argsort(rows["bare"][own], kind="stable")]
        changes = np.flatnonzero(np.diff(rows["bare"][own])) + 1
        edges = np.concatenate([[0], changes, [len(own)]])
        several = np.flatnonzero(np.diff(edges) > 1)
        groups += [own[edges[group] : edges[group + 1]].tolist() for group in several.tolist()]
    for members in sorted(groups):
        yield [int(rows["offset"][row]) for row in members]


_CLEANING: dict[str, Callable[[str], str]] = {
    "HTML entities": unescaped, "invisible characters": visible, "quotes": plain_quotes, "Unicode form": one_form,
    "whitespace": without_whitespace,
}  # fmt: skip
_LEAVE_OUT = ("Unicode form", "invisible characters", "quotes", "whitespace", "HTML entities")


def _difference(texts: list[SourcedText]) -> str:
    """What has to be cleaned for the texts to be equal."""
    needed = _CLEANING
    for name in _LEAVE_OUT:
        fewer = {other: step for other, step in needed.items() if other != name}
        if len({reduce(lambda text, step: step(text), fewer.values(), text.text) for text in texts}) == 1:
            needed = fewer
    return " and ".join(name for name in reversed(_LEAVE_OUT) if name in needed)


# ---- Near-duplicates

NEAR_DUPLICATE = 0.8  # the least similarity of near-duplicates
BANDS = 16
_SHINGLE = 5  # letters and digits
_BAND_ROWS = 4  # texts of similarity .8 share a band with a probability of 99.99 %, texts of .3 with one of 12 %
_SAMPLE = 256  # shingles with the lowest hashes, of which the signature is made
_MULTIPLIERS = np.random.default_rng(0).integers(1, 2**63, (BANDS * _BAND_ROWS, 1), np.uint64) | np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_CACHED = 1024  # texts whose shingles are in memory
_NEIGHBORS = 3  # in a band, with which a text is compared when texts are grouped
_EQUAL_BANDS = 2  # that grouping asks for: 99.7 % of pairs of similarity .8 have them, and 3 % of those of .35

Hashes = NDArray[np.uint64]


def shingles(text: str) -> Hashes:
    """Hashes of the shingles of a text, sorted, each once. A text of less than five letters and digits has one."""
    codes = np.frombuffer(normalized(text).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    size = max(1, len(codes) - _SHINGLE + 1) if len(codes) else 0
    hashes = np.zeros(size, np.uint64)
    for offset in range(min(_SHINGLE, len(codes))):
        hashes = hashes * _MIX + codes[offset : offset + size] + np.uint64(1)
        hashes ^= hashes >> np.uint64(29)
    hashes *= _MIX
    hashes.sort()  # np.unique takes ten times as long
    return hashes[np.append(True, hashes[1:] != hashes[:-1])] if size else hashes


def similarity(first: Hashes, second: Hashes) -> float:
    """Jaccard similarity of two texts' shingles: https://en.wikipedia.org/wiki/Jaccard_index"""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / max(1, len(first) + len(second) - shared)


def signature(hashes: Hashes) -> Hashes:
    """MinHash signature of a text's shingles: a hash for each band, all 0 if there are no shingles."""
    result = np.zeros(BANDS, np.uint64)
    if not len(hashes):
        return result
    rows = (_MULTIPLIERS * hashes[:_SAMPLE]).min(1).reshape(BANDS, _BAND_ROWS)
    for column in range(_BAND_ROWS):
        result = (result ^ rows[:, column]) * _MIX
        result ^= result >> np.uint64(31)
    return result


class NearDuplicates:
    """Index that finds the near-duplicates of a text among texts added before.

    texts (Sequence[str]): All texts, of which numbers are added.
    most (int): Texts that are compared in a band; further ones are not found there.
    """

    def __init__(self, texts: Sequence[str], most: int = sys.maxsize) -> None:
        self._shingles = lru_cache(maxsize=_CACHED)(lambda number: shingles(texts[number]))
        self._numbers: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._most = most

    def add(self, number: int) -> None:
        """Add a text by its number."""
        for band in _bands(self._shingles(number)):
            if len(self._numbers[band]) < self._most:
                self._numbers[band].append(number)

    def find(self, text: str) -> dict[int, float]:
        """Numbers of the near-duplicates of a text, with their similarity."""
        hashes = shingles(text)
        candidates = {number for band in _bands(hashes) for number in self._numbers.get(band, ())}
        found = {number: similarity(hashes, self._shingles(number)) for number in candidates}
        return {number: similar for number, similar in found.items() if similar >= NEAR_DUPLICATE}


def _bands(hashes: Hashes) -> list[tuple[int, int]]:
    """Number and hash of each band."""
    return list(enumerate(signature(hashes).tolist())) if len(hashes) else []


def group_near_duplicates(signatures: Hashes, text_of: Callable[[int], str]) -> NDArray[np.int64]:
    """Group texts with their near-duplicates, and these with theirs.

    signatures (Hashes): Of all texts: texts × BANDS.
    text_of (Callable[[int], str]): Gives a text by its number.
    RETURNS (NDArray[int64]): For each text the number of the first text of its group.
    """
    first = np.arange(len(signatures), dtype=np.int64)
    cached = lru_cache(maxsize=_CACHED)(lambda number: shingles(text_of(number)))
    for one, other in _candidates(signatures):
        roots = find_root(first, one), find_root(first, other)
        if roots[0] != roots[1] and similarity(cached(one), cached(other)) >= NEAR_DUPLICATE:
            first[max(roots)] = min(roots)
    return np.array([find_root(first, number) for number in range(len(first))], np.int64)


def _candidates(signatures: Hashes) -> Iterator[tuple[int, int]]:
    """Pairs of texts that are equal in several bands; of each text, those nearest in order."""
    for band in range(BANDS):
        hashes = signatures[:, band]
        own = np.flatnonzero(hashes)
        own = own[np.argsort(hashes[own], kind="stable")]
        for distance in range(1, _NEIGHBORS + 1):
            same = np.flatnonzero(hashes[own[distance:]] == hashes[own[:-distance]])
            ones, others = own[same], own[same + distance]
            several = (signatures[ones] == signatures[others]).sum(1) >= _EQUAL_BANDS
            yield from zip(ones[several].tolist(), others[several].tolist(), strict=True)


def find_root(first: list[int] | NDArray[np.int64], number: int) -> int:
    """The first text of a text's group, of a union-find whose paths are halved.

    first (list[int] | NDArray[int64]): For each text an earlier one of its group; its own number, if it is the first.
    """
    while first[number] != number:
        first[number] = first[first[number]]
        number = int(first[number])
    return number
