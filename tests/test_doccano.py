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
from tests.test_divided import is_divided

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


def test_label_ids_are_said_to_be_ids(export):
    spans = [one | {"label": number} for number, one in enumerate(OBJECTS, 6)]
    source = export({"text": TEXT, "annotations": spans}, labels=("6", "7"))
    _, intake, _ = read(source)
    assert intake.notes == {"label that is an id of doccano, no name: set label_names": 3}
    assert source.findings() == [
        'labels 6, 7, 8 are ids of doccano, no names: label_names = {"6": "", "7": "", "8": ""}'
    ]
    named = export({"text": TEXT, "annotations": spans}, label_names={"6": "PER", "7": "PER", "8": "LOC"})
    (task,), intake, _ = read(named)
    assert (task.spans, intake.notes, named.findings()) == ([ADA, BOB], {}, [])
    _, intake, _ = read(export({"text": TEXT, "label": [[0, 3, "7"]]}, labels=("7",)))  # a name
    assert not intake.notes


def test_of_several_fields_with_spans_one_is_taken_and_the_others_are_named(export):
    before = [[0, 3, "LOC"], [8, 11, "LOC"]]  # as they were imported
    rows = [{"text": TEXT, "label": PAIRS, "entities": before}, {"text": f"{TEXT}!", "label": [], "entities": before}]
    (task,), intake, _ = read(export(*rows))
    assert task.spans == [ADA, BOB]
    assert intake.notes["spans under entities are not taken: set keys"] == 4
    found, intake, _ = read(export(*rows, keys=["entities"], labels=("LOC",)))
    assert [len(task.spans) for task in found] == [2, 2]
    with_relations = [row | {"relations": []} for row in rows]
    assert export(*with_relations).labels_found() == {"LOC": 4}
    categories = {"text": TEXT, "label": ["greeting"], "entities": PAIRS}
    (task,), _, _ = read(export(categories))
    assert task.spans == [ADA, BOB]


def test_exports_of_several_versions_in_one_file(export):
    rows = [{"text": f"{TEXT} {key}", key: PAIRS} for key in ("label", "labels", "entities")]
    tasks, intake, _ = read(export(*rows, {"text": "Ada", "annotations": [OBJECTS[0]]}))
    assert [task.spans for task in tasks] == [[ADA, BOB]] * 3 + [[ADA]]
    assert not [note for note in intake.notes if "not taken" in note]


# Who annotated


def by_users(*users, spans=OBJECTS):
    return {"text": TEXT, "annotations": [one | {"user": user} for one, user in zip(spans, users, strict=True)]}


def test_users_who_share_a_project_are_one_answer(export):
    source = export(by_users(1, 2, 2), labels=("PER", "LOC"))
    (task,), intake, _ = read(source)
    assert (task.spans, task.annotator) == ([ADA, BOB, Span(15, 19, "LOC")], "")
    said = "text with spans of several users, taken as one answer: set users to each if they worked apart"
    assert intake.notes == {said: 1}
    both, intake, _ = read(export(by_users(1, 2, 2), users="each"))
    assert [(task.annotator, task.spans) for task in both] == [("1", [ADA]), ("2", [BOB])]


def test_users_who_mark_the_same_places_have_an_answer_each(export):
    twice = by_users(1, 1, 1, 2, spans=[*OBJECTS, OBJECTS[0]])
    tasks, intake, _ = read(export(twice, by_users(1, 1, 2) | {"text": f"{TEXT} again"}, twice | {"id": 2}))
    assert [(task.annotator, task.spans) for task in tasks][:2] == [("1", [ADA, BOB]), ("2", [ADA])]
    assert list(intake.notes.values()) == [3]
    assert (intake.records["read"], intake.records["answers"]) == (3, 6)
    (task, *_), _, skipped = read(export(twice, users="one"))
    assert (task.spans, [skip.reason for skip in skipped]) == ([ADA, BOB], ["span repeated in the same text"])


def test_a_folder_of_users_files_names_its_annotators(tmp_path):
    for name, spans in (("ada", PAIRS[:1]), ("bob", PAIRS[1:2]), ("unknown", PAIRS[:2]), ("all", PAIRS[:2])):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"{TEXT} {name}"[:19], "label": spans}))
    source = Doccano(str(tmp_path), ["PER"], annotator="me")
    assert source.recognizes()
    tasks, _, _ = read(source)
    assert sorted((task.annotator, task.spans) for task in tasks) == [
        ("ada", [ADA]), ("bob", [BOB]), ("me", [ADA, BOB]), ("me", [ADA, BOB])
    ]  # fmt: skip
    for name in ("bob", "unknown", "all"):
        (tmp_path / f"{name}.jsonl").unlink()
    for name in ("train", "dev-1"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"{TEXT} {name}", "label": PAIRS}))
    assert {task.annotator for task in read(source)[0]} == {"me", "ada"}
    for name in ("train", "dev-1"):
        (tmp_path / f"{name}.jsonl").unlink()
    (task,), _, _ = read(source)  # a file alone may be called anything
    assert task.annotator == "me"


