"""What a machine does to a run: kills, full disks, second runs, writers and vanishing files. Nothing is harmed."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from docs.outputs import copy_project
from tests.prodigy import add_task, line, task
from tests.project import ROOT, STEPS, fail, make, outputs, succeed

KILLS = int(os.environ.get("LABELWISE_KILLS", "3"))


def start(folder, step, *options):
    """A step in the background, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"scripts.{step}", *STEPS.get(step, []), *options],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        start_new_session=True, encoding="utf8",
    )  # fmt: skip


def visible(folder):
    return {name: content for name, content in outputs(folder).items() if "/." not in name}


def leftovers(folder):
    return [path for name in ("annotations", "corpus") for path in (folder / name).rglob(".tmp-*")]


def more_answers(folder):
    """Another state of the sources, in which every step has something to do."""
    with (folder / "per.jsonl").open("a") as file:
        file.writelines(f"\n{line(task(f'Eve met {n} people'))}" for n in range(500))


@pytest.fixture(scope="module")
def two_states(tmp_path_factory):
    """A project before and after more was annotated, and what the steps made of it, undisturbed."""
    folder = make(tmp_path_factory.mktemp("faults"), texts=1500)
    states = []
    for change in (lambda _: None, more_answers):
        change(folder)
        for step in STEPS:
            succeed(folder, step)
        states.append(((folder / "per.jsonl").read_bytes(), visible(folder)))
    return folder, states


@pytest.mark.parametrize("seed", range(KILLS))
def test_a_kill_at_any_moment_harms_nothing_and_the_next_run_completes(seed, two_states):
    folder, states = two_states
    rng = random.Random(seed)
    source, expected = states[seed % 2]
    before = visible(folder)
    (folder / "per.jsonl").write_bytes(source)
    victim = rng.choice(list(STEPS))
    for step in STEPS:
        if step == victim:
            _kill(start(folder, step), rng.uniform(0, 2 if step == "corpus" else 0.8), whole_group=rng.random() < 0.5)
            after = visible(folder)
            assert all(content in (before.get(name), expected.get(name)) for name, content in after.items())
        succeed(folder, step)
    assert visible(folder) == expected
    assert not leftovers(folder)


def _kill(process, after, whole_group):
    time.sleep(after)
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
        _wait_for_workers(process.pid)
    process.communicate()


