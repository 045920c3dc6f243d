"""A model says what it was trained on, for ever."""

from __future__ import annotations

import json

import pytest
import spacy
from confection import ConfigValidationError

from scripts.building.reading import ner_labels, read_labels
from scripts.building.splits import Corpus, read_corpus
from scripts.core.errors import UserError
from scripts.model.models import blas, find_models, provenance, record_data, training_code, versions


@pytest.fixture
def split(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"digest": "abc", "texts": {"train": 5, "dev": 2, "test": 1}, "shards": {}}))
    return path


def test_the_record_survives_the_disk(split, tmp_path):
    nlp = record_data(str(split))(spacy.blank("en"))
    nlp.to_disk(tmp_path / "model")
    found = provenance(spacy.load(tmp_path / "model").meta)
    assert (found.corpus, found.texts) == ("abc", {"train": 5, "dev": 2, "test": 1})
    assert (found.code, found.versions) == (training_code(), versions() | {"blas": blas(nlp)})
    assert found.versions["spacy"] == spacy.__version__


def test_the_record_is_of_the_corpus_with_which_training_began(split):
    record = record_data(str(split))
    split.write_text(json.dumps({"digest": "later", "texts": {}}))
    assert provenance(record(spacy.blank("en")).meta).corpus == "abc"


@pytest.mark.parametrize(("section", "key"), [("paths", "init_tok2vec"), ("paths", "vectors"), ("transformer", "name")])
def test_a_run_goes_by_what_its_training_started_from(section, key, split, tmp_path):
    def config_of(name, content):
        place = tmp_path / name
        if key == "name":  # a folder
            place.mkdir(exist_ok=True)
            place = place / "weights.bin"
        place.write_bytes(content)
        nlp = spacy.blank("en")
        nlp.config[section] = {**nlp.config.get(section, {}), key: str(tmp_path / name)}
        nlp.config["training"]["seed"] = 0
        best = tmp_path / "ner/seed-0/model-best"
        best.mkdir(parents=True, exist_ok=True)
        record_data(str(split))(nlp).to_disk(best)
        (found,), _ = find_models(tmp_path / "ner", "abc", [])
        return found.config

    one = config_of("one", b"one")
    assert config_of("one", b"one") == one
    assert config_of("one", b"other") != one
    if section == "paths":
        assert config_of("other", b"one") == one  # the same, wherever they are


def test_models_from_before_are_read(split):
    good = record_data(str(split))(spacy.blank("en")).meta["labelwise"]
    assert [provenance({"labelwise": good | {"start": start}}).start for start in ("", "abc", ["abc"])] == [
        "", "abc", ["abc"]
    ]  # fmt: skip


def test_a_model_without_a_record_has_none():
    assert provenance(spacy.blank("en").meta) is None


@pytest.mark.parametrize("change", [{"corpus": 3}, {"texts": {"train": -1}}, {"covered": {"PER": -5}}])
def test_a_damaged_record_says_to_train_again(change, split):
    good = record_data(str(split))(spacy.blank("en")).meta["labelwise"]
    with pytest.raises(UserError, match=r"labelwise is damaged \(.*\); train again: weasel run train"):
        provenance({"labelwise": good | change})


def test_split_json_may_say_more(split):
    assert read_corpus(split) == Corpus(digest="abc", texts={"train": 5, "dev": 2, "test": 1})


@pytest.mark.parametrize(
    ("content", "said"), [(None, "make the corpus first"), (b'{"dig', "damaged"), (b"\xff", "damaged")]
)
@pytest.mark.parametrize(("read", "function"), [(read_corpus, record_data), (read_labels, ner_labels)])
def test_what_is_missing_or_damaged_is_named(content, said, read, function, tmp_path):
    path = tmp_path / "some.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"some\.json: .*{said}"):
        read(path)
    with pytest.raises(ConfigValidationError) as caught:
        function(str(path))
    assert said in caught.value.desc


def test_labels_are_what_ner_counts_itself(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('["ORG", "PER"]')
    nlp = spacy.blank("en")
    ner = nlp.add_pipe("ner")
    doc = nlp.make_doc("Ada Lovelace")
    ner.initialize(lambda: [spacy.training.Example(doc, doc)], nlp=nlp, labels=ner_labels(str(path)))
    assert ner.labels == ("ORG", "PER")
    assert set(ner.move_names) >= {"B-ORG", "I-ORG", "L-ORG", "U-ORG", "B-PER", "U-PER", "O"}
