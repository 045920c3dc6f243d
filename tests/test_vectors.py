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
    numbers = ["nan " * WIDTH, "inf " * WIDTH, "1e400 " * WIDTH, "1.5 " * (WIDTH + 1)]
    damaged = ["oslo 1 2", "bern " + "x " * WIDTH, "", *(f"bern {each}" for each in numbers)]
    (project / "vec.txt").write_text("\n".join([*damaged, *lines(FREQUENT), *lines(["lima", "Boeing 747"])]))
    done = build(project, "vec.txt")
    assert "7 lines without a word and its numbers: skipped" in done.stdout
    assert built(project).has_vector("Boeing 747")
    assert not built(project).has_vector("bern 1.5")
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


def test_a_file_that_is_cut_or_is_not_floret_s_is_one_line(project):  # noqa: F811
    packed = gzip.compress("\n".join(lines([f"word{number}" for number in range(500)])).encode())
    (project / "cut.vec.gz").write_bytes(packed[: len(packed) // 2])
    assert "cut.vec.gz: the gzip file is damaged or incomplete" in one_line(build(project, "cut.vec.gz"))
    (project / "odd.txt").write_text("3 10 2 3 4 < >\n" + "\n".join(lines(FREQUENT)))
    assert "odd.txt: begins as a file of floret's, but is none" in one_line(build(project, "odd.txt"))
    (project / "nan.txt").write_text(
        f"2 {WIDTH} 2 3 2 2166136261 < >\n" + "\n".join([*lines(["0"]), "1" + " nan" * WIDTH])
    )
    assert "nan.txt: has a vector that is not of numbers alone" in one_line(build(project, "nan.txt"))
    assert not (project / "assets/vectors/pipeline").exists()


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


LAYERS = spacy.util.load_config(CONFIG)["components"]["label_heads"]["model"]["tok2vec"]
STILL = ["--training.optimizer.learn_rate.initial_rate", 0]


def layers(nlp, name):
    """The parameters of a component's layers, but for what follows them in a parser."""
    tok2vec = nlp.get_pipe(name).model.get_ref("tok2vec")
    inner = tok2vec.layers[0] if name == "ner" else tok2vec
    return [node.get_param(param) for node in inner.walk() for param in node.param_names if node.has_param(param)]


def with_ner(width):
    """A pipeline of somebody else: an `ner` over vectors."""
    nlp = spacy.blank("en")
    words = ["Rome", "Oslo", "IBM", "Ada", "Bob", "hired", "in", "says", "Cyd"]
    keys = [nlp.vocab.strings.add(word) for word in words]
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=np.eye(len(words), dtype="f"), keys=keys)
    embed = {**LAYERS["embed"], "width": width, "include_static_vectors": True}
    tok2vec = {**LAYERS, "embed": embed, "encode": {**LAYERS["encode"], "width": width}}
    architecture = {"@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner", "hidden_width": 8}
    options = {"extra_state_tokens": False, "maxout_pieces": 2, "use_upper": False, "nO": None}
    nlp.add_pipe("ner", config={"model": {**architecture, **options, "tok2vec": tok2vec}}).add_label("NAME")
    nlp.initialize()
    return nlp


def test_heads_start_from_the_layers_of_an_ner_of_their_shape(project):  # noqa: F811
    theirs = with_ner(96)
    theirs.to_disk(project / "theirs")
    assert "with layers to start from" in " ".join(build(project, "theirs").stdout.split())
    done = train(project, *STILL)
    assert done.returncode == 0, done.stderr
    assert "Layers start from assets/vectors/pipeline/tok2vec.bin" in done.stdout
    found = layers(spacy.load(project / "training/ner/seed-0/model-best"), "label_heads")
    for mine, their in zip(found, layers(theirs, "ner"), strict=True):
        np.testing.assert_allclose(mine, their, rtol=1e-5)
    done = train(project, *STILL, "--paths.init_tok2vec", "null")
    assert "Layers start" not in done.stdout
    other = layers(spacy.load(project / "training/ner/seed-0/model-best"), "label_heads")
    assert not all(np.allclose(mine, their) for mine, their in zip(other, found, strict=True))


def test_layers_of_another_shape_are_left_alone(project):  # noqa: F811
    with_ner(64).to_disk(project / "theirs")
    build(project, "theirs")
    done = train(project)
    assert done.returncode == 0, done.stderr
    assert "Layers start" not in done.stdout
    assert "Vectors of assets/vectors/pipeline" in done.stdout


def test_vectors_that_know_next_to_nothing_are_refused(project):  # noqa: F811
    (project / "vec.txt").write_text("\n".join(lines(["talo", "vesi", "kala"])))
    build(project, "vec.txt")
    said = one_line(train(project))
    assert "0.0% of the words in corpus/train have a vector" in said
    assert "--vars.vectors none" in said
    assert not (project / "training/ner/seed-0").exists()


def test_vectors_of_another_language_are_one_line(project):  # noqa: F811
    (project / "vec.txt").write_text("\n".join(lines(FREQUENT)))
    build(project, "vec.txt")
    said = one_line(train(project, "--nlp.lang", "xx"))
    assert 'assets/vectors/pipeline: is of another language than [nlp] lang = "xx": build vectors for this one' in said


def test_none_is_without_vectors_though_the_config_names_some(project):  # noqa: F811
    (project / "vec.txt").write_text("\n".join(lines(FREQUENT)))
    build(project, "vec.txt")
    switch = "components.label_heads.model.tok2vec.embed.include_static_vectors"
    named = [f"--{switch}", "true", "--paths.vectors", "assets/vectors/pipeline"]
    done = train(project, *named, "--vectors", "none")
    assert done.returncode == 0, done.stderr
    assert "Vectors" not in done.stdout
    assert not spacy.load(project / "training/ner/seed-0/model-best").vocab.vectors.size


def test_weights_that_the_config_names_go_before_built_ones(project):  # noqa: F811
    with_ner(96).to_disk(project / "theirs")
    build(project, "theirs")
    (project / "own.bin").write_bytes((project / "assets/vectors/pipeline/tok2vec.bin").read_bytes())
    (project / "own.cfg").write_text(CONFIG.read_text().replace("init_tok2vec = null", 'init_tok2vec = "own.bin"', 1))
    done = train(project, config="own.cfg")
    assert "Layers start from own.bin" in done.stdout, done.stderr


def test_fetched_vectors_of_english(project):  # noqa: F811
    done = build(project, "")
    if "needs pip and the network" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    vocab = built(project)
    assert vocab.vectors.shape == (20_000, 300)
    assert vocab.has_vector("Oslo")
    assert (project / "assets/vectors/pipeline/tok2vec.bin").stat().st_size > 5_000_000
    assert json.loads((project / "assets/vectors/pipeline/meta.json").read_bytes())["pipeline"] == []
