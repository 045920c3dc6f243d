"""Several seeds, their variance, and learning curves, from a corpus to the results."""

from __future__ import annotations

import json

import numpy as np
import pytest
import spacy

from scripts.building.reading import read_docs
from scripts.building.splits import shard_files
from scripts.core.errors import UserError
from scripts.model import training
from scripts.model.models import model_digest
from scripts.scoring.changes import NO_SUPPORT, WITHIN
from scripts.scoring.learning_curve import HELPS, HURTS, CurvePart, curve, write_part
from scripts.scoring.seed_variance import measure
from tests.project import ROOT
from tests.runs import counted, made
from tests.scored import covered_doc, one_line, step, write_corpus

CONFIG = ROOT / "configs" / "ner.cfg"
NLP = spacy.blank("en")
FEW = ("--training.max_steps", 20, "--training.eval_frequency", 10,
       "--training.optimizer.learn_rate.warmup_steps", 1)  # fmt: skip


def doc(number):
    text = f"IBM hired Ada number {number} ."
    return covered_doc(NLP, text, [(0, 1, "ORG"), (2, 3, "PER")], ["ORG", "PER"])


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A corpus, and two seeds that were trained at once."""
    folder = tmp_path_factory.mktemp("project")
    train_docs, dev_docs, test_docs = (list(map(doc, numbers)) for numbers in (range(20, 60), range(10, 15), range(4)))
    write_corpus(folder / "corpus", test_docs, train=train_docs, dev=dev_docs)
    done = train(folder, "--seed", 3, "--seeds", 2)
    assert done.returncode == 0, done.stderr
    return folder


def train(folder, *options):
    return step(folder, "scripts.train", CONFIG, "--output", "training/ner", *options, *FEW)


def test_several_seeds_are_trained_side_by_side(project):
    assert sorted(path.name for path in (project / "training/ner").glob("seed-*")) == ["seed-3", "seed-4"]
    assert "LOSS" in (project / "training/ner/seed-4/train.log").read_text("utf8")
    done = step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner")
    assert "means over 2 seeds" in " ".join(done.stdout.split())
    found = json.loads((project / "metrics.json").read_text())
    assert list(found["seeds"]) == ["3", "4"]
    assert "sd" in found["labels"]["ORG"]
    (folder,) = (path for path in (project / "metrics").iterdir() if path.is_dir())
    assert list(json.loads((folder / "confusion.json").read_text())["seeds"]) == ["3", "4"]


def test_a_seed_is_the_same_model_whether_trained_alone_or_with_others(project):
    together = model_digest(project / "training/ner/seed-4/model-best")
    done = step(project, "scripts.train", CONFIG, "--output", "training/alone", "--seed", 4, *FEW)
    assert done.returncode == 0, done.stderr
    assert model_digest(project / "training/alone/seed-4/model-best") == together


def test_the_seeds_that_are_asked_for_are_evaluated(project):
    def evaluate(*options):
        return step(project, "scripts.evaluate", "--run", "one", "--models", "training/ner", *options)

    assert "means" not in evaluate("--seed", 4, "--seeds", 1).stdout
    assert "means over 2 seeds" in " ".join(evaluate("--seed", 3, "--seeds", 2).stdout.split())
    assert "training/ner: has no seed-5/model-best" in one_line(evaluate("--seed", 3, "--seeds", 3))


def test_no_seeds_are_no_training(project):
    assert "--seeds 0: must be 1 or more" in one_line(train(project, "--seeds", 0))


def test_as_many_trainings_as_memory_and_cores_allow(monkeypatch):
    monkeypatch.setattr(training, "available_cores", lambda: 8)
    monkeypatch.setattr(training, "available_mb", lambda: 4000.0)
    assert (training.at_a_time(False), training.at_a_time(True)) == (2, 1)
    monkeypatch.setattr(training, "available_mb", lambda: 100.0)
    assert training.at_a_time(False) == 1
    monkeypatch.setattr(training, "available_mb", lambda: float("inf"))
    assert (training.at_a_time(False), training.at_a_time(False, 3), training.at_a_time(False, 16)) == (8, 2, 1)


# Seed variance


def test_seed_variance_is_the_spread_over_seeds():
    found = measure(made("ner", "a", 1, counted({"ORG": (5, 6, 7), "PER": 5}, (0, 1, 2))))
    f = np.array([2 * hits / (hits + 2 + 10) for hits in (5, 6, 7)])
    assert found.labels["ORG"].sd == pytest.approx(f.std(ddof=1), abs=1e-6)
    assert found.labels["ORG"].f == pytest.approx(f.mean(), abs=1e-6)
    assert (found.labels["PER"].sd, found.labels["PER"].support) == (0, 10)
    assert (found.seeds, found.micro.support) == ([0, 1, 2], 20)


def test_seed_variance_takes_three_seeds(project):
    with pytest.raises(UserError, match="has 2 seeds"):
        measure(made("ner", "a", 1, counted({"ORG": (5, 6)}, (0, 1))))
    done = step(project, "scripts.seed_variance", "--run", "ner", "--models", "training/ner")
    assert "ner: has 2 seeds; to measure seed variance takes 3" in one_line(done)
    assert not (project / "metrics/seed_variance.json").exists()


def test_seed_variance_is_measured_and_kept(project):
    done = step(project, "scripts.train", CONFIG, "--output", "training/seeds", "--seeds", 3, *FEW)
    assert done.returncode == 0, done.stderr
    done = step(project, "scripts.seed_variance", "--run", "ner", "--models", "training/seeds")
    assert "✔ metrics/seed_variance.json: 3 seeds" in done.stdout
    found = json.loads((project / "metrics/seed_variance.json").read_text())
    assert (found["seeds"], found["labels"]["ORG"]["support"]) == ([0, 1, 2], 4)
    (project / "metrics/seed_variance.json").unlink()


# Learning curves


def parts(*hits, texts=(100, 200, 400), **more):
    return [
        CurvePart(size / texts[-1], size, {"ORG": size}, counted({"ORG": found, "PER": 5}, texts=1500, **more))
        for size, found in zip(texts, hits, strict=True)
    ]


def trends(*hits, **more):
    found = curve("ner", "a", parts(*hits, entities=1000, **more), None)
    return found.labels["ORG"], found.labels["PER"]


def test_more_texts_help_if_that_is_more_than_noise():
    org, per = trends(400, 500, 600)
    assert org.verdict == HELPS
    assert 0 < org.low < org.slope < org.high
    assert (per.verdict, per.slope) == (WITHIN, 0)
    assert trends(500, 510, 505)[0].verdict == WITHIN
    assert trends(600, 500, 400)[0].verdict == HURTS


def test_the_slope_is_what_twice_as_many_texts_bring():
    (org, _) = trends(400, 500, 600)
    f = [2 * hits / (hits + 2 + 1000) for hits in (400, 500, 600)]
    assert org.slope == pytest.approx((f[2] - f[0]) / 2, abs=1e-3)


def test_a_label_without_entities_has_no_curve():
    found = curve("ner", "a", parts(0, 0, 0, entities=0), None)
    assert found.labels["ORG"].verdict == NO_SUPPORT


def test_a_curve_takes_two_sizes():
    with pytest.raises(UserError, match="parts of at least two sizes"):
        curve("ner", "a", parts(5, 6, 7, texts=(0, 100, 100)), None)


def test_parts_are_nested_and_the_last_is_all(tmp_path, project):
    read = {}
    for share in (0.25, 0.5, 1.0):
        texts, entities, words = write_part(project / "corpus/train", tmp_path / str(share), share, ["ORG", "PER"])
        docs = list(read_docs(shard_files(tmp_path / str(share)), NLP.vocab))
        read[share] = {d.text for d in docs}
        assert len(docs) == texts == entities["ORG"]
        assert words == sum(map(len, docs))
        assert all(len(d.spans["covered"]) == 2 for d in docs)
    assert read[0.25] < read[0.5] < read[1.0]
    assert len(read[1.0]) == 40


def test_a_curve_is_measured_and_kept(project):
    options = ("--models", "training/curve", "--shares", 0.5, 1.0, *FEW)
    done = step(project, "scripts.learning_curve", CONFIG, *options)
    assert done.returncode == 0, done.stderr
    assert "✔ metrics/learning-curve.json" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    found = json.loads((project / "metrics/learning-curve.json").read_text())
    assert [point["share"] for point in found["points"]] == [0.5, 1.0]
    assert found["points"][-1]["entities"] == {"ORG": 40, "PER": 40}
    assert [path.name for path in (project / "training/curve").iterdir()] == [".lock"]


def test_shares_out_of_range_are_one_line(project):
    done = step(project, "scripts.learning_curve", CONFIG, "--models", "training/curve", "--shares", 0.5, 2.0)
    assert "--shares takes at least two numbers above 0 and up to 1" in one_line(done)
