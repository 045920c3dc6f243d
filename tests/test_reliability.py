"""Whether probabilities of predicted spans are right: as evaluate measures it on the test texts."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import spacy
from rich.console import Console
from spacy.tokens import Span, SpanGroup

from scripts.core.errors import UserError
from scripts.model.label_heads import LabelHeads, covered_of
from scripts.reporting.scores import print_reliability
from scripts.scoring import runs as stored
from scripts.scoring.evaluation import evaluate, judge_spans
from scripts.scoring.metrics import metrics
from scripts.scoring.reliability import BINS, LEAST_SPANS, JudgedSpans, ReliabilityDiagrams, diagram, reliability
from tests.runs import counted, made
from tests.scored import covered_doc, write_corpus

NLP = spacy.blank("en")


def drawn(spans, seed=0, shift=0.0):
    """Probabilities, and spans that are right as often as these say, or more seldom by a shift."""
    random = np.random.default_rng(seed)
    probability = random.beta(4, 1.5, spans)
    return probability, (random.random(spans) < probability - shift).astype(float)


def judged(*columns):
    """By label: probabilities, and whether the spans are right."""
    found = JudgedSpans()
    for label, (probability, is_right) in enumerate(columns):
        for p, right in zip(probability.tolist(), is_right.tolist(), strict=True):
            found.add(label, p, bool(right))
    return found


def test_the_error_is_the_mean_difference_over_bins_of_equal_size():
    probability = np.repeat(np.linspace(0.1, 0.8, BINS), 10)
    is_right = np.tile([1.0] * 5 + [0.0] * 5, BINS)  # the precision of every bin is .5
    found = reliability(probability, is_right)
    assert found.ece == pytest.approx(np.abs(np.linspace(0.1, 0.8, BINS) - 0.5).mean(), abs=1e-6)
    assert [(b.spans, b.precision) for b in diagram(probability, is_right)] == [(10, 0.5)] * BINS


@pytest.mark.parametrize("spans", [150, 400, 3000])
def test_exact_probabilities_have_the_error_that_is_said(spans):
    errors = [reliability(*drawn(spans, seed)).ece for seed in range(200)]
    assert reliability(*drawn(spans)).exact_ece == pytest.approx(np.mean(errors), rel=0.06)


def test_probabilities_that_are_too_high_are_found():
    assert reliability(*drawn(20_000, shift=0.2)).ece == pytest.approx(0.2, abs=0.02)


def test_the_surest_spans_are_those_with_the_highest_probability():
    probability, is_right = np.arange(200) / 200, np.repeat([0.0, 1.0], 100)
    found = reliability(probability, is_right)
    assert (found.p30, found.p50, found.p80) == (1.0, 1.0, 0.625)


def test_the_order_of_spans_changes_nothing():
    probability, is_right = np.repeat([0.5, 0.9], 100), np.tile([1.0, 1.0, 1.0, 0.0], 50)
    order = np.random.default_rng(0).permutation(200)
    assert reliability(probability, is_right) == reliability(probability[order], is_right[order])
    assert reliability(probability, is_right).p30 == 0.75


def test_too_few_spans_have_no_error():
    found = reliability(*drawn(LEAST_SPANS - 1))
    assert (found.spans, found.ece, found.exact_ece, found.p30) == (LEAST_SPANS - 1, None, None, None)
    assert diagram(*drawn(LEAST_SPANS - 1)) == []
    assert reliability(np.zeros(0), np.zeros(0)).ece is None
    assert reliability(*drawn(LEAST_SPANS)).ece is not None


def test_spans_are_judged_where_their_label_is_covered():
    gold = covered_doc(NLP, "Ada met Bob in Rome .", [(0, 1, "PER"), (4, 5, "LOC")], ["PER"])
    predicted = NLP.make_doc(gold.text)
    spans = [
        Span(predicted, *each) for each in [(0, 1, "PER"), (2, 3, "PER"), (2, 4, "PER"), (4, 5, "LOC"), (0, 1, "X")]
    ]
    predicted.spans["predicted"] = SpanGroup(
        predicted, spans=spans, attrs={"scores": np.array([0.9, 0.8, 0.2, 0.7, 0.6])}
    )
    found = JudgedSpans()
    judge_spans(predicted.spans["predicted"], covered_of(gold), ["LOC", "PER"], found)
    assert [values.tolist() for values in found.of()] == [[0.9, 0.8, 0.2], [1, 0, 0]]
    assert [len(values) for values in found.of(0)] == [0, 0]


def heads(calibration):
    """A pipeline of label heads whose scores are drawn at random."""
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("label_heads")
    assert isinstance(pipe, LabelHeads)
    doc = covered_doc(nlp, "IBM hired Ada .", [(0, 1, "ORG"), (2, 3, "PER")], ["ORG", "PER"])
    nlp.initialize(lambda: [spacy.training.Example(nlp.make_doc(doc.text), doc)])
    layer = pipe.model.get_ref("heads")
    layer.set_param("W2", np.random.default_rng(0).normal(size=layer.get_param("W2").shape).astype("f"))
    pipe.calibration.update(calibration)
    return nlp


def test_evaluate_judges_what_a_calibrated_model_predicts(tmp_path):
    docs = [covered_doc(NLP, f"IBM hired Ada {n} .", [(0, 1, "ORG"), (2, 3, "PER")], ["ORG"]) for n in range(8)]
    write_corpus(tmp_path, docs)
    nlp = heads({"ORG": (1.0, 1.0, 0.0)})
    found = evaluate(nlp, tmp_path / "test", ["ORG", "PER"], 8, "")
    texts = list(nlp.pipe([doc.text for doc in docs]))
    probabilities = [
        p
        for spans in (doc.spans["predicted"] for doc in texts)
        for span, p in zip(spans, spans.attrs["scores"], strict=True)
        if span.label_ == "ORG"
    ]
    assert probabilities
    assert found.judged.of()[0].tolist() == pytest.approx(probabilities)
    assert not len(found.judged.of(1)[0])  # PER is covered in no text
    assert evaluate(heads({}), tmp_path / "test", ["ORG", "PER"], 8, "").judged is None


def run_with(*seeds):
    """A run with spans of the labels LOC and ORG, by seed."""
    counts = counted({"LOC": 5, "ORG": 5}, seeds=range(len(seeds)))
    diagrams = {str(seed): spans.diagrams(counts.labels) for seed, spans in enumerate(seeds)}
    run = made("ner", "a", 1, counts)
    return run._replace(metrics=metrics(counts, None, seeds), reliability=ReliabilityDiagrams(diagrams))


def test_what_a_run_keeps_of_it(tmp_path):
    run = run_with(judged(drawn(20), drawn(300)))
    folder = stored.save(run, tmp_path)
    micro = json.loads((folder / "metrics.json").read_text())["micro"]["reliability"]
    assert list(micro) == ["spans", "ece", "exact_ece", "p30", "p50", "p80"]
    assert micro["spans"] == 320
    written = json.loads((folder / "reliability.json").read_text())["seeds"]["0"]
    assert list(written) == ["micro", "labels"]
    assert list(written["labels"]) == ["ORG"]  # LOC has too few spans
    assert [len(each) for each in written["labels"]["ORG"]] == [3] * BINS
    assert stored.load(folder).metrics == run.metrics
    assert stored.load_reliability(folder) == run.reliability
    frame = stored.frame(tmp_path).set_index("label")
    assert frame.loc["ORG", "ece"] == run.metrics.labels["ORG"].reliability.ece


def test_without_calibrated_probabilities_there_is_no_file(tmp_path):
    folder = stored.save(made("ner", "a", 1, counted({"ORG": 5})), tmp_path)
    assert not (folder / "reliability.json").exists()
    assert stored.load_reliability(folder) is None
    assert "reliability" not in (folder / "metrics.json").read_text()


def test_damaged_diagrams_are_named(tmp_path):
    folder = stored.save(run_with(judged(drawn(20), drawn(300))), tmp_path)
    content = json.loads((folder / "reliability.json").read_text())
    content["seeds"]["0"]["micro"].pop()
    (folder / "reliability.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"reliability\.json: is damaged"):
        stored.load_reliability(folder)


def test_several_seeds_are_means():
    one, other = judged(drawn(150), drawn(200, 1)), judged(drawn(20), drawn(300, 2))
    run = run_with(one, other)
    assert run.metrics.micro.reliability.spans == 335
    of_each = [reliability(*spans.of(1)).ece for spans in (one, other)]
    assert run.metrics.labels["ORG"].reliability.ece == pytest.approx(np.mean(of_each), abs=1e-6)
    means = run.reliability.means()
    assert list(means.labels) == ["ORG"]  # the second seed has too few spans of LOC
    assert means.micro[0].probability == pytest.approx(
        np.mean([spans.diagrams([]).micro[0].probability for spans in (one, other)])
    )


def printed(run):
    out = io.StringIO()
    print_reliability(Console(file=out, width=80), run.metrics)
    assert all(len(line) <= 80 for line in out.getvalue().splitlines())
    return " ".join(out.getvalue().split())


def test_evaluate_says_what_can_be_told():
    said = printed(run_with(judged(drawn(20), drawn(300, shift=0.3))))
    assert said.startswith("Probabilities of 320 predicted spans: calibration error .")
    assert "Calibration error by label: ORG ." in said
    assert "LOC" not in said
    few = printed(run_with(judged(drawn(20), drawn(30))))
    assert few == f"Probabilities: 50 predicted spans; to tell how reliable they are takes {LEAST_SPANS}."
