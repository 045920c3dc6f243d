"""How alike texts are that are not equal: by runs of five letters and digits.

Candidates are texts whose MinHash signatures are equal in a band (Broder 1997,
https://doi.org/10.1109/SEQUEN.1997.666900); of these the similarity is computed exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.annotations.hashing import normalized

SIMILAR = 0.8  # share of the shingles that two texts have in common, of all they have
BANDS = 16
_SHINGLE = 5  # letters and digits
_ROWS = 4  # of a band: of texts that are .8 alike 99.99 % meet in a band, of those .3 alike 12 %
_SAMPLE = 256  # shingles that the signature is made of: those with the lowest hashes
_MULTIPLIERS = np.random.default_rng(0).integers(1, 2**63, (BANDS * _ROWS, 1), np.uint64) | np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]


def shingled(text: str) -> Hashes:
    """Hashes of all runs of five letters and digits of a text, each once; of a shorter text, one."""
    codes = np.frombuffer(normalized(text).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    size = max(1, len(codes) - _SHINGLE + 1) if len(codes) else 0
    hashes = np.zeros(size, np.uint64)
    for offset in range(min(_SHINGLE, len(codes))):
        hashes = hashes * _MIX + codes[offset : offset + size] + np.uint64(1)
        hashes ^= hashes >> np.uint64(29)
    hashes *= _MIX
    hashes.sort()  # np.unique takes ten times as long
    return hashes[np.append(True, hashes[1:] != hashes[:-1])] if size else hashes


def alike(one: Hashes, other: Hashes) -> float:
    """Jaccard's similarity: https://en.wikipedia.org/wiki/Jaccard_index"""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(1, len(one) + len(other) - shared)


def bands(shingles: Hashes) -> Hashes:
    """A hash for each band of the signature of a text that has shingles."""
    rows = (_MULTIPLIERS * shingles[:_SAMPLE]).min(1).reshape(BANDS, _ROWS)
    result = np.zeros(BANDS, np.uint64)
    for column in range(_ROWS):
        result = (result ^ rows[:, column]) * _MIX
        result ^= result >> np.uint64(31)
    return result
