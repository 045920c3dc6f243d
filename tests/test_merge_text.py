"""The rules of merging, on one text."""

from __future__ import annotations

import itertools

import pytest

from scripts.core.answers import Span, Task
from scripts.core.hashing import input_hash
from scripts.merging.account import Account
from scripts.merging.decide import Vote, decide, longest_first
from scripts.merging.merge_text import merge_text

TEXT = "Ada Lovelace met Charles Babbage in London"
ADA = Span(0, 12, "PERSON")
FIRST = Span(0, 3, "PERSON")
CHARLES = Span(17, 32, "PERSON")
LONDON = Span(36, 42, "PLACE")


def answer(*spans, labels=("PERSON",), answer="accept", kind="manual", by="a", at=1, dataset="person", place=1, **rest):
    return Task(
        input_hash=input_hash(TEXT), text=TEXT, labels=sorted(labels), spans=sorted(spans), answer=answer, kind=kind,
        annotator=by, timestamp=at, dataset=dataset, source=f"link:{place}", meta=rest.pop("meta", {}), **rest,
    )  # fmt: skip


def merged(*tasks, policy="majority"):
    """Merge in every order (of up to 4 answers); the result is the same, and the account adds up."""
    results = []
    for order in itertools.islice(itertools.permutations(tasks), 24):
        account = Account()
        results.append((*merge_text(order, policy, account), account))
        account.assert_adds_up()
    assert all(result == results[0] for result in results)
    return results[0]


def test_labels_of_different_datasets_are_united():
    gold, conflicts, _ = merged(answer(ADA), answer(LONDON, labels=["PLACE"], dataset="place"))
    assert gold.spans == [ADA, LONDON]
    assert gold.covered == ["PERSON", "PLACE"]
    assert gold.sources == ["person", "place"]
    assert not conflicts


def test_an_answer_without_spans_covers_its_label():
    gold, _, _ = merged(answer())
    assert (gold.spans, gold.covered) == ([], ["PERSON"])


def test_identical_answers_collapse():
    gold, conflicts, account = merged(answer(ADA, at=1, place=1), answer(ADA, at=2, place=2))
    assert gold.spans == [ADA]
    assert not conflicts
    assert account.of_dataset("person") | {"read": 2, "kept": 1, "duplicates": 1} == account.of_dataset("person")


def test_a_later_answer_of_the_same_annotator_replaces():
    gold, conflicts, account = merged(answer(FIRST, at=1, place=1), answer(ADA, at=2, place=2))
    assert gold.spans == [ADA]
    assert not conflicts
    assert account.answers["person", "replaced"] == 1
    assert account.spans["person", "PERSON", "replaced"] == 1


def test_without_times_the_later_place_in_the_dataset_replaces():
    gold, _, _ = merged(answer(FIRST, at=None, place=10), answer(ADA, at=None, place=9))
    assert gold.spans == [FIRST]


def test_rejected_and_ignored_texts_say_nothing():
    gold, _, account = merged(
        answer(ADA, answer="ignore"), answer(LONDON, labels=["PLACE"], answer="reject", dataset="place")
    )
    assert (gold.spans, gold.covered, gold.accepted, gold.rejected) == ([], [], [], [])
    assert account.answers["person", "ignored"] == 1
    assert account.answers["place", "rejected"] == 1


def test_a_text_rejected_by_some_is_one_conflict():
    labels = ["PERSON", "PLACE"]
    gold, conflicts, _ = merged(answer(ADA, labels=labels), answer(labels=labels, by="b", answer="reject"))
    assert gold.spans == [ADA]
    assert [(conflict.kind, conflict.labels) for conflict in conflicts] == [("rejected text", labels)]
    assert [voice.annotator for voice in conflicts[0].answers] == ["a", "b"]


@pytest.mark.parametrize(
    ("policy", "spans", "resolved"),
    [
        ("majority", [], False),
        ("union", [ADA, CHARLES], True),
        ("intersection", [ADA], True),
        ("latest", [ADA], True),
    ],
)
def test_two_annotators_that_differ_are_decided_by_policy(policy, spans, resolved):
    gold, conflicts, _ = merged(answer(ADA, CHARLES, by="a", at=1), answer(ADA, by="b", at=2), policy=policy)
    assert gold.spans == spans
    assert gold.covered == (["PERSON"] if resolved else [])
    assert gold.unresolved == ([] if resolved else ["PERSON"])
    assert gold.accepted == ([] if resolved else [ADA])  # what both agree on is known
    assert [conflict.kind for conflict in conflicts] == ["disagreement"]
    assert {voice.annotator: voice.spans for voice in conflicts[0].answers} == {"a": [ADA, CHARLES], "b": [ADA]}


