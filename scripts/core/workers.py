"""Work spread over processes: functions of a module are applied to items that pickle."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

from scripts.core import usage
from scripts.core.errors import UserError, plain_console, visible

In = TypeVar("In")
Out = TypeVar("Out")
_MAX_CHUNK = 8  # items that are handed over at a time, which takes some tenths of a millisecond
_LARGE = 2**24
_MIN_CHUNKS = 16  # per process, so that none has much left to do when the others are done


def available_cores() -> int:
    """Cores this process may use, which in a container or a batch job can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_mb() -> float:
    """Memory available without swapping, in MB; infinite where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))) / 1024
    except (OSError, StopIteration, ValueError):
        return float("inf")


class Workers:
    """Processes that do one kind of work after another. They start when there is something for them.

    Forked, they share the modules that are imported already: spaCy alone is 60 MB and half a second. So modules that
    several kinds of work need are best imported before the first of them.
    """

    def __init__(self, processes: int) -> None:
        """Start at most a number of processes; with one, everything happens in this one."""
        self._max = processes
        self._number = 0
        self._pool: ProcessPoolExecutor | None = None
        self._peaks: dict[int, float] = {}  # of the memory of each process, in MB

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._stop(cancel=error is not None)

    def spread(self, work: Callable[[In], Out], items: Sequence[In], title: str) -> Iterator[Out]:
        """Apply a function to items, yielding results in the order of the items.

        work (Callable): A function of a module; it and the items must pickle if there are several processes.
        items (Sequence): One item alone is worked on in this process.
        """
        # glibc gives freed memory back, to get it again page by page, until something larger came and went. This never
        # touches a page, and saves up to a quarter of the time. See M_MMAP_THRESHOLD in mallopt(3).
        bytes(_LARGE)
        processes = min(self._max, len(items))
        try:
            # Processes start before the progress bar has a thread: in a fork it is gone, but its locks are held.
            results = self._results(work, items, processes) if processes > 1 else map(work, items)
            yield from with_progress(results, len(items), title)
        except BrokenProcessPool as err:
            advice = "lower memory_mb or processes"
            raise UserError(f"a worker process was killed, most likely for want of memory; {advice}") from err

    def _results(self, work: Callable[[In], Out], items: Sequence[In], processes: int) -> Iterator[Out]:
        if self._pool is None or self._number < processes:
            self._stop()
            gc.freeze()  # else the collector, which writes to all objects, makes a copy of them for each process
            context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
            self._pool = ProcessPoolExecutor(processes, context, initializer=_obey_parent)
            self._number = processes
        chunk = min(_MAX_CHUNK, max(1, len(items) // (_MIN_CHUNKS * processes)))
        with _no_interrupts():
            return self._counted(self._pool.map(usage.measured(work), items, chunksize=chunk))

    def _counted(self, results: Iterable[tuple[int, float, Out]]) -> Iterator[Out]:
        for process, peak, result in results:
            self._peaks[process] = max(peak, self._peaks.get(process, 0.0))
            yield result

    def _stop(self, cancel: bool = False) -> None:
        if self._pool:
            if cancel:  # what they are at is of no use
                for worker in multiprocessing.active_children():
                    worker.kill()
            self._pool.shutdown(cancel_futures=cancel)
            self._pool = None
            gc.unfreeze()
            usage.add_workers(self._peaks.values())
            self._peaks = {}


def spread(work: Callable[[In], Out], items: Sequence[In], processes: int, title: str) -> Iterator[Out]:
    """Apply a function to items in a number of processes, see `Workers.spread`."""
    with Workers(processes) as workers:
        yield from workers.spread(work, items, title)


def with_progress(items: Iterable[Out], number: int, title: str) -> Iterable[Out]:
    """Show a progress bar while items are taken; there is none where the output is no terminal."""
    console = plain_console(stderr=True)
    if not console.is_terminal:
        return items
    from rich.markup import escape  # takes a while, so only where it is shown
    from rich.progress import track

    return track(items, escape(visible(title)), number, console=console, transient=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C, which all of a terminal's processes get, does not reach; here it waits meanwhile."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _obey_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it: a worker whose parent was killed would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_after, args=[parent], daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
