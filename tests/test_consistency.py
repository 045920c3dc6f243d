"""Consistency: what is annotated where a surface form occurs, which of it is suspect, and agreement and rates."""

from __future__ import annotations

import math
import random
import re
from itertools import permutations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.checking import consistency
from scripts.checking.consistency import read_suspects
from scripts.checking.groups import AgreementCounts, RateSums, alpha, chi_square_tail, compare_groups, find_words
from scripts.checking.passages import CoveredText, to_passage
from scripts.checking.surface_forms import KINDS, FormFinder, annotated_forms, find_occurrences, sum_forms
from scripts.core import manifest as manifests
from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.core.settings import DatasetOptions
from scripts.merging import survey
from scripts.merging.merge import Resources, merge
from tests.annotated import task, write
from tests.project import fail, succeed

LABELS = ("LOC", "ORG")


def gold(text, *spans, covered=LABELS):
    return CoveredText(input_hash=0, text=text, spans=sorted(Span(*span) for span in spans), covered=list(covered))


def all_occurrences(texts, labels=LABELS):
    """All occurrences of all surface forms: form, label, kind, number of the text, start."""
    found = to_passage(texts, labels)
    table = annotated_forms(found)
    result = []
    for each in find_occurrences(found, FormFinder(table), table):
        for row, kind, start, end in zip(each.rows, each.kinds, each.starts, each.ends, strict=True):
            number = int(found.prints.text_at(np.array([start]))[0])
            start, end = int(start - found.prints.starts[number]), int(end - found.prints.starts[number])
            label = labels[table["label"][row]]
            result.append((texts[number].text[start:end], label, KINDS[kind], number, start))
    return sorted(result)


def made(folder, tasks, policy="majority", **options):
    """Pulled, merged, and checked."""
    manifest = write(folder / "annotations", tasks)
    merge(manifest, folder / "annotations", folder / "corpus", policy, Resources(256, 1), options=options)
    return consistency.check(folder / "corpus", folder / "annotations", manifest, 1)


def numbered(tasks):
    """Answers with positions in their dataset."""
    return [msgspec.structs.replace(one, source=f"link:{number}") for number, one in enumerate(tasks)]


def rate_sums(texts):
    """The sums over texts, each as its spans and characters."""
    return sum((RateSums(1, spans, size, spans**2, size**2, spans * size) for spans, size in texts), RateSums())


# Where surface forms occur


def test_each_kind_of_occurrence():
    texts = [
        gold("Rome", (0, 4, "LOC")),
        gold("in Rome we are"),
        gold("New Rome", (0, 8, "LOC")),
        gold("AS Rome", (0, 7, "ORG")),
        gold("of Rome", (3, 7, "ORG")),
        gold("New Rome (NY)", (0, 3, "LOC"), (9, 13, "LOC")),
    ]
    kinds = [
        (kind, number) for form, label, kind, number, _ in all_occurrences(texts) if (form, label) == ("Rome", "LOC")
    ]
    assert sorted(kinds, key=lambda each: each[1]) == [
        ("annotated", 0), ("none", 1), ("inside", 2), ("overlapped", 3), ("relabeled", 4), ("none", 5),
    ]  # fmt: skip
    assert [each[2:4] for each in all_occurrences(texts) if each[0] == "New Rome"] == [("annotated", 2), ("partial", 5)]


def test_texts_where_a_label_is_not_covered_do_not_count():
    texts = [
        gold("Rome", (0, 4, "LOC")),
        gold("Rome", covered=["ORG"]),
        gold("Rome", covered=[]),
    ]
    assert all_occurrences(texts) == [("Rome", "LOC", "annotated", 0, 0)]


@pytest.mark.parametrize(
    ("text", "occurs"),
    [
        ("US", True), ("(US)", True), ("US-led", True), ("US.", True), ("USA", False), ("USB US", True), ("2US", False),
        ("éUS", False), ("US\u0301", False), ("US’s", True), ("\u200bUS", True), ("Us", False), ("U S", False),
    ],
)  # fmt: skip
def test_a_form_never_occurs_inside_a_word(text, occurs):
    found = all_occurrences([gold("US", (0, 2, "LOC")), gold(text)])
    assert (len(found) == 2) is occurs


