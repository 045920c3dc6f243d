"""The keys that every `[datasets.*]` block can have: the same for all readers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scripts.core.answers import Span
from scripts.core.errors import plain_console
from scripts.core.settings import DatasetOptions
from scripts.merging.pull import pull
from scripts.reporting.accounts import print_pulled
from scripts.sources.brat import Brat
from scripts.sources.documents import Document, DocumentReader, Record
from scripts.sources.label_studio import LabelStudio
from scripts.sources.offsets import Mark
from scripts.sources.options import read_answers
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from tests.prodigy import line, read, task

TEXT = "Ada met Bob in Rome"
ADA, BOB, ROME = (0, 3), (8, 11), (15, 19)


class Taken:
    """A source as `pull` reads it: with the options of its block."""

    def __init__(self, source, **options):
        self.source, self.options = source, DatasetOptions(**options)

    def read(self, dataset, intake):
        return read_answers(self.source, dataset, self.options, intake)


@pytest.fixture
def export(tmp_path):
    """An export of Prodigy's with tasks, as a source."""

    def write(*tasks, labels=("PER", "LOC")):
        (tmp_path / "ner.jsonl").write_text("\n".join(map(line, tasks)), "utf8")
        return ProdigyJsonl(str(tmp_path / "ner.jsonl"), list(labels))

    return write


def of(annotator, *spans, **fields):
    return task(TEXT, spans, _session_id=f"ner-{annotator}" if annotator else None, **fields)


def test_only_the_answers_of_some_annotators_are_taken(export):
    source = export(of("ana", (*ADA, "PER")), of("ben", (*ADA, "PER"), (*ROME, "LOC")), of("", (*BOB, "PER")))
    (answer,), intake, _ = read(Taken(source, annotators=["ana"]))
    assert (answer.annotator, answer.spans) == ("ana", [Span(*ADA, "PER")])
    assert intake.records == {"read": 3, "kept": 1, "answers": 1, "other_annotators": 2}
    assert +intake.spans == {"read": 4, "kept": 1, "other_annotators": 3}
    assert intake.annotators == {"ben": 1, "": 1}
    assert (intake.missing_labels, intake.missing_annotators) == (["LOC"], [])  # in what ana answered


def test_an_annotator_who_never_answers_is_noted(export):
    tasks, intake, _ = read(Taken(export(of("ana", (*ADA, "PER"))), annotators=["ana", "cleo"]))
    assert len(tasks) == 1
    assert intake.missing_annotators == ["cleo"]


def test_of_a_record_of_several_annotators_some_are_taken(tmp_path):
    def annotation(who, start, end):
        value = {"start": start, "end": end, "text": TEXT[start:end], "labels": ["PER"]}
        return {"completed_by": who, "result": [{"type": "labels", "value": value}]}

    path = tmp_path / "project.json"
    path.write_text(
        line([{"id": 1, "data": {"text": TEXT}, "annotations": [annotation(1, *ADA), annotation(2, *BOB)]}])
    )
    (answer,), intake, _ = read(Taken(LabelStudio(str(path), ["PER"]), annotators=["2"]))
    assert answer.spans == [Span(*BOB, "PER")]
    assert intake.records == {"read": 1, "kept": 1, "answers": 1, "other_annotators": 0}
    assert (intake.spans["other_annotators"], intake.annotators) == (1, {"1": 1})


def test_labels_get_our_names(export):
    found = task(TEXT, [(*ADA, "PER"), (*ROME, "LOC"), (*BOB, "TITLE")])
    found["versions"] = [{"spans": [{"start": 0, "end": 3, "label": "PER"}]}]
    (answer,), intake, _ = read(Taken(export(found), rename={"PER": "PERSON"}))
    assert answer.labels == ["LOC", "PERSON"]
    assert answer.spans == [Span(*ADA, "PERSON"), Span(*ROME, "LOC")]
    assert answer.versions == [[Span(*ADA, "PERSON")]]
    assert answer.other_labels == ["TITLE"]
    assert (intake.labels, intake.renamed) == ({"TITLE": 1}, {"PER → PERSON": 1})


def test_two_labels_of_the_source_can_be_one_of_ours(export):
    source = export(task(TEXT, [(*ADA, "PER"), (*ROME, "LOC"), (*ROME, "PER")]))
    (answer,), intake, (skip,) = read(Taken(source, rename={"PER": "NAME", "LOC": "NAME"}))
    assert (answer.labels, answer.spans) == (["NAME"], [Span(*ADA, "NAME"), Span(*ROME, "NAME")])
    assert (intake.spans["skipped"], skip.reason) == (1, "span equal to another one under our name of its label")


