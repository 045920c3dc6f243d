"""Prodigy's tasks, exports and databases: what they mean, and what cannot be used."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.core.texts import input_hash, input_hashes
from scripts.sources.prodigy_database import prodigy_database
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from scripts.sources.prodigy_tasks import TaskReader
from scripts.sources.source import Intake
from tests.prodigy import add_dataset, add_task, line, read, task, write_database

TEXT = "Ada Lovelace met Charles Babbage in London"
ADA = (0, 12, "PERSON")
CHARLES = (17, 32, "PERSON")
LONDON = (36, 42, "PLACE")
RANDOM = Random(0)


def understood(*records, labels=("PERSON",), kind="auto", origin="people"):
    """What tasks mean, and the account, which adds up."""
    skipped = []
    intake = Intake(skipped.append)
    reader = TaskReader("data", frozenset(labels), kind, origin)
    tasks = []
    contents = (record if isinstance(record, bytes) else line(record) for record in records)
    for answers in reader.read(((f"link:{number}", one) for number, one in enumerate(contents, 1)), intake):
        intake.keep(len(answers), sum(len(answer.spans) for answer in answers))
        tasks += answers
    intake.assert_adds_up()
    return tasks, intake, skipped


def reasons(*records, **fields):
    tasks, _, skipped = understood(*records, **fields)
    assert not tasks
    return [skip.reason for skip in skipped]


# What an answer means


def test_a_manual_answer_is_complete_for_the_labels_asked_for():
    (found,), intake, _ = understood(task(TEXT, [ADA, CHARLES, LONDON], meta={"source": "book"}))
    assert (found.kind, found.answer, found.labels) == ("manual", "accept", ["PERSON"])
    assert found.spans == [Span(*ADA), Span(*CHARLES)]
    assert found.input_hash == input_hash(TEXT)
    assert (found.source, found.dataset, found.meta) == ("link:1", "data", {"source": "book"})
    assert found.timestamp == 1_735_689_600
    assert intake.spans == {"read": 3, "kept": 2, "other_labels": 1}


@pytest.mark.parametrize("spans", [{"spans": None}, {"spans": []}, {}])
def test_a_manual_answer_without_spans_says_that_there_are_none(spans):
    record = task(TEXT)
    del record["spans"]
    (found,), _, _ = understood(record | spans)
    assert (found.kind, found.spans, found.labels) == ("manual", [], ["PERSON"])


def test_spans_of_other_labels_alone_leave_a_complete_answer():
    (found,), intake, _ = understood(task(TEXT, [LONDON]))
    assert (found.spans, found.labels) == ([], ["PERSON"])
    assert intake.spans["other_labels"] == 1
    assert found.other_labels == ["PLACE"]


def test_a_fault_in_a_span_of_another_label_is_no_matter():
    (found,), intake, _ = understood(task(TEXT, [ADA, (40, 99, "PLACE")]))
    assert found.spans == [Span(*ADA)]
    assert intake.spans == {"read": 2, "kept": 1, "other_labels": 1}


@pytest.mark.parametrize("answer", ["accept", "reject", "ignore"])
def test_all_answers_are_passed_on_to_merge(answer):
    (found,), _, _ = understood(task(TEXT, [ADA], answer=answer))
    assert found.answer == answer


@pytest.mark.parametrize("answer", [{"answer": None}, {}])
def test_a_task_without_an_answer_was_accepted(answer):
    record = task(TEXT, [ADA])
    del record["answer"]
    (found,), _, _ = understood(record | answer)
    assert found.answer == "accept"


def old_export(**fields):
    """A task as versions of 2018 wrote them: another hash, no view, no `ws`, no session."""
    span = {"start": 0, "end": 12, "label": "PERSON", "text": TEXT[:12]}
    hashed = {"_input_hash": input_hashes(TEXT)[1], "_task_hash": 5}
    return {"text": TEXT, "spans": [span], "answer": "accept", **hashed, **fields}


def test_an_old_export_is_read_and_its_hash_noted():
    (found,), intake, _ = understood(old_export())
    assert (found.kind, found.input_hash, found.spans) == ("manual", input_hash(TEXT), [Span(*ADA)])
    assert (found.annotator, found.timestamp) == ("", None)
    assert intake.notes == {
        "input hash of an old Prodigy version": 1,
        "does not tell whether it is manual or binary: taken for manual; kind sets it": 1,
    }


def test_a_hash_of_something_else_is_noted_and_not_believed():
    (found,), intake, _ = understood(task(TEXT, [ADA], _input_hash=7))
    assert found.input_hash == input_hash(TEXT)
    assert intake.notes == {"stored input hash is not that of the text": 1}


def with_answers(*answers):
    """A task with an answer a span."""
    record = old_export()
    spans = (ADA, CHARLES, LONDON)
    record["spans"] = [
        dict(zip(("start", "end", "label"), span, strict=True)) | ({"answer": answer} if answer else {})
        for span, answer in zip(spans, answers, strict=False)
    ]
    return record


@pytest.mark.parametrize(
    "record",
    [
        task(TEXT, [ADA], _view_id="ner"),
        task(TEXT, [ADA], _is_binary=True),
        old_export(_view_id="ner"),
        with_answers("accept"),
    ],
)
@pytest.mark.parametrize("answer", ["accept", "reject", "ignore"])
def test_a_binary_answer_speaks_of_its_span_alone(record, answer):
    record = record | {"answer": answer}
    for span in record["spans"]:
        if "answer" in span:
            span["answer"] = answer
    (found,), _, _ = understood(record, labels=["PERSON", "PLACE"])
    assert (found.kind, found.answer, found.labels, found.spans) == ("binary", answer, ["PERSON"], [Span(*ADA)])


def test_the_setting_decides_where_tasks_do_not_say():
    teach = old_export(meta={"score": 0.5})
    assert understood(teach, kind="binary")[0][0].kind == "binary"
    assert understood(task(TEXT, [ADA], _view_id="ner"), kind="manual")[0][0].kind == "manual"
    assert understood(task(TEXT, [ADA], versions=[]), kind="binary")[0][0].kind == "review"


def test_a_span_s_own_answer_goes_before_that_of_the_task():
    found, intake, _ = understood(with_answers("reject", "accept", "accept") | {"answer": "accept"})
    assert [(one.answer, one.spans) for one in found] == [
        ("reject", [Span(*ADA)]),
        ("accept", [Span(*CHARLES)]),
    ]
    assert +intake.records == {"read": 1, "kept": 1, "answers": 2}
    found, _, _ = understood(with_answers("reject", None) | {"answer": "accept"})
    assert [one.answer for one in found] == ["reject", "accept"]
    found, _, _ = understood(with_answers("accept", None) | {"answer": "reject"})
    assert [one.answer for one in found] == ["accept", "reject"]
    found, _, _ = understood(with_answers("accept", "reject") | {"answer": "ignore"})
    assert [one.answer for one in found] == ["ignore", "ignore"]


def test_a_binary_accept_of_several_spans_accepts_each():
    found, _, _ = understood(task(TEXT, [ADA, CHARLES], _view_id="ner"))
    assert [(one.answer, one.spans) for one in found] == [("accept", [Span(*ADA)]), ("accept", [Span(*CHARLES)])]


def test_a_binary_reject_of_several_spans_says_nothing():
    said = ["binary reject of several spans at once: which one is wrong is not known"]
    assert reasons(task(TEXT, [ADA, CHARLES], _view_id="ner", answer="reject")) == said
    assert reasons(with_answers("accept", None, None) | {"answer": "reject"}) == said


def test_a_binary_answer_about_another_label_is_not_taken_and_one_without_a_span_is_none():
    found, intake, _ = understood(task(TEXT, [LONDON], _view_id="ner"))
    assert not found
    assert intake.records == {"read": 1, "other_labels": 1}
    assert intake.spans == {"read": 1, "other_labels": 1}
    found, intake, _ = understood(task(TEXT, _view_id="ner"))
    assert (found, intake.notes) == ([], {"no answer about spans: yes or no without a span": 1})


def test_a_review_shows_its_versions():
    versions = [
        task(TEXT, [ADA, LONDON], _session_id="people-a", sessions=["people-a"], default=True),
        task(TEXT, [CHARLES, ADA, CHARLES, (40, 99, "PERSON")], sessions=["people-b"]),
        {"text": TEXT, "answer": "accept"},
    ]
    (found,), _, _ = understood(task(TEXT, [ADA], _view_id="review", versions=versions))
    assert (found.kind, found.spans, found.labels) == ("review", [Span(*ADA)], ["PERSON"])
    assert found.versions == [[Span(*ADA)], [Span(*ADA), Span(*CHARLES)], []]


@pytest.mark.parametrize(
    ("fields", "annotator"),
    [
        ({"_session_id": "people-ada", "_annotator_id": "people-ada"}, "ada"),
        ({"_session_id": "people-ada"}, "ada"),
        ({"_session_id": None, "_annotator_id": "people-ada"}, "ada"),
        ({"_annotator_id": "people-ada-b"}, "ada-b"),
        ({"_annotator_id": "other-ada"}, "other-ada"),
        ({"_annotator_id": "people-people"}, "people"),
        ({"_annotator_id": "people"}, ""),
        ({"_annotator_id": "2024-04-29_08-16-14", "_session_id": "2024-04-29_08-16-14"}, ""),
        ({"_session_id": "people-2024-04-29_08-16-14"}, ""),
        ({"_session_id": "renamed_since-2024-04-29_08-16-14"}, ""),
        ({"_session_id": None, "_annotator_id": None}, ""),
        ({}, ""),
    ],
)
def test_who_answered(fields, annotator):
    assert understood(task(TEXT, [ADA], **fields))[0][0].annotator == annotator


@pytest.mark.parametrize(
    ("stored", "seconds"),
    [
        (1_700_000_000, 1_700_000_000), (1_700_000_000.75, 1_700_000_000), (0, None), (-5, None), (1e300, None),
        (1_700_000_000_999, 1_700_000_000), (1_700_000_000_000_001, 1_700_000_000), (1.7e18, 1_700_000_000),
        (300_000_000_000, 300_000_000), (253_402_300_799, 253_402_300_799), (None, None),
    ],
)  # fmt: skip
def test_when_it_was_answered(stored, seconds):
    (found,), intake, _ = understood(task(TEXT, [ADA], _timestamp=stored))
    assert found.timestamp == seconds
    dropped = "time that is none (zero, negative, or no date) dropped: it is not known which answer is later"
    assert intake.notes[dropped] == (seconds is None and stored is not None)


# Spans


def test_whitespace_at_the_edges_of_a_span_is_trimmed_and_noted():
    text = "\u00a0Ada \r\n Bob\t"
    (found,), intake, _ = understood(task(text, [(0, 5, "PERSON"), (7, 12, "PERSON")]))
    assert found.spans == [Span(1, 4, "PERSON"), Span(8, 11, "PERSON")]
    assert intake.notes == {"whitespace at the boundaries of a span trimmed": 2}


def test_offsets_are_code_points():
    text = "👩‍💻🦆 Ada"
    (found,), _, _ = understood(task(text, [(5, 8, "PERSON")]))
    assert text[found.spans[0].start : found.spans[0].end] == "Ada"


def test_repeated_spans_are_one_and_the_others_counted():
    (found,), intake, _ = understood(task(TEXT, [ADA, ADA, (0, 13, "PERSON"), (0, 3, "PERSON")]))
    assert found.spans == [Span(0, 3, "PERSON"), Span(*ADA)]
    assert intake.spans == {"read": 4, "kept": 2, "skipped": 2}
    assert intake.records["kept"] == 1


def test_labels_named_twice_do_no_harm():
    (found,), _, _ = understood(task(TEXT, [ADA]), labels=["PERSON", "PERSON"])
    assert (found.labels, found.spans) == (["PERSON"], [Span(*ADA)])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (task(TEXT, [(36, 43, "PERSON")]), "span: offsets outside the text"),
        (task(TEXT, [(5, 2, "PERSON")]), "span: offsets negative, reversed or empty"),
        (task(TEXT, [(-3, 2, "PERSON")]), "span: offsets negative, reversed or empty"),
        (task(TEXT, [(3, 3, "PERSON")]), "span: offsets negative, reversed or empty"),
        (task(TEXT, [(3, 4, "PERSON")]), "span: span of whitespace only"),
        (task(TEXT, [(0, 3, "")]), "span without a label"),
        (task(TEXT, [ADA, (True, 3, "PERSON")]), "Expected `int`, got `bool` - at `$.spans[].start`"),
        (task(TEXT) | {"spans": [{"start": "0"}]}, "at `$.spans[].start`"),
        (task(TEXT) | {"spans": [{"start": 0, "end": 3}]}, "required field `label` - at `$.spans[]`"),
        (task(TEXT) | {"spans": {"start": 0}}, "Expected `array | null`, got `object` - at `$.spans`"),
        (task(TEXT, answer="perhaps"), "not accept, reject or ignore - at `$.answer`"),
        (task("", []), "text is empty"),
        (task(" \t\u00a0\n", []), "text is empty"),
        ({"body": TEXT}, "Object missing required field `text`"),
        ({"text": None}, "Expected `str`, got `null` - at `$.text`"),
        (b"[1, 2]", "Expected `object`, got `array`"),
        (b'{"text": "half', "malformed JSON: Input data was truncated"),
        (b'{"text": NaN}', "malformed JSON: invalid character"),
        (b'{"text": "\\ud800 alone"}', "malformed JSON: unexpected end of escaped utf-16 surrogate"),
        (b'{"text": "caf\xe9"}', "not UTF-8"),
        (b'{"text": "x", "deep": ' + b"[" * 100_000, "JSON is nested too deeply"),
        (b'{"text": "x", "meta": {"deep": ' + b"[" * 200 + b"]" * 200 + b"}}", "meta is nested too deeply"),
    ],
)
def test_a_record_that_cannot_be_used_is_skipped_with_the_reason_and_the_rest_is_read(record, reason):
    found, intake, skipped = understood(record, task(TEXT, [ADA]))
    assert [one.source for one in found] == ["link:2"]
    assert [skip.place for skip in skipped] == ["link:1"]
    assert reason in skipped[0].reason
    assert intake.records == {"read": 2, "kept": 1, "answers": 1, "skipped": 1}


def test_the_same_fault_is_the_same_reason():
    spans = [[ADA] * number + [("x", 3, "PERSON")] for number in range(12)]
    faults = [task(TEXT) | {"spans": [{"start": s, "end": e, "label": name} for s, e, name in some]} for some in spans]
    answers = [task(TEXT, answer=f"maybe ' - at {number}\n") for number in range(10)]
    cut = [line(task(TEXT))[:-number].encode() + b"?" for number in range(1, 5)]
    assert len(set(reasons(*faults))) == 1
    assert len(set(reasons(*answers))) == 1
    assert len(set(reasons(*cut))) <= 2


# JSONL


@pytest.fixture
def export(tmp_path):
    """Write lines to a file of a dataset called "people"; the source."""

    def write(*lines, name="people.jsonl", labels=("PERSON",), end="\n", start=b"", pack=bytes):
        content = [one if isinstance(one, bytes) else line(one).encode() for one in lines]
        path = tmp_path / name
        path.write_bytes(pack(start + b"".join(one + end.encode() for one in content)))
        return ProdigyJsonl(str(path), list(labels))

    return write


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"end": "\r\n"},
        {"start": b"\xef\xbb\xbf"},
        {"start": b"\xef\xbb\xbf\r\n", "end": "\r\n\r\n"},
        {"end": "\n\n  \n"},
        {"pack": gzip.compress, "name": "people.jsonl.gz"},
        {"pack": gzip.compress},
        {"pack": lambda content: gzip.compress(content[:200]) + gzip.compress(content[200:])},
    ],
)
def test_files_are_read_however_they_are_written(export, how):
    records = [task(f"{TEXT} {number} ü 🦆", [ADA], _session_id="people-ada") for number in range(3)]
    source = export(*records, **how)
    source.check()
    found, intake, _ = read(source)
    assert [one.text for one in found] == [record["text"] for record in records]
    assert {one.annotator for one in found} == {"ada"}
    assert intake.records == {"read": 3, "kept": 3, "answers": 3}


def test_broken_lines_are_listed_with_their_place_and_the_rest_goes_on(export):
    source = export(task("one", []), b"{broken", b"", task("four", []), b'{"text": "caf\xe9"}', task("six", []))
    found, intake, skipped = read(source)
    assert [one.source for one in found] == ["people.jsonl:1", "people.jsonl:4", "people.jsonl:6"]
    assert [skip.place for skip in skipped] == ["people.jsonl:2", "people.jsonl:5"]
    assert intake.records == {"read": 5, "kept": 3, "answers": 3, "skipped": 2}


def test_a_file_without_an_end_of_line_and_an_empty_one(export):
    assert len(read(export(task(TEXT), task(TEXT), end="\n", pack=bytes.strip))[0]) == 2
    source = export()
    source.check()
    assert read(source)[1].records["read"] == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-20],
        lambda packed: packed[:-8] + b"\0" * 8,
        lambda packed: packed[:40] + b"\xff" * 40 + packed[80:],
        lambda packed: packed + b"more",
        lambda packed: packed[:2] + b"\xff" + packed[3:],
        lambda packed: packed[:2],
    ],
)
def test_a_damaged_gzip_file_is_one_line(export, damage):
    records = [task(RANDOM.randbytes(30).hex(), []) for _ in range(100)]
    source = export(*records, pack=lambda content: damage(gzip.compress(content)))
    with pytest.raises(UserError, match=r"people\.jsonl: the gzip file is damaged or incomplete"):
        read(source)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_named(export, encoding):
    source = export(
        task(TEXT), pack=lambda content: ("\ufeff" * (encoding != "utf-16") + content.decode()).encode(encoding)
    )
    with pytest.raises(UserError, match="is UTF-16, as the > of PowerShell writes; save it as UTF-8"):
        read(source)


def test_a_missing_file_and_missing_labels_are_one_line(export, tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.jsonl: no such file"):
        ProdigyJsonl(str(tmp_path / "nowhere.jsonl"), ["PERSON"]).check()
    with pytest.raises(UserError, match=r"labels is empty. There is PERSON, PLACE$"):
        export(b"{broken", task(TEXT, [LONDON, ADA]), labels=[]).check()
    with pytest.raises(UserError, match=r"labels is empty. There is none$"):
        export(task(TEXT), labels=[]).check()


def test_the_digest_of_a_file_changes_with_it(export, tmp_path):
    source = export(task(TEXT))
    before = source.digest()
    assert source.digest() == before
    (tmp_path / "people.jsonl").write_text("other")
    assert source.digest() != before


def test_sources_pickle(export, tmp_path):
    for source in (export(task(TEXT)), prodigy_database(str(tmp_path / "prodigy.db"), "people", ["PERSON"])):
        assert pickle.loads(pickle.dumps(source)) == source


# Databases


@pytest.fixture
def database(tmp_path):
    """Two datasets, two sessions of one of them."""
    people = [task(f"{TEXT} {number}", [ADA], _session_id="people-ada") for number in range(5)]
    return write_database(
        tmp_path / "prodigy.db",
        {"places": [task(TEXT, [LONDON])], "people": people},
        sessions={"people-ada": "people", "people-2024-01-01_00-00-00": "people"},
    )


def people(path, labels=("PERSON",), dataset="people"):
    return prodigy_database(str(path), dataset, list(labels))


def test_a_dataset_is_read_in_order_and_its_sessions_are_not_read_again(database):
    source = people(database)
    source.check()
    found, intake, _ = read(source)
    assert [one.text for one in found] == [f"{TEXT} {number}" for number in range(5)]
    assert all(one.source.startswith("link:") for one in found)
    places = [int(one.source.removeprefix("link:")) for one in found]
    assert places == sorted(set(places))
    assert {one.annotator for one in found} == {"ada"}
    assert intake.records["read"] == 5


def test_many_pages_are_read_whole(tmp_path):
    records = {name: [task(f"{name} {number}") for number in range(1234)] for name in ("people", "places")}
    found, _, _ = read(people(write_database(tmp_path / "prodigy.db", records)))
    assert [one.text for one in found] == [record["text"] for record in records["people"]]


def test_content_that_is_text_bytes_or_neither(tmp_path):
    contents = [line(task("text")), line(task("bytes")).encode(), None, 5, 5.5, b"", "", b"\xff", line(task("last"))]
    found, intake, skipped = read(people(write_database(tmp_path / "prodigy.db", {"people": contents})))
    assert [one.text for one in found] == ["text", "bytes", "last"]
    assert Counter(skip.reason for skip in skipped) == {
        "content is neither text nor bytes": 3,
        "malformed JSON: Input data was truncated": 2,
        "malformed JSON: invalid character": 1,
    }
    assert intake.records["read"] == len(contents)


def test_a_link_to_an_example_that_is_gone_is_counted(database):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM example WHERE id = 3")
    found, intake, _ = read(people(database))
    assert len(found) == 4
    assert intake.records["skipped"] == 1


def test_the_error_of_an_unknown_dataset_names_those_there_are(database):
    with pytest.raises(UserError, match=r"prodigy\.db: has no dataset 'peopel'\. There is people and 1 more$"):
        people(database, dataset="peopel").check()
    with pytest.raises(UserError, match=r"There is people, places$"):
        people(database, dataset="x").check()
    with pytest.raises(UserError, match="has no dataset 'people-ada'"):  # a session
        people(database, dataset="people-ada").check()


def test_missing_labels_are_answered_with_those_there_are(database):
    with pytest.raises(UserError, match=r"labels is empty. In people is PERSON$"):
        people(database, labels=[]).check()


def test_a_dataset_without_tasks_is_empty(tmp_path):
    source = people(write_database(tmp_path / "prodigy.db", {"people": []}))
    source.check()
    assert read(source)[1].records["read"] == 0


def test_the_digest_follows_the_dataset_alone(database):
    before = people(database).digest()
    with closing(sqlite3.connect(database)) as connection, connection:
        add_task(connection, [1], task("elsewhere"))
    assert people(database).digest() == before
    with closing(sqlite3.connect(database)) as connection, connection:
        add_task(connection, [2], task("here"))
    assert people(database).digest() != before


def test_the_digest_sees_a_dataset_that_was_dropped_and_imported_anew(tmp_path):
    """With other answers of the same length, and so with the same ids, hashes and lengths."""
    path = write_database(tmp_path / "prodigy.db", {"people": [task(TEXT, [ADA], answer="accept")]})
    before = people(path).digest()
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("link", "example", "dataset"):
            connection.execute(f"DELETE FROM {table}")
        add_task(connection, [add_dataset(connection, "people")], task(TEXT, [ADA], answer="reject"))
        connection.execute("UPDATE dataset SET created = created + 1")
    assert people(path).digest() != before


def test_a_home_folder_is_meant_by_a_tilde(database, monkeypatch):
    monkeypatch.setenv("HOME", str(database.parent))
    monkeypatch.setenv("USERPROFILE", str(database.parent))
    assert len(read(people("~/prodigy.db"))[0]) == 5


@pytest.mark.parametrize("name", ["a ?b#c%20.db", "ü 🦆.db"])
def test_odd_names_are_files_too(database, name):
    odd = database.with_name(name)
    database.rename(odd)
    assert len(read(people(odd))[0]) == 5
    assert [path.name for path in odd.parent.iterdir()] == [name]


# Databases are only ever read


def whole(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def use(source):
    source.check()
    source.digest()
    return read(source)[0]


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_reading_leaves_the_file_and_its_folder_as_they_were(database, mode):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    before = whole(database.parent)
    assert len(use(people(database))) == 5
    assert whole(database.parent) == before
    assert list(before) == ["prodigy.db"]


@contextmanager
def unprivileged():
    """As root may write everywhere, be somebody else."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.skipif(os.name != "posix", reason="folders without write permission are a matter of POSIX")
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_database_in_a_folder_that_cannot_be_written_to(database, mode):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    with tempfile.TemporaryDirectory() as name:  # one that others may enter, unlike tmp_path
        folder = Path(name)
        path = Path(shutil.copy(database, folder))
        path.chmod(0o444)
        folder.chmod(0o555)
        try:
            with unprivileged():
                with pytest.raises(OSError, match="denied"):
                    (folder / "x").touch()
                assert len(use(people(path))) == 5
        finally:
            folder.chmod(0o755)