def _wait_for_workers(group):
    """Workers whose parent was killed end by themselves."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        alive = [
            stat
            for stat in Path("/proc").glob("[0-9]*/stat")
            if (fields := _fields(stat)) and fields[2] == str(group) and fields[0] != "Z"
        ]
        if not alive:
            return
        time.sleep(0.05)
    raise AssertionError(f"still at work: {alive}")


def _fields(stat):
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


# Ctrl-C reaches all processes of a terminal; `kill` and a cluster's scheduler end the step's own.


@pytest.mark.parametrize("seed", range(KILLS))
def test_ctrl_c_at_any_moment_is_one_line_and_harms_nothing(seed, two_states):
    """While modules are imported too, from the first one of ours on."""
    folder, states = two_states
    rng = random.Random(f"stop {seed}")
    source, expected = states[seed % 2]
    (folder / "per.jsonl").write_bytes(source)
    victim, number = rng.choice(list(STEPS)), signal.SIGTERM if seed % 4 == 3 else signal.SIGINT
    for step in STEPS:
        before = visible(folder)
        if step == victim:
            said, code = _stop(start(folder, step), number, rng.uniform(0, 2.5 if step == "corpus" else 1.2))
            after = visible(folder)
            assert not leftovers(folder)
            assert all(content in (before.get(name), expected.get(name)) for name, content in after.items())
            if code:
                _is_the_one_line(said, code, step, number)
                assert after == before or "previous outputs are unchanged" not in said
        succeed(folder, step)
    assert visible(folder) == expected


def test_ctrl_c_in_code_that_is_made_from_a_string_ends_with_the_code_of_a_signal(tmp_path):
    """As in `namedtuple`: there Python remembers a KeyboardInterrupt, and ends itself by the signal at its exit."""
    step = """
        import os, signal
        from scripts.core.errors import run_step
        run_step(lambda: eval("os.kill(os.getpid(), signal.SIGINT)"))
    """
    (tmp_path / "step.py").write_text(textwrap.dedent(step))
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "step"], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, encoding="utf8"
    )
    _is_the_one_line(done.stderr, done.returncode, "step", signal.SIGINT)


def _stop(process, number, after):
    """Stop a step some seconds after it has its handler of signals. RETURNS: What it says on stderr, and its code."""
    _wait_for_step(process.pid)
    time.sleep(after)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, said = process.communicate(timeout=30)
    _wait_for_workers(process.pid)
    return said, process.returncode


def _wait_for_step(process):
    """Until it handles SIGTERM, which Python itself does not."""
    caught = 0
    while not caught & 1 << signal.SIGTERM - 1:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        caught = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 1 << 14)


def _is_the_one_line(said, code, step, number):
    assert code == 128 + number
    assert re.fullmatch(rf"✘ stopped; .*\. To go on: weasel run {step}.*\n", said), said


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_is_one_line_and_harms_nothing(number, tmp_path):
    folder = make(tmp_path, texts=6000)
    options = {"merge": ["--merge.buckets", "8"]}
    for step in STEPS:
        before = visible(folder)
        process = start(folder, step, "--system.processes", "2", *options.get(step, []))
        os.kill(_first_worker(process), number)
        _, said = process.communicate()
        assert (process.returncode, said.count("\n")) == (1, 1), said
        assert said.startswith("✘ a worker process was killed")
        assert visible(folder) == before
        assert not leftovers(folder)
        succeed(folder, step)


def _first_worker(process):
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (children := found.read_text().split()):
        assert process.poll() is None
    return int(children[0])


def test_ctrl_c_while_workers_train_leaves_no_process_and_no_model(tmp_path):
    """Several seeds at a time: in the workers, which import, train and save."""
    folder = make(tmp_path)
    config = (ROOT / "configs/ner.cfg").read_text()
    (folder / "training.cfg").write_text(re.sub(r"(?m)^max_steps = .*", "max_steps = 100000", config))
    for step in STEPS:
        succeed(folder, step)
    for after in (0, 0.5, 2):
        command = ["train", "training.cfg", "--output", "training/ner", "--seeds", "2"]
        process = start(folder, *command)
        while not list(folder.glob("training/ner/seed-*/train.log")):
            assert process.poll() is None, process.stderr.read()
        said, code = _stop(process, signal.SIGINT, after)
        _is_the_one_line(said, code, "train . --vars.seeds 2 --force; training starts anew", signal.SIGINT)
        assert not [path for path in folder.rglob("*") if path.name.startswith((".tmp-", "model-"))]
        shutil.rmtree(folder / "training")


def test_ctrl_c_reaches_a_step_that_weasel_runs(tmp_path):
    """With the step's line, and no process left."""
    folder = copy_project(tmp_path)
    make(folder, texts=3000)
    (folder / "configs/datasets.cfg").write_text((folder / "datasets.cfg").read_text())
    for after in (0, 0.3, 0.6):
        process = subprocess.Popen(
            [sys.executable, "-m", "weasel", "run", "pull"], cwd=folder, start_new_session=True, encoding="utf8",
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        step = _first_worker(process)
        _wait_for_step(step)
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
        _wait_for_workers(process.pid)
        assert "Traceback" not in said
        if (folder / "assets/annotations/manifest.json").exists():
            assert after  # the machine was quicker
            break
        assert process.returncode
        assert "✘ stopped; previous outputs are unchanged. To go on: weasel run pull\n" in said


@pytest.mark.parametrize("step", STEPS)
def test_a_second_run_at_once_is_an_error(step, tmp_path):
    folder = make(tmp_path, texts=300)
    for name in STEPS:
        succeed(folder, name)
    before = visible(folder)
    where = folder / STEPS[step][-1]
    with _locked(where):
        assert f"{where.name}: another run is at work there" in fail(folder, step)
    assert visible(folder) == before


def test_nothing_is_merged_while_something_is_pulled(tmp_path):
    folder = make(tmp_path)
    succeed(folder, "pull")
    with _locked(folder / "annotations"):
        assert "annotations: another run is at work there" in fail(folder, "merge")


@contextmanager
def _locked(folder):
    """Another process holds the folder."""
    code = f"from scripts.core.files import *\nwith exclusive(Path({str(folder)!r})): print(flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf8"
    )
    holder.stdout.readline()
    try:
        yield
    finally:
        holder.communicate("\n")


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own with 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_is_an_error_and_harms_nothing(step, small_disk):
    folder = make(small_disk, texts=200)
    for name in STEPS:
        succeed(folder, name)
    more_answers(folder)
    for name in list(STEPS)[: list(STEPS).index(step)]:
        succeed(folder, name)
    before = visible(folder)
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    (folder / "filler").write_bytes(b"x" * max(0, free - 12 * 1024))
    assert "the disk is full; previous outputs are unchanged" in fail(folder, step)
    assert visible(folder) == before
    (folder / "filler").unlink()
    succeed(folder, step)
    assert not leftovers(folder)


