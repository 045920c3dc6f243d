"""Training data of spaCy 2 and its kin, told by their structure."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.sources.importing import find_datasets
from scripts.sources.training_data import TrainingData
from tests.prodigy import read

TEXT = "Ada met Bob in Köln."
ADA, BOB, TOWN = Span(0, 3, "PER"), Span(8, 11, "PER"), Span(15, 19, "LOC")
ALL = [ADA, BOB, TOWN]
TRIPLES = [list(span) for span in ((0, 3, "PER"), (8, 11, "PER"), (15, 19, "LOC"))]
OBJECTS = [{"start": start, "end": end, "label": label} for start, end, label in TRIPLES]
TAGS = ["U-PER", "O", "U-PER", "O", "U-LOC", "O"]
TOKENS = ["Ada", "met", "Bob", "in", "Köln", "."]
NONE = "Nobody came."


@pytest.fixture
def stored(tmp_path):
    """A function that writes a file and gives a source that reads it; what is no text is written as JSON."""

    def write(content, name="data.json", labels=("PER", "LOC"), **settings):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text, "utf8")
        return TrainingData(str(tmp_path / name), list(labels), **settings)

    return write


def spacy2(raw=TEXT, tags=TAGS):
    tokens = [{"id": n, "orth": token, "ner": tag} for n, (token, tag) in enumerate(zip(TOKENS, tags, strict=True))]
    paragraph = {"sentences": [{"tokens": tokens[:3]}, {"tokens": tokens[3:]}]} | ({"raw": raw} if raw else {})
    return [{"id": 0, "paragraphs": [paragraph]}]


def inclusive(**names):
    """Objects with the position of the last character as end."""
    return [{names["start"]: s, names["end"]: e - 1, names["label"]: label} for s, e, label in TRIPLES]


SHAPES = {
    "TRAIN_DATA": [[TEXT, {"entities": TRIPLES}]],
    "pairs of a text and a list": [[TEXT, TRIPLES]],
    "ner-annotator": {"classes": ["PER", "LOC"], "annotations": [[TEXT, {"entities": TRIPLES}]]},
    "JSON of spaCy 2": spacy2(),
    "Doc.to_json of spaCy 3": {"text": TEXT, "ents": OBJECTS, "sents": [], "tokens": [{"id": 0, "start": 0, "end": 3}]},
    "Doc.to_json with spans under a key": [{"text": TEXT, "ents": [], "spans": {"sc": OBJECTS}}],
    **{f"objects under {key}": [{"text": TEXT, key: OBJECTS}] for key in ("entities", "spans", "labels", "ents")},
    "objects under another key": [{"content": TEXT, "highlights": OBJECTS}],
    "the label first": [{"text": TEXT, "entities": [[label, start, end] for start, end, label in TRIPLES]}],
    "numbers that are written as text": [[TEXT, {"entities": [[str(s), str(e), label] for s, e, label in TRIPLES]}]],
    "Dataturks": [{"content": TEXT, "extras": None, "annotation": [
        {"label": [label], "points": [{"start": s, "end": e - 1, "text": TEXT[s:e]}]} for s, e, label in TRIPLES]}],
    "Dataturks without quotes": [{"content": TEXT, "annotation": [
        {"label": label, "points": [{"start": s, "end": e - 1}]} for s, e, label in TRIPLES]}],
    "LUIS": {"luis_schema_version": "3.0", "utterances": [
        {"text": TEXT, "intent": "x", "entities": inclusive(start="startPos", end="endPos", label="entity")}]},
    "Rasa": {"rasa_nlu_data": {"regex_features": [{"name": "a", "pattern": "b"}], "common_examples": [
        {"text": TEXT, "intent": "x", "entities": [
            {"start": s, "end": e, "value": "a synonym", "entity": label} for s, e, label in TRIPLES]}]}},
    "LightTag": {"examples": [{"content": TEXT, "annotations": [
        {"start": s, "end": e, "value": TEXT[s:e], "tag": label} for s, e, label in TRIPLES]}]},
    "Ground Truth": {"source": TEXT, "a-job": {"annotations": {"entities": [
        {"label": label, "startOffset": s, "endOffset": e} for s, e, label in TRIPLES]}}, "a-job-metadata": {}},
    "UBIAI": [{"documentName": "a", "document": TEXT, "tokens": [
        {"text": TEXT[s:e], "start": s, "end": e, "entityLabel": label} for s, e, label in TRIPLES], "relations": []}],
    "Argilla": [{"text": TEXT, "tokens": ["Ada", "met"], "status": "Validated", "prediction": [["LOC", 4, 7, 0.3]],
        "annotation": [[label, s, e] for s, e, label in TRIPLES]}],
    "objects by name": {"a.txt": {"text": TEXT, "entities": OBJECTS}},
    "a length in place of an end": [{"text": TEXT, "entities": [
        {"offset": s, "length": e - s, "category": label} for s, e, label in TRIPLES]}],
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_recognized_and_read(shape, stored):
    source = stored(SHAPES[shape])
    (found,) = find_datasets("", source.path, {})
    assert found.reader == "labelwise.TrainingData.v1"
    (task,), intake, _ = read(source)
    assert (task.text, task.spans, task.kind, task.labels) == (TEXT, ALL, "manual", ["LOC", "PER"])
    assert intake.spans == {"read": 3, "kept": 3}


@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data.txt"])
@pytest.mark.parametrize("shape", ["TRAIN_DATA", "Dataturks", "objects under spans", "Doc.to_json of spaCy 3"])
def test_lines_of_json_too(name, shape, stored):
    rows = SHAPES[shape] if isinstance(SHAPES[shape], list) else [SHAPES[shape]]
    tasks, _, _ = read(stored("\n".join(json.dumps(row) for row in rows * 3) + "\n", name))
    assert [task.spans for task in tasks] == [ALL] * 3
    assert [task.source for task in tasks] == [f"{name}:{number}" for number in (1, 2, 3)]


@pytest.mark.parametrize("shape", ["ner-annotator", "Rasa", "Doc.to_json of spaCy 3"])
def test_an_object_over_several_lines(shape, stored):
    (task,), _, _ = read(stored(json.dumps(SHAPES[shape], indent=2)))
    assert task.spans == ALL


PYTHON = f"""import random
import spacy

