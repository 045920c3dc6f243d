"""Who reads checks what it reads: shards, labels, gold and lists of another run are refused, and so is half a run."""

from __future__ import annotations

import importlib
import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import spacy
from confection import ConfigValidationError

from scripts.building.corpus import build
from scripts.building.plan import CorpusPlan
from scripts.building.reading import CorpusReader, label_heads_labels, read_docs
from scripts.building.splits import SPLITS, corpus_doubt, read_corpus, shard_files
from scripts.core import manifest, settings
from scripts.core.errors import UserError
from scripts.core.files import sha256
from scripts.merging import merged
from scripts.merging.merge import OUTPUTS, Resources, merge
from scripts.merging.pull import pull
from tests.project import ROOT, make
from tests.scored import write_model

NLP = spacy.blank("en")
PLAN = CorpusPlan({"lang": "en"}, 0.2, 0.2, "", [], [], "snap")
CONFIG = str(ROOT / "configs/ner.cfg")


def pull_here():
    return pull(settings.load(Path("datasets.cfg")).datasets, Path("annotations"), 0.2, 1)


def merge_here():
    return merge(manifest.load(Path("annotations")), Path("annotations"), Path("corpus"), "majority", Resources(512, 1))


def build_here():
    return build(Path("corpus"), PLAN, 1)


STEPS = {"pull": pull_here, "merge": merge_here, "corpus": build_here}


