"""evaluate, as a user runs it."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import NamedTuple

import pytest
import spacy

from scripts.core.errors import run_step
from scripts.evaluate import main
from scripts.model.models import find_models, load_model
from scripts.scoring import evaluation
from tests.scored import covered_doc, one_line, sign, step, write_corpus, write_model

NLP = spacy.blank("en")


class Done(NamedTuple):
    """What a step did, as subprocess says it."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def project(tmp_path):
    """Five test texts, the last of which is not annotated for ORG, and a model that knows Ada and IBM."""
    docs = [
        covered_doc(NLP, f"IBM hired Ada number {n} .", [(0, 1, "ORG"), (2, 3, "PER")], ["ORG", "PER"])
        for n in range(3)
    ]
    docs.append(covered_doc(NLP, "Bob likes IBM .", [(0, 1, "PER"), (2, 3, "ORG")], ["ORG", "PER"]))
    docs.append(covered_doc(NLP, "IBM likes Ada .", [(2, 3, "PER")], ["PER"]))
    write_corpus(tmp_path / "corpus", docs)
    write_model(tmp_path / "training" / "ner", {"ORG": ["IBM"], "PER": ["Ada"]}, tmp_path / "corpus" / "split.json")
    return tmp_path


OPTIONS = ("--run", "ner", "--models", "training/ner")


@pytest.fixture
def evaluate(monkeypatch, capsys):
    """Runs the step in a folder, in this process: it is spaCy that takes long to start."""

    def run(folder, *options):
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr("sys.argv", ["evaluate", *OPTIONS, *options])
        try:
            run_step(main)
            code = 0
        except SystemExit as err:
            code = err.code
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def succeed(evaluate):
    return lambda folder, *options: said(evaluate(folder, *options))


def said(done):
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    return " ".join(done.stdout.split())


def folders(project):
    return sorted(path for path in (project / "metrics").iterdir())


def read(path):
    return json.loads(path.read_text())


def outputs(project):
    found = [*(project / "metrics").rglob("*"), project / "metrics.json"]
    return {path.relative_to(project): path.read_bytes() for path in found if path.is_file()}


def test_scores_by_label_where_they_are_covered(project, succeed):
    told = said(step(project, "scripts.evaluate", *OPTIONS))
    assert "ORG 1.000 1.000 1.000 4 4 0 0 4 PER 1.000 .800 .889 5 4 0 1 5" in told
    assert "Probabilities: the predicted spans have none that are calibrated." in told
    assert "micro (all entities) 1.000 .889 .941 9 8 0 1 5 macro (2 labels) .944" in told
    assert "trained" not in told
    (folder,) = folders(project)
    assert f"✔ metrics/{folder.name}: 5 texts; copied to metrics.json" in told
    assert (folder / "metrics.json").read_bytes() == (project / "metrics.json").read_bytes()
    found = read(project / "metrics.json")
    per = found["labels"]["PER"]
    assert 0 < per.pop("low") < 0.888889 < per.pop("high") <= 1
    assert per == {
        "p": 1.0, "r": 0.8, "f": 0.888889, "tp": 4, "fp": 0, "fn": 1, "support": 5, "texts": 5,
        "partial": {"p": 1.0, "r": 0.8, "f": 0.888889},
        "errors": {
            "fn": {"boundary": 0, "type": 0, "boundary_type": 0, "missed": 1, "tokenizer": 0},
            "fp": {"boundary": 0, "type": 0, "boundary_type": 0, "spurious": 0, "tokenizer": 0},
        },
        "seen": {"entities": 0, "found": 0, "r": None}, "unseen": {"entities": 5, "found": 4, "r": 0.8},
    }  # fmt: skip
    assert set(found) == {"labels", "micro", "macro"}
    lines = gzip.decompress((folder / "counts.csv.gz").read_bytes()).decode().splitlines()
    assert len(lines) == 1 + 4 + 5


def test_run_json_says_what_the_run_was_made_of(project, succeed):
    succeed(project)
    run = read(folders(project)[0] / "run.json")
    assert (run["run"], run["seeds"]) == ("ner", [0])
    assert folders(project)[0].name == f"ner-{run['digest'][:8]}"
    assert run["data"] == {"trained": "dddddddd", "evaluated": "dddddddd"}
    training, evaluation = run["versions"]["training"], run["versions"]["evaluation"]
    assert "threads: " in training.pop("blas")  # of the test's own process
    assert evaluation.pop("blas").endswith("threads: 1")
    assert training == evaluation
    assert list(run["tests"]) == ["ORG", "PER"]
    assert "[training]" in run["config"]["text"]
    assert str(project) not in json.dumps(run)
    assert run["model_bytes"] > 1000
    assert run["words_per_second"]["0"] > 0
    assert run["trained"] == {"texts": 0, "covered": {}, "entities": {}, "outdated": []}


