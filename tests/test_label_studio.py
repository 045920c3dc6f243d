"""Label Studio's exports: JSON and JSON-MIN, of all versions."""

from __future__ import annotations

import json

import pytest

from scripts.core.answers import Span
from scripts.merging.account import Account
from scripts.merging.merge_text import merge_text
from scripts.merging.rules import MergeRules
from scripts.sources.documents import MISQUOTED
from scripts.sources.label_studio import LabelStudio
from scripts.sources.offsets import AMBIGUOUS
from tests.prodigy import read
from tests.test_divided import is_divided

TEXT = "🦆 Ada met Bob"
ADA, BOB = Span(2, 5, "PER"), Span(10, 13, "PER")


def units(offset):
    """An offset in the text as browsers count."""
    return len(TEXT[:offset].encode("utf-16-le")) // 2


def region(span=ADA, quoted=True, labels=None, **fields):
    value = {"start": units(span.start), "end": units(span.end), "labels": [span.label] if labels is None else labels}
    quote = {"text": TEXT[span.start : span.end]} if quoted else {}
    return {"id": "x1", "from_name": "label", "to_name": "text", "type": "labels", "value": value | quote} | fields


def annotation(*results, **fields):
    return {"id": 1, "completed_by": 2, "result": list(results), "was_cancelled": False,
            "created_at": "2023-12-08T14:51:55.388658Z", "updated_at": "2023-12-08T14:51:56Z"} | fields  # fmt: skip


def made(*annotations, **fields):
    return {"id": 9, "data": {"text": TEXT, "name": "d1"}, "annotations": list(annotations)} | fields


def japanese():
    """A task in which nothing tells the unit of the offsets."""
    bare = {"type": "labels", "value": {"start": 2, "end": 4, "labels": ["PER"]}}
    return made(annotation(bare), data={"text": "🦆東京に行く"})


@pytest.fixture
def export(tmp_path):
    """A function that writes an export and gives a source that reads it."""

    def write(*tasks, labels=("PER",), **settings):
        path = tmp_path / "export.json"
        path.write_text(json.dumps(tasks))
        return LabelStudio(str(path), list(labels), **settings)

    return write


def test_a_task_is_an_answer(export):
    source = export(made(annotation(region(), region(BOB), region(Span(0, 1, "LOC")))))
    (task,), intake, _ = read(source)
    assert (task.text, task.spans, task.answer, task.kind) == (TEXT, [ADA, BOB], "accept", "manual")
    assert (task.annotator, task.timestamp, task.source) == ("2", 1_702_047_116, "export.json:1")
    assert task.meta == {"name": "d1", "id": 9}
    assert intake.spans == {"read": 3, "kept": 2, "other_labels": 1}
    assert source.recognizes()
    assert source.labels_found() == {"PER": 2, "LOC": 1}


def test_json_min_is_the_same(export):
    (whole,), _, _ = read(export(made(annotation(region(), region(BOB)))))
    regions = [one["value"] for one in (region(), region(BOB))]
    about = {"annotator": 2, "annotation_id": 1, "updated_at": "2023-12-08T14:51:56Z", "lead_time": 2.5}
    minimal = {"text": TEXT, "name": "d1", "id": 9, "label": regions} | about
    (short,), _, _ = read(export(minimal))
    assert short == whole
    other = {("entities" if key == "label" else key): value for key, value in minimal.items()}
    (named,), _, _ = read(export(other))  # the key is the name of the control
    assert named == whole
    assert export(other).recognizes()


def test_completions_of_old_versions(export):
    old = {
        "id": 9,
        "data": {"text": TEXT, "name": "d1"},
        "completions": [{"created_at": 1_600_000_000, "id": 3, "result": [region()]}],
    }
    (task,), _, _ = read(export(old))
    assert (task.spans, task.timestamp, task.annotator) == ([ADA], 1_600_000_000, "")