def test_what_prodigy_saved_and_did_not_yet_write_back_is_seen(database):
    """In WAL mode new rows are in a file beside the database until a checkpoint."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            add_task(connection, [2], task("in the log"))
        before = whole(database.parent)
        assert b"in the log" in before["prodigy.db-wal"]
        assert b"in the log" not in before["prodigy.db"]
        assert [one.text for one in use(people(database))][-1] == "in the log"
        after = whole(database.parent)
        del before["prodigy.db-shm"], after["prodigy.db-shm"]  # locks
        assert after == before


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_prodigy_can_save_while_a_dataset_is_being_read(tmp_path, mode):
    path = write_database(tmp_path / "prodigy.db", {"people": [task(f"text {number}") for number in range(1000)]})
    with closing(sqlite3.connect(path, timeout=0.1)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("SELECT * FROM dataset").fetchall()
        answers = people(path).read("data", Intake(print))
        next(answers)
        with connection:
            add_task(connection, [1], task("saved meanwhile"))
        assert list(answers)[-1][0].text == "saved meanwhile"


def test_a_database_that_is_written_to_while_it_is_read_is_an_error(database):
    """Opened while nobody had it open in WAL mode, then written to and closed, which writes it back."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    answers = people(database).read("data", Intake(print))
    next(answers)
    with closing(sqlite3.connect(database)) as connection, connection:
        add_task(connection, [2], task("saved meanwhile"))
    with pytest.raises(UserError, match="was written to while it was read; run the step again"):
        list(answers)


