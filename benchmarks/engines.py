"""pull and merge on Dask beside the local engine: the same bytes, seconds, memory, and killed workers.

    python -m benchmarks.engines --folder benchmarks/data

The case is that of benchmarks.run, 2.6 GB of JSON. Workers are processes of this machine. It needs 6 GB of disk, and
writes benchmarks/results/engines.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distributed import Client
from rich.console import Console
from rich.table import Table

from benchmarks.measure import machine, measure, write_results
from scripts.core.files import sha256
from tests.clusters import Processes, cluster, engine

TEXTS = 6000
KILLS = 20
WORKER_MB = 240  # less than a tenth of the data
_NAMES = ("gold.jsonl", "conflicts.jsonl", "coverage.csv", "contained.jsonl", "duplicates.jsonl")


class EngineBench:
    """Runs steps in a folder and keeps their measurements."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.console = Console()
        self.rows: list[dict[str, Any]] = []

    def data(self, texts: int) -> Path:
        """Generate texts, unless they are there. RETURNS (Path): Their config."""
        folder = self.folder / ("full" if texts == TEXTS else str(texts)) / "data"
        measure(["python", "-m", "benchmarks.generate", str(folder), "--tasks", str(texts), "--format", "jsonl"])
        return folder / "datasets-jsonl.cfg"

    def steps(self, name: str, config: Path, options: Sequence[str]) -> Path:
        """Run both steps from nothing. RETURNS (Path): The folder of the corpus."""
        out = self.folder / "engines" / name.replace(" ", "-").replace(",", "")
        shutil.rmtree(out, ignore_errors=True)
        pull = measure([*_words("pull", config, out), *options])
        merge = measure([*_words("merge", config, out), *options])
        row = {"way": name, "pull": round(pull.seconds, 2), "merge": round(merge.seconds, 2)}
        row |= {"cpu": round(pull.cpu + merge.cpu, 2), "mb": round(max(pull.peak_mb, merge.peak_mb))}
        self.rows.append(row)
        self.console.print(row)
        return out / "corpus"


def _words(step: str, config: Path, out: Path) -> list[str]:
    folders = [out / "annotations"] if step == "pull" else [out / "annotations", out / "corpus"]
    return ["python", "-m", f"scripts.{step}", str(config), *map(str, folders)]


def digests(corpus: Path) -> list[str]:
    """Digests of all outputs that must be the same."""
    found = json.loads((corpus / "merge.json").read_bytes())
    account = [found[name] for name in ("labels", "totals", "answers", "spans", "coverage")]
    return [*(sha256(corpus / name) for name in _NAMES), json.dumps(account, sort_keys=True)]


def same_bytes(bench: EngineBench, config: Path) -> dict[str, Any]:
    """Processes of this machine, and workers that are started for each step."""
    bench.steps("local, 1 process", config, ["--system.processes", "1"])
    local = digests(bench.steps("local, 2 processes", config, ["--system.processes", "2"]))
    same = {}
    for workers in (1, 2, 4):
        storage = bench.folder / "engines/storage"
        shutil.rmtree(storage, ignore_errors=True)
        options = engine(f"file://{storage}", "", workers=workers)
        name = f"Dask, {workers} worker{'s' * (workers > 1)} started"
        same[workers] = digests(bench.steps(name, config, options)) == local
    return {"same_bytes_with_workers": same, "expected": local}


def on_a_cluster(
    bench: EngineBench, config: Path, name: str, expected: list[str] | None, workers: int = 2
) -> dict[str, Any]:
    """On running workers: the tasks of each, and the peak memory of each process."""
    with tempfile.TemporaryDirectory() as place, cluster(Path(place), workers, memory_mb=WORKER_MB) as running:
        storage = bench.folder / "engines/storage"
        shutil.rmtree(storage, ignore_errors=True)
        fetch = expected is not None
        options = engine(f"file://{storage}", running.address, memory_mb=WORKER_MB, part_mb=32, fetch=fetch)
        with Client(running.address, set_as_default=False) as watching:
            watching.wait_for_workers(workers)
            watching.get_task_stream()
            corpus = bench.steps(name, config, [*options, "--merge.buckets", "64"])
            done = watching.get_task_stream(count=100_000)
        found = {
            "workers": _by_worker(done),
            "limit_mb": WORKER_MB,
            "worker_mb": [_peak_mb(pid) for pid in running.pids()],
            "scheduler_mb": _peak_mb(running.scheduler.pid),
            "json_mb": round(sum(path.stat().st_size for path in config.parent.glob("*.jsonl")) / 2**20),
        }
        if expected is not None:
            found["same_bytes"] = digests(corpus) == expected
            found["kills"] = _kill(bench, config, running, options, expected)
        return found