@pytest.mark.parametrize(
    ("completed_by", "annotator"),
    [(2, "2"), ("eve@x.org", "eve@x.org"), ({"id": 2, "email": "eve@x.org"}, "eve@x.org"), ({"id": 2}, "2"),
     (None, "me"), ([], "me"), (True, "me")],
)  # fmt: skip
def test_who_annotated(export, completed_by, annotator):
    (task,), _, _ = read(export(made(annotation(region(), completed_by=completed_by)), annotator="me"))
    assert task.annotator == annotator


@pytest.mark.parametrize("when", [None, "yesterday", [], -5, 1e300, "0001-01-01T00:00:00", True])
def test_a_missing_time_stays_missing(export, when):
    (task,), intake, _ = read(export(made(annotation(region(), created_at=when, updated_at=when))))
    assert task.timestamp is None
    assert sum(times for note, times in intake.notes.items() if note.startswith("time that is none")) == (
        when is not None
    )


def test_a_time_in_milliseconds(export):
    (task,), _, _ = read(export(made(annotation(region(), created_at=1_600_000_000_123, updated_at=None))))
    assert task.timestamp == 1_600_000_000


def test_several_annotators_have_an_answer_each(export):
    tasks, intake, _ = read(export(made(annotation(region()), annotation(region(BOB), completed_by=3))))
    assert [(task.annotator, task.spans) for task in tasks] == [("2", [ADA]), ("3", [BOB])]
    assert intake.records == {"read": 1, "kept": 1, "answers": 2}


def test_what_was_skipped_is_ignored(export):
    for skipped in ({"was_cancelled": True}, {"was_cancelled": None, "skipped": True}):
        (task,), _, _ = read(export(made(annotation(region(), **skipped))))
        assert task.answer == "ignore"


def test_nobody_annotated_it(export):
    for task in (made(), made(annotations=None), {"data": {"text": TEXT}}, made(predictions=[{"result": [region()]}])):
        tasks, intake, _ = read(export(task))
        assert not tasks
        assert intake.records == {"read": 1, "no_answer": 1}
    assert intake.notes["predictions are not read"] == 1


def test_a_submitted_text_without_spans_is_annotated_unless_set_otherwise(export):
    (task,), _, _ = read(export(made(annotation())))
    assert (task.spans, task.labels) == ([], ["PER"])
    tasks, intake, _ = read(export(made(annotation()), without_spans="unannotated"))
    assert not tasks
    assert intake.records["no_answer"] == 1


