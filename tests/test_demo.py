"""The demo: real annotations, in a database like Prodigy's own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
import spacy

from benchmarks.corpora import text
from scripts.building.splits import Splitter
from scripts.core.errors import UserError
from scripts.core.settings import load
from scripts.core.texts import input_hash, task_hash
from scripts.demo import dataset_name, is_annotated, is_pristine, parse_addresses, write_database
from scripts.sources.prodigy_database import prodigy_database
from tests.prodigy import SCHEMA, add_task, read, task

ROOT = Path(__file__).parent.parent
XML = b"""<?xml version="1.0"?>
<AddressCollection>
  <AddressString><AddressNumber>12</AddressNumber> <StreetName>Main</StreetName> <StreetName>Mill,</StreetName>
 <PlaceName>Ada</PlaceName></AddressString>
  <AddressString><Recipient>(Acme</Recipient> <Recipient>Inc.)</Recipient> <NotAddress>,</NotAddress></AddressString>
  <AddressString><Recipient>(Acme</Recipient> <Recipient>Inc.)</Recipient> <NotAddress>,</NotAddress></AddressString>
</AddressCollection>"""


@pytest.fixture(scope="module")
def addresses(shared_data):
    return parse_addresses((shared_data / "usaddress" / "labeled.xml").read_bytes())


@pytest.fixture(scope="module")
def written(addresses, tmp_path_factory):
    """The demo's database, made of the file that the step would fetch."""
    path = tmp_path_factory.mktemp("demo") / "prodigy.db"
    return path, write_database(addresses, path)


def query(path, sql):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(sql).fetchall()


# Addresses


def test_tokens_of_one_label_are_joined_and_their_edges_stripped():
    found = parse_addresses(XML)
    assert [address.text for address in found] == ["12 Main Mill,\n Ada", "(Acme Inc.) ,"]
    spans = [[(address.text[span.start : span.end], span.label) for span in address.spans] for address in found]
    assert spans == [
        [("12", "AddressNumber"), ("Main Mill", "StreetName"), ("Ada", "PlaceName")],
        [("Acme Inc.", "Recipient")],
    ]


def test_every_span_lies_on_spacy_s_tokens(addresses):
    nlp = spacy.blank("en")
    for words, spans in addresses:
        doc = nlp.make_doc(words)
        for span in spans:
            assert doc.char_span(span.start, span.end, span.label), (text, span)
        assert spans == sorted(spans)
        assert all(one.end <= other.start for one, other in pairwise(spans))


def test_how_many_addresses_there_are(addresses):
    assert len(addresses) == len({address.text for address in addresses}) == 1488
    assert all(address.text == address.text.strip() != "" for address in addresses)
    assert sum(len(address.spans) for address in addresses) == 8782


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("USPSBoxID", "usps_box_id"),
        ("ZipCode", "zip_code"),
        ("StreetNamePreType", "street_name_pre_type"),
        ("ORG", "org"),
    ],
)
def test_datasets_are_named_like_their_labels(label, name):
    assert dataset_name(label) == name


# The database


def test_the_schema_is_prodigy_s(written):
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(SCHEMA)
        expected = database.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name").fetchall()
        columns = {
            name: database.execute(f"PRAGMA table_info({name})").fetchall()
            for kind, name, _ in expected
            if kind == "table"
        }
    assert query(written[0], "SELECT type, name, tbl_name FROM sqlite_master ORDER BY name") == expected
    for name, found in columns.items():
        assert query(written[0], f"PRAGMA table_info({name})") == found
    assert query(written[0], "PRAGMA foreign_key_check") == []
    assert query(written[0], "PRAGMA integrity_check") == [("ok",)]


