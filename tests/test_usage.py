"""The last line of a step: how long it took, and the peak memory of all its processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.outputs import without_usage
from scripts.core import usage
from tests.project import ROOT, make, run

LINE = r"(?:\d+\.\d s|\d+ min \d+ s|\d+ h \d+ min)(?:, ([\d,]+) MB(?: in (\d+) processes)?)?"
# 120 MB that workers share with their parent, 80 MB of each worker, and 60 MB of the parent once they are gone.
STEP = """
from scripts.core.errors import run_step
from scripts.core.workers import spread

shared = bytearray(b"x") * (120 * 2**20)


def work(item):
    own = bytearray(b"x") * (80 * 2**20)
    return len(own) + shared[item]


def main():
    if {processes} > 1:
        assert len(list(spread(work, range(8), {processes}, ""))) == 8
    later = bytearray(b"x") * (60 * 2**20)


run_step(main)
"""


def last_line(code):
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf8"
    )
    assert done.returncode == 0, done.stderr
    return re.fullmatch(LINE, done.stdout.splitlines()[-1])


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux tells what processes share")
def test_memory_is_that_of_all_processes_and_what_they_share_counts_once():
    alone = last_line(STEP.format(processes=1))
    assert alone[2] is None
    base = int(alone[1]) - 180
    assert 0 < base < 120  # Python and its modules
    together = last_line(STEP.format(processes=3))
    assert int(together[2]) in (3, 4)  # the step's, and workers as far as there was work for them
    workers = int(together[2]) - 1
    assert int(together[1]) == pytest.approx(base + 120 + 80 * workers, rel=0.1)


def test_memory_of_a_large_program_that_starts_a_step_is_not_the_step_s():
    large = f"x = bytearray(b'x') * {400 * 2**20}; import os, sys; os.execv(sys.executable, ['python', '-c', STEP])"
    found = last_line(large.replace("STEP", repr("from scripts.core.errors import run_step; run_step(lambda: None)")))
    assert int(found[1]) < 200


def test_each_step_says_it_in_its_last_line_and_only_when_it_is_done(tmp_path):
    make(tmp_path, 60)
    for step in ("pull", "merge", "corpus"):
        done = run(tmp_path, step)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(LINE, done.stdout.splitlines()[-1])
        assert done.stdout.splitlines()[-2].startswith("✔ ")
    (tmp_path / "prodigy.db").unlink()
    assert " s," not in run(tmp_path, "pull").stdout


def test_where_the_system_tells_no_memory_the_duration_stands_alone(monkeypatch):
    monkeypatch.setattr(usage, "resource", None)
    monkeypatch.setattr(usage, "_read_kb", lambda *_: 0)
    monkeypatch.setattr(usage._Usage, "peak_mb", 0.0)
    assert re.fullmatch(r"[\d.]+ (s|min \d+ s)", usage.report())


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (125.4, "2 min 5 s"), (3600 * 2 + 305, "2 h 5 min")]
)
def test_durations_are_in_units_that_one_reads_at_a_glance(seconds, shown):
    assert usage._duration(seconds) == shown


def test_the_docs_show_output_without_it():
    printed = "dataset  texts\norg  2.6 s\n✔ corpus: 3 shards\n2.6 s, 1,412 MB in 3 processes\n"
    assert without_usage(printed) == "dataset  texts\norg  2.6 s\n✔ corpus: 3 shards\n"
    assert without_usage("✔ a\n1.0 s, 40 MB\n✔ b\n12 min 5 s\n") == "✔ a\n✔ b\n"
