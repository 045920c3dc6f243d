"""`import`: what is in files of whatever format, and the blocks that name it."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from docs.outputs import without_usage
from scripts.core import settings
from scripts.core.errors import plain_console
from scripts.core.settings import DatasetOptions, SplitSection
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.queueing.tasks import Queue, Request, print_way_back
from scripts.sources.blocks import (
    DatasetBlock,
    Proposal,
    add_blocks,
    block_names,
    remove_blocks,
    set_split,
    write_config,
)
from scripts.sources.brat import Brat
from scripts.sources.importing import FoundDataset, find_datasets, make_blocks
from scripts.sources.planning import plan_import
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
    return " ".join(without_usage(done.stdout).split())


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


def test_what_is_missing_is_added_and_nothing_twice(project):
    said = succeed(project, "exports/the brat")
    content = (project / "datasets.cfg").read_bytes()
    said = succeed(project, "./exports/the brat/", "--format", "brat")
    assert said.endswith("2 other blocks unchanged; --vars.write replace takes them out. "
                         "✔ datasets.cfg: no block added; 2 there already")  # fmt: skip
    assert (project / "datasets.cfg").read_bytes() == content
    with (project / "exports" / "the brat" / "a.ann").open("a") as file:
        file.write("T4\tORG 0 3\tAda\n")
    assert succeed(project, "exports/the brat").endswith("✔ datasets.cfg: 1 block, the_brat_org; 2 there already")
    added = NEW.partition("\n\n")[0].replace("_loc", "_org").replace("LOC", "ORG") + "\n"
    assert (project / "datasets.cfg").read_bytes() == content + added.encode()


def test_a_block_that_its_owner_has_changed_stays(project):
    changed = '# Eve annotated.\nannotator = "eve"\nlabels = [\n  "GPE",\n  "LOC"]\nrename = {"LOC": "X"}'
    theirs = CONFIG + NEW.replace("the_brat_per]", "people]").replace('labels = ["LOC"]', changed)
    theirs = theirs.replace("\n", "\r\n")
    (project / "datasets.cfg").write_bytes(("\ufeff" + theirs).encode())
    said = succeed(project, "exports/the brat")
    assert '⚠ the_brat_loc is there and stays as it is: annotator = "eve", not ""' in said
    assert said.endswith(
        "✔ datasets.cfg: no block added; 1 there already; 1 there with other settings, left as they are"
    )
    assert (project / "datasets.cfg").read_bytes() == ("\ufeff" + theirs).encode()
    with (project / "exports" / "the brat" / "a.ann").open("a") as file:
        file.write("T4\tORG 0 3\tAda\n")
    succeed(project, "exports/the brat")
    raw = (project / "datasets.cfg").read_bytes()
    assert raw.startswith(("\ufeff" + theirs).encode())
    assert raw.count(b"\n") == raw.count(b"\r\n")
    loaded = settings.load(project / "datasets.cfg")
    assert list(loaded.datasets) == ["old", "older", "the_brat_loc", "people", "the_brat_org"]


def test_the_name_of_a_block_of_another_source_is_taken(project):
    theirs = CONFIG + NEW.replace("[datasets.the_brat_loc]", "[datasets.The_brat_loc]").replace(
        "exports/the brat", "exports/another"
    )
    (project / "datasets.cfg").write_text(theirs)
    said = fail(project, "exports/the brat")
    assert (
        "datasets.cfg: no block added; 2 blocks not added, since their names are taken: [datasets.The_brat_loc] "
        in said
    )
    assert 'reads another source (path = "exports/another"). python -m scripts.import --name gives other names' in said
    with (project / "exports" / "the brat" / "a.ann").open("a") as file:
        file.write("T4\tORG 0 3\tAda\n")
    done = run(project, "exports/the brat")
    assert (done.returncode, done.stderr[:37]) == (1, "✘ datasets.cfg: 1 block, the_brat_org")
    assert (project / "datasets.cfg").read_text().startswith(theirs)
    assert "there already" not in succeed(project, "exports/the brat", "--name", "Brat 2")
    assert block_names((project / "datasets.cfg").read_text())[-3:] == ["brat_2_loc", "brat_2_org", "brat_2_per"]
    assert succeed(project, "exports/the brat", "--name", "Brat 2").endswith("no block added; 3 there already")


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
        (["postgresql://u:hush@h/d"], "never the URL itself"),
        (["https://u:hush@h/the", "file.jsonl"], "a URL is no path"),
        (["exports", "--reader.annotator=x", "--reader.path", "s3://u:hush@h/d"], "a URL is no path"),
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


def test_files_of_another_format_in_a_folder_are_said_to_be_left(project):
    """A folder with a database of Prodigy's beside its exports."""
    folder = project / "mine"
    folder.mkdir()
    (folder / "per.jsonl").write_text(RECORDS["prodigyjsonl"])
    (folder / "notes.md").write_text("Ada said on Monday: no.\n")
    write_database(folder / "prodigy.db", {"org": [task("IBM", [(0, 3, "ORG")])]})
    for name in ("old.json", "older.json"):
        (folder / name).write_text(RECORDS["labelstudio"])
    said = succeed(project, "mine", "--write", "replace")
    assert said.count("not read") == 2
    assert "⚠ mine/old.json: not read, since it looks like LabelStudio; import it by its own path (and 1 more)" in said
    assert "⚠ mine/prodigy.db: not read, since it looks like ProdigyDatabase; import it by its own path" in said
    assert "not read" not in succeed(project, "mine/per.jsonl", "--write", "replace")


