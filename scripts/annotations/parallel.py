"""Work spread over processes, for functions that take one picklable thing and return another."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from scripts.annotations.errors import UserError

In = TypeVar("In")
Out = TypeVar("Out")
_MOST_TOGETHER = 8  # items that are handed over at a time: that takes some tenths of a millisecond
_COME_AND_GONE = 2**24
_LEAST_ROUNDS = 16  # so that no process is left with much to do when the others are done


def available_cores() -> int:
    """Cores this process may use, which in a container or a batch job can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_mb() -> float:
    """Memory that can be had without swapping, in MB; without bound where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))) / 1024
    except (OSError, StopIteration, ValueError):
        return float("inf")


def spread(work: Callable[[In], Out], items: Sequence[In], processes: int, title: str) -> Iterator[Out]:
    """Apply a function to items in so many processes, yielding results in the order of the items.

    work (Callable): A function of a module; it and the items must pickle if processes > 1.
    items (Sequence): What to work on.
    processes (int): How many processes; with one, or one item, everything happens in this one.
    title (str): What the progress bar says; there is none where nobody watches.
    """
    # What is freed glibc gives back, to get it again page by page, until it saw something larger come and go. Of this
    # no page is touched, and it saves up to a quarter of the time. See M_MMAP_THRESHOLD in mallopt(3).
    bytes(_COME_AND_GONE)
    with _results(work, items, min(processes, len(items))) as results:
        yield from watched(results, len(items), title)


def watched(items: Iterable[Out], number: int, title: str) -> Iterable[Out]:
    """So many items, with a progress bar; there is none where nobody watches."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return items
    from rich.progress import track  # takes a while, so not where nobody watches

    return track(items, title, number, console=console, transient=True)


@contextmanager
def _results(work: Callable[[In], Out], items: Sequence[In], processes: int) -> Iterator[Iterator[Out]]:
    if processes <= 1:
        yield map(work, items)
        return
    # Forked, the workers share what is imported already: spaCy alone is 60 MB and half a second. They start with the
    # first submit, before the progress bar has a thread, which would not be there in a fork, nor let go of its locks.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    gc.freeze()  # else the collector, which writes to all there is, makes copies of it for each of them
    try:
        with ProcessPoolExecutor(processes, context, initializer=_die_with_parent) as pool:
            try:
                together = min(_MOST_TOGETHER, max(1, len(items) // (_LEAST_ROUNDS * processes)))
                yield pool.map(work, items, chunksize=together)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    except BrokenProcessPool as err:
        said = "a worker process was killed, most likely for want of memory; lower memory_mb or processes"
        raise UserError(said) from err
    finally:
        gc.unfreeze()


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_after, args=[parent], daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
