"""The documented way, from a brat folder to one model and back: each command is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from scripts.core.answers import GoldText

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/brat-to-one-model.md"
# Prodigy cannot be installed here. What its db-in does is done by hand: rows in a database like its own.
PRODIGY = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.prodigy import SCHEMA, add_dataset, add_task
import sqlite3
command, name, path = sys.argv[1:]
assert command == "db-in"
file = Path.home() / ".prodigy" / "prodigy.db"
file.parent.mkdir(exist_ok=True)
is_new = not file.exists()
with sqlite3.connect(file) as database:
    if is_new:
        database.executescript(SCHEMA)
    dataset = add_dataset(database, name)
    for line in open(path, "rb"):
        add_task(database, [dataset], json.loads(line))
"""


@pytest.fixture(scope="module")
def project(shared_data, tmp_path_factory):
    """The project with the folder in it, a home, and programs that are called as in a shell; trained shortly."""
    folder = tmp_path_factory.mktemp("wlp") / "project"
    kept = shutil.ignore_patterns("__pycache__", "annotations")
    for name in ("project.yml", "README.md"):
        folder.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(shared_data / "brat-wlp", folder / "assets/brat", ignore=kept)
    config = (folder / "configs/ner.cfg").read_text("utf8")
    short = re.sub(r"^max_steps = .*", "max_steps = 10", config, flags=re.MULTILINE)
    (folder / "configs/ner.cfg").write_text(
        re.sub(r"^eval_frequency = .*", "eval_frequency = 10", short, flags=re.MULTILINE)
    )
    programs = folder.parent / "bin"
    programs.mkdir()
    (programs / "prodigy").write_text(PRODIGY)
    (programs / "weasel").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m weasel "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    (folder.parent / "home").mkdir()
    return folder


def shell(project, command):
    """What a block of commands says, on one line."""
    home, programs = project.parent / "home", project.parent / "bin"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=project, capture_output=True, encoding="utf8",
        env=os.environ | {"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return " ".join(done.stdout.split())


def gold(project):
    lines = (project / "corpus/gold.jsonl").read_bytes().splitlines()
    texts = [msgspec.json.decode(line, type=GoldText) for line in lines]
    return [msgspec.structs.replace(text, sources=[], meta={}) for text in texts]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_each_command_of_the_page_does_what_it_says(project):
    page = PAGE.read_text("utf8")
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    look, data, out, database, again, train, back = blocks
    assert "20 blocks, brat_action to brat_ph" in shell(project, look)
    block = re.search(r"```ini\n(.*?)```", page, re.DOTALL)[1]
    assert block in (project / "configs/datasets.cfg").read_text("utf8")

    said = shell(project, data)
    for number in ("12,001 of 12,060", "34 texts are equal to others", "603 texts"):
        assert number in said
    before = gold(project)
    assert len(before) == 603

    said = shell(project, out)
    shown = re.search(r"Texts: 603.*?spans\n", page, re.DOTALL)[0]
    assert " ".join(shown.split()) in said
    shell(project, database)

    shell(project, again)
    assert gold(project) == before
    labels = json.loads((project / "corpus/labels.json").read_bytes())
    assert len(labels) == 20

    shell(project, train)
    scores = json.loads((project / "metrics.json").read_bytes())
    assert set(labels) >= set(scores["labels"]) >= {"Action", "Reagent"}

    shell(project, back)
    found = {
        name: len(list((project / "exports/brat/all" / name).glob("*.ann"))) for name in ("complete", "incomplete")
    }
    for count in found.values():
        assert f"{count} " in page
    assert sum(found.values()) == 603