def test_files_that_belong_to_a_format_are_not_said_to_be_left(project):
    for name, content in (
        ("brat/1.txt", "Ada"), ("brat/1.ann", "T1\tPER 0 3\tAda\n"), ("brat/annotation.conf", "[entities]\nPER\n"),
        ("conll/1.conll", RECORDS["conll"]), ("conll/README.md", "Ada met\nBob\n\nA list\n- x y\n"),
    ):  # fmt: skip
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
    for name in ("brat", "conll"):
        assert "not read" not in succeed(project, name, "--write", "replace")


def test_readers_of_training_data_are_no_formats():
    from scripts import functions  # noqa: F401 (registers them)

    assert all(reader.__module__.startswith("scripts.sources.") for reader in settings.readers().values())
    assert "labelwise.Brat.v1" in settings.readers()


HOSTILE = [
    "$", "$$", "${", "${a.b}", "$${a.b}", "${paths.x}", "${datasets}", "%", "%(x)s", '"', "'", "'x'", "\\", "\\u0024",
    "a\nb", "\n[split]\ndev = 0", "a\r\nb", "a\u2028[split]\u2028b", "a\x85[split]", "a\x1c[split]", "]", "[", "[x]",
    "#", "# x", ";", "=", ":", " x ", "a  b", "\t", "ß", "ss", "ORG", "org", "\u00e9", "e\u0301", "\u0130", "i",
    "x" * 300, "null", "None", "1", "1e5", "true", "True", "[]", "{}", '["a"]', "NaN", "\U0001f986", "\u202ex",
    "\u2066", "\x1b[31m", "\0", "\ufeff", "__SECTION__:datasets", "a __SECTION__:nothing.x", "@readers", "*", "a.b",
    "-", "--x", "$(reboot)", "<script>",
]  # fmt: skip
pieces = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
hostile = st.lists(pieces, min_size=1, max_size=3).map("".join).filter(bool)
OVERRIDES = {"merge.memory_mb": 1024}  # another way through confection


def new_sources(blocks):
    return {block.name: settings.readers()[block.reader](**block.options) for block in blocks}


