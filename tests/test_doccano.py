"""doccano's exports, of all its versions."""

from __future__ import annotations

import gzip
import json

import pytest

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.sources.doccano import Doccano
from scripts.sources.offsets import AMBIGUOUS
from tests.prodigy import read

TEXT = "Ada met Bob in Köln"
ADA, BOB = Span(0, 3, "PER"), Span(8, 11, "PER")
PAIRS = [[0, 3, "PER"], [8, 11, "PER"], [15, 19, "LOC"]]
OBJECTS = [{"id": 7, "label": label, "start_offset": start, "end_offset": end} for start, end, label in PAIRS]


@pytest.fixture
def export(tmp_path):
    """A function that writes an export and gives a source that reads it."""

    def write(*records, labels=("PER",), content=None, **settings):
        path = tmp_path / "all.jsonl"
        lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
        path.write_bytes(content if content is not None else "\n".join(lines).encode())
        return Doccano(str(path), list(labels), **settings)

    return write


@pytest.mark.parametrize(
    "record",
    [
        {"text": TEXT, "label": PAIRS},
        {"text": TEXT, "labels": PAIRS},
        {"text": TEXT, "entities": PAIRS},
        {"data": TEXT, "label": PAIRS},
        {"id": 3, "data": TEXT, "labels": PAIRS, "Comments": []},
        {"id": 3, "text": TEXT, "entities": OBJECTS, "relations": [{"id": 1, "from_id": 7, "to_id": 7}]},
        {"id": 3, "text": TEXT, "annotations": [one | {"user": 2, "prob": 0.0} for one in OBJECTS], "meta": {}},
        {"text": TEXT, "label": [], "entities": PAIRS},
    ],
)  # fmt: skip
def test_whatever_the_fields_are_called(export, record):
    (task,), intake, _ = read(export(record))
    assert (task.text, task.spans, task.labels, task.kind) == (TEXT, [ADA, BOB], ["PER"], "manual")
    assert task.annotator == ("2" if "annotations" in record else "")
    assert task.timestamp is None
    assert intake.spans == {"read": 3, "kept": 2, "other_labels": 1}
    assert task.meta == ({"id": 3} if "id" in record else {})
    assert export(record).recognizes()
    assert export(record).labels_found() == {"PER": 2, "LOC": 1}


def test_a_json_array_is_read_as_lines_are(export):
    records = [
        {"text": TEXT, "label": PAIRS, "note": 'a "quoted" ] } \\ bracket'},
        {"text": "x", "label": [[0, 1, "PER"]]},
    ]
    lines, _, _ = read(export(*records))
    for content in (json.dumps(records), json.dumps(records, indent=2), f"\ufeff {json.dumps(records)}\n"):
        array, _, _ = read(export(content=content.encode()))
        assert array == lines
    packed, _, _ = read(export(content=gzip.compress(json.dumps(records).encode())))
    assert packed == lines


def test_labels_by_their_ids(export):
    record = {"text": TEXT, "annotations": [{"label": 4, "start_offset": 0, "end_offset": 3}]}
    assert export(record).labels_found() == {"4": 1}
    (task,), _, _ = read(export(record, label_names={"4": "PER"}))
    assert task.spans == [ADA]


def test_each_user_has_an_answer(export):
    spans = [OBJECTS[0] | {"user": 1}, OBJECTS[1] | {"user": 2}, OBJECTS[2] | {"user": 2}]
    tasks, intake, _ = read(export({"text": TEXT, "annotations": spans}))
    assert [(task.annotator, task.spans) for task in tasks] == [("1", [ADA]), ("2", [BOB])]
    assert (intake.records["read"], intake.records["answers"]) == (1, 2)


@pytest.mark.parametrize("spans", [{}, {"label": []}, {"label": None}, {"entities": []}])
def test_a_text_without_spans_is_not_annotated_unless_set_so(export, spans):
    tasks, intake, _ = read(export({"text": TEXT} | spans))
    assert not tasks
    assert intake.records == {"read": 1, "no_answer": 1}
    assert intake.notes["not annotated yet"] == 1
    (task,), _, _ = read(export({"text": TEXT} | spans, without_spans="annotated"))
    assert (task.spans, task.labels) == ([], ["PER"])