def test_a_second_time_every_byte_is_the_same(project, succeed):
    succeed(project)
    run = folders(project)[0] / "run.json"
    run.write_text(json.dumps(read(run) | {"time": "2020-02-02T00:00:00Z"}))
    before = outputs(project)
    succeed(project)
    after = outputs(project)
    assert read(run)["time"] == "2020-02-02T00:00:00Z"
    run = run.relative_to(project)
    assert {path: after[path] for path in after if path != run} == {
        path: before[path] for path in before if path != run
    }
    succeed(project)
    assert outputs(project) == after


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run.json", lambda content: content.replace(b'"evaluation": "', b'"evaluation": "x', 1)),
        ("run.json", lambda content: content.replace(b'"numpy": "', b'"numpy": "x')),
        ("run.json", lambda content: content.replace(b'"models": {\n    "0": "', b'"models": {\n    "0": "x')),
        ("counts.csv.gz", lambda content: content[:-9]),
        ("confusion.json", None),
        ("errors.jsonl.gz", None),
        ("errors.jsonl.gz", lambda content: gzip.compress(gzip.decompress(content).split(b"\n", 1)[1])),
        ("metrics.json", lambda content: b"{"),
    ],
)
def test_only_new_evaluates_what_is_not_stored_whole_by_the_same_code(name, change, project, succeed):
    first = succeed(project)
    before = outputs(project)
    (folder,) = folders(project)
    written = (folder / "run.json").stat().st_mtime_ns
    assert succeed(project, "--only-new").split("copied")[0] == first.split("copied")[0]
    assert outputs(project) == before
    assert (folder / "run.json").stat().st_mtime_ns == written
    if change:
        changed = change((folder / name).read_bytes())
        assert changed != (folder / name).read_bytes()
        (folder / name).write_bytes(changed)
    else:
        (folder / name).unlink()
    succeed(project, "--only-new")
    after = outputs(project)
    assert after.keys() == before.keys()
    differ = {path.name for path in after if after[path] != before[path]}
    assert differ <= {"run.json", "metrics.json"} if name == "metrics.json" else not differ


def test_where_the_project_lies_makes_no_other_run(project, tmp_path_factory, succeed):
    succeed(project)
    other = tmp_path_factory.mktemp("other") / "place"
    shutil.copytree(project, other, ignore=shutil.ignore_patterns("metrics*"))
    succeed(other)
    assert folders(other)[0].name == folders(project)[0].name


def test_other_data_make_another_run_with_a_warning_if_they_are_not_those_of_training(project, succeed):
    succeed(project)
    write_corpus(project / "corpus", [covered_doc(NLP, "Ada .", [(0, 1, "PER")], ["PER"])], digest="other")
    assert "⚠ the model was trained on other data than corpus holds now" in succeed(project)
    assert len(folders(project)) == 2
    assert {read(folder / "run.json")["data"]["evaluated"] for folder in folders(project)} == {"d" * 8, "other"}


def test_a_model_without_a_record_of_its_data_is_identified_by_its_weights(project, succeed):
    write_model(project / "training" / "ner", {"PER": ["Ada"]})
    assert "⚠ the model has no record of its training data, which may not be those of corpus" in succeed(project)
    write_model(project / "training" / "ner", {"PER": ["Bob"]})
    succeed(project)
    assert len(folders(project)) == 2


def test_several_seeds_are_one_run(project, succeed):
    write_model(project / "training" / "ner", {"PER": ["Ada", "Bob"]}, project / "corpus" / "split.json", seed=11)
    (project / "training" / "ner" / "seed-2").mkdir()
    told = succeed(project)
    assert "⚠ skipped: training/ner/seed-2: has no model-best" in told
    assert "means over 2 seeds" in told
    found = read(project / "metrics.json")
    assert found["labels"]["PER"]["f"] == round((0.888889 + 1) / 2, 6)
    assert found["labels"]["PER"]["tp"] == 4.5
    assert list(found["seeds"]) == ["0", "11"]
    assert read(folders(project)[0] / "run.json")["seeds"] == [0, 11]


# What a user can mend


def test_a_run_with_an_earlier_time_than_another_is_not_taken_for_the_newest_without_a_word(project, succeed):
    succeed(project)
    (first,) = (project / "metrics").glob("ner-*/run.json")
    record = json.loads(first.read_text())
    assert "later time" not in succeed(project)  # the same run again
    first.write_text(json.dumps(record | {"time": "2999-01-01T00:00:00Z"}))  # as by a clock that was set back
    write_model(project / "training" / "ner", {"ORG": ["IBM"]})
    said = succeed(project)
    (second,) = (path.parent.name for path in (project / "metrics").glob("ner-*/run.json") if path != first)
    command = f"python -m scripts.compare metrics --baseline {record['run']}-{record['digest'][:8]} --runs {second}"
    assert command in said
    done = step(project, *command.split()[2:])
    assert f"{second}, compared with" in done.stdout


