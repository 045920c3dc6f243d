"""Texts that are nearly the same as others: who has annotated one learns little from the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from scripts.merging.likeness import SIMILAR, Hashes, alike, bands, shingled


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
