"""spaCy's DocBin."""

from __future__ import annotations

import pytest
import spacy
from msgspec.structs import replace
from spacy.tokens import Doc, DocBin, Span

from scripts.building.documents import DocMaker
from scripts.core.answers import GoldText
from scripts.core.answers import Span as Taken
from scripts.core.errors import UserError
from scripts.sources.docbin import DocBinFiles
from tests.prodigy import read

NLP = spacy.blank("en")
TEXT = "Ada met Bob 🦆 in Köln."


def made(ents=(), text=TEXT, **spans):
    """A Doc with entities and other spans, in tokens."""
    doc = NLP(text)
    doc.set_ents([Span(doc, *span) for span in ents])
    for key, found in spans.items():
        doc.spans[key] = [Span(doc, *span) for span in found]
    return doc


@pytest.fixture
def stored(tmp_path):
    """A function that writes Docs and gives a source that reads them."""

    def write(*docs, labels=("PER",), name="train.spacy", **settings):
        DocBin(docs=docs).to_disk(tmp_path / name)
        return DocBinFiles(str(tmp_path / name), list(labels), **settings)

    return write


ADA, BOB = (0, 1, "PER"), (2, 3, "PER")


def test_spans_that_a_model_predicted_are_taken_where_there_are_no_others(stored):
    (task,), intake, _ = read(stored(made(sc=[ADA], predicted=[ADA, BOB])))
    assert task.spans == [Taken(0, 3, "PER")]
    assert intake.notes["file without entities, spans taken from doc.spans['sc']"] == 1


def test_entities_are_spans(stored):
    source = stored(made([ADA, BOB, (5, 6, "LOC")]), made())
    (first, second), intake, _ = read(source)
    assert (first.text, first.spans, first.kind) == (TEXT, [Taken(0, 3, "PER"), Taken(8, 11, "PER")], "manual")
    assert (second.spans, second.labels) == ([], ["PER"])
    assert (first.source, second.source) == ("train.spacy:1", "train.spacy:2")
    assert intake.spans == {"read": 3, "kept": 2, "other_labels": 1}
    assert source.recognizes()
    assert source.labels_found() == {"PER": 2, "LOC": 1}


def test_spans_under_a_key(stored):
    doc = made([ADA], sc=[BOB, (2, 4, "PER")])
    (task,), _, _ = read(stored(doc, spans_key="sc"))
    assert task.spans == [Taken(8, 11, "PER"), Taken(8, 13, "PER")]
    tasks, intake, _ = read(stored(made([ADA]), spans_key="sc"))
    assert (tasks, intake.records) == ([], {"read": 1, "no_answer": 1})


def test_spans_under_a_key_are_taken_where_there_is_no_entity(stored):
    source = stored(made(sc=[BOB]), made(sc=[ADA], other=[(5, 6, "LOC")]))
    tasks, intake, _ = read(source)
    assert [task.spans for task in tasks] == [[Taken(8, 11, "PER")], [Taken(0, 3, "PER")]]
    assert intake.notes["file without entities, spans taken from doc.spans['sc']"] == 1
    assert source.findings() == [
        '1 spans (LOC) in doc.spans under another key: spans_key = "other"',
        'no entity in doc.ents, so spans are taken from doc.spans: spans_key = "sc"',
    ]


def test_spans_under_other_keys_are_named(stored):
    source = stored(made([ADA]), made(sc=[BOB, (5, 6, "LOC")]), made(gold=[BOB], incorrect_spans=[BOB]))
    assert read(source)[0][0].spans == [Taken(0, 3, "PER")]
    assert source.findings() == ['2 spans (LOC, PER) in doc.spans under another key: spans_key = "sc"']
    assert stored(made([ADA], sc=[BOB]), spans_key="sc").findings() == [
        '1 spans (PER) in doc.ents too: spans_key = "sc" does not take them'
    ]
    assert stored(made([ADA])).findings() == []


