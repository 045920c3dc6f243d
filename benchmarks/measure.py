"""Run a command and measure it: seconds, and the peak memory of it and all its children."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_EVERY = 0.03  # seconds between two looks at the memory


class Measured(NamedTuple):
    """seconds by the clock, and of all CPUs; the peak of the tree's proportional set size in MB of 2**20 bytes.

    Proportional (PSS): pages that forked processes share count once, so the sum over a tree is what the tree takes.
    """

    seconds: float
    cpu: float
    peak_mb: float
    output: str


class Failed(Exception):
    """A command that ended with an error."""


def measure(command: Sequence[str], stop_mb: float = float("inf"), memory: bool = True) -> Measured:
    """Run a command to its end, as Python does by default: with the bytecode of its modules, if it has run before.

    Linux only.

    command (Sequence[str]): Its words; "python" stands for this interpreter.
    stop_mb (float): It is stopped if its tree takes more.
    memory (bool): Whether to look at its memory, which stops it for up to a twentieth of the time; else the peak is 0.
    RAISES (Failed): If it fails, or takes too much.
    """
    words = [sys.executable if word == "python" else word for word in command]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = os.times()
    began = time.perf_counter()
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf8", env=environment
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
            time.sleep(max(_EVERY, 19 * (time.perf_counter() - began)))  # looking stops the process: 9 ms a GB


def _tree(pid: int) -> list[int]:
    """A process and all below it; of those that end meanwhile, what could still be seen."""
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
