"""The rules of merging, on one text."""

from __future__ import annotations

import itertools

import pytest

from scripts.core.answers import Span, Task
from scripts.core.texts import input_hash
from scripts.merging.account import Account
from scripts.merging.decide import Vote, decide, longest_first
from scripts.merging.merge_text import merge_text
from scripts.merging.rules import MergeRules, all_corrected

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


def merged(*tasks, policy="majority", **rules):
    """Merge in every order (of up to 4 answers); the result is the same, and the account adds up."""
    results = []
    for order in itertools.islice(itertools.permutations(tasks), 24):
        account = Account()
        results.append((*merge_text(order, MergeRules(policy, **rules), account), account))
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
    assert [conflict.kind for conflict in conflicts] == ["replacement"]
    assert account.answers["person", "replaced"] == 1
    assert account.spans["person", "PERSON", "replaced"] == 1


@pytest.mark.parametrize("at", [None, 1])
def test_an_annotator_with_the_same_answer_in_two_datasets_has_one_vote(at):
    """The datasets are about other labels too, as one that was merged of others, so the answers are not identical."""
    again = answer(ADA, labels=["PERSON", "PLACE"], dataset="all", at=at)
    gold, _, account = merged(answer(ADA, at=at), again, answer(by="b", at=2))
    assert (gold.unresolved, gold.covered) == (["PERSON"], ["PLACE"])
    assert account.spans["all", "PERSON", "unresolved"] + account.spans["person", "PERSON", "unresolved"] == 1


@pytest.mark.parametrize("at", [None, 1])
def test_an_annotator_who_judges_a_span_in_two_datasets_has_one_vote(at):
    twice = [answer(ADA, kind="binary", at=at, dataset=dataset, meta={"in": dataset}) for dataset in ("one", "two")]
    twice[1].other_labels = ["PLACE"]
    gold, conflicts, _ = merged(*twice, answer(ADA, kind="binary", answer="reject", by="b"))
    assert (gold.accepted, gold.rejected) == ([], [])
    assert [conflict.decision for conflict in conflicts] == ["unresolved: neither is taken"]


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
    assert [conflict.kind for conflict in conflicts] == ["replacement"]
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


@pytest.mark.parametrize("nothing", [None, ""])
def test_meta_that_says_nothing_does_not_hide_what_another_dataset_says(nothing):
    tasks = [answer(ADA, meta={"page": nothing}), answer(labels=["PLACE"], dataset="place", meta={"page": 0})]
    assert merged(*tasks)[0].meta == {"page": 0}


def test_a_dataset_without_annotators_counts_as_one():
    gold, conflicts, _ = merged(answer(FIRST, by="", at=1, place=1), answer(ADA, by="", at=2, place=2))
    assert gold.spans == [ADA]
    assert [conflict.kind for conflict in conflicts] == ["replacement"]


def test_longest_first_prefers_length_then_order():
    spans = [Span(0, 4, "X"), Span(2, 9, "X"), Span(8, 10, "X"), Span(10, 12, "X")]
    assert longest_first(spans) == ((spans[1], spans[3]), (spans[0], spans[2]))


def test_latest_is_unresolved_without_times():
    assert not decide([Vote(None, (ADA,)), Vote(2, ())], "latest").resolved
    assert not decide([Vote(2, (ADA,)), Vote(2, ())], "latest").resolved
    assert decide([Vote(1, (ADA,)), Vote(2, ())], "latest").spans == ()


# Several complete answers in one dataset

BOTH = ["PERSON", "PLACE"]
FIRM = Span(17, 32, "FIRM")


def both(*spans, place, **fields):
    """An answer in a dataset that is asked for persons and places."""
    return answer(*spans, labels=BOTH, place=place, at=None, **fields)


def test_answers_about_other_labels_unite():
    gold, conflicts, account = merged(both(ADA, place=1), both(LONDON, place=2))
    assert (gold.spans, gold.covered) == ([ADA, LONDON], BOTH)
    assert not conflicts
    assert account.answers["person", "kept"] == 2
    assert account.repeats == {("person", "other"): 1}


