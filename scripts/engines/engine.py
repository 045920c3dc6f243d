"""[engine]: where the steps pull, merge and build the corpus. The results are the same bytes."""

import re
from importlib.util import find_spec

import msgspec

from scripts.core.errors import UserError
from scripts.core.settings import registry

LEAST_MB = 240  # Python with Dask takes 100 of it


class Engine(msgspec.Struct, frozen=True):
    """Local or Dask."""


@registry.misc("labelwise.Local.v1")
class Local(Engine, frozen=True):
    """Processes of this machine; [system] processes is their number."""


@registry.misc("labelwise.Dask.v1")
class Dask(Engine, frozen=True):
    """Workers of a Dask cluster.

    storage (str): URL of a folder that all workers and this machine can write to: file://, s3://, gs:// or any other
        that fsspec knows. Endpoints and keys are not for the config: the library finds them in their usual places.
    scheduler (str): Address of the scheduler, tcp://host:8786. Without one, workers are started on this machine.
    workers (int): Number of workers to start; 0: one for each core.
    memory_mb (int): Memory of a worker, which the sizes of buckets follow from.
    part_mb (float): Part of a source that a worker reads at a time: larger for more than a few terabytes.
    fetch (bool): Whether results are brought to this machine too, as one file each. Else they stay in shards.
    RAISES (UserError): If a value is not allowed, or Dask is not installed.
    """

    storage: str
    scheduler: str = ""
    workers: int = 0
    memory_mb: int = 1024
    part_mb: float = 128
    fetch: bool = True

    def __post_init__(self) -> None:
        if not re.match(r"\w[\w+.-]*://.", self.storage):
            raise UserError(
                f"storage = {self.storage}: must be a URL, file:///shared/labelwise or s3://bucket/labelwise"
            )
        if self.scheduler and self.workers:
            raise UserError("scheduler and workers: a scheduler has workers of its own; leave one of the two out")
        if self.workers < 0:
            raise UserError(f"workers = {self.workers}: must be 0 (all cores) or more")
        if self.memory_mb < LEAST_MB:
            raise UserError(f"memory_mb = {self.memory_mb}: must be at least {LEAST_MB}")
        if self.part_mb <= 0:
            raise UserError(f"part_mb = {self.part_mb}: must be more than 0")
        if not (find_spec("distributed") and find_spec("fsspec")):  # to import them takes a second
            raise UserError("labelwise.Dask.v1 needs Dask: pip install -r requirements-dask.txt")
        msgspec.structs.force_setattr(self, "storage", self.storage.rstrip("/"))