@given(
    reader=st.sampled_from(sorted(settings.readers())), values=st.sampled_from([{}, OVERRIDES]),
    names=st.lists(hostile, min_size=1, max_size=3, unique=True), path=hostile, said=hostile,
)  # fmt: skip
@example("labelwise.Doccano.v1", {}, HOSTILE, "\udcff", "${paths.x}")  # a file whose name is not UTF-8
@example("labelwise.ProdigyDatabase.v1", OVERRIDES, HOSTILE, "$(x) ${y}", "\n[datasets.x]")
def test_what_import_writes_is_read_back_equal(tmp_path, reader, values, names, path, said):
    allowed = inspect.signature(settings.readers()[reader]).parameters
    given = {"path": path, "connection": "DATABASE", "dataset": path, "project": path, "annotator": path}
    fixed = {key: value for key, value in given.items() if key in allowed}
    proposals = (
        Proposal("rename", {names[0]: said}, said, is_active=True),
        Proposal("annotators", names, said, is_active=True),
        Proposal("corrects", names, said, is_active=False),
    )
    blocks = [DatasetBlock(f"b{n}", reader, {**fixed, "labels": [name]}) for n, name in enumerate(names)]
    blocks = [replace(blocks[0], proposals=proposals), *blocks[1:]]
    config = tmp_path / "datasets.cfg"
    renamed = Proposal("rename", {names[0]: said}, f"said: {said}", is_active=True)
    doubtful = DatasetBlock("c", reader, {**fixed, "labels": names}, (renamed,), f"said: {said}")
    write_config(config, set_split(add_blocks(CONFIG, [*blocks, doubtful]), {"dev_datasets": ["b0"]}))
    loaded = settings.load(config, values)
    assert {name: loaded.datasets[name] for name in loaded.datasets if name[0] == "b"} == new_sources(blocks)
    assert list(loaded.datasets) == ["old", "older", *(block.name for block in blocks)]
    assert loaded.options["b0"] == DatasetOptions(rename={names[0]: said}, annotators=names)
    assert loaded.split == SplitSection(dev_datasets=["b0"])
    content = config.read_text("utf8")
    assert re.findall(r"(?m)^\[.*", remove_blocks(content)) == [
        "[paths]",
        "[merge]",
        "[datasets]",
        "[system]",
        "[split]",
    ]
    taken = re.sub(r"(?m)^# (?!said:)", "", content[content.index("# [datasets.c]") :])
    config.write_text(f"[datasets]\n\n{taken}".partition("[split]\ndev_d")[0], "utf8")
    loaded = settings.load(config, values)
    assert loaded.datasets == new_sources([doubtful])
    assert loaded.options["c"].rename == {names[0]: said}


def test_hostile_names_of_datasets_and_labels_are_imported_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [name for name in HOSTILE if name not in (*"\0\ufeff",)]
    text = "Ada met IBM"
    write_database(tmp_path / "p$ #1.db", {name: [task(text, [(0, 3, name), (8, 11, "PER")])] for name in names})
    config = Path("datasets.cfg")
    config.write_text("# Ours.\n[system]\nprocesses = 1\n")
    found = find_datasets("", "p$ #1.db", {})
    labels = {dataset.name: dataset.labels for dataset in found}
    assert labels == {name: sorted({name, "PER"}) for name in names}
    plan = plan_import(found, config, "add")
    write_config(config, plan.config)
    loaded = settings.load(config).datasets
    assert Counter((source.dataset, *source.labels) for source in loaded.values()) == Counter(
        (name, label) for name in names for label in labels[name]
    )
    again = plan_import(find_datasets("", str(tmp_path / "p$ #1.db"), {}), config, "add")
    assert {block.state for block in again.blocks} == {"same"}
    assert again.config == plan.config


@given(st.lists(st.text(max_size=8), max_size=5))
@example(["ß", "ss", "ORG", "org", "\u00e9", "e\u0301", "\u0130", "i\u0307", "i", "\u0131", "x" * 300, "x" * 301])
def test_names_of_blocks_are_names_and_no_two_are_the_same(labels):
    part = FoundDataset("File name.x", "labelwise.Brat.v1", {}, spans=Counter(label for label in labels if label))
    names = [block.name for block in make_blocks([part, part])]
    assert len(names) == 2 * len(part.spans)
    assert len({name.casefold() for name in names}) == len(names)
    assert all(re.fullmatch(r"\w{1,90}", name) for name in names)


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


@pytest.mark.parametrize(
    "label", ["O RG", "-", "--output=x", "$(reboot)", "`x`", "a;b", "'", '"', "a\\b", "#", "*", "é"]
)
def test_the_command_that_a_queue_prints_is_the_one_meant_in_a_shell(label, tmp_path):
    name = f"data of {label}"
    queue = Queue(
        request=Request(label=label), gold="", models={}, unit="text", counts={}, tasks=1, informativeness=[], asked=[]
    )
    source = settings.readers()["labelwise.ProdigyDatabase.v1"](path="p.db", dataset=name, labels=[label])
    console = plain_console(width=80)
    with console.capture() as captured:
        print_way_back(console, queue, Path("queues", "the label"), {"x": source}, {"x": DatasetOptions()}, "en", {})
    command = next(line for line in captured.get().splitlines() if line.startswith("prodigy"))
    words = shlex.split(command)
    assert words[:5] == ["prodigy", "ner.manual", name, "blank:en", "queues/the label/tasks.jsonl"]
    parser = argparse.ArgumentParser()
    parser.add_argument("--label")
    assert parser.parse_args(words[5:]).label == label
