"""A Dask cluster: functions applied to items on its workers, and its failures as errors of one line."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from zipfile import ZipFile

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, as_completed
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile

from scripts.core.errors import UserError
from scripts.core.workers import available_cores, with_progress
from scripts.engines.engine import Dask

In = TypeVar("In")
Out = TypeVar("Out")

_RETRIES = 4  # of a task that fails, as it does when the storage does
_PAUSE = 1  # second before a retry
_WAIT = 60  # seconds for a first worker
_PACKAGE = Path(__file__).parent.parent


def results(client: Client, work: Callable[[In], Out], items: Sequence[In], title: str) -> Iterator[tuple[int, Out]]:
    """Apply a function to items on the workers, yielding the index and the result of each, in the order of completion.

    RAISES (UserError): If the function does; then the other items are cancelled.
    """
    futures = client.map(partial(_with_failures, work), items, pure=False, retries=_RETRIES)
    indexes = {future.key: index for index, future in enumerate(futures)}
    for future, result in with_progress(_completed(client, futures), len(futures), title):
        if isinstance(result, UserError):
            client.cancel(futures)
            raise result
        yield indexes[future.key], result


def _completed(client: Client, futures: Sequence[Future[Any]]) -> Iterator[tuple[Future[Any], Any]]:
    # Results are fetched here rather than by `as_completed`, whose background task logs a lost scheduler.
    for batch in as_completed(futures, loop=client.loop).batches():
        yield from zip(batch, client.gather(batch), strict=True)


def in_order(client: Client, work: Callable[[In], Out], items: Sequence[In], title: str) -> list[Out]:
    """Apply a function to items on the workers. RETURNS (list[Out]): The results, in the order of the items."""
    return [result for _, result in sorted(results(client, work, items, title), key=itemgetter(0))]


def _with_failures(work: Callable[[In], Out], item: In) -> Out | UserError:
    try:
        return work(item)
    except UserError as err:
        return err  # raised, Dask would try the task again
    except OSError:  # Dask would retry at once
        time.sleep(_PAUSE)
        raise


@contextmanager
def connected(engine: Dask) -> Iterator[Client]:
    """Connect to the scheduler, or start workers on this machine that end with the block.

    RAISES (UserError): If the scheduler does not answer, has no workers, or is lost, or if workers die.
    """
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is raised too
    try:
        with _started(engine) as client:
            yield client
    except KilledWorker as err:
        raise UserError(
            f"[engine] {err.allowed_failures + 1} workers died of the same task, most likely for want of memory: give "
            f"each memory_mb = {engine.memory_mb} and one thread, or lower memory_mb"
        ) from err
    except (FutureCancelledError, CommClosedError) as err:
        raise UserError(
            f"[engine] the scheduler {engine.scheduler} was lost; run again: finished parts are not repeated"
        ) from err


@contextmanager
def _started(engine: Dask) -> Iterator[Client]:
    if engine.scheduler:
        try:
            client = Client(engine.scheduler, set_as_default=False)
        except (OSError, ValueError) as err:
            raise UserError(f"[engine] scheduler = {engine.scheduler}: nobody answers there ({err})") from err
        with client:
            try:
                client.wait_for_workers(1, timeout=_WAIT)
            except TimeoutError as err:
                where = f"[engine] scheduler = {engine.scheduler}"
                raise UserError(f"{where}: has no workers; start some: dask worker") from err
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


def _send_code(client: Client) -> None:
    """Send the modules that run here to all workers, also to those that come later."""
    # One name for all uploads: `Client.upload_file` names each anew, and a worker that comes after several of them
    # writes the file as often, at once, while it reads it.
    with TemporaryDirectory() as folder:
        path = Path(folder, "labelwise.zip")
        with ZipFile(path, "w") as archive:
            for module in sorted(_PACKAGE.rglob("*.py")):
                archive.write(module, module.relative_to(_PACKAGE.parent))
        for upload in (SchedulerUploadFile, UploadFile):
            client.register_plugin(upload(os.fspath(path)), name="labelwise")
