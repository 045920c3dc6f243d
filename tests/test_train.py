"""train and train-label as a user runs them, and what they promise of the models they make."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin
from spacy.vectors import Vectors

from docs.outputs import without_usage
from scripts import (
    functions,  # noqa: F401 (registers)
    way_on,
)
from scripts.core.errors import UserError
from scripts.model.label_heads import calibration_array
from scripts.model.models import UNFINISHED, demand_finished, model_digest, provenance
from scripts.model.training import UNLEARNED_F
from scripts.queueing import rules
from tests.project import ROOT
from tests.scored import covered_doc, one_line, sign, step, write_corpus

CONFIG = ROOT / "configs" / "ner.cfg"
TRANSITION = ROOT / "configs" / "ner_transition.cfg"
FEW = (
    "--training.max_steps", 60, "--training.eval_frequency", 20,
    "--training.optimizer.learn_rate.warmup_steps", 5, "--training.batcher.size", 100,
)  # fmt: skip
NLP = spacy.blank("en")
NAMES = ["Ada", "Bob", "Cyd", "Dan", "Eve", "Fay", "Gus"]
PLACES = ["Rome", "Oslo", "Lima", "Bern"]


def doc(number, covered=("LOC", "ORG", "PER")):
    """One text, annotated for some labels."""
    text = f"IBM hired {NAMES[number % 7]} in {PLACES[number % 4]} , says {NAMES[number % 5]} {number} ."
    spans = [(0, 1, "ORG"), (2, 3, "PER"), (4, 5, "LOC"), (7, 8, "PER")]
    return covered_doc(NLP, text, [span for span in spans if span[2] in covered], covered)


@pytest.fixture
def project(tmp_path):
    """Half of the texts to train on are annotated for ORG and PER, the other half for ORG alone: none for LOC."""
    train = [doc(number, ["ORG", "PER"] if number % 2 else ["ORG"]) for number in range(20, 60)]
    write_corpus(tmp_path / "corpus", [doc(n) for n in range(10)], train=train, dev=[doc(n) for n in range(10, 20)])
    (tmp_path / "corpus/labels.json").write_text('["ORG", "PER"]')
    sign(tmp_path / "corpus")
    return tmp_path


def train(project, *options, config=CONFIG, output="training/ner"):
    return step(project, "scripts.train", config, "--output", output, *FEW, *options)


@pytest.mark.parametrize("value", ["1.5", "0", "95", "high"])
def test_a_precision_that_is_none_is_one_line(project, value):
    said = one_line(train(project, "--components.label_heads.min_precision", value))
    assert "[components.label_heads] min_precision = " in said
    assert "must be a number between 0 and 1" in said


@pytest.mark.parametrize("value", ["-1", "much", "Infinity", "null"])
def test_tokens_assumed_outside_that_are_no_number_are_one_line(project, value):
    said = one_line(train(project, "--components.label_heads.assumed_outside", value))
    assert "[components.label_heads] assumed_outside = " in said
    assert "must be a number of tokens, 0 or more" in said


def test_nineteen_right_entities_are_enough_for_a_precision(project):
    done = train(project, "--components.label_heads.min_precision", 0.95)
    assert done.returncode == 0, done.stderr
    assert (
        "is not certain on the dev texts, so that the threshold is the most precise one, for ORG (10 of 10 right);"
        in (" ".join(done.stdout.split()))
    )  # 20 of 20 are enough for PER
    nlp = spacy.load(project / "training/ner/seed-0/model-best")
    assert nlp.get_pipe("label_heads").min_precision == 0.95  # though srsly reads it as .9500000000000001


def test_a_precision_that_is_not_reached_is_said_by_label(project):
    done = train(project, "--components.label_heads.min_precision", 0.99)
    assert done.returncode == 0, done.stderr
    assert "a precision of 0.99 is not certain on the dev texts" in done.stdout
    assert "ORG (10 of 10 right), PER (20 of 20 right)" in " ".join(done.stdout.split())
    nlp = spacy.load(project / "training/ner/seed-0/model-best")
    assert nlp.get_pipe("label_heads").min_precision == 0.99


def annotate_places(project):
    """What `corpus` makes once LOC was annotated too."""
    write_corpus(
        project / "corpus", [doc(n) for n in range(10)], digest="e" * 8,
        train=[doc(n) for n in range(20, 60)], dev=[doc(n) for n in range(10, 20)],
    )  # fmt: skip


def found(path, texts):
    """What a model says of each label, to the last bit of its probabilities."""
    nlp = spacy.load(path)
    result = {}
    for parsed in nlp.pipe(texts):
        group = parsed.spans["predicted"]
        for span, score in zip(group, group.attrs["scores"], strict=True):
            result.setdefault(span.label_, []).append((parsed.text, span.start, span.end, float(score)))
    return result


TEXTS = [doc(number).text for number in range(100, 120)]


# train


def test_one_model_comes_of_texts_annotated_for_some_labels_each(project):
    done = train(project)
    assert done.returncode == 0, done.stderr
    assert "✔ training/ner/seed-0/model-best: trained on 40 texts, thresholds set on 10 texts" in done.stdout
    model = project / "training/ner/seed-0/model-best"
    nlp = spacy.load(model)
    assert nlp.get_pipe("label_heads").labels == ("ORG", "PER")
    heads = nlp.get_pipe("label_heads")
    assert set(heads.thresholds) == set(heads.calibration) == {"ORG", "PER"}
    assert heads.calibration["ORG"] != [1, 1, 0]
    assert [ent.label_ for ent in nlp("IBM hired Ada in Rome .").ents] == ["ORG", "PER"]
    assert sorted(path.name for path in model.parent.iterdir() if not path.name.startswith(".")) == ["model-best"]


def test_the_same_again_gives_the_same_bytes(project):
    for output in ("training/one", "training/two"):
        assert train(project, output=output).returncode == 0
    one, two = (project / f"training/{name}/seed-0/model-best" for name in ("one", "two"))
    for path in (path for path in one.rglob("*") if path.is_file()):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes(), path


def test_with_epochs_that_end_patience_and_epochs_mean_what_they_say(project):
    sign(project / "corpus", tokens={"train": 440, "dev": 110, "test": 110})
    done = train(project, "--training.max_epochs", 2, "--training.max_steps", 0, "--training.eval_frequency", 1)
    assert done.returncode == 0, done.stderr
    plan, *rows = [line.split() for line in without_usage(done.stdout).splitlines() if line.strip()[:1].isdigit()]
    assert plan[:4] == ["9", "steps:", "2", "epochs"]
    assert {row[0] for row in rows} == {"0", "1"}


def test_weights_that_no_heads_start_from_are_one_line(project):
    said = one_line(train(project, "--paths.init_tok2vec", "weights.bin", config=TRANSITION))
    assert "init_tok2vec does nothing without label_heads or [pretraining]" in said


def test_transition_based_training_warns_with_numbers_where_not_all_is_covered(project):
    covered = {"ORG": {"train": 40, "dev": 10, "test": 10}, "PER": {"train": 20, "dev": 2, "test": 10}}
    sign(project / "corpus", covered=covered)
    done = train(project, config=TRANSITION)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "25.0% of the text × label pairs are not covered" in said
    assert "⚠ dev: 40.0% of the pairs are not covered; the others set thresholds and probabilities" in said
    assert "pairs are not" not in train(project).stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gpu", 0], "GPU 0: "),
        (["--seed", -1], "--seed -1: must be 0 or more"),
        (["--vectors", "nowhere"], "nowhere"),
        (["--training.odd", 3], "has no training.odd; [training] has "),
        (["--traning.max_steps", 3], "has no traning.max_steps"),
        (["--max_steps", 3], "--max_steps: not an option"),
        (["--paths.init_tok2vec", "nowhere.bin"], "[paths] init_tok2vec nowhere.bin: No such file or directory"),
        (["--paths.init_tok2vec", "corpus/labels.json"], "corpus/labels.json: holds no weights of these layers"),
        (["--paths.vectors", "vec"], "the vectors of vec do nothing, since no layer has include_static_vectors = true"),
        (["--components.label_heads.model.tok2vec.embed.include_static_vectors", "true"], "[paths] vectors names none"),
        (["--corpus", "nowhere"], "nowhere/split.json: no such file; make the corpus first: weasel run corpus"),
    ],
)
def test_what_cannot_be_is_one_line(options, said, project):
    if options[0] == "--gpu" and spacy.prefer_gpu():
        pytest.skip("there is a GPU")
    assert said in one_line(train(project, *options))
    assert not list(project.glob("training/**/model-best"))


@pytest.mark.parametrize(
    ("key", "written", "said"),
    [
        (
            "dropout",
            "dropuot",
            "[training] dropuot: there is no such key; there is accumulate_gradient, annotating_components, ",
        ),
        ("max_steps", "max_step", "[training] max_step: there is no such key"),
        ("batch_size", "batchsize", "[nlp] batchsize: there is no such key; there is after_creation, "),
        ("vocab_data", "vocab", "[initialize] vocab: there is no such key"),
    ],
)
def test_a_key_that_spacy_would_drop_is_named(key, written, said, project):
    config = project / "odd.cfg"
    config.write_text(CONFIG.read_text().replace(f"\n{key} = ", f"\n{written} = "))
    assert said in one_line(train(project, config=config))


def test_a_component_that_is_not_installed_is_named(project):
    config = project / "odd.cfg"
    config.write_text(CONFIG.read_text().replace('factory = "label_heads"', 'factory = "label_hats"'))
    assert "there is no component 'label_hats' installed" in one_line(train(project, config=config))


def test_a_failure_leaves_the_model_there_was(project):
    assert train(project).returncode == 0
    model = project / "training/ner/seed-0/model-best"
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    for path in (project / "corpus/dev").iterdir():
        path.write_bytes(b"odd")
    sign(project / "corpus")
    assert "is damaged" in one_line(train(project))
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before


def test_a_model_that_has_not_learned_is_said_to_be_one(project):
    """After ten steps, of which only the first is evaluated; and where it knows nothing of one label."""
    done = train(project, "--training.max_steps", 10)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "⚠ training.max_steps 10 is below training.eval_frequency 20, so that only the first step is" in said
    assert "⚠ seed-0: the model has not learned: F is " in said
    assert "raise [training] max_steps, or see whether the annotations are right" in said
    assert said.count("⚠") <= 3
    assert step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner").returncode == 0
    scores = json.loads((project / "metrics.json").read_text())
    assert scores["micro"]["f"] < UNLEARNED_F == rules.UNLEARNED_F


@pytest.mark.parametrize("config", [CONFIG, TRANSITION], ids=["label heads", "spaCy's ner"])
def test_a_label_that_is_never_predicted_is_named_by_train(config, project):
    """dev has entities of it, and train has none."""
    shutil.rmtree(project / "corpus")
    docs = [covered_doc(NLP, f"IBM hired Ada {n} .", [(0, 1, "ORG"), (2, 3, "PER")], ["ORG", "PER"]) for n in range(9)]
    train_docs = [covered_doc(NLP, f"IBM hired him {n} .", [(0, 1, "ORG")], ["ORG", "PER"]) for n in range(30)]
    write_corpus(project / "corpus", docs[:3], dev=docs, train=train_docs)
    done = train(project, config=config)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stdout.splitlines() if line.startswith("⚠")]
    assert len(warnings) == 1
    assert "never predicted on the dev texts, which have entities of them: PER (9); raise [training]" in warnings[0]


def evaluate(project, run="ner"):
    return step(project, "scripts.evaluate", "--run", run, "--models", f"training/{run}")


def stop(project, signal_number, *options):
    """Start a long training, and stop it once its files are being written."""
    command = [sys.executable, "-u", "-m", "scripts.train", CONFIG, "--output", "training/ner", *FEW, *options]
    process = subprocess.Popen(
        [*map(str, command), "--training.max_steps", "100000"],
        cwd=project, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as a terminal starts it
    )  # fmt: skip
    for line in process.stdout:
        if b"LOSS" in line:
            break
    process.send_signal(signal_number)
    said, _ = process.communicate()
    assert process.returncode != 0
    assert signal_number == signal.SIGKILL or b"To go on: weasel run train . --force; training starts anew" in said


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("scripts.train configs/ner.cfg --seeds 1", "train . --force; training starts anew"),
        ("scripts.train configs/big.cfg --seed 0 --seeds 3 --vectors=",
         "train . --vars.run big --vars.seeds 3 --force; training starts anew"),
        ("scripts.train_label --label=ORG --model training/big/seed-0/model-best --corpus corpus",
         "train-label . --vars.run big --vars.label ORG --force; training starts anew"),
        ("scripts.train configs/big.cfg --output training/big-seeds --seed 0 --seeds 5",
         "seed-variance . --vars.run big; training starts anew"),
        ("scripts.train configs/ner.cfg --seed 3 --seeds 2",
         "train . --vars.seed 3 --vars.seeds 2 --force; training starts anew"),
        ("scripts.train_label --label=ORG --model training/ner/seed-1/model-best",
         "train-label . --vars.label ORG --vars.seed 1 --force; training starts anew"),
        ("scripts.evaluate --run big --models training/big --seeds 1", "evaluate . --vars.run big"),
        ("scripts.queue configs/datasets.cfg configs/ner.cfg --label= --models training/ner", "queue"),
        ("scripts.merge configs/datasets.cfg assets/annotations corpus", "merge"),
    ],
)  # fmt: skip
def test_the_command_to_go_on_has_the_variables_of_the_step(words, command, monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["python", "-m", *words.split()])
    assert way_on() == f"To go on: weasel run {command}"


def test_the_command_to_train_names_the_run_and_its_seeds(project):
    options = ("--run", "big", "--models", "training/big", "--seeds", 2)
    assert "weasel run train . --force --vars.run big --vars.seeds 2" in one_line(
        step(project, "scripts.evaluate", *options)
    )
    package = ("--model", "training/big/seed-0/model-best", "--name", "big")
    assert "train one first: weasel run train . --vars.run big" in one_line(step(project, "scripts.package", *package))


@pytest.mark.parametrize(
    ("folder", "command"),
    [
        ("ner/seed-0", "train . --force;"),
        ("big/seed-3", "train . --force --vars.run big --vars.seed 3;"),
        ("big-ORG/seed-1", "train-label . --force --vars.run big --vars.label ORG --vars.seed 1;"),
        ("my-run/seed-0", "train . --force --vars.run my-run;"),
    ],
)
def test_the_command_to_train_a_stopped_model_again_is_that_of_its_run(folder, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("big/seed-3", folder):
        Path("training", name).mkdir(parents=True, exist_ok=True)
    Path("training", folder, UNFINISHED).touch()
    with pytest.raises(UserError, match=f"Train again: weasel run {command} to use"):
        demand_finished(Path("training", folder, "model-best"))


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_after_a_training_that_was_stopped_the_model_before_is_not_taken_for_its_result(signal_number, project):
    assert train(project).returncode == 0
    assert evaluate(project).returncode == 0
    best = project / "training/ner/seed-0/model-best"
    before, scores = model_digest(best), (project / "metrics.json").read_bytes()
    stop(project, signal_number, "--training.dropout", 0.3)
    assert model_digest(best) == before
    said = one_line(evaluate(project))
    assert "seed-0/model-best: is of the training before; the last one was stopped, or still runs" in said
    assert "weasel run train . --force; to use this model all the same, remove training/ner/seed-0" in said
    assert (project / "metrics.json").read_bytes() == scores
    assert "is of the training before" in one_line(relearn(project, "PER"))
    package = ("--model", "training/ner/seed-0/model-best", "--name", "ner")
    assert "is of the training before" in one_line(step(project, "scripts.package", *package))
    note = project / "training/ner/seed-0" / UNFINISHED
    if signal_number == signal.SIGINT:  # as it says
        note.unlink()
    else:
        assert train(project).returncode == 0
        assert not note.exists()
        assert model_digest(best) == before  # the same again
    assert evaluate(project).returncode == 0
    assert (project / "metrics.json").read_bytes() == scores


def test_seeds_whose_turn_never_came_are_not_taken_for_new_ones(project):
    """Several are trained: those that wait are of the training before, too."""
    assert train(project, "--seed", 1).returncode == 0
    (project / "training/ner/seed-0").mkdir()
    (project / "corpus/dev/0000.spacy").write_bytes(b"odd")  # the first fails
    sign(project / "corpus")
    assert train(project, "--seeds", 2).returncode == 1
    done = step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner", "--seed", 1, "--seeds", 1)
    assert "seed-1/model-best: is of the training before" in one_line(done)


def test_a_training_that_cannot_begin_changes_nothing(project):
    assert train(project).returncode == 0
    one_line(train(project, "--training.odd", 3))
    if not spacy.prefer_gpu():
        one_line(train(project, "--gpu", 0))
    assert evaluate(project).returncode == 0


def test_static_vectors_are_used_by_a_var(project):
    with_vectors = spacy.blank("en")
    words = [*NAMES, *PLACES, "IBM"]
    with_vectors.vocab.vectors = Vectors(data=np.eye(12, dtype="f"), keys=words, strings=with_vectors.vocab.strings)
    with_vectors.to_disk(project / "vectors")
    done = train(project, "--vectors", "vectors")
    assert done.returncode == 0, done.stderr
    nlp = spacy.load(project / "training/ner/seed-0/model-best")
    assert nlp.vocab.vectors_length == 12
    assert all(word in nlp.vocab.strings for word in words)  # by which a vector is looked up
    assert nlp.config["components"]["label_heads"]["model"]["tok2vec"]["embed"]["include_static_vectors"] is True


SECRET = "Q7731984"


def test_no_word_of_a_text_is_in_a_model_and_it_finds_the_same(project):
    """A word of one training text only, as an account number is."""
    secret = covered_doc(NLP, f"IBM hired Ada in Rome , account {SECRET} .", [(0, 1, "ORG")], ["ORG"])
    train_docs = [*(doc(number) for number in range(20, 60)), secret]
    write_corpus(project / "corpus", [doc(1)], train=train_docs, dev=[doc(n) for n in range(10, 20)])
    assert train(project).returncode == 0
    model = project / "training/ner/seed-0/model-best"
    for path in (path for path in project.joinpath("training").rglob("*") if path.is_file()):
        assert SECRET.encode() not in path.read_bytes(), path
    texts = [*TEXTS, secret.text, "Unseen Words GmbH in Łódź ."]
    expected = found(model, texts)
    strings = model / "vocab/strings.json"
    words = {word.text for one in train_docs for word in one}
    assert not {"IBM", "hired", "Rome"}.intersection(json.loads(strings.read_text()))
    strings.write_text(json.dumps(sorted(words.union(json.loads(strings.read_text())))))  # as spaCy writes it
    assert found(model, texts) == expected
    assert expected["ORG"]


# train-label


@pytest.fixture
def trained(project):
    assert train(project).returncode == 0
    return project


def relearn(project, label, steps=60):
    return step(
        project, "scripts.train_label", "--label", label, "--model", "training/ner/seed-0/model-best",
        "--output", f"training/ner-{label}/seed-0", "--steps", steps,
    )  # fmt: skip


def head_weights(project, run, label):
    """The output layer of a label's head."""
    heads = spacy.load(project / f"training/{run}/seed-0/model-best").get_pipe("label_heads")
    return heads.model.get_ref("heads").get_param("W2")[heads.labels.index(label)].tolist()


