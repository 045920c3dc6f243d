"""docs/extending.md: each example, as it is printed there, in a copy of the project."""

from __future__ import annotations

import csv
import json
import re

import pytest
import srsly

from docs.outputs import ROOT, copy_project
from tests.project import make
from tests.test_workflow import DATASETS, call, shorten

PAGE = (ROOT / "docs/extending.md").read_text("utf8")


def section(heading, page=PAGE):
    return re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)[1]


def block(heading, language, number=0, page=PAGE):
    """A fenced block of a section of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", section(heading, page), re.MULTILINE | re.DOTALL)[number]


def edit(project, heading):
    """Apply the diffs of a section, each to the file that is named above it."""
    for path, diff in re.findall(r"^`(\S+)`:|^```diff\n(.*?)^```$", section(heading), re.MULTILINE | re.DOTALL):
        if path:
            file = project / path
            continue
        lines = diff.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in f" {sign}") for sign in "-+")
        text = file.read_text("utf8")
        assert text.count(old) == 1
        file.write_text(text.replace(old, new), "utf8")


def printed(project, code):
    """What a script prints that is run in the project's folder."""
    (project / "check.py").write_text(code, "utf8")
    return call(project, "check")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy with all files of the page, and the settings that it shows."""
    folder = copy_project(tmp_path_factory.mktemp("extending") / "project")
    make(folder)
    flights = [f"Fly from [Oslo](city) to [New York](city) on day {number} ." for number in range(60)]
    (folder / "assets/flights.txt").write_text("\n".join(flights) + "\n", "utf8")
    config = (folder / "configs/datasets.cfg").read_text("utf8").partition("[datasets]")[0]
    config += "[datasets]\n" + DATASETS + block("A reader", "ini")
    (folder / "configs/datasets.cfg").write_text(config, "utf8")
    for path, code in re.findall(r"^`(scripts/[\w/]+\.py)`:\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        assert not (folder / path).exists()
        (folder / path).write_text(code, "utf8")
    call(folder, "scripts.pull", "configs/datasets.cfg", "assets/annotations")
    call(folder, "scripts.merge", "configs/datasets.cfg", "assets/annotations", "corpus")
    return folder


def test_a_reader(project):
    texts = [text for text in srsly.read_jsonl(project / "corpus/gold.jsonl") if "Fly" in text["text"]]
    assert len(texts) == 60
    for text in texts:
        assert text["covered"] == ["city"]
        assert [text["text"][span["start"] : span["end"]] for span in text["spans"]] == ["Oslo", "New York"]


def test_import_knows_the_reader_by_name_and_others_by_what_they_read(project):
    options = ["--config", "imported.cfg", "--write", "nothing"]
    shown = call(project, "scripts.import", "assets/flights.txt", "--format", "bracketed", *options)
    assert '@readers = "team.Bracketed.v1"' in shown
    task = {"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "PER"}], "answer": "accept"}
    (project / "assets/tasks.jsonl").write_text(json.dumps(task) + "\n", "utf8")
    assert '@readers = "labelwise.ProdigyJsonl.v1"' in call(project, "scripts.import", "assets/tasks.jsonl", *options)


def test_a_line_that_a_reader_finds_faulty_is_skipped_with_its_place(project):
    (project / "assets/broken.txt").write_text("to [Oslo](city)\nto [Oslo(city)\n", "utf8")
    options = ["--format", "bracketed", "--config", "imported.cfg", "--write", "nothing"]
    assert "a bracket is not closed" in call(project, "scripts.import", "assets/broken.txt", *options)


def test_a_step(project):
    path = project / "project.yml"
    path.write_text(path.read_text("utf8").replace("commands:\n", "commands:\n" + block("A step", "yaml"), 1), "utf8")
    assert "✔ corpus/frequent.csv: 4 entities" in call(project, "weasel", "run", "frequent")
    assert "Skipping" in call(project, "weasel", "run", "frequent")
    rows = list(csv.reader((project / "corpus/frequent.csv").open(encoding="utf8")))
    assert rows[0] == ["label", "entity", "count"]
    assert ["city", "New York", "60"] in rows
    call(project, "pytest", "-q", "-n", "0", "tests/test_project.py", "-k", "depends_on and frequent")


def test_a_component(project):
    with (project / "scripts/functions.py").open("a", encoding="utf8") as file:
        file.write(block("A component", "python", 1))
    config = project / "configs/ner.cfg"
    nlp, component = block("A component", "ini").split("\n\n")
    old, new = 'pipeline = ["label_heads"]', nlp.partition("\n")[2]
    config.write_text(
        config.read_text("utf8").replace(old, new).replace("[corpora]\n", component + "\n[corpora]\n"), "utf8"
    )
    shorten(config)
    call(project, "scripts.corpus", "configs/datasets.cfg", "configs/ner.cfg", "corpus")
    call(project, "weasel", "run", "train")
    call(project, "weasel", "run", "evaluate")
    meta = json.loads((project / "training/ner/seed-0/model-best/meta.json").read_text("utf8"))
    assert meta["pipeline"] == ["label_heads", "team_zip_codes"]
    check = (
        "import spacy; from scripts import functions; from spacy.tokens import Span; "
        "nlp = spacy.load('training/ner/seed-0/model-best'); doc = nlp.make_doc('12345 abc'); "
        "doc.ents = [Span(doc, 0, 1, 'ZipCode'), Span(doc, 1, 2, 'ZipCode')]; "
        "print(nlp.get_pipe('team_zip_codes')(doc).ents)"
    )
    assert printed(project, check) == "(12345,)\n"


def test_a_metric(project):
    """After the component's test, which leaves a run."""
    edit(project, "A metric")
    assert "F2" in call(project, "weasel", "run", "evaluate")
    call(project, "weasel", "run", "compare")
    assert "f2" in (project / "metrics/compare.csv").read_text("utf8").partition("\n")[0]
    check = "from scripts.scoring import runs; print(runs.frame('metrics')[['label', 'f2']])"
    assert "micro" in printed(project, check)


def test_a_notebook(project):
    code = block("In a notebook", "python", page=(ROOT / "docs/comparing.md").read_text("utf8"))
    code, plot, _ = code.partition("f.plot")
    assert plot
    assert "micro" in printed(project, code + "print(f)")


def test_a_merge_policy(project):
    edit(project, "A merge policy")
    line = 'between_annotators = "majority"'
    new = block("A merge policy", "ini").partition("\n")[2].strip()
    config = project / "configs/datasets.cfg"
    assert line in config.read_text("utf8")
    config.write_text(config.read_text("utf8").replace(line, new), "utf8")
    call(project, "scripts.merge", "configs/datasets.cfg", "assets/annotations", "corpus")
    check = (
        "from scripts.core.answers import Span; from scripts.merging.decide import *; "
        "one, both = Vote(None, (Span(0, 3, 'ORG'),)), Vote(None, (Span(0, 3, 'ORG'), Span(5, 9, 'ORG'))); "
        "print(decide([one, both, Vote(None, ())], 'two').spans == one.spans)"
    )
    assert printed(project, check) == "True\n"
