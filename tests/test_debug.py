"""debug: spaCy's checks run, then ours."""

from __future__ import annotations

import json

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from scripts.building.checks import check_corpus, odd_boundaries
from scripts.building.splits import read_corpus
from scripts.merging.duplicates import shingles, similarity
from tests.project import ROOT
from tests.scored import covered_doc, one_line, sign, step, write_corpus

NLP = spacy.blank("en")
CONFIG = ROOT / "configs" / "ner_transition.cfg"
LONG = "The committee of the national society for bees met Ada in the old town hall of Rome on a cold day in May"


def doc(text, *spans, labels=("ORG", "PER")):
    return covered_doc(NLP, text, spans, labels)


@pytest.fixture
def project(tmp_path):
    train = [doc(f"IBM hired Ada number {number} .", (0, 1, "ORG"), (2, 3, "PER")) for number in range(30)]
    train.append(doc(LONG))
    dev = [doc("Nothing in here at all"), doc("Bob - likes honey", (0, 2, "PER"))]
    test = [doc(f"{LONG} again"), doc("Rome is old", (0, 1, "LOC"), labels=("LOC",))]
    write_corpus(tmp_path / "corpus", test, train=train, dev=dev)
    sign(tmp_path / "corpus", spans={"ORG": {"train": 30}, "PER": {"train": 30, "dev": 1}, "LOC": {"test": 1}})
    return tmp_path


def debug(project, *options):
    return step(project, "scripts.debug", "--config", CONFIG, *options)


def test_both_kinds_of_checks_are_shown(project):
    done = debug(project)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "31 training docs" in said
    assert "Low number of examples for label 'ORG' (30)" in said
    assert "⚠ 1 label without an entity in train: LOC (in test)" in said
    assert "⚠ 1 text of dev or test with a near-duplicate in another split" in said
    assert "1 × PER ends with '-'" in said
    assert "Traceback" not in done.stdout + done.stderr


def test_warnings_are_listed_and_fail_only_if_asked(project):
    found = check_corpus(project / "corpus", read_corpus(project / "corpus/split.json"))
    assert found.not_in_train == {"LOC": ["test"]}
    (pair,) = found.near_duplicates
    assert (pair.split, pair.other_split, pair.other_text) == ("test", "train", LONG)
    (odd,) = found.boundaries
    assert (odd.span, odd.split) == ("Bob -", "dev")
    done = debug(project, "--fail-on-warnings")
    assert done.returncode == 1
    assert "✘ corpus: has warnings; corpus/debug.json lists them" in done.stderr
    listed = json.loads((project / "corpus/debug.json").read_text())
    assert listed["boundaries"][0]["boundary"] == "ends with '-'"


def test_a_corpus_that_spacy_stumbles_over_is_still_checked(project):
    done = debug(project, "--config", ROOT / "configs/ner.cfg", "--components.odd", 1)
    assert done.returncode == 2  # an option there is not
    (project / "corpus/labels.json").write_text("{")
    sign(project / "corpus")
    done = debug(project)
    assert done.returncode == 0, done.stderr
    assert "⚠ spaCy's checks stopped" in done.stdout
    assert "Our checks" in done.stdout


def test_before_there_is_a_corpus(tmp_path):
    assert "make the corpus first" in one_line(debug(tmp_path))


@pytest.mark.parametrize(
    ("span", "odd"),
    [
        ("Ada", []), ("Acme Inc.", []), ("(US)", []), ("C++", []), ("5 %", []), ("James'", []), ("J. (Jim)", []),
        ("Ada,", ["ends with ','"]), ("-Ada", ["begins with '-'"]), ("(Ada", ["begins with '('"]), ("#42", []),
        (" Ada ", ["begins with ' '", "ends with ' '"]), ("Ada)", ["ends with ')'"]),
    ],
)  # fmt: skip
def test_odd_boundaries(span, odd):
    assert list(odd_boundaries(span)) == odd


@given(st.text(max_size=40), st.text(max_size=40))
def test_similarity_is_jaccard_of_shingles(one, other):
    from scripts.core.texts import normalized

    def expected_shingles(text):
        letters = normalized(text)
        return {letters[start : start + 5] for start in range(max(1, len(letters) - 4))} if letters else set()

    union = expected_shingles(one) | expected_shingles(other)
    expected = len(expected_shingles(one) & expected_shingles(other)) / len(union) if union else 0
    assert similarity(shingles(one), shingles(other)) == pytest.approx(expected)
