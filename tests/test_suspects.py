"""Suspects: folds, disagreements with the ensemble, tiers and counts, with real small models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import msgspec
import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.vectors import Vectors

from scripts.building.reading import read_docs
from scripts.building.splits import shard_files
from scripts.checking import consistency
from scripts.checking.review import Suspect, load_suspects
from scripts.core.answers import GoldText, Span
from scripts.core.errors import UserError
from scripts.core.manifest import Manifest
from scripts.core.texts import input_hash
from scripts.merging.merge import Resources, merge
from scripts.merging.merged import read_gold
from scripts.model.label_heads import COVERED
from scripts.suspecting.cross_validation import (
    CrossValidation,
    Ensemble,
    PredictedEntity,
    SpanProbability,
    TextPrediction,
    assign_folds,
    write_folds,
)
from scripts.suspecting.ensemble import compare, confirm, text_key
from scripts.suspects import main
from tests import annotated
from tests.project import ROOT
from tests.scored import step

CONFIG = ROOT / "configs" / "ner.cfg"
NAMES = ["Ada", "Bob", "Cyd", "Dan", "Eve", "Fay", "Gus"]
PLACES = ["Rome", "Oslo", "Lima", "Bern"]
FORGOTTEN, NOT_COVERED = 7, 12
OPTIONS = (
    ROOT / "configs" / "datasets.cfg", CONFIG, "corpus", "training/ner-suspects",
    "--suspects.folds", 2, "--suspects.models", 1, "--suspects.steps", 40,
    "--training.optimizer.learn_rate.warmup_steps", 5, "--training.batcher.size", 100,
)  # fmt: skip


def gold(text, spans=(), covered=("LOC", "ORG", "PER"), **more):
    known = {"accepted": [], "rejected": [], "unresolved": [], "sources": [], "meta": {}} | more
    spans = sorted(Span(*span) for span in spans)
    return GoldText(input_hash=input_hash(text), text=text, spans=spans, covered=sorted(covered), **known)


# Folds


SOME = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(PLACES)), min_size=8, max_size=40)


def text(number, name, place):
    return gold(f"{name} is in {place} {number}", [(0, len(name), "PER"), (len(name) + 7, len(name) + 11, "LOC")])


@given(SOME, st.integers(2, 4))
def test_every_text_is_in_one_fold_and_groups_are_not_divided(pairs, folds):
    texts = [text(number, *pair) for number, pair in enumerate(pairs)]
    found = assign_folds(texts, folds)
    assert len(found.of_text) == len(texts)
    assert set(found.of_text.tolist()) == set(range(folds))
    sizes = np.bincount(found.of_text)
    assert max(sizes) - min(sizes) <= max(1, len(texts) // (2 * folds))
    for group in set(found.groups.tolist()):
        assert len(set(found.of_text[found.groups == group].tolist())) == 1
    again = assign_folds(texts, folds)
    assert again.of_text.tolist() == found.of_text.tolist()


def test_texts_of_a_rare_form_are_in_one_fold_and_those_of_a_common_one_are_not():
    texts = [text(number, NAMES[number % 7] if number % 10 else "Zoe", "Rome") for number in range(40)]
    found = assign_folds(texts, 4)
    assert len({found.of_text[number] for number in range(0, 40, 10)}) == 1
    assert 0 < found.unseen < 1


def test_texts_that_differ_only_in_punctuation_are_in_one_fold():
    found = assign_folds([gold(f"{number // 2}{'!' if number % 2 else ''}") for number in range(12)], 3)
    assert all(found.of_text[number] == found.of_text[number + 1] for number in range(0, 12, 2))


def test_too_few_texts():
    with pytest.raises(UserError, match="3 texts are too few for 2 folds"):
        assign_folds([gold(str(number)) for number in range(3)], 2)


# Disagreements with the ensemble


def predicted(*entities, annotated=(), models=2):
    """The same prediction of several models; annotated spans as (start, end, exact, outside)."""
    found = [PredictedEntity(*entity) for entity in entities]
    probabilities = [SpanProbability(*one) for one in annotated]
    return [TextPrediction(0, found, probabilities) for _ in range(models)]


def suspected(text, predictions):
    return [(one.kind, one.label, one.start, one.end, one.tier) for one in compare(text, predictions)]


WORDS = "Ada Lace is in Rome"


def test_an_entity_predicted_where_nothing_is_annotated_is_missing():
    (one,) = compare(gold(WORDS), predicted((15, 19, "LOC", 0.9)))
    assert (one.kind, one.label, one.tier, one.score) == ("missing", "LOC", 2, 0.9)
    assert (one.annotated, one.proposed) == ([], [Span(15, 19, "LOC")])
    assert "All models not trained on this text predict LOC" in one.reason
    assert suspected(gold(WORDS), predicted((15, 19, "LOC", 0.6))) == [("missing", "LOC", 15, 19, 4)]
    divided = [*predicted((15, 19, "LOC", 0.9), models=1), *predicted(models=1)]
    assert suspected(gold(WORDS), divided) == [("missing", "LOC", 15, 19, 4)]


def test_other_labels_other_boundaries_and_nothing():
    known = gold(WORDS, [(0, 8, "PER")])
    assert suspected(known, predicted((0, 8, "ORG", 0.9), annotated=[(0, 8, 0.1, 0.9)])) == [("type", "PER", 0, 8, 3)]
    assert suspected(known, predicted((0, 3, "PER", 0.9), annotated=[(0, 8, 0.1, 0.1)])) == [
        ("boundary", "PER", 0, 8, 3)
    ]
    assert suspected(known, predicted((0, 3, "ORG", 0.9), annotated=[(0, 8, 0.1, 0.9)])) == [("type", "PER", 0, 8, 4)]
    assert suspected(known, predicted(annotated=[(0, 8, 0.1, 0.9)])) == [("spurious", "PER", 0, 8, 5)]
    assert suspected(known, predicted((0, 8, "PER", 0.9), annotated=[(0, 8, 0.9, 0.1)])) == []


def test_labels_that_are_not_covered_have_no_suspects():
    partly = gold(WORDS, covered=["PER"], accepted=[Span(15, 19, "LOC")])
    assert suspected(partly, predicted((15, 19, "LOC", 0.9), (0, 3, "ORG", 0.9))) == []


def test_a_misaligned_span_is_predicted_if_its_tokens_are():
    known = gold(WORDS, [(0, 7, "PER")])
    assert suspected(known, predicted((0, 8, "PER", 0.9), annotated=[(0, 8, 0.9, 0.0)])) == []


def test_suspects_of_surface_forms_too_are_tier_1():
    (one,) = compare(gold(WORDS), predicted((15, 19, "LOC", 0.9)))

    def tier(*args, **fields):
        return confirmed(*args, **fields).tier

    def confirmed(label="LOC", start=15, labels=("LOC",), text=WORDS, score=0.6):
        proposed = [Span(start, start + 4, name) for name in labels]
        changed = {"label": label, "start": start, "end": start + 4, "proposed": proposed, "score": score}
        form = msgspec.structs.replace(one, text="", reason="Elsewhere it is.", **changed)
        return confirm(one, {text_key(one.input_hash, text): [form]})

    assert confirmed().score == pytest.approx(one.score * 0.6)
    assert (confirmed(score=0.55).found_by, confirmed(score=0.55).score) == (["models"], one.score)  # .495 together
    assert (tier(), tier(text="another"), tier(start=3), tier("ORG", labels=["ORG"])) == (1, 2, 2, 2)


# The step


def answers():
    """Easy texts. In one a place was forgotten; one is not covered for places."""
    for number in range(60):
        name, place = NAMES[number % 7], PLACES[number % 4]
        words = f"IBM hired {name} in {place} , says {NAMES[number % 5]} {number} ."
        start = words.index(place)
        yield annotated.task(words, (0, 3, "ORG"), labels=["ORG"], dataset="org")
        if number != NOT_COVERED:
            spans = [] if number == FORGOTTEN else [(start, start + 4, "LOC")]
            yield annotated.task(words, *spans, labels=["LOC"], dataset="loc")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The folder, and the output of the step."""
    folder = tmp_path_factory.mktemp("project")
    manifest = annotated.write(folder / "annotations", list(answers()))
    merge(manifest, folder / "annotations", folder / "corpus", "majority", Resources(64, 1))
    done = step(folder, "scripts.suspects", *OPTIONS)
    assert done.returncode == 0, done.stderr
    return folder, " ".join(done.stdout.split())