def files(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(found)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two projects: one, and the same after more was annotated. Each with a model."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        for name, texts in (("before", 300), ("after", 800)):
            (folder / name).mkdir()
            make(folder / name, texts)
            patch.chdir(folder / name)
            for step in STEPS.values():
                step()
            write_model(Path("training/ner"), {"ORG": ["IBM"], "PER": ["Ada"]}, Path("corpus/split.json"))
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    shutil.copytree(made / "after", tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def first(folder):
    return min(folder.glob("*.spacy"))


def copy_test_to_train(_):
    shutil.copy(first(Path("corpus/test")), "corpus/train/9999.spacy")
    return "corpus/train/9999.spacy: is of another corpus"


def replace_by_test(_):
    path = first(Path("corpus/train"))
    shutil.copy(first(Path("corpus/test")), path)
    return f"{path}: is not as it was made"


def replace_by_previous(made):
    path = first(Path("corpus/train"))
    shutil.copy(first(made / "before/corpus/train"), path)
    return f"{path}: is not as it was made"


def delete_test(_):
    path = first(Path("corpus/test"))
    path.unlink()
    return f"{path}: is missing"


def edit_labels(_):
    Path("corpus/labels.json").write_text('["ORG"]')
    return "corpus/labels.json: is not as it was made"


def delete_split(_):
    Path("corpus/split.json").unlink()
    return "corpus/split.json: no such file; make the corpus first"


DAMAGES = [copy_test_to_train, replace_by_test, replace_by_previous, delete_test, edit_labels, delete_split]
READERS = {
    "train": [CONFIG, "--output", "training/other"],
    "train_label": ["--label", "PER", "--model", "training/ner/seed-0/model-best", "--output", "training/ner-PER"],
    "evaluate": ["--run", "ner", "--models", "training/ner"],
    "seed_variance": ["--run", "ner", "--models", "training/ner"],
    "learning_curve": [CONFIG, "--models", "training/ner-curve"],
    "debug": ["--config", str(ROOT / "configs/ner_transition.cfg")],
    "queue": ["datasets.cfg", "training.cfg", "--label", "PER", "--models", "training/ner"],
}

SHOW = ["IBM hired Ada number 7 .", "--config", "datasets.cfg", "--training", "training.cfg"]
SHOW += ["--annotations", "annotations"]


def run(step, *options):
    """A step in this process, in the current folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [step, *options])
        importlib.import_module(f"scripts.{step}").main()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("step", READERS)
def test_no_step_reads_another_corpus(step, damage, project, made):
    said = damage(made)
    before = files(project)
    with pytest.raises(UserError, match=rf"^{said}.*: weasel run corpus$"):
        run(step, *READERS[step])
    assert files(project) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_nor_does_spacy_train_by_hand(damage, project, made):
    said = damage(made)
    split = "test" if damage is delete_test else "train"
    with pytest.raises(ConfigValidationError) as caught:
        label_heads_labels("corpus/labels.json")
        CorpusReader(f"corpus/{split}")
    assert caught.value.desc.startswith(said)


def test_shards_that_change_while_they_are_trained_on_stop_the_training(project, made):
    reader = CorpusReader("corpus/train", buffer=10)
    assert sum(1 for _ in reader(NLP)) == read_corpus(Path("corpus/split.json")).texts["train"]
    said = replace_by_previous(made)
    with pytest.raises(UserError) as caught:
        list(reader(NLP))
    assert str(caught.value).startswith(said)


def test_ones_own_shards_need_no_account(project):
    shutil.copytree("corpus/train", "mine/train")
    assert len(shard_files(Path("mine/train"))) == len(shard_files(Path("corpus/train")))
    assert list(CorpusReader("mine/train")(NLP))


def test_other_files_in_a_split_do_no_harm(project):
    Path("corpus/train/.DS_Store").write_bytes(b"?")
    Path("corpus/train/notes.txt").write_text("mine")
    assert read_corpus(Path("corpus/split.json")).texts["train"]


@pytest.mark.parametrize("name", OUTPUTS)
def test_lists_of_another_merge_are_refused(name, project):
    from scripts.building.corpus import whole_splitter
    from scripts.checking.coverage import read_matrix

    with Path("corpus", name).open("ab") as file:
        file.write(b"\n")
    readers = {
        "conflicts.jsonl": [lambda: run("queue", *READERS["queue"]), lambda: run("show", *SHOW)],
        "contained.jsonl": [lambda: whole_splitter(PLAN, Path("corpus/gold.jsonl")), build_here],
        "duplicates.jsonl": [lambda: whole_splitter(PLAN, Path("corpus/gold.jsonl")), build_here],
        "coverage.csv": [lambda: read_matrix(Path("corpus/coverage.csv"))],
        "gold.jsonl": [lambda: run("queue", *READERS["queue"]), lambda: run("show", *SHOW), build_here],
    }
    for read in readers[name]:
        with pytest.raises(UserError, match=f"{name}: is not as it was merged; merge again: weasel run merge"):
            read()


@pytest.mark.parametrize("step", ["show", "consistency", "coverage"])
def test_answers_that_were_pulled_after_the_merge_are_not_mixed_with_it(step, project):
    options = SHOW if step == "show" else ["annotations", "corpus"]
    with (project / "per.jsonl").open("a") as file:
        file.write('\n{"text": "Eve", "spans": [], "answer": "accept"}')
    pull_here()
    with pytest.raises(UserError, match="annotations: was pulled after the merge; merge again: weasel run merge"):
        run(step, *options)
    merge_here()
    Path("annotations/per.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match=r"per\.jsonl: is not as it was pulled; pull again: weasel run pull"):
        run(step, *options)


# A run is never replaced by one of fewer texts or labels.


def test_a_run_is_not_replaced_by_one_of_fewer_texts(project):
    run("evaluate", *READERS["evaluate"])
    before = files(project)
    split = json.loads(Path("corpus/split.json").read_bytes())
    gone = first(Path("corpus/test"))
    gone.unlink()
    for shard in split["shards"].values():
        shard["files"].pop(f"test/{gone.name}", None)
    Path("corpus/split.json").write_text(json.dumps(split))
    with pytest.raises(UserError, match=r"is scored on [\d,]+ texts, which stays: now it would be on"):
        run("evaluate", *READERS["evaluate"])
    after = files(project)
    assert {name: after[name] for name in before if name.startswith("metrics")} == {
        name: content for name, content in before.items() if name.startswith("metrics")
    }


# Crash points: whatever is written, replaced or deleted, the process can end just before it.


EACH = 4  # after each fourth kill, the step is run again


class Killed(BaseException):
    """The end of a process."""


def kill_at(number, patch):
    """End the process before the given replacement or deletion of a file, or later never."""
    left = [number]

    def counting(method):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == -1:
                raise Killed
            return method(*args, **kwargs)

        return call

    for name in ("replace", "unlink"):
        patch.setattr(Path, name, counting(getattr(Path, name)))
    return left


def state():
    """What the readers of a folder find: digests of all that they accept, or the step that they ask for."""
    found = {}
    for name, read in {"pull": read_pulled, "merge": read_merged, "corpus": read_docs_of_all}.items():
        try:
            found[name] = read()
        except UserError as err:
            assert f"weasel run {name}" in str(err)
            found[name] = None
    return found


def read_pulled():
    found = manifest.load(Path("annotations"))
    return manifest.digest(found), [sha256(Path("annotations", each.file)) for each in found.datasets.values()]


def read_merged():
    record = merged.load(Path("corpus"))
    return [sha256(record.validate(Path("corpus", name))) for name in sorted(record.outputs)]


def read_docs_of_all():
    corpus = read_corpus(Path("corpus/split.json"))
    texts = [doc.text for split in SPLITS for doc in read_docs(shard_files(Path("corpus", split)), NLP.vocab)]
    assert len(texts) == sum(corpus.texts.values())
    return corpus.digest, texts


@pytest.mark.parametrize("step", STEPS)
def test_after_a_kill_readers_find_the_old_or_the_new_whole_or_name_the_step(step, made, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(made / "before", folder)
    monkeypatch.chdir(folder)
    for name in ("prodigy.db", "per.jsonl"):
        shutil.copy(made / "after" / name, folder / name)
    for name in list(STEPS)[: list(STEPS).index(step)]:
        STEPS[name]()
    old = state()[step]
    shutil.copytree(folder, tmp_path / "start")
    monkeypatch.chdir(made / "after")
    new = state()[step]
    monkeypatch.chdir(folder)
    found = []
    while True:
        with pytest.MonkeyPatch.context() as patch:
            left = kill_at(len(found), patch)
            with suppress(Killed):
                STEPS[step]()
        if left[0] >= 0:
            break
        found.append(state()[step])
        if len(found) % EACH == 0:
            STEPS[step]()
            assert state()[step] == new
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "start", folder)
        monkeypatch.chdir(folder)
    assert state()[step] == new
    assert all(each in (None, old, new) for each in found)
    assert None in found
    assert len(found) > 5


@pytest.mark.parametrize("step", STEPS)
def test_nothing_new_is_not_written_again(step, project):
    names = ("manifest.json", "merge.json", "labels.json", "split.json")
    times = {path: path.stat().st_mtime_ns for name in names for path in project.rglob(name)}
    STEPS[step]()
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_corpus_of_other_gold_than_was_merged_since_is_said(made, project, capsys):
    said = "corpus was made of other gold than was merged since; make it again: weasel run corpus"
    run("evaluate", *READERS["evaluate"])
    assert said not in " ".join(capsys.readouterr().out.split())
    shutil.rmtree("annotations")
    shutil.copytree(made / "before/annotations", "annotations")
    merge_here()
    run("evaluate", *READERS["evaluate"])
    assert f"⚠ {said}" in " ".join(capsys.readouterr().out.split())
    run("train", CONFIG, "--output", "training/other", "--training.max_steps", "2", "--training.eval_frequency", "1")
    assert f"⚠ {said}" in " ".join(capsys.readouterr().out.split())
    build_here()
    assert corpus_doubt(Path("corpus")) == ""


@pytest.mark.parametrize("change", [("lang", "de"), ("tokenizer", {"@tokenizers": "labelwise.Words.v1"})])
def test_a_corpus_of_another_tokenizer_than_is_trained_is_said(change, project):
    nlp = {"lang": "en", "tokenizer": {"@tokenizers": "spacy.Tokenizer.v1"}}
    assert corpus_doubt(Path("corpus"), nlp) == corpus_doubt(Path("corpus"), {"lang": "en"}) == ""
    assert "another [nlp] lang or tokenizer" in corpus_doubt(Path("corpus"), nlp | dict([change]))


def test_train_and_train_label_say_that_the_corpus_was_tokenized_otherwise(project, capsys):
    short = ("--training.max_steps", "2", "--training.eval_frequency", "1")
    run("train", CONFIG, "--output", "training/german", *short, "--nlp.lang", "de")
    run("train_label", "--label", "PER", "--model", "training/german/seed-0/model-best", "--output", "training/one")
    said = " ".join(capsys.readouterr().out.split())
    assert (
        said.count("⚠ corpus was tokenized by another [nlp] lang or tokenizer; make it again: weasel run corpus") == 2
    )
