"""All stretches of the hashes put together: those in which something changed are merged, the others are taken over."""

from __future__ import annotations

import math
import shutil
from itertools import chain
from pathlib import Path
from typing import Literal

from scripts.annotations.files import BUFFER
from scripts.annotations.parallel import Workers
from scripts.merging.account import Account
from scripts.merging.bucket import Bucket, merge_bucket
from scripts.merging.buckets import Resources, largest_bucket, number_of_buckets
from scripts.merging.decide import Policy
from scripts.merging.stretches import Former, Run, Stretch, bytes_before, hashes_of, number_of_stretches, runs


def gather(
    paths: list[Path],
    size: int,
    work: Path,
    policy: Policy,
    resources: Resources,
    workers: Workers,
    former: Former | None,
) -> list[Stretch]:
    """Merge answers into gold.jsonl and conflicts.jsonl of the work folder.

    paths (list[Path]): Files of answers, sorted by hash.
    size (int): Their bytes.
    policy (Policy): How disagreements are decided.
    former (Former | None): An earlier merge, of which the runs are that did not change.
    RETURNS (list[Stretch]): What was made, in the order of hashes.
    """
    gold, conflicts = (work / name for name in ("gold.jsonl", "conflicts.jsonl"))
    for path in (gold, conflicts):
        path.write_bytes(b"")
    stretches = number_of_stretches(size)
    largest = largest_bucket(resources.memory_mb, resources.processes)
    wanted = resources.buckets or number_of_buckets(size, largest, resources.processes)
    every = runs(former, stretches)
    alone = resources.processes == 1  # then each bucket is written where it belongs
    buckets = {
        run: [
            Bucket(
                paths,
                hashes,
                largest,
                policy,
                gold=gold if alone else work / f"gold-{hashes.start}",
                conflicts=conflicts if alone else work / f"conflicts-{hashes.start}",
                stretches=stretches,
            )
            for hashes in hashes_of(run, stretches).split(math.ceil(wanted * (run.stop - run.start) / stretches))
        ]
        for run in every
        if run.changed
    }
    results = workers.spread(merge_bucket, list(chain.from_iterable(buckets.values())), "Merging")
    made: list[Stretch | None] = [None] * stretches
    for run in every:
        if former and not run.changed:
            made[run.start : run.stop] = former.stretches[run.start : run.stop]
            _take_over(former, run, "gold", gold)
            _take_over(former, run, "conflicts", conflicts)
        for bucket in buckets.get(run, []):
            for number, stretch in next(results).items():
                made[number] = _joined(made[number], stretch)
            if not alone:
                _move_to_end(bucket.gold, gold)
                _move_to_end(bucket.conflicts, conflicts)
    assert next(results, None) is None
    return [stretch or Stretch(Account().packed(), 0, 0) for stretch in made]


def _joined(one: Stretch | None, other: Stretch) -> Stretch:
    """What two buckets made of one stretch."""
    if one is None:
        return other
    account = Account.summed([one.account, other.account])
    return Stretch(account.packed(), one.gold + other.gold, one.conflicts + other.conflicts)


def _take_over(former: Former, run: Run, what: Literal["gold", "conflicts"], path: Path) -> None:
    """Append what an earlier merge made of a run to a file."""
    start, stop = (bytes_before(former.stretches, edge, what) for edge in (run.start, run.stop))
    with (former.corpus / path.name).open("rb") as file, path.open("ab") as whole:
        file.seek(start)
        while start < stop and (block := file.read(min(BUFFER, stop - start))):
            start += whole.write(block)


def _move_to_end(part: Path, path: Path) -> None:
    with part.open("rb") as file, path.open("ab") as whole:
        shutil.copyfileobj(file, whole)
    part.unlink()