def test_the_majority_decides():
    gold, _, account = merged(answer(ADA, by="a"), answer(ADA, by="b"), answer(FIRST, by="c"))
    assert gold.spans == [ADA]
    assert account.spans["person", "PERSON", "gold"] == 2
    assert account.spans["person", "PERSON", "outvoted"] == 1


def test_a_review_decides_over_the_versions_it_shows():
    review = answer(ADA, kind="review", by="r", versions=[[FIRST], [ADA]], dataset="review")
    gold, conflicts, account = merged(answer(FIRST, by="a"), answer(FIRST, by="b"), review)
    assert gold.spans == [ADA]
    assert not conflicts
    assert account.answers["person", "duplicates"] + account.answers["person", "replaced"] == 2


def test_binary_answers_add_to_what_is_not_covered():
    gold, conflicts, _ = merged(
        answer(ADA, kind="binary", place=1), answer(CHARLES, kind="binary", answer="reject", place=2)
    )
    assert (gold.covered, gold.accepted, gold.rejected) == ([], [ADA], [CHARLES])
    assert not conflicts


def test_binary_answers_are_checked_against_what_is_covered():
    gold, conflicts, account = merged(
        answer(ADA), answer(CHARLES, kind="binary", by="b"), answer(ADA, kind="binary", by="b", place=2)
    )
    assert (gold.spans, gold.accepted) == ([ADA], [])
    assert [conflict.kind for conflict in conflicts] == ["binary"]
    assert account.spans["person", "PERSON", "contradicting"] == 1
    assert account.spans["person", "PERSON", "confirming"] == 1


def test_binary_answers_against_each_other_decide_nothing():
    gold, conflicts, _ = merged(answer(ADA, kind="binary", by="a"), answer(ADA, kind="binary", by="b", answer="reject"))
    assert (gold.accepted, gold.rejected) == ([], [])
    assert len(conflicts) == 1


def test_overlaps_between_labels_are_kept_and_listed():
    work = Span(0, 32, "WORK")
    gold, conflicts, _ = merged(answer(ADA), answer(work, labels=["WORK"], dataset="work"))
    assert gold.spans == [ADA, work]
    assert [(conflict.kind, conflict.labels) for conflict in conflicts] == [
        ("overlap between labels", ["PERSON", "WORK"])
    ]


def test_of_overlaps_within_a_label_the_longest_stays():
    gold, conflicts, account = merged(answer(ADA, FIRST))
    assert gold.spans == [ADA]
    assert [conflict.kind for conflict in conflicts] == ["overlap within a label"]
    assert account.spans["person", "PERSON", "overlapping"] == 1


def test_meta_of_the_first_dataset_wins():
    gold, _, _ = merged(
        answer(ADA, meta={"source": "x", "only": 1}),
        answer(labels=["PLACE"], dataset="place", meta={"source": "y", "page": 2}),
    )
    assert gold.meta == {"source": "x", "only": 1, "page": 2}


def test_a_dataset_without_annotators_counts_as_one():
    gold, conflicts, _ = merged(answer(FIRST, by="", at=1, place=1), answer(ADA, by="", at=2, place=2))
    assert gold.spans == [ADA]
    assert not conflicts


def test_longest_first_prefers_length_then_order():
    spans = [Span(0, 4, "X"), Span(2, 9, "X"), Span(8, 10, "X"), Span(10, 12, "X")]
    assert longest_first(spans) == ((spans[1], spans[3]), (spans[0], spans[2]))


def test_latest_is_unresolved_without_times():
    assert not decide([Vote(None, (ADA,)), Vote(2, ())], "latest").resolved
    assert not decide([Vote(2, (ADA,)), Vote(2, ())], "latest").resolved
    assert decide([Vote(1, (ADA,)), Vote(2, ())], "latest").spans == ()
