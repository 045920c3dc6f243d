"""Entities and predictions, one to one: hits are those of spaCy and nervaluate, and errors add up."""

from __future__ import annotations

import msgspec
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.scorer import Scorer
from spacy.tokens import Span
from spacy.training import Example
from spacy.util import filter_spans

from benchmarks.corpora import CORPORA
from scripts.model.label_heads import covered_of, predictions
from scripts.scoring.alignment import KINDS, align, are_within
from scripts.scoring.counts import Tally, count, rows
from scripts.scoring.evaluation import ErrorSums, surface_forms
from scripts.scoring.examples import ErrorExamples, load, pack
from scripts.scoring.metrics import metrics
from tests.scored import covered_doc

Evaluator = pytest.importorskip("nervaluate.evaluator").Evaluator  # needs Python 3.11
NLP = spacy.blank("en")
LABELS = ["A-B", "B-PER", "LOC"]  # hyphens are no IOB tags
TEXT = "Ada met Bob at IBM in Rome ."

spans = st.lists(st.tuples(st.integers(0, 7), st.integers(1, 4), st.sampled_from(range(3))), max_size=6)


def apart(found):
    """Spans that do not overlap, as spaCy has them."""
    doc = NLP.make_doc(TEXT)
    made = [Span(doc, start, min(start + size, 8), LABELS[label]) for start, size, label in found]
    return [(LABELS.index(span.label_), span.start, span.end) for span in filter_spans(made)]


def aligned(gold, predicted):
    """One text."""
    return align(rows([(0, *span) for span in gold]), rows([(0, *span) for span in predicted]))


def kinds(gold, predicted):
    """The kind of each entity, in order, and the number of spurious predictions."""
    found = aligned(gold, predicted)
    return [KINDS[kind] for kind in found.kind], int(found.is_spurious.sum())


@pytest.mark.parametrize(
    ("gold", "predicted", "expected"),
    [
        ([(0, 0, 2)], [(0, 0, 2)], (["hit"], 0)),
        ([(0, 0, 2)], [(0, 0, 3)], (["boundary"], 0)),
        ([(0, 0, 2)], [(1, 0, 2)], (["type"], 0)),
        ([(0, 0, 2)], [(1, 1, 3)], (["boundary_type"], 0)),
        ([(0, 0, 2)], [], (["missed"], 0)),
        ([], [(0, 0, 2)], ([], 1)),
        ([(0, 0, 2)], [(0, 2, 4)], (["missed"], 1)),  # neighbours do not overlap
        ([(0, 0, 2), (0, 2, 4)], [(0, 0, 2), (0, 2, 4)], (["hit", "hit"], 0)),
        ([(0, 0, 2), (0, 2, 4)], [(0, 0, 4)], (["boundary", "missed"], 0)),  # one prediction, one entity
        ([(0, 0, 6)], [(0, 0, 1), (0, 2, 6)], (["boundary"], 1)),  # the larger overlap
        ([(0, 0, 4), (1, 0, 4)], [(1, 0, 4)], (["missed", "hit"], 0)),  # a hit is nothing else besides
        ([(0, 0, 4)], [(1, 0, 4), (0, 3, 5)], (["boundary"], 1)),  # the label before the boundaries
    ],
)
def test_kinds_of_errors(gold, predicted, expected):
    assert kinds(gold, predicted) == expected


@given(spans, spans)
def test_each_entity_and_each_prediction_has_one_outcome(gold, predicted):
    gold, predicted = ([(label, start, start + size) for start, size, label in some] for some in (gold, predicted))
    found = aligned(gold, predicted)
    assert len(found.gold) == len(set(gold))
    assert len(found.predicted) == len(set(predicted))
    partners = found.partner[found.partner >= 0].tolist()
    assert len(partners) == len(set(partners))
    assert len(partners) + found.is_spurious.sum() == len(found.predicted)
    assert ((found.partner < 0) == (found.kind == KINDS.index("missed"))).all()
    backwards = aligned(gold[::-1], predicted[::-1])
    assert (backwards.kind == found.kind).all()


@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=6))
def test_texts_do_not_mix(texts):
    texts = [(apart(gold), apart(predicted)) for gold, predicted in texts]
    together = align(*(rows([(n, *span) for n, pair in enumerate(texts) for span in pair[side]]) for side in (0, 1)))
    values = count(together, len(texts), 3)
    for number, (gold, predicted) in enumerate(texts):
        assert (values[number] == count(aligned(gold, predicted), 1, 3)[0]).all()


@given(
    st.lists(st.tuples(*[st.integers(0, 2)] * 2, st.integers(0, 9), st.integers(1, 4)), max_size=8),
    st.lists(st.tuples(*[st.integers(0, 2)] * 2, st.integers(0, 3), st.integers(1, 3)), max_size=8),
)
def test_what_lies_within_a_range(found, ranges):
    found = [(text, label, start, start + size) for text, label, start, size in found]
    ranges = [(text, label, 4 * start, 4 * start + size) for text, label, start, size in ranges]
    apart_ = {(text, label, start): (text, label, start, end) for text, label, start, end in ranges}
    expected = [any(r[:2] == s[:2] and r[2] <= s[2] and s[3] <= r[3] for r in apart_.values()) for s in found]
    assert are_within(rows(found), rows(list(apart_.values()))).tolist() == expected


