"""A part of a source becomes a run: its answers, sorted by hash, on the storage, with a table of what is where."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.annotations.files import BUFFER
from scripts.annotations.intake import Source
from scripts.annotations.manifest import Entry
from scripts.annotations.pulling import read_source, refusals
from scripts.annotations.records import hash_of_line
from scripts.engines.storage import Storage, scratch
from scripts.sources.documents import never_occurs

CELLS = 2**14  # ranges of hashes, all of a width, of which the table of a run tells where they begin
_WIDTH = 2**32 // CELLS


class Part(NamedTuple):
    """The work of making a run.

    name (str): Its files' on the storage, without their endings; it is another if anything else would come out.
    fresh (bool): Whether to make it though it is there.
    """

    dataset: str
    source: Source
    name: str
    storage: Storage
    fresh: bool


class Made(NamedTuple):
    """The account of a run, and whether it was there already."""

    entry: Entry
    was_there: bool


def make_run(part: Part) -> Made:
    """Read a part of a source into its run, `.jsonl`; the table, `.offsets`; what was refused, `.refused`; and last,
    as it vouches for the others, its account, `.json`. Whoever does it again writes the same.
    """
    if not part.fresh and (done := part.storage.read_if_there(f"{part.name}.json", Entry)):
        return Made(done, True)
    with scratch() as folder:
        entry = read_source(part.dataset, part.source, folder)
        path = folder / entry.file
        part.storage.write(f"{part.name}.offsets", _offsets(path).tobytes())
        _put(part.storage, path, f"{part.name}.jsonl")
        if refusals(folder, entry).exists():
            _put(part.storage, refusals(folder, entry), f"{part.name}.refused")
    part.storage.write_json(f"{part.name}.json", entry)
    return Made(entry, False)


def _put(storage: Storage, path: Path, name: str) -> None:
    with storage.whole(name) as place, place.open("wb") as out, path.open("rb") as file:
        while block := file.read(4 * BUFFER):
            out.write(block)


def _offsets(path: Path) -> NDArray[np.uint64]:
    """Where in a sorted file each cell begins; one more says where the last ends."""
    hashes, places = array("q"), array("Q", [0])
    with path.open("rb", BUFFER) as lines:
        for line in lines:
            hashes.append(hash_of_line(line))
            places.append(places[-1] + len(line))
    edges = np.arange(CELLS + 1, dtype=np.int64) * _WIDTH - 2**31
    return np.frombuffer(places, np.uint64)[np.searchsorted(np.frombuffer(hashes, np.int64), edges)]


def joined(entries: Sequence[Entry], digest: str) -> Entry:
    """The account of a dataset, from those of its parts.

    digest (str): Of all of it.
    """
    first = entries[0]
    sums = {
        name: sum((Counter(getattr(entry, name)) for entry in entries), Counter[str]())
        for name in ("records", "spans", "reasons", "notes")
    }
    for note in map(never_occurs, first.labels):  # if it occurs in one part it does so in the dataset
        if all(note in entry.notes for entry in entries):
            sums["notes"][note] = 1
        else:
            sums["notes"].pop(note, None)
    return Entry(
        file=first.file, sha256=digest, bytes=sum(entry.bytes for entry in entries), labels=first.labels,
        records={fate: sums["records"][fate] for fate in first.records},
        spans={fate: sums["spans"][fate] for fate in first.spans},
        reasons=dict(sorted(sums["reasons"].items())), notes=dict(sorted(sums["notes"].items())),
    )  # fmt: skip
