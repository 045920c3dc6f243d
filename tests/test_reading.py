"""The corpus as training reads it: every text once an epoch, in another order each, with all its spans."""

from __future__ import annotations

import pytest
import spacy
from confection import ConfigValidationError
from spacy.tokens import DocBin
from spacy.training import Example
from spacy.training.augment import create_lower_casing_augmenter

from scripts.building.reading import CorpusReader, split_doc
from scripts.core.errors import UserError
from scripts.model.label_heads import read_gold
from tests.scored import covered_doc

NLP = spacy.blank("en")
TEXT = "IBM hired Ada Lovelace in 1843 . She wrote a program for Babbage ."


def doc(number):
    return covered_doc(
        NLP, f"IBM hired Ada number {number} .", [(0, 1, "ORG"), (2, 3, "PER")], ["ORG"], [(2, 3, "PER")]
    )


@pytest.fixture
def shards(tmp_path):
    for shard in range(4):
        docs = [doc(shard * 10 + number) for number in range(10)]
        DocBin(docs=docs).to_disk(tmp_path / f"{shard:04}.spacy")
    return tmp_path


def numbers(examples):
    return [int(example.reference[4].text) for example in examples]


@pytest.mark.parametrize("buffer", [50, 100, 100_000])
def test_an_epoch_has_every_text_once_and_ends(shards, buffer):
    reader = CorpusReader(shards, seed=0, buffer=buffer)
    epochs = [numbers(reader(NLP)) for _ in range(4)]
    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


@pytest.mark.parametrize("buffer", [50, 100_000])
def test_the_order_is_the_seed_s(shards, buffer):
    first, again, other = (CorpusReader(shards, seed=seed, buffer=buffer) for seed in (1, 1, 2))
    for _ in range(3):
        order = numbers(first(NLP))
        assert order == numbers(again(NLP))
        assert order != numbers(other(NLP))


def test_without_a_seed_the_order_is_that_of_the_shards(shards):
    reader = CorpusReader(shards)
    assert numbers(reader(NLP)) == numbers(reader(NLP)) == list(range(40))


def test_a_limit_is_the_same_texts_each_epoch(shards):
    reader = CorpusReader(shards, seed=0, limit=13)
    assert sorted(numbers(reader(NLP))) == sorted(numbers(reader(NLP))) == list(range(13))


def test_a_small_buffer_holds_few_texts_at_a_time(shards):
    """A window is mixed, not more: what is first in an epoch comes from the first shards of it."""
    order = numbers(CorpusReader(shards, seed=3, buffer=60)(NLP))
    windows = [order[start : start + 10] for start in range(0, 40, 10)]
    assert all(len({number // 10 for number in window}) == 1 for window in windows)


def test_a_part_of_an_epoch_is_not_taken_for_the_whole(shards):
    reader = CorpusReader(shards, seed=0)
    next(iter(reader(NLP)))
    assert sorted(numbers(reader(NLP))) == list(range(40))


def test_all_spans_arrive(shards):
    gold = read_gold(list(CorpusReader(shards)(NLP))[:1], ["ORG", "PER"])
    assert gold.covered.T.tolist() == [[True] * 6, [False, False, True, False, False, False]]
    assert gold.tags.T.tolist() == [[4, 0, 0, 0, 0, 0], [0, 0, 4, 0, 0, 0]]


def test_a_variant_has_the_spans_of_the_text(shards):
    reader = CorpusReader(shards, augmenter=create_lower_casing_augmenter(1.0))
    found = list(reader(NLP))
    assert found[0].text == "ibm hired ada number 0 ."
    gold = read_gold(found[:1], ["ORG", "PER"])
    assert gold.covered.T.tolist() == [[True] * 6, [False, False, True, False, False, False]]
    assert gold.tags.T.tolist() == [[4, 0, 0, 0, 0, 0], [0, 0, 4, 0, 0, 0]]


def long_doc():
    found = covered_doc(NLP, TEXT, [(0, 1, "ORG"), (2, 6, "PER"), (12, 13, "PER")], ["ORG", (0, 9, "PER")])
    found.spans["incorrect_spans"] = [found[9:11]]
    return found


@pytest.mark.parametrize("max_length", range(1, 16))
def test_parts_of_a_long_text_have_together_its_spans(max_length):
    whole = long_doc()
    parts = list(split_doc(whole, max_length))
    assert "".join(part.text_with_ws for part in parts) == whole.text_with_ws
    assert all(len(part) <= max(max_length, 4) for part in parts)
    for key in ("gold", "covered", "incorrect_spans"):
        start, found = 0, []
        for part in parts:
            found += [(span.start + start, span.end + start, span.label_) for span in part.spans[key]]
            start += len(part)
        if key == "covered":  # ranges are cut where the text is
            covered = {(token, label) for a, z, label in found for token in range(a, z)}
            assert covered == {(t, span.label_) for span in whole.spans[key] for t in range(span.start, span.end)}
        else:
            assert found == [(span.start, span.end, span.label_) for span in whole.spans[key]]


def test_a_text_is_cut_at_the_end_of_a_sentence_where_those_are_known():
    whole = long_doc()
    for token in whole:
        token.is_sent_start = token.i in (0, 7)
    assert [len(part) for part in split_doc(whole, 10)] == [7, 7]
    assert [len(part) for part in split_doc(whole, 7)] == [7, 7]
    assert [len(part) for part in split_doc(long_doc(), 10)] == [9, 5]  # not inside what was rejected, 9 to 11


def test_parts_are_trained_with(tmp_path):
    DocBin(docs=[long_doc()]).to_disk(tmp_path / "0000.spacy")
    found = list(CorpusReader(tmp_path, max_length=7)(NLP))
    assert [len(example.predicted) for example in found] == [7, 7]
    assert all(isinstance(example, Example) for example in found)


@pytest.mark.parametrize(("name", "least"), [("max_length", 0), ("limit", 0), ("buffer", 1)])
def test_a_number_that_is_too_low_is_one_line(tmp_path, name, least):
    DocBin(docs=[long_doc()]).to_disk(tmp_path / "0000.spacy")
    with pytest.raises(ConfigValidationError, match=f"{name} = {least - 1}: must be {least} or more"):
        CorpusReader(tmp_path, **{name: least - 1})


def test_texts_without_tokens_are_skipped(tmp_path):
    DocBin(docs=[covered_doc(NLP, ""), doc(1)]).to_disk(tmp_path / "0000.spacy")
    assert numbers(CorpusReader(tmp_path)(NLP)) == [1]


def test_no_corpus_and_a_damaged_one_are_one_line(tmp_path):
    with pytest.raises(ConfigValidationError, match="make the corpus first: weasel run corpus"):
        CorpusReader(str(tmp_path))
    (tmp_path / "0000.spacy").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"0000.spacy: is damaged .* make the corpus again"):
        list(CorpusReader(str(tmp_path))(NLP))
