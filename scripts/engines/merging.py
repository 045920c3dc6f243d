"""`merge` on a cluster: each bucket on some worker, the accounts added up there, the results in shards."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from scripts.annotations.errors import UserError
from scripts.annotations.files import exclusive, sha256, work_folder, write_json
from scripts.annotations.manifest import Manifest
from scripts.annotations.parallel import Workers
from scripts.engines.cluster import connected
from scripts.engines.engine import Dask
from scripts.engines.pulling import Run, runs_of
from scripts.engines.runs import CELLS
from scripts.engines.shards import RUNS_A_TABLE, Job, Plan, Shard, add, bring, make_table, merge_shard
from scripts.engines.storage import Storage
from scripts.merging import merging
from scripts.merging.decide import Parts, Policy
from scripts.merging.merged import Merged, load
from scripts.merging.merging import Resources
from scripts.merging.resemblance import find_resemblance

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
