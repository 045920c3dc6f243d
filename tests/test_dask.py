"""pull and merge on a cluster of Dask: the same bytes as on one machine, whatever happens to workers and storage."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from benchmarks.generate import Size, generate
from scripts import settings
from scripts.annotations import manifest
from scripts.merging.merging import Resources
from tests.clusters import cluster, engine
from tests.prodigy import line, task
from tests.project import ROOT, STEPS, succeed

pytest.importorskip("distributed", reason="pip install -r requirements-dask.txt")
from scripts.engines.merging import merge_on
from scripts.engines.pulling import pull_on

KILLS = int(os.environ.get("LABELWISE_KILLS", "3"))
RESULTS = ("gold.jsonl", "conflicts.jsonl", "coverage.csv", "parts.jsonl", "lookalikes.jsonl")
PARTS = {"part_mb": 0.05}
IMPATIENT = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s"}  # to wait for a scheduler that is lost


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with datasets in either format, some of it unusable, and what one machine makes of it."""
    folder = tmp_path_factory.mktemp("dask") / "project"
    generate(folder, Size(datasets=4, tasks=150, kilobytes=3))
    blocks = [(folder / f"datasets-{kind}.cfg").read_text() for kind in ("sqlite", "jsonl")]
    blocks[1] = blocks[1].partition("[datasets]\n")[2].replace("[datasets.", "[datasets.again_")
    (folder / "datasets.cfg").write_text("".join(blocks))
    with (folder / "label_02.jsonl").open("ab") as file:
        file.write(b'\n{"text": "cut o\n \n{"text": "", "answer": "accept"}\n')
    for step in ("pull", "merge"):
        succeed(folder, step)
    (folder / "corpus").rename(folder / "expected")
    (folder / "annotations").rename(folder / "expected-annotations")
    return folder


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def folder(project, tmp_path):
    """A copy of the project, with the sources where they were."""
    for path in project.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def steps(folder, workers, **options):
    """What a run of both steps does, without their start; the options are the engine's."""
    name = f"file://{folder}/storage"
    values = {"@misc": "labelwise.Dask.v1", "storage": name, "scheduler": workers.address, **PARTS, **options}
    config = settings.load(folder / "datasets.cfg", {f"engine.{key}": value for key, value in values.items()})
    pulled = pull_on(config.engine, config.datasets, folder / "annotations", 0.2, False)
    resources = Resources(256, 1, config.merge.buckets or 64)
    merged = merge_on(
        config.engine, pulled.manifest, folder / "annotations", folder / "corpus", "majority", "keep", resources
    )
    return pulled, merged


def is_as_expected(folder):
    for name in RESULTS:
        assert (folder / "corpus" / name).read_bytes() == (folder / "expected" / name).read_bytes(), name
    one, other = (json.loads((folder / where / "merge.json").read_bytes()) for where in ("corpus", "expected"))
    for account in ("policy", "labels", "totals", "answers", "spans", "coverage"):
        assert one[account] == other[account], account
    return True


def shards(folder, kind):
    return sorted(folder.glob(f"storage/corpus/*/{kind}/*.jsonl"))


def test_same_bytes_and_the_same_account(folder, workers):
    options = engine(f"file://{folder}/storage", workers.address, **PARTS)
    assert "malformed JSON" in succeed(folder, "pull", *options)
    assert "150 texts" in succeed(folder, "merge", *options, "--merge.buckets", 64)
    assert is_as_expected(folder)
    runs = json.loads((folder / "storage/annotations/runs.json").read_bytes())["runs"]
    assert len(runs) > 4 * 8  # several of each dataset
    for kind in ("gold", "conflicts"):
        found = shards(folder, kind)
        assert len(found) == 64
        assert b"".join(path.read_bytes() for path in found) == (folder / f"expected/{kind}.jsonl").read_bytes()


def test_same_account_of_what_was_read(folder, workers):
    pulled, _ = steps(folder, workers)
    expected = manifest.load(folder / "expected-annotations").datasets
    for key in ("records", "spans", "reasons", "notes", "labels", "bytes", "file"):
        for name, entry in pulled.manifest.datasets.items():
            assert getattr(entry, key) == getattr(expected[name], key), (name, key)
    (listed,) = (folder / "expected-annotations/refused").iterdir()
    assert (folder / "annotations/refused" / listed.name).read_bytes() == listed.read_bytes()


