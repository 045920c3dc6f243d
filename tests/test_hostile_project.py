"""Private texts with a secret, and labels that a terminal, a spreadsheet or a shell would obey, through all steps."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import stat
import subprocess
import sys
import unicodedata
import zipfile

import pytest

from docs.outputs import copy_project
from scripts.checking.coverage import read_matrix
from scripts.core.errors import visible
from scripts.core.files import as_cell, of_cell
from scripts.exporting.mlflow import name_of
from scripts.scoring import counts
from tests.prodigy import task, write_database
from tests.project import ROOT, make, succeed
from tests.project import STEPS as STEPS_OF_DATA

SECRETS = [f"XQ{7_310_945_206 + 11_111 * number}" for number in range(20)]
ODD = "=1+1\x1b[31m\u202e$(x) ${y}"
DASH = "-"
HEADINGS = re.compile(r"\x1b\[[01]m|\r(\x1b\[2K)?")  # of weasel and spaCy, and the progress of spaCy's debug data
TEXTS = [f"IBM hired Ada number {number} ." for number in range(120)]
TEXTS += [f"IBM paid Ada from account {secret} ." for secret in SECRETS]
STEPS = (
    "suspects", "debug", "compare", "next", "report", "export --vars.format prodigy",
    "export --vars.format brat", "export --vars.format docbin", "package",
)  # fmt: skip


def call(project, *command):
    environment = os.environ | {"ANSI_COLORS_DISABLED": "1"}
    done = subprocess.run([sys.executable, "-m", *command], cwd=project, env=environment, capture_output=True)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said[-3000:]
    return said


def shorten(config):
    text = config.read_text("utf8")
    for key in ("max_steps", "eval_frequency"):
        text = re.sub(rf"^{key} = .*", f"{key} = 10", text, flags=re.MULTILINE)
    config.write_text(text, "utf8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy whose annotations nobody else may read, with all that the steps make of them; what was said."""
    folder = copy_project(tmp_path_factory.mktemp("hostile") / "project")
    subprocess.run(["git", "init", "-q", folder], check=True)
    write_database(folder / "people.db", {
        "org": [task(text, [(0, 3, "ORG")], _annotator_id="eve\x1b[2J") for text in TEXTS],
        "odd": [task(text, [(0, 3, ODD)] if n % 2 else []) for n, text in enumerate(TEXTS)],
        "dash": [task(text, [(text.index("Ada"), text.index("Ada") + 3, DASH)]) for text in TEXTS[:100]],
    })  # fmt: skip
    (folder / "people.db").chmod(0o600)
    before = {path for path in folder.rglob("*") if path.is_file()}
    said = [call(folder, "scripts.import", "people.db", "--write", "replace", "--config", "configs/datasets.cfg")]
    config = (folder / "configs/datasets.cfg").read_text("utf8")
    few = re.sub(r"\[suspects\][^\[]*", "[suspects]\nfolds = 2\nmodels = 1\nsteps = 5\n\n", config)
    (folder / "configs/datasets.cfg").write_text(few, "utf8")
    for name in ("ner", "ner_transition"):
        shorten(folder / f"configs/{name}.cfg")
    text = (folder / "project.yml").read_text("utf8")
    (folder / "project.yml").write_text(text.replace("    - demo\n", "", 1), "utf8")
    said.append(call(folder, "weasel", "run", "all", ".", "--vars.seeds", "2"))
    said += [call(folder, "weasel", "run", *step.split()[:1], ".", *step.split()[1:]) for step in STEPS]
    where = ("configs/datasets.cfg", "configs/ner.cfg", "--models", "training/ner")
    said += [call(folder, "scripts.queue", *where, f"--label={label}", "--limit", "5") for label in (ODD, DASH)]
    hash_of = json.loads((folder / "corpus/gold.jsonl").read_text("utf8").splitlines()[-1])["_input_hash"]
    said.append(call(folder, "scripts.show", "--models", "training/ner", "--", str(hash_of)))
    made = {path for path in folder.rglob("*") if path.is_file()} - before
    made = {path for path in made if ".pycache" not in path.parts and ".git" not in path.parts}
    return folder, made, said


def members(path):
    """What a file holds: itself, unpacked, and the members of an archive."""
    content = path.read_bytes()
    yield content
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def holding(paths, words):
    found = {word.encode() for word in words} | {word.encode("utf-16-le") for word in words}
    return {path for path in paths if any(word in content for content in members(path) for word in found)}


def are_ignored(folder, paths):
    names = [str(path.relative_to(folder)) for path in paths]
    done = subprocess.run(["git", "check-ignore", *names], cwd=folder, capture_output=True, encoding="utf8")
    return {folder / name for name in done.stdout.splitlines()}


def test_files_with_texts_are_as_private_as_the_source(project):
    folder, made, _ = project
    rooms = ("assets/annotations", "corpus", "queues", "exports")
    shards = {path for path in made if path.suffix in (".spacy", ".npz")}
    texts = holding(made, ["IBM hired Ada number", *SECRETS]) | shards
    texts |= {path for path in made if str(path.relative_to(folder)).startswith(rooms) and path.name != ".lock"}
    assert {room for room in rooms if any(room in str(path) for path in texts)} == {*rooms}
    assert folder / "metrics/report.html" in texts
    assert {path: oct(path.stat().st_mode) for path in texts if stat.S_IMODE(path.stat().st_mode) & 0o077} == {}


