"""Labels that are covered in ranges of a text only, as contained texts leave them: learned and scored there alone."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
import spacy
from spacy.tokens import Span
from spacy.training import Example

from scripts.building.documents import DocMaker
from scripts.building.reading import split_doc
from scripts.core import answers
from scripts.core.answers import GoldText
from scripts.core.hashing import input_hash
from scripts.model.label_heads import covered_of, masked_loss, predictions, read_gold, score_covered
from scripts.scoring.counts import Tally

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
    return DocMaker(NLP, frozenset(LABELS), policy).make(text).doc


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
    assert [span.start for span in text.covered_spans] == [13, 23, 37]
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
