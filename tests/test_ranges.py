"""Labels that are covered in ranges of a text only, as contained texts leave them: learned and scored there alone."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin, Span
from spacy.training import Example

from scripts.building.documents import DocMaker
from scripts.building.reading import split_doc
from scripts.checking.coverage import count_words
from scripts.checking.groups import find_words
from scripts.checking.passages import decode_text, excerpt, to_passage
from scripts.checking.surface_forms import KINDS, FormFinder, annotated_forms, find_occurrences
from scripts.core import answers
from scripts.core.answers import GoldText
from scripts.core.texts import input_hash
from scripts.exporting.exporting import FORMATS
from scripts.exporting.tokens import Tokens
from scripts.model.label_heads import covered_of, masked_loss, predictions, read_gold, score_covered
from scripts.queueing.candidates import Candidate, Tagger, _item
from scripts.queueing.tasks import Request
from scripts.scoring.counts import Tally
from scripts.sources.docbin import DocBinFiles
from scripts.suspecting.cross_validation import SpanProbability, TextPrediction
from scripts.suspecting.ensemble import compare
from tests.prodigy import read

NLP = spacy.blank("en")
LABELS = ["ORG", "PER"]
TEXT = "Ada met Bob. IBM hired Eve. Dan left IBM."
RANGES = {"PER": [(13, 27)]}  # the second sentence: tokens 4 to 8


def gold(*spans, covered=("ORG",), accepted=(), rejected=(), ranges=RANGES, text=TEXT):
    spans, accepted, rejected = ([answers.Span(*span) for span in some] for some in (spans, accepted, rejected))
    return GoldText(
        input_hash=input_hash(text), text=text, spans=spans, covered=list(covered), covered_ranges=ranges,
        accepted=accepted, rejected=rejected, unresolved=[], sources=["data"], meta={},
    )  # fmt: skip


EVE, ADA = (23, 26, "PER"), (0, 3, "PER")
IBM = [(13, 16, "ORG"), (37, 40, "ORG")]


def made(text, policy="snap"):
    return DocMaker(NLP, frozenset(LABELS), policy).make(text)


def spans_of(doc, key):
    return [(span.start, span.end, span.label_) for span in doc.spans[key]]


def counted(reference, *predicted):
    """tp, fp and fn of PER, and whether it is scored; predictions are in tokens."""
    doc = NLP.make_doc(reference.text)
    doc.ents = [Span(doc, *span) for span in predicted]
    tally = Tally(LABELS)
    tally.add(reference.text, covered_of(reference), predictions(doc))
    found = tally.counts()
    return found.values[0, 0, 1, :3].tolist() if found.is_scored[0, 1] else None


def test_a_gold_text_has_its_ranges_only_where_there_are_some():
    line = msgspec.json.encode(gold(ranges={}))
    assert "covered_ranges" not in json.loads(line)
    text = gold(accepted=[EVE])
    assert json.loads(msgspec.json.encode(text))["covered_ranges"] == {"PER": [[13, 27]]}
    assert msgspec.json.decode(msgspec.json.encode(text), type=GoldText) == text


def test_entities_where_their_label_is_covered():
    text = gold(*IBM, accepted=[ADA, EVE])
    assert [span.start for span in text.covered_spans()] == [13, 23, 37]
    assert text.covers("PER", 13, 27)
    assert not text.covers("PER", 0, 3)
    assert text.covers("ORG", 0, 3)


def test_tokens_of_a_range_are_covered_and_no_others():
    doc = made(gold(*IBM, accepted=[EVE]))
    assert spans_of(doc, "covered") == [(0, 12, "ORG"), (4, 8, "PER")]
    assert (6, 7, "PER") in spans_of(doc, "gold")
    assert {token.ent_iob_ for token in doc} == {"B", ""}  # for spaCy's ner: missing, never outside


def test_a_token_that_is_only_partly_in_a_range_is_not_covered():
    assert spans_of(made(gold(ranges={"PER": [(14, 27)]})), "covered")[1] == (5, 8, "PER")
    assert spans_of(made(gold(ranges={"PER": [(14, 15)]})), "covered") == [(0, 12, "ORG")]


def test_a_decided_span_outside_of_the_range_covers_its_tokens_for_training_alone():
    doc = made(gold(*IBM, accepted=[ADA, EVE]))
    assert spans_of(doc, "covered")[1:] == [(4, 8, "PER"), (0, 1, "PER")]
    assert counted(doc) == [0, 0, 1]  # Eve
    assert counted(doc, (0, 1, "PER"), (6, 7, "PER")) == [1, 0, 0]


def test_predictions_count_inside_of_ranges_only():
    doc = made(gold(*IBM, accepted=[EVE]))
    assert counted(doc, (6, 7, "PER")) == [1, 0, 0]
    assert counted(doc, (4, 5, "PER")) == [0, 1, 1]
    assert counted(doc, (0, 1, "PER"), (2, 3, "PER"), (8, 9, "PER")) == [0, 0, 1]
    assert counted(doc, (3, 5, "PER")) == [0, 0, 1]  # reaches out of the range: nobody can say


def test_a_range_without_entities_is_knowledge_too():
    assert counted(made(gold(*IBM)), (6, 7, "PER")) == [0, 1, 0]


def test_several_ranges_are_scored_each_for_itself():
    doc = made(gold(*IBM, accepted=[ADA], ranges={"PER": [(0, 12), (28, 41)]}))
    assert counted(doc, (0, 1, "PER"), (6, 7, "PER"), (8, 9, "PER")) == [1, 1, 0]


@pytest.mark.parametrize("policy", ["snap", "skip"])
def test_a_misaligned_entity_in_a_range_is_an_error_of_the_tokenizer(policy):
    doc = made(gold(*IBM, accepted=[(23, 25, "PER")]), policy)
    assert covered_of(doc)["PER"].gold == {(23, 25)}
    assert covered_of(doc)["PER"].covered == [(13, 28)]
    assert counted(doc, (6, 7, "PER")) == [0, 1, 1]


def test_the_loss_is_of_tokens_in_the_range_alone():
    doc = made(gold(*IBM, accepted=[EVE]))
    batch = read_gold([Example(NLP.make_doc(TEXT), doc)], LABELS)
    assert np.flatnonzero(batch.covered[:, 1]).tolist() == [4, 5, 6, 7]
    rng = np.random.default_rng(0)
    _, gradient = masked_loss(rng.normal(size=(len(doc), 2, 5)), batch, np)
    assert np.flatnonzero(np.abs(gradient[:, 1]).sum(1)).tolist() == [4, 5, 6, 7]
    assert (np.abs(gradient[:, 0]).sum(1) > 0).all()


def test_the_scorer_of_spacy_train_counts_inside_of_ranges_only():
    doc = made(gold(*IBM, accepted=[EVE]))
    predicted = NLP.make_doc(TEXT)
    predicted.ents = [Span(predicted, 0, 1, "PER"), Span(predicted, 6, 7, "PER")]
    assert score_covered([Example(predicted, doc)])["ents_per_type"]["PER"] == {"p": 1.0, "r": 1.0, "f": 1.0}


def test_ranges_survive_splitting():
    parts = list(split_doc(made(gold(*IBM, accepted=[EVE])), 6))
    covered = [[span for span in spans_of(part, "covered") if span[2] == "PER"] for part in parts]
    assert covered == [[(4, 6, "PER")], [(0, 2, "PER")]]


# Steps beside training


def passage_of(*texts):
    lines = [decode_text(msgspec.json.encode(text)) for text in texts]
    return to_passage(lines, LABELS)


def kinds_of(*texts):
    """Occurrences of all forms: text, start, label and kind."""
    passage = passage_of(*texts)
    table = annotated_forms(passage)
    return sorted(
        (number, int(start - passage.prints.starts[number]), LABELS[table["label"][row]], KINDS[kind])
        for found in find_occurrences(passage, FormFinder(table), table)
        for row, kind, start, number in zip(
            found.rows, found.kinds, found.starts, passage.prints.text_at(found.starts), strict=True
        )
    )


def test_consistency_looks_at_ranges_and_not_beyond():
    text = "Eve. Eve hired Eve."  # the first is not in the range
    part = gold(covered=[], accepted=[(5, 8, "PER")], ranges={"PER": [(5, 19)]}, text=text)
    assert kinds_of(part) == [(0, 5, "PER", "annotated"), (0, 15, "PER", "none")]
    assert passage_of(part).texts_covered().tolist() == [0, 1]


def test_accepted_spans_outside_of_ranges_are_no_evidence_of_consistency():
    assert kinds_of(gold(covered=[], accepted=[(0, 3, "PER")], ranges={"PER": [(13, 27)]})) == []


@pytest.mark.parametrize(
    ("text", "span"),
    [("李华住在北京。北京很大", (4, 6, "PER")), ("田中さんと田中", (0, 2, "PER")), ("서울에서 서울은", (0, 2, "PER"))],
)
def test_forms_are_found_in_texts_without_whitespace(text, span):
    found = kinds_of(gold(span, covered=["PER"], ranges={}, text=text))
    assert [kind for *_, kind in found] == ["annotated", "none"]


def test_words_of_chinese_and_japanese_are_counted():
    assert [count_words(text) for text in ("two words", "北京很大。", "GPT-4 を買う", "한국 서울", "")] == [
        2,
        4,
        4,
        2,
        0,
    ]


def test_agreement_is_by_letters_where_words_have_no_spaces():
    assert find_words("Ada 住北京a.") == [(0, 3), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9)]


def test_an_excerpt_without_spaces_has_its_context():
    text = "北" * 100
    found = excerpt(decode_text(msgspec.json.encode(gold(covered=[], ranges={}, text=text))), 70, 72)
    assert found.before.count("北") == 60
    assert found.after.count("北") == 28


def test_models_suspect_annotations_in_ranges_alone():
    text = gold(*IBM, accepted=[EVE])
    spans = [SpanProbability(span.start, span.end, 0.9, 0.0) for span in text.covered_spans()]
    spans[1] = SpanProbability(23, 26, 0.01, 0.98)
    found = list(compare(text, [TextPrediction(text.input_hash, [], spans)]))
    assert ("PER", 23, 26, "spurious") in {(each.label, each.start, each.end, each.kind) for each in found}


def test_a_suspect_in_a_range_is_asked_about():
    text = gold(*IBM, accepted=[EVE])
    assert text.covers("PER", 23, 26)
    assert set(spans_in(text, "PER")) <= set(text.covered_spans())


def spans_in(text, label):
    return [span for span in text.covered_spans() if span.label == label]


def exported(text, name, folder):
    folder.mkdir()
    writer = FORMATS[name](folder, LABELS, Tokens({"lang": "en"}))
    writer.add(text)
    writer.close()
    return writer


def test_prodigy_gets_a_range_as_a_text_of_its_own(tmp_path):
    writer = exported(gold(*IBM, accepted=[ADA, EVE]), "prodigy", tmp_path / "out")
    tasks = [json.loads(line) for line in (tmp_path / "out/PER.jsonl").read_text().splitlines()]
    assert [(task["text"], task["_is_binary"], task["answer"]) for task in tasks] == [
        ("IBM hired Eve.", False, "accept"), (TEXT, True, "accept"),
    ]  # fmt: skip
    assert [(span["start"], span["end"]) for span in tasks[0]["spans"]] == [(10, 13)]
    assert tasks[0]["_input_hash"] == input_hash("IBM hired Eve.")
    assert writer.spans["written"] == 4


@pytest.mark.parametrize("name", ["brat", "doccano", "label_studio", "conll"])
def test_what_a_format_cannot_say_is_said(name, tmp_path):
    writer = exported(gold(*IBM, accepted=[EVE]), name, tmp_path / "out")
    assert writer.notes["ranges in which a label is covered, written as not covered"] == 1


def test_a_docbin_has_the_ranges_on_its_tokens(tmp_path):
    exported(gold(*IBM, accepted=[EVE], ranges={"PER": [(14, 27)]}), "docbin", tmp_path / "out")
    (doc,) = DocBin().from_disk(next((tmp_path / "out").glob("*.spacy"))).get_docs(NLP.vocab)
    covered = [(span.start_char, span.end_char) for span in doc.spans["covered"] if span.label_ == "PER"]
    assert covered == [(14, 27)]


def test_parquet_has_them(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: requirements-arrow.txt")
    exported(gold(*IBM, accepted=[EVE]), "parquet", tmp_path / "out")
    (row,) = parquet.read_table(tmp_path / "out/gold.parquet").to_pylist()
    assert row["covered_ranges"] == [{"start": 13, "end": 27, "label": "PER"}]


class Fixed:
    """A label scorer that is unsure about every token, or predicts one entity."""

    labels, thresholds, calibration = ("PER",), {}, {}

    def scores(self, docs):
        return np.zeros((sum(map(len, docs)), 1, 5), "f")


def test_what_a_range_says_makes_no_text_informative():
    tagger = Tagger.__new__(Tagger)
    tagger.label, tagger._models = "PER", [(NLP, Fixed())]
    with_range, without = (gold(covered=[], ranges=ranges) for ranges in (RANGES, {}))
    (some, _), (more, _) = tagger.tag([with_range, without])
    assert sum(some.values()) < sum(more.values())
    assert some["hired"] == 0
    assert some["met"] == more["met"] > 0


def test_prefilled_predictions_do_not_contradict_a_range():
    text = gold(covered=[], accepted=[EVE])
    predicted = [answers.Span(*span) for span in [ADA, (13, 16, "PER"), EVE]]
    candidate = Candidate(0.0, 0, text, {}, predicted)
    item = _item(candidate, Request(label="PER", order="random", prefill="model"))
    assert [(span.start, span.end) for span in item.spans] == [(0, 3), (23, 26)]


# As by characters, whatever the tokens


WORDS = ["Ada", "IBMs", "Main/Elm", "don't", "(x)", "of", "3km", "e-mail", "北京"]


@st.composite
def annotated_texts(draw):
    """A text, whether PER is covered in all of it, ranges of whole words, and spans that are apart."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
    text = " ".join(words)
    edges = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
    cuts = sorted(draw(st.sets(st.integers(0, len(words)), max_size=4)))
    ranges = [(edges[first], edges[last] - 1) for first, last in zip(cuts[::2], cuts[1::2], strict=False)]
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = [
        (start, end, "PER")
        for start, end in zip(places[::2], places[1::2], strict=False)
        if text[start:end].strip() == text[start:end]
    ]
    return text, draw(st.booleans()), ranges, spans