def test_what_is_judged_again_is_replaced_and_listed():
    """The second answer is about both labels, since it has one of them: it took London away."""
    gold, (_, conflict), account = merged(both(ADA, LONDON, place=1), both(FIRST, place=2))
    assert (conflict.labels, conflict.decision) == (["PLACE"], "the later answer counts")
    assert conflict.answers[0].spans == [LONDON]
    assert account.of_label("person", "PLACE") | {"replaced": 1} == account.of_label("person", "PLACE")
    assert gold.spans == [FIRST]


def test_the_same_place_with_another_label_is_a_correction():
    place = Span(0, 12, "PLACE")
    gold, conflicts, account = merged(both(ADA, place=1), both(place, place=2))
    assert (gold.spans, gold.covered) == ([place], BOTH)
    assert {conflict.kind for conflict in conflicts} == {"replacement"}
    assert account.repeats == {("person", "again"): 1}


def test_a_relabelled_place_is_a_correction_also_if_its_new_label_is_not_taken():
    """As in a block of one label on a dataset with several."""
    answers = [
        answer(ADA, place=1, at=None),
        answer(place=2, at=None, other_labels=["PLACE"], other_places=[(0, 12)]),
    ]
    gold, (conflict,), account = merged(*answers)
    assert (gold.spans, gold.covered) == ([], ["PERSON"])
    assert conflict.kind == "replacement"
    assert account.repeats == {("person", "again"): 1}
    gold, conflicts, _ = merged(*answers, passes={"person": frozenset(BOTH)})  # a place can have two labels
    assert (gold.spans, conflicts) == ([ADA], [])


def test_labels_that_are_not_taken_tell_that_an_answer_is_about_others():
    """A block of one label on a dataset into which the datasets of three labels were merged."""
    gold, conflicts, account = merged(
        answer(place=1, at=None, other_labels=["PLACE"]),
        answer(ADA, place=2, at=None),
        answer(place=3, at=None, other_labels=["FIRM"]),
    )
    assert (gold.spans, gold.covered) == ([ADA], ["PERSON"])
    assert not conflicts
    assert account.of_dataset("person") | {"kept": 1, "other_labels": 2} == account.of_dataset("person")


def test_without_a_span_an_answer_is_a_correction_unless_the_dataset_was_made_in_passes():
    answers = [both(ADA, place=1), both(place=2)]
    gold, (conflict,), account = merged(*answers)
    assert (gold.spans, gold.covered) == ([], BOTH)
    assert (conflict.kind, conflict.decision, conflict.answers[0].spans) == (
        "replacement", "the later answer counts", [ADA]
    )  # fmt: skip
    assert account.repeats == {("person", "unclear"): 1}
    gold, conflicts, _ = merged(*answers, passes={"person": frozenset(BOTH)})
    assert (gold.spans, gold.covered, conflicts) == ([ADA], BOTH, [])


def test_in_passes_a_label_is_covered_only_where_each_label_had_its_pass():
    passes = {"person": frozenset(["PERSON", "PLACE", "FIRM"])}
    gold, _, account = merged(both(ADA, place=1), both(place=2), passes=passes)
    assert (gold.spans, gold.covered) == ([ADA], ["PERSON"])
    assert account.repeats["person", "untold"] == 1
    gold, _, account = merged(both(place=1), both(place=2), both(place=3), passes=passes)
    assert (gold.spans, gold.covered) == ([], BOTH)
    assert account.of_dataset("person") | {"kept": 1, "duplicates": 2} == account.of_dataset("person")
    gold, _, _ = merged(both(LONDON, place=1), passes=passes)
    assert (gold.spans, gold.covered) == ([LONDON], ["PLACE"])


def test_in_passes_of_several_annotators_nobody_denies_what_another_looked_for():
    gold, conflicts, _ = merged(
        both(ADA, place=1, by="ana"), both(LONDON, place=2, by="ben"), passes={"person": frozenset(BOTH)}
    )
    assert (gold.spans, gold.covered, conflicts) == ([ADA, LONDON], BOTH, [])


def test_in_passes_a_rejected_text_says_nothing_of_the_other_passes():
    gold, _, _ = merged(both(ADA, place=1), both(place=2, answer="reject"), passes={"person": frozenset(BOTH)})
    assert (gold.spans, gold.covered) == ([ADA], ["PERSON"])