# Databases that are none


def test_no_database_at_all(tmp_path):
    with pytest.raises(UserError, match=r"prodigy\.db: no such file.*~/\.prodigy"):
        people(tmp_path / "prodigy.db").check()
    with pytest.raises(UserError, match="no such file"):
        people(tmp_path).check()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0", b"{}\n" * 1000, b"\xa5" * 4096])
def test_what_is_no_database_is_one_line(tmp_path, content):
    path = tmp_path / "prodigy.db"
    path.write_bytes(content)
    for act in (people(path).check, people(path).digest, lambda: read(people(path))):
        with pytest.raises(
            UserError, match=r"prodigy\.db: (cannot be read as a|is no) Prodigy database|is cut off"
        ) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_one_line(tmp_path):
    path = tmp_path / "prodigy.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE example (id, content)")
    with pytest.raises(UserError, match="is no Prodigy database: it lacks dataset, link"):
        people(path).check()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript("CREATE TABLE dataset (title); CREATE TABLE link (a, b)")
    with pytest.raises(UserError, match=r"cannot be read as a Prodigy database.*no such column"):
        people(path).check()


def test_a_database_that_is_cut_off_is_one_line_wherever_it_shows(tmp_path):
    records = [task(f"{number} {RANDOM.randbytes(200).hex()}") for number in range(2000)]
    path = write_database(tmp_path / "prodigy.db", {"people": records})
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.999, 0.9999):
        for size in (int(len(content) * share), int(len(content) * share) // 4096 * 4096):
            path.write_bytes(content[:size])
            with pytest.raises(UserError, match=r"cannot be read as a Prodigy database|is cut off") as caught:
                use(people(path))
            assert "\n" not in str(caught.value)


def test_a_database_that_turns_out_damaged_while_it_is_read_is_one_line(tmp_path):
    records = [task(f"{number} {RANDOM.randbytes(200).hex()}") for number in range(2000)]
    path = write_database(tmp_path / "prodigy.db", {"people": records})
    content = bytearray(path.read_bytes())
    damaged = content.index(b'{"text": "1500 ') // 4096 * 4096
    content[damaged : damaged + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    people(path).check()
    answers = people(path).read("data", Intake(print))
    next(answers)
    with pytest.raises(UserError, match="cannot be read as a Prodigy database"):
        list(answers)


def test_a_database_that_another_program_keeps_locked_is_one_line(database, monkeypatch):
    real = sqlite3.connect
    with closing(real(database)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", lambda *args, **rest: real(*args, **rest, timeout=0.05))
        with pytest.raises(UserError, match="database is locked"):
            people(database).check()


# Real annotations


@pytest.mark.parametrize(
    ("name", "records", "spans", "rejects", "kinds"),
    [
        ("round_3/bvi_neuro_ner_non_drug_60", 209, 1735, 7, {"manual": 209}),
        ("round_3/sed_neuro_ner_non_drug", 150, 1358, 17, {"manual": 150}),
        ("round_3/sed_neuro_ner_non_drug_60", 60, 534, 0, {"manual": 60}),
        ("round_3/ct_neuro_143_target_annotated_ds_round_3", 143, 1397, 0, {"manual": 143}),
        ("round_1/neuro_matching_annotations_reviewed_55", 55, 261, 1, {"review": 54, "manual": 1}),
    ],
)
def test_neurotrialner_is_read_whole(shared_data, name, records, spans, rejects, kinds):
    path = shared_data / "prodigy-neurotrialner" / "data" / "annotated_data" / f"annotation_{name}.jsonl"
    rows = [json.loads(row) for row in path.read_text("utf8").splitlines()]
    labels = sorted({span["label"] for row in rows for span in row.get("spans") or ()})
    found, intake, skipped = read(ProdigyJsonl(str(path), labels))
    assert not skipped
    assert (len(rows), len(found)) == (records, records)
    assert sum(len(row.get("spans") or ()) for row in rows) == spans
    assert intake.spans == {"read": spans, "kept": spans}
    assert Counter(one.kind for one in found) == kinds
    assert sum(one.answer == "reject" for one in found) == rejects
    assert {one.annotator for one in found} <= {"", "matched_ncd_samples"}
    assert "stored input hash is not that of the text" not in intake.notes
    half, intake, _ = read(ProdigyJsonl(str(path), labels[::2]))
    assert len(half) == records
    assert intake.spans["other_labels"] == sum(
        span["label"] not in labels[::2] for row in rows for span in row.get("spans") or ()
    )
