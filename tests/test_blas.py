"""The library that multiplies matrices, and its threads: chosen by a table and a config, and recorded."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.training import Example
from thinc.api import NumpyOps, get_current_ops
from threadpoolctl import threadpool_info, threadpool_limits

from scripts.core.errors import UserError
from scripts.model import label_heads
from scripts.model.models import FastOps, blas, fast_ops, find_models, load_model, model_digest
from tests.project import ROOT
from tests.scored import covered_doc, one_line, step, write_corpus

CONFIG = ROOT / "configs" / "ner.cfg"
NLP = spacy.blank("en")
FEW = ("--training.max_steps", 6, "--training.eval_frequency", 3,
       "--training.optimizer.learn_rate.warmup_steps", 1)  # fmt: skip
OPENBLAS = "openblas" in np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
needs_openblas = pytest.mark.skipif(not OPENBLAS, reason="NumPy was built with another BLAS")


@pytest.fixture(autouse=True)
def _limits_restored():
    with threadpool_limits():
        yield


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    texts = [f"IBM hired Ada number {number} ." for number in range(30)]
    docs = [covered_doc(NLP, text, [(0, 1, "ORG"), (2, 3, "PER")], ["ORG", "PER"]) for text in texts]
    write_corpus(folder / "corpus", docs[:4], train=docs[4:26], dev=docs[26:])
    return folder


def train(folder, output, *options):
    done = step(folder, "scripts.train", CONFIG, "--output", f"training/{output}", *options, *FEW)
    assert done.returncode == 0, done.stderr
    return folder / "training" / output / "seed-0" / "model-best"


def on(monkeypatch, system, machine):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)


def product(nlp):
    return nlp.add_pipe("label_heads").model.ops


# The library


@needs_openblas
def test_a_pipeline_multiplies_with_openblas_where_the_table_says_it_is_faster(monkeypatch):
    on(monkeypatch, "Linux", "x86_64")
    with fast_ops({}):
        nlp = spacy.blank("en")
        assert product(nlp).use_blis is False
    assert blas(nlp) == "openblas, threads: 1"


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "ppc64le")])
def test_elsewhere_it_multiplies_with_what_thinc_chose(system, machine, monkeypatch):
    on(monkeypatch, system, machine)
    chosen = type(get_current_ops())
    with fast_ops({}):
        ops = product(spacy.blank("en"))
    assert type(ops) is (FastOps if chosen is NumpyOps else chosen)
    assert ops.use_blis is True


def test_a_numpy_without_openblas_is_left_alone(monkeypatch):
    on(monkeypatch, "Linux", "x86_64")
    monkeypatch.setattr(np, "show_config", lambda mode: {"Build Dependencies": {"blas": {"name": "mkl-sdl"}}})
    with fast_ops({}):
        assert product(spacy.blank("en")).use_blis is True


def test_after_the_block_pipelines_are_made_as_before(monkeypatch):
    on(monkeypatch, "Linux", "x86_64")
    with fast_ops({}):
        pass
    assert product(spacy.blank("en")).use_blis is True


SAME = """
import os, sys, numpy, spacy
from thinc.api import get_current_ops, registry
from threadpoolctl import threadpool_info
def state():
    ops = get_current_ops()
    threads = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    return type(ops), ops.use_blis, sorted(registry.ops.get_all()), threads, dict(os.environ), numpy.dot
