"""A bucket of hashes becomes a shard of the gold and one of the conflicts: a slice of each run, merged on a worker.

`merge` on a cluster: each bucket on some worker, the accounts added up there, the results in shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.errors import UserError
from scripts.core.files import exclusive, sha256, work_folder, write_json
from scripts.core.manifest import Manifest
from scripts.core.workers import Workers
from scripts.engines.cluster import connected
from scripts.engines.engine import Dask
from scripts.engines.pull import CELLS, Run, runs_of
from scripts.engines.storage import Storage, scratch
from scripts.merging import merge as merging
from scripts.merging.account import Account
from scripts.merging.buckets import ALL
from scripts.merging.contained import find_resemblance
from scripts.merging.decide import Parts, Policy
from scripts.merging.merge import Bucket, Resources, merge_bucket
from scripts.merging.merged import Merged, load

RUNS_A_TABLE = 256
_AT_A_TIME = 16 * 2**20  # bytes that are fetched together, at most but for one piece
_MOST_PIECES = 256


class Plan(msgspec.Struct):
    """What all buckets have in common.

    runs (list[str]): The names of the runs' files, without their endings.
    buckets (int): Into how many the hashes are divided: a power of 2.
    largest (int): With more bytes a bucket is divided again.
    policy (Policy): How disagreements are decided.
    """

    runs: list[str]
    buckets: int
    largest: int
    policy: Policy


class Job(NamedTuple):
    """One table, or one bucket, by its number; the folder of the merge, with its plan, on the storage."""

    storage: Storage
    folder: str
    number: int


class Shard(msgspec.Struct):
    """A file on the storage, how many bytes it has, and their digest."""

    name: str
    bytes: int
    sha256: str


class MergedShards(NamedTuple):
    """The account of some buckets, and their shards of the gold and of the conflicts, in order."""

    account: Account
    gold: list[Shard]
    conflicts: list[Shard]


def make_table(job: Job) -> None:
    """Of some runs, where the slice of each bucket begins: a row a bucket, and one more, in which all end.

    A bucket then reads a row, and not something of the table of each run.
    """
    plan = _read_plan(job.storage, job.folder)
    own = _own(plan, job.number)
    columns = [np.frombuffer(job.storage.read(f"{name}.offsets"), np.uint64)[:: CELLS // plan.buckets] for name in own]
    job.storage.write(_table(job), np.ascontiguousarray(np.stack(columns, axis=1)).tobytes())


def merge_shard(job: Job) -> MergedShards:
    """Merge a bucket: `gold/<number>.jsonl`, `conflicts/<number>.jsonl`, and last the account, which vouches for them.
    Whoever does it again writes the same.
    """
    account = f"{job.folder}/accounts/{job.number:05}"
    if done := job.storage.read_if_there(f"{account}.json", _Done):
        return MergedShards(Account.unpacked(done.account), [done.gold], [done.conflicts])
    plan = _read_plan(job.storage, job.folder)
    with scratch() as folder:
        paths = _fetch(job, plan, folder)
        hashes = ALL.split(plan.buckets)[job.number]
        bucket = Bucket(paths, hashes, plan.largest, plan.policy, folder / "gold", folder / "conflicts")
        packed = merge_bucket(bucket)
        gold, conflicts = (_put(job, path) for path in (bucket.gold, bucket.conflicts))
    job.storage.write_json(f"{account}.json", _Done(packed, gold, conflicts))
    return MergedShards(Account.unpacked(packed), [gold], [conflicts])


def add(parts: Sequence[MergedShards]) -> MergedShards:
    """The sum of accounts, and all shards in the order of the parts."""
    account = Account()
    for part in parts:
        account.add(part.account)
    return MergedShards(
        account, [one for part in parts for one in part.gold], [one for part in parts for one in part.conflicts]
    )


def bring(storage: Storage, shards: Sequence[Shard], path: Path) -> None:
    """Put shards one after the other into a file. RAISES (UserError): If one is not as it was merged."""
    for shard in shards:
        if storage.append_to(path, [shard.name]) != shard.sha256:
            raise UserError(f"{storage.url}/{shard.name}: is not as it was merged; merge again")


@lru_cache(maxsize=1)
def _read_plan(storage: Storage, folder: str) -> Plan:
    return msgspec.json.decode(storage.read(f"{folder}/plan.json"), type=Plan)


def _own(plan: Plan, table: int) -> list[str]:
    return plan.runs[table * RUNS_A_TABLE : (table + 1) * RUNS_A_TABLE]


def _table(job: Job) -> str:
    return f"{job.folder}/tables/{job.number:05}"


# Slices


def _fetch(job: Job, plan: Plan, folder: Path) -> list[Path]:
    """Bring the bucket's slice of each run to files of the worker's own."""
    paths: dict[str, Path] = {}
    batch: list[tuple[str, int, int]] = []
    for piece in _pieces(job, plan):
        batch.append(piece)
        paths.setdefault(piece[0], folder / f"{len(paths)}.jsonl")
        if len(batch) == _MOST_PIECES or sum(stop - start for _, start, stop in batch) >= _AT_A_TIME:
            _append(job.storage, batch, paths)
            batch = []
    _append(job.storage, batch, paths)
    return list(paths.values())


def _pieces(job: Job, plan: Plan) -> Iterator[tuple[str, int, int]]:
    """Names of runs, and from where to where; a long slice in several pieces."""
    for table in range(-(-len(plan.runs) // RUNS_A_TABLE)):
        own = _own(plan, table)
        row = 8 * len(own)
        place = _table(job._replace(number=table)), row * job.number, row * (job.number + 2)
        edges = _numbers(job.storage.ranges([place])[0]).reshape(2, len(own))
        for name, start, stop in zip(own, *edges.tolist(), strict=True):
            for at in range(start, stop, _AT_A_TIME):
                yield f"{name}.jsonl", at, min(at + _AT_A_TIME, stop)


def _numbers(content: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(content, np.uint64)


def _append(storage: Storage, pieces: Sequence[tuple[str, int, int]], paths: dict[str, Path]) -> None:
    for (name, _, _), content in zip(pieces, storage.ranges(pieces), strict=True):
        with paths[name].open("ab") as file:
            file.write(content)


def _put(job: Job, path: Path) -> Shard:
    name = f"{job.folder}/{path.name}/{job.number:05}.jsonl"
    job.storage.put(path, name)
    return Shard(name, path.stat().st_size, sha256(path))


# Accounts on the storage


class _Done(msgspec.Struct):
    """A bucket's account, packed, and its shards."""

    account: msgspec.Raw
    gold: Shard
    conflicts: Shard