def test_a_secret_of_a_text_is_nowhere_that_is_handed_on(project):
    folder, made, said = project
    gold = (folder / "corpus/gold.jsonl").read_text("utf8")
    assert all(secret in gold for secret in SECRETS)
    assert holding(made, SECRETS) >= {folder / "corpus/gold.jsonl", folder / "assets/annotations/org.jsonl"}
    handed = {path for path in made if path.is_relative_to(folder / "training")}
    handed |= {path for path in made if path.is_relative_to(folder / "packages")}
    handed |= {path for path in made if path.name.endswith((".log", ".lock")) or "configs" in path.parts}
    metrics = {path for path in made if path.is_relative_to(folder / "metrics")}
    handed |= {folder / "project.lock", folder / "metrics.json", *(metrics - are_ignored(folder, metrics))}
    kinds = {path.suffix for path in handed}
    assert {".whl", ".log", ".json", ".gz", ".csv", ".cfg"} <= kinds
    assert holding(handed, SECRETS) == set()
    assert not [line for line in "".join(said).splitlines() if any(secret in line for secret in SECRETS)]


def test_no_console_or_log_shows_what_a_terminal_obeys(project):
    _, made, said = project
    logs = [path.read_text("utf8") for path in made if path.suffix == ".log"]
    assert logs
    for text in (HEADINGS.sub("", text) for text in (*said, *logs)):
        odd = {c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t"}
        assert odd == set(), [line for line in text.splitlines() if odd & {*line}][:3]
    assert visible(ODD)[:9] in "".join(said)


def test_no_cell_is_run_by_a_spreadsheet_and_each_is_read_back(project):
    folder, made, _ = project
    files = [path for path in made if path.name.endswith((".csv", ".csv.gz")) and "training" not in path.parts]
    assert {path.name for path in files} == {"coverage.csv", "compare.csv", "counts.csv.gz"}
    for path in files:
        *_, content = members(path)
        rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
        assert not [cell for row in rows for cell in row if re.match(r"[=+@\t\r]|-(?![\d.])", cell)]
        assert {ODD, DASH, "ORG"} <= {of_cell(cell) for row in rows for cell in row}
    assert [row.label for row in read_matrix(folder / "corpus/coverage.csv").labels] == sorted([ODD, DASH, "ORG"])
    (path,) = (path for path in made if path.name == "counts.csv.gz")
    assert counts.load(path).labels == sorted([ODD, DASH, "ORG"])


@pytest.mark.parametrize(
    "text", ["=x", "+", "-", "@a", "\tx", "\rx", "'=x", "''-", "'", "'a", "", "x=", "\uff1dx", "1"]
)
def test_a_cell_gives_its_text_back(text):
    cell = as_cell(text)
    assert of_cell(cell) == text
    assert not re.match("[=+@\t\r\n\uff1d-]", cell)


def test_labels_keep_apart_in_the_names_of_mlflow():
    labels = [ODD, DASH, "..", ".", "a/b", "a*b", "a?b", "a_b", "O RG", "ß", "ORG", "$", "%"]
    names = [name_of(label) for label in labels]
    assert len({*names}) == len(labels)
    assert all(re.fullmatch(r"[\w\- ][\w\-. ]*", name) for name in names)
    assert name_of("O RG") == "O RG"


def test_an_error_shows_no_password_of_a_url():
    step = "def step(): raise UserError('at s3://me:hu/sh@h/d: no such file')"
    code = f"from scripts.core.errors import *\n{step}\nrun_step(step)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf8")
    assert done.stderr == "✘ at s3://me:***@h/d: no such file\n"


def modes(*places):
    made = [path for place in places for path in place.rglob("*") if path.is_file() and path.name != ".lock"]
    return {oct(stat.S_IMODE(path.stat().st_mode)) for path in made}


def test_outputs_follow_the_strictest_source_there_is_now(tmp_path):
    make(tmp_path)
    annotations, corpus = tmp_path / "annotations", tmp_path / "corpus"
    (tmp_path / "prodigy.db").chmod(0o640)
    (tmp_path / "per.jsonl").chmod(0o644)
    for step in STEPS_OF_DATA:
        succeed(tmp_path, step)
    assert modes(annotations, corpus) == {"0o640"}
    (tmp_path / "per.jsonl").chmod(0o604)  # not for the group, which the other is for
    succeed(tmp_path, "pull")
    assert (modes(annotations), modes(corpus)) == ({"0o600"}, {"0o640"})
    (tmp_path / "per.jsonl").chmod(0o644)
    succeed(tmp_path, "pull", "--fresh")
    assert modes(annotations) == {"0o600"}  # what was closed is not opened by itself


def test_all_that_is_printed_goes_through_one_console():
    for path in (ROOT / "scripts").rglob("*.py"):
        if path != ROOT / "scripts/core/errors.py":
            found = re.findall(r"(?m)(?<![\w.])(?:Console\(|print\().*", path.read_text("utf8"))
            assert [line for line in found if "entity.text" not in line and "doc.spans" not in line] == [], path
