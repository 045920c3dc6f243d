"""`pull` on a cluster: each part of a source becomes a sorted file on the storage, unless it is there already."""

import dataclasses
import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from distributed import Client

from scripts.core.answers import hash_of_line
from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.core.manifest import Entry, Manifest, file_name, join_entries
from scripts.core.manifest import digest as manifest_digest
from scripts.core.settings import DatasetOptions
from scripts.engines.cluster import connected, in_order
from scripts.engines.engine import Dask
from scripts.engines.storage import Storage, scratch
from scripts.merging.pull import (
    Entries,
    Pulled,
    Reader,
    load_fingerprints,
    previous_entries,
    pull,
    reading_digest,
    skips_listed,
)
from scripts.merging.reading import ReadJob, read_source, skipped_file
from scripts.sources.limits import DEFAULT_MB, max_record
from scripts.sources.proofs import is_changed, prove
from scripts.sources.source import Divisible, NumberedPart, Source, number_parts

CELLS = 2**14  # ranges of hashes, all of a width, whose offsets are stored with each sorted file
_WIDTH = 2**32 // CELLS
_FOLDER = "annotations"
_NAME = f"{_FOLDER}/parts.json"
_ENDINGS = (".jsonl", ".json", ".offsets", ".skipped")


class PartJob(NamedTuple):
    """The work of reading a part of a source.

    name (str): Of its files on the storage, without their endings; a digest of all that they depend on.
    """

    dataset: str
    source: Source
    options: DatasetOptions
    name: str
    storage: Storage
    fresh: bool
    max_record_mb: int


class StoredFile(msgspec.Struct):
    """A file on the storage, its size and its digest; a part's name is without its ending."""

    name: str
    bytes: int
    sha256: str


class StoredParts(msgspec.Struct):
    """annotations/parts.json: all parts, in the order of datasets, and the digest of their manifest."""

    manifest: str
    parts: list[StoredFile]


def pull_on(
    engine: Dask, sources: Mapping[str, Source], folder: Path, max_skipped: float, fresh: bool,
    options: Mapping[str, DatasetOptions] | None = None, max_record_mb: int = DEFAULT_MB,
) -> Pulled:  # fmt: skip
    """Read all sources into sorted files on the engine's storage. See `scripts.merging.pull.pull`."""
    return pull(sources, folder, max_skipped, 1, fresh, DaskReader(engine, fresh), options, max_record_mb)


