"""Thresholds are chosen on texts that were not trained on."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example

from scripts.model.label_heads import BEGIN, LAST, OUT, TAGS, UNIT
from scripts.model.thresholds import BIASES, best_thresholds, count_by_threshold, label_scorer, set_thresholds
from tests.scored import covered_doc

NLP = spacy.blank("en")


class WordScores:
    """A component of its own: scores by word, whatever the text. It has all that `LabelScorer` asks for."""

    def __init__(self, labels, by_word):
        self.labels, self.thresholds, self.by_word = tuple(labels), {}, by_word

    def __call__(self, doc):
        return doc

    def scores(self, docs):
        found = np.full((sum(map(len, docs)), len(self.labels), TAGS), -20, "f")
        found[:, :, OUT] = 0
        for row, token in enumerate(token for doc in docs for token in doc):
            for column, label in enumerate(self.labels):
                for tag, score in self.by_word.get((token.text, label), {}).items():
                    found[row, column, tag] = score
        return found


def example(text, gold=(), covered=("ORG",)):
    reference = covered_doc(NLP, text, gold, covered)
    return Example(NLP.make_doc(text), reference)


def test_each_threshold_is_counted_where_labels_are_covered():
    pipe = WordScores(["ORG", "PER"], {("IBM", "ORG"): {UNIT: 1.0}, ("hired", "ORG"): {UNIT: -1.0}})
    found = count_by_threshold(pipe, [example("IBM hired", [(0, 1, "ORG")])], biases=[-2.0, 0.0, 2.0])
    assert found[:, 0].tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert not found[:, 1].any()  # PER is not covered in the text


def test_a_missed_label_gets_a_low_threshold_and_a_spurious_one_a_high_one():
    scores = {("IBM", "ORG"): {UNIT: -0.6}, ("Ada", "PER"): {UNIT: 0.6}, ("hired", "PER"): {UNIT: 0.6}}
    pipe = WordScores(["ORG", "PER"], scores | {("Bob", "PER"): {UNIT: 2.0}})
    text = example("IBM hired Ada Bob", [(0, 1, "ORG"), (3, 4, "PER")], ["ORG", "PER"])
    chosen, _ = set_thresholds(pipe, [text] * 200)
    assert chosen == pipe.thresholds
    assert chosen["ORG"] < -0.6
    assert 0.6 < chosen["PER"] < 2.0


def test_of_equal_thresholds_the_one_nearest_to_zero_is_chosen():
    pipe = WordScores(["ORG"], {("Big", "ORG"): {BEGIN: 9.0}, ("Blue", "ORG"): {LAST: 9.0}, ("is", "ORG"): {OUT: 9.0}})
    assert set_thresholds(pipe, [example("Big Blue is", [(0, 2, "ORG")])]) == ({"ORG": 0.0}, {"ORG": [1, 0, 0]})
    assert set_thresholds(pipe, []) == ({"ORG": 0.0}, {"ORG": [0, 0, 0]})


def test_a_label_with_few_entities_leans_on_the_others():
    rare, common = np.zeros((len(BIASES), 3), int), np.zeros((len(BIASES), 3), int)
    common[:, 2] = 1000
    common[BIASES.index(-1.0)] = 1000, 0, 0
    rare[:, 2] = 1
    rare[BIASES.index(3.0)] = 1, 0, 0
    counts = np.stack([rare, common], 1)
    assert best_thresholds(("RARE", "COMMON"), counts) == {"RARE": -1.0, "COMMON": -1.0}
    assert best_thresholds(("RARE", "COMMON"), counts, prior=0)["RARE"] == 3.0


@pytest.mark.parametrize("lengths", [(1, 2, 3), (64, 70)])
def test_batches_are_counted_as_one(lengths):
    pipe = WordScores(["ORG"], {("IBM", "ORG"): {UNIT: 1.0}})
    for length in lengths:
        found = count_by_threshold(pipe, [example("IBM hired", [(0, 1, "ORG")])] * length, biases=[0.0])
        assert found.tolist() == [[[length, 0, 0]]]


def test_a_component_takes_part_by_what_it_has():
    Language.factory("word_scores", func=lambda nlp, name: WordScores(["ORG"], {}))
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    assert label_scorer(nlp) is None
    component = nlp.add_pipe("word_scores")
    assert label_scorer(nlp) is component
