"""Thresholds and the calibration of probabilities are chosen on texts that were not trained on."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.training import Example

from scripts.model.label_heads import BEGIN, LAST, OUT, TAGS, UNIT, Calibration, calibration_array, find_entities
from scripts.model.thresholds import (
    BIASES,
    best_thresholds,
    calibrate,
    count_by_threshold,
    label_scorer,
    least_precision,
    mean_calibration,
    precise_thresholds,
    set_thresholds,
    tally,
)
from tests.scored import covered_doc

NLP = spacy.blank("en")


class WordScores:
    """A component of its own: scores by word, whatever the text. It has all that `LabelScorer` asks for."""

    def __init__(self, labels, by_word):
        self.labels, self.thresholds, self.calibration, self.by_word = tuple(labels), {}, {}, by_word

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
    text = example("Big Blue is", [(0, 2, "ORG")])
    assert set_thresholds(pipe, [text]) == ({"ORG": 0.0}, {"ORG": [1, 0, 0]})
    assert set_thresholds(pipe, []) == ({"ORG": 0.0}, {"ORG": [0, 0, 0]})


def test_a_label_with_few_entities_leans_on_the_others():
    rare, common = np.zeros((len(BIASES), 3), int), np.zeros((len(BIASES), 3), int)
    common[:, 2] = 1000
    common[BIASES.index(-1.0)] = 1000, 0, 0
    rare[:, 2] = 4
    rare[BIASES.index(3.0)] = 4, 0, 0
    counts = np.stack([rare, common], 1)
    assert best_thresholds(("RARE", "COMMON"), counts) == {"RARE": -1.0, "COMMON": -1.0}
    assert best_thresholds(("RARE", "COMMON"), counts, prior=0)["RARE"] == 3.0


@pytest.mark.parametrize(("size", "chosen"), [(5, 0.0), (100, -1.0)])
def test_a_threshold_stays_at_zero_where_its_better_f1_may_be_chance(size, chosen):
    """Of what a lower threshold finds in addition, 40 % is right, which raises F1 in small and large texts alike."""
    counts = np.tile(np.array([10, 5, 10]) * size, (len(BIASES), 1, 1))
    counts[BIASES.index(-1.0), 0] += np.array([2, 3, -2]) * size // 5
    assert best_thresholds(("ORG",), counts) == {"ORG": chosen}


def precise(*rows, precision=0.95):
    """The threshold of one label, of biases from 0 on, with (tp, fp) at each."""
    counts = np.array([[[tp, fp, 100 - tp]] for tp, fp in rows])
    return precise_thresholds(("ORG",), counts, range(len(rows)), precision)


def test_a_precision_is_reached_with_the_lowest_threshold_that_does():
    assert precise((95, 30), (90, 10), (80, 1), (50, 0)) == {"ORG": 2}
    assert precise((95, 30), (90, 10), (80, 1), (50, 0), precision=0.85) == {"ORG": 1}
    assert precise((90, 2), (90, 0)) == {"ORG": 0}


def test_few_right_predictions_are_no_proof_of_a_precision():
    assert least_precision(np.array([[18, 0, 0], [19, 0, 0]])).tolist() == pytest.approx([18 / 19, 0.95])
    assert precise((19, 1), (18, 0)) == {"ORG": 1}  # not reached: the most precise one
    assert precise((30, 6), (19, 0), (5, 0)) == {"ORG": 1}
    assert precise((0, 0), (0, 0)) == {}
    assert least_precision(np.zeros(3, int)) == 0


def test_a_component_that_asks_for_a_precision_gets_it():
    scores = {("IBM", "ORG"): {UNIT: 5.0}, ("hired", "ORG"): {UNIT: 4.0}, ("Ada", "PER"): {UNIT: -1.0}}
    pipe = WordScores(["LOC", "ORG", "PER"], scores)
    pipe.min_precision = 0.95
    text = example("IBM hired Ada", [(0, 1, "ORG"), (2, 3, "PER")], ["LOC", "ORG", "PER"])
    chosen, counts = set_thresholds(pipe, [text] * 50)
    assert 4 <= chosen["ORG"] < 5  # higher than any that is tried for the best F1
    assert counts["ORG"] == [50, 0, 0]
    assert chosen["PER"] == min(BIASES)  # all that it finds is right
    assert counts["LOC"] == [0, 0, 0]
    pipe.min_precision = None
    assert set_thresholds(pipe, [text] * 50)[0]["ORG"] <= max(BIASES)


def overconfident(texts, right=0.7, scale=6.0, seed=0, labels=("ORG",)):
    """Words of which a share is an entity, of about e ** `scale` to 1 by their scores."""
    random = np.random.default_rng(seed)
    strengths = random.normal(scale, 1.5, 40)
    scores = {(f"w{n}", label): {UNIT: float(strength)} for n, strength in enumerate(strengths) for label in labels}
    share = 1 / (1 + np.exp(-(strengths - scale) - np.log(right / (1 - right))))
    examples = []
    for _ in range(texts):
        words = random.integers(0, 40, 10)
        gold = [(place, place + 1, label) for place, word in enumerate(words) for label in labels
                if random.random() < share[word]]  # fmt: skip
        examples.append(example(" ".join(f"w{word}" for word in words), gold, labels))
    return WordScores(labels, scores), examples


def errors(pipe, examples):
    """Mean probability of what is predicted, and the share of it that is right."""
    calibration, found, right = calibration_array(pipe.labels, pipe.calibration), [], []
    for each in examples:
        entities = find_entities(pipe.scores([each.predicted]), [len(each.predicted)], None, calibration)
        gold = {(span.start, span.end, span.label_) for span in each.reference.spans["gold"]}
        found += entities.probability.tolist()
        places = zip(entities.start.tolist(), entities.end.tolist(), entities.label.tolist(), strict=True)
        right += [(start, end, pipe.labels[label]) in gold for start, end, label in places]
    return np.mean(found), np.mean(right)


def test_calibrated_probabilities_are_the_share_that_is_right_on_other_texts():
    pipe, dev = overconfident(300)
    test = overconfident(600)[1][300:]
    before, right = errors(pipe, test)
    assert before - right > 0.2
    set_thresholds(pipe, dev)
    after, right = errors(pipe, test)
    assert after == pytest.approx(right, abs=0.03)
    assert pipe.calibration["ORG"].temperature > 1.5


def test_few_texts_change_little_and_none_nothing():
    pipe, dev = overconfident(300)
    changes = [abs(calibrate(pipe.labels, tally(pipe, dev[:n]))["ORG"].offset) for n in (0, 1, 300)]
    assert changes[0] == 0 < changes[1] < changes[2]
    assert calibrate(pipe.labels, tally(pipe, []))["ORG"] == pytest.approx(Calibration())


def test_a_label_without_texts_is_calibrated_as_the_others():
    pipe, dev = overconfident(200)
    both = WordScores(["ORG", "PER"], pipe.by_word)
    found = calibrate(both.labels, tally(both, dev))
    alone = calibrate(pipe.labels, tally(pipe, dev))["ORG"]
    assert found["ORG"].offset < found["PER"].offset < -2
    assert found["PER"].temperature > 1.5
    assert found["ORG"] == pytest.approx(alone, abs=0.05)
    known = calibrate(["PER"], tally(WordScores(["PER"], {}), []), mean_calibration(found))["PER"]
    assert known == pytest.approx(mean_calibration(found), abs=1e-6)


def test_a_slope_stays_positive_where_the_surest_are_wrong():
    pipe, dev = overconfident(100)
    pipe.by_word = {key: {UNIT: 12 - scores[UNIT]} for key, scores in pipe.by_word.items()}
    set_thresholds(pipe, dev)
    assert pipe.calibration["ORG"].slope > 0


@pytest.mark.parametrize("lengths", [(1, 2, 3), (64, 70)])
def test_batches_are_counted_as_one(lengths):
    pipe = WordScores(["ORG"], {("IBM", "ORG"): {UNIT: 1.0}})
    one, many = (tally(pipe, [example("IBM hired", [(0, 1, "ORG")])] * length) for length in lengths[-2:])
    assert (one.odds * lengths[-1] == many.odds * lengths[-2]).all()
    assert one.losses * lengths[-1] == pytest.approx(many.losses * lengths[-2])
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