def test_no_model(project, evaluate):
    shutil.rmtree(project / "training" / "ner" / "seed-0" / "model-best")
    assert "train a model first: weasel run train . --force" in one_line(evaluate(project))
    shutil.rmtree(project / "training")
    assert "train a model first: weasel run train" in one_line(step(project, "scripts.evaluate", *OPTIONS))


def test_a_model_of_other_labels_is_not_scored(project, evaluate):
    """As the demo's is, after a first training on one's own annotations was stopped."""
    (project / "corpus/labels.json").write_text('["COMPOUND", "DOSE"]')
    sign(project / "corpus")
    said = one_line(evaluate(project))
    assert "knows no label of the corpus (COMPOUND, DOSE): weasel run train" in said
    assert not (project / "metrics").exists() or not list((project / "metrics").glob("*/run.json"))


def test_no_corpus(project, evaluate):
    shutil.rmtree(project / "corpus")
    assert "make the corpus first: weasel run corpus" in one_line(evaluate(project))


def test_no_texts(project, evaluate):
    write_corpus(project / "corpus", [], train=[covered_doc(NLP, "Ada .", [], ["PER"])])
    assert "corpus/test: no text to evaluate with" in one_line(evaluate(project))


def test_a_damaged_shard(project, evaluate):
    (project / "corpus" / "test" / "0000.spacy").write_bytes(b"odd")
    assert "corpus/test/0000.spacy: is not as it was made; make the corpus again" in one_line(evaluate(project))
    sign(project / "corpus")
    assert "corpus/test/0000.spacy: is damaged" in one_line(evaluate(project))
    assert not (project / "metrics").exists()


def test_a_damaged_model(project, evaluate):
    (project / "training/ner/seed-0/model-best/meta.json").write_text("{")
    assert "training/ner/seed-0/model-best: its config or meta cannot be read" in one_line(evaluate(project))
    (project / "training/ner/seed-0/model-best/config.cfg").unlink()
    assert "training/ner/seed-0/model-best: its config or meta cannot be read" in one_line(evaluate(project))


def test_a_seed_that_is_another(project, evaluate):
    (project / "training/ner/seed-0").rename(project / "training/ner/seed-5")
    assert "seed-5/model-best: was trained with seed 0, not 5" in one_line(evaluate(project))


def test_a_component_that_cannot_be_loaded(project, evaluate):
    (project / "training/ner/seed-0/model-best/entity_ruler/patterns.jsonl").write_text("{")
    assert "training/ner/seed-0/model-best: cannot be loaded" in one_line(evaluate(project))


def test_seeds_that_differ_in_more_than_the_seed(project, evaluate):
    split = project / "corpus" / "split.json"
    write_model(project / "training" / "ner", {"PER": ["Ada"]}, split, seed=1)
    config = project / "training/ner/seed-1/model-best/config.cfg"
    config.write_text(config.read_text().replace("dropout = 0.1", "dropout = 0.2"))
    assert "were trained with different configs, so they are not one run" in one_line(evaluate(project))


def test_a_seed_of_earlier_data_is_skipped(project, succeed):
    write_corpus(project / "other", [covered_doc(NLP, "Ada .", [], ["PER"])], digest="other")
    write_model(project / "training" / "ner", {"PER": ["Ada"]}, project / "other" / "split.json", seed=1)
    assert "⚠ skipped: training/ner/seed-1: was trained on other data" in succeed(project)
    assert read(folders(project)[0] / "run.json")["seeds"] == [0]


@pytest.mark.parametrize(
    ("old", "new", "is_same"),
    [
        ("train = null", 'train = "/home/ada/corpus/train"', True),
        ("vectors = null", 'vectors = "en_core_web_md"', False),
        ("dropout = 0.1", "dropout = 0.2", False),
        ("seed = 0", "seed = 1", True),
    ],
)
def test_what_makes_a_config_another(old, new, is_same, tmp_path):
    folder = write_model(tmp_path, {"PER": ["Ada"]})
    (before,), _ = find_models(folder, "", ())
    config = folder / "seed-0" / "model-best" / "config.cfg"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new, 1))
    if "seed" in old:
        (folder / "seed-0").rename(folder / "seed-1")
    (after,), _ = find_models(folder, "", ())
    assert (after.config == before.config) is is_same


def test_a_run_whose_name_is_a_path(project):
    done = step(project, "scripts.evaluate", "--run", "../ner", "--models", "training/ner")
    assert "'../ner': is no name for a run" in one_line(done)


def test_a_model_keeps_no_words_of_the_texts_that_it_is_evaluated_on(project):
    nlp = load_model(project / "training/ner/seed-0/model-best")
    found = evaluation.evaluate(nlp, project / "corpus/test", ["ORG", "PER"], 5, "")
    assert found.counts.values.sum() > 0
    assert "hired" not in nlp.vocab.strings
