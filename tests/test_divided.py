"""Sources in parts: one after the other they give what the whole gives, wherever they are divided."""

from __future__ import annotations

import gzip
import itertools
import os
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from scripts.core.errors import UserError
from scripts.core.settings import DatasetOptions
from scripts.merging import reading
from scripts.merging.pull import pull
from scripts.merging.reading import ReadJob, read_all, read_source
from scripts.sources.brat import Brat
from scripts.sources.conll import Conll
from scripts.sources.json_records import json_lines
from scripts.sources.prodigy_database import LAST, prodigy_database, ranges
from scripts.sources.prodigy_jsonl import ByteRange, ProdigyJsonl, byte_ranges, count_lines, lines_in
from scripts.sources.source import NumberedPart
from tests.prodigy import line, read, task, write_database

TASKS = [task(f"Ada met number {number} .", [(0, 3, "PER")] if number == 17 else []) for number in range(40)]


def put_together(parts):
    """What the parts hold, each after those before it."""
    tasks, before = [], 0
    records, spans, skipped = Counter(), Counter(), []
    for part in parts:
        if isinstance(part, NumberedPart):
            inside = part.records_inside()
            part = part.after(before)
            before += inside
        found, intake, one_skipped = read(part)
        tasks += found
        records += intake.records
        spans += intake.spans
        skipped += one_skipped
    return tasks, records, spans, skipped


def is_divided(source, size):
    """Whether it is, and its parts are the whole."""
    tasks, intake, skipped = read(source)
    parts = source.parts(size)
    found, records, spans, found_skipped = put_together(parts)
    assert found == tasks
    assert (records, spans, found_skipped) == (+intake.records, +intake.spans, skipped)
    return len(parts) > 1


@pytest.mark.parametrize("size", [40, 1000, 3000, 10**9])
def test_prodigys_exports_are_divided_by_bytes(size, tmp_path):
    lines = [line(one) for one in TASKS]
    lines[5:5] = ["", "{", "  "]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    source = ProdigyJsonl(str(tmp_path / "a.jsonl"), ["PER", "ORG"])
    assert is_divided(source, size) == (size < 10**9)
    assert source.parts(size) == source.parts(size)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    assert not is_divided(ProdigyJsonl(str(tmp_path / "a.jsonl.gz"), ["PER", "ORG"]), size)


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b" ", b"bc"])).map(b"".join), st.integers(1, 12))
def test_any_file_of_lines_can_be_divided_anywhere(tmp_path_factory, content, size):
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(content)
    found, before = [], 0
    for span in byte_ranges(path, size) or [ByteRange(0, len(content))]:
        found += lines_in(str(path), span._replace(lines_before=before))
        before += count_lines(str(path), span)
    assert found == list(json_lines(str(path)))


@pytest.mark.parametrize("size", [1, 1000, 10**9])
def test_prodigys_databases_are_divided_by_keys(size, tmp_path):
    path = write_database(tmp_path / "prodigy.db", {"ner": TASKS, "other": TASKS[:3]}, sessions={"ner-ada": "ner"})
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM link WHERE id % 7 = 3")
    assert is_divided(prodigy_database(str(path), "ner", ["PER", "ORG"]), size) == (size < 10**9)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 10**6), st.integers(1, 10**4))
def test_ranges_of_keys_leave_none_out(first, more, total, size):
    found = ranges(first, first + more, total, size)
    assert found[0][0] < first
    assert found[-1][1] == LAST
    assert all(one[1] == other[0] for one, other in itertools.pairwise(found))
    assert ranges(None, None, None, size) == [(-1, LAST)]