def test_a_text_with_spans_of_other_labels_is_annotated(export):
    (task,), _, _ = read(export({"text": TEXT, "label": [[15, 19, "LOC"]]}))
    assert task.spans == []


def test_metadata_is_kept_wherever_a_version_puts_it(export):
    beside = {"id": 5, "text": TEXT, "label": PAIRS, "Comments": ["x"], "document": "d1"}
    (first,), _, _ = read(export(beside))
    (second,), _, _ = read(export({"id": 5, "text": TEXT, "label": PAIRS, "meta": {"document": "d1"}}))
    assert first.meta == second.meta == {"id": 5, "document": "d1"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("no JSON", "malformed JSON: invalid character"),
        ("[1]", "Expected `object`, got `array`"),
        ({"label": PAIRS}, "Expected `str`, got `null`"),
        ({"text": 3, "label": PAIRS}, "Expected `str`, got `int`"),
        ({"text": TEXT, "label": ["sports"]}, "Expected `object | array`, got `str`"),
        ({"text": TEXT, "label": [[0, 3]]}, "Expected `array` of length 3"),
        ({"text": TEXT, "label": [["0", 3, "PER"]]}, "Expected `int`, got `str`"),
        ({"text": " ", "label": PAIRS}, "text is empty"),
        ({"text": "🦆東京に行く", "label": [[2, 4, "PER"]]}, AMBIGUOUS),
    ],
)
def test_a_record_that_cannot_be_used_is_skipped_with_its_place(export, record, reason):
    good = {"text": TEXT, "label": PAIRS}
    tasks, intake, (skip,) = read(export(good, record, good))
    assert len(tasks) == 2
    assert skip.place == "all.jsonl:2"
    assert skip.reason.startswith(reason)
    assert +intake.records == {"read": 3, "kept": 2, "skipped": 1, "answers": 2}


def test_a_span_that_cannot_be_used_costs_its_label_the_text_alone(export):
    spans = [*PAIRS, [11, 99, "PER"], [0, 3, "PER"], [3, 4, "LOC"]]
    tasks, intake, skipped = read(export({"text": TEXT, "label": spans}, labels=("PER", "LOC", "ORG")))
    assert [(task.kind, task.labels, task.spans) for task in tasks] == [
        ("manual", ["ORG"], []),
        ("binary", ["PER"], [ADA]), ("binary", ["PER"], [BOB]), ("binary", ["LOC"], [Span(15, 19, "LOC")]),
    ]  # fmt: skip
    assert [skip.reason for skip in skipped] == [
        "offsets outside the text", "span repeated in the same text", "span of whitespace only"
    ]  # fmt: skip
    assert intake.spans == {"read": 6, "kept": 3, "skipped": 3}


def test_whitespace_at_the_edges_is_trimmed_and_noted(export):
    (task,), intake, _ = read(export({"text": TEXT, "label": [[0, 4, "PER"], [7, 12, "PER"]]}))
    assert task.spans == [ADA, BOB]
    assert intake.notes["whitespace at the boundaries of a span trimmed"] == 2


def test_what_is_wrong_before_reading(export, tmp_path):
    with pytest.raises(UserError, match=r"nowhere.jsonl: no such file$"):
        Doccano(str(tmp_path / "nowhere.jsonl"), ["PER"]).check()
    with pytest.raises(UserError, match=r"labels is empty\. There is LOC, PER"):
        export({"text": TEXT, "label": PAIRS}, labels=()).check()
    with pytest.raises(UserError, match="is UTF-16"):
        read(export(content="{}".encode("utf-16")))
    with pytest.raises(UserError, match="ends inside a JSON array"):
        read(export(content=b'[{"text": "Ada", "label": []}, {"te'))
    with pytest.raises(UserError, match="holds something more after its JSON array"):
        read(export(content=b"[] []"))
    with pytest.raises(UserError, match="gzip file is damaged"):
        read(export(content=gzip.compress(b"[]" * 100)[:-9]))