def test_a_dataset_for_every_label_with_fifty_entities(written, addresses):
    path, datasets = written
    counts = Counter(span.label for address in addresses for span in address.spans)
    assert {dataset.label for dataset in datasets} == {label for label, count in counts.items() if count >= 50}
    assert len(datasets) == 17
    named = query(path, "SELECT name FROM dataset WHERE session = 0 ORDER BY name")
    assert [name for (name,) in named] == [dataset.name for dataset in datasets]
    sessions = query(path, "SELECT name FROM dataset WHERE session = 1 ORDER BY name")
    assert [name for (name,) in sessions] == [f"{dataset.name}-demo" for dataset in datasets]


def test_a_fifth_is_left_out_of_what_is_trained_on_and_nothing_of_what_is_evaluated_on(written, addresses):
    config = load(ROOT / "configs/datasets.cfg").split
    splitter = Splitter(config.dev, config.test, config.document)
    sides = Counter(splitter.split_of(text(address.text, [], [])) for address in addresses)
    missing = Counter()
    for dataset in written[1]:
        for address in addresses:
            if not is_annotated(address.text, dataset.label):
                missing[splitter.split_of(text(address.text, [], []))] += 1
        assert dataset.texts == sum(is_annotated(address.text, dataset.label) for address in addresses)
    assert set(missing) == {"train"}
    assert missing["train"] / (17 * sides["train"]) == pytest.approx(0.2, abs=0.01)


def test_tasks_are_what_ner_manual_saves(written):
    path, datasets = written
    rows = query(path, "SELECT input_hash, task_hash, content FROM example")
    assert len(rows) == sum(dataset.texts for dataset in datasets)
    for stored_input, stored_task, content in rows[::97]:
        found = json.loads(content)
        text, tokens = found["text"], found["tokens"]
        assert found["_input_hash"] == stored_input == input_hash(text)
        assert found["_task_hash"] == stored_task == task_hash(stored_input, [])
        assert (found["_view_id"], found["_is_binary"], found["answer"]) == ("ner_manual", False, "accept")
        assert "".join(token["text"] + " " * token["ws"] for token in tokens).rstrip() == text or "  " in text
        assert [token["id"] for token in tokens] == list(range(len(tokens)))
        assert all(text[token["start"] : token["end"]] == token["text"] for token in tokens)
        for span in found["spans"]:
            assert span["start"] == tokens[span["token_start"]]["start"]
            assert span["end"] == tokens[span["token_end"]]["end"]  # inclusive


def test_the_reader_reads_what_was_written_each_text_once(written):
    path, datasets = written
    for dataset in datasets:
        found, intake, _ = read(prodigy_database(str(path), dataset.name, [dataset.label]))
        assert (len(found), intake.spans["kept"]) == (dataset.texts, dataset.entities)
        assert {answer.annotator for answer in found} == {"demo"}
        assert not intake.reasons
        assert not intake.notes
    times = [time for (time,) in query(path, "SELECT json_extract(CAST(content AS TEXT), '$._timestamp') FROM example")]
    assert times == sorted(set(times))


def test_the_same_bytes_again(written, addresses, tmp_path):
    write_database(addresses, tmp_path / "new" / "prodigy.db")
    assert (tmp_path / "new" / "prodigy.db").read_bytes() == written[0].read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["prodigy.db"]


# What somebody did to it since


@pytest.fixture
def small(tmp_path):
    """A demo of few addresses."""
    path = tmp_path / "prodigy.db"
    write_database(
        parse_addresses(
            XML.replace(b"</AddressCollection>", b"")
            + b"""
      <AddressString><ZipCode>60601</ZipCode></AddressString>"""
            + b"".join(
                b"<AddressString><ZipCode>%d</ZipCode></AddressString>" % number for number in range(10000, 10060)
            )
            + b"</AddressCollection>"
        ),
        path,
    )
    return path


