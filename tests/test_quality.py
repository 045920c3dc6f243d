"""`.ci/quality`, which a pull request calls: the run that a branch adds, beside the newest run of its target."""

import subprocess

import pytest
import srsly
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner

from docs.outputs import copy_project
from tests.project import ROOT
from tests.runs import counted, made, write

BEFORE = made("ner", "a", 1, counted({"ORG": 700, "PER": 500}, (0,), 1500, 1000))
WORSE = made("ner", "b", 2, counted({"ORG": 500, "PER": 500}, (0,), 1500, 1000))
SAME = made("ner", "c", 3, counted({"ORG": 700, "PER": 500}, (0,), 1500, 1000))


def git(folder, *arguments):
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@localhost")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def branch(tmp_path):
    """A project whose branch `target` has one run, on a branch of its own. A function that calls the script."""
    project = copy_project(tmp_path / "project")
    write(project, BEFORE)
    git(project, "init", "--initial-branch", "target")
    git(project, "add", ".")
    git(project, "commit", "--message", "A run")
    git(project, "switch", "--create", "branch")

    def quality(*runs, target="target"):
        write(project, *runs)
        done = subprocess.run([".ci/quality", target], cwd=project, capture_output=True, encoding="utf8")
        path = project / "metrics/compare.md"
        return done, path.read_text("utf8") if path.exists() else ""

    return quality


def test_a_branch_that_makes_a_label_worse_fails_and_says_which(branch):
    done, comment = branch(WORSE)
    assert done.returncode == 1
    assert "✘ ORG: F 0.823 → 0.666" in done.stdout
    assert comment.startswith("### `ner-bbbbbbbb` compared with `ner-aaaaaaaa`")
    assert "- **ORG**: F 0.823 → 0.666" in comment


def test_a_branch_whose_run_is_as_good_passes(branch):
    done, comment = branch(SAME)
    assert done.returncode == 0, done.stderr
    assert "✔ It passes the gate." in comment


def test_a_branch_without_a_run_has_nothing_to_compare(branch):
    done, comment = branch()
    assert done.returncode == 0, done.stderr
    assert comment == "This branch has no new run in `metrics/`: nothing to compare.\n"


def test_a_target_without_runs_leaves_the_floors(branch, tmp_path):
    git(tmp_path / "project", "switch", "--orphan", "empty")
    git(tmp_path / "project", "commit", "--allow-empty", "--message", "Nothing")
    git(tmp_path / "project", "switch", "branch")
    done, comment = branch(target="empty")
    assert done.returncode == 0, done.stderr
    assert "There is one run, and nothing to compare it with yet." in comment


def test_a_target_that_is_not_there_fails(branch):
    done, _ = branch(target="origin/nowhere")
    assert done.returncode == 1
    assert done.stderr == "✘ origin/nowhere: no such branch\n"


def test_the_workflows_are_valid_and_call_scripts_that_are_there():
    paths = sorted((ROOT / ".github/workflows").glob("*.yml"))
    found = CliRunner().invoke(check_jsonschema, ["--builtin-schema", "vendor.github-workflows", *map(str, paths)])
    assert found.exit_code == 0, found.output
    steps = [step for path in paths for job in srsly.read_yaml(path)["jobs"].values() for step in job["steps"]]
    called = [step["run"].split()[0] for step in steps if step.get("run", "").startswith(".ci/")]
    assert sorted(called) == [".ci/quality", ".ci/run"]
    assert all((ROOT / path).is_file() for path in called)