class DaskReader(Reader):
    """Reads parts of sources on the workers of a cluster."""

    def __init__(self, engine: Dask, fresh: bool) -> None:
        super().__init__(1, fresh)
        self.engine = engine
        self.storage = Storage(engine.storage)
        self._stored: list[StoredFile] = []

    def read(
        self, sources: Mapping[str, Source], options: Mapping[str, DatasetOptions], folder: Path, work: Path
    ) -> tuple[Entries, list[str]]:
        """See `Reader.read`. Answers stay on the storage; lists of skipped records are copied to this machine."""
        self.storage.check()
        before = {name: source.state() for name, source in sources.items()}
        known = load_fingerprints(folder)
        for name, source in sources.items():
            cached = known[name].source if name in known else None
            self.proofs[name] = prove(source, before[name], reading_digest(source, options[name]), cached)
        with connected(self.engine) as client:
            jobs = list(self._jobs(client, sources, options))
            pulled = in_order(client, read_part, jobs, "Pulling")
        for name, source in sources.items():
            if is_changed(source, before[name]) and source.digest() != self.proofs[name].content:
                raise UserError(f"[datasets.{name}] was written to while it was read; run again when that is done")
        by_dataset = defaultdict(list)
        for job, (entry, was_there) in zip(jobs, pulled, strict=True):
            self._stored.append(StoredFile(job.name, entry.bytes, entry.sha256))
            by_dataset[job.dataset].append((job.name, entry, was_there))
        previous = previous_entries(folder)
        entries, unchanged = {}, []
        for name, parts in by_dataset.items():
            entry = entries[name] = join_entries([part for _, part, _ in parts])
            if entry.reasons:
                listed = skipped_file(work, entry)
                listed.parent.mkdir(exist_ok=True)
                self.storage.append_to(listed, [f"{stored}.skipped" for stored, part, _ in parts if part.reasons])
            is_same = all(was_there for *_, was_there in parts) and entry == previous.get(name)
            if is_same and skips_listed(folder, entry):
                unchanged.append(name)
        return entries, unchanged

    def commit(self, manifest: Manifest, folder: Path) -> None:
        """Write parts.json, and delete the files of other parts."""
        super().commit(manifest, folder)
        self.storage.write_json(_NAME, StoredParts(manifest_digest(manifest), self._stored))
        wanted = {f"{part.name}{ending}" for part in self._stored for ending in _ENDINGS} | {_NAME}
        self.storage.sweep(_FOLDER, wanted)

    def _jobs(
        self, client: Client, sources: Mapping[str, Source], options: Mapping[str, DatasetOptions]
    ) -> Iterator[PartJob]:
        size = max(1, int(self.engine.part_mb * 2**20))
        divided = {}
        for name, source in sorted(sources.items()):
            absolute = _absolute(source)
            divided[name] = absolute.parts(size) if isinstance(absolute, Divisible) else [absolute]
        numbered = [part for parts in divided.values() for part in parts if isinstance(part, NumberedPart)]
        records = in_order(client, methodcaller("records_inside"), numbered, "Counting")
        counts = dict(zip(map(id, numbered), records, strict=True))
        for name, parts in divided.items():
            for part in number_parts(parts, [counts.get(id(part), 0) for part in parts]):
                digest = hashlib.sha256(f"{name}\n{self.proofs[name].identity}\n{part!r}".encode()).hexdigest()[:32]
                place = f"{_FOLDER}/{file_name(name).removesuffix('.jsonl')}/{digest}"
                yield PartJob(name, part, options[name], place, self.storage, self.fresh, max_record() // 2**20)


def stored_parts(manifest: Manifest, storage: Storage) -> list[StoredFile]:
    """The parts that belong to a manifest. RAISES (UserError): If they are not on the storage."""
    found = storage.read_if_there(_NAME, StoredParts)
    if found is None or found.manifest != manifest_digest(manifest):
        raise UserError(f"{storage.url}: does not hold what the manifest names; pull again: weasel run pull")
    return found.parts


def _absolute(source: Source) -> Source:
    """The source with an absolute path: workers may have been started in other folders."""
    path = getattr(source, "path", None)
    if not isinstance(path, str):
        return source
    here = str(Path(path).expanduser().absolute())
    if isinstance(source, msgspec.Struct):
        return msgspec.structs.replace(source, path=here)
    return dataclasses.replace(source, path=here)  # type: ignore[type-var]  # a reader of another package


# ---- On a worker


def read_part(job: PartJob) -> tuple[Entry, bool]:
    """Read a part into its files on the storage: its sorted answers, `.jsonl`; their offsets, `.offsets`; what was
    skipped, `.skipped`; and its account, `.json`, last, since the other files are complete where it is there.

    RETURNS (tuple[Entry, bool]): The account, and whether the files were there already.
    """
    if not job.fresh and (done := job.storage.read_if_there(f"{job.name}.json", Entry)):
        return done, True
    with scratch() as folder:
        reading = ReadJob(job.dataset, job.source, job.options, folder, max_record_mb=job.max_record_mb)
        entry = read_source(reading)
        path = folder / entry.file
        job.storage.write(f"{job.name}.offsets", _offsets(path))
        job.storage.put(path, f"{job.name}.jsonl")
        if entry.reasons:
            job.storage.put(skipped_file(folder, entry), f"{job.name}.skipped")
    job.storage.write_json(f"{job.name}.json", entry)
    return entry, False


def _offsets(path: Path) -> bytes:
    """Offsets at which the cells of a sorted file begin, and its size, as unsigned integers of 64 bits."""
    hashes, offsets = array("q"), array("Q", [0])
    with path.open("rb", BUFFER) as lines:
        for line in lines:
            hashes.append(hash_of_line(line))
            offsets.append(offsets[-1] + len(line))
    edges = np.arange(CELLS + 1, dtype=np.int64) * _WIDTH - 2**31
    return np.frombuffer(offsets, np.uint64)[np.searchsorted(np.frombuffer(hashes, np.int64), edges)].tobytes()
