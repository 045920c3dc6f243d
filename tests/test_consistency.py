"""Consistency: what is annotated where a form stands, what of it is probably wrong, and who differs from whom."""

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
from scripts.checking.agreement import Tally, alpha, words_of
from scripts.checking.consistency import read_suspects
from scripts.checking.passages import Known, arranged
from scripts.checking.rates import Sums, chi_square_tail, groups
from scripts.checking.surface_forms import KINDS, annotated_forms, finder, occurrences, summed
from scripts.core import manifest as manifests
from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.merging import survey
from scripts.merging.merge import Resources, merge
from tests.annotated import task, write
from tests.project import fail, succeed

LABELS = ("LOC", "ORG")


def known(text, *spans, covered=LABELS):
    return Known(input_hash=0, text=text, spans=sorted(Span(*span) for span in spans), covered=list(covered))


def places(texts, labels=LABELS):
    """All places of all forms: form, label, what is there, number of the text, start."""
    found = arranged(texts, labels)
    table = annotated_forms(found)
    result = []
    for each in occurrences(found, finder(table), table):
        for row, kind, start, end in zip(each.rows, each.kinds, each.starts, each.ends, strict=True):
            number = int(found.prints.text_at(np.array([start]))[0])
            start, end = int(start - found.prints.starts[number]), int(end - found.prints.starts[number])
            label = labels[table["label"][row]]
            result.append((texts[number].text[start:end], label, KINDS[kind], number, start))
    return sorted(result)


def made(folder, tasks, policy="majority"):
    """Pulled, merged, and looked at."""
    manifest = write(folder / "annotations", tasks)
    merge(manifest, folder / "annotations", folder / "corpus", policy, Resources(256, 1))
    return consistency.look(folder / "corpus", folder / "annotations", manifest, 1)


def numbered(tasks):
    """Each answer its own place in its dataset."""
    return [msgspec.structs.replace(one, source=f"link:{number}") for number, one in enumerate(tasks)]


# Where forms stand


def test_each_kind_of_place():
    texts = [
        known("Rome", (0, 4, "LOC")),
        known("in Rome we are"),
        known("New Rome", (0, 8, "LOC")),
        known("AS Rome", (0, 7, "ORG")),
        known("of Rome", (3, 7, "ORG")),
        known("New Rome (NY)", (0, 3, "LOC"), (9, 13, "LOC")),
    ]
    kinds = [(kind, number) for form, label, kind, number, _ in places(texts) if (form, label) == ("Rome", "LOC")]
    assert sorted(kinds, key=lambda each: each[1]) == [
        ("annotated", 0), ("none", 1), ("inside", 2), ("other", 3), ("relabelled", 4), ("none", 5),
    ]  # fmt: skip
    assert [each[2:4] for each in places(texts) if each[0] == "New Rome"] == [("annotated", 2), ("partly", 5)]


def test_what_is_not_annotated_for_a_label_says_nothing_of_it():
    texts = [known("Rome", (0, 4, "LOC")), known("Rome", covered=["ORG"]), known("Rome", covered=[])]
    assert places(texts) == [("Rome", "LOC", "annotated", 0, 0)]


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        ("US", True), ("(US)", True), ("US-led", True), ("US.", True), ("USA", False), ("USB US", True), ("2US", False),
        ("éUS", False), ("US\u0301", False), ("US’s", True), ("\u200bUS", True), ("Us", False), ("U S", False),
    ],
)  # fmt: skip
def test_a_form_never_stands_inside_a_word(text, stands):
    found = places([known("US", (0, 2, "LOC")), known(text)])
    assert (len(found) == 2) is stands


def test_texts_are_apart():
    """What ends one and begins the next is no form."""
    assert len(places([known("New York", (0, 8, "LOC")), known("in New "), known("York")])) == 1
    assert len(places([known("US", (0, 2, "LOC")), known("of US"), known("A")])) == 2