def test_a_form_never_spans_two_texts():
    assert len(all_occurrences([gold("New York", (0, 8, "LOC")), gold("in New "), gold("York")])) == 1
    assert len(all_occurrences([gold("US", (0, 2, "LOC")), gold("of US"), gold("A")])) == 2


WORDS = st.sampled_from(["a", "b", "ab", "New", "York", "(", ",", "é", "ü\u0308", "-", "日", "1"])
TEXTS = st.lists(
    st.tuples(st.lists(WORDS, min_size=1, max_size=9), st.lists(st.sampled_from([" ", "", "\n"]), min_size=9)),
    min_size=1,
    max_size=5,
)


@given(TEXTS, st.randoms(use_true_random=False))
def test_all_occurrences_are_found_as_by_a_regular_expression(drawn, random_):
    texts = []
    for words, blanks in drawn:
        text = "".join(word + blank for word, blank in zip(words, blanks, strict=False))
        spans = []
        for _ in range(3):
            start, end = sorted(random_.choices(range(len(text) + 1), k=2))
            label = random_.choice(LABELS)
            is_free = all(end <= s.start or s.end <= start for s in spans if s.label == label)
            if start < end and is_free and text[start:end] == text[start:end].strip():
                spans.append(Span(start, end, label))
        covered = sorted({span.label for span in spans} | set(random_.sample(LABELS, random_.randrange(3))))
        texts.append(CoveredText(0, text, sorted(spans), covered))
    found = all_occurrences(texts)
    part = r"[^\W_日]|[\u0300-\u036f]"  # 日 is a word by itself
    forms = {
        (each.text[span.start : span.end], span.label)
        for each in texts
        for span in each.spans
        if _is_whole(each.text, span.start, span.end, part)
    }
    expected = {
        (form, label, number, start)
        for form, label in forms
        for number, each in enumerate(texts)
        if label in each.covered
        for start in range(len(each.text))
        if each.text.startswith(form, start) and _is_whole(each.text, start, start + len(form), part)
    }
    assert {(form, label, number, start) for form, label, _, number, start in found} == expected
    assert len(found) == len(expected)
    for form, label, kind, number, start in found:
        assert kind == _kind_of(texts[number].spans, label, start, start + len(form))


def _is_whole(text, start, end, part):
    def inside(place):
        return 0 < place < len(text) and re.match(part, text[place - 1]) and re.match(part, text[place])

    return not inside(start) and not inside(end)


def _kind_of(spans, label, start, end):
    touching = [span for span in spans if span.start < end and start < span.end]
    own = [span for span in touching if span.label == label]
    if own:
        is_same = (own[0].start, own[0].end) == (start, end)
        return "annotated" if is_same else "inside" if own[0].start <= start and end <= own[0].end else "partial"
    if any((span.start, span.end) == (start, end) for span in touching):
        return "relabeled"
    return "overlapped" if touching else "none"


def test_forms_of_parts_add_up():
    one = annotated_forms(to_passage([gold("Rome Rome", (0, 4, "LOC"), (5, 9, "LOC"))], LABELS))
    two = annotated_forms(to_passage([gold("Rome", (0, 4, "LOC")), gold("Rome", (0, 4, "ORG"))], LABELS))
    assert sorted((int(row["label"]), int(row["count"])) for row in sum_forms([one, two])) == [(0, 3), (1, 1)]


# Suspects


ALL_KINDS = [
    *(task(f"We saw Lake Como in year {n} .", (7, 16, "LOC"), labels=LABELS) for n in range(9)),
    task("They saw Lake Como again .", labels=LABELS),
    task("Yes, Lake Como it was .", (5, 14, "ORG"), labels=LABELS),
    task("Then Lake Como came .", (10, 14, "LOC"), labels=LABELS),
    task("For Lake Como came it .", (4, 18, "LOC"), labels=LABELS),
    task("No label for Lake Como here .", labels=["ORG"]),
]


