"""Duration and peak memory of a step, which are its last line.

Memory is that of all processes, as the proportional set size (PSS) has it: what forked processes share counts once. The
kernel knows the peak of each process by itself. So it is the peak of the step's process, and to it, for each of its
workers, the peak without what the worker shares with others. See "Duration and memory" in docs/performance.md.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

import scripts

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

In = TypeVar("In")
Out = TypeVar("Out")
_SHARE = 0.01  # of a worker's time, at most, that measuring takes: the kernel looks at each page that is shared


class _Usage:
    """What is known so far: of the step's process, about its workers; in a worker, when it measures again."""

    peak_mb = 0.0  # while there were workers
    processes = 1
    due = 0.0


def report() -> str:
    """Say how long the step took, and its peak memory where the system tells it: `2.6 s, 412 MB in 3 processes`."""
    peak = max(_Usage.peak_mb, _peak_mb())
    memory = f", {peak:,.0f} MB" if peak else ""
    processes = f" in {_Usage.processes} processes" if memory and _Usage.processes > 1 else ""
    return f"{_duration(time.perf_counter() - scripts.STARTED)}{memory}{processes}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def measured(work: Callable[[In], Out]) -> Callable[[In], tuple[int, float, Out]]:
    """Let a function that workers apply return, with its result, the worker and its peak memory, see `add_workers`."""
    return partial(_measure, work)


def _measure(work: Callable[[In], Out], item: In) -> tuple[int, float, Out]:
    result = work(item)
    began = time.perf_counter()
    if began < _Usage.due:
        return os.getpid(), 0.0, result
    peak = _peak_mb() - _shared_mb()
    ended = time.perf_counter()
    _Usage.due = ended + (ended - began) / _SHARE
    return os.getpid(), peak, result


def add_workers(peaks_mb: Iterable[float]) -> None:
    """Count workers that were at work at the same time, by the peak of each in MB, before this process goes on."""
    peaks = list(peaks_mb)
    _Usage.peak_mb = max(_Usage.peak_mb, _peak_mb() + sum(peaks))
    _Usage.processes = max(_Usage.processes, 1 + len(peaks))


def _peak_mb() -> float:
    """Peak of this process's resident memory in MB of 2**20 bytes; 0 where the system does not tell."""
    # Linux passes ru_maxrss on to a process from the one that started it, https://man7.org/linux/man-pages/man2/getrusage.2.html
    if peak := _read_kb("status", "VmHWM"):
        return peak / 1024
    if resource is None:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _shared_mb() -> float:
    """Memory in MB that this process shares with others: modules it was forked with, libraries."""
    return _read_kb("smaps_rollup", "Shared_(?:Clean|Dirty)") / 1024


def _read_kb(file: str, name: str) -> int:
    """Sum of the lines of a name in a file of /proc/self, https://docs.kernel.org/filesystems/proc.html; 0 without."""
    try:
        text = Path("/proc/self", file).read_text("ascii", "replace")
    except OSError:
        return 0
    return sum(map(int, re.findall(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)))