@given(annotated_texts(), st.sampled_from(["snap", "skip"]), st.data())
def test_counts_are_those_by_characters(drawn, policy, data):
    text, is_covered, ranges, spans = drawn
    if is_covered:
        reference = gold(*spans, covered=["PER"], ranges={}, text=text)
        ranges = [(0, len(text))]
    else:
        reference = gold(covered=[], accepted=spans, ranges={"PER": ranges} if ranges else {}, text=text)
    doc = NLP.make_doc(text)
    places = sorted(data.draw(st.sets(st.integers(0, len(doc)), max_size=6)))
    found = [
        (doc[start].idx, doc[end - 1].idx + len(doc[end - 1]))
        for start, end in zip(places[::2], places[1::2], strict=False)
    ]
    predicted = [(start, end, "PER") for start, end in zip(places[::2], places[1::2], strict=False)]

    def inside(start, end):
        return any(first <= start and end <= last for first, last in ranges)

    made_doc = made(reference, policy)
    right = {(start, end) for start, end, _ in spans if inside(start, end)}
    said = {place for place in found if inside(*place)}
    counts = counted(made_doc, *predicted)
    if any(not inside(start, end) for start, end, _ in spans) or touches_an_edge(made_doc, spans, ranges):
        return  # decided spans beside a range make it larger by their tokens
    if ranges:
        assert counts == [len(right & said), len(said - right), len(right - said)]
    else:
        assert counts is None


def touches_an_edge(doc, spans, ranges):
    """Whether a span's tokens reach beyond the range that it is in."""
    tokens = [doc.char_span(start, end, alignment_mode="expand") for start, end, _ in spans]
    return any(not any(first <= span.start_char and span.end_char <= last for first, last in ranges) for span in tokens)


def test_a_docbin_read_again_says_that_its_ranges_are_not(tmp_path):
    exported(gold(*IBM, accepted=[EVE]), "docbin", tmp_path / "out")
    tasks, intake, _ = read(DocBinFiles(str(tmp_path / "out"), ["ORG", "PER"]))
    assert intake.notes["range in which a label is covered, of which only the entities are taken"] == 1
    assert [(found.kind, found.labels) for found in tasks] == [("manual", ["ORG"]), ("binary", ["PER"])]
