"""How alike texts are that are not equal: by runs of five letters and digits.

Candidates are texts whose MinHash signatures are equal in a band (Broder 1997,
https://doi.org/10.1109/SEQUEN.1997.666900); of these the similarity is computed exactly.

Texts that are equal but for blanks or their Unicode form. Their annotations do not meet: their hashes differ.

Texts that are nearly the same as others: who has annotated one learns little from the next.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.hashing import normalized
from scripts.merging.survey import Rows, Text, bare, text_at

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


_AT_A_TIME = 2**22  # texts whose hashes are sorted together


class Lookalikes(msgspec.Struct):
    """Texts that look alike; a line of `corpus/lookalikes.jsonl`.

    differ (str): In what: "blanks", "Unicode form" or "blanks and Unicode form".
    texts (list[Text]): The texts, each with its datasets.
    """

    differ: str
    texts: list[Text]


def write_lookalikes(gold: Path, rows: Rows, path: Path) -> int:
    """Write the texts that look alike, in the order of the first of each. Returns how many there are, in all lines."""
    encode = msgspec.json.Encoder().encode_lines
    count = 0
    with gold.open("rb") as file, path.open("wb") as out:
        for places in _suspects(rows):
            by_bare = defaultdict(list)
            for place in places:
                text = text_at(file, place)
                by_bare[bare(text.text)].append(text)
            for alike in (texts for texts in by_bare.values() if len(texts) > 1):
                out.write(encode([Lookalikes(_differ(alike), alike)]))
                count += len(alike)
    return count


def _suspects(rows: Rows) -> Iterator[list[int]]:
    """Places of texts with the same hash, in the order of the first of each."""
    parts = len(rows) // _AT_A_TIME + 1
    groups: list[list[int]] = []
    for part in range(parts):
        own = np.flatnonzero(rows["bare"] % np.uint64(parts) == part)
        own = own[np.argsort(rows["bare"][own], kind="stable")]
        changes = np.flatnonzero(np.diff(rows["bare"][own])) + 1
        edges = np.concatenate([[0], changes, [len(own)]])
        several = np.flatnonzero(np.diff(edges) > 1)
        groups += [own[edges[number] : edges[number + 1]].tolist() for number in several.tolist()]
    for group in sorted(groups):
        yield [int(rows["place"][row]) for row in group]


def _differ(texts: list[Text]) -> str:
    form = len({"".join(text.text.split()) for text in texts}) > 1
    blanks = len({unicodedata.normalize("NFKC", text.text) for text in texts}) > 1 or not form
    return " and ".join(what for what, differs in (("blanks", blanks), ("Unicode form", form)) if differs)


class Near:
    """Some texts, by their numbers, and which of them are nearly the same as others."""

    def __init__(self) -> None:
        self._shingles: dict[int, Hashes] = {}
        self._bands: dict[tuple[int, int], list[int]] = defaultdict(list)

    def add(self, number: int, text: str) -> None:
        """Add a text."""
        self._shingles[number] = shingles = shingled(text)
        for band in _bands(shingles):
            self._bands[band].append(number)

    def like(self, text: str) -> set[int]:
        """The numbers of the texts that are nearly the same as one."""
        shingles = shingled(text)
        met = {number for band in _bands(shingles) for number in self._bands.get(band, ())}
        return {number for number in met if alike(shingles, self._shingles[number]) >= SIMILAR}


def near_any(texts: Iterable[str], others: Iterable[str]) -> set[int]:
    """The numbers of the texts, of a few, that are nearly the same as any of the others, of however many."""
    near = Near()
    for number, text in enumerate(texts):
        near.add(number, text)
    return {number for other in others for number in near.like(other)}


def _bands(shingles: Hashes) -> list[tuple[int, int]]:
    """The number of each band, and its hash; nothing, of a text without letters and digits."""
    return list(enumerate(bands(shingles).tolist())) if len(shingles) else []
