"""Work spread over the workers of Dask. What goes wrong with them is said in one line."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar
from zipfile import ZipFile

import dask
from distributed import Client, KilledWorker, LocalCluster, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile

from scripts.core.errors import UserError
from scripts.core.workers import available_cores, watched
from scripts.engines.engine import Dask

In = TypeVar("In")
Out = TypeVar("Out")

RETRIES = 4  # of a task that fails, as it does when the storage does
_PAUSE = 1  # seconds before that
_SECONDS = 60  # to wait for a first worker
_PACKAGE = Path(__file__).parent.parent


class Failure(NamedTuple):
    """The message of a `UserError`, as the result of a task: raised, Dask would try the task again."""

    message: str


def results(client: Client, work: Callable[[In], Out], items: Sequence[In], title: str) -> Iterator[tuple[int, Out]]:
    """Apply a function to items on the workers, yielding the index and the result of each, in the order of completion.

    RAISES (UserError): If the function does; then the other items are cancelled.
    """
    futures = client.map(partial(_careful, work), items, pure=False, retries=RETRIES)
    indexes = {future.key: index for index, future in enumerate(futures)}
    completed = as_completed(futures, loop=client.loop, with_results=True)
    for future, result in watched(completed, len(futures), title):
        if isinstance(result, Failure):
            client.cancel(futures)
            raise UserError(result.message)
        yield indexes[future.key], result


def in_order(client: Client, work: Callable[[In], Out], items: Sequence[In], title: str) -> list[Out]:
    """Apply a function to items on the workers. RETURNS (list[Out]): The results, in the order of the items."""
    return [result for _, result in sorted(results(client, work, items, title), key=itemgetter(0))]


def _careful(work: Callable[[In], Out], item: In) -> Out | Failure:
    try:
        return work(item)
    except UserError as err:
        return Failure(str(err))
    except OSError:  # Dask tries again, at once
        time.sleep(_PAUSE)
        raise


@contextmanager
def connected(engine: Dask) -> Iterator[Client]:
    """The workers of a scheduler, or some that are started here and end with the block.

    RAISES (UserError): If nobody answers, there is no worker, or they are lost.
    """
    _silence()
    try:
        with _started(engine) as client:
            yield client
    except KilledWorker as err:
        raise UserError(
            f"[engine] {err.allowed_failures + 1} workers died of the same piece of work, it seems for want of memory: "
            f"give each memory_mb = {engine.memory_mb} and one thread, or make memory_mb less"
        ) from err
    except (FutureCancelledError, CommClosedError) as err:
        raise UserError(
            f"[engine] the scheduler {engine.scheduler} was lost; run again: what is done need not be done again"
        ) from err


@contextmanager
def _started(engine: Dask) -> Iterator[Client]:
    if engine.scheduler:
        try:
            client = Client(engine.scheduler, set_as_default=False)
        except (OSError, ValueError) as err:
            raise UserError(f"[engine] scheduler = {engine.scheduler}: nobody answers there ({err})") from err
        with client:
            _wait_for_workers(client, engine)
            _send_code(client)
            yield client
        return
    quiet = {"distributed.scheduler.worker-saturation": 1.0, "distributed.admin.tick.limit": "1h"}
    with (
        dask.config.set(quiet),
        LocalCluster(
            n_workers=engine.workers or available_cores(),
            threads_per_worker=1,
            memory_limit=f"{engine.memory_mb} MiB",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _silence() -> None:
    """What matters of what Dask logs is raised too."""
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _wait_for_workers(client: Client, engine: Dask) -> None:
    try:
        client.wait_for_workers(1, timeout=_SECONDS)
    except TimeoutError as err:
        raise UserError(f"[engine] scheduler = {engine.scheduler}: has no workers; start some: dask worker") from err


def _send_code(client: Client) -> None:
    """Workers, also those that come later, run the modules that run here.

    Under one name: `Client.upload_file` gives each upload its own, and a worker that comes after several of them writes
    the file as often, at once, while it reads it.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "labelwise.zip")
        with ZipFile(path, "w") as archive:
            for module in sorted(_PACKAGE.rglob("*.py")):
                archive.write(module, module.relative_to(_PACKAGE.parent))
        for upload in (SchedulerUploadFile, UploadFile):
            client.register_plugin(upload(os.fspath(path)), name="labelwise")
