"""README.md and docs/: they name what exists, and each command and example in them is run as it is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import msgspec
import pytest
import srsly

from docs.outputs import ROOT, TRAINED, commands, comparable, pages
from scripts.core.answers import GoldText

PAGE = ROOT / "docs/brat-to-one-model.md"
PROJECT = srsly.read_yaml(ROOT / "project.yml")
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


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_opens_with_its_purpose(page):
    title, blank, purpose, *_ = page.read_text("utf8").splitlines()
    assert title.startswith("# ")
    assert not blank
    assert re.match(r"(\*\*)?[A-Z]", purpose)
    assert len(purpose.split()) > 12


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_to_pages_and_headings(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("http"):
            continue
        path, _, heading = link.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.*)$", linked.read_text("utf8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings], link


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_commands_and_variables_exist(page):
    text = page.read_text("utf8")
    steps = {command["name"] for command in PROJECT["commands"]} | set(PROJECT["workflows"])
    extensions = set(re.findall(r"^  - name: ([\w-]+)", text, re.MULTILINE))
    assert set(re.findall(r"weasel run ([a-z][\w-]*)", text)) <= steps | extensions
    assert set(re.findall(r"--vars\.(\w+)", text)) <= set(PROJECT["vars"])


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_of_output_has_its_command(page):
    """A fence without a language is output. It follows a comment with its command, or one that names its test."""
    before = ""
    outputs = 0
    is_open = False
    for line in page.read_text("utf8").splitlines():
        if line.startswith("```"):
            is_open = not is_open
            if is_open and line == "```":
                assert before.endswith("-->")
                outputs += 1
        before = line
    compared = page.read_text("utf8").count("<!-- compared by tests/test_docs.py -->")
    assert outputs == len(commands(page)) + compared


def test_outputs_are_compared_with_times_masked():
    assert comparable("weasel run pull", "✔ 3 texts in 1.2 s") == comparable("weasel run pull", "✔ 3 texts in 4 s")
    assert comparable("weasel run pull", "✔ 3 texts") != comparable("weasel run pull", "✔ 4 texts")
    assert TRAINED.search("weasel run evaluate . --vars.run ner_small")
    assert comparable("weasel run next", "label F\nORG .8\n") == comparable("weasel run next", "label F\nORG .9\n")


def test_the_docs_name_every_setting_and_reader():
    settings = (ROOT / "docs/configuration.md").read_text("utf8")
    config = (ROOT / "configs/datasets.cfg").read_text("utf8").partition("[datasets]")[0]
    for name in re.findall(r"^(\w+) = ", config, re.MULTILINE):
        assert f"{name}`" in settings or name == "prodigy"
    sources = (ROOT / "docs/sources.md").read_text("utf8")
    for module in (ROOT / "scripts/sources").glob("[!_]*.py"):
        for reader in re.findall(r'registry\.readers\("([^"]+)"\)', module.read_text("utf8")):
            assert reader in sources


def test_the_readme_is_short_and_has_the_words_people_search_for():
    readme = re.sub(r"<!-- WEASEL: AUTO.*", "", (ROOT / "README.md").read_text("utf8"), flags=re.DOTALL)
    assert len(readme.split()) <= 1200
    for words in (
        "catastrophic forgetting",
        "partially annotated",
        "missing labels",
        "out of memory",
        "active learning",
    ):
        assert words in readme.lower()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in readme


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
    shutil.copytree(ROOT / "assets/vectors", folder / "assets/vectors", ignore=shutil.ignore_patterns("pipeline"))
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
    for number in ("12,001 of 12,060", "34 texts equal others", "603 texts"):
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
