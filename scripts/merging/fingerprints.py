"""Rolling hashes: the hash of any substring of a text in constant time, and of all substrings of a length at once.

The hash of code points c0 c1 … is the sum of c_i * BASE^i modulo 2^64 (Rabin–Karp without a prime: the overflow of
NumPy's integers is the modulo). The sums before two positions give the hash of the substring between them. Equal
hashes are a hint only: texts have to be compared.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
