"""The project as a template: every command is explained, tells all it depends on, and the README is current."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest
import srsly

from docs.outputs import copy_project
from tests.imports import ROOT, imported

PROJECT = srsly.read_yaml(ROOT / "project.yml")
COMMANDS = {command["name"]: command for command in PROJECT["commands"]}
VARS = {f"${{vars.{name}}}": str(value) for name, value in PROJECT["vars"].items()}
GENERATED = ("assets/", "corpus/", "training/", "metrics")


def filled(text):
    for name, value in VARS.items():
        text = text.replace(name, value)
    return text


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_a_script_and_outputs(name):
    command = COMMANDS[name]
    assert len(command["help"]) > 20
    assert command["script"]
    assert command.get("outputs") or name in ("clean", "show", "serve")


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_depends_on_is_there_or_is_made_before(name):
    made = set()
    for step in PROJECT["workflows"]["all"]:
        if step == name:
            break
        made |= {filled(output) for output in COMMANDS[step]["outputs"]}
    for dependency in map(filled, COMMANDS[name].get("deps", [])):
        is_ours = (ROOT / dependency).exists() and not dependency.startswith("corpus/")
        assert dependency in made or dependency in PROJECT["directories"] or is_ours


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not command.get("no_skip")])
def test_a_command_depends_on_every_room_it_runs(name):
    """A command that is never skipped needs no rooms: weasel does not compare its dependencies."""
    script = filled(" ".join(COMMANDS[name]["script"]))
    steps = [ROOT / f"scripts/{step}.py" for step in re.findall(r"-m scripts\.(\w+)", script)]
    steps += [ROOT / path for path in re.findall(r"--code (\S+)", script)]
    modules = {module.relative_to(ROOT / "scripts") for step in steps for module in imported(step)}
    needed = {f"scripts/{module.parts[0]}" for module in modules}
    assert {dependency for dependency in COMMANDS[name].get("deps", []) if dependency.startswith("scripts/")} == needed


LACKING = {
    "compare": "evaluate", "next": "merge", "suspects": "merge", "queue": "merge", "export": "merge", "show": "merge",
    "export-mlflow": "evaluate", "merge": "pull", "corpus": "merge", "consistency": "pull", "coverage": "pull",
    "debug": "corpus", "train": "corpus", "train-label": "corpus", "evaluate": "corpus", "report": "evaluate",
    "seed-variance": "corpus", "learning-curve": "corpus", "package": "train",
}  # fmt: skip


@pytest.fixture(scope="module")
def cloned(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("cloned"))


@pytest.mark.parametrize("name", LACKING)
def test_a_step_names_the_step_that_it_lacks(name, cloned):
    """It depends on no file that is made: weasel would guess, "Maybe you forgot to run […] a previous step"."""
    command = [sys.executable, "-m", "weasel", "run", name, ".", "--vars.label", "ORG", "--vars.format", "prodigy"]
    done = subprocess.run(command, cwd=cloned, capture_output=True, encoding="utf8")
    assert done.returncode
    said = done.stderr.splitlines()[0]
    assert said.startswith("✘ ")
    assert f"weasel run {LACKING[name]}" in said
    assert "Missing dependency" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_line_survives_every_shell(name):
    for line in COMMANDS[name]["script"]:
        assert line.startswith("python -m ")
        assert not set(line) & set("\"'|&;<>\\*")


def test_every_step_explains_itself():
    steps = sorted(path.stem for path in (ROOT / "scripts").glob("*.py") if "run_step(main)" in path.read_text("utf8"))
    assert {step.replace("_", "-") for step in steps} == set(COMMANDS)
    for step in steps:
        done = subprocess.run(
            [sys.executable, "-m", f"scripts.{step}", "--help"], cwd=ROOT, capture_output=True, encoding="utf8"
        )
        assert done.returncode == 0
        first_sentence = importlib.import_module(f"scripts.{step}").__doc__.split(",")[0]
        assert first_sentence in " ".join(done.stdout.split())


def test_the_readme_has_the_current_commands(tmp_path):
    """`weasel document --no-emoji --output README.md` replaces what is between its markers."""
    readme = (ROOT / "README.md").read_text("utf8")
    (tmp_path / "README.md").write_text(readme, "utf8")
    document = ["weasel", "document", "--no-emoji", "--output", str(tmp_path / "README.md"), str(ROOT)]
    subprocess.run([sys.executable, "-m", *document], check=True, capture_output=True)
    assert (tmp_path / "README.md").read_text("utf8") == readme


def test_every_step_is_short():
    for path in (ROOT / "scripts").glob("*.py"):
        if "run_step(main)" in path.read_text("utf8") and path.stem != "demo":
            assert len(path.read_text("utf8").splitlines()) <= 60


ROOMS = (
    "core", "sources", "merging", "building", "model", "scoring", "reporting", "checking", "suspecting", "exporting",
    "queueing", "page", "serving",
)  # fmt: skip


@pytest.mark.parametrize("path", sorted((ROOT / "scripts").rglob("*.py")), ids=lambda path: path.stem)
def test_imports_go_along_the_data(path):
    source = path.read_text("utf8")
    steps = "|".join(name.replace("-", "_") for name in COMMANDS)
    assert not re.search(rf"from scripts import ({steps})\b", source)
    if path.parent.name in ROOMS:
        later = "|".join([*ROOMS[ROOMS.index(path.parent.name) + 1 :], "engines"])
        assert not re.search(rf"^from scripts\.({later})\b", source, re.MULTILINE)