NAME = "shards.json"
_MB = 2**20
_TARGET = 16 * _MB  # larger buckets are not merged faster
_LEAST_SLICE = 2**16  # bytes that are worth a request, on average
_WORKER_MB = 128  # what Python, Dask and the modules of a merge take
_FACTOR = 3  # how much more than its bytes a bucket takes in memory, at most


class Shards(msgspec.Struct):
    """shards.json: where on the storage what was merged is; one after the other gold.jsonl and conflicts.jsonl."""

    storage: str
    gold: list[Shard]
    conflicts: list[Shard]


def merge_on(
    engine: Dask,
    manifest: Manifest,
    annotations: Path,
    corpus: Path,
    policy: Policy,
    parts: Parts,
    resources: Resources,
) -> tuple[Merged, bool]:
    """Merge what was pulled to the engine's storage. See `merging.merge`.

    resources (Resources): How many processes look for texts that resemble others, on this machine; and buckets, if
        they are not to be chosen by size and memory.
    RAISES (UserError): If the storage does not hold what the manifest says, or what is asked for cannot be done there.
    """
    if parts == "map":
        raise UserError('[merge] parts = "map": labelwise.Dask.v1 moves no answers; use labelwise.Local.v1, or "keep"')
    asked = merging.asked_for(manifest, policy, parts)
    storage = Storage(engine.storage)
    storage.check()
    with exclusive(annotations), exclusive(corpus):  # so that nothing is pulled meanwhile
        before = merging.is_done(asked, corpus)
        if before and ("gold.jsonl" in before.outputs) == engine.fetch:
            return before, False
        runs = runs_of(manifest, storage)
        plan = _plan(runs, engine, policy, resources.buckets)
        folder = f"corpus/{_digest(asked, runs, plan)}"
        with connected(engine) as cluster:
            storage.write_json(f"{folder}/plan.json", plan)
            jobs = [Job(storage, folder, number) for number in range(max(plan.buckets, len(runs)))]
            cluster.each(make_table, jobs[: -(-len(runs) // RUNS_A_TABLE)], "Indexing")
            done = cluster.total(merge_shard, jobs[: plan.buckets], add, "Merging")
        shards = Shards(engine.storage, done.gold, done.conflicts)
        storage.write_json(f"{folder}/{NAME}", shards)
        with work_folder(corpus) as work:
            write_json(work / NAME, shards)
            if engine.fetch:
                bring(storage, shards.gold, work / "gold.jsonl")
                bring(storage, shards.conflicts, work / "conflicts.jsonl")
                with Workers(resources.processes) as workers:
                    found = find_resemblance(work, work / "found", workers)
                done.account.totals.update(found.counts)
            names = merging.OUTPUTS if engine.fetch else ("coverage.csv",)
            merged = merging.publish(asked, done.account, manifest, work, corpus, (*names, NAME))
        storage.sweep("corpus", {folder.removeprefix("corpus/")})
    return merged, True


def _digest(asked: Merged, runs: Sequence[Run], plan: Plan) -> str:
    """Of all that the shards depend on: a merge that was broken off goes on where it was."""
    what = [asked.code, [run.sha256 for run in runs], plan]
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:32]


def _plan(runs: Sequence[Run], engine: Dask, policy: Policy, least: int) -> Plan:
    """Buckets that fit into a worker, but not so many that their slices are not worth a request each; or so many."""
    size = sum(run.bytes for run in runs)
    largest = max(_MB, (engine.memory_mb - _WORKER_MB) * _MB // _FACTOR)
    wanted = min(largest, max(_TARGET, _LEAST_SLICE * len(runs)))
    buckets = 1
    while buckets < CELLS and (buckets < least if least else buckets * wanted < size):
        buckets *= 2
    return Plan([run.name for run in runs], buckets, largest, policy)


def gold_of(engine: Dask, corpus: Path) -> tuple[Merged, list[Shard]]:
    """What was merged, and the shards of the gold. RAISES (UserError): If it was not merged to the engine's storage."""
    merged = load(corpus)
    path = corpus / NAME
    if NAME not in merged.outputs:
        raise UserError(f"{corpus}: was merged by another engine than labelwise.Dask.v1; merge again")
    if not path.is_file() or sha256(path) != merged.outputs[NAME]:
        raise UserError(f"{path}: is not as it was merged; merge again")
    shards = msgspec.json.decode(path.read_bytes(), type=Shards)
    if shards.storage != engine.storage:
        raise UserError(f"[engine] storage = {engine.storage}: the gold is on {shards.storage}; merge again")
    return merged, shards.gold