before = state()
spec = __import__("importlib.util").util.spec_from_file_location("label_heads", sys.argv[1])
module = __import__("importlib.util").util.module_from_spec(spec)
sys.modules["label_heads"] = module
spec.loader.exec_module(module)
nlp = spacy.load(sys.argv[2])
nlp("IBM hired Ada")
assert state() == before, (before, state())
assert nlp.get_pipe("label_heads").model.ops.use_blis
"""


def test_the_module_in_a_wheel_changes_nothing_for_other_pipelines(project):
    model = train(project, "wheel")
    words = [sys.executable, "-c", SAME, label_heads.__file__, str(model)]
    done = subprocess.run(words, cwd=project, capture_output=True, encoding="utf8")
    assert done.returncode == 0, done.stderr


# Threads


def threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@needs_openblas
def test_threads_are_those_of_the_config_and_one_without():
    with fast_ops({"system": {"threads": 2}}):
        assert threads() == {2}
    with fast_ops({"system": {}}):
        assert threads() == {1}


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "two", None])
def test_what_is_no_number_of_threads_is_refused(value):
    with pytest.raises(UserError, match=r"\[system\] threads = .*: must be a whole number, 1 or more"):
        fast_ops({"system": {"threads": value}}).__enter__()


def test_a_step_refuses_it_in_one_line_before_anything_is_trained(project):
    done = step(project, "scripts.train", CONFIG, "--output", "training/none", "--system.threads", 0)
    assert "[system] threads = 0: must be a whole number, 1 or more" in one_line(done)
    assert not (project / "training/none").exists()


@needs_openblas
def test_a_model_is_run_with_the_threads_it_was_trained_with(project):
    model = train(project, "two", "--system.threads", 2)
    load_model(model)
    assert threads() == {2}


@pytest.mark.parametrize("number", [1, 2])
def test_the_same_threads_make_the_same_bytes(number, project):
    one, other = (train(project, f"{name}{number}", "--system.threads", number) for name in ("one", "other"))
    assert model_digest(one) == model_digest(other)


# The record


def test_a_run_says_what_multiplied_and_other_threads_are_another_run(project):
    found = []
    for number in (1, 2):
        train(project, "run", "--system.threads", number)
        done = step(project, "scripts.evaluate", "--run", "run", "--models", "training/run")
        assert done.returncode == 0, done.stderr
        runs = (json.loads(path.read_text()) for path in Path(project / "metrics").glob("run-*/run.json"))
        found.append(next(run for run in runs if f"threads = {number}" in run["config"]["text"]))
    of = [run["versions"][part]["blas"] for run in found for part in ("training", "evaluation")]
    library = blas(load_model(project / "training/run/seed-0/model-best")).partition(",")[0]
    assert of == [f"{library}, threads: {number}" for number in (1, 1, 2, 2)]
    assert found[0]["digest"] != found[1]["digest"]


def test_models_that_were_multiplied_otherwise_are_not_one_run(project):
    for seed in (0, 1):
        done = step(project, "scripts.train", CONFIG, "--output", "training/mixed", "--seed", seed, *FEW)
        assert done.returncode == 0, done.stderr
    path = project / "training/mixed/seed-1/model-best/meta.json"
    meta = json.loads(path.read_text())
    meta["labelwise"]["versions"]["blas"] = "accelerate, threads: 1"
    path.write_text(json.dumps(meta))
    with pytest.raises(UserError, match="trained with different BLAS, so they are not one run"):
        find_models(project / "training/mixed", "", [])


# Predictions


def test_a_batch_of_any_size_is_predicted_as_its_texts_are_alone():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("label_heads")
    known = covered_doc(nlp, "IBM hired Ada", [(0, 1, "ORG")], ["ORG", "PER"])
    nlp.initialize(lambda: [Example(nlp.make_doc(known.text), known)])
    generator = np.random.default_rng(0)
    heads = pipe.model.get_ref("heads")
    heads.set_param("W2", generator.normal(size=heads.get_param("W2").shape).astype("f"))
    sizes = [0, 5, 1500, 0, 700, 700, 3, 1024, 0]
    docs = [nlp.make_doc(" ".join(f"w{number % 97}" for number in range(size))) for size in sizes]
    found = pipe.scores(docs)
    alone = [pipe.scores([doc]) for doc in docs]
    assert [len(scores) for scores in alone] == sizes
    np.testing.assert_allclose(found, np.concatenate(alone), atol=1e-4)
    assert pipe.scores([nlp.make_doc("")]).shape == (0, 2, 5)


# Dropout


@pytest.mark.parametrize("drop", [0.1, 0.35, 0.5])
def test_masks_of_dropout_keep_the_share_and_the_mean_and_follow_the_seed(drop):
    ops = FastOps()
    np.random.seed(1)
    mask = ops.get_dropout_mask((500, 400), drop)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0, mask.max()}
    assert mask.max() == pytest.approx(1 / (1 - drop), rel=1e-4)
    assert mask.mean() == pytest.approx(1, abs=0.02)
    assert (mask.mean(axis=0).std() < 0.1) and (mask.mean(axis=1).std() < 0.1)  # of each unit, and of each token
    np.random.seed(1)
    assert (ops.get_dropout_mask((500, 400), drop) == mask).all()


@pytest.mark.parametrize("drop", [None, 0.0, 1.0, 1e-9])
def test_without_dropout_or_with_nothing_else_masks_are_those_of_thinc(drop):
    assert (FastOps().get_dropout_mask((3, 4), drop) == np.full((3, 4), 0 if drop == 1 else 1)).all()