WORDS = st.sampled_from(["a", "b", "ab", "New", "York", "(", ",", "é", "ü\u0308", "-", "日", "1"])
TEXTS = st.lists(
    st.tuples(st.lists(WORDS, min_size=1, max_size=9), st.lists(st.sampled_from([" ", "", "\n"]), min_size=9)),
    min_size=1,
    max_size=5,
)


@given(TEXTS, st.randoms(use_true_random=False))
def test_all_places_are_found_and_add_up(drawn, random_):
    """Beside what a regular expression finds, for each form alone."""
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
        texts.append(Known(0, text, sorted(spans), covered))
    found = places(texts)
    part = r"[^\W_]|[\u0300-\u036f]"
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
        return "annotated" if is_same else "inside" if own[0].start <= start and end <= own[0].end else "partly"
    if any((span.start, span.end) == (start, end) for span in touching):
        return "relabelled"
    return "other" if touching else "none"


def test_forms_of_parts_add_up():
    one = annotated_forms(arranged([known("Rome Rome", (0, 4, "LOC"), (5, 9, "LOC"))], LABELS))
    two = annotated_forms(arranged([known("Rome", (0, 4, "LOC")), known("Rome", (0, 4, "ORG"))], LABELS))
    assert sorted((int(row["label"]), int(row["count"])) for row in summed([one, two])) == [(0, 3), (1, 1)]


# What is probably wrong


ALL_KINDS = [
    *(task(f"We saw Lake Como in year {n} .", (7, 16, "LOC"), labels=LABELS) for n in range(9)),
    task("They saw Lake Como again .", labels=LABELS),
    task("Yes, Lake Como it was .", (5, 14, "ORG"), labels=LABELS),
    task("Then Lake Como came .", (10, 14, "LOC"), labels=LABELS),
    task("For Lake Como came it .", (4, 18, "LOC"), labels=LABELS),
    task("No label for Lake Como here .", labels=["ORG"]),
]


def test_findings_are_places_with_what_may_be_right(tmp_path):
    found = made(tmp_path, numbered(ALL_KINDS))
    suspects = {one.text: one for one in read_suspects(tmp_path / "corpus")}
    assert [suspects[each.text].doubt for each in ALL_KINDS[9:13]] == ["missing", "label", "boundary", "boundary"]
    assert len(suspects) == found.suspects == 4
    missing, other, shorter, longer = (suspects[each.text] for each in ALL_KINDS[9:13])
    assert (missing.label, missing.start, missing.end) == ("LOC", 9, 18)
    assert (missing.annotated, missing.proposed) == ([], [Span(9, 18, "LOC")])
    assert (other.label, other.annotated, other.proposed) == ("ORG", [Span(5, 14, "ORG")], [Span(5, 14, "LOC")])
    assert (shorter.annotated, shorter.proposed) == ([Span(10, 14, "LOC")], [Span(5, 14, "LOC")])
    assert (longer.annotated, longer.proposed) == ([Span(4, 18, "LOC")], [Span(4, 13, "LOC")])
    assert missing.reason == "9 of 13 places of this form are annotated as LOC; this one is not."
    scores = [(one.tier, -one.score) for one in read_suspects(tmp_path / "corpus")]
    assert scores == sorted(scores)
    assert {tuple(one.found_by) for one in suspects.values()} == {("forms",)}


def test_what_is_in_a_longer_name_or_compound_is_less_sure(tmp_path):
    usual = [task(f"We saw Como in year {n} .", (7, 11, "LOC"), labels=LABELS) for n in range(9)]
    odd = [
        task(text, labels=LABELS) for text in ("They saw Como today .", "The Como United team .", "A Como-based one .")
    ]
    made(tmp_path, numbered([*usual, *odd]))
    assert [one.text for one in read_suspects(tmp_path / "corpus")] == [
        "They saw Como today .", "The Como United team .", "A Como-based one .",
    ]  # fmt: skip


