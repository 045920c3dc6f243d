"""`import`: what is in files of whatever format, and the blocks that name it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.core import settings
from scripts.core.errors import UserError
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.sources.blocks import DatasetBlock, add_blocks, block_names, remove_blocks, slug
from scripts.sources.brat import Brat
from scripts.sources.importing import FoundDataset, find_datasets, make_blocks
from tests.prodigy import line, task, write_database
from tests.project import ROOT
from tests.servers import fill, temporary_database

CONFIG = """# The rules.
[paths]
prodigy = "old.db"

[merge]
# Little.
memory_mb = 128

# Where annotations are.
[datasets]

# The first one.
[datasets.old]
@readers = "labelwise.ProdigyJsonl.v1"
path = "old.jsonl"
# What was annotated.
labels = ["OLD"]

# How many at a time.
[system]
processes = 1

[datasets.older]
@readers = "labelwise.ProdigyJsonl.v1"
path = ${paths.prodigy}
labels = ["OLD"]
"""
DOCS = "T1\tPER 0 3\tAda\nT2\tLOC 7 11\tKöln\nT3\tPER 99 100\tx\n"


@pytest.fixture
def project(tmp_path):
    """A folder with a config, and annotations in a folder of brat's."""
    (tmp_path / "datasets.cfg").write_text(CONFIG)
    (tmp_path / "exports" / "the brat").mkdir(parents=True)
    (tmp_path / "exports" / "the brat" / "a.txt").write_text("Ada in Köln")
    (tmp_path / "exports" / "the brat" / "a.ann").write_text(DOCS)
    return tmp_path


def run(folder, *words, environment=None):
    return subprocess.run(
        [sys.executable, "-m", "scripts.import", "--config", "datasets.cfg", *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        capture_output=True, encoding="utf8",
    )  # fmt: skip


def succeed(folder, *words, **fields):
    done = run(folder, *words, **fields)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def fail(folder, *words):
    before = (folder / "datasets.cfg").read_bytes()
    done = run(folder, *words)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert (folder / "datasets.cfg").read_bytes() == before
    return done.stderr


NEW = """
[datasets.the_brat_loc]
@readers = "labelwise.Brat.v1"
path = "exports/the brat"
labels = ["LOC"]

[datasets.the_brat_per]
@readers = "labelwise.Brat.v1"
path = "exports/the brat"
labels = ["PER"]
"""


def test_blocks_are_added_and_what_is_there_stays(project):
    said = succeed(project, "exports/the brat")
    assert "Read with labelwise.Brat.v1: 1 dataset dataset label spans texts with it of the brat LOC 1 1 1 " in said
    assert "the brat PER 1 1 1" in said
    assert "the brat 1 1 3 2 1 Skipped: 1 × offsets outside the text" in said
    assert "2 other blocks unchanged; --vars.write replace takes them out." in said
    assert "✔ datasets.cfg: 2 blocks, the_brat_loc to the_brat_per" in said
    assert (project / "datasets.cfg").read_text() == CONFIG + NEW
    assert list(settings.load(project / "datasets.cfg").datasets) == ["old", "older", "the_brat_loc", "the_brat_per"]


def test_blocks_can_replace_all_others(project):
    said = succeed(project, "exports/the brat", "--write", "replace")
    assert "other block" not in said
    rules = (
        CONFIG.partition("# The first one.")[0] + "# The first one.\n\n# How many at a time.\n[system]\nprocesses = 1\n"
    )
    assert (project / "datasets.cfg").read_text() == rules + NEW


def test_blocks_can_be_shown_only(project):
    said = succeed(project, "exports/the brat", "--write", "nothing")
    assert '[datasets.the_brat_loc] @readers = "labelwise.Brat.v1"' in said
    assert (project / "datasets.cfg").read_text() == CONFIG


def test_a_config_is_made_where_there_is_none(project):
    (project / "datasets.cfg").unlink()
    succeed(project, "exports/the brat")
    assert (project / "datasets.cfg").read_text() == "[datasets]\n" + NEW


def test_names_that_are_taken_are_an_error(project):
    succeed(project, "exports/the brat")
    assert "there is a [datasets.the_brat_loc] already" in fail(project, "exports/the brat")
    assert "Brat-2_loc" not in succeed(project, "exports/the brat", "--name", "Brat 2")
    assert block_names((project / "datasets.cfg").read_text())[-2:] == ["brat_2_loc", "brat_2_per"]


def test_options_of_the_reader_are_used_and_written(project):
    succeed(project, "exports/the brat", "--reader.annotator", "eve", "--reader.discontinuous=cover")
    loaded = settings.load(project / "datasets.cfg").datasets["the_brat_per"]
    assert (loaded.annotator, loaded.discontinuous, loaded.labels) == ("eve", "cover", ["PER"])
    assert "--reader.odd: there is no such setting; there is path, labels, without_spans, annotator, discon" in fail(
        project, "exports/the brat", "--reader.odd", "1"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere: no such file or folder; say with --vars.path where"),
        (["exports"], ""),
        (
            ["datasets.cfg"],
            "datasets.cfg: looks like no format that can be read; say which it is with --vars.format",
        ),
        (
            ["exports", "--format", "odd"],
            "--vars.format odd: there is no such format; there is brat, casxmi, conll",
        ),
        (["datasets.cfg", "--format", "doccano"], "datasets.cfg: no span that can be used is in it, read as doccano"),
        (["exports", "--format", "conll", "--reader.scheme", "odd"], "scheme = 'odd': must be one of auto"),
        (["exports", "odd"], "exports odd: no such file or folder"),
        (["postgresql://u:hush@h/d", "--format", "prodigyserver"], "never the URL itself"),
    ],
)
def test_what_cannot_be_imported_is_one_line(project, words, said):
    if said:
        assert said in fail(project, *words)
        assert "hush" not in fail(project, *words)
    else:
        succeed(project, *words)