def calibrated(project, run):
    """The calibration by label of a run's model."""
    heads = spacy.load(project / f"training/{run}/seed-0/model-best").get_pipe("label_heads")
    return dict(zip(heads.labels, calibration_array(heads.labels, heads.calibration).tolist(), strict=True))


def test_a_new_label_is_learned_and_all_others_are_found_exactly_as_before(trained):
    before = found(trained / "training/ner/seed-0/model-best", TEXTS)
    annotate_places(trained)
    done = relearn(trained, "LOC")
    assert done.returncode == 0, done.stderr
    assert "LOC: 40 texts, 60 steps" in done.stdout
    assert "(new label)" in " ".join(done.stdout.split())
    after = found(trained / "training/ner-LOC/seed-0/model-best", TEXTS)
    assert {label: after[label] for label in before} == before
    assert len(after["LOC"]) == len(TEXTS)
    settings = [calibrated(trained, run) for run in ("ner", "ner-LOC")]
    assert settings[1].pop("LOC") != [1, 1, 0]
    assert settings[0] == settings[1]
    found_record = provenance(spacy.load(trained / "training/ner-LOC/seed-0/model-best").meta)
    assert (found_record.relearned, found_record.others) == ({"LOC": "e" * 8}, "d" * 8)
    assert found_record.outdated(["LOC", "ORG", "PER"], "e" * 8) == ["ORG", "PER"]
    assert found_record.outdated(["LOC", "ORG", "PER"], "d" * 8) == ["LOC"]
    assert found_record.knows("e" * 8)