def test_suspects_name_the_kind_and_propose_what_is_right(tmp_path):
    found = made(tmp_path, numbered(ALL_KINDS))
    suspects = {one.text: one for one in read_suspects(tmp_path / "corpus")}
    assert [suspects[each.text].kind for each in ALL_KINDS[9:13]] == ["missing", "type", "boundary", "boundary"]
    assert len(suspects) == found.suspects == 4
    missing, other, shorter, longer = (suspects[each.text] for each in ALL_KINDS[9:13])
    assert (missing.label, missing.start, missing.end) == ("LOC", 9, 18)
    assert (missing.annotated, missing.proposed) == ([], [Span(9, 18, "LOC")])
    assert (other.label, other.annotated, other.proposed) == ("ORG", [Span(5, 14, "ORG")], [Span(5, 14, "LOC")])
    assert (shorter.annotated, shorter.proposed) == ([Span(10, 14, "LOC")], [Span(5, 14, "LOC")])
    assert (longer.annotated, longer.proposed) == ([Span(4, 18, "LOC")], [Span(4, 13, "LOC")])
    assert missing.reason == "9 of 13 occurrences of this surface form are annotated as LOC; this one is not."
    scores = [(one.tier, -one.score) for one in read_suspects(tmp_path / "corpus")]
    assert scores == sorted(scores)
    assert {tuple(one.found_by) for one in suspects.values()} == {("surface_forms",)}


def test_a_form_in_a_longer_name_or_compound_scores_lower(tmp_path):
    usual = [task(f"We saw Como in year {n} .", (7, 11, "LOC"), labels=LABELS) for n in range(9)]
    odd = [
        task(text, labels=LABELS) for text in ("They saw Como today .", "The Como United team .", "A Como-based one .")
    ]
    made(tmp_path, numbered([*usual, *odd]))
    assert [one.text for one in read_suspects(tmp_path / "corpus")] == [
        "They saw Como today .", "The Como United team .", "A Como-based one .",
    ]  # fmt: skip


def test_of_missing_spans_that_overlap_the_longest_is_listed(tmp_path):
    usual = [task(f"We saw Lake Como in year {n} .", (7, 16, "LOC"), labels=LABELS) for n in range(5)]
    usual += [task(f"Como it was {n} .", (0, 4, "LOC"), labels=LABELS) for n in range(20)]
    made(tmp_path, numbered([*usual, task("They saw Lake Como today .", labels=LABELS)]))
    (one,) = read_suspects(tmp_path / "corpus")
    assert one.text[one.start : one.end] == "Lake Como"


def test_injected_errors_are_the_suspects(tmp_path):
    random_ = random.Random(0)
    names = ["Ada", "Bob Ross", "Como", "Delhi", "Essen"]
    tasks, wrong = [], set()
    for number in range(300):
        name = names[number % 5]
        text = f"{number} people met {name} then ."
        start = text.index(name)
        spans = [(start, start + len(name), "LOC")]
        if random_.random() < 0.05:
            spans = []
            wrong.add(text)
        tasks.append(task(text, *spans, labels=LABELS))
    found = made(tmp_path, numbered(tasks))
    assert {one.text for one in read_suspects(tmp_path / "corpus")} == wrong
    assert found.labels["LOC"].suspects["missing"] == len(wrong) > 5


def _careless(spans_of_carl):
    """Ana and Ben annotate a form as a label; Carl never does, and always makes the same mistake."""
    tasks = []
    for number in range(20):
        who = ("ana", "ben", "carl", "ana")[number % 4]
        text = f"{number:02} saw Lake Como then ."
        spans = spans_of_carl if who == "carl" else [(7, 16, "LOC")]
        tasks.append(task(text, *spans, labels=LABELS, annotator=who))
    return tasks, {each.text for each in tasks if each.annotator == "carl"}


