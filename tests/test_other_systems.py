"""pull, merge and corpus as on macOS and Windows: processes are spawned, and what only Linux has is not there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.project import ROOT, STEPS, make, outputs, succeed

# Python runs it at the start of each process.
SITE = """
import builtins, io, multiprocessing, os, pathlib, signal

get_context = multiprocessing.get_context
multiprocessing.get_context = lambda method=None: get_context("spawn")
multiprocessing.set_start_method("spawn")
for module, names in ((os, ("fork", "sched_getaffinity", "register_at_fork")), (signal, ("SIGHUP",))):
    for name in names:
        delattr(module, name)

open_file = io.open

def without_proc(file, *args, **kwargs):
    if str(file).startswith("/proc"):
        raise FileNotFoundError(2, "No such file or directory", file)
    return open_file(file, *args, **kwargs)

io.open = builtins.open = without_proc
print(os.getpid(), file=open_file(os.environ["STARTED"], "a"))
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What the steps make on this system."""
    folder = make(tmp_path_factory.mktemp("here"), texts=3000)
    for step in STEPS:
        succeed(folder, step)
    return folder


@pytest.mark.parametrize("processes", [1, 2])
def test_other_systems_make_the_same_bytes(processes, here, tmp_path):
    folder = make(tmp_path, texts=3000)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(SITE)
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}", "STARTED": str(tmp_path / "started"),
    }  # fmt: skip
    for step, arguments in STEPS.items():
        done = subprocess.run(
            [sys.executable, "-m", f"scripts.{step}", *arguments, "--system.processes", str(processes)],
            cwd=folder, env=environment, capture_output=True, encoding="utf8",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    started = len((tmp_path / "started").read_text().split())
    assert started == 3 if processes == 1 else started > 6  # each step has workers
    made, expected = outputs(folder), outputs(here)
    del made["annotations/manifest.json"], expected["annotations/manifest.json"]  # paths of the sources
    ours = {name: content for name, content in made.items() if not name.endswith("merge.json")}
    assert ours == {name: content for name, content in expected.items() if not name.endswith("merge.json")}
