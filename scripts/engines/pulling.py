"""`pull` on a cluster: parts of all sources become runs on the storage; what was read before is not read again."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path

import msgspec

from scripts.annotations.divided import Divisible, Numbered
from scripts.annotations.errors import UserError
from scripts.annotations.files import exclusive, work_folder
from scripts.annotations.intake import Source
from scripts.annotations.manifest import Manifest, file_name, save
from scripts.annotations.manifest import digest as manifest_digest
from scripts.annotations.pulling import Pulled, check, fingerprint, judge, publish, refusals
from scripts.engines.cluster import Cluster, connected
from scripts.engines.engine import Dask
from scripts.engines.runs import Made, Part, joined, make_run
from scripts.engines.storage import Storage

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


def pull_on(engine: Dask, sources: Mapping[str, Source], folder: Path, max_refused: float, fresh: bool) -> Pulled:
    """Read all sources into runs on the engine's storage. See `pulling.pull`.

    folder (Path): For the manifest, and for `refused/<dataset>.jsonl`.
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
                _fetch_refusals(storage, own, refusals(work, entries[name]))
            judge(entries, folder, work, max_refused)
            publish(list(entries), entries, folder, work)
        manifest = Manifest(entries)
        runs = [Run(part.name, one.entry.bytes, one.entry.sha256) for part, one in zip(parts, made, strict=True)]
        storage.write_json(_NAME, Runs(manifest_digest(manifest), runs))
        save(manifest, folder)
        endings = (".jsonl", ".json", ".offsets", ".refused")
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


def _fetch_refusals(storage: Storage, own: Sequence[tuple[Part, Made]], path: Path) -> None:
    """Put the lists of a dataset's parts together, if there is anything to list."""
    names = [f"{part.name}.refused" for part, one in own if one.entry.reasons]
    if names:
        path.parent.mkdir(exist_ok=True)
        storage.append_to(path, names)