@pytest.mark.parametrize("size", [1, 60, 10**9])
def test_brat_is_divided_by_documents(size, tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text("IBM met Ada.")
        (tmp_path / f"{number}.ann").write_text("T1\tPER 8 11\tAda\n" if number == 9 else "T1\tORG 0 9\tIBM\n")
    (tmp_path / "none.txt").write_text("Nobody.")
    assert is_divided(Brat(str(tmp_path), ["ORG", "PER", "LOC"]), size) == (size < 10**9)


@pytest.mark.parametrize("size", [1, 60, 10**9])
def test_folders_are_divided_by_files(size, tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.conll").write_text("IBM B-ORG\nmet O\nAda B-PER\n\n" * (number + 1))
    assert is_divided(Conll(str(tmp_path), ["ORG", "PER", "LOC"]), size) == (size < 10**9)


def test_the_accounts_of_parts_add_up_to_that_of_the_whole(tmp_path):
    """With all that the options of a block count, and what never occurs in any part."""
    pytest.importorskip("distributed", reason="pip install -r requirements-dask.txt")
    from scripts.engines.pull import join_entries

    more = [task(f"Bob met {n}", [(0, 3, "LOC")], _session_id=f"a-{'ben' if n % 2 else 'ana'}") for n in range(40)]
    choice = task("Bob", _view_id="choice", _session_id="a-ana")
    (tmp_path / "a.jsonl").write_text("\n".join([*map(line, [*TASKS, *more, choice]), "{"]), "utf8")
    source = ProdigyJsonl(str(tmp_path / "a.jsonl"), ["LOC", "ORG"])
    options = DatasetOptions(annotators=["ana", "cleo"], rename={"LOC": "PLACE"})

    def read_into(name, part):
        (tmp_path / name).mkdir()
        entry = read_source(ReadJob("a", part, options, tmp_path / name))
        return {key: value for key, value in asdict(entry).items() if key != "sha256"}, entry

    whole, _ = read_into("whole", source)
    parts = source.parts(5000)
    assert len(parts) > 3
    before = 0
    entries = []
    for number, part in enumerate(parts):
        entries.append(read_into(f"part-{number}", part.after(before))[1])
        before += part.records_inside()
    joined = {key: value for key, value in asdict(join_entries(entries)).items() if key != "sha256"}
    assert joined == whole
    assert (whole["missing_labels"], whole["missing_annotators"]) == (["ORG"], ["cleo"])
    assert (whole["renamed"], whole["other_annotators"]) == ({"LOC → PLACE": 20}, {"": 40, "ben": 20})
    assert whole["records"]["no_answer"] == 1


# ---- A large dataset that several processes read


def read_by(processes, source, folder, options=None):
    """What so many processes make of it: the account, the proof and all files; or the error."""
    folder.mkdir(parents=True)
    job = ReadJob("a", source, options or DatasetOptions(), folder)
    try:
        ((entry, proof),) = read_all([job], processes)
    except UserError as err:
        return str(err)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert not (processes > 1 and source.parts(reading.PART_BYTES) == [source])
    return entry, proof.content, files if processes > 1 else {n: c for n, c in files.items() if ".sorted" not in n}


def one_line(text, spans, annotator):
    return line(task(text, spans, _session_id=f"a-{annotator}"))


LINES = st.one_of(
    st.sampled_from(["{", "", "[]", line(task("Ada", _view_id="choice")), line(task("Ada", [(0, 9, "PER")]))]),
    st.builds(
        one_line,
        st.sampled_from(["Adams met Bobby.", "Bobby met Adams."]),
        st.sampled_from([[], [(0, 5, "PER")], [(1, 4, "PER")], [(0, 4, "PER")], [(0, 5, "LOC"), (10, 15, "PER")]]),
        st.sampled_from(["ana", "ben"]),
    ),
)
OPTIONS = st.sampled_from([{}, {"annotators": ["ana", "cleo"]}, {"rename": {"PER": "PERSON"}}])


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=40), st.integers(200, 2000), st.integers(2, 4), OPTIONS)
def test_any_number_of_processes_makes_the_same_of_a_dataset(tmp_path_factory, lines, size, processes, options):
    """Also where too many offsets seem to be shifted, in all of it or only in some part."""
    folder = tmp_path_factory.mktemp("divided")
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n" * 2 * size, "utf8")
    source, options = ProdigyJsonl(str(folder / "a.jsonl"), ["PER", "ORG"]), DatasetOptions(**options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PART_BYTES", size)
        assert read_by(processes, source, folder / "many", options) == read_by(1, source, folder / "one", options)


def test_a_database_with_two_names_is_noted_once_whoever_reads_it(tmp_path, monkeypatch):
    path = write_database(tmp_path / "prodigy.db", {"ner": TASKS})
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
    os.link(path, tmp_path / "other.db")
    monkeypatch.setattr(reading, "PART_BYTES", 1000)
    source = prodigy_database(str(path), "ner", ["PER"])
    found = read_by(2, source, tmp_path / "many")
    assert found == read_by(1, source, tmp_path / "one")
    assert [times for note, times in found[0].notes.items() if "hard links" in note] == [1]


class Growing(ProdigyJsonl, frozen=True):
    """An export that gets another line while its first part is read."""

    def read_lines(self, lines, dataset, intake):
        yield from super().read_lines(lines, dataset, intake)
        try:
            self._file().with_suffix(".grown").touch(exist_ok=False)  # of two processes, one makes it
        except FileExistsError:
            return
        with self._file().open("a") as file:
            file.write("\n" + line(task("Eva", [(0, 3, "PER")])))


def test_what_grows_while_several_processes_read_it_is_read_again(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text("\n".join(map(line, TASKS)), "utf8")
    monkeypatch.setattr(reading, "PART_BYTES", 1000)
    source = Growing(str(tmp_path / "a.jsonl"), ["PER"])
    assert pull({"a": source}, tmp_path / "out", 0.2, 2).manifest.datasets["a"].records["kept"] == len(TASKS) + 1
    pull({"a": source}, tmp_path / "one", 0.2, 1)
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == (tmp_path / "one" / "a.jsonl").read_bytes()
    assert not list((tmp_path / "out").glob(".tmp-*"))
