"""Seconds and peak memory of a command with all its children; the machine and the results' files."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path("benchmarks/results")
_INTERVAL = 0.03  # seconds between two measurements of memory


def machine() -> dict[str, Any]:
    """Processor, cores and Python of this machine."""
    return {"processor": platform.machine(), "cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}


def write_results(name: str, result: dict[str, Any]) -> Path:
    """Write benchmarks/results/<name>.json. RETURNS (Path): The file."""
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", "utf8")
    return path


def use_one_thread() -> None:
    """Limit BLAS to one thread, in this process before NumPy is imported, and in all that it starts."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")


class Measured(NamedTuple):
    """Cost of a command with all its children.

    seconds (float), cpu (float): Wall-clock time, and CPU time of all processes.
    peak_mb (float): Peak of the proportional set size in MB of 2**20 bytes. Proportional (PSS): pages that forked
        processes share count once, so that the sum over processes is the memory of all.
    output (str): Standard output and standard error.
    """

    seconds: float
    cpu: float
    peak_mb: float
    output: str


def quickest(command: Sequence[str], rounds: int = 3) -> Measured:
    """The quickest of some rounds: the speed of machines varies."""
    return min((measure(command) for _ in range(rounds)), key=lambda measured: measured.seconds)


class Failed(Exception):
    """A command that ended with an error."""


def measure(
    command: Sequence[str], stop_mb: float = float("inf"), memory: bool = True, folder: Path | None = None
) -> Measured:
    """Run a command and measure it; Linux only. Bytecode is cached, as Python does by default.

    command (Sequence[str]): Its words; "python" stands for this interpreter.
    stop_mb (float): It is killed if it takes more memory.
    memory (bool): Whether memory is measured, which halts the command for up to a twentieth of the time; else 0.
    folder (Path | None): Where it runs; None for this folder.
    RAISES (Failed): If it fails, or takes too much memory.
    """
    words = [sys.executable if word == "python" else word for word in command]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = os.times()
    began = time.perf_counter()
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf8", env=environment, cwd=folder
    )
    peak = _Peak(process, stop_mb)
    if memory:
        peak.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - began
    if memory:
        peak.join()
    after = os.times()
    if process.returncode:
        raise Failed(f"{' '.join(command)}: {'took too much memory' if peak.mb > stop_mb else output[-1000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(seconds, cpu, peak.mb, output)


class _Peak(threading.Thread):
    def __init__(self, process: subprocess.Popen[str], stop_mb: float) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.stop_mb = stop_mb
        self.mb = 0.0

    def run(self) -> None:
        while self.process.poll() is None:
            began = time.perf_counter()
            self.mb = max(self.mb, sum(map(_pss_mb, _tree(self.process.pid))))
            if self.mb > self.stop_mb:
                self.process.kill()
            time.sleep(max(_INTERVAL, 19 * (time.perf_counter() - began)))  # reading it halts the process: 9 ms a GB


def _tree(pid: int) -> list[int]:
    """A process and all its descendants that are still running."""
    found = [pid]
    try:
        children = [
            int(pid) for path in Path(f"/proc/{pid}/task").glob("*/children") for pid in path.read_text().split()
        ]
    except OSError:
        return found
    return found + [one for child in children for one in _tree(child)]


def _pss_mb(pid: int) -> float:
    try:
        match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:  # it has just ended
        return 0
    return int(match[1]) / 1024 if match else 0
