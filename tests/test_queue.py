"""queue: from the gold to tasks, from answers back to the gold, and never the same question twice."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.training import Example
from spacy.util import fix_random_seed
from thinc.api import Adam
from threadpoolctl import threadpool_limits

from scripts import functions  # noqa: F401 (label heads are registered)
from scripts.building.corpus import build, whole_splitter
from scripts.building.plan import CorpusPlan, plan_of
from scripts.building.reading import read_docs
from scripts.building.splits import shard_files
from scripts.checking.review import Suspect
from scripts.core import settings
from scripts.core.answers import GoldText, Span
from scripts.core.errors import run_step
from scripts.core.settings import DatasetOptions
from scripts.core.texts import input_hash, task_hash
from scripts.exporting.push import Target
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.model.models import announce, record_data
from scripts.queue import main
from scripts.queueing.candidates import choose, entropy, informativeness, main_words
from scripts.queueing.queue import covering_datasets, usual_prefill
from scripts.queueing.tasks import Request, _destination
from scripts.sources.doccano import Doccano
from scripts.sources.label_studio import LabelStudio
from scripts.sources.prodigy_database import prodigy_database
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from tests import test_command_lines
from tests.prodigy import add_task, line, read, task, write_database
from tests.project import CONFIG, TRAINING
from tests.scored import step

NAMES = ["Ada", "Bob", "Cleo", "Dev", "Eve", "Finn", "Gus", "Hal"]
FIRMS = ["IBM", "Acme", "Globex", "Initech", "Umbrella", "Hooli"]
VERBS = ["hired", "called", "sued", "met", "paid", "left"]
KNOWN = 54  # texts that are annotated for ORG


def sentence(number):
    firm, name = FIRMS[number % 6], NAMES[number // 6 % 8]
    return f"{firm} {VERBS[number // 5 % 6]} {name} on day {number * 37} ."


def firms(text):
    return [(text.index(firm), text.index(firm) + len(firm), "ORG") for firm in FIRMS if firm in text]


def people(text):
    return [(text.index(name), text.index(name) + len(name), "PER") for name in NAMES if name in text]


TEXTS = [sentence(number) for number in range(120)]
TWINS = [text.replace(" .", " !") + "!" for text in TEXTS[60:80]]  # equal but for their marks
ALL = [*TEXTS, *TWINS]


def annotate(folder):
    """ORG is annotated in some texts, by two people in one, who disagree; PER in all."""
    known = [task(text, firms(text)) for text in TEXTS[:KNOWN]]
    known[0]["spans"] = []  # overlooked
    other = task(TEXTS[1], [], _annotator_id="bob")
    write_database(folder / "prodigy.db", {"org_2024": [*known, other]})
    (folder / "per.jsonl").write_text("\n".join(line(task(text, people(text))) for text in ALL))


def prepare(folder):
    """Pull, merge, corpus."""
    config = settings.load(Path("datasets.cfg"))
    manifest = pull(config.datasets, folder / "annotations", 0.2, 1).manifest
    merge(manifest, folder / "annotations", folder / "corpus", "majority", Resources(256, 1))
    build(folder / "corpus", CorpusPlan({"lang": "en"}, 0.2, 0.2, "", [], [], "snap"), 1)


def teach(folder, seed, labels=("ORG", "PER")):
    """A small model that has seen a little."""
    fix_random_seed(seed)
    nlp = spacy.blank("en")
    tok2vec = {"@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": 32, "depth": 1,
               "embed_size": 500, "window_size": 1, "maxout_pieces": 2, "subword_features": True}  # fmt: skip
    model = {"@architectures": "labelwise.LabelHeads.v1", "hidden_width": 16, "maxout_pieces": 2, "tok2vec": tok2vec}
    pipe = nlp.add_pipe("label_heads", config={"model": model})
    docs = list(read_docs(shard_files(folder / "corpus/train"), nlp.vocab))
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    pipe.initialize(lambda: examples, nlp=nlp, labels=list(labels))
    optimizer = Adam(0.003)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    nlp.config["system"]["seed"] = seed
    with threadpool_limits(1, "blas"):  # as a step: a record has the number of threads
        record_data(str(folder / "corpus/split.json"))(nlp)
    path = folder / f"training/ner/seed-{seed}"
    path.mkdir(parents=True)
    nlp.to_disk(path / "model-best")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project, not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        annotate(folder)
        (folder / "datasets.cfg").write_text(CONFIG)
        (folder / "training.cfg").write_text(TRAINING)
        prepare(folder)
        teach(folder, 0)
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it, in which a test works."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path / "project"


@pytest.fixture
def run(project, monkeypatch, capsys):
    """The step: what it says, or the one line that it fails with."""

    def step(*options, label="ORG"):
        fixed = ["datasets.cfg", "training.cfg", "--label", label, "--models", "training/ner"]
        monkeypatch.setattr("sys.argv", ["queue", *fixed, *map(str, options)])
        try:
            run_step(main)
        except SystemExit:
            err = capsys.readouterr().err
            assert err.startswith("✘ ")
            assert err.count("\n") == 1
            return err
        return capsys.readouterr().out

    return step


def tasks(number=1, label="ORG"):
    lines = Path(f"queues/{label}/{number:03}/tasks.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line) for line in lines]


def account(number=1, label="ORG"):
    """queue.json, which adds up."""
    found = json.loads(Path(f"queues/{label}/{number:03}/queue.json").read_text("utf8"))
    assert found["counts"]["read"] == sum(found["counts"].values()) - found["counts"]["read"]
    return found


def gold():
    lines = Path("corpus/gold.jsonl").read_bytes().splitlines()
    return {text.text: text for text in (msgspec.json.decode(line, type=GoldText) for line in lines)}


def answer(found):
    """What somebody makes of a task in Prodigy: the spans that are right, and an answer."""
    return task(found["text"], firms(found["text"]), answer="accept", meta=found["meta"])


def test_what_is_asked_comes_back_and_is_covered(project, run):
    said = run("--limit", 10)
    assert "prodigy ner.manual org_2024 blank:en queues/ORG/001/tasks.jsonl --label ORG" in said
    assert "✔ queues/ORG/001: 10 tasks" in said
    asked = tasks()
    before = gold()
    assert len(asked) == 10 == account()["counts"]["queued"]
    assert not any("ORG" in before[each["text"]].covered for each in asked)
    run("--limit", 10)
    assert not {each["text"] for each in asked} & {each["text"] for each in tasks(2)}
    assert account(2)["counts"]["queued before"] == 10
    with closing(sqlite3.connect("prodigy.db")) as database, database:
        for each in asked:
            add_task(database, [1], answer(each))
    prepare(project)
    after = gold()
    for each in asked:
        text = after[each["text"]]
        assert "ORG" in text.covered
        assert text.spans == sorted(Span(*span) for span in [*firms(text.text), *people(text.text)])
    said = run("--limit", 10)
    assert "trained on another corpus" in said
    assert account(3)["counts"]["covered"] == account(1)["counts"]["covered"] + 10
    assert account(3)["counts"]["queued before"] == 10  # of the second, which has not come back
    once = [each["text"] for number in (1, 2, 3) for each in tasks(number)]
    assert len(once) == len(set(once))


@pytest.mark.parametrize("said", ["ignore", "reject"])
def test_nobody_is_asked_again_about_what_was_ignored_or_rejected(said, project, run):
    run("--limit", 10)
    skipped = [each["text"] for each in tasks()[:4]]
    with closing(sqlite3.connect("prodigy.db")) as database, database:
        for text in skipped:
            add_task(database, [1], task(text, answer=said))
    shutil.rmtree("queues")
    prepare(project)
    run("--limit", 1000)
    assert account()["counts"]["ignored or rejected"] == 4
    assert not {each["text"] for each in tasks()} & set(skipped)


def test_a_text_whose_answer_tells_of_no_label_was_not_ignored(project, run):
    """In a dataset made in passes, an answer without spans does not tell which label was looked for."""
    passes = [task(text, spans(text)) for spans in (people, firms) for text in TEXTS[:40]]
    untold = [task(text) for text in TEXTS[40:]]
    Path("all.jsonl").write_text("\n".join(map(line, passes + untold)))
    block = '[datasets.all]\n@readers = "labelwise.ProdigyJsonl.v1"\npath = "all.jsonl"\nlabels = ["ORG", "PER"]\n'
    Path("datasets.cfg").write_text("[datasets]\n" + block)
    prepare(project)
    run("--queue.order", "random", "--limit", 1000)
    assert "ignored or rejected" not in account()["counts"]
    assert account()["tasks"] == len({each["text"] for each in tasks()} & set(TEXTS[40:])) > 40


def test_all_is_asked_once_and_then_nothing_is_left(run):
    run("--limit", 1000)
    found = account()
    assert found["counts"].get("over the limit", 0) == 0
    assert found["counts"]["near-duplicates within this queue"] > 0
    chosen = {each["text"] for each in tasks()}
    assert not any(twin in chosen and text in chosen for text, twin in zip(TEXTS[60:80], TWINS, strict=True))
    said = " ".join(run("--limit", 1000).split())
    assert f"{len(chosen)} texts queued before: annotate them, or see that a block of datasets.cfg reads the" in said
    assert "nothing is left to ask" in said
    assert not Path("queues/ORG/002").exists()


def test_the_same_again_is_the_same_to_the_byte(run):
    contents = []
    for _ in range(2):
        run("--limit", 20)
        contents.append({path.name: path.read_bytes() for path in Path("queues/ORG/001").iterdir()})
        shutil.rmtree("queues")
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"queue.json", "tasks.jsonl"}


def test_the_most_informative_texts_come_first(run):
    run("--limit", 8)
    few = tasks()
    values = [each["meta"]["informativeness"] for each in few]
    assert values == sorted(values, reverse=True)
    shutil.rmtree("queues")
    run("--limit", 12)
    assert tasks()[:8] == few
    assert all(each["meta"]["reason"].startswith("the model is least certain about: ") for each in few)


def test_several_seeds_choose_together(project, run):
    run("--limit", 10)
    teach(project, 1)
    shutil.move("queues/ORG", "before")
    run("--limit", 10)
    assert len(account()["models"]) == 2
    one = [
        line["meta"]["informativeness"]
        for line in map(json.loads, Path("before/001/tasks.jsonl").read_text().splitlines())
    ]
    assert one != [each["meta"]["informativeness"] for each in tasks()]


def test_texts_to_evaluate_on_are_drawn_at_random(run):
    drawn = {}
    for seed in (0, 1):
        run("--texts", "test", "--limit", 5, "--seed", seed)
        assert account()["models"] == {}
        drawn[seed] = [each["text"] for each in tasks()]
        assert {each["meta"]["reason"] for each in tasks()} == {"drawn at random"}
        shutil.rmtree("queues")
    assert drawn[0] != drawn[1]
    run("--limit", 1000)
    assert not {each["text"] for each in tasks()} & {*drawn[0], *drawn[1]}
    assert "needs texts that models rank" in run("--texts", "test", "--prefill", "model")


def test_the_command_of_next_queues_the_test_texts_that_a_score_lacks(project, run, monkeypatch):
    """As it is printed: ORG is covered in some of the test texts."""
    assert step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner").returncode == 0
    said = step(project, "scripts.next", "corpus", "metrics").stdout
    found = json.loads(Path("metrics/next.json").read_text())["labels"]["ORG"]
    command = found["recommendation"]["command"]
    assert f"\n  {command}\n" in said
    options = shlex.split(command)[4:]
    (line,) = (line for name, line in test_command_lines.LINES if name == "queue")
    given = {key.removeprefix("--vars."): value for key, value in zip(options[::2], options[1::2], strict=True)}
    arguments = test_command_lines.words(line, **given)[3:]
    arguments[:2] = ["datasets.cfg", "training.cfg"]
    monkeypatch.setattr("sys.argv", ["queue", *arguments])
    run_step(main)
    asked, signals = tasks(), found["signals"]
    splitter = whole_splitter(
        plan_of(settings.load(Path("datasets.cfg")), Path("training.cfg")), Path("corpus/gold.jsonl")
    )
    assert {splitter.split_of(gold()[each["text"]]) for each in asked} == {"test"}
    assert {each["meta"]["reason"] for each in asked} == {"drawn at random"}
    assert "ORG" not in {label for each in asked for label in gold()[each["text"]].covered}
    assert 0 < len(asked) <= signals["test_left"]
    needed = -(-(30 - signals["support"]) * signals["scored"] // signals["support"])
    assert account()["request"]["limit"] == min(needed, signals["test_left"])
    assert f"30 take about {needed} more, at that rate" in found["recommendation"]["reason"]


def test_texts_drawn_by_another_split_than_the_corpus_has_are_said_to_be(run):
    said = "⚠ [split] test was another when the corpus was made; make it again: weasel run corpus"
    assert said in run("--texts", "test", "--split.test", 0.3)
    assert "when the corpus was made" not in run("--texts", "dev")


def test_binary_answers_alone_are_told_what_scores_need(project):
    """ORG has nothing but accepted and rejected spans, as ner.teach makes them."""
    Path("prodigy.db").unlink()
    marks = {"_view_id": "ner", "_is_binary": True}
    taught = [
        task(text, firms(text)[:1], answer="accept" if n % 3 else "reject", **marks) for n, text in enumerate(TEXTS)
    ]
    write_database(project / "prodigy.db", {"org_2024": taught})
    for name, *options in (("pull", "annotations"), ("merge", "annotations", "corpus")):
        assert step(project, f"scripts.{name}", "datasets.cfg", *options).returncode == 0
    said = " ".join(step(project, "scripts.corpus", "datasets.cfg", "training.cfg", "corpus").stdout.split())
    assert "The table counts accepted spans too; those in test are not scored" in said
    asked = "no text is covered as a whole for 1 label (ORG)"
    assert f"⚠ dev: {asked}; thresholds and probabilities need complete answers" in said
    assert f"⚠ test: {asked}; scores need complete answers" in said
    assert "weasel run queue . --vars.label ORG --vars.texts test" in said
    done = step(project, "scripts.evaluate", "--run", "ner", "--models", "training/ner")
    assert done.returncode == 0, done.stderr
    assert f"⚠ test: {asked}" in " ".join(done.stdout.split())
    said = " ".join(step(project, "scripts.next", "corpus", "metrics").stdout.split())
    assert "ORG: annotate more test texts (no test text has a complete answer for it) weasel run queue . --vars" in said


def test_models_of_the_training_before_rank_with_a_warning(project, run):
    announce([project / "training/ner/seed-0"])
    assert "⚠ the models are of the training before; the last one was stopped, or still runs" in run("--limit", 3)


def test_a_run_of_one_label_ranks_by_its_own_config_and_is_not_outdated(project, run, monkeypatch):
    """`train-label` makes no config, and the label that it trained knows these annotations."""
    relearned = project / "training/ner-ORG/seed-0/model-best"
    shutil.copytree(project / "training/ner/seed-0/model-best", relearned)
    meta = json.loads((relearned / "meta.json").read_text())
    digest = meta["labelwise"]["corpus"]
    meta["labelwise"] |= {"corpus": "both", "others": "before", "relearned": {"ORG": digest}}
    (relearned / "meta.json").write_text(json.dumps(meta))
    (project / "configs").mkdir()
    for label, is_outdated in (("ORG", False), ("PER", True)):
        options = [
            "datasets.cfg",
            "configs/ner-ORG.cfg",
            "--label",
            label,
            "--models",
            "training/ner-ORG",
            "--limit",
            2,
        ]
        done = step(project, "scripts.queue", *options)
        assert done.returncode == 0, done.stderr
        if label == "ORG":
            assert len(tasks()) == 2
        assert ("trained on another corpus" in done.stdout) is is_outdated


def test_tasks_are_as_prodigy_would_make_them(run):
    run("--limit", 20, "--prefill", "model")
    assert any(each["spans"] for each in tasks())
    for each in tasks():
        text, tokens = each["text"], each["tokens"]
        assert each["_input_hash"] == input_hash(text)
        assert each["_task_hash"] == task_hash(input_hash(text), each["spans"])
        assert each["_view_id"] == "ner_manual"
        assert "".join(token["text"] + " " * token["ws"] for token in tokens) == text
        for span in each["spans"]:
            assert span["label"] == "ORG"
            assert tokens[span["token_start"]]["start"] == span["start"]
            assert tokens[span["token_end"]]["end"] == span["end"]


def test_gold_spans_are_prefilled_and_rejected_ones_are_not(project, run):
    run("--limit", 1)
    text = tasks()[0]["text"]
    shutil.rmtree("queues")
    one = {"_view_id": "ner", "_is_binary": True}
    start, end, _ = firms(text)[0]
    with closing(sqlite3.connect("prodigy.db")) as database, database:
        add_task(database, [1], task(text, [(start, end, "ORG")], **one))
    prepare(project)
    run("--limit", 1000)
    (found,) = [each for each in tasks() if each["text"] == text]
    assert [(span["start"], span["end"]) for span in found["spans"]] == [(start, end)]
    assert not any(each["spans"] for each in tasks() if each["text"] != text)


@pytest.mark.parametrize(
    ("form", "name", "reader"),
    [
        ("prodigy", "tasks.jsonl", lambda path: ProdigyJsonl(path, ["ORG"])),
        ("doccano", "tasks.jsonl", lambda path: Doccano(path, ["ORG"], without_spans="annotated")),
        ("label_studio", "tasks.json", lambda path: LabelStudio(path, ["ORG"])),
    ],
)
def test_each_format_is_read_back(run, form, name, reader):
    said = run("--limit", 12, "--format", form, "--prefill", "model")
    path = Path("queues/ORG/001") / name
    if form == "label_studio":  # what is predicted is submitted
        found = json.loads(path.read_text())
        for each in found:
            each["annotations"] = [{"result": prediction["result"]} for prediction in each["predictions"]]
        path.write_text(json.dumps(found))
    answers, _, skipped = read(reader(str(path)))
    assert not skipped
    assert len(answers) == 12
    assert any(each.spans for each in answers)
    assert all("least certain about" in each.meta.get("reason", "least certain about") for each in answers)
    if form != "prodigy":
        block = said[said.index("[datasets.") : said.index("✔")]
        answers = path.with_name("answers" + path.suffix)
        shutil.copy(path, answers)
        Path("datasets.cfg").write_text(f"{CONFIG}\n{block}")
        config = settings.load(Path("datasets.cfg"))
        source = config.datasets["org_uncovered_001"]
        source.check()
        assert len(read(source)[0]) == 12


def suspect(text, kind="missing", annotated=(), proposed=(), **fields):
    spans = [Span(*span) for span in [*annotated, *proposed]]
    return Suspect(
        input_hash=input_hash(text), text=text, label="ORG", kind=kind, start=spans[0].start, end=spans[0].end,
        annotated=[Span(*span) for span in annotated], proposed=[Span(*span) for span in proposed],
        **({"reason": "Annotated elsewhere.", "found_by": ["surface_forms"], "tier": 1, "score": 1.0} | fields),
    )  # fmt: skip


def write_suspects(found, name="suspects.jsonl"):
    Path("corpus/review").mkdir(exist_ok=True)
    (Path("corpus/review") / name).write_bytes(msgspec.json.Encoder().encode_lines(found))


def test_suspects_are_reviewed_and_the_answer_decides(project, run):
    assert "weasel run suspects or weasel run consistency" in run("--kind", "suspects")
    overlooked, fine, gone = TEXTS[0], TEXTS[2], "no such text"
    found = [
        suspect(fine, "spurious", annotated=firms(fine), tier=2),
        suspect(overlooked, proposed=firms(overlooked)),
        suspect(gone, proposed=[(0, 2, "ORG")]),
        suspect(fine, "spurious", annotated=[(1, 3, "ORG")]),
        msgspec.structs.replace(suspect(TEXTS[3], proposed=[(0, 3, "PER")]), label="PER"),
    ]
    write_suspects(found)
    write_suspects(
        [suspect(overlooked, proposed=firms(overlooked), reason="Three models found it.")], "consistency.jsonl"
    )
    said = run("--kind", "suspects")
    assert "prodigy ner.manual org_suspects_001" in said
    assert "[datasets.org_suspects_001]" in said
    counts = account()["counts"]
    assert counts == {"read": 6, "queued": 3, "annotation changed since": 1, "other labels": 1,
                      "text no longer in the gold": 1}  # fmt: skip
    first, second = tasks()
    assert (first["text"], second["text"]) == (overlooked, fine)
    assert first["meta"]["reason"] == "Annotated elsewhere. Three models found it."
    assert [[span["label"] for span in version["spans"]] for version in first["versions"]] == [[], ["ORG"]]
    assert [len(version["spans"]) for version in second["versions"]] == [1, 0]
    decided = [each | {"answer": "accept", "_annotator_id": "eve"} for each in (first, second)]
    decided[0]["spans"] = first["versions"][1]["spans"]
    decided[1]["spans"] = second["versions"][0]["spans"]
    with closing(sqlite3.connect("prodigy.db")) as database, database:
        for each in decided:
            add_task(database, [1], each)
    prepare(project)
    for text in (overlooked, fine):
        assert [span for span in gold()[text].spans if span.label == "ORG"] == [Span(*span) for span in firms(text)]
        assert "ORG" in gold()[text].covered
    assert "nothing is left to ask" in run("--kind", "suspects")


def test_disputes_can_be_shown_without_spans_as_they_go_to_doccano(run):
    request = Request(label="ORG", kind="conflicts")
    assert usual_prefill(Target("doccano", "DOCCANO", "ORG"), request) == "none"
    run("--kind", "conflicts", "--prefill", "none", "--format", "doccano")
    (line,) = Path("queues/ORG/001/tasks.jsonl").read_text("utf8").splitlines()
    assert json.loads(line)["label"] == []


def test_conflicts_are_reviewed_and_the_answer_decides(project, run):
    said = run("--limit", 1)
    assert "1 conflict of ORG not asked about yet: --vars.kind conflicts" in said
    assert "ORG" in gold()[TEXTS[1]].unresolved
    run("--kind", "conflicts")
    (found,) = tasks(2)
    assert found["text"] == TEXTS[1]
    assert sorted(len(version["spans"]) for version in found["versions"]) == [0, 1]
    assert "nothing is left to ask" in run("--kind", "conflicts")
    with closing(sqlite3.connect("prodigy.db")) as database, database:
        add_task(
            database, [1], found | {"answer": "accept", "_annotator_id": "eve", "spans": found["versions"][1]["spans"]}
        )
    prepare(project)
    assert "ORG" in gold()[TEXTS[1]].covered
    assert not any(b"disagreement" in each for each in Path("corpus/conflicts.jsonl").read_bytes().splitlines())


def test_a_new_label_starts_at_random(run):
    assert "there is no label 'LOC' in the gold; there are ORG, PER" in run(label="LOC")
    said = run("--queue.order", "random", "--limit", 7, label="LOC")
    assert "[datasets.loc_uncovered]" in said
    assert len(tasks(label="LOC")) == 7


@pytest.mark.parametrize("options", [(), ("--texts", "test"), ("--queue.order", "random"), ("--kind", "suspects")])
@pytest.mark.parametrize(("label", "meant"), [("org", "ORG"), ("B-PER", "PER"), ("Person", "PER")])
def test_a_label_that_is_like_one_of_the_gold_stops_with_its_name(run, options, label, meant):
    assert f"there is no label '{label}' in the gold, but {meant}: --vars.label {meant}" in run(*options, label=label)
    assert not list(Path().glob("queues/*/0*"))


def test_a_new_label_starts_with_test_texts_only_where_the_config_says_random(run):
    assert "there is no label 'LOC' in the gold; there are ORG, PER" in run("--texts", "test", label="LOC")
    run("--texts", "test", "--queue.order", "random", "--limit", 3, label="LOC")
    assert len(tasks(label="LOC")) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kind", "all"), "there are uncovered, suspects, conflicts"),
        (("--format", "brat"), "there are prodigy, label_studio, doccano"),
        (("--kind", "suspects", "--texts", "test"), "--texts test: is for uncovered texts; suspects are of all splits"),
        (("--kind", "conflicts", "--prefill", "model"), "--prefill model: is for uncovered texts"),
        (("--texts", "all"), "there are train, dev, test"),
        (("--limit", 0), "must be 1 or more"),
    ],
)
def test_an_unknown_option_is_one_line(run, options, said):
    assert said in run(*options)
    assert not list(Path().glob("queues/ORG/*"))


def test_a_model_without_the_label_is_one_line(project, run):
    shutil.rmtree("training/ner")
    assert "train a model first: weasel run train" in run()
    teach(project, 0, labels=("PER",))
    assert "was not trained for ORG, only for PER" in run()
    spacy.load("training/ner/seed-0/model-best")
    assert not list(Path().glob("queues/ORG/*"))


words = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 1), max_size=4)


@given(candidates=st.lists(words, max_size=12))
def test_each_choice_is_the_most_informative_beside_those_before(candidates):
    chosen_for: dict[str, int] = {}
    left = set(range(len(candidates)))
    for chosen, gain in choose(candidates):
        gains = {number: informativeness(candidates[number], chosen_for) for number in left}
        assert gain == pytest.approx(max(gains.values()))
        assert gains[chosen] == pytest.approx(gain)
        left.remove(chosen)
        for word in main_words(candidates[chosen]):
            chosen_for[word] = chosen_for.get(word, 0) + 1
    assert not left


def test_models_that_disagree_are_less_certain_than_each_of_them():
    one, other = np.array([[0.9, 0.1, 0, 0, 0]]), np.array([[0.1, 0.9, 0, 0, 0]])
    assert entropy((one + other) / 2)[0] > entropy(one)[0] == pytest.approx(entropy(other)[0])


@pytest.mark.parametrize("options", [{"rename": {"ORG": "FIRM"}}, {"annotators": ["ana"]}])
def test_answers_do_not_go_where_pull_would_not_take_them(options):
    source = prodigy_database("prodigy.db", "org_2024", ["ORG"])
    queue = SimpleNamespace(request=Request(label="ORG"))
    for found, expected in ((DatasetOptions(), "org_2024"), (DatasetOptions(**options), "org_uncovered")):
        name, block = _destination(queue, Path("001"), {"org": source}, {"org": found}, {})
        assert (name, block is None) == (expected, expected == "org_2024")


def test_complete_answers_do_not_go_into_a_dataset_of_single_spans():
    """Prodigy would not show a text again about which the dataset of ner.teach has an answer."""
    names = ["org_teach", "org_v1", "org_v2"]
    sources = {name: prodigy_database("prodigy.db", name, ["ORG"]) for name in names}
    options = dict.fromkeys(names, DatasetOptions())
    queue = SimpleNamespace(request=Request(label="ORG"))
    for covering, expected in (
        ({"org_teach": 0, "org_v1": 20, "org_v2": 300}, "org_v2"),
        ({"org_teach": 0}, "org_v1"),
        ({"org_teach": 0, "org_v1": 0, "org_v2": 0}, "org_uncovered"),
    ):
        assert _destination(queue, Path("001"), sources, options, covering)[0] == expected


def test_the_datasets_of_a_label_are_known_by_what_they_cover(project):
    assert covering_datasets(Path("corpus"), "ORG") == {"org": KNOWN - 1, "per": 0}  # in one, two people disagree
    assert covering_datasets(Path("corpus"), "new") == {"org": 0, "per": 0}