# The oracles


def nervaluate(gold, predicted):
    """Strict counts by label. Its ends are inclusive."""

    def entities(spans):
        return [{"label": LABELS[label], "start": start, "end": end - 1} for label, start, end in spans]

    found = Evaluator([entities(one) for one in gold], [entities(one) for one in predicted], LABELS, loader="dict")
    found = found.evaluate()["entities"]
    return {label: found[label]["strict"] for label in LABELS if label in found}  # labels without spans are missing


@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=5))
def test_strict_counts_are_those_of_nervaluate(texts):
    gold, predicted = ([apart(pair[side]) for pair in texts] for side in (0, 1))
    found = align(*(rows([(n, *span) for n, one in enumerate(some) for span in one]) for some in (gold, predicted)))
    sums = count(found, len(texts), 3).sum(0)
    theirs = nervaluate(gold, predicted)
    for label, (tp, fp, fn, _) in zip(LABELS, sums.tolist(), strict=True):
        expected = (one.correct, one.actual, one.possible) if (one := theirs.get(label)) else (0, 0, 0)
        assert (tp, tp + fp, tp + fn) == expected


def perturbed(doc, labels):
    """What a middling model could find: every third entity is missed, and others are moved or of another label."""
    made = []
    for number, span in enumerate(doc.spans["gold"]):
        shift = (number + len(doc)) % 7
        if shift in (0, 1):
            continue
        end = min(len(doc), span.end + (shift == 2))
        label = labels[(labels.index(span.label_) + 1) % len(labels)] if shift == 3 else span.label_
        made.append(Span(doc, span.start, end, label))
    result = NLP.make_doc(doc.text)
    result.ents = filter_spans([Span(result, span.start, span.end, span.label_) for span in filter_spans(made)])
    return result


def on_real_texts(texts, labels):
    """Strict scores by label of spaCy, and counts of nervaluate and ours."""
    docs = []
    for each in texts:
        doc = NLP.make_doc(each.text)
        found = [doc.char_span(span.start, span.end, span.label) for span in each.spans]
        ents = filter_spans([span for span in found if span is not None])
        docs.append(covered_doc(NLP, each.text, [(span.start, span.end, span.label_) for span in ents], labels))
    docs.insert(0, covered_doc(NLP, "Nothing here .", [], labels))  # an empty first document
    predicted = [perturbed(doc, labels) for doc in docs]
    tally = Tally(labels)
    for doc, guess in zip(docs, predicted, strict=True):
        tally.add(doc.text, covered_of(doc), predictions(guess))
    ours = metrics(tally.counts())
    theirs = Scorer.score_spans([Example(guess, doc) for guess, doc in zip(predicted, docs, strict=True)], "ents")
    assert 0.3 < ours.micro.f < 0.9
    assert ours.micro.f == pytest.approx(theirs["ents_f"], abs=1e-6)
    for label, found in theirs["ents_per_type"].items():
        mine = ours.labels[label]
        assert [mine.p or 0, mine.r or 0, mine.f or 0] == pytest.approx([found[key] for key in "prf"], abs=1e-6)

    def entities(doc):
        return [{"label": s.label_, "start": s.start_char, "end": s.end_char - 1} for s in doc.ents]

    strict = Evaluator([entities(d) for d in docs], [entities(d) for d in predicted], labels, loader="dict").evaluate()
    for label in labels:
        mine, found = ours.labels[label], strict["entities"][label]["strict"]
        assert (mine.tp, mine.tp + mine.fp, mine.support) == (found.correct, found.actual, found.possible)


@pytest.mark.parametrize("name", ["addresses", "posts", "protocols"])  # addresses: the demo
def test_real_corpora_are_scored_as_by_spacy_and_nervaluate(name, shared_data):
    test = CORPORA[name](shared_data)["test"][:150]
    on_real_texts(test, sorted({label for each in test for label in each.covered}))


# Errors by kind, confusion, seen and unseen


def errors_of(gold, ents, seen=None):
    """Of one text."""
    doc = NLP.make_doc(TEXT)
    doc.ents = [Span(doc, *ent) for ent in ents]
    tally, found = Tally(LABELS), ErrorSums(3, seen)
    tally.add(gold.text, covered_of(gold), predictions(doc))
    found.add(tally.flush(), LABELS)
    return metrics(tally.counts(), [found]), found


