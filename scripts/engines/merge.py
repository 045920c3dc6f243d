"""`merge` on a cluster: each bucket becomes a shard, merged on a worker from one slice of each sorted file.

Dask's own shuffle (P2P) would need pyarrow, keeps nothing for the next run, and starts over where a worker dies: with
one of two workers killed it read 12 parts of sources 25 times. Here only the buckets that this worker had are repeated.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scripts.core.errors import UserError
from scripts.core.files import sha256, write_json
from scripts.core.manifest import Manifest
from scripts.core.settings import DatasetOptions
from scripts.core.workers import Workers
from scripts.engines.cluster import connected, results
from scripts.engines.engine import Dask
from scripts.engines.pull import CELLS, StoredFile, stored_parts
from scripts.engines.storage import Storage, read_cached, scratch
from scripts.merging.account import Account
from scripts.merging.buckets import ALL, Bucket, Resources, merge_bucket
from scripts.merging.contained import compare_texts
from scripts.merging.decide import Policy
from scripts.merging.merge import OUTPUTS, Merger, merge
from scripts.merging.merged import ContainedRule, MergeRecord, load
from scripts.merging.moved import made_of_contained
from scripts.merging.rules import MergeRules

NAME = "shards.json"
_FOLDER = "corpus"
_MB = 2**20
_TARGET = 16 * _MB  # larger buckets are not merged faster
_LEAST_SLICE = 2**16  # bytes that are worth a request, on average
_WORKER_MB = 128  # of Python, Dask and the modules of a merge
_FACTOR = 3  # memory that a bucket takes for each of its bytes, at most
_FETCH_BYTES = 16 * _MB  # fetched together, at most but for one piece
_FETCH_PIECES = 256
_PARTS_AT_A_TIME = 256  # whose offsets are read together


class Shards(msgspec.Struct):
    """shards.json: the results on the storage. Joined, they are gold.jsonl and conflicts.jsonl."""

    storage: str
    gold: list[StoredFile]
    conflicts: list[StoredFile]


class MergePlan(msgspec.Struct):
    """What the jobs of all buckets share.

    parts (list[str]): Names of the sorted files, without their endings.
    buckets (int): Their number, a power of 2.
    largest (int): With more bytes a bucket is divided again.
    """

    parts: list[str]
    buckets: int
    largest: int
    rules: MergeRules


class MergeJob(NamedTuple):
    """A bucket, by its number; the folder of the merge on the storage, with its plan and the offsets of all slices."""

    storage: Storage
    folder: str
    number: int


class MergedBucket(msgspec.Struct):
    """The packed account of a bucket, and its shards."""

    account: bytes
    gold: StoredFile
    conflicts: StoredFile


def merge_on(
    engine: Dask,
    manifest: Manifest,
    annotations: Path,
    corpus: Path,
    policy: Policy,
    resources: Resources,
    contained: ContainedRule,
    options: Mapping[str, DatasetOptions] | None = None,
) -> tuple[MergeRecord, bool]:
    """Merge the answers on the engine's storage. See `scripts.merging.merge.merge`.

    resources (Resources): Processes that compare the texts on this machine; and the least number of buckets.
    RAISES (UserError): If the storage does not hold what the manifest names, or cannot do what is asked for.
    """
    merger = DaskMerger(engine, manifest, annotations, resources)
    merged, is_new = merge(manifest, annotations, corpus, policy, resources, contained, merger, options)
    if is_new:
        merger.storage.sweep(_FOLDER, {merger.folder})
    return merged, is_new


class DaskMerger(Merger):
    """Merges buckets on the workers of a cluster."""

    def __init__(self, engine: Dask, manifest: Manifest, annotations: Path, resources: Resources) -> None:
        super().__init__(manifest, annotations, resources)
        self.engine, self.storage, self.folder = engine, Storage(engine.storage), ""
        self.outputs = (*OUTPUTS, NAME) if engine.fetch else ("coverage.csv", NAME)

    def merge(self, request: MergeRecord, work: Path) -> Account:
        """See `Merger.merge`."""
        self.storage.check()
        parts = stored_parts(self.manifest, self.storage)
        merged: list[Shards] = []

        def merge_all(rules: MergeRules) -> Account:
            plan = _plan(parts, self.engine, rules, self.resources.buckets)
            # A merge that was broken off goes on where it was: its folder is named by all that the shards depend on.
            depends = msgspec.json.encode([request.code, [part.sha256 for part in parts], plan], order="deterministic")
            self.folder = f"{_FOLDER}/{hashlib.sha256(depends).hexdigest()[:32]}"
            account, shards = self._merge_buckets(plan)
            merged.append(shards)
            return account

        account, _ = self.by_evidence(request, merge_all)
        shards = merged[-1]
        self.storage.write_json(f"{self.folder}/{NAME}", shards)
        write_json(work / NAME, shards)
        if self.engine.fetch:
            bring(self.storage, shards.gold, work / "gold.jsonl")
            bring(self.storage, shards.conflicts, work / "conflicts.jsonl")
            with Workers(self.resources.processes) as workers:
                found = compare_texts(work, work / "compared", workers)
                moved = made_of_contained(work / "gold.jsonl", found, workers) if request.contained == "auto" else {}
            if moved:
                raise UserError(
                    f"{', '.join(moved)}: made of texts that are contained in others, and labelwise.Dask.v1 moves no "
                    'answers to these; use labelwise.Local.v1, or set [merge] contained = "keep"'
                )
            account.totals.update(found.counts)
        return account

    def _merge_buckets(self, plan: MergePlan) -> tuple[Account, Shards]:
        account, buckets = Account(), {}
        with connected(self.engine) as client:
            self.storage.write_json(f"{self.folder}/plan.json", plan)
            self.storage.write(f"{self.folder}/slices", _slices(self.storage, plan))
            jobs = [MergeJob(self.storage, self.folder, number) for number in range(plan.buckets)]
            for number, bucket in results(client, merge_shard, jobs, "Merging"):
                account.add(Account.unpacked(bucket.account))
                buckets[number] = bucket.gold, bucket.conflicts
        gold, conflicts = zip(*(buckets[number] for number in range(plan.buckets)), strict=True)
        return account, Shards(self.storage.url, list(gold), list(conflicts))


def _plan(parts: Sequence[StoredFile], engine: Dask, rules: MergeRules, least: int) -> MergePlan:
    """Choose buckets that fit into a worker's memory, but not so small that their slices are not worth a request.

    least (int): Number of buckets to have instead, at least; 0 to choose.
    """
    size = sum(part.bytes for part in parts)
    largest = max(_MB, (engine.memory_mb - _WORKER_MB) * _MB // _FACTOR)
    wanted = min(largest, max(_TARGET, _LEAST_SLICE * len(parts)))
    buckets = 1
    while buckets < CELLS and (buckets < least if least else buckets * wanted < size):
        buckets *= 2
    return MergePlan([part.name for part in parts], buckets, largest, rules)


def _slices(storage: Storage, plan: MergePlan) -> bytes:
    """Offsets of each bucket's slice in each sorted file: a row for each bucket, and one for the ends."""
    columns = []
    for start in range(0, len(plan.parts), _PARTS_AT_A_TIME):
        names = plan.parts[start : start + _PARTS_AT_A_TIME]
        for content in storage.ranges([(f"{name}.offsets", 0, 8 * (CELLS + 1)) for name in names]):
            columns.append(np.frombuffer(content, np.uint64)[:: CELLS // plan.buckets])
    return np.stack(columns, axis=1).tobytes()


def bring(storage: Storage, shards: Sequence[StoredFile], path: Path) -> None:
    """Join shards in a file of this machine. RAISES (UserError): If one has changed."""
    for shard in shards:
        if storage.append_to(path, [shard.name]) != shard.sha256:
            raise UserError(f"{storage.url}/{shard.name}: is not as it was merged; merge again: weasel run merge")


def merged_shards(engine: Dask, corpus: Path) -> tuple[MergeRecord, list[StoredFile]]:
    """Load merge.json and the shards of the gold. RAISES (UserError): If they are not on the engine's storage."""
    merged = load(corpus)
    path = corpus / NAME
    if NAME not in merged.outputs:
        raise UserError(f"{corpus}: was merged by another engine than labelwise.Dask.v1; merge again: weasel run merge")
    if not path.is_file() or sha256(path) != merged.outputs[NAME]:
        raise UserError(f"{path}: is not as it was merged; merge again: weasel run merge")
    shards = msgspec.json.decode(path.read_bytes(), type=Shards)
    if shards.storage != engine.storage:
        raise UserError(
            f"[engine] storage = {engine.storage}: the gold is on {shards.storage}; merge again: weasel run merge"
        )
    return merged, shards.gold


# ---- On a worker


def merge_shard(job: MergeJob) -> MergedBucket:
    """Merge a bucket into `gold/<number>.jsonl` and `conflicts/<number>.jsonl`; its account comes last, since both are
    complete where it is there.
    """
    account = f"{job.folder}/accounts/{job.number:05}.json"
    if done := job.storage.read_if_there(account, MergedBucket):
        return done
    plan = read_cached(job.storage, f"{job.folder}/plan.json", MergePlan)
    with scratch() as folder:
        paths = _fetch(job, plan, folder)
        hashes = ALL.split(plan.buckets)[job.number]
        packed = merge_bucket(Bucket(paths, hashes, plan.largest, plan.rules, folder / "gold", folder / "conflicts"))
        merged = MergedBucket(packed, _store(job, folder / "gold"), _store(job, folder / "conflicts"))
    job.storage.write_json(account, merged)
    return merged


def _fetch(job: MergeJob, plan: MergePlan, folder: Path) -> list[Path]:
    """Bring the bucket's slice of each sorted file to a file of the worker's own."""
    paths: dict[str, Path] = {}
    batch: list[tuple[str, int, int]] = []

    def fetch_batch() -> None:
        for (name, _, _), content in zip(batch, job.storage.ranges(batch), strict=True):
            with paths.setdefault(name, folder / f"{len(paths)}.jsonl").open("ab") as file:
                file.write(content)
        batch.clear()

    for piece in _pieces(job, plan):
        batch.append(piece)
        if len(batch) == _FETCH_PIECES or sum(stop - start for _, start, stop in batch) >= _FETCH_BYTES:
            fetch_batch()
    fetch_batch()
    return list(paths.values())


def _pieces(job: MergeJob, plan: MergePlan) -> Iterator[tuple[str, int, int]]:
    """Name, start and stop of each slice; a long slice in several pieces."""
    row = 8 * len(plan.parts)
    (content,) = job.storage.ranges([(f"{job.folder}/slices", row * job.number, row * (job.number + 2))])
    edges = np.frombuffer(content, np.uint64).reshape(2, len(plan.parts))
    for name, start, stop in zip(plan.parts, *edges.tolist(), strict=True):
        for at in range(start, stop, _FETCH_BYTES):
            yield f"{name}.jsonl", at, min(at + _FETCH_BYTES, stop)


def _store(job: MergeJob, path: Path) -> StoredFile:
    name = f"{job.folder}/{path.name}/{job.number:05}.jsonl"
    job.storage.put(path, name)
    return StoredFile(name, path.stat().st_size, sha256(path))
