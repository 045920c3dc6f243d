"""How much alike two texts are, and which texts are worth comparing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.annotations.hashing import normalized

SIMILAR = 0.8  # share of the shingles that two texts have in common, of all they have
_SHINGLE = 5  # letters and digits
_BANDS, _ROWS = 16, 4  # of the signature: of texts that are .8 alike 99.99 % meet in a band, of those .3 alike 12 %

Hashes = NDArray[np.uint64]
Band = tuple[int, bytes]

_MULTIPLIERS = np.random.default_rng(0).integers(1, 2**63, (_BANDS * _ROWS, 1), np.uint64) | np.uint64(1)


def shingled(text: str) -> Hashes:
    """Hashes of all runs of five letters and digits of a text, each once; of a shorter text, one."""
    codes = np.frombuffer(normalized(text).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    size = max(1, len(codes) - _SHINGLE + 1) if len(codes) else 0
    hashes = np.zeros(size, np.uint64)
    for offset in range(min(_SHINGLE, len(codes))):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + size] + np.uint64(1)
        hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes)


def alike(one: Hashes, other: Hashes) -> float:
    """Jaccard's similarity."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(1, len(one) + len(other) - shared)


def bands_of(shingles: Hashes) -> list[Band]:
    """The bands of a text's MinHash signature. Texts that are alike meet in one of them (Broder 1997,
    https://doi.org/10.1109/SEQUEN.1997.666900); of a text without shingles there are none.
    """
    if not len(shingles):
        return []
    signature = (_MULTIPLIERS * shingles).min(1).reshape(_BANDS, _ROWS)
    return [(band, row.tobytes()) for band, row in enumerate(signature)]