def test_one_finding_a_place_the_longest_of_what_is_missing(tmp_path):
    usual = [task(f"We saw Lake Como in year {n} .", (7, 16, "LOC"), labels=LABELS) for n in range(5)]
    usual += [task(f"Como it was {n} .", (0, 4, "LOC"), labels=LABELS) for n in range(20)]
    made(tmp_path, numbered([*usual, task("They saw Lake Como today .", labels=LABELS)]))
    (one,) = read_suspects(tmp_path / "corpus")
    assert one.text[one.start : one.end] == "Lake Como"


def test_errors_put_into_annotations_come_first(tmp_path):
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
    """Ana and Ben annotate a form as a label; Carl never does, but always what is said."""
    tasks = []
    for number in range(20):
        who = ("ana", "ben", "carl", "ana")[number % 4]
        text = f"{number:02} saw Lake Como then ."
        spans = spans_of_carl if who == "carl" else [(7, 16, "LOC")]
        tasks.append(task(text, *spans, labels=LABELS, annotator=who))
    return tasks, {each.text for each in tasks if each.annotator == "carl"}


@pytest.mark.parametrize(
    ("spans", "doubt", "says"),
    [
        ([], "missing", "this one is not"),
        ([(7, 16, "ORG")], "label", "this one as ORG"),
        ([(12, 16, "LOC")], "boundary", "of this one only a part is"),
    ],
)
def test_who_always_does_the_same_to_a_form_is_compared_with_the_others(tmp_path, spans, doubt, says):
    tasks, wrong = _careless(spans)
    made(tmp_path, numbered(tasks))
    found = [one for one in read_suspects(tmp_path / "corpus") if one.tier == 1]
    assert {one.text for one in found} == wrong
    assert {one.doubt for one in found} == {doubt}
    assert {one.reason for one in found} == {
        f"15 of 15 places of this form in the texts of others are annotated as LOC; {says}."
    }


def test_texts_of_several_annotators_are_nobodys_own(tmp_path):
    tasks, wrong = _careless([(7, 16, "ORG")])
    twice = [msgspec.structs.replace(each, annotator="dora") for each in tasks if each.text in wrong]
    made(tmp_path, numbered([*tasks, *twice]))
    reasons = {one.reason for one in read_suspects(tmp_path / "corpus")}
    assert not any("of others" in reason for reason in reasons)


# What is written


def test_counts_add_up(tmp_path):
    tasks = [
        *ALL_KINDS,
        task("xRomex", (1, 5, "LOC"), labels=LABELS),
        task("a b", (0, 1, "LOC"), (0, 1, "ORG"), labels=LABELS),
    ]
    found = made(tmp_path, numbered(tasks))
    loc, org = found.labels["LOC"], found.labels["ORG"]
    assert (loc.texts, org.texts, found.texts) == (15, 16, 16)
    assert (loc.spans, loc.within) == (13, 1)
    assert loc.places["annotated"] == loc.spans - loc.within
    for label in found.labels.values():
        assert sum(label.suspects.values()) == sum(label.tiers.values())
        for form in label.table:
            parts = (form.annotated, form.inside, form.partly, form.relabelled, form.other, form.none)
            assert sum(parts) == form.places
    assert sum(sum(label.suspects.values()) for label in found.labels.values()) == found.suspects
    form = loc.table[0]
    assert (form.form, form.places, form.annotated, form.none, form.relabelled) == ("Lake Como", 13, 9, 1, 1)
    assert [where.said for where in form.examples["none"]] == ["Lake Como"]
    (overlap,) = found.overlaps
    assert (overlap.labels, overlap.count, overlap.same) == (("LOC", "ORG"), 1, 1)
    assert [(each.form, each.labels) for each in found.several] == [
        ("Lake Como", {"LOC": 9, "ORG": 1}),
        ("a", {"LOC": 1, "ORG": 1}),
    ]
    assert found.all_several == 2