def test_a_label_is_learned_again_and_all_others_are_found_exactly_as_before(trained):
    before = found(trained / "training/ner/seed-0/model-best", TEXTS)
    annotate_places(trained)
    done = relearn(trained, "PER")
    assert done.returncode == 0, done.stderr
    assert "(was " in " ".join(done.stdout.split())
    after = found(trained / "training/ner-PER/seed-0/model-best", TEXTS)
    assert after["ORG"] == before["ORG"]
    weights = [head_weights(trained, run, "PER") for run in ("ner", "ner-PER")]
    assert weights[0] != weights[1]
    settings = [calibrated(trained, run) for run in ("ner", "ner-PER")]
    assert settings[0]["ORG"] == settings[1]["ORG"]
    assert found(trained / "training/ner/seed-0/model-best", TEXTS) == before


def test_entities_of_other_labels_can_change_where_they_overlap_and_it_is_said(trained):
    """Their spans cannot. LOC is annotated here as a person with the word before."""

    def overlapping(number):
        one = doc(number, ["ORG", "PER"])
        spans = [*((span.start, span.end, span.label_) for span in one.spans["gold"]), (1, 3, "LOC")]
        return covered_doc(NLP, one.text, spans, ("LOC", "ORG", "PER"))

    numbers = {"train": range(20, 60), "dev": range(10, 20)}
    splits = {name: [overlapping(number) for number in found] for name, found in numbers.items()}
    write_corpus(trained / "corpus", [overlapping(number) for number in range(10)], digest="e" * 8, **splits)
    done = relearn(trained, "LOC", 200)
    assert done.returncode == 0, done.stderr
    assert "Other heads are unchanged; overlaps in doc.ents are settled anew." in " ".join(done.stdout.split())
    before, after = (trained / f"training/{run}/seed-0/model-best" for run in ("ner", "ner-LOC"))
    assert found(after, TEXTS)["PER"] == found(before, TEXTS)["PER"]
    people = [
        [[ent.text for ent in each.ents if ent.label_ == "PER"] for each in spacy.load(path).pipe(TEXTS)]
        for path in (before, after)
    ]
    assert people[0] != people[1]