def test_errors_of_each_kind_add_up_and_confusion_has_the_labels():
    gold = covered_doc(NLP, TEXT, [(0, 1, "A-B"), (2, 3, "A-B"), (4, 5, "LOC"), (6, 7, "LOC")], LABELS)
    found, more = errors_of(gold, [(0, 2, "A-B"), (2, 3, "B-PER"), (4, 6, "B-PER"), (7, 8, "LOC")])
    errors = {label: score.errors for label, score in found.labels.items()}
    assert (errors["A-B"].fn.boundary, errors["A-B"].fn.type, errors["A-B"].fp.boundary) == (1, 1, 1)
    assert (errors["LOC"].fn.boundary_type, errors["LOC"].fn.missed, errors["LOC"].fp.spurious) == (1, 1, 1)
    assert (errors["B-PER"].fp.type, errors["B-PER"].fp.boundary_type) == (1, 1)
    for score in [*found.labels.values(), found.micro]:
        assert score.fn == sum(msgspec.structs.astuple(score.errors.fn))
        assert score.fp == sum(msgspec.structs.astuple(score.errors.fp))
        assert score.error_count == score.fn + score.fp
    assert more.confusion.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]]


def test_a_prediction_whose_label_is_not_covered_there_is_no_error():
    gold = covered_doc(NLP, TEXT, [(0, 1, "A-B")], ["A-B", (4, 8, "LOC")])
    found, more = errors_of(gold, [(0, 1, "B-PER"), (2, 3, "LOC"), (6, 7, "LOC")])
    assert found.labels["A-B"].errors.fn.missed == 1
    assert found.labels["LOC"].errors.fp.spurious == 1
    assert (found.labels["B-PER"].texts, found.labels["B-PER"].fp) == (0, 0)
    assert more.confusion.sum() == 2


def test_seen_and_unseen_surface_forms_have_a_recall_each():
    train = covered_doc(NLP, "Ada likes Rome .", [(0, 1, "A-B"), (2, 3, "LOC")], LABELS)
    seen = surface_forms([train])
    assert seen == {"A-B": {"Ada"}, "LOC": {"Rome"}}
    gold = covered_doc(NLP, TEXT, [(0, 1, "A-B"), (2, 3, "A-B"), (6, 7, "B-PER")], LABELS)
    found, _ = errors_of(gold, [(0, 1, "A-B")], seen)
    assert (found.labels["A-B"].seen.r, found.labels["A-B"].unseen.r) == (1.0, 0.0)
    assert found.labels["B-PER"].seen.entities == 0  # Rome was seen as another label
    assert (found.micro.seen.entities, found.micro.unseen.entities) == (1, 2)
    assert errors_of(gold, [])[0].micro.seen is None


# ErrorExamples of errors


def examples(texts, limit=20):
    tally, found = Tally(LABELS), ErrorExamples(limit)
    for text in texts:
        doc = NLP.make_doc(text)
        gold = covered_doc(NLP, text, [(0, 1, "A-B"), (2, 3, "LOC")], ["A-B", "LOC"])
        doc.ents = [Span(doc, 2, 4, "LOC"), Span(doc, 5, 6, "B-PER")]
        tally.add(text, covered_of(gold), predictions(doc))
    found.add(tally.flush(), LABELS)
    return found.all()


def test_an_example_shows_the_entity_and_the_prediction():
    missed, boundary = examples(["Ada likes Rome in May and June ."])
    assert (missed.label, missed.kind, missed.prediction) == ("A-B", "missed", None)
    assert (boundary.label, boundary.kind) == ("LOC", "boundary")
    shown = [boundary.text[span.start : span.end] for span in (boundary.entity, boundary.prediction)]
    assert shown == ["Rome", "Rome in"]
    assert [boundary.text[span.start : span.end] for span in boundary.not_covered] == ["and"]


def test_examples_are_few_and_the_same_in_any_order(tmp_path):
    texts = [f"Ada likes Rome in May {number} ." for number in range(50)]
    found = examples(texts, limit=5)
    assert [example.kind for example in found] == ["missed"] * 5 + ["boundary"] * 5
    assert examples(texts[::-1], limit=5) == found
    assert pack(found) == pack(found)
    (tmp_path / "errors.jsonl.gz").write_bytes(pack(found))
    assert load(tmp_path / "errors.jsonl.gz") == found
    assert load(tmp_path / "nothing.jsonl.gz") == []


def test_of_a_long_text_a_part_is_shown():
    text = f"{'before ' * 200}Ada likes Rome in May and June . {'after ' * 200}"
    doc = NLP.make_doc(text)
    gold = covered_doc(NLP, text, [(200, 201, "A-B"), (202, 203, "LOC")], LABELS)
    tally, found = Tally(LABELS), ErrorExamples()
    tally.add(text, covered_of(gold), predictions(doc))
    found.add(tally.flush(), LABELS)
    for example in found.all():
        assert len(example.text) < 400
        assert text[example.offset :].startswith(example.text)
        assert example.text[example.entity.start : example.entity.end] in ("Ada", "Rome")
        assert len(example.gold) == 2
