"""How long a training is, when it ends, and which weights it keeps."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import spacy
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import Linear, Shim

from scripts import functions  # noqa: F401 (registers)
from scripts.building.reading import CorpusReader
from scripts.building.splits import read_corpus
from scripts.core.errors import UserError
from scripts.model.fitting import LastHalf, fit, halved, length
from scripts.model.teacher import teacher_values
from scripts.model.training import Trained, same_steps, step_doubts
from scripts.model.training import load_config as load_training_config
from scripts.suspecting.ensemble import shorten
from tests.project import ROOT
from tests.scored import covered_doc, one_line, sign, step, write_corpus

CONFIG = ROOT / "configs" / "ner.cfg"
NLP = spacy.blank("en")


def set_by_length(words, values=None, config=CONFIG):
    """Steps, steps between evaluations, and patience."""
    found = length(load_config(config, values or {}), words)
    return tuple(found.get(f"training.{name}") for name in ("max_steps", "eval_frequency", "patience"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (0, (900, 150, 450)),
        (8_500, (900, 150, 450)),
        (135_750, (2170, 155, 1086)),
        (1_800_000, (28_800, 1440, 14_400)),
        (20_000_000, (30_000, 1500, 15_000)),
    ],
)
def test_small_corpora_have_900_steps_and_large_ones_four_epochs(words, expected):
    assert set_by_length(words) == expected


def test_what_is_set_in_training_rules():
    assert set_by_length(1_800_000, {"training.max_steps": 60}) == (None, 10, 30)
    values = {"training.max_steps": 60, "training.eval_frequency": 20, "training.patience": 40}
    assert set_by_length(1_800_000, values) == (None, None, None)
    assert set_by_length(1_800_000, {"training.max_epochs": 2}) == (14_400, 720, 0)
    assert set_by_length(1_800_000, {"training.batcher.size": 500})[0] == 14_400


def test_with_epochs_too_the_learning_rate_falls_to_zero_at_the_last_step():
    config = load_config(CONFIG, {"training.max_epochs": 2})
    config = load_config(CONFIG, {"training.max_epochs": 2, **length(config, 1_800_000)}, interpolate=True)
    assert config["training"]["optimizer"]["learn_rate"]["total_steps"] == 14_400


def test_a_config_without_length_is_as_spacy_takes_it():
    config = load_config(CONFIG)
    del config["length"]
    assert length(config, 1_800_000) == {}


def test_models_of_an_ensemble_are_trained_half_as_long_and_evaluated_twice():
    config = load_config(CONFIG)
    values = shorten(config, "half")
    assert values == halved(config)
    assert set_by_length(1_800_000, values)[:2] == (14_400, 7200)
    assert set_by_length(8_500, values)[:2] == (450, 225)
    assert set_by_length(1_800_000, shorten(config, 40)) == (None, None, 20)
    by_epochs = shorten(load_config(CONFIG, {"training.max_epochs": 10}), "half")
    assert set_by_length(25_000, by_epochs)[:2] == (500, 250)


@pytest.mark.parametrize("values", [{}, {"training.max_epochs": 4}, {"training.patience": 9}])
def test_trainings_can_have_the_same_steps_on_other_texts(values):
    fixed = same_steps(CONFIG, values, 1_800_000)
    assert fixed["training.max_steps"] == 28_800
    assert set_by_length(100, fixed) == (None, None, 0)


def test_steps_that_end_before_the_second_evaluation_are_said():
    for values in ({"training.eval_frequency": 5000}, {"training.eval_frequency": 50, "training.max_steps": 40}):
        assert "so that only the first step is evaluated" in step_doubts(load_config(CONFIG, values), 8_500)[0]
    assert not step_doubts(load_config(CONFIG), 8_500)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"length.epochs": 0}, "[length]: Expected `float` > 0.0 - at `$.epochs`"),
        ({"length.epochs": "many"}, "[length]: Expected `float`, got `str` - at `$.epochs`"),
        ({"length.least_steps": 40_000}, "[length] least_steps 40,000: is above most_steps 30,000"),
        ({"length.epochs": float("inf")}, "[length]: Expected `float` <= 1000000.0 - at `$.epochs`"),
        ({"length.teacher": 2}, "[length]: Expected `float` <= 1.0 - at `$.teacher`"),
        ({"training.batcher.size": {"@schedules": "constant.v1", "rate": 9}}, "set the number of steps: [training]"),
        ({"training.batcher.@batchers": "spacy.batch_by_sequence.v1"}, "counts texts, not words; set the number of st"),
    ],
)
def test_a_length_that_cannot_be_is_one_line(values, said):
    with pytest.raises(UserError, match=re.escape(said)):
        set_by_length(100, values)


def test_the_weights_are_the_mean_of_those_in_the_last_half():
    model = Linear(2, 3).initialize()
    half = LastHalf([model])
    for number in range(7):
        model.set_param("W", np.full((2, 3), number, "f"))
        half.add(10 * number)
    assert half.put() == [30, 40, 50, 60]
    assert (model.get_param("W") == 4.5).all()


def doc(number):
    text = f"IBM hired {('Ada', 'Bob', 'Cyd')[number % 3]} number {number} ."
    return covered_doc(NLP, text, [(0, 1, "ORG"), (2, 3, "PER")], ["ORG", "PER"])


@pytest.fixture
def project(tmp_path):
    train, dev, test = (list(map(doc, numbers)) for numbers in (range(20, 60), range(10, 20), range(4)))
    write_corpus(tmp_path / "corpus", test, train=train, dev=dev)
    sign(tmp_path / "corpus", tokens={"train": 240, "dev": 60, "test": 24})
    return tmp_path


def train(project, *options):
    small = ("--training.batcher.size", 60, "--training.optimizer.learn_rate.warmup_steps", 2)
    return step(project, "scripts.train", CONFIG, "--output", "training/ner", *small, *options)


def steps_of(done):
    return [int(line.split()[1]) for line in done.stdout.splitlines() if re.match(r" +\d+ +\d+ +\d", line)]


def test_the_steps_follow_from_the_words_in_train_and_are_said_with_the_time(project):
    assert read_corpus(project / "corpus/split.json").tokens["train"] == 240
    done = train(project, "--length.epochs", 6, "--length.least_steps", 1)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^24 steps: 6(\.\d)? epochs of 240 words, about \d+ seconds at [\d,]+ words/s$", done.stdout, re.M
    )
    assert steps_of(done) == [0, 4, 8, 12, 16, 20, 24]
    table = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert ["SCORE", "LEFT"] in [row[-2:] for row in table]
    assert next(row for row in table if row[1] == "24")[-1] == "0:00"
    assert "Ended at step" not in done.stdout
    assert "Mean of the weights at 4 evaluations, from step 12: score " in done.stdout
    config = spacy.load(project / "training/ner/seed-0/model-best").config  # with which it can be trained again
    assert (config["training"]["max_steps"], config["training"]["eval_frequency"]) == (24, 4)


def test_training_ends_at_a_plateau_of_the_smoothed_score(project):
    done = train(project, "--training.max_steps", 300, "--length.plateau", 0.1)
    assert done.returncode == 0, done.stderr
    (ended, best) = map(
        int, re.search(r"^Ended at step (\d+): no better score since step (\d+)", done.stdout, re.M).groups()
    )
    assert steps_of(done)[-1] == ended < 300
    assert ended - best >= 30
    assert max(steps_of(train(project, "--training.max_steps", 60, "--length.plateau", 0))) == 60


def test_a_teacher_is_trained_for_as_many_epochs_and_for_a_share_of_the_least_steps():
    def steps_of_teacher(words, values=None):
        values = values or {}
        config = load_config(CONFIG, {**values, **length(load_config(CONFIG, values), words)})
        shorter = teacher_values(config, words)
        return shorter and (shorter["training.max_steps"], length(load_config(CONFIG, {**values, **shorter}), words))

    of_450 = {"training.eval_frequency": 75, "training.patience": 225}
    assert steps_of_teacher(8_500) == (450, of_450)
    assert steps_of_teacher(45_000)[0] == 720
    assert steps_of_teacher(1_800_000)[0] == 28_800
    assert steps_of_teacher(8_500, {"length.teacher": 1.0})[0] == 900
    assert steps_of_teacher(8_500, {"length.teacher": 0}) == {}
    assert steps_of_teacher(8_500, {"training.max_steps": 900, "training.eval_frequency": 600}) == (450, of_450)
    assert steps_of_teacher(1_800_000, {"training.max_steps": 60})[0] == 60
    assert steps_of_teacher(1_800_000, {"training.max_epochs": 2})[0] == 14_400
    by_texts = {"training.max_steps": 60, "training.batcher.@batchers": "spacy.batch_by_sequence.v1"}
    assert steps_of_teacher(1_800_000, by_texts)[0] == 60


def test_a_teacher_without_label_heads_is_one_line(tmp_path):
    config = load_config(ROOT / "configs/ner_transition.cfg")
    config["length"]["teacher"] = 0.5
    config.to_disk(tmp_path / "own.cfg")
    with pytest.raises(UserError, match=r"\[length\] teacher = 0.5 does nothing without label_heads; set 0"):
        load_training_config(tmp_path / "own.cfg", {})


def test_a_teacher_is_trained_where_labels_are_not_covered_and_is_not_kept(project):
    few = ("--length.least_steps", 48, "--length.teacher")
    docs = [doc(number) for number in range(20, 60)]
    for text in docs[::2]:
        text.spans["covered"] = [span for span in text.spans["covered"] if span.label_ == "ORG"]
        text.spans["gold"] = [span for span in text.spans["gold"] if span.label_ == "ORG"]
    write_corpus(project / "corpus", [doc(1)], train=docs, dev=[doc(number) for number in range(10, 20)])
    sign(project / "corpus", tokens={"train": 240}, covered={"ORG": {"train": 40}, "PER": {"train": 20}})
    model = project / "training/ner/seed-0/model-best"
    made = []
    for share in (0.5, 0.5, 0):
        done = train(project, *few, share)
        assert done.returncode == 0, done.stderr
        assert ("A teacher first" in done.stdout) == (share > 0)
        assert re.findall(r"^(\d+) steps: ", done.stdout, re.M) == (["24", "48"] if share else ["48"])
        made.append({path.name: path.read_bytes() for path in model.rglob("*") if path.is_file()})
        assert sorted(path.name for path in model.parent.iterdir()) == [".lock", "model-best"]
    assert made[0] == made[1]
    assert made[0].keys() == made[2].keys()
    assert made[0]["model"] != made[2]["model"]
    sign(project / "corpus", covered={"ORG": {"train": 40}, "PER": {"train": 40}})
    assert "teacher" not in train(project, *few, 0.5).stdout


class Foreign(Shim):
    """Stands for weights of another library, as a transformer's."""

    def to_bytes(self):
        return b""

    def from_bytes(self, data):
        return self

    def finish_update(self, optimizer):
        pass


