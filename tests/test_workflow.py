"""`weasel run all` in a copy of the project: what runs again, and what is skipped, after each kind of change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
import srsly

from docs.outputs import copy_project
from tests.project import make

ALWAYS = {"pull", "evaluate", "compare", "next"}  # they must look each time
DATASETS = """
[datasets.org]
@readers = "labelwise.ProdigyDatabase.v1"
path = "prodigy.db"
dataset = "org_2024"
labels = ["ORG"]

[datasets.per]
@readers = "labelwise.ProdigyJsonl.v1"
path = "per.jsonl"
labels = ["PER"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy with two small datasets in place of the demo, trained for ten steps."""
    folder = copy_project(tmp_path_factory.mktemp("workflow") / "project")
    make(folder)
    config = (folder / "configs/datasets.cfg").read_text("utf8")
    settings = config.partition("[datasets]")[0]
    (folder / "configs/datasets.cfg").write_text(settings + "[datasets]\n" + DATASETS, "utf8")
    shorten(folder / "configs/ner.cfg")
    text = (folder / "project.yml").read_text("utf8")
    (folder / "project.yml").write_text(text.replace("    - demo\n", "", 1), "utf8")
    assert run_all(folder) == set()
    return folder


def shorten(config):
    text = config.read_text("utf8")
    for key in ("max_steps", "eval_frequency"):
        text = re.sub(rf"^{key} = .*", f"{key} = 10", text, flags=re.MULTILINE)
    config.write_text(text, "utf8")


def steps(project):
    return set(srsly.read_yaml(project / "project.yml")["workflows"]["all"])


def call(project, *command):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environment, capture_output=True, encoding="utf8"
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def run_all(project):
    """The steps that weasel skips."""
    return set(re.findall(r"Skipping '([\w-]+)'", call(project, "weasel", "run", "all")))


def edit(project, module):
    with (project / module).open("a", encoding="utf8") as file:
        file.write("# another version\n")


def test_a_second_run_skips_what_has_nothing_new(project):
    assert run_all(project) == steps(project) - ALWAYS


def records(project):
    """When the record of each run was written, by the name of its folder."""
    return {path.parent.name: path.stat().st_mtime_ns for path in project.glob("metrics/*/run.json")}


def test_a_run_that_git_took_away_is_scored_again_and_others_are_not(project):
    before = records(project)
    assert run_all(project) == steps(project) - ALWAYS
    assert records(project) == before
    (run,) = before
    shutil.rmtree(project / "metrics" / run)  # as a checkout of another branch does
    assert f"✔ metrics/{run}: " in call(project, "weasel", "run", "evaluate")
    assert list(records(project)) == [run]
    run_all(project)  # with its new time


def test_tests_and_steps_by_hand_make_nothing_run_again(project):
    call(project, "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "tests/test_offsets.py")
    call(project, "scripts.merge", "configs/datasets.cfg", "assets/annotations", "corpus")
    call(
        project,
        "scripts.evaluate",
        "--run",
        "ner",
        "--models",
        "training/ner",
        "--corpus",
        "corpus",
        "--output",
        "metrics",
    )
    assert run_all(project) == steps(project) - ALWAYS


def test_a_change_of_what_is_printed_does_not_train_again(project):
    edit(project, "scripts/reporting/console.py")
    skipped = run_all(project)
    assert "train" in skipped
    assert not {"merge", "report"} & skipped
    assert run_all(project) == steps(project) - ALWAYS


def test_a_change_of_the_page_only_makes_the_page_again(project):
    edit(project, "scripts/page/page.py")
    assert run_all(project) == steps(project) - ALWAYS - {"report"}


def test_a_change_of_the_model_trains_and_evaluates_again(project):
    edit(project, "scripts/model/label_heads.py")
    before = records(project)
    skipped = run_all(project)
    assert {"merge", "coverage"} <= skipped
    assert not {"train", "report"} & skipped
    assert len(records(project)) == len(before) + 1
    assert run_all(project) == steps(project) - ALWAYS


def test_what_was_pushed_is_pulled_by_a_colleague_with_the_same_inputs_and_not_made_again(project, tmp_path):
    remote = f"remotes:\n  default: {tmp_path / 'remote'}\n"
    run_all(project)
    made = ("annotations", "corpus", "training", "project.lock", "errors.jsonl.gz", ".pycache")
    for name in ("same", "other"):
        shutil.copytree(project, tmp_path / name, ignore=shutil.ignore_patterns(*made))
        (tmp_path / name / "metrics.json").unlink()
        with (tmp_path / name / "project.yml").open("a", encoding="utf8") as file:
            file.write(remote)
    pushed = call(project, "weasel", "push", str(tmp_path / "remote"))
    assert "model-best" in pushed
    with (tmp_path / "other/configs/datasets.cfg").open("a", encoding="utf8") as file:
        file.write("# an edit\n")
    call(tmp_path / "same", "weasel", "pull")
    assert (tmp_path / "same/corpus/gold.jsonl").read_bytes() == (project / "corpus/gold.jsonl").read_bytes()
    assert run_all(tmp_path / "same") >= {"merge", "corpus", "consistency", "coverage", "train"}
    assert "corpus" not in call(tmp_path / "other", "weasel", "pull")
    assert not list((tmp_path / "other").rglob("model-best"))


def test_a_config_of_one_s_own_makes_a_run_of_its_own_that_is_compared(project):
    before = {path.name for path in (project / "metrics").iterdir() if path.is_dir()}
    model = project / "training/ner/seed-0/model-best/config.cfg"
    (project / "configs/ours.cfg").write_text(
        re.sub(r"^max_steps = .*", "max_steps = 20", (project / "configs/ner.cfg").read_text("utf8"), flags=re.M),
        "utf8",
    )
    trained = model.stat().st_mtime_ns
    printed = call(project, "weasel", "run", "all", ".", "--vars.run", "ours")
    new = {path.name for path in (project / "metrics").iterdir() if path.is_dir()} - before
    assert [name.partition("-")[0] for name in new] == ["ours"]
    assert "training.max_steps 10 → 20" in " ".join(printed.split())
    assert model.stat().st_mtime_ns == trained