def test_other_results_are_noted(export):
    others = [{"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}] * 2 + [
        {"type": "choices", "value": {"choices": ["x"]}, "id": "b"}, {"type": "of our own", "value": 5}
    ]  # fmt: skip
    (task,), intake, _ = read(export(made(annotation(region(), *others))))
    assert task.spans == [ADA]
    assert intake.notes == {
        "results of type relation are not read": 2,
        "results of type choices are not read": 1,
        "results of type unknown are not read": 1,
    }


def test_spans_in_html_are_skipped(export):
    other = region() | {
        "type": "hypertextlabels",
        "value": {"start": "/p[1]", "end": "/p[1]", "hypertextlabels": ["PER"]},
    }
    tasks, intake, (skip, *_) = read(export(made(annotation(region(), other))))
    assert skip.reason == "HyperText is not read: only spans of plain text are"
    assert intake.spans == {"read": 2, "kept": 1, "skipped": 1}
    assert [task.kind for task in tasks] == ["binary"]


def test_a_region_with_two_labels_is_two_spans_and_one_without_is_skipped(export):
    tasks, intake, skipped = read(export(made(annotation(region(labels=["PER", "ORG"]))), labels=("PER", "ORG")))
    assert tasks[0].spans == [Span(2, 5, "ORG"), ADA]
    _, intake, skipped = read(export(made(annotation(region(), region(BOB, labels=[])))))
    assert [skip.reason for skip in skipped] == ["span without a label"]
    assert intake.spans == {"read": 2, "kept": 1, "skipped": 1}


def test_the_unit_of_offsets_follows_from_the_texts_in_spans_else_it_must_be_set(export):
    (task,), _, _ = read(export(made(annotation(region(), region(BOB, quoted=False)))))
    assert task.spans == [ADA, BOB]
    bare = made(annotation(region(quoted=False)))
    (task,), _, _ = read(export(bare))  # in any other unit it starts or ends inside a word
    assert task.spans == [ADA]
    tasks, _, (skip,) = read(export(japanese()))
    assert (tasks, skip.reason) == ([], AMBIGUOUS)
    (task,), _, _ = read(export(japanese(), offsets="utf16"))
    assert task.text[task.spans[0].start : task.spans[0].end] == "東京"
    (_, task), _, _ = read(export(bare, japanese()))  # the same tool wrote both
    assert task.text[task.spans[0].start : task.spans[0].end] == "東京"
    in_python = region()
    in_python["value"] |= {"start": 2, "end": 5}
    (task,), _, _ = read(export(made(annotation(in_python))))
    assert task.spans == [ADA]


def test_one_of_several_answers_that_cannot_be_used(export):
    beyond = [region() | {"value": {"start": start, "end": 99, "labels": ["PER"]}} for start in (50, 60)]
    tasks, intake, skipped = read(export(made(annotation(region()), annotation(*beyond))))
    assert [task.spans for task in tasks] == [[ADA]]
    assert {skip.reason for skip in skipped} == {"offsets outside the text"}
    assert intake.spans == {"read": 3, "kept": 1, "skipped": 2}
    assert intake.records == {"read": 1, "kept": 1, "answers": 1}


def test_where_the_text_is(export):
    (task,), intake, _ = read(export(made(annotation(region()), data={"body": TEXT, "n": 3})))
    assert (task.text, intake.notes) == (TEXT, {})
    two = made(annotation(region()), data={"title": "About ducks", "body": TEXT})
    (task,), intake, _ = read(export(two))
    assert task.text == TEXT
    assert intake.notes == {"text taken from data.body, where most spans fit: set field for another": 1}
    (task,), intake, _ = read(export(two, field="body"))
    assert (task.text, intake.notes) == (TEXT, {})
    _, _, (skip,) = read(export(made(annotation(), data={"title": "About ducks", "body": TEXT})))
    assert skip.reason == "no text in data: set field to title or body"
    _, _, (skip,) = read(export(made(annotation(), data={"dialogue": [{"author": "Ada", "text": "Quack"}]})))
    assert skip.reason == "no text in data"


HEADLINE = "Bob grew old"
IN_HEADLINE = {"value": {"start": 0, "end": 3, "text": "Bob", "labels": ["PER"]}, "to_name": "h", "from_name": "l"}


def two_texts(number, *results, **fields):
    return made(annotation(*results), data={"headline": HEADLINE, "text": f"{TEXT} {number}"}, id=number, **fields)


def test_results_of_another_object_are_not_of_this_text(export):
    tasks = [two_texts(1, region(), region(BOB), IN_HEADLINE), two_texts(2, region(BOB), IN_HEADLINE)]
    tasks.append(two_texts(3, IN_HEADLINE))
    found, intake, skipped = read(export(*tasks))
    assert [task.spans for task in found] == [[ADA, BOB], [BOB], []]
    assert (intake.spans["read"], skipped) == (3, [])
    assert intake.notes == {
        "text taken from data.text, where most spans fit: set field for another": 3,
        "span in data.headline, another text: set field to headline to read it": 3,
    }
    headlines, intake, _ = read(export(*tasks, field="headline"))
    assert [(task.text, task.spans) for task in headlines] == [(HEADLINE, [Span(0, 3, "PER")])] * 3
    assert intake.notes == {"span in data.text, another text: set field to text to read it": 3}
    assert export(*tasks).labels_found() == {"PER": 3}
    everything, _, skipped = read(export(*tasks, field="text", to_name=["text", "h"]))
    assert len(skipped) == 4  # the quotes of the headline are not there, and one text has nothing else
    assert everything


def test_objects_without_quotes_are_told_by_their_names_and_the_words(export):
    bare = IN_HEADLINE | {"value": {"start": 0, "end": 3, "labels": ["PER"]}}
    by_words = two_texts(1, region(quoted=False), region(BOB, quoted=False), bare)
    (task,), _, _ = read(export(by_words))
    assert task.spans == [ADA, BOB]
    same = {"title": "Bob met", "body": "Ada met"}
    (task,), _, _ = read(export(made(annotation(bare | {"to_name": "body"}), data=same)))
    assert task.text == "Ada met"


def test_each_control_of_json_min_is_read(export):
    minimal = {
        "text": TEXT, "id": 9, "annotator": 2, "annotation_id": 1, "lead_time": 2.5, "mood": "calm",
        "people": [region(BOB)["value"]], "places": [region(Span(0, 1, "LOC"))["value"]],
        "who": [region()["value"]], "trade": [{"start": 3, "end": 6, "text": "Ada", "choices": ["poet"]}],
    }  # fmt: skip
    (task,), _, _ = read(export(minimal, labels=("PER", "LOC")))
    assert {(span.start, span.label) for span in task.spans} == {(0, "LOC"), (2, "PER"), (10, "PER")}
    one_of_them = {key: minimal[key] for key in ("text", "annotation_id", "places")}
    assert export(one_of_them).recognizes()
    assert export(one_of_them).labels_found() == {"LOC": 1}


def test_controls_of_json_min_that_are_no_spans_of_text_say_so(export):
    page = {"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "startOffset": 0, "endOffset": 3}
    minimal = {
        "text": TEXT, "id": 9, "annotation_id": 1, "ner": [page | {"hypertextlabels": ["PER"]}],
        "mood": [{"start": 3, "end": 6, "text": "Ada", "choices": ["calm"]}],
    }  # fmt: skip
    source = export(minimal)
    assert source.labels_found() == {"PER": 1}
    tasks, intake, skipped = read(source)
    assert not tasks
    assert skipped[0].reason == "HyperText is not read: only spans of plain text are"
    assert intake.notes["results of type choices are not read"] == 1


def test_a_task_of_json_min_that_nobody_annotated(export):
    about = {"annotator": None, "annotation_id": None, "updated_at": None}
    tasks, intake, _ = read(export({"text": TEXT, "id": 9} | about))
    assert not tasks
    assert intake.records["kept"] == intake.records["skipped"] == 0


# Who decides


def decides(tasks):
    return [(task.annotator, task.kind, task.answer) for task in tasks]


@pytest.mark.parametrize(
    "who",
    [{"ground_truth": True}, {"honeypot": True},
     {"reviews": [{"accepted": False, "created_at": "2024-01-01"}, {"accepted": True, "created_at": "2024-01-02"}]}],
)  # fmt: skip
def test_ground_truth_and_accepted_annotations_decide(export, who):
    others = annotation(region(), completed_by=3), annotation(completed_by=4, ground_truth=False, reviews=[])
    tasks, _, _ = read(export(made(annotation(region(BOB), **who), *others)))
    assert decides(tasks) == [("2", "review", "accept"), ("3", "manual", "accept"), ("4", "manual", "accept")]


def gold(tasks, **settings):
    return merge_text(tasks, MergeRules("majority", **settings), Account())[0]


def test_a_ground_truth_decides_whoever_disagrees_and_whenever(export):
    truth = annotation(region(BOB), completed_by=2, ground_truth=True, updated_at="2023-01-01T00:00:00Z")
    others = [annotation(region(), completed_by=user) for user in (3, 4, 5)]
    own = annotation(region(), completed_by=2, updated_at="2024-01-01T00:00:00Z")
    tasks, intake, _ = read(export(made(*others, truth, own)))
    assert (gold(tasks).spans, gold(tasks).covered) == ([BOB], ["PER"])
    assert intake.notes == {"annotation of a user beside their own ground truth, ignored": 1}
    nothing, _, _ = read(export(made(*others, annotation(completed_by=2, ground_truth=True))))
    assert (gold(nothing).spans, gold(nothing).covered) == ([], ["PER"])
    voted, _, _ = read(export(made(*others, annotation(region(BOB), completed_by=2))))
    assert gold(voted).spans == [ADA]


def test_only_an_annotation_that_was_rejected_covers_nothing(export):
    tasks, _, _ = read(export(made(annotation(region(), reviews=[{"accepted": False}]))))
    assert (gold(tasks).covered, gold(tasks).spans) == ([], [])


def test_an_annotation_that_its_review_rejected_is_ignored(export):
    reviews = [{"accepted": True, "created_at": "2024-01-01"}, {"accepted": False, "created_at": "2024-02-01"}]
    tasks, intake, _ = read(export(made(annotation(region(), reviews=reviews), annotation(completed_by=3))))
    assert decides(tasks) == [("2", "manual", "ignore"), ("3", "manual", "accept")]
    assert intake.notes == {"annotation that a review rejected, ignored": 1}


# What is no answer about this text


@pytest.mark.parametrize(
    "address",
    ["/data/upload/248/06c9a-recipes.txt", "s3://bucket/texts/1", "https://host/texts/a.txt?X-Amz-Date=2",
     "docs/1.html",
     "/data/local-files/?d=texts/1.txt", "gs://bucket/a b".replace(" ", "_"), "C:\\texts\\1.txt"],
)  # fmt: skip
def test_the_address_of_a_file_is_no_text(export, address):
    bare = {"type": "labels", "value": {"start": 2, "end": 5, "labels": ["PER"]}}
    tasks, intake, (skip,) = read(export(made(annotation(bare), data={"text": address})))
    assert (tasks, skip.reason) == ([], "the text is not there, but the address of a file")
    assert intake.records == {"read": 1, "skipped": 1}


def test_a_link_with_spans_that_quote_something_else_is_no_text(export):
    link, quote = "https://host/articles/123", {"start": 204_443, "end": 205_641, "labels": ["PER"]}
    for value in (
        quote,
        {"start": 8, "end": 12, "labels": ["PER"]},
        {"start": 8, "end": 12, "text": "Ada", "labels": ["PER"]},
    ):
        _, _, (skip,) = read(export(made(annotation({"type": "labels", "value": value}), data={"text": link})))
        assert skip.reason == "the text is not there, but the address of a file"
    host = {"start": 8, "end": 12, "text": "host", "labels": ["PER"]}
    (task,), _, _ = read(export(made(annotation({"type": "labels", "value": host}), data={"text": link})))
    assert task.spans == [Span(8, 12, "PER")]


@pytest.mark.parametrize("text", ["https://t.co/x1", "see a/b.txt", "and/or", "1/2", "Dr. No", "user@host.txt"])
def test_a_text_with_a_slash_or_a_link_is_a_text(export, text):
    (task,), _, _ = read(export(made(annotation(), data={"text": text})))
    assert task.text == text


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [("paragraphlabels", {"start": "0", "end": "0", "startOffset": 0, "endOffset": 3}, "Paragraphs"),
     ("hypertextlabels", {"start": "/p[1]", "globalOffsets": {"start": 0, "end": 3}}, "HyperText"),
     ("labels", {"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "startOffset": 0}, "HyperText"),
     ("labels", {"start": 0.5, "end": 1.25, "channel": 0}, "Audio"),
     ("timeserieslabels", {"start": 1, "end": 2, "instant": False}, "TimeSeries")],
)  # fmt: skip
def test_spans_of_other_objects_say_what_they_are(export, kind, value, reason):
    other = region() | {"type": kind, "value": value | {kind: ["PER"]}}
    source = export(made(annotation(other)))
    assert source.labels_found() == {"PER": 1}
    tasks, _, (skip, _) = read(source)
    assert (tasks, skip.reason) == ([], f"{reason} is not read: only spans of plain text are")


def test_a_folder_in_parts_gives_what_the_whole_gives(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(json.dumps([two_texts(number, region(), IN_HEADLINE)]))
    assert is_divided(LabelStudio(str(tmp_path), ["PER"]), 100)


def test_a_file_of_a_target_storage_and_a_folder_of_them(export, tmp_path):
    folder = tmp_path / "storage"
    folder.mkdir()
    for number, found in enumerate((ADA, BOB), 1):
        stored = annotation(region(found), completed_by={"id": 2, "email": "eve@x.org"})
        stored["task"] = {"id": number, "data": {"text": TEXT}}
        (folder / f"{number}.json").write_text(json.dumps(stored))
    source = LabelStudio(str(folder), ["PER"])
    assert source.recognizes()
    tasks, _, _ = read(source)
    assert [(task.spans, task.annotator, task.meta) for task in tasks] == [
        ([ADA], "eve@x.org", {"id": 1}), ([BOB], "eve@x.org", {"id": 2})
    ]  # fmt: skip


@pytest.mark.parametrize(
    "task",
    [
        3,
        [],
        {},
        {"data": 3},
        {"id": 1},
        made({"result": 3}),
        made(annotation({"type": "labels"})),
        made(annotation(region() | {"value": {"start": "a"}})),
    ],
)
def test_a_record_that_is_no_task_is_skipped(export, task):
    tasks, intake, (skip,) = read(export(task))
    assert not tasks
    assert skip.place == "export.json:1"
    assert intake.records == {"read": 1, "skipped": 1}


def test_tasks_with_a_line_for_each_key(tmp_path):
    path = tmp_path / "tasks.json"
    tasks = [made(annotation(region(found))) for found in (ADA, BOB)]
    path.write_text("\n".join(json.dumps(task, indent=2) for task in tasks) + "\n{\n")
    found, _, (skip,) = read(LabelStudio(str(path), ["PER"]))
    assert [(task.spans, task.source) for task in found] == [([ADA], "tasks.json:1"), ([BOB], "tasks.json:2")]
    assert skip.place == "tasks.json:3"
    assert LabelStudio(str(path), ["PER"]).recognizes()


# Quotes and offsets, as the browser makes them


def quoted(text, start, end, quote):
    value = {"start": start, "end": end, "text": quote, "labels": ["PER"]}
    return made(annotation({"type": "labels", "value": value, "to_name": "text"}), data={"text": text})


@pytest.mark.parametrize(
    ("text", "start", "end", "quote", "covered"),
    [
        ("Near Mount Ararat Lodge today", 5, 23, "ount Ararat Lo", "Mount Ararat Lodge"),  # granularity="word"
        ("Near Lodge", 5, 10, "odg", "Lodge"),
        ("One\nTwo Three\nFour", 4, 18, "Two Three\\nFour", "Two Three\nFour"),  # a backslash and an n
        ("One\ttwo", 0, 7, "One\\ttwo", "One\ttwo"),
        ("Hey 🙂\r\nAda\r\nMay is here", 11, 14, "May", "May"),  # UTF-16, and line ends as one
        ("Hey\r\n\r\nAda May", 9, 12, "May", "May"),
        ("Hey Ada\u00a0May", 4, 11, "Ada May", "Ada\u00a0May"),
    ],
)
def test_quotes_as_the_browser_makes_them(export, text, start, end, quote, covered):
    (task,), _, skipped = read(export(quoted(text, start, end, quote)))
    assert ([text[span.start : span.end] for span in task.spans], skipped) == ([covered], [])


@pytest.mark.parametrize(
    ("text", "start", "end", "quote"),
    [("From:  Ada May here", 6, 9, "Ada"), ("From: Ada May", 11, 14, "May"), ("From: Ada May", 5, 8, "Ada"),
     ("Ada Mayer", 4, 7, "May Day")],
)  # fmt: skip
def test_a_span_beside_its_quote_is_skipped_and_never_moved(export, text, start, end, quote):
    tasks, _, skipped = read(export(quoted(text, start, end, quote)))
    assert not tasks
    assert skipped[0].reason in (MISQUOTED, "offsets outside the text")
