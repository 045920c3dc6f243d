"""The experiments with partial annotations: what is taken away, and that the other losses are what they are called."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import spacy
from spacy.tokens import Span, SpanGroup
from spacy.training import Example

from benchmarks import calibration, variants
from benchmarks.binary import Proposal, answer
from benchmarks.corpora import addresses, text
from benchmarks.label_by_label import halved
from benchmarks.partial import HEADS, NER, Job, count_represented, run, thin
from benchmarks.variants import focal, sum_over_sequences, weighted
from scripts.core.answers import Span as GoldSpan
from scripts.model.label_heads import BEGIN, IN, LAST, OUT, TAGS, UNIT, count_covered
from tests.scored import covered_doc

NLP = spacy.blank("en")
TEXTS = [
    text(f"Ada met Bob in Rome {n}", [GoldSpan(0, 3, "PER"), GoldSpan(15, 19, "LOC")], ["LOC", "PER"])
    for n in range(400)
]


def test_annotations_are_taken_away_label_by_label():
    thinned = thin(TEXTS, 0.25, seed=0)
    assert [each.text for each in thinned] == [each.text for each in TEXTS]
    for label in ("LOC", "PER"):
        assert sum(label in each.covered for each in thinned) == pytest.approx(100, abs=25)
    assert all({span.label for span in each.spans} == set(each.covered) for each in thinned)
    assert thin(TEXTS, 0.25, seed=0) == thinned != thin(TEXTS, 0.25, seed=2)
    assert thin(TEXTS, 1.0, seed=1) == TEXTS


def test_what_is_kept_of_more_is_kept_of_less_too():
    few, many = ([set(each.covered) for each in thin(TEXTS, kept, 0)] for kept in (0.25, 0.5))
    assert all(less <= more for less, more in zip(few, many, strict=True))


def test_only_the_labels_in_question_are_halved():
    result = halved(TEXTS, ("PER",), 0)
    assert all("LOC" in each.covered for each in result)
    assert sum("PER" in each.covered for each in result) == pytest.approx(200, abs=40)


def test_binary_answers_are_about_single_spans_of_labels_that_are_not_covered():
    right = [Proposal(n, TEXTS[n].spans[0], 0.5, True) for n in range(300)]
    wrong = [Proposal(n, GoldSpan(8, 11, "PER"), 0.4, False) for n in range(100)]
    job = Job(Path(), "addresses", HEADS, 0.5, 0, 0)
    texts = answer(TEXTS, right + wrong, ["PER"], job)
    assert sum(len(each.accepted) + len(each.rejected) for each in texts) == 200  # of 400
    assert {span for each in texts for span in each.accepted} == {GoldSpan(0, 3, "PER")}
    assert {span for each in texts for span in each.rejected} == {GoldSpan(8, 11, "PER")}
    assert {label for each in texts for label in each.covered} == {"LOC"}
    assert {span.label for each in texts for span in each.spans} == {"LOC"}


def test_uncertain_proposals_are_asked_about_first():
    sure = [Proposal(n, TEXTS[n].spans[0], 0.999, True) for n in range(200)]
    uncertain = [Proposal(n, TEXTS[n].spans[0], 0.5, True) for n in range(200, 400)]
    texts = answer(TEXTS, sure + uncertain, ["PER"], Job(Path(), "addresses", HEADS, 0.5, 0, 0))
    answered = [each.text for each in texts if each.accepted]
    assert len(set(answered) & {each.text for each in TEXTS[200:]}) > 180


def test_a_system_is_trained_and_tested(shared_data):
    found = {system: run(Job(shared_data, "addresses", system, 0.5, 0, 60)) for system in (HEADS, NER)}
    assert found[HEADS].f > found[NER].f + 0.1
    assert sum(map(len, addresses(shared_data).values())) == 1488


def test_calibration_is_measured_before_and_after(shared_data):
    found = calibration.run(Job(shared_data, "addresses", HEADS, 0.5, 0, 60))
    assert found.spans > 1_000
    assert found.exact / 2 < found.after < found.before
    assert found.f == pytest.approx(found.represented, abs=0.01)


def test_entities_off_token_boundaries_are_left_out_of_one_score():
    reference = covered_doc(NLP, "Ada met Bobby in Rome .", [(0, 1, "PER")], ["PER"])
    reference.spans["misaligned"] = SpanGroup(
        reference, spans=[Span(reference, 2, 3, "PER")], attrs={"annotated": [(8, 11, False)]}
    )
    predicted = NLP.make_doc(reference.text)
    predicted.ents = [Span(predicted, 0, 1, "PER"), Span(predicted, 2, 3, "PER")]
    examples = [Example(predicted, reference)]
    assert count_covered(examples) == {"PER": [1, 1, 1]}
    assert count_represented(examples) == {"PER": [1, 0, 0]}


# Other losses


def valid(length):
    """All valid sequences of tags."""
    after = {OUT: (OUT, BEGIN, UNIT), UNIT: (OUT, BEGIN, UNIT), LAST: (OUT, BEGIN, UNIT)}
    after |= {BEGIN: (IN, LAST), IN: (IN, LAST)}
    for tags in itertools.product(range(TAGS), repeat=length):
        starts, ends = tags[0] in after[OUT], tags[-1] in (OUT, LAST, UNIT)
        if starts and ends and all(b in after[a] for a, b in itertools.pairwise(tags)):
            yield tags


def test_sums_over_sequences_are_those_of_all_sequences():
    scores = np.random.default_rng(0).normal(size=(8, 2, TAGS))
    totals, marginals = sum_over_sequences(scores, [3, 1, 4])
    for number, (start, end) in enumerate([(0, 3), (3, 4), (4, 8)]):
        for label in range(2):
            weights = {tags: np.exp(scores[range(start, end), label, tags].sum()) for tags in valid(end - start)}
            assert totals[number, label] == pytest.approx(np.log(sum(weights.values())))
            for row, tag in itertools.product(range(start, end), range(TAGS)):
                own = sum(weight for tags, weight in weights.items() if tags[row - start] == tag)
                assert marginals[row, label, tag] == pytest.approx(own / sum(weights.values()))


@pytest.mark.parametrize("loss", [focal, weighted, variants.crf])
def test_gradients_are_those_of_finite_differences(loss):
    nlp = spacy.blank("en")
    reference = covered_doc(nlp, "Ada met Bob Ray in Rome .", [(0, 1, "PER"), (2, 4, "PER")], ["PER"], [(5, 6, "LOC")])
    example = Example(nlp.make_doc(reference.text), reference)
    pipe = SimpleNamespace(labels=("LOC", "PER"))
    scores = np.random.default_rng(1).normal(size=(7, 2 * TAGS))
    _, gradient = loss(pipe, [example], scores)
    for place in np.ndindex(scores.shape):
        step = np.zeros_like(scores)
        step[place] = 1e-5
        up, down = loss(pipe, [example], scores + step)[0], loss(pipe, [example], scores - step)[0]
        assert gradient[place] == pytest.approx((up - down) / 2e-5, abs=1e-4)