def test_our_label_is_complete_only_where_all_of_the_source_s_are(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "a.ann").write_text("T1\tPER 0 3\tAda\nT2\tLOC 15 19\tParis\nT3\tLOC 15 19\tRome\n")
    source = Brat(str(tmp_path), ["PER", "LOC"])
    (whole, alone), _, _ = read(Taken(source))
    assert (whole.kind, whole.labels, alone.kind) == ("manual", ["PER"], "binary")
    answers, _, _ = read(Taken(source, rename={"PER": "NAME", "LOC": "NAME"}))
    assert [(one.kind, one.labels, one.spans) for one in answers] == [
        ("binary", ["NAME"], [Span(*ADA, "NAME")]),
        ("binary", ["NAME"], [Span(*ROME, "NAME")]),
    ]
    (tmp_path / "a.ann").write_text("T2\tLOC 15 19\tParis\n")
    answers, intake, _ = read(Taken(source, rename={"PER": "NAME", "LOC": "NAME"}))
    assert (answers, intake.records["skipped"]) == ([], 1)


def test_a_label_that_no_answer_has_is_noted_under_its_name_in_the_source(export):
    _, intake, _ = read(Taken(export(task(TEXT, [(*ADA, "PER")])), rename={"LOC": "PLACE"}))
    assert intake.missing_labels == ["LOC"]


def test_the_screen_of_pull_says_what_the_options_did(export, tmp_path, capsys):
    source = export(of("ana", (*ADA, "PER"), (*BOB, "PER")), of("ben", (*ADA, "PER")), of("", (*ADA, "PER")))
    options = DatasetOptions(rename={"PER": "PERSON"}, annotators=["ana"])
    entries = pull({"ner": source}, tmp_path / "out", 0.5, 1, options={"ner": options}).manifest.datasets
    print_pulled(plain_console(width=200), entries, {"LOC (ner)": 2}, ["ner: no answer of zoe"])
    screen = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in screen] == [
        "dataset records = kept + other annotators spans = kept + other annotators",
        "ner 3 1 2 4 2 2",
        "In no block's labels: 2 × LOC (ner)",
        "Renamed: 2 × PER → PERSON",
        "Other annotators: 1 × an answer without a name",
        "Other annotators: 1 × ben",
        "⚠ ner: no answer of zoe",
    ]


LABELS = ["A", "B", "C"]
NAMES = st.sampled_from(["A", "B", "X", "Y"])
PLACES = st.tuples(st.integers(0, 3), st.integers(4, 7), st.sampled_from([*LABELS, "OTHER"]))


@st.composite
def documents(draw):
    """Documents of several annotators, some of them incomplete."""
    marks = [Mark(*place) for place in draw(st.lists(PLACES, max_size=4, unique=True))]
    complete = draw(st.none() | st.lists(st.sampled_from(LABELS), unique=True))
    return Document("a text about Ada", marks, complete=complete, annotator=draw(st.sampled_from(["ana", "ben", ""])))


@given(
    st.lists(st.lists(documents(), min_size=1, max_size=3), min_size=1, max_size=4),
    st.lists(st.sampled_from(["ana", "ben", "cleo"]), unique=True),
    st.dictionaries(st.sampled_from(LABELS), NAMES, max_size=3),
)
def test_whatever_the_options_the_account_adds_up_and_no_span_is_lost(records, annotators, rename):
    class Made:
        labels = LABELS

        def read(self, dataset, intake):
            found = [Record(f"r:{number}", one) for number, one in enumerate(records, 1)]
            return DocumentReader(dataset, LABELS).read(found, intake)

    plain, _, _ = read(Made())
    tasks, _, _ = read(Taken(Made(), annotators=annotators, rename=rename))
    wanted = [one for one in plain if not annotators or one.annotator in annotators]
    spans = {(one.source, one.annotator, span) for one in wanted for span in one.spans}
    expected = {(*place, replace(span, label=rename.get(span.label, span.label))) for *place, span in spans}
    assert {(one.source, one.annotator, span) for one in tasks for span in one.spans} == expected
    for one in tasks:
        if one.kind == "manual":
            sources = {label for label in LABELS if rename.get(label, label) in one.labels}
            assert any(sources <= {*found.labels} for found in wanted if found.source == one.source)
