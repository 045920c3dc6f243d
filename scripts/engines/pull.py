"""A part of a source becomes a run: its answers, sorted by hash, on the storage, with a table of what is where.

`pull` on a cluster: parts of all sources become runs on the storage; what was read before is not read again.
"""

from __future__ import annotations

import dataclasses
import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.answers import hash_of_line
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, exclusive, work_folder
from scripts.core.manifest import Entry, Manifest, file_name, save
from scripts.core.manifest import digest as manifest_digest
from scripts.engines.cluster import Cluster, connected
from scripts.engines.engine import Dask
from scripts.engines.storage import Storage, scratch
from scripts.merging.pull import Pulled, check, fingerprint, judge, publish, read_source, skipped_file
from scripts.sources.documents import never_occurs
from scripts.sources.source import Divisible, Numbered, Source

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
    """Read a part of a source into its run, `.jsonl`; the table, `.offsets`; what was skipped, `.skipped`; and last,
    as it vouches for the others, its account, `.json`. Whoever does it again writes the same.
    """
    if not part.fresh and (done := part.storage.read_if_there(f"{part.name}.json", Entry)):
        return Made(done, True)
    with scratch() as folder:
        entry = read_source(part.dataset, part.source, folder)
        path = folder / entry.file
        part.storage.write(f"{part.name}.offsets", _offsets(path).tobytes())
        _put(part.storage, path, f"{part.name}.jsonl")
        if skipped_file(folder, entry).exists():
            _put(part.storage, skipped_file(folder, entry), f"{part.name}.skipped")
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


_FOLDER = "annotations"
_NAME = f"{_FOLDER}/runs.json"


class Run(msgspec.Struct):
    """A run's name on the storage, how many bytes it has, and their digest."""

    name: str
    bytes: int
    sha256: str


class Runs(msgspec.Struct):
    """All runs, in the order of datasets and parts; and the digest of the manifest that belongs to them."""

    manifest: str
    runs: list[Run]


def pull_on(engine: Dask, sources: Mapping[str, Source], folder: Path, max_skipped: float, fresh: bool) -> Pulled:
    """Read all sources into runs on the engine's storage. See `pulling.pull`.

    folder (Path): For the manifest, and for `skipped/<dataset>.jsonl`.
    RAISES (UserError): If a source cannot be read, holds too much that is unusable, or all are empty.
    """
    check(sources)
    storage = Storage(engine.storage)
    storage.check()
    with exclusive(folder), connected(engine) as cluster:
        parts = list(_parts(cluster, dict(sorted(sources.items())), engine, fresh))
        made = cluster.each(make_run, parts, "Pulling")
        by_dataset = defaultdict(list)
        for part, one in zip(parts, made, strict=True):
            by_dataset[part.dataset].append((part, one))
        entries = {name: joined([one.entry for _, one in own], _digest(own)) for name, own in by_dataset.items()}
        with work_folder(folder) as work:
            for name, own in by_dataset.items():
                _fetch_skipped(storage, own, skipped_file(work, entries[name]))
            judge(entries, folder, work, max_skipped)
            publish(list(entries), entries, folder, work)
        manifest = Manifest(entries)
        runs = [Run(part.name, one.entry.bytes, one.entry.sha256) for part, one in zip(parts, made, strict=True)]
        storage.write_json(_NAME, Runs(manifest_digest(manifest), runs))
        save(manifest, folder)
        endings = (".jsonl", ".json", ".offsets", ".skipped")
        wanted = {f"{run.name.removeprefix(f'{_FOLDER}/')}{ending}" for run in runs for ending in endings}
        storage.sweep(_FOLDER, wanted | {_NAME.removeprefix(f"{_FOLDER}/")})
    return Pulled(manifest, [name for name, own in by_dataset.items() if all(one.was_there for _, one in own)])


def runs_of(manifest: Manifest, storage: Storage) -> list[Run]:
    """The runs that a manifest vouches for. RAISES (UserError): If they are not there."""
    found = storage.read_if_there(_NAME, Runs)
    if found is None or found.manifest != manifest_digest(manifest):
        raise UserError(f"{storage.url}: does not hold what the manifest names; pull again")
    return found.runs


def _parts(cluster: Cluster, sources: Mapping[str, Source], engine: Dask, fresh: bool) -> Iterator[Part]:
    size = max(1, int(engine.part_mb * 2**20))
    sources = {name: _absolute(source) for name, source in sources.items()}
    divided = {
        name: source.parts(size) if isinstance(source, Divisible) else [source] for name, source in sources.items()
    }
    numbered = [part for parts in divided.values() for part in parts if isinstance(part, Numbered)]
    inside = dict(zip(map(id, numbered), cluster.each(_records_inside, numbered, "Counting"), strict=True))
    for name, source in sources.items():
        what = fingerprint(source)
        for part in _placed(divided[name], inside):
            digest = hashlib.sha256(f"{name}\n{what}\n{part!r}".encode()).hexdigest()[:32]
            place = f"{_FOLDER}/{file_name(name).removesuffix('.jsonl')}/{digest}"
            yield Part(name, part, place, Storage(engine.storage), fresh)


def _absolute(source: Source) -> Source:
    """The source, with a path that does not depend on where a worker was started."""
    path = getattr(source, "path", None)
    if not isinstance(path, str):
        return source
    here = str(Path(path).expanduser().absolute())
    if isinstance(source, msgspec.Struct):
        return msgspec.structs.replace(source, path=here)
    return dataclasses.replace(source, path=here)  # type: ignore[type-var]  # a reader of another package


def _records_inside(part: Numbered) -> int:
    return part.records_inside()


def _placed(parts: Sequence[Source], inside: Mapping[int, int]) -> Iterator[Source]:
    """The parts, each with how many records come before it."""
    before = chain([0], accumulate(inside.get(id(part), 0) for part in parts))
    for part, records in zip(parts, before, strict=False):
        yield part.after(records) if isinstance(part, Numbered) else part


def _digest(own: Sequence[tuple[Part, Made]]) -> str:
    return hashlib.sha256("\n".join(one.entry.sha256 for _, one in own).encode()).hexdigest()


def _fetch_skipped(storage: Storage, own: Sequence[tuple[Part, Made]], path: Path) -> None:
    """Put the lists of a dataset's parts together, if there is anything to list."""
    names = [f"{part.name}.skipped" for part, one in own if one.entry.reasons]
    if names:
        path.parent.mkdir(exist_ok=True)
        storage.append_to(path, names)