OTHER = [1, 2]
TRAIN_DATA = [
    ({TEXT!r}, {{"entities": [(0, 3, "PER"), (8, 11, "PER"), (15, 19, "LOC")]}}),  # a comment
    ("Nobody came.", {{'entities': []}}),
]
random.shuffle(TRAIN_DATA)
nlp = spacy.blank("en")
"""


def test_python_is_read_and_not_run(stored, tmp_path):
    made = tmp_path / "made"
    tasks, intake, _ = read(stored(PYTHON + f"open({str(made)!r}, 'w')\n", "train.py"))
    assert [(task.text, task.spans) for task in tasks] == [(TEXT, ALL), (NONE, [])]
    assert intake.records == {"read": 2, "kept": 2, "answers": 2}
    assert not made.exists()
    assert find_datasets("", str(tmp_path / "train.py"), {})[0].spans == {"PER": 2, "LOC": 1}


@pytest.mark.parametrize("content", [
    repr([(TEXT, {"entities": [tuple(span) for span in TRIPLES]})]),
    f"({TEXT!r}, {{'entities': {TRIPLES}}})\n",
    repr([{"text": TEXT, "entities": TRIPLES}]),
])  # fmt: skip
def test_what_python_prints_is_read(content, stored):
    (task,), _, _ = read(stored(content, "printed.txt"))
    assert task.spans == ALL


def test_what_json_cannot_have_in_python(stored):
    links = "{(0, 3): {'Q1': 1.0}}"
    pair = f"('\\ud800 {TEXT}', {{'entities': [(2, 5, 'PER')], 'links': {links}}})"
    content = f"DATA = [{pair}, {{'text': 'a', 'x': {10**30}}}]"
    (task,), _, _ = read(stored(content, "data.py"))
    assert (task.text, task.spans) == (f"? {TEXT}", [Span(2, 5, "PER")])


def test_a_text_without_spans_has_none_and_one_without_a_list_is_not_annotated(stored):
    rows = [{"text": NONE, "entities": []}, {"text": TEXT, "entities": OBJECTS}, {"text": "Who?"}, None]
    tasks, intake, _ = read(stored(rows))
    assert [(task.text, task.spans) for task in tasks] == [(NONE, []), (TEXT, ALL)]
    assert intake.records == {"read": 4, "kept": 2, "answers": 2, "no_answer": 2}
    turks = [{"content": NONE, "annotation": None}, *SHAPES["Dataturks"]]
    assert read(stored(turks))[1].records == {"read": 2, "kept": 1, "answers": 1, "no_answer": 1}


def test_predictions_and_what_nobody_submitted_are_no_answers(stored):
    predicted = [["LOC", 4, 7, 0.3]]
    rows = [
        {"text": TEXT, "annotation": None, "prediction": predicted, "status": "Default"},
        {"text": f"{TEXT} 2", "predictions": OBJECTS},
        {"text": f"{TEXT} 3", "entities": OBJECTS, "status": "Discarded"},
        {"text": f"{TEXT} 4", "annotation": [["PER", 0, 3]], "status": "draft"},
        {"text": f"{TEXT} 5", "entities": OBJECTS},
    ]
    tasks, intake, _ = read(stored(rows))
    assert [(task.text[-1], task.answer) for task in tasks] == [("3", "ignore"), ("5", "accept")]
    assert intake.records["no_answer"] == 3


def test_tags_without_a_raw_text_and_tags_that_are_missing(stored):
    (task,), _, _ = read(stored(spacy2(raw="")))
    assert task.text == " ".join(TOKENS)
    assert [task.text[span.start : span.end] for span in task.spans] == ["Ada", "Bob", "Köln"]
    tasks, intake, _ = read(stored(spacy2(tags=["U-PER", "-", "-", "O", "-", "-"])))
    assert [(task.kind, task.spans) for task in tasks] == [("binary", [ADA])]
    tasks, intake, _ = read(stored(spacy2(tags=["-"] * 6)))
    assert (tasks, intake.records["no_answer"]) == ([], 1)
    _, intake, _ = read(stored(spacy2(raw="Quite another text.")))
    assert intake.reasons == {"tokens that are not those of the raw text": 1}


def test_tokens_with_tags_or_with_spans_of_tokens(stored):
    tagged = {"tokens": TOKENS, "ner_tags": ["B-PER", "O", "B-PER", "O", "B-LOC", "O"]}
    gliner = {"tokenized_text": TOKENS, "ner": [[0, 0, "PER"], [2, 2, "PER"], [3, 4, "LOC"]]}
    tasks, _, _ = read(stored([tagged, gliner, {"tokens": TOKENS, "ner_tags": [0] * 6}]))
    found = [[task.text[span.start : span.end] for span in task.spans] for task in tasks]
    assert found == [["Ada", "Bob", "Köln"], ["Ada", "Bob", "in Köln"]]


@pytest.mark.parametrize(("key", "beside"), [
    ("sentence", {"source": "The Daily News"}), ("body", {"document": "report nine", "source": "The Daily News"}),
    ("text", {"content": "a summary", "data": "of 2020"}), ("source", {"document": "report nine", "data": "of 2020"}),
])  # fmt: skip
def test_where_a_text_is_from_is_not_the_text(key, beside, stored):
    spans = [{"start": start, "end": end, "type": "entity", "tag": label} for start, end, label in TRIPLES]
    (task,), _, _ = read(stored([{**beside, key: TEXT, "entities": spans}]))
    assert (task.text, task.spans) == (TEXT, ALL)


@pytest.mark.parametrize("key", ["annotator", "annotator_id", "worker_id"])
def test_rows_of_several_annotators_are_answers_of_each(key, stored):
    rows = [{"text": TEXT, "entities": OBJECTS, key: "ana"}, {"tokens": TOKENS, "ner_tags": TAGS, key: 7}]
    assert [task.annotator for task in read(stored(rows))[0]] == ["ana", "7"]


@pytest.mark.parametrize("key", ["gold", "entities"])
def test_where_the_list_that_is_taken_is_empty_the_spans_of_another_are_not_taken(key, stored):
    rows = [{"text": TEXT, key: OBJECTS, "found": OBJECTS[1:]}, {"text": TEXT, key: [], "found": OBJECTS[:1]}]
    tasks, intake, _ = read(stored([*rows, {"text": NONE, key: []}, {"text": NONE}]))
    assert [task.spans for task in tasks] == [ALL, [], []]
    assert intake.records == {"read": 4, "kept": 3, "answers": 3, "no_answer": 1}
    assert intake.notes["spans under found are not taken: set key"] == 3


def test_spans_that_are_taken_for_want_of_the_usual_key_are_not_said_to_be_left(stored):
    rows = [{"text": TEXT, "entities": OBJECTS}, {"text": TEXT, "found": OBJECTS[:1], "comments": []}]
    tasks, intake, _ = read(stored(rows))
    assert [len(task.spans) for task in tasks] == [3, 1]
    assert not any("not taken" in note for note in intake.notes)


def test_what_a_row_says_of_itself_holds_for_tokens_with_tags_too(stored):
    row = {"tokens": TOKENS, "ner_tags": TAGS, "page": 7}
    rows = [row | {"answer": "reject"}, row | {"status": "Discarded"}, row | {"status": "pending"}, row]
    tasks, intake, _ = read(stored(rows))
    assert [task.answer for task in tasks] == ["reject", "ignore", "accept"]
    assert intake.records == {"read": 4, "kept": 3, "answers": 3, "no_answer": 1}
    assert tasks[-1].meta == {"page": 7}


def test_tags_of_a_text_without_its_tokens_are_no_missing_answer(stored):
    """As `ner.gold-to-spacy --biluo` of Prodigy wrote them."""
    _, intake, _ = read(stored([[TEXT, TAGS], [TEXT, {"entities": TAGS}]]))
    assert intake.reasons == {"tags, and not the tokens that they are of": 2}


def test_tokens_with_an_empty_list_of_spans_have_none(stored):
    gliner = {"tokenized_text": TOKENS, "ner": [[0, 0, "PER"]]}
    tasks, _, _ = read(stored([gliner, {"tokenized_text": ["Nobody", "came"], "ner": []}]))
    assert [(task.text, task.spans, task.labels) for task in tasks][1:] == [("Nobody came", [], ["LOC", "PER"])]
    (task,), _, _ = read(stored([{"text": TEXT, "tokens": TOKENS, "ner": [], "entities": OBJECTS}]))
    assert task.spans == ALL


def test_ends_that_are_inclusive_show_by_quotes_or_by_words(stored):
    short = [[start, end - 1, label] for start, end, label in TRIPLES]
    rows = [[f"{number} {TEXT}", {"entities": [[s + 2, e + 2, label] for s, e, label in short]}] for number in range(4)]
    source = stored(rows)
    tasks, intake, _ = read(source)
    assert [task.text[span.start : span.end] for task in tasks for span in task.spans] == ["Ada", "Bob", "Köln"] * 4
    assert intake.notes["ends taken as inclusive, as the spans tell"] == 1
    assert source.findings() == [
        'the ends of spans are taken as inclusive, since they fit so: ends = "exclusive" if they are not'
    ]
    quoted = [{"start": s, "end": e - 1, "label": label, "value": TEXT[s:e]} for s, e, label in TRIPLES]
    assert read(stored([{"text": TEXT, "entities": quoted}]))[0][0].spans == ALL
    exclusive = [{"label": [label], "points": [{"start": s, "end": e, "text": TEXT[s:e]}]} for s, e, label in TRIPLES]
    assert read(stored([{"content": TEXT, "annotation": exclusive}]))[0][0].spans == ALL
    assert read(stored(rows, ends="exclusive"))[0][0].spans[0] == Span(2, 4, "PER")


def test_a_quote_that_differs_is_skipped(stored):
    turks = [{"content": TEXT, "annotation": [{"label": ["PER"], "points": [{"start": 1, "end": 2, "text": "Ada"}]}]}]
    tasks, intake, _ = read(stored(turks))
    assert intake.reasons == {"quoted text differs from the text at the offsets": 1}
    assert [task.labels for task in tasks] == [["LOC"]]


def test_of_several_lists_the_one_with_most_spans_is_taken_and_the_others_are_named(stored):
    rows = [{"text": TEXT, "entities": OBJECTS[:1], "regions": OBJECTS}]
    (task,), intake, _ = read(stored(rows))
    assert task.spans == ALL
    assert intake.notes == {"spans under entities are not taken: set key": 1}
    assert stored(rows).findings() == ['1 spans under entities too (PER): key = "entities"']
    assert read(stored(rows, key="entities"))[0][0].spans == [ADA]


def test_what_cannot_be_read_is_counted(stored):
    rows = [[TEXT, {"entities": [*TRIPLES, [4, 7]]}], "odd", 5, {"a": 1}, [TEXT, {"entities": TAGS}]]
    _, intake, _ = read(stored(rows))
    assert intake.reasons == {
        "malformed span": 1,
        "no text with spans": 3,
        "tags, and not the tokens that they are of": 1,
    }
    assert intake.spans["read"] == 4
    _, intake, _ = read(stored('{"text": "a", "entities": []}\n{"text": \n'))
    assert intake.records["skipped"] == 1
    task = {"text": TEXT, "spans": OBJECTS, "_input_hash": 1, "_task_hash": 2}
    assert list(read(stored([task]))[1].reasons) == ["a task of Prodigy: save the file as JSONL, one task a line"]
    with pytest.raises(UserError, match="neither JSON nor Python"):
        read(stored("TRAIN_DATA = [(", "cut.py"))


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 30),
    st.floats(0, 9),
    st.sampled_from(["", "PER", TEXT, "5", "O"]),
)
KEYS = st.sampled_from([
    "text", "content", "entities", "spans", "labels", "label", "annotation", "annotations", "points", "start", "end",
    "paragraphs", "sentences", "tokens", "raw", "orth", "ner", "ner_tags", "tokenized_text", "tag", "length", "x",
])  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=25,
)


@given(st.lists(VALUES, min_size=1, max_size=4), st.sampled_from(["array", "lines", "object", "python"]))
def test_whatever_a_file_holds_the_account_adds_up(tmp_path_factory, values, form):
    path = tmp_path_factory.mktemp("any") / ("any.py" if form == "python" else "any.json")
    good = [TEXT, {"entities": TRIPLES}]
    content = {
        "array": json.dumps([good, *values]),
        "lines": "\n".join(map(json.dumps, [good, *values])),
        "object": json.dumps({"x": [good, *values]}, indent=1),
        "python": f"DATA = {[good, *values]!r}",
    }[form]
    path.write_text(content, "utf8")
    source = TrainingData(str(path), ["LOC", "PER"])
    source.recognizes()
    source.findings()
    tasks, intake, _ = read(source)
    assert tasks
    assert intake.records["read"] >= 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "[[[[[[[[]]]]]]]]", "null", "5", '"a"', "[" * 200, "\ufeff[]", "x = 1", "(" * 300]
)
def test_files_without_rows_are_none(content, stored):
    source = stored(content)
    try:
        assert source.recognizes() is False
        assert read(source)[0] == []
    except UserError as err:
        assert "\n" not in str(err)


@pytest.mark.parametrize("row", [
    {"text": TEXT, "ner.responses": [[OBJECTS[0]]], "ner.suggestion": [OBJECTS[2]], "ner.suggestion.score": [0.9]},
    {"text": TEXT, "ner": [{"user_id": "a", "value": [OBJECTS[0]]}], "ner-suggestion": [OBJECTS[2]]},
    {"text": TEXT, "predicted_entities": OBJECTS},
    {"text": TEXT, "modelPredictions": OBJECTS},
])  # fmt: skip
def test_what_a_model_suggested_is_never_taken_as_annotated(row, stored):
    tasks, intake, _ = read(stored([row]))
    assert (tasks, intake.records) == ([], {"read": 1, "no_answer": 1})
    assert read(stored([row | {"entities": OBJECTS[:1]}]))[0][0].spans == [ADA]


@pytest.mark.parametrize("said", [{"correct": False}, {"answer": "reject"}])
def test_a_span_that_a_review_rejected_is_known_to_be_wrong(said, stored):
    spans = [OBJECTS[0] | {"correct": True, "answer": "accept"}, OBJECTS[1] | {"correct": None}, OBJECTS[2] | said]
    tasks, intake, _ = read(stored({"examples": [{"content": TEXT, "annotations": spans}]}))
    assert [(task.kind, task.answer, task.spans) for task in tasks] == [
        ("manual", "accept", [ADA, BOB]), ("binary", "reject", [TOWN])
    ]  # fmt: skip
    assert intake.spans == {"read": 3, "kept": 3}


@pytest.mark.parametrize("tagged", [{"ner_tags": TAGS}, {"ner": [[0, 0, "PER"], [2, 2, "PER"], [4, 4, "LOC"]]}])
def test_tokens_are_taken_in_their_text_where_it_is_there(tagged, stored):
    (task,), _, _ = read(stored([{"source": "a book", "text": TEXT, "tokens": TOKENS} | tagged]))
    assert (task.text, task.spans) == (TEXT, ALL)
    (task,), _, _ = read(stored([{"text": TEXT + " And more.", "tokens": TOKENS} | tagged]))
    assert task.text == "Ada met Bob in Köln ."