def test_the_result_depends_on_neither_processes_nor_parts(tmp_path, monkeypatch):
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
    consistency.look(tmp_path / "corpus", tmp_path / "annotations", manifest, 2)
    assert [(folder / name).read_bytes() for name in ("consistency.json", "consistency.jsonl")] == before
    assert not list(folder.glob(".tmp*"))


def test_nothing_annotated_is_no_error(tmp_path):
    found = made(tmp_path, numbered([task("Nothing"), task("")]))
    assert found.labels["ORG"].places == dict.fromkeys(KINDS, 0)
    assert list(read_suspects(tmp_path / "corpus")) == []


def test_what_is_of_other_annotations_is_not_believed(tmp_path):
    made(tmp_path, numbered([task("Rome", (0, 4, "ORG"))]))
    assert consistency.load(tmp_path / "corpus").texts == 1
    (tmp_path / "annotations").rename(tmp_path / "before")
    manifest = write(tmp_path / "annotations", numbered([task("Bonn", (0, 4, "ORG"))]))
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(256, 1))
    with pytest.raises(
        UserError, match=r"consistency\.json: is of annotations that have changed .* weasel run consist"
    ):
        consistency.load(tmp_path / "corpus")
    (tmp_path / "corpus/review/consistency.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        consistency.load(tmp_path / "corpus")
    (tmp_path / "corpus/review/consistency.json").unlink()
    assert consistency.load(tmp_path / "corpus") is None


def test_the_step_says_what_it_found(tmp_path):
    assert "pull the annotations first" in fail(tmp_path, "consistency", "annotations", "corpus")
    made(tmp_path, numbered(ALL_KINDS))
    said = succeed(tmp_path, "consistency", "annotations", "corpus")
    assert "LOC 28 11 13 2 2 3 2 ORG" in said
    assert "“Lake Como” is LOC at 9 of 13 places, and nothing at 1" in said
    assert "✔ corpus/review/consistency.jsonl: 4 findings, the surest first" in said
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


def test_words_of_several_answers_are_counted_once():
    tally = Tally()
    tally.count({"a": frozenset({(0, 4)}), "b": frozenset({(0, 4)}), "c": frozenset()}, words_of("Rome is old ."))
    tally.count({"a": frozenset({(0, 4)}), "b": frozenset()}, words_of("Rome"))
    assert tally.coincidences == [3 * 3 + 0, 1 + 1, 1]
    assert Tally().agreement().f is None


def test_a_careless_annotator_is_named(tmp_path):
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


def test_chance_alone_is_rarely_taken_for_a_difference():
    """Counts that vary more than Poisson's, among groups that are all alike."""
    generator = np.random.default_rng(0)
    values = []
    for _ in range(400):
        counted = {}
        for name in "abc":
            sums = Sums()
            for _ in range(60):
                length = int(generator.integers(50, 400))
                sums.count(int(generator.poisson(generator.gamma(1.0, length / 100))), length)
            counted["ORG", ("", name, "")] = sums
        (found,) = groups(counted)
        values.append(found.chance)
    assert 0.02 < np.mean(np.array(values) < 0.05) < 0.085


def test_small_groups_are_shown_and_not_compared():
    few, many = Sums(), Sums()
    few.count(1, 100)
    for _ in range(50):
        many.count(1, 100)
    (found,) = groups({("ORG", ("few", "", "")): few, ("ORG", ("many", "", "")): many})
    assert found.chance is None
    assert [rate.is_tested for rate in found.rates] == [False, True]


def test_many_months_are_quarters():
    counted = {}
    for month in range(1, 25):
        sums = Sums()
        for _ in range(20):
            sums.count(1, 100)
        counted["ORG", ("", "", f"20{20 + (month - 1) // 12}-{(month - 1) % 12 + 1:02}")] = sums
    (found,) = groups(counted)
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