@pytest.mark.parametrize(
    ("spans", "kind", "says"),
    [
        ([], "missing", "this one is not"),
        ([(7, 16, "ORG")], "type", "this one as ORG"),
        ([(12, 16, "LOC")], "boundary", "this one only in part"),
    ],
)
def test_an_annotator_who_always_makes_the_same_mistake_is_compared_with_the_others(tmp_path, spans, kind, says):
    tasks, wrong = _careless(spans)
    made(tmp_path, numbered(tasks))
    found = [one for one in read_suspects(tmp_path / "corpus") if one.tier == 1]
    assert {one.text for one in found} == wrong
    assert {one.kind for one in found} == {kind}
    assert {one.reason for one in found} == {
        f"15 of 15 occurrences of this surface form in texts of other annotators are annotated as LOC; {says}."
    }


def test_texts_of_several_annotators_are_unattributed(tmp_path):
    tasks, wrong = _careless([(7, 16, "ORG")])
    twice = [msgspec.structs.replace(each, annotator="dora") for each in tasks if each.text in wrong]
    made(tmp_path, numbered([*tasks, *twice]))
    reasons = {one.reason for one in read_suspects(tmp_path / "corpus")}
    assert not any("other annotators" in reason for reason in reasons)


# consistency.json


def test_counts_add_up(tmp_path):
    tasks = [
        *ALL_KINDS,
        task("xRomex", (1, 5, "LOC"), labels=LABELS),
        task("a b", (0, 1, "LOC"), (0, 1, "ORG"), labels=LABELS),
    ]
    found = made(tmp_path, numbered(tasks))
    loc, org = found.labels["LOC"], found.labels["ORG"]
    assert (loc.texts, org.texts, found.texts) == (15, 16, 16)
    assert (loc.spans, loc.inside_words) == (13, 1)
    assert loc.occurrences["annotated"] == loc.spans - loc.inside_words
    for label in found.labels.values():
        assert sum(label.suspects.values()) == sum(label.tiers.values())
        for form in label.most_inconsistent:
            parts = (form.annotated, form.inside, form.partial, form.relabeled, form.overlapped, form.none)
            assert sum(parts) == form.occurrences
    assert sum(sum(label.suspects.values()) for label in found.labels.values()) == found.suspects
    form = loc.most_inconsistent[0]
    assert (form.surface_form, form.occurrences, form.annotated, form.none, form.relabeled) == (
        "Lake Como",
        13,
        9,
        1,
        1,
    )
    assert [where.text for where in form.examples["none"]] == ["Lake Como"]
    (overlap,) = found.overlaps
    assert (overlap.labels, overlap.count, overlap.same_boundaries) == (("LOC", "ORG"), 1, 1)
    assert [(each.surface_form, each.labels) for each in found.ambiguous] == [
        ("Lake Como", {"LOC": 9, "ORG": 1}),
        ("a", {"LOC": 1, "ORG": 1}),
    ]
    assert found.ambiguous_total == 2


def test_the_result_depends_on_neither_processes_nor_blocks(tmp_path, monkeypatch):
    tasks = numbered(
        [
            task(
                f"{n} in Rome or Bonn {n % 7} .",
                *([(len(str(n)) + 4, len(str(n)) + 8, "ORG")] if n % 5 else []),
                annotator="ab"[n % 2],
                timestamp=1_700_000_000 + n * 86_400,
            )
            for n in range(400)
        ]
    )
    made(tmp_path, tasks)
    folder = tmp_path / "corpus/review"
    before = [(folder / name).read_bytes() for name in ("consistency.json", "consistency.jsonl")]
    monkeypatch.setattr(survey, "_BLOCK", 5_000)
    manifest = manifests.load(tmp_path / "annotations")
    consistency.check(tmp_path / "corpus", tmp_path / "annotations", manifest, 2)
    assert [(folder / name).read_bytes() for name in ("consistency.json", "consistency.jsonl")] == before
    assert not list(folder.glob(".tmp*"))


def test_nothing_annotated_is_no_error(tmp_path):
    found = made(tmp_path, numbered([task("Nothing"), task("")]))
    assert found.labels["ORG"].occurrences == dict.fromkeys(KINDS, 0)
    assert list(read_suspects(tmp_path / "corpus")) == []