def test_of_weights_that_cannot_be_averaged_those_with_the_best_score_are_kept(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    values = {"training.max_steps": 20, "training.eval_frequency": 5, "training.patience": 0}
    nlp = init_nlp(load_config(CONFIG, values))
    nlp.get_pipe("label_heads").model.shims.append(Foreign(None))
    fit(nlp, project / "kept", 240, -1)
    assert "Mean of the weights" not in capsys.readouterr().out
    kept = nlp.from_disk(project / "kept")
    dev = list(CorpusReader(project / "corpus/dev")(kept))
    assert kept.meta["performance"]["ents_f"] == pytest.approx(kept.evaluate(dev)["ents_f"])


def test_the_score_is_half_micro_and_half_macro(project):
    assert train(project, "--training.max_steps", 20).returncode == 0
    scores = json.loads((project / "training/ner/seed-0/model-best/meta.json").read_text())["performance"]
    of_labels = [found["f"] for found in scores["ents_per_type"].values()]
    assert scores["ents_macro_f"] == pytest.approx(np.mean(of_labels))
    config = load_config(CONFIG)
    assert {name: w for name, w in config["training"]["score_weights"].items() if w} == {
        "ents_f": 0.5,
        "ents_macro_f": 0.5,
    }


def test_what_rules_the_length_is_part_of_the_run(project):
    for plateau in (0.5, 0.6):
        assert train(project, "--training.max_steps", 10, "--length.plateau", plateau).returncode == 0
        done = step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner")
        assert done.returncode == 0, done.stderr
    assert len([path for path in (project / "metrics").iterdir() if path.is_dir()]) == 2


def test_an_odd_length_stops_before_anything_is_trained(project):
    assert "has no length.epoch; [length] has epochs, least_steps" in one_line(train(project, "--length.epoch", 1))
    assert "[length]: Expected `float` <= 1.0" in one_line(train(project, "--length.plateau", 2))


def test_a_loss_that_is_no_number_stops(project):
    done = train(project, "--training.max_steps", 300, "--training.optimizer.learn_rate.initial_rate", 1e30)
    assert done.returncode == 1
    assert re.fullmatch(r"✘ the loss is not a number at step \d+: lower the rate in .*", done.stderr.splitlines()[-1])
    assert not list(project.glob("training/**/model-best"))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.max_steps", "x", "[training] Expected `int`, got `str` - at `$.max_steps`"),
        ("training.max_steps", -5, "[training] Expected `int` >= 0 - at `$.max_steps`"),
        ("training.patience", 1.5, "[training] Expected `int`, got `float` - at `$.patience`"),
        ("training.eval_frequency", -5, "- at `$.eval_frequency`"),
        ("training.accumulate_gradient", 0, "[training] Expected `int` >= 1 - at `$.accumulate_gradient`"),
        ("training.dropout", 1.0, "[training] Expected `float` < 1.0 - at `$.dropout`"),
        ("training.score_weights.ents_f", "x", "- at `$.score_weights[...]`"),
        ("training.batcher.size", 0, "[training.batcher] Expected `int` >= 1 - at `$.size`"),
        ("corpora.train.max_length", -1, "[corpora.train] Expected `int` >= 0 - at `$.max_length`"),
        ("corpora.dev.limit", -1, "[corpora.dev] Expected `int` >= 0 - at `$.limit`"),
    ],
)
def test_numbers_out_of_bounds_are_one_line(key, value, said):
    with pytest.raises(UserError, match=re.escape(said)):
        load_training_config(CONFIG, {key: value})


def test_no_dropout_may_be_written_as_a_whole_number(project):
    done = train(project, "--training.max_steps", 10, "--training.eval_frequency", 5, "--training.dropout", 0)
    assert done.returncode == 0, done.stderr


def test_dev_texts_without_an_entity_are_no_model_that_has_not_learned():
    (doubt,) = Trained({}, {"ORG": [0, 3, 0]}).doubts()
    assert doubt.startswith("the dev texts have no entity")


def test_a_precision_is_doubted_only_where_something_is_predicted():
    assert not Trained({}, {"LOC": [0, 0, 0], "ORG": [19, 0, 0]}, 0.95).doubts()
    assert "for ORG (18 of 18 right)" in Trained({}, {"LOC": [0, 0, 0], "ORG": [18, 0, 0]}, 0.95).doubts()[0]
