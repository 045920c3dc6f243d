"""Hashes of any part of a text in constant time, for all parts of a length at once.

The hash of characters c0 c1 … is the sum of c_i * BASE^i modulo 2^64 (Rabin and Karp's, without its prime: with
NumPy, overflow is the modulo). Sums over the characters before two places give that of what is between them. Equal
hashes are a hint, and texts have to be compared.
"""

from __future__ import annotations

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
    """Texts, one after the other, and the hashes of their parts.

    codes (NDArray): All code points.
    starts (Numbers), ends (Numbers): Where each text is, in code points of all of them together.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._joined = "".join(texts)
        self.codes = np.frombuffer(self._joined.encode("utf-32-le"), "<u4")
        self.ends: Numbers = np.cumsum([len(text) for text in texts], dtype=np.int64)
        self.starts: Numbers = np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])
        powers, self._inverses = _powers(1 << max(10, len(self.codes).bit_length()))
        self._sums = np.empty(len(self.codes) + 1, np.uint64)
        self._sums[0] = 0
        sums = self._sums[1:]
        np.multiply(self.codes + np.uint32(1), powers[: len(sums)], out=sums)
        np.cumsum(sums, out=sums)

    def __len__(self) -> int:
        return len(self._sums) - 1

    def of(self, starts: Numbers, lengths: Numbers) -> Hashes:
        """Hashes of the parts with these starts and lengths."""
        return (self._sums[starts + lengths] - self._sums[starts]) * self._inverses[starts]

    def all_of(self, length: int) -> Hashes:
        """Hashes of all parts of a length, also of those that cross from one text into the next."""
        count = max(0, len(self) - length + 1)
        return (self._sums[length : length + count] - self._sums[:count]) * self._inverses[:count]

    def text_at(self, places: Numbers) -> Numbers:
        """The numbers of the texts in which places are."""
        return np.searchsorted(self.ends, places, side="right")

    def is_apart(self, place: int) -> bool:
        """Whether a place is not inside a word."""
        return not (self._joined[place - 1 : place].isalnum() and self._joined[place : place + 1].isalnum())


def keys(hashes: Hashes, lengths: Numbers) -> Hashes:
    """Hashes that depend on the lengths too."""
    return hashes ^ (lengths.astype(np.uint64) * _MIX)


def looked_up(values: NDArray[Any], wanted: NDArray[Any]) -> tuple[Numbers, NDArray[np.bool_]]:
    """Where in sorted values each one is, and whether it is there."""
    if not len(values):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    which = np.searchsorted(values, wanted)
    which[which == len(values)] = 0
    return which, values[which] == wanted


def with_lengths(
    places: Numbers, which: Numbers, edges: Numbers, lengths: Numbers, at_a_time: int
) -> Iterator[tuple[Numbers, Numbers]]:
    """Places, each with every length that what begins there may have, about so many at a time.

    which (Numbers): Of each place, what begins there: its lengths are those from its edge to before the next.
    """
    counts = edges[which + 1] - edges[which]
    sums = np.cumsum(counts)
    start = 0
    while start < len(places):
        done = int(sums[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(sums, done + at_a_time, side="right")))
        own = counts[start:stop]
        within = np.arange(int(own.sum())) - np.repeat(np.cumsum(own) - own, own)
        yield np.repeat(places[start:stop], own), lengths[np.repeat(edges[which[start:stop]], own) + within]
        start = stop


@lru_cache(maxsize=1)
def _powers(size: int) -> tuple[Any, Any]:
    found = []
    for factor in (_BASE, _INVERSE):
        factors = np.full(size, factor, np.uint64)
        factors[0] = 1
        found.append(np.cumprod(factors, dtype=np.uint64))
    return found[0], found[1]