def test_a_config_that_would_not_load_is_not_written(project):
    (project / "datasets.cfg").write_text(CONFIG + '\n[split]\ntest_datasets = ["old"]\n')
    assert "datasets.cfg: [split] test_datasets: no dataset 'old'" in fail(
        project, "exports/the brat", "--write", "replace"
    )
    assert [path.name for path in project.iterdir() if path.name.startswith(".")] == []


def test_every_dataset_of_a_prodigy_database_has_its_blocks(project):
    write_database(project / "prodigy.db", {
        "People 2024": [task("Ada met IBM", [(0, 3, "PER")])],
        "both": [task("Ada met IBM", [(0, 3, "PER"), (8, 11, "ORG")])],
        "nothing": [task("x")],
    }, sessions={"both-ada": "both"})  # fmt: skip
    succeed(project, "prodigy.db", "--write", "replace")
    loaded = settings.load(project / "datasets.cfg").datasets
    assert {name: (source.dataset, source.labels) for name, source in loaded.items()} == {
        "people_2024": ("People 2024", ["PER"]), "both_org": ("both", ["ORG"]), "both_per": ("both", ["PER"])
    }  # fmt: skip
    succeed(project, "prodigy.db", "--write", "replace", "--reader.dataset", "both")
    assert list(settings.load(project / "datasets.cfg").datasets) == ["both_org", "both_per"]


@pytest.mark.parametrize("system", ["postgresql", "mysql"])
def test_a_server_too(project, system):
    with temporary_database(system, "labelwise_import") as url:
        fill(url, {"people": [task("Ada", [(0, 3, "PER")])]})
        address = {"HERE_IT_IS": url.render_as_string(hide_password=False)}
        said = succeed(project, "HERE_IT_IS", "--format", "prodigyserver", environment=address)
    assert "people PER 1 1" in said
    assert (project / "datasets.cfg").read_text().endswith(
        '[datasets.people]\n@readers = "labelwise.ProdigyServer.v1"\nconnection = "HERE_IT_IS"\ndataset = "people"\n'
        'labels = ["PER"]\n'
    )  # fmt: skip


RECORDS = {
    "prodigyjsonl": line(task("Ada", [(0, 3, "PER")])),
    "doccano": json.dumps({"id": 1, "text": "Ada", "label": [[0, 3, "PER"]], "Comments": []}),
    "labelstudio": json.dumps([{"data": {"text": "Ada"}, "annotations": [
        {"result": [{"type": "labels", "value": {"start": 0, "end": 3, "labels": ["PER"]}}]}]}]),
    "conll": "Ada B-PER\nmet O\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("name", ["x.json", "x.txt", "x"])
def test_formats_are_recognized_by_what_is_in_them(kind, name, tmp_path):
    (tmp_path / name).write_text(RECORDS[kind])
    (found,) = find_datasets("", str(tmp_path / name), {})
    assert found.reader.split(".")[1].lower() == kind
    assert found.spans == found.texts == {"PER": 1}


def test_readers_of_training_data_are_no_formats():
    from scripts import functions  # noqa: F401 (registers them)

    assert all(reader.__module__.startswith("scripts.sources.") for reader in settings.readers().values())
    assert "labelwise.Brat.v1" in settings.readers()


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True), st.text())
def test_any_label_and_path_survive_the_config(tmp_path, labels, path):
    path = path.replace("\ud800", "")
    new = [
        DatasetBlock(f"b{n}", "labelwise.Doccano.v1", {"path": path, "labels": [label]})
        for n, label in enumerate(labels)
    ]
    try:
        (tmp_path / "datasets.cfg").write_text(add_blocks("", new), "utf8")
    except UnicodeEncodeError:
        return
    loaded = settings.load(tmp_path / "datasets.cfg").datasets
    assert [(source.path, source.labels) for source in loaded.values()] == [(path, [label]) for label in labels]


@given(st.lists(st.text(max_size=8), max_size=5))
def test_names_of_blocks_are_names_and_no_two_are_the_same(labels):
    part = FoundDataset("File name.x", "labelwise.Brat.v1", {}, spans=Counter(label for label in labels if label))
    names = [block.name for block in make_blocks([part, part], [])]
    assert len(names) == 2 * len(part.spans)
    assert len({name.casefold() for name in names}) == len(names)
    assert all(name == slug(name) for name in names)


def test_blocks_of_a_label_each_merge_into_what_one_with_all_gives(project, monkeypatch):
    succeed(project, "exports/the brat", "--write", "replace")
    gold = []
    monkeypatch.chdir(project)
    for name, sources in (("each", settings.load(project / "datasets.cfg").datasets),
                          ("all", {"all": Brat("exports/the brat", ["PER", "LOC"])})):  # fmt: skip
        manifest, _ = pull(sources, project / name, 1.0, 1)
        merge(manifest, project / name, project / f"{name}-corpus", "majority", Resources(128, 1))
        (found,) = map(json.loads, (project / f"{name}-corpus" / "gold.jsonl").read_text().splitlines())
        gold.append({key: value for key, value in found.items() if key != "sources"})
    assert gold[0] == gold[1]


def test_comments_above_a_section_that_stays_stay():
    config = "[a]\nx = 1\n# of b\n[datasets.b]\ny = 2\n\n# of c\n[c]\nz = 3\n# end\n[datasets.d]\nw = 1\n"
    assert remove_blocks(config) == "[a]\nx = 1\n# of b\n\n# of c\n[c]\nz = 3\n# end\n"
    with pytest.raises(UserError, match="there is a"):
        make_blocks([FoundDataset("A", "r", {}, spans=Counter(X=1))], ["a"])