def test_what_did_not_change_is_not_done_again(folder, workers):
    steps(folder, workers)
    runs = {path: path.stat().st_mtime_ns for path in folder.glob("storage/annotations/**/*.jsonl")}
    pulled, (_, is_new) = steps(folder, workers)
    assert (len(pulled.unchanged), is_new) == (8, False)
    shutil.copy(folder / "label_00.jsonl", folder / "grown.jsonl")
    with (folder / "grown.jsonl").open("a") as file:
        file.write(line(task("A text that is new.")) + "\n")
    config = (folder / "datasets.cfg").read_text()
    (folder / "datasets.cfg").unlink()
    (folder / "datasets.cfg").write_text(config.replace(f"{folder.resolve()}/label_00.jsonl", "grown.jsonl"))
    pulled, (merged, _) = steps(folder, workers)
    assert merged.totals["texts"] == 150
    assert {path: path.stat().st_mtime_ns for path in runs} == runs
    assert len(shards(folder, "gold")) == 64  # those of the other merge are gone
    assert not list(folder.glob("storage/**/.tmp-*"))


def test_workers_that_are_started_for_it(folder):
    options = engine(f"file://{folder}/storage", "", workers=1, memory_mb=400)
    succeed(folder, "pull", *options)
    succeed(folder, "merge", *options)
    assert is_as_expected(folder)


def test_results_can_stay_in_shards(folder, workers):
    (folder / "corpus").mkdir()
    (folder / "corpus/gold.jsonl").write_text("of an earlier merge")
    steps(folder, workers, fetch=False)
    assert not (folder / "corpus/gold.jsonl").exists()
    found = json.loads((folder / "corpus/shards.json").read_bytes())
    gold = b"".join((folder / "storage" / shard["name"]).read_bytes() for shard in found["gold"])
    assert gold == (folder / "expected/gold.jsonl").read_bytes()
    assert (folder / "corpus/coverage.csv").read_bytes() == (folder / "expected/coverage.csv").read_bytes()
    assert not steps(folder, workers, fetch=False)[1][1]
    assert steps(folder, workers)[1][1]
    assert is_as_expected(folder)


# What happens to workers


def test_workers_killed_while_they_merge_change_nothing(folder, workers):
    rng = random.Random(0)
    options = engine(f"file://{folder}/storage", workers.address, **PARTS)
    succeed(folder, "pull", *options)
    merge = _start(folder, "merge", *options, "--merge.buckets", 256)
    for kill in range(KILLS):
        _wait_for_shards(folder, merge, (kill + rng.random()) * 256 / (KILLS + 1))
        os.kill(_one_of(workers, rng), signal.SIGKILL)
    assert merge.wait(120) == 0, merge.stderr.read()
    assert is_as_expected(folder)
    for kind in ("gold", "conflicts"):
        assert len(shards(folder, kind)) == 256


def test_a_worker_that_hangs_is_done_without_and_may_come_back(folder, tmp_path_factory):
    patience = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "6s"}
    with cluster(tmp_path_factory.mktemp("slow"), env=patience) as workers:
        options = engine(f"file://{folder}/storage", workers.address, **PARTS)
        succeed(folder, "pull", *options)
        merge = _start(folder, "merge", *options, "--merge.buckets", 256)
        _wait_for_shards(folder, merge, 60)
        hanging = _one_of(workers, random.Random(0))
        os.kill(hanging, signal.SIGSTOP)
        assert merge.wait(120) == 0, merge.stderr.read()
        with suppress(ProcessLookupError):
            os.kill(hanging, signal.SIGCONT)
        assert is_as_expected(folder)
        assert len(shards(folder, "gold")) == 256


def test_a_lost_scheduler_is_said_and_the_next_run_goes_on(folder, tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("lost")) as workers:
        options = engine(f"file://{folder}/storage", workers.address, **PARTS)
        succeed(folder, "pull", *options)
        merge = _start(folder, "merge", *options, "--merge.buckets", 256)
        _wait_for_shards(folder, merge, 60)
        workers.scheduler.kill()
        said = merge.communicate(timeout=120)[1]
        assert (merge.returncode, said.count("\n")) == (1, 1), said
        assert f"the scheduler {workers.address} was lost; run again" in said
        assert not (folder / "corpus/gold.jsonl").exists()
        before = {path: path.stat().st_mtime_ns for path in shards(folder, "gold")}
        workers.start_scheduler(workers.port)
        workers.start_worker()
        succeed(folder, "merge", *options, "--merge.buckets", 256)
        assert is_as_expected(folder)
        again = [path for path, time in before.items() if path.stat().st_mtime_ns != time]
        assert len(again) <= 2  # a shard is not done before its account is written


def _start(folder, step, *options):
    return subprocess.Popen(
        [sys.executable, "-m", f"scripts.{step}", *STEPS[step], *map(str, options)], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | IMPATIENT,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf8",
    )  # fmt: skip


def _wait_for_shards(folder, merge, number):
    deadline = time.monotonic() + 120
    while len(shards(folder, "gold")) < number:
        assert merge.poll() is None, merge.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _one_of(workers, rng):
    deadline = time.monotonic() + 120
    while not (pids := workers.pids()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return rng.choice(pids)