def test_a_result_of_other_annotations_is_outdated(tmp_path):
    made(tmp_path, numbered([task("Rome", (0, 4, "ORG"))]))
    assert consistency.load(tmp_path / "corpus").texts == 1
    (tmp_path / "annotations").rename(tmp_path / "before")
    manifest = write(tmp_path / "annotations", numbered([task("Bonn", (0, 4, "ORG"))]))
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(256, 1))
    with pytest.raises(UserError, match=r"consistency\.json: the annotations have changed .* weasel run consist"):
        consistency.load(tmp_path / "corpus")
    (tmp_path / "corpus/review/consistency.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        consistency.load(tmp_path / "corpus")
    (tmp_path / "corpus/review/consistency.json").unlink()
    assert consistency.load(tmp_path / "corpus") is None


def test_the_step_prints_the_result(tmp_path):
    assert "pull the annotations first" in fail(tmp_path, "consistency", "annotations", "corpus")
    made(tmp_path, numbered(ALL_KINDS))
    said = succeed(tmp_path, "consistency", "annotations", "corpus")
    assert "LOC 28 11 13 2 2 3 2 ORG" in said
    assert "“Lake Como” is LOC in 9 of 13 occurrences, and nothing in 1" in said
    assert "✔ corpus/review/consistency.jsonl: 4 suspects, the most certain first" in said
    (tmp_path / "corpus/gold.jsonl").write_text("")
    assert "is not as it was merged" in fail(tmp_path, "consistency", "annotations", "corpus")


# Annotators and groups


def test_alpha_is_that_of_the_published_example():
    """Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C: nominal data, .743."""
    units = ["111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3"]
    coincidences = [[0.0] * 5 for _ in range(5)]
    for values in units:
        for one, other in permutations(map(int, values), 2):
            coincidences[one - 1][other - 1] += 1 / (len(values) - 1)
    assert alpha(coincidences) == pytest.approx(0.743, abs=5e-4)


def test_agreement_between_annotators(tmp_path):
    answers = [
        task("Rome and Bonn", (0, 4, "ORG"), (9, 13, "ORG"), annotator="ada"),
        task("Rome and Bonn", (0, 4, "ORG"), annotator="bob"),
        task("Rome and Bonn", (0, 8, "ORG"), annotator="ada"),
        task("Oslo", (0, 4, "ORG"), annotator="ada", dataset="other"),
        task("Oslo", (0, 4, "ORG"), annotator="bob"),
        task("Oslo", (0, 4, "ORG"), annotator="cid", answer="reject"),
        task("Kiel", (0, 4, "ORG"), annotator="ada"),
    ]
    found = made(
        tmp_path, [msgspec.structs.replace(one, timestamp=9 - n, source=f"link:{n}") for n, one in enumerate(answers)]
    )
    agreement = found.agreement["ORG"]
    (pair,) = agreement.pairs
    assert (pair.annotators, pair.texts, pair.both, pair.first, pair.second) == (("ada", "bob"), 2, 2, 1, 0)
    assert agreement.f == pair.f == pytest.approx(4 / 5)
    assert agreement.texts == 2


BOTH = ("LOC", "ORG")


def in_passes(number):
    """Ana answers for ORG, then for LOC; Ben for both at once. They agree."""
    text = f"IBM moved to Rome, {number}"
    org, loc = (0, 3, "ORG"), (13, 17, "LOC")
    return [
        task(text, org, labels=BOTH, annotator="ana", timestamp=1),
        task(text, loc, labels=BOTH, annotator="ana", timestamp=2),
        task(text, org, loc, labels=BOTH, annotator="ben", dataset="second"),
    ]


def test_passes_for_one_label_after_the_other_are_no_disagreement(tmp_path):
    found = made(tmp_path, numbered([one for number in range(5) for one in in_passes(number)]))
    assert {label: (one.texts, one.f) for label, one in found.agreement.items()} == {"LOC": (5, 1.0), "ORG": (5, 1.0)}


def test_who_makes_a_pass_for_one_label_does_not_disagree_about_another(tmp_path):
    tasks = [
        task(f"IBM moved to Rome, {number}", span, labels=BOTH, annotator=name)
        for number in range(5)
        for name, span in (("ana", (0, 3, "ORG")), ("ben", (13, 17, "LOC")))
    ]
    assert made(tmp_path, numbered(tasks), data=DatasetOptions(repeats="unite")).agreement == {}


def test_a_dataset_that_corrects_another_is_no_second_opinion(tmp_path):
    tasks = [
        task("IBM moved", (0, 3, "ORG"), annotator="ana"), task("IBM moved", annotator="ben", dataset="second"),
        task("SAP moved", (0, 3, "ORG"), annotator="ana"), task("SAP moved", annotator="cyn"),
    ]  # fmt: skip
    found = made(tmp_path, numbered(tasks), second=DatasetOptions(corrects=["data"]))
    (pair,) = found.agreement["ORG"].pairs
    assert (pair.annotators, pair.texts) == (("ana", "cyn"), 1)


def test_words_of_several_answers_are_counted_once():
    tally = AgreementCounts()
    tally.count({"a": frozenset({(0, 4)}), "b": frozenset({(0, 4)}), "c": frozenset()}, find_words("Rome is old ."))
    tally.count({"a": frozenset({(0, 4)}), "b": frozenset()}, find_words("Rome"))
    assert tally.coincidences == [3 * 3 + 0, 1 + 1, 1]
    assert AgreementCounts().agreement().f is None


def test_an_annotator_with_another_rate_is_named(tmp_path):
    random_ = random.Random(1)
    tasks = []
    for number in range(240):
        who = "abc"[number % 3]
        marked = random_.random() < (0.5 if who == "c" else 0.95)
        tasks.append(
            task(
                f"{number} times in Rome",
                *([(len(str(number)) + 10, len(str(number)) + 14, "ORG")] if marked else []),
                annotator=who,
            )
        )
    found = made(tmp_path, numbered(tasks))
    (by_annotator,) = [each for each in found.groups if each.by == "annotator"]
    assert by_annotator.differs
    assert by_annotator.farthest == "c"
    assert [rate.texts for rate in by_annotator.rates] == [80, 80, 80]
    assert sum(rate.spans for rate in by_annotator.rates) == found.labels["ORG"].spans


def test_chance_alone_is_rarely_significant():
    """Counts that vary more than Poisson's, among groups that are all alike."""
    generator = np.random.default_rng(0)
    values = []
    for _ in range(400):
        counted = {}
        for name in "abc":
            lengths = [int(generator.integers(50, 400)) for _ in range(60)]
            spans = [int(generator.poisson(generator.gamma(1.0, length / 100))) for length in lengths]
            counted["ORG", ("", name, "")] = rate_sums(zip(spans, lengths, strict=True))
        (found,) = compare_groups(counted)
        values.append(found.p_value)
    assert 0.02 < np.mean(np.array(values) < 0.05) < 0.085


def test_small_groups_are_shown_and_not_compared():
    few, many = rate_sums([(1, 100)]), rate_sums([(1, 100)] * 50)
    (found,) = compare_groups({("ORG", ("few", "", "")): few, ("ORG", ("many", "", "")): many})
    assert found.p_value is None
    assert [rate.is_tested for rate in found.rates] == [False, True]


def test_many_months_are_quarters():
    counted = {}
    for month in range(1, 25):
        sums = rate_sums([(1, 100)] * 20)
        counted["ORG", ("", "", f"20{20 + (month - 1) // 12}-{(month - 1) % 12 + 1:02}")] = sums
    (found,) = compare_groups(counted)
    assert [rate.name for rate in found.rates] == [
        f"202{year}-Q{quarter}" for year in (0, 1) for quarter in range(1, 5)
    ]
    assert all(rate.texts == 60 for rate in found.rates)


@pytest.mark.parametrize(
    ("value", "freedom", "expected"),
    [
        (3.841459, 1, 0.05),
        (5.991465, 2, 0.05),
        (7.814728, 3, 0.05),
        (18.307038, 10, 0.05),
        (21.026, 12, 0.05),
        (0, 3, 1),
    ],
)
def test_the_tail_of_chi_square(value, freedom, expected):
    assert math.isclose(chi_square_tail(value, freedom), expected, rel_tol=1e-4)
