"""Complete answers about a range of a text: those about its sentences, beside those about the whole of it."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.core.answers import Span, Task
from scripts.core.texts import input_hash
from tests.test_merge_text import merged

TEXT = "Ada lives in Porto. Bob went to Lyon, then Graz. Cleo stays."
FIRST, SECOND, THIRD = (0, 19), (20, 48), (49, 60)
ADA, BOB, CLEO = Span(0, 3, "PERSON"), Span(20, 23, "PERSON"), Span(49, 53, "PERSON")
PORTO, LYON, GRAZ = Span(13, 18, "CITY"), Span(32, 36, "CITY"), Span(43, 47, "CITY")


def answer(*spans, within=None, labels=("CITY",), dataset="city", at=None, place=1, by="", **fields):
    """A complete answer about the text, or about a range of it."""
    return Task(
        **{
            "input_hash": input_hash(TEXT), "text": TEXT, "labels": sorted(labels), "spans": sorted(spans),
            "answer": "accept", "kind": "manual", "annotator": by, "timestamp": at, "dataset": dataset,
            "source": f"x:{place}", "meta": {}, "range": within, **fields,
        }
    )  # fmt: skip


def part(*spans, within, dataset="city_correct", **fields):
    return answer(*spans, within=within, dataset=dataset, **fields)


CORRECTS = {"corrects": {"city_correct": frozenset(["city"])}}


def test_without_an_answer_about_the_text_its_sentences_are_covered():
    gold, conflicts, account = merged(part(PORTO, within=FIRST), part(within=THIRD))
    assert gold.covered_ranges == {"CITY": [FIRST, THIRD]}
    assert (gold.covered, gold.unresolved, gold.spans) == ([], [], [])
    assert gold.accepted == [PORTO]
    assert not conflicts
    assert account.coverage["CITY", "", "partly_covered"] == 1
    assert account.spans["city_correct", "CITY", "partial"] == 1


def test_all_sentences_cover_the_text():
    gold, _, account = merged(
        part(PORTO, within=FIRST, place=1), part(LYON, GRAZ, within=SECOND, place=2), part(within=THIRD, place=3)
    )
    assert (gold.covered, gold.covered_ranges) == (["CITY"], {})
    assert gold.spans == [PORTO, LYON, GRAZ]
    assert account.of_label("city_correct", "CITY")["gold"] == 3
    assert account.coverage["CITY", "city_correct", "covered"] == 1


def test_sentences_side_by_side_are_one_range():
    gold, _, _ = merged(part(PORTO, within=FIRST, place=1), part(within=SECOND, place=2))
    assert gold.covered_ranges == {"CITY": [(0, 48)]}


def test_a_dataset_that_corrects_decides_in_its_sentences_and_the_text_stays_covered():
    gold, conflicts, account = merged(answer(PORTO, LYON), part(LYON, GRAZ, within=SECOND), **CORRECTS)
    assert gold.covered == ["CITY"]
    assert gold.spans == [PORTO, LYON, GRAZ]
    assert [(c.kind, c.decision) for c in conflicts] == [("replacement", "corrected in this part of the text")]
    assert [[(s.start, s.end) for s in each.spans] for each in conflicts[0].answers] == [
        [(32, 36)],
        [(32, 36), (43, 47)],
    ]
    assert account.answers["city", "kept"] == account.answers["city_correct", "kept"] == 1


def test_a_correction_takes_away_what_is_wrong():
    gold, conflicts, account = merged(answer(PORTO, LYON, GRAZ), part(within=SECOND), **CORRECTS)
    assert gold.spans == [PORTO]
    assert account.of_label("city", "CITY") | {"gold": 1, "replaced": 2} == account.of_label("city", "CITY")
    assert [c.kind for c in conflicts] == ["replacement"]


@pytest.mark.parametrize("policy", ["majority", "latest"])
def test_what_times_prove_later_corrects(policy):
    gold, conflicts, _ = merged(answer(PORTO, at=5), part(PORTO, LYON, within=(0, 48), at=6), policy=policy)
    assert gold.spans == [PORTO, LYON]
    assert gold.covered == ["CITY"]
    assert [c.kind for c in conflicts] == ["replacement"]


def test_a_contradiction_that_nothing_decides_is_open_in_its_range_alone():
    gold, conflicts, account = merged(answer(PORTO, LYON), part(LYON, GRAZ, within=SECOND))
    assert (gold.covered, gold.unresolved) == ([], [])
    assert gold.covered_ranges == {"CITY": [(0, 20), (48, 60)]}
    assert gold.accepted == [PORTO, LYON]  # Lyon is what both say
    assert [c.kind for c in conflicts] == ["disagreement"]
    assert account.spans["city_correct", "CITY", "unresolved"] == 1
    assert not any(gold.covers("CITY", span.start, span.end) for span in (LYON, GRAZ))


def test_answers_that_agree_need_no_decision():
    gold, conflicts, _ = merged(answer(PORTO, LYON), part(LYON, within=SECOND), part(within=THIRD, place=2))
    assert (gold.covered, gold.spans, conflicts) == (["CITY"], [PORTO, LYON], [])


def test_the_majority_decides_in_a_range_as_anywhere():
    gold, conflicts, _ = merged(
        answer(PORTO, by="a", dataset="one"), answer(PORTO, by="b", dataset="two"), part(LYON, within=SECOND, by="c")
    )
    assert gold.spans == [PORTO]
    assert gold.covered == ["CITY"]
    assert [c.decision for c in conflicts] == ["by majority"]


def test_an_annotators_later_answer_about_the_text_replaces_that_about_a_sentence():
    gold, _, account = merged(answer(PORTO, LYON, GRAZ, by="ada", at=9), part(LYON, within=SECOND, by="ada", at=3))
    assert gold.spans == [PORTO, LYON, GRAZ]
    assert account.answers["city_correct", "replaced"] == 1


def test_a_later_line_of_the_same_dataset_corrects():
    gold, _, _ = merged(answer(PORTO, place=1), part(LYON, within=SECOND, dataset="city", place=2))
    assert gold.spans == [PORTO, LYON]


def test_of_two_answers_about_a_sentence_the_later_counts():
    gold, conflicts, _ = merged(part(within=SECOND, at=1), part(LYON, within=SECOND, at=2, place=2))
    assert gold.accepted == [LYON]
    assert gold.covered_ranges == {"CITY": [SECOND]}
    assert [c.kind for c in conflicts] == ["replacement"]


def test_sentences_decide_where_annotators_of_the_text_disagree():
    gold, _, _ = merged(
        answer(PORTO, by="a", at=1, dataset="one"), answer(LYON, by="b", at=2, dataset="two"),
        part(LYON, GRAZ, within=SECOND, at=3),
    )  # fmt: skip
    assert gold.covered_ranges == {"CITY": [SECOND]}
    assert gold.accepted == [LYON, GRAZ]


def test_ranges_that_overlap_and_contradict_each_other_are_open():
    gold, _, _ = merged(
        part(PORTO, within=(0, 48), by="a"), part(LYON, within=SECOND, by="b"), part(within=THIRD, by="c")
    )
    assert gold.covered_ranges == {"CITY": [THIRD]}


def test_ranges_that_overlap_and_agree_are_covered():
    gold, _, _ = merged(part(PORTO, LYON, within=(0, 48), by="a"), part(LYON, within=SECOND, by="b"))
    assert gold.covered_ranges == {"CITY": [(0, 48)]}
    assert gold.accepted == [PORTO, LYON]


def test_an_entity_across_the_end_of_a_sentence_stays():
    across = Span(13, 23, "CITY")
    gold, _, _ = merged(answer(across), part(LYON, within=SECOND), **CORRECTS)
    assert gold.covered == ["CITY"]
    assert gold.spans == [across, LYON]


def test_sentences_of_one_label_leave_the_others_as_they_are():
    gold, _, _ = merged(
        answer(ADA, PORTO, BOB, labels=["CITY", "PERSON"], dataset="city"), part(LYON, within=SECOND), **CORRECTS
    )
    assert gold.covered == ["CITY", "PERSON"]
    assert gold.spans == [ADA, PORTO, BOB, LYON]


def test_a_review_of_the_text_decides_between_what_it_shows():
    versions = [[PORTO, LYON], [PORTO, LYON, GRAZ]]
    review = answer(PORTO, LYON, GRAZ, dataset="review", kind="review", versions=versions, at=9)
    whole, sentence = answer(PORTO, LYON, GRAZ, at=5), part(LYON, within=SECOND)
    gold, conflicts, account = merged(whole, sentence, review)
    assert (gold.covered, gold.spans) == (["CITY"], [PORTO, LYON, GRAZ])
    assert [c.kind for c in conflicts] == ["replacement"]
    assert account.answers["city_correct", "replaced"] == 1


def test_a_rejected_sentence_says_nothing():
    gold, _, account = merged(answer(PORTO, LYON), part(within=SECOND, answer="reject"), **CORRECTS)
    assert (gold.covered, gold.spans) == (["CITY"], [PORTO, LYON])
    assert account.answers["city_correct", "rejected"] == 1


def test_binary_answers_are_checked_against_covered_ranges():
    def binary(span, said):
        return answer(span, dataset="teach", kind="binary", answer=said)

    gold, conflicts, account = merged(part(LYON, within=SECOND), binary(GRAZ, "accept"), binary(PORTO, "accept"))
    assert gold.covered_ranges == {"CITY": [SECOND]}
    assert gold.accepted == [PORTO, LYON]
    assert [c.kind for c in conflicts] == ["binary"]
    assert account.spans["teach", "CITY", "contradicting"] == 1


def test_passes_over_sentences_unite():
    """A dataset of two labels, one after the other, sentence by sentence."""
    rules = {"passes": {"both": frozenset(["CITY", "PERSON"])}}
    both = {"labels": ["CITY", "PERSON"], "dataset": "both"}
    gold, _, _ = merged(
        answer(LYON, within=SECOND, place=1, **both), answer(BOB, within=SECOND, place=2, **both),
        answer(ADA, within=FIRST, place=3, **both), **rules,
    )  # fmt: skip
    assert gold.covered_ranges == {"CITY": [SECOND], "PERSON": [(0, 48)]}


words = [(m, m + len(w)) for w in TEXT.split() for m in [TEXT.index(w)]]
picked = st.lists(st.sampled_from(words), max_size=3, unique=True)
answers = st.lists(
    st.tuples(st.sampled_from([None, FIRST, SECOND, THIRD, (0, 48)]), picked, st.sampled_from("abc"),
              st.sampled_from([None, 1, 2, 3]), st.sampled_from(["one", "two", "city_correct"]),
              st.sampled_from(["accept", "accept", "accept", "reject", "ignore"])),
    min_size=1, max_size=4,
)  # fmt: skip


@given(drawn=answers, policy=st.sampled_from(["majority", "union", "intersection", "latest"]))
def test_every_answer_and_span_is_accounted_for_and_ranges_are_sound(drawn, policy):
    tasks = [
        answer(*(Span(*word, "CITY") for word in spans if where is None or where[0] <= word[0] < word[1] <= where[1]),
               within=where, by=by, at=at, dataset=dataset, place=n, answer=said)
        for n, (where, spans, by, at, dataset, said) in enumerate(drawn)
    ]  # fmt: skip
    gold, conflicts, account = merged(*tasks, policy=policy, corrects={"city_correct": frozenset(["one", "two"])})
    for ranges in gold.covered_ranges.values():
        assert ranges == sorted(ranges)
        assert all(one[1] < other[0] for one, other in itertools.pairwise(ranges))
        assert all(TEXT[start:end].strip() for start, end in ranges)
    assert not {*gold.covered_ranges} & {*gold.covered, *gold.unresolved}
    known = sorted({*gold.spans, *gold.accepted})
    assert known == sorted([*gold.spans, *gold.accepted])
    assert all(one.end <= other.start for one, other in itertools.pairwise(known))
    # What all say is gold; what anyone says and is not gold is listed.
    listed = {span for conflict in conflicts for each in conflict.answers for span in each.spans}
    counting = [task for task in tasks if task.answer == "accept"]
    if not any(task.answer == "reject" for task in tasks):
        assert {span for task in counting for span in task.spans} <= {*known, *listed}
    assert msgspec.json.decode(msgspec.json.encode(gold), type=type(gold)) == gold
    assert account.totals["texts"] == 1
