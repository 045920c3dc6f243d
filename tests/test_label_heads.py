"""The heads: what they learn from, how they decode, and that they are as good a component as spaCy's own."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from thinc.api import Adam, Linear, chain, fix_random_seed

from scripts.building import documents
from scripts.model import label_heads
from scripts.model.label_heads import (  # fmt: skip
    BEGIN,
    IN,
    LAST,
    OUT,
    TAGS,
    UNIT,
    BatchGold,
    Calibration,
    LabelHeads,
    calibration_array,
    decode,
    entity_probability,
    find_entities,
    finish_update,
    heads_layer,
    log_odds,
    log_softmax,
    masked_loss,
    prf,
    read_gold,
    score_covered,
    set_tags,
    tag_probabilities,
)
from tests.scored import covered_doc

NLP = spacy.blank("en")
LABELS = ["ORG", "PER"]
TEXT = "IBM hired Ada Lovelace in 1843 ."


def example(*args, predicted=None, nlp=NLP, text=TEXT, **kwargs):
    """An example whose reference knows the gold given; the text is tokenized by the pipeline, or as given."""
    reference = covered_doc(nlp, text, *args, **kwargs)
    return Example(predicted if predicted is not None else nlp.make_doc(text), reference)


def full(text=TEXT, nlp=NLP):
    return example([(0, 1, "ORG"), (2, 4, "PER")], LABELS, text=text, nlp=nlp)


# Gold


def test_tags_and_masks_of_what_is_covered():
    gold = read_gold([full(), example([(0, 1, "ORG")], ["ORG"])], LABELS)
    assert gold.tags[:7].T.tolist() == [[UNIT, 0, 0, 0, 0, 0, 0], [0, 0, BEGIN, LAST, 0, 0, 0]]
    assert gold.covered[:7].all()
    assert gold.covered[7:, 0].all()
    assert not gold.covered[7:, 1].any()  # PER is not covered in the second text


def test_an_accepted_span_alone_covers_its_own_tokens():
    gold = read_gold([example([(2, 5, "PER")], [(2, 5, "PER")])], LABELS)
    assert gold.tags[:, 1].tolist() == [0, 0, BEGIN, IN, LAST, 0, 0]
    assert gold.covered[:, 1].tolist() == [False, False, True, True, True, False, False]
    assert not gold.covered[:, 0].any()


def test_a_rejected_span_counts_where_its_label_is_not_covered():
    text = example([], ["ORG"])
    text.reference.spans["incorrect_spans"] = [Span(text.reference, 2, 4, "PER"), Span(text.reference, 0, 1, "ORG")]
    gold = read_gold([full(), text], LABELS)
    assert gold.incorrect == [(9, 11, 1)]  # in rows of the batch; ORG is covered there


def test_beside_single_decided_spans_the_other_tokens_count_together_as_many_tokens_outside():
    text = example([(2, 4, "PER")], [(2, 4, "PER")])  # accepted
    text.reference.spans["incorrect_spans"] = [Span(text.reference, 0, 1, label) for label in LABELS]
    gold = read_gold([text], LABELS, 1.5)
    per = np.array([1, 1, 0, 0, 1, 1, 1]) * 3 / 5  # two spans; five tokens that are not covered
    assert gold.assumed[:, 0] == pytest.approx(np.full(7, 1.5 / 7))
    assert gold.assumed[:, 1] == pytest.approx(per)
    assert read_gold([text], LABELS, 4.0).assumed[:, 1].max() == 1  # never more than a covered token
    assert not read_gold([text], LABELS).assumed.any()


def test_where_more_than_single_spans_is_covered_or_nothing_is_decided_nothing_is_assumed():
    sentence = example([(2, 4, "PER")], [(1, 5, "PER")])  # a range; nothing of ORG
    sentence.reference.spans["incorrect_spans"] = [Span(sentence.reference, 6, 7, "PER")]
    assert not read_gold([full(), sentence, example([], [])], LABELS, 1.0).assumed.any()


def test_spans_of_different_labels_may_overlap():
    gold = read_gold([example([(0, 4, "ORG"), (2, 4, "PER")], LABELS)], LABELS)
    assert gold.tags.T.tolist() == [[BEGIN, IN, IN, LAST, 0, 0, 0], [0, 0, BEGIN, LAST, 0, 0, 0]]


def test_a_text_without_covered_spans_is_an_error():
    without = Example(NLP.make_doc(TEXT), NLP.make_doc(TEXT))
    with pytest.raises(ValueError, match=r'has no doc.spans\["covered"\]') as raised:
        read_gold([without], LABELS)
    assert TEXT[:10] not in str(raised.value)
    with pytest.raises(ValueError, match="covered"):
        score_covered([without])


def test_other_tokens_are_aligned_and_misaligned_spans_are_not_covered():
    words = ["IBM", "hired", "Ada", "Love", "lace", "in 1843", "."]
    spaces = [True, True, True, False, True, True, False]
    predicted = Doc(NLP.vocab, words=words, spaces=spaces)
    text = example([(0, 1, "ORG"), (2, 4, "PER"), (5, 6, "DATE")], ["ORG", "PER", "DATE"], predicted=predicted)
    gold = read_gold([text], ["ORG", "PER", "DATE"])
    assert gold.tags[:, 0].tolist() == [UNIT, 0, 0, 0, 0, 0, 0]
    assert gold.tags[:, 1].tolist() == [0, 0, BEGIN, IN, LAST, 0, 0]  # its boundaries are there
    assert gold.tags[:, 2].tolist() == [0] * 7
    assert gold.covered[:, 2].tolist() == [True, True, True, True, True, False, True]  # 1843 is inside a token
    assert gold.covered[:, :2].all()


def test_labels_without_a_head_are_ignored():
    assert read_gold([full()], ["PER"]).tags.shape == (7, 1)


def test_the_keys_of_spans_are_those_of_the_corpus():
    keys = ("GOLD", "COVERED", "INCORRECT")
    assert all(getattr(label_heads, key) == getattr(documents, key) for key in keys)


# The loss


def numeric(function, values, step=1e-5):
    gradient = np.zeros_like(values)
    for index in np.ndindex(values.shape):
        up, down = values.copy(), values.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    random = np.random.default_rng(0)
    scores = random.normal(size=(9, 3, TAGS))
    covered = random.random((9, 3)) < 0.6
    assumed = random.random((9, 3)) * ~covered
    gold = BatchGold(random.integers(0, TAGS, (9, 3)), covered, [(2, 5, 1), (7, 8, 0), (0, 2, 2)], assumed)
    loss, gradient = masked_loss(scores, gold, np)
    assert loss > 0
    assert gradient == pytest.approx(numeric(lambda s: masked_loss(s, gold, np)[0], scores), abs=1e-6)


def test_targets_are_learned_where_nothing_is_known():
    random = np.random.default_rng(2)
    scores = random.normal(size=(9, 3, TAGS))
    covered = random.random((9, 3)) < 0.4
    assumed = (random.random((9, 3)) * ~covered * (random.random((9, 3)) < 0.5)).astype("f")
    gold = BatchGold(random.integers(0, TAGS, (9, 3)), covered, [(2, 5, 1)], assumed)
    targets = random.dirichlet(np.ones(TAGS), (9, 3))
    known = covered | (assumed > 0)
    known[2:5, 1] = True
    (loss, alone), (more, gradient) = masked_loss(scores, gold, np), masked_loss(scores, gold, np, targets)
    assert gradient[known] == pytest.approx(alone[known])
    assert not np.isclose(gradient[~known], alone[~known]).any()
    assert more > loss
    assert gradient == pytest.approx(numeric(lambda s: masked_loss(s, gold, np, targets)[0], scores), abs=1e-6)
    targets = np.exp(log_softmax(scores))  # nothing is left to learn
    assert masked_loss(scores, gold, np, targets)[1][~known] == pytest.approx(0, abs=1e-6)


def test_tokens_that_are_not_covered_have_no_gradient():
    random = np.random.default_rng(1)
    covered = random.random((6, 2)) < 0.5
    gold = BatchGold(np.zeros((6, 2), int), covered, [], np.zeros((6, 2), "f"))
    _, gradient = masked_loss(random.normal(size=(6, 2, TAGS)), gold, np)
    assert (gradient[~covered] == 0).all()
    assert (gradient[covered] != 0).all()


def test_a_rejected_span_makes_its_own_tags_less_probable_and_a_sure_one_is_no_overflow():
    scores = np.zeros((4, 1, TAGS))
    gold = BatchGold(np.zeros((4, 1), int), np.zeros((4, 1), bool), [(1, 3, 0)], np.zeros((4, 1), "f"))
    _, gradient = masked_loss(scores, gold, np)
    assert gradient[1, 0, BEGIN] > 0 > gradient[1, 0, OUT]
    assert gradient[2, 0, LAST] > 0
    assert not gradient[[0, 3]].any()
    scores[1, 0, BEGIN] = scores[2, 0, LAST] = 100
    loss, gradient = masked_loss(scores, gold, np)
    assert np.isfinite(loss)
    assert np.abs(gradient).max() <= 1


def test_the_gradients_of_the_layer_are_those_of_finite_differences():
    layer = heads_layer(3, 2)
    layer.attrs["labels"] = 2
    random = np.random.default_rng(12)
    X = random.normal(size=(5, 4)).astype("f")
    layer.initialize(X=X)
    for name in ("W1", "b1", "W2", "b2"):
        layer.set_param(name, random.normal(size=layer.get_param(name).shape).astype("f"))
    weights = random.normal(size=(5, 2 * TAGS)).astype("f")  # the loss is the weighted sum of the scores
    _, backprop = layer.begin_update(X)
    dX = backprop(weights)
    assert dX == pytest.approx(numeric(lambda x: float((layer.predict(x) * weights).sum()), X, 1e-3), abs=3e-2)
    for name in ("W1", "b1", "W2", "b2"):

        def loss(value, name=name):
            with layer.use_params({(layer.id, name): value}):
                return float((layer.predict(X) * weights).sum())

        expected = numeric(loss, layer.get_param(name), 1e-3)
        assert layer.get_grad(name) == pytest.approx(expected, abs=3e-2), name


def test_a_large_batch_is_predicted_in_parts_that_are_as_the_whole():
    layer = heads_layer(8, 2)
    layer.attrs["labels"] = 3
    X = np.random.default_rng(3).normal(size=(5_000, 4)).astype("f")
    layer.initialize(X=X)
    layer.set_param("W2", np.random.default_rng(4).normal(size=(3, 8, TAGS)).astype("f"))
    whole, _ = layer.begin_update(X)
    assert layer.predict(X) == pytest.approx(whole, abs=1e-5)


def test_heads_step_at_their_own_rate_and_the_layers_below_at_that_of_the_optimizer():
    def steps(rate):
        below, heads = Linear(4, 4), heads_layer(8, 2, rate=rate)
        model = chain(below, heads)
        heads.attrs["labels"] = 2
        fix_random_seed(1)
        model.initialize(X=np.ones((3, 4), "f"))
        heads.set_param("W2", np.ones((2, 8, TAGS), "f"))
        nodes = [(node, name) for node in (below, heads) for name in node.param_names]
        before = [node.get_param(name).copy() for node, name in nodes]
        _, backprop = model.begin_update(np.ones((3, 4), "f"))
        backprop(np.arange(3 * 2 * TAGS, dtype="f").reshape(3, -1))
        finish_update(model, heads, Adam(0.01, L2=0.0, grad_clip=0.0, use_averages=False))
        return [(node.get_param(name) - old) for (node, name), old in zip(nodes, before, strict=True)]

    slow, fast = steps(1.0), steps(20.0)
    for one, other, factor in zip(slow, fast, (1, 1, 20, 20, 20, 20), strict=True):
        assert one.any()
        assert other == pytest.approx(factor * one, rel=1e-3, abs=1e-6)


# Decoding


NEXT = {OUT: (OUT, BEGIN, UNIT), LAST: (OUT, BEGIN, UNIT), UNIT: (OUT, BEGIN, UNIT), BEGIN: (IN, LAST), IN: (IN, LAST)}


def is_valid(tags):
    return tags[0] in NEXT[OUT] and tags[-1] in (OUT, LAST, UNIT) and all(b in NEXT[a] for a, b in pairwise(tags))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(1, 3), st.data())
def test_decoding_finds_the_best_valid_tags_of_all(lengths, labels, data):
    values = st.floats(-4, 4, width=32)
    scores = data.draw(arrays(np.float32, (sum(lengths), labels, TAGS), elements=values))
    tags = decode(scores, lengths)
    start = 0
    for length in lengths:
        for label in range(labels if length else 0):
            own = scores[start : start + length, label].astype(float)
            found = tags[start : start + length, label].tolist()
            assert is_valid(found)
            best = max(
                sum(own[i, tag] for i, tag in enumerate(path))
                for path in product(range(TAGS), repeat=length)
                if is_valid(path)
            )
            assert sum(own[i, tag] for i, tag in enumerate(found)) == pytest.approx(best, abs=1e-5)
        start += length


def test_long_and_short_documents_are_decoded_as_each_alone():
    random = np.random.default_rng(5)
    lengths = [0, 40, 3, 0, 17, 1, 200]
    scores = random.normal(size=(sum(lengths), 4, TAGS)).astype("f")
    ends = np.cumsum(lengths)
    alone = [decode(scores[end - length : end], [length]) for end, length in zip(ends, lengths, strict=True)]
    assert (decode(scores, lengths) == np.concatenate(alone)).all()


def test_sequences_are_decoded_in_batches_as_together():
    random = np.random.default_rng(6)
    lengths = random.integers(1, 12, 50).tolist()
    scores = random.normal(size=(sum(lengths), 3, TAGS)).astype("f")
    assert (decode(scores, lengths, max_cells=1) == decode(scores, lengths)).all()


def test_found_entities_say_how_probable_they_are():
    scores = np.zeros((4, 2, TAGS), "f")
    scores[0, 0, UNIT] = np.log(4)  # 4 to 1, 1, 1 and 1
    scores[2, 1, BEGIN] = scores[3, 1, LAST] = np.log(6)
    found = find_entities(scores, [2, 2])
    assert (found.start.tolist(), found.end.tolist(), found.label.tolist()) == ([0, 2], [1, 4], [0, 1])
    # Valid are O O, O U, U O, U U and B L: with weights of 1, 1, 4, 4 and 1; of 1, 1, 1, 1 and 36.
    assert found.probability == pytest.approx([8 / 11, 36 / 40])
    assert found.margin == pytest.approx([np.log(4), 2 * np.log(6)])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(1, 2), st.data())
def test_the_probability_of_an_entity_is_its_share_of_all_valid_tags(lengths, labels, data):
    values = st.floats(-4, 4, width=32)
    scores = data.draw(arrays(np.float32, (sum(lengths), labels, TAGS), elements=values))
    found = find_entities(scores, lengths)
    ends = np.cumsum(lengths).tolist()
    for first, last, label, probability in zip(*(column.tolist() for column in found[:4]), strict=True):
        doc = next(number for number, end in enumerate(ends) if first < end)
        offset = ends[doc] - lengths[doc]
        own = np.exp(scores[offset : ends[doc], label].astype(float))
        weights = {
            path: np.prod([own[i, tag] for i, tag in enumerate(path)])
            for path in product(range(TAGS), repeat=lengths[doc])
            if is_valid(path)
        }
        tags = np.zeros(last - first, int)
        set_tags(tags, 0, len(tags))
        exact = [path[first - offset : last - offset] == tuple(tags) for path in weights]
        outside = [not any(path[first - offset : last - offset]) for path in weights]
        total, place = sum(weights.values()), [np.array([each]) for each in (first, last, label)]
        assert probability == pytest.approx(sum(np.array(list(weights.values()))[exact]) / total)
        odds = log_odds(scores, lengths, *place, is_entity=False)
        assert 1 / (1 + np.exp(-odds[0])) == pytest.approx(sum(np.array(list(weights.values()))[outside]) / total)


def test_a_long_sequence_and_a_certain_entity_have_probabilities():
    scores = np.zeros((2000, 1, TAGS), "f")
    scores[:, 0, OUT], scores[7, 0, UNIT], scores[9, 0, UNIT] = 60, 200, 61
    with np.errstate(all="raise", under="ignore"):
        found = find_entities(scores, [2000])
        sure, unsure = found.probability.tolist()
    assert found.start.tolist() == [7, 9]
    assert sure == pytest.approx(1)
    assert unsure == pytest.approx(np.e / (1 + np.e))


@given(st.floats(0.05, 3), st.floats(-5, 5), st.lists(st.floats(-15, 25), min_size=2, max_size=20))
def test_calibration_keeps_the_order_of_entities(slope, offset, odds):
    calibration = calibration_array(["ORG"], {"ORG": Calibration(2.0, slope, offset)})
    ordered = entity_probability(np.sort(odds), np.zeros(len(odds), int), calibration)
    assert (np.diff(ordered) >= 0).all()
    assert ((ordered > 0) & (ordered < 1)).all() or slope * 25 + offset > 36


def test_thresholds_change_what_is_found_and_no_probability(nlp):
    pipe = nlp.get_pipe("label_heads")
    doc = nlp(TEXT)
    before = {(span.start, span.end): score for span, score in scored(doc)}
    try:
        pipe.thresholds.update(ORG=-4.0, PER=-4.0)
        after = {(span.start, span.end): score for span, score in scored(nlp(TEXT))}
    finally:
        pipe.thresholds.clear()
    shared = before.keys() & after.keys()
    assert shared
    assert {place: before[place] for place in shared} == {place: after[place] for place in shared}


def test_a_temperature_is_of_one_label():
    scores = np.array([[[0, 0, 0, 0, 4]] * 2], "f")
    found = tag_probabilities(scores, calibration_array(["ORG", "PER"], {"PER": Calibration(temperature=4.0)}))
    assert found[0, :, UNIT] == pytest.approx([np.exp(4) / (4 + np.exp(4)), np.e / (4 + np.e)])


# The component


def texts(count=30):
    return [f"IBM hired Ada Lovelace in {1800 + number} ." for number in range(count)]


def trained(labels=LABELS, examples=None, steps=40, seed=0, **config):
    """A pipeline that has learned a little."""
    spacy.util.fix_random_seed(seed)
    nlp = spacy.blank("en")
    nlp.add_pipe("label_heads", config=config)
    found = [full(text, nlp) for text in texts()] if examples is None else examples(nlp)
    nlp.initialize(lambda: found)
    optimizer = nlp.create_optimizer()
    for _ in range(steps):
        nlp.update(found, sgd=optimizer, drop=0.1)
    return nlp


@pytest.fixture(scope="module")
def nlp():
    return trained()


def scored(doc):
    group = doc.spans["predicted"]
    return list(zip(group, group.attrs["scores"].tolist(), strict=True))


def ents(doc):
    return [(span.start, span.end, span.label_) for span in doc.ents]


def test_it_learns_and_says_all_it_found_with_probabilities(nlp):
    doc = nlp(TEXT)
    assert ents(doc) == [(0, 1, "ORG"), (2, 4, "PER")]
    group = doc.spans["predicted"]
    assert [(span.start, span.end, span.label_) for span in group] == ents(doc)
    assert all(0.5 < score <= 1 for score in group.attrs["scores"])


def test_a_batch_is_predicted_as_each_text_alone(nlp):
    found = [*texts(5), "", "Ada", " ", *texts(3)]
    for doc, text in zip(nlp.pipe(found, batch_size=4), found, strict=True):
        assert ents(doc) == ents(nlp(text))
        assert "predicted" in doc.spans


def test_what_was_found_survives_a_docbin(nlp):
    doc = next(iter(DocBin(docs=[nlp(TEXT)]).get_docs(nlp.vocab)))
    assert len(doc.spans["predicted"]) == len(doc.spans["predicted"].attrs["scores"]) == 2


def test_learning_from_texts_annotated_for_one_label_each():
    """Half of the texts say nothing of PER, the other half nothing of ORG: both are found."""

    def halves(nlp):
        found = []
        for number, text in enumerate(texts()):
            spans, label = ([(0, 1, "ORG")], "ORG") if number % 2 else ([(2, 4, "PER")], "PER")
            found.append(example(spans, [label], text=text, nlp=nlp))
        return found

    assert ents(trained(examples=halves)(TEXT)) == [(0, 1, "ORG"), (2, 4, "PER")]


def test_learning_from_accepted_spans_alone():
    """Nothing says what is outside of entities, so it must be assumed."""

    def accepted(nlp):
        spans = [(0, 1, "ORG"), (2, 4, "PER")]
        return [example(spans, spans, text=text, nlp=nlp) for text in texts()]

    assert ents(trained(examples=accepted)(TEXT)) == [(0, 1, "ORG"), (2, 4, "PER")]
    assert len(trained(examples=accepted, assumed_outside=0.0)(TEXT).spans["predicted"]) > 4


def test_training_is_the_same_byte_for_byte():
    assert trained(steps=5).to_bytes() == trained(steps=5).to_bytes()
    assert trained(steps=5).to_bytes() != trained(steps=5, seed=1).to_bytes()


def test_entities_that_overlap_the_clearer_one_is_an_entity_of_the_text_and_both_are_spans():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("label_heads")
    for label in LABELS:
        pipe.add_label(label)
    scores = np.zeros((7, 2, TAGS), "f")
    scores[2, 0, BEGIN] = scores[3, 0, LAST] = 2
    scores[2, 1, UNIT] = 5
    scores[5, 1, UNIT] = 1
    doc = nlp.make_doc(TEXT)
    pipe.set_annotations([doc], find_entities(scores, [7]))
    assert ents(doc) == [(2, 3, "PER"), (5, 6, "PER")]
    assert len(doc.spans["predicted"]) == 3
    doc = nlp.make_doc(TEXT)
    doc.ents = [Span(doc, 5, 7, "DATE")]
    pipe.set_annotations([doc], find_entities(scores, [7]))
    assert ents(doc) == [(2, 3, "PER"), (5, 7, "DATE")]  # what was there stays


def test_the_bias_on_out_finds_more_or_less(nlp):
    pipe = nlp.get_pipe("label_heads")
    try:
        pipe.thresholds["PER"] = 50.0
        assert ents(nlp(TEXT)) == [(0, 1, "ORG")]
        pipe.thresholds["PER"] = -50.0
        assert any(label == "PER" for *_, label in ents(nlp("1 2 3 4 5")))
    finally:
        pipe.thresholds.clear()


@pytest.mark.parametrize("how", ["disk", "bytes"])
def test_it_is_the_same_after_loading(nlp, how, tmp_path):
    pipe = nlp.get_pipe("label_heads")
    pipe.thresholds["PER"] = 0.25
    pipe.calibration["PER"] = Calibration(1.7, 1 / 3, -0.1)
    try:
        if how == "disk":
            nlp.to_disk(tmp_path / "model")
            loaded = spacy.load(tmp_path / "model")
        else:
            loaded = spacy.blank("en")
            loaded.add_pipe("label_heads")
            loaded.from_bytes(nlp.to_bytes())
        assert loaded.get_pipe("label_heads").labels == pipe.labels == ("ORG", "PER")
        assert loaded.get_pipe("label_heads").thresholds == {"PER": 0.25}
        arrays = (calibration_array(LABELS, each.get_pipe("label_heads").calibration) for each in (nlp, loaded))
        assert next(arrays).tolist() == next(arrays).tolist() == [[1, 1, 0], [1.7, 0.333333, -0.1]]
        for text in texts(3):
            one, other = nlp(text), loaded(text)
            assert ents(one) == ents(other)
            scores = [doc.spans["predicted"].attrs["scores"].tolist() for doc in (one, other)]
            assert scores[0] == scores[1]
    finally:
        pipe.thresholds.clear()
        pipe.calibration.clear()


def test_a_label_is_added_to_a_trained_model_and_the_others_do_not_change():
    nlp = trained()
    pipe = nlp.get_pipe("label_heads")
    docs = [nlp.make_doc(text) for text in texts()]
    before, found = pipe.scores(docs), [ents(nlp(text)) for text in texts()]
    assert pipe.add_label("DATE") == 1
    assert pipe.add_label("DATE") == 0
    assert (pipe.scores(docs)[:, :2] == before).all()
    assert [ents(nlp(text)) for text in texts()] == found
    more = [
        example([(0, 1, "ORG"), (2, 4, "PER"), (5, 6, "DATE")], [*LABELS, "DATE"], text=t, nlp=nlp) for t in texts()
    ]
    optimizer = nlp.resume_training()
    for _ in range(40):
        nlp.update(more, sgd=optimizer)
    assert ents(nlp(TEXT)) == [(0, 1, "ORG"), (2, 4, "PER"), (5, 6, "DATE")]


def test_no_label_is_an_error_that_says_where_to_name_them():
    nlp = spacy.blank("en")
    nlp.add_pipe("label_heads")
    with pytest.raises(ValueError, match=r"initialize.components.label_heads.labels"):
        nlp.initialize(lambda: [example([], [], nlp=nlp)])
    for label in ("", 3):
        with pytest.raises(ValueError, match="a label is a string"):
            nlp.get_pipe("label_heads").add_label(label)


def test_labels_are_those_covered_somewhere_or_those_given():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("label_heads")
    pipe.initialize(lambda: [example([], ["PER", "NONE"], nlp=nlp), full(nlp=nlp)], nlp=nlp)
    assert pipe.labels == ("NONE", "ORG", "PER")
    assert pipe.label_data == ["NONE", "ORG", "PER"]
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("label_heads")
    pipe.initialize(lambda: [full(nlp=nlp)], nlp=nlp, labels=["PER"])
    assert pipe.labels == ("PER",)


def test_rehearsal_keeps_previous_predictions():
    nlp = trained()
    nlp.resume_training()
    pipe = nlp.get_pipe("label_heads")
    other = [example([], ["ORG"], text=text, nlp=nlp) for text in texts()]  # now ORG is nowhere
    docs = [nlp.make_doc(text) for text in texts()]
    before = np.exp(log_softmax(pipe.scores(docs)[:, 1]))

    def drift(with_rehearsal):
        again = spacy.blank("en")
        again.add_pipe("label_heads")
        again.from_bytes(nlp.to_bytes())
        optimizer = again.resume_training()
        for _ in range(10):
            again.update(other, sgd=optimizer)
            if with_rehearsal:
                assert again.rehearse(other, sgd=optimizer)["label_heads"] >= 0
        return np.abs(np.exp(log_softmax(again.get_pipe("label_heads").scores(docs)[:, 1])) - before).sum()

    assert drift(True) < drift(False)


def test_what_a_teacher_predicts_is_learned_where_a_label_is_not_covered():
    teacher = trained().get_pipe("label_heads")
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("label_heads")
    partial = [example([(0, 1, "ORG")], ["ORG"], text=text, nlp=nlp) for text in texts()]  # PER is nowhere
    nlp.initialize(lambda: [full(nlp=nlp), *partial])
    pipe.learn_from(teacher.probabilities)
    optimizer = nlp.create_optimizer()
    for _ in range(100):
        nlp.update(partial, sgd=optimizer)
    docs = list(nlp.pipe(texts()))
    assert {(ent.start, ent.end, ent.label_) for doc in docs for ent in doc.ents} == {(0, 1, "ORG"), (2, 4, "PER")}
    expected = teacher.probabilities(docs)[:, 1]
    assert np.abs(pipe.probabilities(docs)[:, 1] - expected).max() < 0.1
    again = spacy.blank("en")
    again.add_pipe("label_heads")
    assert again.from_bytes(nlp.to_bytes()).get_pipe("label_heads").to_bytes() == pipe.to_bytes()


def test_over_a_listener(tmp_path):
    config = """
    [nlp]
    lang = "en"
    pipeline = ["tok2vec", "label_heads"]
    [components]
    [components.tok2vec]
    factory = "tok2vec"
    [components.label_heads]
    factory = "label_heads"
    [components.label_heads.model]
    @architectures = "labelwise.LabelHeads.v1"
    hidden_width = 16
    maxout_pieces = 2
    [components.label_heads.model.tok2vec]
    @architectures = "spacy.Tok2VecListener.v1"
    width = 96
    """
    nlp = spacy.util.load_model_from_config(spacy.Config().from_str(config), auto_fill=True)
    found = [full(text, nlp) for text in texts()]
    nlp.initialize(lambda: found)
    optimizer = nlp.create_optimizer()
    for _ in range(60):
        nlp.update(found, sgd=optimizer)
    assert ents(nlp(TEXT)) == [(0, 1, "ORG"), (2, 4, "PER")]
    nlp.to_disk(tmp_path / "model")
    assert ents(spacy.load(tmp_path / "model")(TEXT)) == ents(nlp(TEXT))


def test_a_second_copy_of_the_module_is_no_error(tmp_path):
    """Two packaged models bring it twice into one process."""
    copy = tmp_path / "copied_heads.py"
    copy.write_text(open(label_heads.__file__, encoding="utf8").read(), "utf8")  # noqa: PTH123, SIM115
    spacy.util.import_file("copied_heads", copy)
    assert isinstance(spacy.blank("en").add_pipe("label_heads"), LabelHeads)


# Scoring


def test_scores_are_counted_where_the_label_is_covered():
    text = example([(0, 1, "ORG")], ["ORG"])
    text.predicted.ents = [Span(text.predicted, 0, 1, "ORG"), Span(text.predicted, 2, 4, "PER")]
    scores = score_covered([text])
    assert (scores["ents_p"], scores["ents_r"], scores["ents_f"]) == (1, 1, 1)  # PER is not covered
    assert set(scores["ents_per_type"]) == {"ORG"}


def test_on_covered_texts_scores_are_those_of_spacy(nlp):
    found = [full(text, nlp) for text in texts()]
    for number, each in enumerate(found):
        doc = nlp.make_doc(each.text)
        doc.ents = [Span(doc, 0, 1 + number % 2, "ORG"), Span(doc, 2, 4, "PER" if number % 3 else "ORG")]
        each.predicted = doc
    expected = spacy.scorer.Scorer.score_spans(found, "ents")
    scores = score_covered(found)
    assert scores.keys() == expected.keys()
    for label, expected_scores in expected.pop("ents_per_type").items():
        assert scores["ents_per_type"][label] == pytest.approx(expected_scores)
    assert {key: scores[key] for key in expected} == pytest.approx(expected)


def test_where_there_is_nothing_to_divide_by_there_is_no_score():
    assert prf(0, 0, 0) == {"p": None, "r": None, "f": None}
    assert prf(0, 0, 2) == {"p": None, "r": 0, "f": 0}
    assert score_covered([])["ents_f"] is None
