"""From the tasks of a Prodigy dataset to the gold: what somebody answered is covered, and nothing else."""

from __future__ import annotations

import json

import pytest

from scripts.core.settings import DatasetOptions
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from tests.prodigy import line, task
from tests.project import fail

ADA, BOB = "Ada sings.", "Bob sleeps."


@pytest.fixture
def gold(tmp_path):
    """The gold of datasets by text: its spans, what it covers, and what is accepted and rejected in the rest."""

    def make(labels, options=None, **datasets):
        sources = {}
        for name, tasks in datasets.items():
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(line, tasks)), "utf8")
            sources[name] = ProdigyJsonl(str(tmp_path / f"{name}.jsonl"), labels)
        options = {name: DatasetOptions(**(options or {})) for name in datasets}
        manifest, _ = pull(sources, tmp_path / "in", 0.5, 1, options=options)
        merge(manifest, tmp_path / "in", tmp_path / "out", "majority", Resources(128, 1), options=options)
        texts = map(json.loads, (tmp_path / "out/gold.jsonl").read_text("utf8").splitlines())
        return {one["text"]: [said(one, "spans"), one["covered"], *(said(one, key) for key in KEYS)] for one in texts}

    return make


KEYS = ("accepted", "rejected")


def said(text, key):
    return [f"{text['text'][span['start'] : span['end']]}/{span['label']}" for span in text[key]]


def test_categories_in_the_dataset_of_names_cover_nothing(gold):
    answers = [
        task(ADA, [(0, 3, "PER")]),
        task(ADA, _view_id="choice", accept=["MUSIC"], _timestamp=1_900_000_000),
        task(BOB, _view_id="choice", accept=["SLEEP"]),
        {"text": "Cleo runs.", "label": "SPORTS", "answer": "reject", "_view_id": "classification"},
    ]
    assert gold(["PER"], names=answers) == {ADA: [["Ada/PER"], ["PER"], [], []]}


def test_rejected_and_ignored_texts_are_not_covered(gold):
    found = gold(
        ["PER"],
        names=[
            task(ADA, [(0, 3, "PER")]),
            task(BOB, [(0, 3, "PER")], answer="reject"),
            task("It rains.", answer="reject"),
            task("Cleo runs.", answer="ignore"),
            task("Nobody is here."),
        ],
    )
    assert {text: covered for text, (_, covered, *_) in found.items() if covered} == {
        ADA: ["PER"], "Nobody is here.": ["PER"]
    }  # fmt: skip
    assert [spans for spans, *_ in found.values() if spans] == [["Ada/PER"]]


def test_the_latest_review_decides(gold):
    def review(spans, time):
        versions = [task(ADA, [(0, 3, "PER")]), task(ADA, [])]
        return task(ADA, spans, _view_id="review", view_id="ner_manual", versions=versions, _timestamp=time)

    found = gold(["PER"], checked=[review([(0, 3, "PER")], 1_800_000_000), review([(4, 9, "PER")], 1_900_000_000)])
    assert found == {ADA: [["sings/PER"], ["PER"], [], []]}


def test_a_binary_answer_in_a_dataset_of_complete_ones_is_about_its_span(gold):
    answers = [task(ADA, [(0, 3, "PER")]), task(BOB, [(0, 3, "PER")], _view_id="ner", _is_binary=True)]
    assert gold(["PER"], names=answers) == {
        ADA: [["Ada/PER"], ["PER"], [], []],
        BOB: [[], [], ["Bob/PER"], []],
    }


def test_old_answers_of_ner_teach_cover_nothing(gold):
    def teach(text, answer):
        span = {"start": 0, "end": 3, "text": text[:3], "label": "PER", "score": 0.5, "source": "model"}
        return {"text": text, "spans": [span], "meta": {"score": 0.5}, "answer": answer}

    assert gold(["PER"], names=[teach(ADA, "accept"), teach(BOB, "reject")]) == {
        ADA: [[], [], ["Ada/PER"], []],
        BOB: [[], [], [], ["Bob/PER"]],
    }


def test_a_span_that_is_rejected_is_not_in_the_gold(gold):
    answer = task("Ada met Bob.", [(0, 3, "PER"), (8, 11, "PER")])
    answer["spans"][0]["answer"] = "reject"
    assert gold(["PER"], names=[answer]) == {"Ada met Bob.": [["Bob/PER"], ["PER"], [], []]}


def test_one_annotator_of_two_and_our_name_of_the_label(gold):
    answers = [
        task(ADA, [(0, 3, "PER")], _session_id="names-ana"),
        task(ADA, [], _session_id="names-ben"),
        task(BOB, [(0, 3, "PER")], _session_id="names-ben"),
    ]
    assert gold(["PER"], {"annotators": ["ana"], "rename": {"PER": "PERSON"}}, names=answers) == {
        ADA: [["Ada/PERSON"], ["PERSON"], [], []]
    }


def test_import_says_why_a_dataset_of_categories_has_nothing(tmp_path):
    category = {"text": ADA, "label": "MUSIC", "answer": "accept", "_input_hash": 1, "_view_id": "classification"}
    (tmp_path / "categories.jsonl").write_text(line(category))
    assert "1 × no answer about spans: classification" in fail(tmp_path, "import", "categories.jsonl")
