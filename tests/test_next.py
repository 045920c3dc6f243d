"""next: the measurements of each label, and the recommendation of the first rule that they fulfill."""

from __future__ import annotations

import io
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scripts.checking import consistency, coverage
from scripts.checking.review import Outdated
from scripts.merging.merge import Resources, merge
from scripts.queueing import recommendation as deciding
from scripts.queueing.recommendation import LabelRecommendation, Next, print_next
from scripts.queueing.rules import RULES, Signals, recommend
from tests.annotated import task
from tests.annotated import write as write_answers
from tests.project import fail, succeed
from tests.runs import counted, made, write

FINE = {
    "texts": 100, "covered": 100, "spans": 200, "suspects": 0, "agreement": 0.9, "agreement_spans": 80, "support": 60,
    "f": 0.95, "errors": 20, "seen": 0.9, "unseen": 0.85, "unseen_entities": 40, "slope": 0.01, "trend": "within noise",
    "confused_with": "ORG", "confusions": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "rule", "action"),
    [
        ({}, 9, "leave"),
        ({"support": 29}, 1, "annotate"),
        ({"agreement": 0.79}, 2, "guideline"),
        ({"agreement": 0.79, "agreement_spans": 49}, 9, "leave"),
        ({"confusions": 10}, 3, "redefine"),
        ({"confusions": 10, "errors": 41}, 9, "leave"),
        ({"suspects": 6}, 4, "review"),
        ({"suspects": 4, "spans": 10}, 9, "leave"),
        ({"slope": 0.02, "trend": "more helps"}, 5, "annotate"),
        ({"unseen": 0.75}, 6, "annotate"),
        ({"unseen": 0.5, "unseen_entities": 29}, 9, "leave"),
        ({"covered": 49}, 7, "annotate"),
        ({"covered": 49, "agreement": 0.5}, 2, "guideline"),  # more of what people disagree on helps nobody
        ({"support": 5, "suspects": 50}, 1, "annotate"),
        ({"f": 0.89}, 8, "inspect"),
    ],
)
def test_the_first_rule_that_holds(changed, rule, action):
    found = recommend(Signals(**FINE | changed))
    assert (found.rule, found.action) == (rule, action)


def test_the_reason_has_the_measurements():
    assert recommend(Signals(**FINE | {"suspects": 6})).reason == "6 suspects among 200 spans"
    assert "ORG" in recommend(Signals(**FINE | {"confusions": 12})).reason


@given(st.dictionaries(st.sampled_from([name for name in FINE if name not in ("texts", "covered")]), st.none()))
def test_a_missing_measurement_is_no_reason(unknown):
    unknown = {
        name: FINE[name] if name in ("agreement_spans", "unseen_entities", "confusions") else None for name in unknown
    }
    assert recommend(Signals(**FINE | unknown)).rule == len(RULES)


# The step


def answers():
    """X is annotated in all texts, in one of them forgotten; Y in a few."""
    for number in range(24):
        text = f"{number} Rome is old"
        start = text.index("Rome")
        spans = [] if number == 7 else [(start, start + 4, "X")]
        yield task(text, *spans, labels=["X"], dataset="x", source=f"link:{number}")
        if number < 5:
            yield task(text, labels=["Y"], dataset="y", source=f"link:{number}")


@pytest.fixture
def project(tmp_path):
    """Merged and checked, with one run."""
    manifest = write_answers(tmp_path / "annotations", list(answers()))
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(256, 1))
    consistency.check(tmp_path / "corpus", tmp_path / "annotations", manifest, 1)
    coverage.check(tmp_path / "corpus", tmp_path / "annotations", manifest, 1)
    write(tmp_path, made("ner", "a", 1, counted({"X": 40, "Y": 10}, texts=60, entities=50)))
    return tmp_path


def test_all_measurements_of_a_label_are_in_its_row(project):
    said = succeed(project, "next", "corpus", "metrics")
    found = deciding.load(project / "metrics", project / "corpus")
    assert list(found.labels) == ["Y", "X"]  # most errors first
    x, y = found.labels["X"], found.labels["Y"]
    assert (x.signals.texts, x.signals.covered, x.signals.spans, x.signals.support) == (24, 24, 23, 50)
    assert (y.signals.covered, y.signals.errors) == (5, 42)
    assert y.recommendation.rule == 7
    assert "covered in 5 of 24 texts" in said
    assert found.run.startswith("ner-")
    for rule in RULES:
        assert rule.condition in said
    assert "✔ metrics/next.json: begin with Y: annotate more texts" in said


def test_its_screen_is_80_columns_wide_and_keeps_labels_on_one_line():
    signals = Signals(**FINE | {"low": 0.93, "high": 0.97, "f": 0.85})
    row = LabelRecommendation(signals, recommend(signals))
    labels = ["StreetNamePreType", "ORG"]
    printed = io.StringIO()
    print_next(Console(file=printed, width=80), Next(gold="", run=None, notes=[], labels=dict.fromkeys(labels, row)))
    head, first, second, *_ = printed.getvalue().splitlines()
    assert head.split() == [
        "label",
        "covered",
        "suspects",
        "agree",
        "F",
        "95",
        "%",
        "×",
        "2",
        "unseen",
        "errors",
        "rule",
    ]
    assert first.split() == ["StreetNamePreType", "100%", "0", ".90", ".85", ".93–.97", "+.010", ".85", "20", "8"]
    assert second.startswith("ORG ")


def test_missing_measurements_are_named(project):
    shutil.rmtree(project / "metrics")
    (project / "corpus/review/coverage.json").unlink()
    said = succeed(project, "next", "corpus", "metrics")
    for step in ("weasel run evaluate", "weasel run coverage", "weasel run suspects", "weasel run learning-curve"):
        assert step in said
    found = deciding.load(project / "metrics", project / "corpus")
    assert found.run is None
    assert found.labels["X"].signals.f is None


def test_measurements_of_other_annotations_are_not_used(project):
    path = project / "corpus/review/consistency.json"
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps(found | {"gold": "0"}))
    assert "annotations have changed since consistency: weasel run consistency" in succeed(
        project, "next", "corpus", "metrics"
    )
    assert deciding.load(project / "metrics", project / "corpus").labels["X"].signals.suspects is None


def test_a_recommendation_about_other_annotations_is_outdated(project):
    succeed(project, "next", "corpus", "metrics")
    path = project / "metrics" / deciding.NAME
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"gold": "0"}))
    with pytest.raises(Outdated, match="weasel run next"):
        deciding.load(project / "metrics", project / "corpus")


def test_the_same_again_is_the_same_bytes(project):
    path = project / "metrics" / deciding.NAME
    succeed(project, "next", "corpus", "metrics")
    before = path.read_bytes()
    succeed(project, "next", "corpus", "metrics")
    assert path.read_bytes() == before


def test_without_a_corpus_it_says_what_to_do(tmp_path):
    assert "merge the annotations first" in fail(tmp_path, "next", "corpus", "metrics")