def again(folder, monkeypatch, *options):
    """Run the step here."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["suspects", *map(str, (*OPTIONS, *options))])
    main()


def written(folder):
    return (folder / "corpus/review/suspects.jsonl").read_bytes()


def lines(folder):
    return msgspec.json.Decoder(Suspect).decode_lines(written(folder))


def test_a_forgotten_place_is_the_first_suspect(project):
    folder, _ = project
    first = lines(folder)[0]
    assert (first.kind, first.label, first.tier, first.found_by) == ("missing", "LOC", 2, ["models"])
    assert f" {FORGOTTEN} ." in first.text
    assert first.text[first.start : first.end] == PLACES[FORGOTTEN % 4]
    assert not any(f" {NOT_COVERED} ." in one.text and one.label == "LOC" for one in lines(folder))


def test_the_account_adds_up(project):
    folder, said = project
    found, every = load_suspects(folder / "corpus"), lines(folder)
    counts = {
        (label, kind, tier): number
        for label, kinds in found.labels.items()
        for kind, tiers in kinds.items()
        for tier, number in tiers.items()
    }
    assert counts == Counter((one.label, one.kind, one.tier) for one in every)
    assert found.suspects == len(every)
    assert [(one.tier, -one.score) for one in every] == sorted((one.tier, -one.score) for one in every)
    assert "60 texts of train, dev and test in 2 folds; 2 models trained" in said
    assert "tier 1 needs surface forms: weasel run consistency" in said
    assert sorted(path.name for path in (folder / "training/ner-suspects").iterdir()) == [
        ".lock", "fold-0-seed-0.jsonl", "fold-1-seed-0.jsonl", "predictions.json",
    ]  # fmt: skip


def test_a_model_is_not_trained_again_and_would_predict_the_same(project, monkeypatch, capsys):
    folder, _ = project
    before = written(folder)
    predictions = folder / "training/ner-suspects/fold-1-seed-0.jsonl"
    content = predictions.read_bytes()
    predictions.unlink()
    again(folder, monkeypatch)
    assert "2 models trained, 1 of them in an earlier run" in " ".join(capsys.readouterr().out.split())
    assert predictions.read_bytes() == content
    assert written(folder) == before


def test_vectors_of_other_content_at_the_same_path_train_the_models_again(project, monkeypatch, capsys):
    folder, _ = project
    nlp = spacy.blank("en")
    words = [*NAMES, *PLACES, "IBM", "hired", "in", "says"]
    keys = [nlp.vocab.strings.add(word) for word in words]

    def trained(factor):
        data = factor * np.eye(len(words), dtype="f")
        nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=data, keys=keys)
        nlp.to_disk(folder / "vectors")
        again(folder, monkeypatch, "--vectors", "vectors", "--suspects.steps", 4)
        return " ".join(capsys.readouterr().out.split())

    assert "2 of them in an earlier run" not in trained(1)
    before = written(folder)
    assert "2 of them in an earlier run" not in trained(9)
    assert written(folder) != before
    assert "2 of them in an earlier run" in trained(9)


def test_one_label_and_surface_forms(project, monkeypatch):
    folder, _ = project
    manifest = msgspec.json.decode((folder / "annotations/manifest.json").read_bytes(), type=Manifest)
    consistency.check(folder / "corpus", folder / "annotations", manifest, 1)
    again(folder, monkeypatch, "--label", "LOC")
    first = lines(folder)[0]
    assert (first.tier, first.found_by) == (1, ["surface_forms", "models"])
    assert {one.label for one in lines(folder)} == {"LOC"}
    assert load_suspects(folder / "corpus").label == "LOC"


def test_no_model_predicts_a_text_it_was_trained_on(project, tmp_path):
    folder, _ = project
    texts = list(read_gold(folder / "corpus/gold.jsonl"))
    folds = assign_folds(texts, 3)
    plan = CrossValidation(Ensemble(CONFIG, {}, -1, 3, [0]), folder / "corpus/gold.jsonl", ["LOC", "ORG"], folds, "")
    write_folds(plan, tmp_path)
    for number in range(3):
        own = {text.text for text, fold in zip(texts, folds.of_text, strict=True) if fold == number}
        shards = [shard for split in ("train", "dev") for shard in shard_files(tmp_path / f"for-{number}" / split)]
        docs = list(read_docs(shards, spacy.blank("en").vocab))
        assert sorted(doc.text for doc in docs) == sorted({text.text for text in texts} - own)
        not_covered = [doc for doc in docs if f" {NOT_COVERED} ." in doc.text]
        assert all({span.label_ for span in doc.spans[COVERED]} == {"ORG"} for doc in not_covered)
        assert list((tmp_path / f"for-{number}/dev").glob("*.spacy"))


def test_an_interrupted_run_leaves_the_previous_suspects(project):
    folder, _ = project
    before = written(folder)
    command = [sys.executable, "-m", "scripts.suspects", *map(str, OPTIONS), "--training.dropout", "0.3"]
    running = subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )  # fmt: skip
    work = folder / "training/ner-suspects/.tmp-work"
    while not list(work.glob("model-*")) and running.poll() is None:
        time.sleep(0.05)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    assert written(folder) == before
    assert load_suspects(folder / "corpus")


def test_suspects_of_other_annotations_are_outdated(project):
    folder, _ = project
    path = folder / "corpus/review/suspects.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"gold": "another"}))
    with pytest.raises(UserError, match="have changed since; find them again: weasel run suspects"):
        load_suspects(folder / "corpus")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--suspects.folds", 1], "folds = 1"),
        (["--suspects.models", 0], "models = 0"),
        (["--suspects.steps", "few"], "steps = 'few'"),
        (["--suspects.folds", 40], "60 texts are too few for 40 folds"),
        (["--label", "PER"], "there is no label 'PER' in the gold; there are LOC, ORG"),
    ],
)
def test_invalid_options(project, monkeypatch, options, said):
    with pytest.raises(UserError, match=said):
        again(project[0], monkeypatch, *options)
