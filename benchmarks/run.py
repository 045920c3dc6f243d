"""pull, merge and corpus at the scale of a large team, beside the usual ways, in one run.

    python -m benchmarks.run --scale full --folder /tmp/bench      # 2.7 GB of JSON, twice; needs about 40 GB of disk
    python -m benchmarks.run --scale small --folder /tmp/bench

With --texts-from ../shared/data/brat-wlp, the ratios of real texts stand beside those of the synthetic ones; with
--before CHECKOUT, the steps are compared with those of an earlier commit. It writes benchmarks/results/<scale>.json.
Nothing else should be running.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import generate
from benchmarks.measure import Measured, machine, measure, write_results

STEPS = ("pull", "merge", "corpus")
ROUNDS = 9  # of comparisons with the floor: the speed of machines varies
FEW_ROUNDS = 3  # of long measurements
TURNS = 5  # of the steps with those of an earlier checkout
SCALES = {"small": 600, "full": 6000}
DATASETS = 20
_TRAINING = Path("configs/ner.cfg")
_ONE = ("--system.processes", "1")
_USUAL_MB = 20_000  # the usual way is killed above that


class Target(NamedTuple):
    """A measured value and its bounds; without bounds it is there for comparison."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_reached(self) -> bool:
        """Whether the value is within its bounds."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


class Bench:
    """Runs measurements in a folder and keeps their results."""

    def __init__(self, folder: Path, texts: int) -> None:
        self.folder = folder
        self.texts = texts
        self.results: dict[str, Any] = {}
        self.targets: list[Target] = []
        self.console = Console()

    def data(self, name: str, *options: object) -> Path:
        """Generate annotations, unless they are there. RETURNS (Path): Their folder."""
        folder = self.folder / name
        words = ["python", "-m", "benchmarks.generate", folder, "--tasks", self.texts, *options]
        measure([str(word) for word in words])
        return folder

    def steps(
        self,
        name: str,
        config: Path,
        *options: str,
        again: str = "",
        which: Sequence[str] = STEPS,
        memory: bool = True,
        checkout: Path | None = None,
    ) -> dict[str, Measured]:
        """Measure steps in turn, from nothing, or again under another name; of another checkout, if one is given."""
        annotations, corpus = self.folder / "out" / name / "annotations", self.folder / "out" / name / "corpus"
        if not again:
            shutil.rmtree(annotations.parent, ignore_errors=True)
        words = {"pull": [annotations], "merge": [annotations, corpus], "corpus": [_TRAINING, corpus]}
        return {
            step: self.one(
                f"{again or name}: {step}",
                "python",
                "-m",
                f"scripts.{step}",
                config,
                *words[step],
                *options,
                memory=memory,
                checkout=checkout,
            )
            for step in which
        }

    def one(
        self,
        name: str,
        *words: object,
        stop_mb: float = float("inf"),
        memory: bool = True,
        checkout: Path | None = None,
    ) -> Measured:
        """Measure one command. Of several measurements under one name, the least seconds and the most memory count."""
        found = measure([str(word) for word in words], stop_mb, memory, checkout)
        seconds, mb = round(found.seconds, 2), round(found.peak_mb)
        before = self.results.setdefault(name, {"seconds": seconds, "cpu": round(found.cpu, 2), "mb": mb})
        if seconds < before["seconds"]:
            before |= {"seconds": seconds, "cpu": round(found.cpu, 2)}
        before["mb"] = max(mb, before["mb"])
        self.console.print(f"{name:52} {found.seconds:8.1f} s {found.peak_mb:8.0f} MB", highlight=False)
        return found

    def digests(self, name: str) -> dict[str, str]:
        """Digests of all outputs, without the positions of answers in their sources."""
        corpus = self.folder / "out" / name / "corpus"
        files = [corpus / "gold.jsonl", corpus / "coverage.csv", *sorted(corpus.glob("*/*.spacy"))]
        found = {str(path.relative_to(corpus)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        conflicts = re.sub(rb'"source":"[^"]*"', b"", (corpus / "conflicts.jsonl").read_bytes())
        return found | {"conflicts": hashlib.sha256(conflicts).hexdigest()}

    def expect(self, name: str, value: float, at_least: float | None = None, at_most: float | None = None) -> None:
        """Keep a value and its target."""
        self.targets.append(Target(name, round(value, 3), at_least, at_most))


def seconds(found: dict[str, Measured], *steps: str) -> float:
    """Wall-clock seconds of some steps or of all."""
    return sum(found[step].seconds for step in steps or STEPS)


def peak(found: dict[str, Measured]) -> float:
    """The peak memory of all steps."""
    return max(measured.peak_mb for measured in found.values())


def compare_ways(bench: Bench, data: Path) -> None:
    """Our steps with one and two processes, the usual way, DuckDB, and the floor; all files are in the page cache."""
    compare_exports(bench, data)
    bench.one("floor: decode the database once", "python", "-m", "benchmarks.baselines", "decode-sqlite", data)
    bench.steps("one process, sqlite", data / "datasets-sqlite.cfg", "--system.processes", "1")
    database = bench.steps("two processes, sqlite", data / "datasets-sqlite.cfg", "--system.processes", "2")
    bench.one("DuckDB, grouping alone", "python", "-m", "benchmarks.baselines", "duckdb", data)
    bench.expect("peak with two processes, sqlite, MB", peak(database), at_most=500)


def compare_exports(bench: Bench, data: Path) -> None:
    """Our steps with one and two processes on JSONL, the floor, and the usual way."""
    _read_all(data)
    _beside_the_floor(bench, data)
    one = bench.steps("one process, jsonl", data / "datasets-jsonl.cfg", "--system.processes", "1")
    two = bench.steps("two processes, jsonl", data / "datasets-jsonl.cfg", "--system.processes", "2")
    bench.steps("two processes, jsonl", data / "datasets-jsonl.cfg", "--system.processes", "2")  # twice, as of srsly
    usual = _usual_way(bench, data)
    _read_all(data)
    ours = sum(bench.results[f"two processes, jsonl: {step}"]["seconds"] for step in STEPS)  # the quickest, as of srsly
    bench.expect("the srsly way / ours, two processes", usual / ours, at_least=16)
    bench.expect("corpus / all three steps, CPU, one process", one["corpus"].cpu / sum(one[step].cpu for step in STEPS))
    bench.expect("peak with two processes, MB", peak(two), at_most=500)
    bench.expect("peak with one process, MB", peak(one), at_most=250)


def compare_before(bench: Bench, data: Path, before: Path) -> None:
    """The steps in turn with those of an earlier checkout, on the same annotations, one process: medians of the ratios
    of their CPU seconds.
    """
    theirs = bench.folder / "before"  # with a config of its time
    words = ["python", "-m", "benchmarks.generate", str(theirs), "--tasks", str(bench.texts), "--format", "jsonl"]
    measure(words, folder=before)
    ratios: dict[str, list[float]] = {step: [] for step in STEPS} | {"all three steps": []}
    for _ in range(TURNS):
        now, then = (
            {step: found.cpu for step, found in steps.items()}
            for steps in (
                bench.steps("now", data / "datasets-jsonl.cfg", *_ONE, memory=False),
                bench.steps("before", theirs / "datasets-jsonl.cfg", *_ONE, memory=False, checkout=before),
            )
        )
        for step in STEPS:
            ratios[step].append(now[step] / then[step])
        ratios["all three steps"].append(sum(now.values()) / sum(then.values()))
    for name, at_most in {"pull": None, "merge": None, "corpus": 0.5, "all three steps": 0.7}.items():
        bench.expect(f"{name}: CPU seconds now / before", median(ratios[name]), at_most=at_most)


def real_texts(bench: Bench, folder: Path) -> None:
    """The same ratios for real texts, whatever they are."""
    real = Bench(bench.folder / "real", bench.texts)
    compare_exports(real, real.data("data", "--format", "jsonl", "--texts-from", folder.absolute()))
    bench.results |= {f"real texts: {name}": found for name, found in real.results.items()}
    bench.targets += [Target(f"real texts: {target.name}", target.value) for target in real.targets]


def _read_all(data: Path) -> None:
    for path in data.iterdir():
        path.read_bytes()


def _beside_the_floor(bench: Bench, data: Path) -> None:
    """Pull and merge with one process and with two, and the floor, in turn: medians of the ratios.

    Memory is not measured meanwhile: that would take time of one of the two cores. Two cores seldom do twice as much
    as one, since they share caches and memory; two independent processes at once show how much they can do.
    """
    ratios: dict[str, list[float]] = {"floor": [], "two": [], "cores": []}
    config = data / "datasets-jsonl.cfg"
    words = ("python", "-m", "benchmarks.baselines", "decode-jsonl", data)
    for _ in range(ROUNDS):
        floor = bench.one("floor: decode the exports once", *words, memory=False)
        both = bench.one("two floors at once", *words, "--copies", 2, memory=False)
        ratios["cores"].append(2 * floor.seconds / both.seconds)
        one, two = (
            seconds(
                bench.steps(name, config, "--system.processes", number, which=("pull", "merge"), memory=False),
                "pull", "merge",
            )
            for name, number in (("one process, jsonl", "1"), ("two processes, jsonl", "2"))
        )  # fmt: skip
        ratios["floor"].append(one / floor.seconds)
        ratios["two"].append(one / two)
    bench.one("floor: decode the exports once", *words)  # for its memory
    bench.expect("pull + merge, one process / floor", median(ratios["floor"]), at_most=2)
    bench.expect("pull + merge, one process / two processes", median(ratios["two"]), at_least=1.6)
    bench.expect("what two cores do here in the time of one", median(ratios["cores"]))


def _usual_way(bench: Bench, data: Path) -> float:
    """Seconds of the srsly way for all datasets, extrapolated linearly from those that fit into 20 GB; the quicker of
    two rounds.
    """
    few, more = 2, 10
    found = {}
    for datasets in (few, more) * 2:
        name = f"the srsly way, {datasets} datasets"
        words = ("python", "-m", "benchmarks.baselines", "srsly", data, "--datasets", datasets)
        bench.one(name, *words, stop_mb=_USUAL_MB)
        found[datasets] = bench.results[name]["seconds"]
    total = found[more] + (DATASETS - more) * (found[more] - found[few]) / (more - few)
    bench.results[f"the srsly way, {DATASETS} datasets, extrapolated linearly"] = {"seconds": round(total, 2)}
    return total


def same_bytes(bench: Bench, data: Path) -> None:
    """The same bytes for any number of processes and buckets, any order, either source."""
    for buckets in (1, 7, 64):
        bench.steps(f"{buckets} buckets", data / "datasets-sqlite.cfg", "--merge.buckets", str(buckets))
    shuffled = bench.data("shuffled", "--format", "jsonl", "--shuffle", 1)
    bench.steps("shuffled", shuffled / "datasets-jsonl.cfg")
    names = ["one process, jsonl", "two processes, jsonl", "one process, sqlite", "two processes, sqlite"]
    found = [bench.digests(name) for name in (*names, "1 buckets", "7 buckets", "64 buckets", "shuffled")]
    bench.expect("ways of eight that give other bytes", sum(one != found[0] for one in found), at_most=0)


def one_dataset(bench: Bench) -> None:
    """Pull one dataset as large as all others together, with one process and with two, in turn: medians of the ratios,
    from an export and from a database.
    """
    data = bench.data("single", "--datasets", 1, "--tasks", DATASETS * bench.texts)
    for kind in ("jsonl", "sqlite"):
        ratios = []
        for _ in range(FEW_ROUNDS):
            one, two = (
                bench.steps(name, data / f"datasets-{kind}.cfg", "--system.processes", n, which=("pull",))["pull"]
                for name, n in ((f"one dataset, {kind}, 1 process", "1"), (f"one dataset, {kind}, 2 processes", "2"))
            )
            ratios.append(one.seconds / two.seconds)
        bench.expect(f"pull of one dataset, {kind}: one process / two processes", median(ratios), at_least=1.6)
        bench.expect(f"pull of one dataset, {kind}: peak with two processes, MB", two.peak_mb, at_most=500)


def again(bench: Bench) -> None:
    """Again with nothing new, and with ten new answers in one dataset: medians."""
    shutil.rmtree(bench.folder / "growing", ignore_errors=True)
    data = bench.data("growing", "--format", "sqlite")
    config = data / "datasets-sqlite.cfg"
    ratios, added = [], []
    for _ in range(FEW_ROUNDS):
        first = seconds(bench.steps("the first time", config))
        nothing = seconds(bench.steps("the first time", config, again="nothing new"))
        measure(["python", "-m", "benchmarks.generate", str(data), "--add", "10"])
        ten = seconds(bench.steps("the first time", config, again="ten new answers"))
        ratios.append(nothing / first)
        added.append(ten)
    bench.expect("nothing new / the first time", median(ratios), at_most=0.15)
    bench.expect("ten new answers, seconds", median(added), at_most=6)


def growth(bench: Bench, data: Path) -> None:
    """Peak memory with more datasets, and with more texts."""
    peaks = {}
    for datasets in (5, 10, 20):
        config = data / f"{datasets}-datasets.cfg"
        generate.write_config(config, data, "jsonl", datasets)
        peaks[datasets] = peak(bench.steps(f"{datasets} datasets", config))
    largest, smallest = max(peaks.values()), min(peaks.values())
    bench.expect("peak of 5, 10, 20 datasets: largest / smallest", largest / smallest, at_most=1.1)
    more = bench.data("more", "--format", "jsonl", "--datasets", 5, "--tasks", 4 * bench.texts)
    found = peak(bench.steps("5 datasets, 4 times the texts", more / "datasets-jsonl.cfg"))
    bench.expect("peak with 4 times the texts / once", found / peaks[5], at_most=1.15)


def report(bench: Bench, scale: str) -> None:
    """Print the targets, and write all results."""
    table = Table("", "measured", "target", "", box=None)
    for target in bench.targets:
        bounds = (("≥", target.at_least), ("≤", target.at_most))
        wanted = " ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)
        mark = ("✔" if target.is_reached else "✘") if wanted else ""
        table.add_row(target.name, f"{target.value:g}", wanted, mark)
    bench.console.print(table)
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    versions = {name: version(name) for name in ("spacy", "msgspec", "srsly", "duckdb")}
    size = {"datasets": DATASETS, "texts": bench.texts}
    targets = [{**target._asdict(), "reached": target.is_reached} for target in bench.targets]
    found = {"machine": {"date": today, **machine(), **versions}, "size": size}
    path = write_results(scale, {**found, "targets": targets, "measured": bench.results})
    bench.console.print(f"✔ {path}")


def main() -> None:
    """Generate, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--folder", type=Path, required=True, help="for data and outputs; kept")
    parser.add_argument("--texts-from", type=Path, help="folder of real texts, to be measured too")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit, to compare with")
    args = parser.parse_args()
    bench = Bench(args.folder.absolute() / args.scale, SCALES[args.scale])
    data = bench.data("data")
    if args.before:
        compare_before(bench, data, args.before.absolute())
    compare_ways(bench, data)
    same_bytes(bench, data)
    if args.texts_from:
        real_texts(bench, args.texts_from)
    one_dataset(bench)
    again(bench)
    growth(bench, data)
    report(bench, args.scale)


if __name__ == "__main__":
    main()