def test_incorrect_spans_are_rejected_one_by_one(stored):
    (whole, wrong), intake, _ = read(stored(made([ADA], incorrect_spans=[BOB, (5, 6, "LOC")])))
    assert (whole.kind, whole.spans) == ("manual", [Taken(0, 3, "PER")])
    assert (wrong.kind, wrong.answer, wrong.spans) == ("binary", "reject", [Taken(8, 11, "PER")])
    assert intake.spans == {"read": 3, "kept": 2, "other_labels": 1}


def test_tokens_without_a_tag_are_not_covered(stored):
    nothing = Doc(NLP.vocab, words=["Ada", "met"])
    tasks, intake, _ = read(stored(nothing))
    assert (tasks, intake.records) == ([], {"read": 1, "no_answer": 1})
    partly = NLP(TEXT)
    partly.set_ents([Span(partly, *ADA)], default="missing")
    (task,), _, _ = read(stored(partly))
    assert (task.kind, task.spans) == ("binary", [Taken(0, 3, "PER")])


def test_covered_tells_of_which_labels_it_is_complete(stored):
    doc = made([ADA, (5, 6, "LOC")], covered=[(0, 7, "PER"), (5, 6, "LOC")])
    first, second = read(stored(doc, labels=["PER", "LOC", "ORG"]))[0]
    assert (first.kind, first.labels, first.spans) == ("manual", ["PER"], [Taken(0, 3, "PER")])
    assert (second.kind, second.labels) == ("binary", ["LOC"])


def test_entities_inside_others_are_read_back_from_our_own_docs(stored):
    outer, inner = (0, 3, "ORG"), (2, 3, "PER")
    doc = made([outer], gold=[outer, inner], covered=[(0, 7, "PER"), (0, 7, "ORG")])
    (task,), intake, _ = read(stored(doc, labels=["PER", "ORG"]))
    assert (task.labels, task.spans) == (["ORG", "PER"], [Taken(0, 11, "ORG"), Taken(8, 11, "PER")])
    assert intake.spans == {"read": 2, "kept": 2}
    source = stored(made(gold=[inner], covered=[(0, 7, "PER")]), made(other=[ADA]))  # no entity in doc.ents
    assert source.labels_found() == {"PER": 1}
    assert source.findings() == ['1 spans (PER) in doc.spans under another key: spans_key = "other"']


def test_an_accepted_span_that_is_the_whole_text_does_not_cover_it(stored):
    maker = DocMaker(NLP, frozenset(["PER", "ORG"]), "snap")
    text = GoldText(
        input_hash=0, text="Ada Bob", spans=[], covered=["ORG"], rejected=[], unresolved=[], sources=[], meta={},
        accepted=[Taken(0, 3, "PER"), Taken(4, 7, "PER")],
    )  # fmt: skip
    tasks, _, _ = read(
        stored(maker.make(text), maker.make(replace(text, accepted=[Taken(0, 7, "PER")])), labels=["PER"])
    )
    assert [(task.kind, task.answer, task.spans) for task in tasks] == [
        ("binary", "accept", [span]) for span in (Taken(0, 3, "PER"), Taken(4, 7, "PER"), Taken(0, 7, "PER"))
    ]


def test_what_a_text_without_spans_means(stored):
    tasks, _, _ = read(stored(made(), without_spans="unannotated"))
    assert tasks == []


def test_all_files_of_a_folder(stored, tmp_path):
    stored(made([ADA]), name="b.spacy")
    stored(made([BOB]), name="a.spacy")
    tasks, _, _ = read(DocBinFiles(str(tmp_path), ["PER"]))
    assert [task.source for task in tasks] == ["a.spacy:1", "b.spacy:1"]


@pytest.mark.parametrize("damage", [b"", b"no DocBin", None])
def test_damage_is_an_error(stored, tmp_path, damage):
    stored(made([ADA]))
    path = tmp_path / "train.spacy"
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    with pytest.raises(UserError, match="is no DocBin of spaCy, or damaged"):
        read(DocBinFiles(str(path), ["PER"]))
