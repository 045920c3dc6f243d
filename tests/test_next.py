"""next: the measurements of each label, and the recommendation of the first rule that they fulfill."""

from __future__ import annotations

import io
import json
import shlex
import shutil
from itertools import pairwise

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
from scripts.scoring.runs import RunData, TrainingData
from tests.annotated import task
from tests.annotated import write as write_answers
from tests.project import fail, succeed
from tests.runs import counted, made, write
from tests.test_command_lines import LINES, parsed

FINE = {
    "texts": 100, "covered": 100, "spans": 200, "suspects": 0, "agreement": 0.9, "agreement_spans": 80, "support": 60,
    "f": 0.95, "errors": 20, "seen": 0.9, "unseen": 0.85, "unseen_entities": 40, "slope": 0.01, "trend": "within noise",
    "confused_with": "ORG", "confusions": 2, "predicted": 58, "scored": 40, "test_left": 0, "trained": 140,
    "all_f": 0.9,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "rule", "action"),
    [
        ({}, 10, "leave"),
        ({"all_f": 0.09}, 1, "train"),
        ({"predicted": 0, "f": 0}, 1, "train"),
        ({"predicted": 0, "support": 0, "f": None}, 2, "test"),
        ({"support": 29}, 2, "test"),
        ({"agreement": 0.79}, 3, "guideline"),
        ({"agreement": 0.79, "agreement_spans": 49}, 10, "leave"),
        ({"confusions": 10}, 4, "redefine"),
        ({"confusions": 10, "errors": 41}, 10, "leave"),
        ({"suspects": 6}, 5, "review"),
        ({"suspects": 4, "spans": 10}, 10, "leave"),
        ({"slope": 0.02, "trend": "more helps"}, 6, "annotate"),
        ({"unseen": 0.75}, 7, "annotate"),
        ({"unseen": 0.5, "unseen_entities": 29}, 10, "leave"),
        ({"covered": 49}, 8, "annotate"),
        ({"covered": 49, "agreement": 0.5}, 3, "guideline"),  # more of what people disagree on helps nobody
        ({"support": 5, "suspects": 50}, 2, "test"),
        ({"f": 0.89}, 9, "inspect"),
    ],
)
def test_the_first_rule_that_holds(changed, rule, action):
    found = recommend("PER", Signals(**FINE | changed))
    assert (found.rule, found.action) == (rule, action)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"suspects": 6}, "6 suspects of tier 1 among 200 spans"),
        ({"confusions": 12}, "12 of 20 errors are confusions with ORG"),
        ({"f": 0.8, "errors": 20.5}, "F .80, 20.5 errors"),  # a mean over seeds, as everywhere
        ({"all_f": 0.02}, "F of all labels .02"),
        ({"predicted": 0}, "never predicted, of 60 entities in the test texts and 140 in the training texts"),
        ({"predicted": 0, "trained": None}, "never predicted, of 60 entities in the test texts"),
        (
            {"support": 10, "scored": 40, "test_left": 90},
            "10 entities in 40 test texts; 30 take about 80 more, at that rate",
        ),
        (
            {"support": 10, "scored": 40, "test_left": 79},
            "10 entities in 40 test texts; 30 take about 80 more, at that rate; 79 left: add texts",
        ),
        (
            {"support": 7, "scored": 40, "test_left": 0},
            "7 entities in 40 test texts; 30 take about 132 more, at that rate; none left: add texts",
        ),
        ({"support": 0, "scored": 40, "test_left": 9}, "0 entities in 40 test texts"),
        ({"support": 0, "scored": 0, "test_left": 9}, "no test text has a complete answer for it"),
    ],
)
def test_the_reason_has_the_measurements(changed, reason):
    assert recommend("PER", Signals(**FINE | changed)).reason == reason


@pytest.mark.parametrize(
    ("label", "changed", "command"),
    [
        ("PER", {"support": 10, "scored": 40, "test_left": 90}, "--vars.label PER --vars.texts test --vars.limit 80"),
        ("PER", {"support": 10, "scored": 40, "test_left": 50}, "--vars.label PER --vars.texts test --vars.limit 50"),
        ("PER", {"support": 0, "scored": 0, "test_left": 50}, "--vars.label PER --vars.texts test"),
        ("PER", {"support": 10, "scored": 40, "test_left": 0}, None),
        ("PER", {"covered": 49}, "--vars.label PER"),
        ("PER", {"suspects": 6}, "--vars.label PER --vars.kind suspects"),
        ("PER", {"f": 0.8}, None),
        ("PER", {}, None),
        ("Street Name", {"covered": 49}, """--vars.label ''"'"'Street Name'"'"''"""),
        ("$(x)'", {"covered": 49}, None),
    ],
)
def test_the_command_reaches_the_step_that_makes_the_tasks(label, changed, command, monkeypatch):
    """As a shell and weasel divide it."""
    found = recommend(label, Signals(**FINE | changed)).command
    if label == "PER":
        assert found == (f"weasel run queue . {command}" if command else "")
    if found:
        _, _, name, _, *options = shlex.split(found)
        given = {key.removeprefix("--vars."): value for key, value in pairwise(options) if key.startswith("--")}
        (line,) = (line for step, line in LINES if step == name)
        assert parsed(line, monkeypatch, **given)["label"] == label