def _by_worker(done: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tasks and seconds of computing, by worker."""
    tasks: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for task in done:
        tasks[task["worker"]] += 1
        seconds[task["worker"]] += sum(s["stop"] - s["start"] for s in task["startstops"] if s["action"] == "compute")
    return [{"tasks": tasks[worker], "seconds": round(seconds[worker], 2)} for worker in sorted(tasks)]


def _peak_mb(pid: int) -> int:
    match = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return round(int(match[1]) / 1024) if match else 0


def _kill(
    bench: EngineBench, config: Path, running: Processes, options: Sequence[str], expected: list[str]
) -> dict[str, Any]:
    """Merge repeatedly, and kill a worker each time, at a random moment."""
    rng = random.Random(0)
    out = bench.folder / "engines/killed"
    shutil.rmtree(out, ignore_errors=True)
    measure([*_words("pull", config, out), *options])
    kills, merges, exact = 0, 0, 0
    while kills < KILLS:
        shutil.rmtree(out / "corpus", ignore_errors=True)
        shutil.rmtree(bench.folder / "engines/storage/corpus", ignore_errors=True)
        words = [sys.executable if word == "python" else word for word in _words("merge", config, out)]
        with subprocess.Popen([*words, *options, "--merge.buckets", "256"], stdout=subprocess.DEVNULL) as merge:
            while merge.poll() is None and not _is_merging(bench):
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 2))
            pids = running.pids()
            if pids and merge.poll() is None and _is_merging(bench):
                os.kill(rng.choice(pids), signal.SIGKILL)
                kills += 1
        merges += 1
        exact += merge.returncode == 0 and digests(out / "corpus") == expected
        bench.console.print(f"{kills} kills, {merges} merges, {exact} of them exact")
    return {"kills": kills, "merges": merges, "exact": exact}


def _is_merging(bench: EngineBench) -> bool:
    done = len(list(bench.folder.glob("engines/storage/corpus/*/gold/*.jsonl")))
    return 0 < done < 256


def report(bench: EngineBench, found: dict[str, Any]) -> None:
    """Print and write the results, beside the local engine with as many processes, at most two."""
    local = {number: row["pull"] + row["merge"] for number, row in zip((1, 2), bench.rows, strict=False)}
    table = Table("", "pull s", "merge s", "CPU s", "MB, all", "/ local", box=None)
    for row in bench.rows:
        processes = min(2, next(int(word) for word in row["way"].split() if word.isdigit()))
        row["ratio"] = round((row["pull"] + row["merge"]) / local[processes], 2)
        table.add_row(row["way"], *(f"{row[key]:,}" for key in ("pull", "merge", "cpu", "mb", "ratio")))
    bench.console.print(table)
    path = write_results("engines", {"cores": machine()["cores"], "rows": bench.rows, **found})
    bench.console.print(f"✔ {path}")


def main() -> None:
    """Measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="for data and outputs; kept")
    parser.add_argument("--texts", type=int, default=TEXTS, help="default: %(default)s")
    args = parser.parse_args()
    bench = EngineBench(args.folder.absolute())
    config = bench.data(args.texts)
    found = same_bytes(bench, config)
    expected = found.pop("expected")
    found["cluster"] = on_a_cluster(bench, config, "Dask, 2 workers there", expected)
    few, many = bench.data(args.texts // 5), config
    found["growth"] = [
        on_a_cluster(bench, one, f"Dask, 4 workers there, {name}", None, 4)
        for name, one in (("a fifth of the texts", few), ("all texts", many))
    ]
    report(bench, found)


if __name__ == "__main__":
    main()
