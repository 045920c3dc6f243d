"""Who pulls, merges and makes the corpus: this machine, or the workers of Dask. What comes out is the same bytes."""

from __future__ import annotations

import re
from importlib.util import find_spec

import msgspec

from scripts.core.errors import UserError
from scripts.core.settings import registry

LEAST_MB = 240  # Python with Dask takes 100 of it


class Engine(msgspec.Struct, frozen=True):
    """Local or Dask."""


class Local(Engine, frozen=True):
    """Processes on this machine, as many as `[system] processes` says."""


class Dask(Engine, frozen=True):
    """See `dask`."""

    storage: str
    scheduler: str
    workers: int
    memory_mb: int
    part_mb: float
    fetch: bool


@registry.misc("labelwise.Local.v1")
def local() -> Engine:
    """Work on this machine."""
    return Local()


@registry.misc("labelwise.Dask.v1")
def dask(
    storage: str,
    scheduler: str = "",
    workers: int = 0,
    memory_mb: int = 1024,
    part_mb: float = 128,
    fetch: bool = True,
) -> Engine:
    """Work on a cluster of Dask.

    storage (str): URL of a folder that all workers and this machine can write to: file://, s3://, gs:// or whatever
        else fsspec knows. Endpoints and keys are not for the config: they are found where the library looks for them.
    scheduler (str): Address of the scheduler, tcp://host:8786. Without one, workers are started on this machine.
    workers (int): How many of them then; 0: as many as there are cores.
    memory_mb (int): What a worker may take. The sizes of buckets follow from it.
    part_mb (int): About how much of a source a worker reads at a time: more for more than a few terabytes.
    fetch (bool): Whether the results are brought to this machine too, as one file each. Else they stay in shards.
    """
    if not re.match(r"\w[\w+.-]*://.", storage):
        raise UserError(f"storage = {storage}: must be a URL, like file:///shared/labelwise or s3://bucket/labelwise")
    if scheduler and workers:
        raise UserError("scheduler and workers: a scheduler has workers of its own; leave one of the two out")
    if workers < 0:
        raise UserError(f"workers = {workers}: must be 0 (all cores) or more")
    if memory_mb < LEAST_MB:
        raise UserError(f"memory_mb = {memory_mb}: must be at least {LEAST_MB}")
    if part_mb <= 0:
        raise UserError(f"part_mb = {part_mb}: must be more than 0")
    if not (find_spec("distributed") and find_spec("fsspec")):  # importing them takes time, and is for who uses them
        raise UserError("labelwise.Dask.v1 needs Dask: pip install -r requirements-dask.txt")
    return Dask(storage.rstrip("/"), scheduler, workers, memory_mb, part_mb, fetch)