def test_what_was_learned_alone_is_a_run_of_its_own_and_is_compared(trained):
    annotate_places(trained)
    assert relearn(trained, "PER").returncode == 0
    for run in ("ner", "ner-PER"):
        done = step(trained, "scripts.evaluate", "--run", run, "--models", f"training/{run}")
        assert done.returncode == 0, done.stderr
    done = step(trained, "scripts.compare", "metrics")
    assert done.returncode == 0, done.stderr
    assert "ner-PER-" in done.stdout


def test_a_label_that_is_trained_for_longer_is_another_run(trained):
    annotate_places(trained)
    for steps in (2, 60):
        assert relearn(trained, "LOC", steps).returncode == 0
        assert evaluate(trained, "ner-LOC").returncode == 0
    assert len(list(trained.glob("metrics/ner-LOC-*"))) == 2
    done = step(trained, "scripts.compare", "metrics")
    assert 'Config: relearned.steps ["LOC 2"] → ["LOC 60"].' in " ".join(done.stdout.split())
    assert "Data:" not in done.stdout
    again = [path.name for path in sorted(trained.glob("metrics/ner-LOC-*"))]
    assert relearn(trained, "LOC", 60).returncode == 0
    assert evaluate(trained, "ner-LOC").returncode == 0
    assert [path.name for path in sorted(trained.glob("metrics/ner-LOC-*"))] == again


