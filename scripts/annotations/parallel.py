"""Work spread over processes, for functions that take one picklable thing and return another."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from scripts.annotations.errors import UserError

In = TypeVar("In")
Out = TypeVar("Out")


def available_cores() -> int:
    """Cores this process may use, which in a container or a batch job can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Callable[[In], Out], items: Sequence[In], processes: int, title: str) -> Iterator[Out]:
    """Apply a function to items in so many processes, yielding results in the order of the items.

    work (Callable): A function of a module; it and the items must pickle if processes > 1.
    items (Sequence): What to work on.
    processes (int): How many processes; with one, or one item, everything happens in this one.
    title (str): What the progress bar says; there is none where nobody watches.
    """
    console = Console(stderr=True)
    done = _map(work, items, min(processes, len(items)))
    yield from track(done, title, len(items), console=console, transient=True, disable=not console.is_terminal)


def _map(work: Callable[[In], Out], items: Sequence[In], processes: int) -> Iterator[Out]:
    if processes <= 1:
        yield from map(work, items)
        return
    # Forked, the workers share what is imported already: spaCy alone is 90 MB and a second.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    try:
        with ProcessPoolExecutor(processes, context, initializer=_die_with_parent) as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                for future in futures:
                    yield future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    except BrokenProcessPool as err:
        raise UserError(
            "a worker process was killed, most likely for want of memory; lower memory_mb or processes"
        ) from err


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_after, args=[parent], daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
