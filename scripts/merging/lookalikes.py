"""Texts that are equal but for blanks or their Unicode form. Their annotations do not meet: their hashes differ."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from scripts.merging.survey import Rows, Text, bare, text_at

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