def test_a_folder_in_parts_gives_what_the_whole_gives(tmp_path):
    for name, user in (("ada", 1), ("bob", 2), ("eve", 3)):
        rows = [by_users(user, user, 7) | {"text": f"{TEXT} {name} 👍🏽 {number}"} for number in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert is_divided(Doccano(str(tmp_path), ["PER", "LOC"]), 100)


def test_a_folder_for_each_user(tmp_path):
    for name, spans in (("ada", PAIRS[:1]), ("bob", PAIRS[1:2])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.jsonl").write_text(json.dumps({"text": TEXT, "label": spans}))
    tasks, _, _ = read(Doccano(str(tmp_path), ["PER"]))
    assert [(task.annotator, task.source) for task in tasks] == [("ada", "ada/all.jsonl:1"), ("bob", "bob/all.jsonl:1")]


@pytest.mark.parametrize(
    ("who", "annotator"),
    [({"username": "ada", "metadata": {}}, "ada"), ({"user": 3}, "3"), ({"annotator": "ben"}, "ben"),
     ({"username": "all"}, "me"), ({"user": None}, "me"), ({"user": {"id": 3}}, "me"), ({}, "me")],
)  # fmt: skip
def test_who_annotated_a_row(export, who, annotator):
    (task,), _, _ = read(export({"doc_id": 4, "text": TEXT, "entities": PAIRS} | who, annotator="me"))
    assert (task.annotator, task.meta) == (annotator, {"doc_id": 4})


# What is no answer about spans


def test_a_text_that_somebody_approved_is_annotated_also_without_spans(export):
    rows = [{"text": TEXT, "label": [], "annotation_approver": who} for who in ("admin", None)]
    (task,), intake, _ = read(export(*rows))
    assert (task.spans, task.meta) == ([], {})
    assert intake.records["kept"] == 1


@pytest.mark.parametrize("label", [["sports"], ["sports", "politics"], "sports", ["Une traduction."]])
def test_rows_of_projects_without_spans_are_no_answers(export, label):
    tasks, intake, skipped = read(export({"text": TEXT, "label": label}, {"text": TEXT, "label": PAIRS}))
    assert (len(tasks), skipped) == (1, [])
    assert intake.records["skipped"] == 0
    assert not export({"text": TEXT, "label": label}).recognizes()


def test_the_definitions_of_labels_are_no_texts(export):
    definition = {"id": 1, "text": "PER", "suffix_key": "p", "background_color": "#209CEE", "text_color": "#ffffff"}
    tasks, intake, _ = read(export(definition, {"text": TEXT, "label": PAIRS}, without_spans="annotated"))
    assert [task.text for task in tasks] == [TEXT]
    assert intake.notes == {"definition of a label": 1}


def test_texts_without_spans_are_said_with_what_to_set(export):
    rows = [{"text": TEXT, "label": PAIRS}, {"text": "a", "label": []}, {"text": "b", "label": []}]
    told = '2 × text without spans, not annotated yet: without_spans = "annotated" if they are'
    assert export(*rows).findings() == [told]
    assert export(*rows, without_spans="annotated").findings() == []


def test_spans_beside_categories_are_read(export):
    (task,), intake, _ = read(export({"text": TEXT, "cats": ["travel"], "entities": PAIRS}))
    assert (task.spans, intake.notes, task.meta) == ([ADA, BOB], {"categories are not read": 1}, {})


def test_the_address_of_a_file_is_no_text(export):
    _, _, (skip,) = read(export({"text": "/media/upload/1.txt", "label": [[0, 3, "PER"]]}))
    assert skip.reason == "the text is not there, but the address of a file"


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
        ({"text": TEXT, "label": ["sports", 3]}, "Expected `object | array`, got `str`"),
        ({"text": TEXT, "label": {"spans": PAIRS}}, "Expected `array"),
        ({"text": TEXT, "labels": 3}, "Expected `array"),
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
    with pytest.raises(UserError, match=r"nowhere.jsonl: no such file, nor folder with a file"):
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
