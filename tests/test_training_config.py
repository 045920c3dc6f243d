"""The configs are whole, train, and what they train is evaluated: the way from a corpus to a table of runs."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest
import spacy
from spacy.cli.init_config import fill_config

from scripts import functions  # noqa: F401 (registers)
from scripts.building.splits import read_corpus
from tests.project import ROOT
from tests.scored import covered_doc, one_line, step, write_corpus
from tests.transformers import write_transformer

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


@needs_transformers
def test_heads_over_a_transformer_learn_and_one_of_them_is_learned_again(project):
    write_transformer(project / "tiny", ["IBM", "hired", "Ada", "number"])
    done = step(
        project, "scripts.train", TRANSFORMER, "--output", "training/trf",
        "--components.transformer.model.name", "tiny", "--components.transformer.model.mixed_precision", "false",
        "--training.max_steps", 30, "--training.eval_frequency", 10,
        "--training.optimizer.learn_rate.warmup_steps", 1, "--training.optimizer.learn_rate.initial_rate", 0.002,
    )  # fmt: skip
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