@pytest.mark.parametrize("step", STEPS)
def test_a_folder_that_cannot_be_written_is_an_error(step, small_disk):
    folder = make(small_disk, texts=50)
    for name in STEPS:
        succeed(folder, name)
    before = visible(folder)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    assert "Read-only file system" in fail(folder, step)
    assert visible(folder) == before


def test_a_prodigy_that_writes_while_we_read_is_seen_as_it_was_at_one_moment(tmp_path):
    folder = make(tmp_path, texts=300)
    with closing(sqlite3.connect(folder / "prodigy.db")) as prodigy:
        prodigy.execute("PRAGMA journal_mode = WAL")
        prodigy.execute("PRAGMA wal_autocheckpoint = 0")
        dataset = prodigy.execute("SELECT id FROM dataset WHERE name = 'org_2024'").fetchone()[0]
        _annotate(prodigy, dataset, 0)
        reader = start(folder, "pull")
        added = 1
        while reader.poll() is None:
            _annotate(prodigy, dataset, added)
            added += 1
        assert reader.returncode == 0, reader.stderr.read()
        records = json.loads((folder / "annotations/manifest.json").read_text())["datasets"]["org"]["records"]
        assert 301 <= records["kept"] <= 300 + added  # what is only in the write-ahead log is seen
        succeed(folder, "pull")
        records = json.loads((folder / "annotations/manifest.json").read_text())["datasets"]["org"]["records"]
        assert records["kept"] == 300 + added


def _annotate(prodigy, dataset, number):
    add_task(prodigy, [dataset], task(f"A new text, number {number}"))
    prodigy.commit()


def test_a_source_that_vanishes_midway_is_named_and_harms_nothing(tmp_path):
    folder = make(tmp_path, texts=50)
    (folder / "brat").mkdir()
    for number in range(4000):
        (folder / "brat" / f"{number:04}.txt").write_text("IBM sells.")
        (folder / "brat" / f"{number:04}.ann").write_text("T1\tORG 0 3\tIBM\n")
    with (folder / "datasets.cfg").open("a") as config:
        config.write('[datasets.brat]\n@readers = "labelwise.Brat.v1"\npath = "brat"\nlabels = ["ORG"]\n')
    succeed(folder, "pull")
    before = visible(folder)
    for number in range(5):
        (folder / "brat" / "0000.ann").write_text("\n" * number)
        reader = start(folder, "pull")
        while reader.poll() is None and not list((folder / "annotations").glob(".tmp-*/brat.jsonl")):
            pass
        (folder / "brat").rename(folder / "gone")
        said = reader.communicate()[1]
        if reader.returncode:
            break
        (folder / "gone").rename(folder / "brat")  # the machine was quicker
        before = visible(folder)
    assert (reader.returncode, said.count("\n")) == (1, 1)
    assert "brat" in said
    assert visible(folder) == before
    assert "[datasets.brat] brat: no such folder" in fail(folder, "pull")
