"""A small project in a folder, and its steps as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from docs.outputs import without_usage
from tests.prodigy import line, task, write_database

ROOT = Path(__file__).parent.parent
CONFIG = """
[paths]
prodigy = "prodigy.db"

[split]
dev = 0.2
test = 0.2

[datasets]

[datasets.org]
@readers = "labelwise.ProdigyDatabase.v1"
path = ${paths.prodigy}
dataset = "org_2024"
labels = ["ORG"]

[datasets.per]
@readers = "labelwise.ProdigyJsonl.v1"
path = "per.jsonl"
labels = ["PER"]
"""
TRAINING = '[nlp]\nlang = "en"\npipeline = []\n'
STEPS = {
    "pull": ["datasets.cfg", "annotations"],
    "merge": ["datasets.cfg", "annotations", "corpus"],
    "corpus": ["datasets.cfg", "training.cfg", "corpus"],
}


def run(folder, step, *options):
    """Run a step in a folder; with the project's modules, whatever the folder."""
    return subprocess.run(
        [sys.executable, "-m", f"scripts.{step}", *STEPS.get(step, []), *map(str, options)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf8",
    )  # fmt: skip


def succeed(folder, step, *options):
    """What a step says, on one line, without its duration and memory."""
    done = run(folder, step, *options)
    assert done.returncode == 0, done.stderr
    return " ".join(without_usage(done.stdout).split())


def fail(folder, step, *options):
    """The one line a step says when it fails."""
    done = run(folder, step, *options)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("✘ ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def outputs(folder):
    """All files of annotations and corpus, but for the cache of what sources were like: how sure that is takes time."""
    files = (path for name in ("annotations", "corpus") for path in (folder / name).rglob("*") if path.is_file())
    files = (path for path in files if path.name != ".fingerprints.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def make(folder, texts=100):
    """A config and two datasets."""
    found = [f"IBM hired Ada number {number} ." for number in range(texts)]
    write_database(
        folder / "prodigy.db",
        {"org_2024": [task(text, [(0, 3, "ORG")]) for text in found], "org_2023": []},
        sessions={"org_2024-ada": "org_2024"},
    )
    (folder / "per.jsonl").write_text("\n".join(line(task(text, [(10, 13, "PER")])) for text in found))
    (folder / "datasets.cfg").write_text(CONFIG)
    (folder / "training.cfg").write_text(TRAINING)
    return folder
