"""The benchmarks' generator: the same for the same seed, true Prodigy data, and all of it accounted for."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from contextlib import closing

import msgspec
import pytest

from benchmarks.generate import Size, add, generate
from benchmarks.weeks import monotone, needed
from scripts.core import settings
from scripts.core.files import sha256
from scripts.core.texts import input_hash
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from tests.prodigy import SCHEMA

SIZE = Size(datasets=4, tasks=120, kilobytes=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small case, not to be changed."""
    folder = tmp_path_factory.mktemp("generated")
    generate(folder, SIZE)
    return folder


def tasks(folder):
    return [
        msgspec.json.decode(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()
    ]


def digests(folder):
    return {path.name: sha256(path) for path in folder.iterdir() if path.suffix in (".jsonl", ".db")}


def merged(folder, output, kind="sqlite"):
    """What comes out: the gold, the coverage, and the manifest of what was pulled."""
    config = settings.load(folder / f"datasets-{kind}.cfg")
    manifest = pull(config.datasets, output / "annotations", config.pull.max_skipped, 1).manifest
    merge(manifest, output / "annotations", output / "corpus", "majority", Resources(256, 1))
    return [(output / "corpus" / name).read_bytes() for name in ("gold.jsonl", "coverage.csv")], manifest


def test_same_seed_same_bytes(data, tmp_path):
    generate(tmp_path / "same", SIZE)
    generate(tmp_path / "other", msgspec.structs.replace(SIZE, seed=1))
    assert digests(tmp_path / "same") == digests(data)
    assert not set(digests(tmp_path / "other").values()) & set(digests(data).values())


def test_tasks_are_what_they_say(data):
    found = tasks(data)
    for task in found:
        text, tokens = task["text"], task["tokens"]
        assert all(text[token["start"] : token["end"]] == token["text"] for token in tokens)
        rebuilt = "".join(token["text"] + " " * token["ws"] for token in tokens)
        assert rebuilt == text
        for span in task["spans"]:
            assert tokens[span["token_start"]]["start"] == span["start"] < span["end"]
            assert tokens[span["token_end"]]["end"] == span["end"]
    assert {task["answer"] for task in found} == {"accept", "ignore", "reject"}
    assert {task["_annotator_id"][-3:] for task in found} == {"ana", "ben"}
    assert 2 < sum(len(task["spans"]) for task in found) / len(found) < 4


def test_size_is_what_was_asked_for(data):
    sizes = [len(line) for path in data.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    assert 2_400 < sum(sizes) / len(sizes) < 3_600


def test_three_pairs_of_texts_share_a_hash(data):
    by_hash = defaultdict(set)
    for task in tasks(data):
        by_hash[input_hash(task["text"])].add(task["text"])
    assert Counter(map(len, by_hash.values())) == {1: SIZE.tasks - 6, 2: 3}


def test_half_of_the_datasets_have_old_hashes(data, tmp_path):
    _, manifest = merged(data, tmp_path)
    old = {
        name: entry.notes.get("input hash of an old Prodigy version", 0) for name, entry in manifest.datasets.items()
    }
    read = {name: entry.records["read"] for name, entry in manifest.datasets.items()}
    assert old == {name: read[name] if name in ("label_01", "label_03") else 0 for name in read}


def test_database_is_one_of_prodigys(data):
    query = "SELECT type, name, tbl_name, replace(replace(sql, char(10), ''), ' ', '') FROM sqlite_master ORDER BY name"
    with closing(sqlite3.connect(":memory:")) as true, closing(sqlite3.connect(data / "prodigy.db")) as database:
        true.executescript(SCHEMA)
        assert database.execute(query).fetchall() == true.execute(query).fetchall()
        links = dict(
            database.execute(
                "SELECT session, count(*) FROM link JOIN dataset ON dataset.id = dataset_id GROUP BY session"
            )
        )
        (examples,) = database.execute("SELECT count(*) FROM example").fetchone()
        assert links == {0: examples, 1: examples}
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("kind", ["sqlite", "jsonl"])
def test_our_readers_account_for_everything(data, tmp_path, kind):
    _, manifest = merged(data, tmp_path, kind)
    expected = Counter(path.stem for path in data.glob("*.jsonl") for _ in path.read_bytes().splitlines())
    assert {name: entry.records["kept"] for name, entry in manifest.datasets.items()} == expected
    assert not any(entry.reasons for entry in manifest.datasets.values())


def test_formats_and_orders_hold_the_same(data, tmp_path):
    generate(tmp_path / "shuffled", msgspec.structs.replace(SIZE, shuffle=7))
    assert not set(digests(tmp_path / "shuffled").values()) & set(digests(data).values())
    results = [
        merged(folder, tmp_path / f"{folder.name}-{kind}", kind)[0]
        for folder in (data, tmp_path / "shuffled")
        for kind in ("sqlite", "jsonl")
    ]
    assert results == [results[0]] * 4


def test_new_answers_are_added_to_all_formats(tmp_path):
    generate(tmp_path, SIZE)
    before = digests(tmp_path)
    add(tmp_path, 10)
    changed = {name for name, digest in digests(tmp_path).items() if digest != before[name]}
    assert changed == {"label_00.jsonl", "prodigy.db"}
    one, manifest = merged(tmp_path, tmp_path / "a", "sqlite")
    two, _ = merged(tmp_path, tmp_path / "b", "jsonl")
    assert one == two
    lines = (tmp_path / "label_00.jsonl").read_bytes().splitlines()
    assert manifest.datasets["label_00"].records["read"] == len(lines)
    generate(tmp_path, SIZE)
    assert digests(tmp_path) == before


def test_real_texts_come_again_with_other_numbers_and_names(tmp_path):
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(['Add 10 mL of "Tris" to the Eppendorf tube.', "Mix with Triton\nfor 25 s."]):
        (tmp_path / "texts" / f"{number}.txt").write_text(text)
    size = msgspec.structs.replace(SIZE, tasks=30, formats=("jsonl",), texts_from=str(tmp_path / "texts"))
    generate(tmp_path / "data", size)
    found = {task["text"] for task in tasks(tmp_path / "data")}
    words = [text.split() for text in found if text.startswith(("Add ", "Mix "))]
    assert {len(one) for one in words} == {9, 6}
    assert len({one[4] for one in words if len(one) == 6}) > 5
    assert {one[2] for one in words if len(one) == 6} == {"Triton", "Eppendorf"}
    assert not any(entry.reasons for entry in merged(tmp_path / "data", tmp_path, "jsonl")[1].datasets.values())


def test_what_is_there_is_not_made_again(data):
    before = (data / "prodigy.db").stat().st_mtime_ns
    generate(data, SIZE)
    assert (data / "prodigy.db").stat().st_mtime_ns == before


def test_command_line(tmp_path):
    command = [sys.executable, "-m", "benchmarks.generate", str(tmp_path / "new")]
    size = ["--datasets", "2", "--tasks", "10", "--kilobytes", "1", "--format", "jsonl"]
    said = subprocess.run([*command, *size], check=True, capture_output=True, encoding="utf8").stdout
    assert "MB of JSON" in said
    assert not (tmp_path / "new" / "prodigy.db").exists()
    said = subprocess.run([*command, "--add", "3"], check=True, capture_output=True, encoding="utf8").stdout
    assert "3 new answers in label_00" in said


def test_what_a_curve_needs_to_come_to_a_score():
    assert monotone([0.1, 0.3, 0.2, 0.4]) == [0.1, 0.25, 0.25, 0.4]
    assert needed([0, 10, 20], [0.1, 0.3, 0.5], 0.4) == pytest.approx(15)
    assert needed([0, 10, 20], [0.1, 0.3, 0.5], 0.1) == 0
    assert needed([0, 10, 20], [0.1, 0.3, 0.5], 0.6) == float("inf")
