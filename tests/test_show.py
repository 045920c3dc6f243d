"""show: a text by its hash, by a piece of it, or on standard input; all that is known about it on one screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from docs.outputs import without_usage
from scripts.core.texts import input_hash
from scripts.model.models import announce
from tests.prodigy import line, task
from tests.project import ROOT, TRAINING, succeed
from tests.scored import write_model

CONFIG = """
[merge]
contained = "keep"

[datasets]

[datasets.person]
@readers = "labelwise.ProdigyJsonl.v1"
path = "person.jsonl"
labels = ["PER"]

[datasets.person_correct]
@readers = "labelwise.ProdigyJsonl.v1"
path = "person_correct.jsonl"
labels = ["PER"]
corrects = ["person"]

[datasets.org]
@readers = "labelwise.ProdigyJsonl.v1"
path = "org.jsonl"
labels = ["ORG"]
"""
TEXT = "IBM hired Ada Lovelace ."
LONGER = f"{TEXT} She stayed for years ."


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("show")
    (folder / "datasets.cfg").write_text(CONFIG)
    (folder / "training.cfg").write_text(TRAINING)
    files = {
        "person": [task(TEXT, [(10, 13, "PER")]), task("Eve left .", [(0, 3, "PER")])],
        "person_correct": [task(TEXT, [(10, 22, "PER")], _timestamp=1_700_000_000, _session_id="person_correct-ana")],
        "org": [task(LONGER, [(0, 3, "ORG")])],
    }
    for name, tasks in files.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(line, tasks)))
    for step in ("pull", "merge"):
        succeed(folder, step)
    return folder


def show(folder, *arguments, text=None):
    options = ("--config", "datasets.cfg", "--training", "training.cfg", "--annotations", "annotations")
    return subprocess.run(
        [sys.executable, "-m", "scripts.show", *options, *map(str, arguments)], cwd=folder, input=text,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}, capture_output=True, encoding="utf8",
    )  # fmt: skip


@pytest.mark.parametrize("how", ["hash", "piece", "standard input"])
def test_all_about_one_text(how, project):
    arguments = {"hash": ["--", input_hash(TEXT)], "piece": ["hired Ada Lovelace ."], "standard input": []}[how]
    done = show(project, *arguments, text=f"{TEXT}\n" if how == "standard input" else "")
    assert done.returncode == 0, done.stderr
    if how == "piece":  # stands in two texts
        found = [each.split(maxsplit=1)[0] for each in without_usage(done.stdout).splitlines()]
        assert found == ["hash", *map(str, sorted(map(input_hash, (TEXT, LONGER))))]
        return
    said = done.stdout
    assert said.startswith(f"{TEXT}\n\nhash {input_hash(TEXT)}, {len(TEXT)} characters, split ")
    assert "person, 2025-01-01 00:00:00, person.jsonl:1: accept, replaced\n    Ada (PER 10–13)\n" in said
    assert "person_correct, ana, 2023-11-14 22:13:20, person_correct.jsonl:1: accept, kept" in said
    assert "PER   covered     Ada Lovelace 10–22" in said
    assert "ORG   not covered –" in said
    assert "Conflict: replacement, PER: corrected." in said
    assert f"Stands in 1 longer text: {input_hash(LONGER)}" in said


def test_a_split_by_other_settings_than_those_of_the_corpus_is_said_to_be_one(project, tmp_path):
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    wanted = ("--", input_hash(TEXT))
    assert "when the corpus was made" not in show(tmp_path, *wanted).stdout  # there is none
    (tmp_path / "training.cfg").write_text(TRAINING)
    succeed(tmp_path, "corpus", "--split.dev", 0.4, "--split.test", 0.2)
    said = " ".join(show(tmp_path, "--split.dev=0.4", "--split.test=0.3", *wanted).stdout.split())
    assert "⚠ [split] test was another when the corpus was made; make it again: weasel run corpus" in said
    assert "[split] dev" not in said
    assert "was another" not in show(tmp_path, "--split.dev=0.4", "--split.test=0.2", *wanted).stdout


def test_what_is_not_there_is_one_line_without_the_text(project):
    done = show(project, "no such Secret text")
    assert done.returncode == 1
    assert done.stderr.startswith("✘ no text of the gold has that piece of text")
    assert "Secret" not in done.stderr
    assert "the hash 12345" in show(project, "12345").stderr


def test_a_label_is_known_by_its_state(project):
    done = show(project, "--", input_hash("Eve left ."))
    assert "PER   covered     Eve 0–3" in done.stdout
    assert "ORG   not covered –" in done.stdout
    assert "Conflict" not in done.stdout


def test_a_model_that_is_not_of_these_labels_or_of_the_last_training_is_said_to_be_one(project, tmp_path):
    """As the demo's, while one's own is trained."""
    models = write_model(tmp_path / "ner", {"DOSE": ["IBM"]})
    announce([models / "seed-0"])
    said = show(project, "--models", models, "--", input_hash(TEXT)).stdout
    assert "⚠ " in said
    assert "model-best: is of the training before; the last one was stopped, or still runs" in said
    assert "model-best: knows no label of the corpus (ORG, PER): weasel run train" in said
    assert "DOSE" in said
    known = write_model(tmp_path / "known", {"ORG": ["IBM"]})
    said = show(project, "--models", known, "--", input_hash(TEXT)).stdout
    assert "⚠" not in said
    assert "Predictions of" in said