def test_replace_always_takes_the_later_answer():
    gold, conflicts, _ = merged(both(ADA, place=1), both(LONDON, place=2), replaced=frozenset(["person"]))
    assert (gold.spans, gold.covered) == ([LONDON], BOTH)
    assert [(conflict.kind, conflict.labels) for conflict in conflicts] == [
        ("replacement", ["PERSON"]), ("replacement", ["PLACE"])
    ]  # fmt: skip


def test_a_third_answer_about_a_first_label_leaves_the_second_alone():
    gold, _, _ = merged(both(ADA, place=1), both(LONDON, place=2), both(FIRST, place=3))
    assert gold.spans == [FIRST, LONDON]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("a.jsonl:200", "b.jsonl:3"),
        ("a.jsonl:9", "a.jsonl:10"),
        ("one/doc.ann:5", "two/doc.ann:1"),
        ("round9/1.ann:1", "round10/1.ann:1"),
    ],
)
def test_without_times_answers_are_ordered_by_file_then_line(earlier, later):
    first, second = answer(FIRST, at=None), answer(ADA, at=None)
    first.source, second.source = earlier, later
    gold, conflicts, _ = merged(second, first)
    assert gold.spans == [ADA]
    assert [answer.source for answer in conflicts[0].answers] == [earlier, later]


# Datasets that correct others

CORRECTS = {"fixed": frozenset(["person"])}


@pytest.mark.parametrize("by", ["a", "b", ""])
def test_a_dataset_replaces_those_that_it_corrects_whoever_annotated(by):
    gold, (conflict,), account = merged(
        answer(FIRST, at=5), answer(ADA, CHARLES, by=by, at=None, dataset="fixed"), corrects=CORRECTS
    )
    assert (gold.spans, gold.covered, gold.unresolved) == ([ADA, CHARLES], ["PERSON"], [])
    assert (conflict.kind, conflict.decision) == ("replacement", "corrected")
    assert account.answers["person", "replaced"] == 1


def test_where_the_correcting_dataset_has_no_answer_the_corrected_one_counts():
    gold, _, _ = merged(answer(ADA), answer(LONDON, labels=["PLACE"], dataset="fixed"), corrects=CORRECTS)
    assert gold.spans == [ADA, LONDON]
    gold, _, _ = merged(answer(ADA), answer(by="b", answer="reject", dataset="fixed"), corrects=CORRECTS)
    assert gold.spans == [ADA]


def test_corrections_of_corrections_replace_both():
    rules = all_corrected({"last": ["fixed"], "fixed": ["person"]})
    assert rules == {"last": {"fixed", "person"}, "fixed": {"person"}}
    gold, _, _ = merged(
        answer(FIRST), answer(by="b", dataset="fixed"), answer(ADA, by="c", dataset="last"), corrects=rules
    )
    assert gold.spans == [ADA]
    gold, _, _ = merged(answer(FIRST), answer(ADA, by="c", dataset="last"), corrects=rules)
    assert gold.spans == [ADA]


@pytest.mark.parametrize("said", ["accept", "reject"])
def test_a_binary_answer_that_corrects_decides_on_its_span(said):
    binary = answer(ADA, kind="binary", answer=said, dataset="fixed", by="b")
    gold, (conflict,), account = merged(answer(FIRST if said == "accept" else ADA, CHARLES), binary, corrects=CORRECTS)
    assert gold.spans == ([ADA, CHARLES] if said == "accept" else [CHARLES])
    assert gold.covered == ["PERSON"]
    assert conflict.kind == "replacement"
    assert account.of_label("person", "PERSON")["replaced"] == 1
    assert account.coverage["PERSON", "", "spans"] == len(gold.spans)


def test_a_binary_answer_corrects_only_what_its_dataset_corrects():
    binary = answer(ADA, kind="binary", answer="reject", dataset="fixed", by="b")
    gold, conflicts, _ = merged(answer(ADA, dataset="others"), binary, corrects=CORRECTS)
    assert gold.spans == [ADA]
    assert [conflict.kind for conflict in conflicts] == ["binary"]


def test_a_curation_decides_over_all_answers_of_its_dataset():
    curated = answer(ADA, kind="review", by="curator")
    gold, conflicts, account = merged(answer(FIRST, by="a"), answer(CHARLES, by="b"), answer(ADA, by="c"), curated)
    assert gold.spans == [ADA]
    assert account.answers["person", "replaced"] == 2
    assert [conflict.kind for conflict in conflicts] == ["replacement"]