@given(st.dictionaries(st.sampled_from([name for name in FINE if name not in ("texts", "covered")]), st.none()))
def test_a_missing_measurement_is_no_reason(unknown):
    unknown = {
        name: FINE[name] if name in ("agreement_spans", "unseen_entities", "confusions") else None for name in unknown
    }
    assert recommend("PER", Signals(**FINE | unknown)).rule == len(RULES)


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
    assert y.recommendation.rule == 8
    assert "weasel run queue . --vars.label Y" in said
    assert "covered in 5 of 24 texts" in said
    assert found.run.startswith("ner-")
    for rule in RULES:
        assert rule.condition in said
    assert "✔ metrics/next.json: begin with Y: annotate more texts" in said


def test_its_screen_is_80_columns_wide_and_keeps_labels_on_one_line():
    signals = Signals(**FINE | {"low": 0.93, "high": 0.97, "f": 0.85})
    row = LabelRecommendation(signals, recommend("ORG", signals))
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
    assert first.split() == ["StreetNamePreType", "100%", "0", ".90", ".85", ".93–.97", "+.010", ".85", "20", "9"]
    assert second.startswith("ORG ")


def test_a_model_that_has_not_learned_comes_first(project):
    """X was never predicted, and has fewer errors than Y. The scores are those that evaluate has stored."""
    counts = counted({"X": 0, "Y": 30}, texts=60, entities=50)
    values = counts.values.copy()
    values[:, 9:, 0] = 0
    values[:, :, 0, 1] = 0  # nine entities, none of them predicted, and no false positive
    write(project, made("ner", "b", 2, counts._replace(values=values)))
    said = succeed(project, "next", "corpus", "metrics")
    assert "- X: train longer, or annotate more (never predicted, of 9 entities in the test texts" in said
    assert "✔ metrics/next.json: begin with X: train longer, or annotate more" in said
    found = deciding.load(project / "metrics", project / "corpus")
    assert list(found.labels) == ["X", "Y"]
    write(project, made("ner", "c", 3, counted({"X": 1, "Y": 2}, texts=60, entities=50)))
    said = succeed(project, "next", "corpus", "metrics")
    for label in "XY":
        assert f"- {label}: train longer, or annotate more (F of all labels .06)" in said


def test_a_run_of_other_labels_is_none(project):
    """As the demo's is, which was evaluated last."""
    write(project, made("demo", "b", 2, counted({"StreetName": 40})))
    succeed(project, "next", "corpus", "metrics")
    found = deciding.load(project / "metrics", project / "corpus")
    assert found.run.startswith("ner-")
    shutil.rmtree(project / "metrics" / found.run)
    assert "No run of these labels was evaluated: weasel run evaluate." in succeed(project, "next", "corpus", "metrics")


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


def test_a_learning_curve_of_other_annotations_is_said(project):
    named = {"run": "ner", "seeds": [0], "variance_seeds": 0, "points": [], "labels": {}}
    trend = {"slope": None, "low": None, "high": None, "p_value": None, "verdict": "no support", "support": 0}
    path = project / "metrics/learning-curve.json"
    (project / "corpus/split.json").write_text(json.dumps({"digest": "now", "texts": {}}))
    for data, is_said in (("before", True), ("now", False)):
        path.write_text(json.dumps(named | {"data": data, "micro": trend, "macro": trend}))
        said = succeed(project, "next", "corpus", "metrics")
        assert ("changed since the learning curve: weasel run learning-curve." in said) == is_said


def test_a_run_that_may_have_learned_test_texts_is_said(project):
    outdated = TrainingData(24, {"X": 24, "Y": 5}, {}, outdated=["X", "Y"])
    (project / "corpus/split.json").write_text(json.dumps({"digest": "now", "texts": {}}))
    counts = counted({"X": 40, "Y": 10}, texts=60, entities=50)
    write(project, made("ner", "b", 2, counts, trained=outdated, data=RunData("a", "now")))
    said = succeed(project, "next", "corpus", "metrics")
    assert "ner-bbbbbbbb was trained on another corpus than it is evaluated on, and may have learned texts of" in said
    assert "annotations have changed since ner" not in said


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


def test_texts_that_are_covered_since_are_counted_until_others_are_merged(project):
    said = succeed(project, "next", "corpus", "metrics")
    assert "more texts covered" not in said
    more = [
        task(f"{number} Rome is old", labels=["Y"], dataset="y", source=f"link:{number}") for number in range(5, 12)
    ]
    manifest = write_answers(project / "more", [*answers(), *more])
    merge(manifest, project / "more", project / "corpus", "majority", Resources(256, 1))
    for _ in range(2):
        said = succeed(project, "next", "corpus", "metrics")
        assert "7 more texts covered for Y since next last ran on other annotations" in said
        assert "covered for X since" not in said
    manifest = write_answers(project / "fewer", [*answers(), *more[:-2]])
    merge(manifest, project / "fewer", project / "corpus", "majority", Resources(256, 1))
    assert "more texts covered" not in succeed(project, "next", "corpus", "metrics")


def test_without_a_corpus_it_says_what_to_do(tmp_path):
    assert "merge the annotations first" in fail(tmp_path, "next", "corpus", "metrics")


def test_a_corpus_that_is_missing_or_damaged_is_said(project):
    split = project / "corpus/split.json"
    assert "corpus/split.json: no such file; make the corpus first: weasel run corpus." in succeed(
        project, "next", "corpus", "metrics"
    )
    split.write_text("{")
    said = succeed(project, "next", "corpus", "metrics")
    assert "corpus/split.json: is damaged" in said
    assert "annotations have changed since" not in said
