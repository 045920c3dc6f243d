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
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

from scripts.core.errors import UserError

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


class Workers:
    """Processes that do one kind of work after another. They start when there is something for them.

    Forked, they share what is imported already: spaCy alone is 60 MB and half a second. So what several kinds of work
    need is best imported before the first of them.
    """

    def __init__(self, processes: int) -> None:
        """So many processes at most; with one, everything happens in this one."""
        self._most = processes
        self._number = 0
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._stop(cancel=error is not None)

    def spread(self, work: Callable[[In], Out], items: Sequence[In], title: str) -> Iterator[Out]:
        """Apply a function to items, yielding results in the order of the items.

        work (Callable): A function of a module; it and the items must pickle if there are several processes.
        items (Sequence): What to work on. One item is worked on in this process.
        title (str): What the progress bar says; there is none where nobody watches.
        """
        # What is freed glibc gives back, to get it again page by page, until it saw something larger come and go. Of
        # this no page is touched, and it saves up to a quarter of the time. See M_MMAP_THRESHOLD in mallopt(3).
        bytes(_COME_AND_GONE)
        processes = min(self._most, len(items))
        try:
            # The processes start here, before the progress bar has a thread, which would not be there in a fork, nor
            # let go of its locks.
            results = self._results(work, items, processes) if processes > 1 else map(work, items)
            yield from watched(results, len(items), title)
        except BrokenProcessPool as err:
            said = "a worker process was killed, most likely for want of memory; lower memory_mb or processes"
            raise UserError(said) from err

    def _results(self, work: Callable[[In], Out], items: Sequence[In], processes: int) -> Iterator[Out]:
        if self._pool is None or self._number < processes:
            self._stop()
            gc.freeze()  # else the collector, which writes to all there is, makes copies of it for each process
            context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
            self._pool = ProcessPoolExecutor(processes, context, initializer=_die_with_parent)
            self._number = processes
        together = min(_MOST_TOGETHER, max(1, len(items) // (_LEAST_ROUNDS * processes)))
        return self._pool.map(work, items, chunksize=together)

    def _stop(self, cancel: bool = False) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=cancel)
            self._pool = None
            gc.unfreeze()


def spread(work: Callable[[In], Out], items: Sequence[In], processes: int, title: str) -> Iterator[Out]:
    """Apply a function to items in so many processes, see `Workers.spread`."""
    with Workers(processes) as workers:
        yield from workers.spread(work, items, title)


def watched(items: Iterable[Out], number: int, title: str) -> Iterable[Out]:
    """So many items, with a progress bar; there is none where nobody watches."""
    from rich.console import Console  # takes a while: workers that there are have begun

    console = Console(stderr=True)
    if not console.is_terminal:
        return items
    from rich.progress import track  # takes a while, so not where nobody watches

    return track(items, title, number, console=console, transient=True)


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_after, args=[parent], daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