def test_what_nobody_touched_is_pristine(small):
    assert is_pristine(small)
    query(small, "SELECT count(*) FROM example")
    assert is_pristine(small)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize(
    "change",
    [
        lambda database: add_task(database, [1], task("new")),
        lambda database: database.execute("DELETE FROM link WHERE id = 1"),
        lambda database: database.execute("INSERT INTO dataset VALUES (99, 'mine', 0, '{}', 0)"),
        lambda database: database.execute("UPDATE example SET content = '{}' WHERE id = 1"),
        lambda database: (database.execute("DELETE FROM link WHERE id = 1"), add_task(database, [1], task("new"))),
    ],
)
def test_what_somebody_changed_is_not_pristine(small, mode, change):
    with closing(sqlite3.connect(small)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        with database:
            change(database)
        assert not is_pristine(small)  # while it is open
    assert not is_pristine(small)


def test_a_database_of_prodigy_s_is_not_ours(tmp_path):
    path = tmp_path / "prodigy.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(f"BEGIN; {SCHEMA}")
    assert not is_pristine(path)


@pytest.mark.parametrize("content", [b"", b"my thesis", b"SQLite format 3\0"])
def test_what_is_no_database_is_never_overwritten(tmp_path, content):
    path = tmp_path / "prodigy.db"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no Prodigy database, and is not overwritten; choose another --output"):
        is_pristine(path)


# The step


def run(*args, **environment):
    environment = os.environ | {"PYTHONIOENCODING": "utf8"} | environment
    command = [sys.executable, "-m", "scripts.demo", *map(str, args)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf8", timeout=300)


def says_in_one_line(result):
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("✘ ")
    return result.stderr


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """What the step wrote."""
    path = tmp_path_factory.mktemp("step") / "demo" / "prodigy.db"
    result = run("--output", path)
    if result.returncode and "needs pip and the network" in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr
    return path, result.stdout


def test_the_step_fetches_writes_and_reports(fetched):
    path, said = fetched
    assert is_pristine(path)
    flat = " ".join(said.split())
    assert "zip_code ZipCode 1,291 824" in flat
    assert "17 Prodigy datasets, 7,439 entities, by one annotator" in flat
    assert "US addresses, not prose" in flat
    assert [entry.name for entry in path.parent.iterdir()] == ["prodigy.db"]


def test_the_step_writes_what_the_file_at_hand_makes(fetched, written):
    assert fetched[0].read_bytes() == written[0].read_bytes()


def test_the_step_again_changes_nothing(fetched):
    before = fetched[0].read_bytes()
    assert run("--output", fetched[0]).returncode == 0
    assert fetched[0].read_bytes() == before


def test_without_network_one_line_and_nothing_changed(small, tmp_path):
    before = small.read_bytes()
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    for output in (small, tmp_path / "new" / "prodigy.db"):
        said = says_in_one_line(run("--output", output, **offline))
        assert "the demo needs pip and the network to fetch usaddress-0.5.16; nothing was changed. pip: ERROR" in said
    assert small.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["prodigy.db"]


def test_another_file_under_the_same_name_is_stopped_by_its_hash(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    (served / "usaddress-0.5.16.tar.gz").write_bytes(b"something else")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(served), "PIP_CONFIG_FILE": os.devnull}
    said = says_in_one_line(run("--output", tmp_path / "prodigy.db", **offline, PIP_NO_CACHE_DIR="1"))
    assert "DO NOT MATCH THE HASHES" in said
    assert not (tmp_path / "prodigy.db").exists()


def test_a_database_that_somebody_added_to_is_left_alone(small):
    with closing(sqlite3.connect(small)) as database, database:
        add_task(database, [1], task("mine"))
    before = small.read_bytes()
    result = run("--output", small)
    assert result.returncode == 0
    assert "has other annotations too and is left as it is; remove it" in " ".join(result.stdout.split())
    assert small.read_bytes() == before


def test_another_file_in_its_place_is_one_line(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "is not overwritten" in says_in_one_line(run("--output", tmp_path / "thesis.txt"))
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    says_in_one_line(run("--output", tmp_path))
