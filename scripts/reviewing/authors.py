"""Whose annotation it is: for each text and label the annotator, where just one answered.

Somebody who always does the same to a form is right by their own annotations: what others do tells that it is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.merging.fingerprints import Numbers, looked_up
from scripts.reviewing.passages import Known

UNKNOWN = 0  # or several
_MOST = 2**15 - 1
_ANSWER = np.dtype([("length", "i4"), ("label", "i2"), ("author", "i2")])


class Packed(NamedTuple):
    """Who answered for which label in which text: hashes; the rest, with numbers of names; and the names."""

    hashes: NDArray[np.int32]
    rest: NDArray[np.void]
    names: list[str]


class Authors(NamedTuple):
    """Files: of each answer the hash; and the rest, in the order of hashes."""

    hashes: Path
    rest: Path


def pack(hashes: Numbers, lengths: Numbers, labels: Numbers, who: Numbers, names: Sequence[str]) -> Packed:
    """Who answered, a row a label and text.

    hashes (Numbers), lengths (Numbers): Of the texts, in the order of hashes. labels (Numbers): Numbers of labels.
    who (Numbers): Which of the names.
    """
    authors = {name: number for number, name in enumerate(dict.fromkeys(names))}
    numbers = np.array([min(authors[name], _MOST) for name in names], np.int16)
    rest = np.zeros(len(hashes), _ANSWER)
    rest["length"], rest["label"], rest["author"] = lengths, labels, numbers[who]
    return Packed(hashes.astype(np.int32), rest, list(authors))


def write(parts: Iterable[Packed], folder: Path) -> Authors:
    """Write who answered, to be looked up in bounded memory.

    parts (Iterable[Packed]): In the order of hashes.
    """
    authors = Authors(folder / "hashes", folder / "authors")
    numbers: dict[str, int] = {}
    with authors.hashes.open("wb") as hashes, authors.rest.open("wb") as rest:
        for part in parts:
            found = [numbers.setdefault(name, len(numbers) + 1) for name in part.names]
            known = np.array([number if number <= _MOST else UNKNOWN for number in found], np.int16)
            if len(part.rest):
                part.rest["author"] = known[np.minimum(part.rest["author"], len(known) - 1)]
            hashes.write(part.hashes.tobytes())
            rest.write(part.rest.tobytes())
    return authors


def authors_of(texts: Sequence[Known], labels: int, authors: Authors) -> NDArray[np.int16]:
    """The number of the annotator, texts × labels.

    texts (Sequence[Known]): In the order of the gold, so of their hashes.
    """
    found = np.full((len(texts), labels), UNKNOWN, np.int16)
    if not texts or not authors.hashes.stat().st_size:
        return found
    hashes = np.memmap(authors.hashes, np.int32, "r")
    first, last = np.int32(texts[0].input_hash), np.int32(texts[-1].input_hash)
    part = slice(int(np.searchsorted(hashes, first)), int(np.searchsorted(hashes, last, side="right")))
    rows = np.array(np.memmap(authors.rest, _ANSWER, "r")[part])
    wanted = _key(np.array(hashes[part], np.int64), rows["length"])
    own = _key(np.array([text.input_hash for text in texts]), np.array([len(text.text) for text in texts]))
    order = np.argsort(own, kind="stable")
    at, same = looked_up(own[order], wanted)
    found[order[at[same]], rows["label"][same]] = rows["author"][same]
    return found


def _key(hashes: Numbers, lengths: NDArray[np.int32] | Numbers) -> Numbers:
    return (hashes << 32) + lengths.astype(np.int64)
