"""Counts by text and label: those of spaCy where all labels are covered, and none where a label is not."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import tracemalloc

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.scorer import Scorer
from spacy.tokens import Span
from spacy.training import Example
from spacy.util import filter_spans

from scripts.core.errors import UserError
from scripts.model.label_heads import covered_of, join_ranges, predictions
from scripts.scoring import bootstrap
from scripts.scoring.counts import NOTHING, Counts, Tally, digests, load, pack, text_id, together
from scripts.scoring.metrics import metrics, score
from scripts.scoring.runs import RunData, identity
from tests import runs
from tests.scored import covered_doc

NLP = spacy.blank("en")
LABELS = ["LOC", "ORG", "PER"]
TEXT = "Ada met Bob at IBM in Rome ."

spans = st.lists(st.tuples(st.integers(0, 7), st.integers(1, 4), st.sampled_from(LABELS)), max_size=6)


def made(found):
    return [(start, min(start + size, 8), label) for start, size, label in found if start < 8]


def tally(pairs, labels=LABELS):
    result = Tally(labels)
    for gold, predicted in pairs:
        result.add(gold.text, covered_of(gold), predictions(predicted))
    return result


def predicted(text, ents):
    doc = NLP.make_doc(text)
    doc.ents = [Span(doc, *ent) for ent in ents]
    return doc


def counted(gold, ents, text=TEXT):
    """Per scored label: (tp, fp, fn)."""
    counts = tally([(gold, predicted(text, ents))]).counts()
    return {
        label: tuple(counts.values[0, 0, column, :3].tolist())
        for column, label in enumerate(counts.labels)
        if counts.is_scored[0, column]
    }


@given(st.lists(st.tuples(spans, spans), min_size=1, max_size=5))
def test_where_all_is_covered_counts_are_those_of_spacy(texts):
    pairs = []
    for number, (gold, found) in enumerate(texts):
        text = f"{TEXT} {number}"
        doc = NLP.make_doc(text)
        right, ents = ([Span(doc, *span) for span in made(some)] for some in (gold, found))
        right = [(span.start, span.end, span.label_) for span in filter_spans(right)]
        ents = [(span.start, span.end, span.label_) for span in filter_spans(ents)]
        pairs.append((covered_doc(NLP, text, right, LABELS), predicted(text, ents)))
    theirs = Scorer.score_spans([Example(found, gold) for gold, found in pairs], "ents")
    ours = metrics(tally(pairs).counts())
    for label in LABELS:
        mine, spacys = ours.labels[label], (theirs["ents_per_type"] or {}).get(label, dict.fromkeys("prf", 0.0))
        assert [mine.p or 0, mine.r or 0, mine.f or 0] == pytest.approx([spacys[key] for key in "prf"], abs=1e-6)
        assert mine.texts == len(texts)
    assert (ours.micro.f or 0) == pytest.approx(theirs["ents_f"] or 0, abs=1e-6)


@given(spans, spans, st.sets(st.sampled_from(LABELS)))
def test_what_is_not_covered_is_not_counted(gold, found, covered):
    doc = NLP.make_doc(TEXT)
    ents = [(span.start, span.end, span.label_) for span in filter_spans([Span(doc, *span) for span in made(found)])]
    right = filter_spans([Span(doc, *span) for span in made(gold)])
    right = [(span.start, span.end, span.label_) for span in right if span.label_ in covered]
    everything = counted(covered_doc(NLP, TEXT, right, LABELS), ents)
    assert counted(covered_doc(NLP, TEXT, right, covered), ents) == {label: everything[label] for label in covered}


def test_accepted_spans_alone_cannot_tell_a_false_prediction_so_they_do_not_score():
    gold = covered_doc(NLP, TEXT, [(0, 1, "PER"), (4, 5, "ORG")], ["ORG"], partly=[(0, 1, "PER")])
    assert counted(gold, [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "ORG")]) == {"ORG": (1, 0, 0)}


def test_in_a_hole_nothing_counts():
    """Tokens 2 to 4 are not covered: entities there are not missed, predictions that reach into it not false."""
    gold = covered_doc(NLP, TEXT, [(0, 1, "PER"), (2, 3, "PER")], [(0, 2, "PER"), (4, 8, "PER")])
    assert counted(gold, []) == {"PER": (0, 0, 1)}
    assert counted(gold, [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "PER")]) == {"PER": (1, 1, 0)}
    assert counted(gold, [(1, 3, "PER"), (3, 6, "PER")]) == {"PER": (0, 0, 1)}


def test_neighbouring_ranges_are_one():
    gold = covered_doc(NLP, TEXT, [], [(0, 2, "PER"), (2, 4, "PER")])
    assert covered_of(gold)["PER"].covered == [(0, len("Ada met Bob at "))]
    assert counted(gold, [(1, 3, "PER")]) == {"PER": (0, 1, 0)}


def test_a_text_that_is_one_entity_is_scored_if_it_is_covered():
    assert counted(covered_doc(NLP, "Rome", [(0, 1, "LOC")], ["LOC"]), [], "Rome") == {"LOC": (0, 0, 1)}


def test_labels_may_overlap_in_the_gold():
    gold = covered_doc(NLP, TEXT, [(0, 3, "PER"), (2, 3, "ORG")], ["ORG", "PER"])
    assert counted(gold, [(2, 3, "ORG")]) == {"ORG": (1, 0, 0), "PER": (0, 0, 1)}


def test_boundaries_are_compared_in_characters_whatever_the_tokens():
    gold = covered_doc(NLP, "I like New-York", [(2, 5, "LOC")], ["LOC"])
    doc = spacy.tokens.Doc(NLP.vocab, ["I", "like", "New-York"], [True, True, False])
    doc.ents = [Span(doc, 2, 3, "LOC")]
    assert tally([(gold, doc)]).counts().values.sum((0, 1)).tolist() == [[1, 0, 0, 0], [0] * 4, [0] * 4]


def test_labels_the_corpus_does_not_have_are_ignored():
    gold = covered_doc(NLP, TEXT, [(0, 1, "ODD")], ["ODD"])
    assert counted(gold, [(0, 1, "ODD")]) == {}


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair)))))
def test_merged_ranges_cover_the_same_ground_and_do_not_touch(ranges):
    result = join_ranges(ranges)
    assert {x for a, b in result for x in range(a, b)} == {x for a, b in ranges for x in range(a, b)}
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(result))


# Scores


def test_what_is_undefined_is_none():
    def prf(*counts):
        found = score((*counts, 0), 3)
        return found.p, found.r, found.f, found.support

    assert prf(0, 0, 0) == (None, None, None, 0)
    assert prf(0, 0, 2) == (None, 0, 0, 2)
    assert prf(0, 2, 0) == (0, None, 0, 0)
    assert prf(1, 1, 3) == (0.5, 0.25, 0.333333, 4)


def test_boundary_errors_count_half_of_a_hit_in_partial_scores():
    found = score((1, 2, 3, 2), 3).partial  # two of the three false negatives are boundary errors
    assert (found.p, found.r, found.f) == (round(2 / 3, 6), 0.5, round(4 / 7, 6))


def test_macro_leaves_out_labels_without_entities():
    gold = covered_doc(NLP, TEXT, [(0, 1, "PER")], LABELS)
    found = metrics(tally([(gold, predicted(TEXT, [(0, 1, "PER"), (4, 5, "ORG")]))]).counts())
    assert found.labels["ORG"].f == 0
    assert (found.macro.f, found.macro.labels) == (1.0, 1)
    assert found.micro.p == 0.5


def test_nothing_at_all_is_no_score():
    found = metrics(Tally(LABELS).counts())
    assert (found.micro.f, found.macro.f, found.micro.texts) == (None, None, 0)


def test_several_seeds_are_averaged_and_kept():
    gold = covered_doc(NLP, TEXT, [(0, 1, "PER")], ["PER"])
    seeds = [tally([(gold, predicted(TEXT, ents))]).counts(seed) for seed, ents in ((3, [(0, 1, "PER")]), (1, []))]
    found = metrics(together(seeds))
    assert (found.labels["PER"].f, found.labels["PER"].p, found.labels["PER"].tp) == (0.5, 1.0, 0.5)
    assert (found.macro.f, found.macro.labels) == (0.5, 1)
    assert found.labels["PER"].sd == found.macro.sd == round(0.5**0.5, 6)
    assert {seed: one.labels["PER"].f for seed, one in found.seeds.items()} == {"1": 0, "3": 1}
    assert metrics(seeds[0]).seeds == {}


# What was scored, and under which name


def test_the_digest_of_a_test_goes_by_its_texts_and_gold_and_not_by_their_order():
    docs = [covered_doc(NLP, f"{TEXT} {number}", [(0, 1, "PER")], ["ORG", "PER"]) for number in range(3)]
    pairs = [(doc, predicted(doc.text, [])) for doc in docs]
    before = digests(tally(pairs).counts())
    assert digests(tally(pairs[::-1]).counts()) == before
    assert digests(tally([(doc, predicted(doc.text, [(0, 1, "PER")])) for doc in docs]).counts()) == before
    other = covered_doc(NLP, docs[0].text, [(0, 2, "PER")], ["ORG", "PER"])
    after = digests(tally([(other, pairs[0][1]), *pairs[1:]]).counts())
    assert [label for label in LABELS if after[label] != before[label]] == ["PER"]
    fewer = digests(tally(pairs[1:]).counts())
    assert [label for label in LABELS if fewer[label] != before[label]] == ["ORG", "PER"]


def test_counts_are_written_sorted_and_only_where_they_were_scored():
    docs = [covered_doc(NLP, f"{TEXT} {number}", [(0, 1, "PER")], ["PER"]) for number in range(3)]
    pairs = [(doc, predicted(doc.text, [])) for doc in docs]
    packed = pack(together([tally(pairs).counts(seed) for seed in (10, 2)]))
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))
    assert [row["seed"] for row in rows] == ["2", "10"] * 3
    assert [row["text"] for row in rows[::2]] == sorted(text_id(doc.text) for doc in docs)
    assert {(row["label"], row["tp"], row["fp"], row["fn"]) for row in rows} == {("PER", "0", "0", "1")}
    assert pack(together([tally(pairs[::-1]).counts(seed) for seed in (2, 10)])) == packed


def test_counts_are_read_as_they_were_written(tmp_path):
    docs = [covered_doc(NLP, f"{TEXT} {number}", [(0, 1, "PER")], LABELS[number % 3 :]) for number in range(7)]
    pairs = [(doc, predicted(doc.text, [(0, 2, "PER"), (4, 5, "ORG")])) for doc in docs]
    counts = together([tally(pairs).counts(seed) for seed in (2, 10)])
    (tmp_path / "counts.csv.gz").write_bytes(pack(counts))
    read = load(tmp_path / "counts.csv.gz")
    assert (read.texts, read.labels, read.seeds) == (counts.texts, counts.labels, counts.seeds)
    for one, other in zip(read[3:], counts[3:], strict=True):
        assert (one == other).all()
    assert read.values[..., 3].any()
    assert {bool(digest) for digest in counts.gold[counts.is_scored]} == {True, False}
    assert NOTHING == 0


@pytest.mark.parametrize(
    "content", [b"", b"text", gzip.compress(b"a,b\n1,2\n", mtime=0), gzip.compress(b"text,label\n", mtime=0)]
)
def test_damaged_counts_are_named(content, tmp_path):
    (tmp_path / "counts.csv.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"counts\.csv\.gz: is damaged"):
        load(tmp_path / "counts.csv.gz")


def test_counts_are_zero_where_nothing_is_scored():
    gold = covered_doc(NLP, TEXT, [(0, 1, "PER")], ["PER"])
    counts = tally([(gold, predicted(TEXT, [(4, 5, "ORG")]))]).counts()
    assert counts.values.shape == (1, 1, 3, 4)
    assert not counts.values[:, ~counts.is_scored].any()
    assert counts.values.dtype == np.int32


def test_a_run_is_what_it_was_made_of():
    first = identity(RunData("a", "b"), "config", [0], "code", "blis, threads: 1", {"0": "weights"})
    assert identity(RunData("a", "b"), "config", [0], "code", "blis, threads: 1", {"0": "other weights"}) == first
    others = [
        identity(RunData("x", "b"), "config", [0], "code", "blis, threads: 1", {}),
        identity(RunData("a", "x"), "config", [0], "code", "blis, threads: 1", {}),
        identity(RunData("a", "b"), "x", [0], "code", "blis, threads: 1", {}),
        identity(RunData("a", "b"), "config", [0, 1], "code", "blis, threads: 1", {}),
        identity(RunData("a", "b"), "config", [0], "x", "blis, threads: 1", {}),
        identity(RunData("a", "b"), "config", [0], "code", "openblas, threads: 1", {}),
        identity(RunData("a", "b"), "config", [0], "code", "blis, threads: 2", {}),
        identity(RunData(None, "b"), "config", [0], None, None, {"0": "weights"}),
        identity(RunData(None, "b"), "config", [0], None, None, {"0": "other weights"}),
    ]
    assert len({first, *others}) == 10


@pytest.mark.parametrize(
    ("hits", "f", "low", "high"),
    # Wilson's intervals of 0 and of 12 of 12: 0 to .2425 and .7575 to 1 (scipy.stats.binomtest(0, 12).proportion_ci).
    [(0, 0.0, 0.0, 2 * 0.2425 / 1.2425), (10, 1.0, 2 * 0.7225 / 1.7225, 1.0)],
)
def test_where_nothing_or_all_is_right_the_interval_is_not_one_number(hits, f, low, high):
    found = runs.counted({"ORG": hits})
    found.values[..., 1] *= hits == 0  # else there are two false positives
    scores = metrics(found)
    for row in (scores.labels["ORG"], scores.micro):
        assert (row.f, row.low, row.high) == pytest.approx((f, low, high), abs=1e-4)
    assert scores.macro.low == scores.macro.high == f  # one label


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=8), st.integers(1, 3))
def test_no_interval_leaves_0_to_1_or_its_score(rows, seeds):
    values = np.zeros((seeds, len(rows), 1, 4), np.int32)
    values[..., :3] = np.array(rows, np.int32)[None, :, None]
    values[0, :, :, 2] += values[0, :, :, 0]
    values[0, :, :, 0] = 0  # one seed finds nothing, so that seeds vary
    names = [f"text {number}" for number in range(len(rows))]
    scored = np.ones((len(rows), 1), bool)
    found = Counts(names, ["ORG"], list(range(seeds)), values, scored, scored.astype(np.uint32))
    for row in metrics(found).labels.values():
        assert row.f is None or 0 <= row.low <= row.f <= row.high <= 1


@pytest.mark.parametrize("texts", [2_000, 20_000])
def test_memory_of_intervals_is_bounded(texts):
    tracemalloc.start()
    sums = bootstrap.resampled(np.ones((texts, 2, 4), np.int32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (sums == texts).all()
    assert peak < 48 * 2**20
