"""Word vectors: of which sources a pipeline is built, what is kept, and how training takes them."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import spacy
from spacy.vectors import Vectors

from tests.scored import one_line, step
from tests.test_train import CONFIG, project, train  # noqa: F401 (a fixture)

WIDTH = 6
FREQUENT = ["the", ",", "in", "hired", "says", "ibm", "ada", "bob", "rome"]


def lines(words, start=1):
    """A vector for each word: the number of its row, in all dimensions."""
    return [" ".join([word, *[f"{row}.5"] * WIDTH]) for row, word in enumerate(words, start)]


def build(folder, source, *options):
    return step(folder, "scripts.vectors", CONFIG, f"--vectors={source}", *options)


def built(folder):
    return spacy.load(folder / "assets/vectors/pipeline").vocab


def first(vocab, word):
    return float(vocab.get_vector(word)[0])


@pytest.mark.parametrize("size", [[], [f"{len(FREQUENT)} {WIDTH}"]], ids=["GloVe", "word2vec, fastText"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_text_files_are_read(project, size, pack):  # noqa: F811
    (project / "vec.txt").write_bytes(pack("\n".join([*size, *lines(FREQUENT)]).encode()))
    done = build(project, "vec.txt")
    assert done.returncode == 0, done.stderr
    vocab = built(project)
    assert vocab.vectors.shape == (len(FREQUENT), WIDTH)
    assert [first(vocab, word) for word in FREQUENT] == [row + 0.5 for row in range(1, len(FREQUENT) + 1)]
    assert f"{len(FREQUENT)} vectors of {WIDTH} dimensions" in done.stdout


def test_words_in_lower_case_are_known_with_capitals(project):  # noqa: F811
    (project / "vec.txt").write_text("\n".join(lines(FREQUENT)))
    build(project, "vec.txt")
    vocab = built(project)
    assert [first(vocab, word) for word in ("ada", "Ada", "ADA", "IBM")] == [7.5, 7.5, 7.5, 6.5]


def test_words_with_capitals_are_as_in_the_source(project):  # noqa: F811
    (project / "vec.txt").write_text("\n".join(lines(["Turkey", "turkey", "apple"])))
    build(project, "vec.txt")
    vocab = built(project)
    assert [first(vocab, "Turkey"), first(vocab, "turkey")] == [1.5, 2.5]
    assert not vocab.has_vector("Apple")


def test_the_most_frequent_vectors_and_those_of_the_corpus_are_kept(project):  # noqa: F811
    rare = [f"x{number}" for number in range(50)]
    (project / "vec.txt").write_text("\n".join(lines([*FREQUENT[:3], *rare, "lima"])))
    assert build(project, "vec.txt", "--rows", 4).returncode == 0
    vocab = built(project)
    assert vocab.has_vector("x0")
    assert not vocab.has_vector("x1")
    assert first(vocab, "Lima") == 54.5  # in a text, though the rarest


def test_lines_without_a_vector_are_skipped_and_counted(project):  # noqa: F811
    damaged = ["oslo 1 2", "bern " + "x " * WIDTH, ""]
    (project / "vec.txt").write_text("\n".join([*lines(FREQUENT), *damaged, *lines(["lima"])]))
    done = build(project, "vec.txt")
    assert "3 lines without a word and its numbers: skipped" in done.stdout
    assert built(project).has_vector("lima")
    assert not built(project).has_vector("bern")


def test_vectors_of_floret_find_every_word(project):  # noqa: F811
    buckets = [f"20 {WIDTH} 2 3 2 2166136261 < >", *lines(map(str, range(20)), start=0)]
    (project / "vec.floret").write_text("\n".join(buckets))
    done = build(project, "vec.floret")
    assert done.returncode == 0, done.stderr
    assert f"20 vectors of {WIDTH} dimensions for all words, " in " ".join(done.stdout.split())
    assert built(project).vectors.mode == "floret"
    assert built(project).has_vector("never-seen")


def test_a_pipeline_gives_its_vectors_and_words_that_share_one(project):  # noqa: F811
    nlp = spacy.blank("en")
    keys = [nlp.vocab.strings.add(word) for word in ("Rome", "Oslo", "IBM", "Roma")]
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=np.eye(3, dtype="f"), keys=keys[:3])
    nlp.vocab.vectors.add(keys[3], row=0)
    nlp.to_disk(project / "theirs")
    assert build(project, "theirs").returncode == 0
    vocab = built(project)
    assert vocab.vectors.shape == (3, 3)
    assert (vocab.get_vector("Roma") == vocab.get_vector("Rome")).all()


@pytest.mark.parametrize(
    ("source", "said"),
    [("nowhere", "nowhere: is no file, no installed pipeline"), ("empty.txt", "no word vectors")],
)
def test_what_holds_no_vectors_is_refused_and_what_was_built_stays(project, source, said):  # noqa: F811
    (project / "empty.txt").write_text("")
    (project / "vec.txt").write_text("\n".join(lines(FREQUENT)))
    assert build(project, "vec.txt").returncode == 0
    assert said in one_line(build(project, source))
    assert built(project).vectors.shape == (len(FREQUENT), WIDTH)


def test_a_language_without_known_vectors_says_what_to_set(project):  # noqa: F811
    (project / "de.cfg").write_text(CONFIG.read_text().replace('lang = "en"', 'lang = "de"'))
    said = one_line(step(project, "scripts.vectors", "de.cfg"))
    assert 'lang = "de"' in said
    assert "--vars.vectors" in said


# Training


def test_training_uses_what_was_built_and_says_what_it_knows(project):  # noqa: F811
    (project / "vec.txt").write_text("\n".join(lines([*FREQUENT, "cyd", "dan"])))
    build(project, "vec.txt")
    done = train(project)
    assert done.returncode == 0, done.stderr
    assert "Vectors of assets/vectors/pipeline: " in done.stdout
    nlp = spacy.load(project / "training/ner/seed-0/model-best")
    assert nlp.vocab.vectors.shape == (len(FREQUENT) + 2, WIDTH)
    done = train(project, "--vectors", "none")
    assert "Vectors" not in done.stdout
    assert not spacy.load(project / "training/ner/seed-0/model-best").vocab.vectors.size


def test_vectors_that_know_next_to_nothing_are_refused(project):  # noqa: F811
    (project / "vec.txt").write_text("\n".join(lines(["talo", "vesi", "kala"])))
    build(project, "vec.txt")
    said = one_line(train(project))
    assert "0.0% of the words in corpus/train have a vector" in said
    assert "--vars.vectors none" in said
    assert not (project / "training/ner/seed-0").exists()


def test_fetched_vectors_of_english(project):  # noqa: F811
    done = build(project, "")
    if "needs pip and the network" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    vocab = built(project)
    assert vocab.vectors.shape == (20_000, 300)
    assert vocab.has_vector("Oslo")
    assert json.loads((project / "assets/vectors/pipeline/meta.json").read_bytes())["pipeline"] == []
