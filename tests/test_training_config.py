"""The configs are whole, train, and what they train is evaluated: the way from a corpus to a table of runs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from zipfile import ZipFile

import pytest
import spacy
from spacy.cli.init_config import fill_config
from spacy.util import load_config

from scripts import functions  # noqa: F401 (registers)
from scripts.building.splits import read_corpus
from scripts.core.errors import UserError
from tests.project import ROOT
from tests.scored import covered_doc, one_line, step, write_corpus
from tests.transformers import fetch_transformer, write_transformer

CONFIG = ROOT / "configs" / "ner.cfg"
TRANSFORMER = ROOT / "configs" / "ner_trf.cfg"
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("spacy_transformers") is None, reason="pip install -r requirements-trf.txt"
)
CONFIGS = [
    pytest.param(path, id=path.stem, marks=needs_transformers if path == TRANSFORMER else ())
    for path in sorted((ROOT / "configs").glob("ner*.cfg"))
]
CODE = ROOT / "scripts" / "functions.py"
NLP = spacy.blank("en")


def doc(number):
    text = f"IBM hired Ada number {number} ."
    return covered_doc(NLP, text, [(0, 1, "ORG"), (2, 3, "PER")], ["ORG", "PER"])


@pytest.fixture
def project(tmp_path):
    write_corpus(
        tmp_path / "corpus",
        [doc(number) for number in range(4)],
        train=[doc(number) for number in range(20, 40)],
        dev=[doc(number) for number in range(10, 15)],
    )
    return tmp_path


def train(project, *options, config=CONFIG):
    return step(
        project, "spacy train", config, "--code", CODE, "--output", "training/ner/seed-0", *options,
        "--training.max_steps", 20, "--training.eval_frequency", 10, "--training.optimizer.learn_rate.warmup_steps", 1,
    )  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS)
def test_the_config_is_valid(config, project):
    step(project, "spacy init fill-config", config, "filled.cfg", "--code", CODE)
    done = step(project, "spacy debug config", "filled.cfg", "--code", CODE)
    assert done.returncode == 0, done.stdout
    assert "Config is valid" in done.stdout


@pytest.mark.parametrize("config", CONFIGS)
def test_the_config_says_all_that_spacy_would_fill_in(config):
    found, filled = fill_config("-", config, silent=True)
    assert filled["nlp"].pop("tokenizer") == {"@tokenizers": "spacy.Tokenizer.v1"}  # that of [nlp] lang
    assert found == filled


@pytest.mark.parametrize("name", ["ner", "ner_transition"])
def test_from_training_to_a_table(name, project):
    done = train(project, "--system.seed", 0, config=ROOT / f"configs/{name}.cfg")
    assert done.returncode == 0, done.stderr
    model = project / "training/ner/seed-0/model-best"
    nlp = spacy.load(model)  # without --code
    assert nlp.meta["labelwise"]["corpus"] == read_corpus(project / "corpus/split.json").digest
    assert nlp.get_pipe(nlp.pipe_names[0]).labels == ("ORG", "PER")
    done = step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner")
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "metrics.json").read_text())["micro"]["support"] == 8
    done = step(project, "scripts.compare", "metrics")
    assert "nothing to compare it with yet" in done.stdout


def test_training_before_there_is_a_corpus_says_so_without_a_traceback(tmp_path):
    done = train(tmp_path)
    assert done.returncode == 1
    assert "make the corpus first: weasel run corpus" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_evaluation_before_training_says_so(project):
    assert "weasel run train" in one_line(step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner"))


@pytest.mark.parametrize("name", ["labels.json", "split.json"])
def test_what_training_needs_of_the_corpus_is_named(name, project):
    (project / "corpus" / name).unlink()
    done = train(project)
    assert done.returncode == 1
    assert f"corpus/{name}: {'is missing' if name == 'labels.json' else 'no such file'}" in done.stdout
    assert "weasel run corpus" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_incorrect_spans_of_the_corpus_can_be_trained_with(project):
    docs = [doc(number) for number in range(20)]
    for some in docs:
        some.spans["incorrect_spans"] = [spacy.tokens.Span(some, 1, 2, "PER")]
    shutil.rmtree(project / "corpus" / "train")
    write_corpus(project / "corpus", [doc(1)], train=docs, dev=[doc(2)])
    done = train(project)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    try:
        return fetch_transformer(tmp_path_factory.mktemp("transformer") / "fetched")
    except UserError as err:
        pytest.skip(str(err))


def train_transformer(project, folder, *options, steps=30, rate=0.002):
    return step(
        project, "scripts.train", TRANSFORMER, "--output", "training/trf",
        "--components.transformer.model.name", folder, "--components.transformer.model.mixed_precision", "false",
        "--training.batcher.size", 100, "--training.max_steps", steps, "--training.eval_frequency", 10,
        "--training.optimizer.learn_rate.warmup_steps", 1, "--training.optimizer.learn_rate.initial_rate", rate,
        *options,
    )  # fmt: skip


@needs_transformers
def test_heads_over_a_transformer_learn_and_one_of_them_is_learned_again(project):
    write_transformer(project / "tiny", ["IBM", "hired", "Ada", "number"])
    done = train_transformer(project, "tiny")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(project / "tiny")  # all of it is in the model
    done = step(project, "scripts.evaluate", "--run", "trf", "--models", "training/trf")
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "metrics.json").read_text())["micro"]["f"] == 1
    model = "training/trf/seed-0/model-best"
    done = step(
        project, "scripts.train_label", "--label", "PER", "--model", model, "--output", "training/trf-PER/seed-0"
    )
    assert done.returncode == 0, done.stderr
    assert "F on the dev texts 1.000 (was 1.000)" in done.stdout


@needs_transformers
def test_a_real_transformer_from_training_to_a_wheel(project, minilm):
    """MiniLM, at a learning rate of transformers: heads without a rate of their own learn nothing in so few steps."""
    done = train_transformer(project, minilm, steps=20, rate=0.0002)
    assert done.returncode == 0, done.stderr
    done = step(project, "scripts.evaluate", "--run", "trf", "--models", "training/trf")
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "metrics.json").read_text())["micro"]["f"] == 1
    model = project / "training/trf/seed-0/model-best"
    done = step(
        project, "scripts.train_label", "--label", "PER", "--model", model, "--output", "training/trf-PER/seed-0"
    )
    assert done.returncode == 0, done.stderr
    done = step(project, "scripts.package", "--model", model, "--name", "people", "--output", "packages")
    if "the network are needed" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    (wheel,) = (project / "packages").glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(project / "installed")
    assert "Requires-Dist: spacy-transformers" in next(project.glob("installed/*.dist-info/METADATA")).read_text()
    text = "IBM hired Ada number 7 ."
    code = f"import spacy; print([(ent.text, ent.label_) for ent in spacy.load('en_people')({text!r}).ents])"
    environment = {**os.environ, "PYTHONPATH": str(project / "installed")}
    done = subprocess.run([sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[('IBM', 'ORG'), ('Ada', 'PER')]"


@needs_transformers
def test_heads_learn_over_a_frozen_transformer_whose_weights_stay(project):
    write_transformer(project / "tiny", ["IBM", "hired", "Ada", "number"])
    frozen = ("--training.frozen_components", '["transformer"]')
    said = one_line(train_transformer(project, "tiny", *frozen))
    assert "must annotate the texts: --training.annotating_components '[\"transformer\"]'" in said
    done = train_transformer(project, "tiny", *frozen, "--training.annotating_components", '["transformer"]')
    assert done.returncode == 0, done.stderr
    model = project / "training/trf/seed-0/model-best"
    assert load_config(model / "config.cfg")["training"]["frozen_components"] == ["transformer"]
    from transformers import AutoModel

    before = AutoModel.from_pretrained(str(project / "tiny")).state_dict()
    after = spacy.load(model).get_pipe("transformer").model.transformer.state_dict()
    assert all(value.equal(after[name]) for name, value in before.items())
    done = step(project, "scripts.evaluate", "--run", "trf", "--models", "training/trf")
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "metrics.json").read_text())["micro"]["f"] == 1


@needs_transformers
@pytest.mark.parametrize(
    ("missing", "reason"),
    [("*", "the folder has no config.json"), ("model.safetensors", "no file named"), ("tok* vocab.txt", "")],
    ids=["all", "weights", "tokenizer"],
)
def test_a_folder_that_holds_no_transformer_is_named(project, missing, reason):
    write_transformer(project / "tiny", ["IBM"])
    for path in [path for pattern in missing.split() for path in (project / "tiny").glob(pattern)]:
        path.unlink()
    said = one_line(train_transformer(project, "tiny"))
    assert "--components.transformer.model.name tiny: no transformer can be loaded" in said
    assert reason in said
    assert "a folder with config.json, model.safetensors and tokenizer.json" in said