def test_what_was_learned_alone_is_not_said_to_be_of_other_data(trained):
    """Unlike a model that was trained before the annotations changed."""
    annotate_places(trained)
    assert relearn(trained, "PER").returncode == 0
    said = " ".join(evaluate(trained, "ner-PER").stdout.split())
    assert "Trained on what corpus holds now: PER, alone; the other 2 labels on earlier data" in said
    assert "⚠" not in said
    run = json.loads(next(trained.glob("metrics/ner-PER-*/run.json")).read_text())
    assert run["trained"]["outdated"] == ["LOC", "ORG"]
    warning = "⚠ the model was trained on other data than corpus holds now; train again: weasel run train"
    assert warning in " ".join(evaluate(trained).stdout.split())
    sign(trained / "corpus", digest="f" * 8)
    assert warning in " ".join(evaluate(trained, "ner-PER").stdout.split())


def test_a_run_of_one_label_has_its_config_in_its_model(trained):
    """In a project, where `configs/ner-PER.cfg` does not exist: each step that takes a config works with it."""
    (trained / "configs").mkdir()
    (trained / "configs/ner.cfg").write_bytes(CONFIG.read_bytes())
    assert relearn(trained, "PER").returncode == 0
    own, seeds = "configs/ner-PER.cfg", ("--seeds", 3, "--output", "training/ner-PER-seeds")
    assert step(trained, "scripts.train", own, *FEW, *seeds).returncode == 0
    done = step(trained, "scripts.seed_variance", "--run", "ner-PER", "--models", "training/ner-PER-seeds")
    assert done.returncode == 0, done.stderr
    curve = ("--models", "training/ner-PER-curve", "--shares", 0.5, 1.0)
    done = step(trained, "scripts.learning_curve", own, *curve, *FEW)
    assert done.returncode == 0, done.stderr
    assert json.loads((trained / "metrics/learning-curve.json").read_text())["run"] == "ner-PER"
    before = model_digest(trained / "training/ner-PER/seed-0/model-best")
    said = one_line(step(trained, "scripts.train", own, "--output", "training/ner-PER", *FEW))
    assert "training/ner-PER: is a run of train-label" in said
    assert model_digest(trained / "training/ner-PER/seed-0/model-best") == before
    said = one_line(step(trained, "scripts.train", "configs/ner-OGR.cfg", "--output", "training/ner-OGR"))
    assert "configs/ner-OGR.cfg: no such file; --vars.run is one of ner, or a run of train-label" in said


def test_what_cannot_be_learned_alone_is_one_line(trained):
    assert "'LOC': is no label of corpus; --vars.label is one of ORG, PER" in one_line(relearn(trained, "LOC"))
    assert "--steps 0: must be 1 or more" in one_line(relearn(trained, "ORG", steps=0))
    annotate_places(trained)
    docs = [doc(number, ["ORG"]) for number in range(20)]
    DocBin(docs=docs).to_disk(trained / "corpus/train/0000.spacy")
    for path in sorted((trained / "corpus/train").iterdir())[1:]:
        path.unlink()
    sign(trained / "corpus")
    assert "no text is annotated for LOC" in one_line(relearn(trained, "LOC"))
    assert train(trained, config=TRANSITION).returncode == 0
    assert "has no label heads" in one_line(relearn(trained, "ORG"))
