"""Texts contained in longer ones, found and moved; and duplicates."""

from __future__ import annotations

import json
import shutil

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.core.answers import Span
from scripts.core.settings import DatasetOptions
from scripts.merging import contained
from scripts.merging.merge import Resources, merge
from scripts.merging.survey import Fingerprints
from tests.annotated import task, write

RESOURCES = Resources(memory_mb=512, processes=1)
few = settings(max_examples=settings.default.max_examples // 3)
DOCUMENT = "Ada Lovelace was born in London. She worked with Charles Babbage.\nHe lived in London, too 🦆."
SENTENCES = ["Ada Lovelace was born in London.", "She worked with Charles Babbage.", "He lived in London, too 🦆."]


def merged(tasks, folder, rule="auto", options=None, **resources):
    shutil.rmtree(folder, ignore_errors=True)
    manifest = write(folder / "in", tasks)
    limits = RESOURCES._replace(**resources)
    return merge(manifest, folder / "in", folder / "out", "majority", limits, rule, options=options)[0]


def lines(folder, name):
    return [json.loads(line) for line in (folder / "out" / name).read_bytes().splitlines()]


def is_word(text, at):
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()


def obvious(texts):
    """Contained texts with their occurrences in texts that are not contained, by comparing all pairs of texts."""
    found = {}
    for text in (text for text in texts if len(text) >= contained.SHORTEST):
        for container in (container for container in texts if container != text):
            starts = [at for at in range(len(container)) if container.startswith(text, at)]
            starts = [at for at in starts if not is_word(container, at) and not is_word(container, at + len(text))]
            if starts:
                found.setdefault(text, []).extend((container, at) for at in starts)
    return {text: [place for place in places if place[0] not in found] for text, places in found.items()}


words = st.lists(st.sampled_from(["a", "Ada", "met", "漢字", "🦆", "London", ".", "\n"]), min_size=1, max_size=40)
joined = st.tuples(words, st.sampled_from([" ", ""])).map(lambda drawn: drawn[1].join(drawn[0]))


@st.composite
def collections(draw):
    """Texts, and pieces of them."""
    texts = draw(st.lists(joined, min_size=1, max_size=6))
    for text in list(texts):
        for start, size in draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(14, 90)), max_size=3)):
            texts.append(text[start : start + size])
    return sorted({text for text in texts if text.strip()})


@few
@given(
    texts=collections().filter(bool), block=st.sampled_from([1, 300, 2**20]), at_a_time=st.sampled_from([1, 3, 2**20])
)
def test_contained_texts_are_those_that_comparing_all_texts_finds(texts, block, at_a_time, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contained, "_BLOCK", block)
        patch.setattr(contained, "_AT_A_TIME", at_a_time)
        account = merged([task(text, source=f"x:{number}") for number, text in enumerate(texts)], tmp_path)
    order = [line["text"] for line in lines(tmp_path, "gold.jsonl")]
    expected = obvious(texts)
    found = lines(tmp_path, "contained.jsonl")
    assert [one["text"] for one in found] == [text for text in order if text in expected]
    assert account.totals["contained"] == len(expected)
    hashes = {line["text"]: line["_input_hash"] for line in lines(tmp_path, "gold.jsonl")}
    for one in found:
        occurrences = sorted(expected[one["text"]], key=lambda place: (order.index(place[0]), place[1]))
        assert one["occurrences"] == len(occurrences)
        container, start = occurrences[0]
        assert (one["container"]["start"], one["container"]["end"]) == (start, start + len(one["text"]))
        assert one["container"]["_input_hash"] == hashes[container]


@given(st.lists(st.text("ab🦆", max_size=30), min_size=1), st.data())
def test_equal_substrings_have_equal_fingerprints_wherever_they_are(texts, data):
    prints = Fingerprints(texts)
    whole = "".join(texts)
    size = data.draw(st.integers(1, 5))
    hashes = prints.all_of(size)
    pieces = [whole[at : at + size] for at in range(len(whole) - size + 1)]
    assert len(hashes) == len(pieces)
    assert len(set(zip(pieces, hashes.tolist(), strict=True))) == len(set(pieces)) == len(set(hashes.tolist()))
    places = np.arange(len(whole))
    assert [texts[number] for number in prints.text_at(places)] == [text for text in texts for _ in text]


def test_many_texts_that_begin_alike_are_soon_compared(tmp_path):
    """Each begins with the same page. Compared one by one, it would be ten million pages to read."""
    page = "The same words at the beginning of each letter. " * 40
    tasks = [task(f"{page}Dear number {number}, " + "x" * (number % 7), source=f"x:{number}") for number in range(3000)]
    assert merged(tasks, tmp_path).totals["contained"] == 0


def teach(sentence, word, answer="accept", label="PER", **fields):
    """An answer of ner.teach about a sentence."""
    start = sentence.index(word)
    span = (start, start + len(word), label)
    meta = {"score": 0.5}
    return task(sentence, span, labels=[label], kind="binary", answer=answer, dataset="teach", meta=meta, **fields)


TEACH = [
    teach(SENTENCES[0], "Ada Lovelace", source="x:1"),
    teach(SENTENCES[0], "London", "reject", source="x:2"),
    teach(SENTENCES[1], "Charles Babbage", source="x:3"),
    teach(SENTENCES[2], "London", "accept", "GPE", source="x:4"),
    teach(SENTENCES[2], "🦆", "ignore", source="x:5"),
]


def test_answers_about_sentences_are_moved_to_their_document(tmp_path):
    account = merged([task(DOCUMENT, labels=["ORG"], dataset="org"), *TEACH], tmp_path)
    (gold,) = lines(tmp_path, "gold.jsonl")
    assert gold["text"] == DOCUMENT
    assert gold["covered"] == ["ORG"]
    assert gold["meta"] == {}
    texts = {
        kind: [(DOCUMENT[s["start"] : s["end"]], s["label"]) for s in gold[kind]] for kind in ("accepted", "rejected")
    }
    assert texts["accepted"] == [("Ada Lovelace", "PER"), ("Charles Babbage", "PER"), ("London", "GPE")]
    assert texts["rejected"] == [("London", "PER")]
    assert gold["accepted"][2]["start"] == DOCUMENT.rindex("London")
    assert account.moved == {"teach": {"texts": 3, "sentences": 3, "moved": 5}}
    assert account.answers["teach"]["read"] == 7  # two were skipped before
    assert account.answers["teach"]["ignored"] == 1
    assert account.totals["contained"] == 0


def test_moved_answers_are_checked_against_the_answers_about_the_document(tmp_path):
    per = task(DOCUMENT, (0, 12, "PER"), labels=["PER"], dataset="per")
    merged([per, *TEACH], tmp_path)
    kinds = [(conflict["kind"], conflict["labels"]) for conflict in lines(tmp_path, "conflicts.jsonl")]
    assert kinds == [("binary", ["PER"])]  # Babbage was accepted, and is not in the complete answer


def test_kept_contained_texts_stay_texts_of_their_own(tmp_path):
    account = merged([task(DOCUMENT, dataset="org"), *TEACH], tmp_path, "keep")
    assert len(lines(tmp_path, "gold.jsonl")) == 4
    assert account.totals["contained"] == 3
    assert not account.moved


def test_what_may_be_in_several_places_stays_a_text(tmp_path):
    twice = "The same again and again. The same again and again."
    again = teach("The same again and again.", "same", source="x:9")
    account = merged([task(twice), task(DOCUMENT), again, *TEACH], tmp_path)
    assert account.moved == {"teach": {"texts": 4, "sentences": 3, "moved": 5}}
    assert [line["occurrences"] for line in lines(tmp_path, "contained.jsonl")] == [2]


def test_the_shortest_sentences_are_moved_too_if_they_are_in_one_place(tmp_path):
    document = 'Ada left. "Call Bob!" Dr. Ho did. Why not? Nobody knew why it had been like that.\nWhy not? It rained.'
    said = [
        "Ada left.",
        "Dr. Ho did.",
        "Why not?",
        "It rained.",
        "Nobody knew why it had been like that.",
        '"Call Bob!"',
    ]
    tasks = [task(text, dataset="sentences", source=f"x:{number}") for number, text in enumerate([*said, "No text."])]
    account = merged([task(document, dataset="documents", labels=["PER"]), *tasks], tmp_path)
    assert account.moved == {"sentences": {"texts": 1, "sentences": 1, "moved": 5}}
    gold = {line["text"]: line for line in lines(tmp_path, "gold.jsonl")}
    assert gold.keys() == {document, "Why not?", "No text."}  # the one is there twice, the other nowhere
    assert [document[start:end] for start, end in gold[document]["covered_ranges"]["ORG"]] == [
        'Ada left. "Call Bob!" Dr. Ho did.', "Nobody knew why it had been like that.", "It rained.",
    ]  # fmt: skip


def letters(number=10):
    """Answers about documents, and about a sentence of each, with a surname that may be a town."""
    documents, sentences = [], []
    for n in range(number):
        sentences.append(f"Mr {'ABCDEFGHIJ'[n]}dam visited the old town hall {n} times.")
        opening = f"The weather in the north was number {n} on the list."
        documents.append(task(f"{opening} {sentences[-1]}", (0, 3, "ORG"), dataset="letters", source=f"l:{n}"))
    return documents, sentences


@pytest.mark.parametrize("corrected", [1, 9, 10])
@pytest.mark.parametrize("corrects", [["people"], []])
def test_sentences_are_moved_with_all_answers_that_were_corrected(corrected, corrects, tmp_path):
    """By `corrects`, or since the same annotator answers later: that these are in two datasets changes nothing."""
    documents, sentences = letters()
    people = {"dataset": "people", "labels": ["PER"], "annotator": "ada", "timestamp": 1}
    again = people | {"dataset": "again", "timestamp": 2}
    tasks = [task(text, (3, 7, "PER"), source=f"p:{n}", **people) for n, text in enumerate(sentences)]
    tasks += [task(text, source=f"a:{n}", **again) for n, text in enumerate(sentences[:corrected])]
    options = {"again": DatasetOptions(corrects=corrects)}
    account = merged([*documents, *tasks], tmp_path, options=options)
    gold = {line["text"]: line for line in lines(tmp_path, "gold.jsonl")}
    assert gold.keys() == {each.text for each in documents}
    assert [len(gold[each.text]["accepted"]) for each in documents] == [0] * corrected + [1] * (10 - corrected)
    assert all(list(line["covered_ranges"]) == ["PER"] for line in gold.values())
    assert {name: counts["moved"] for name, counts in account.moved.items()} == {"again": corrected, "people": 10}
    assert account.totals["conflicts: replacement"] == corrected
    assert account.answers["people"]["replaced"] == corrected


def test_short_sentences_are_moved_with_answers_that_were_corrected(tmp_path):
    documents, sentences = letters()
    document = task(f"{sentences[0]} Bo came. It rained.", dataset="letters", labels=["ORG"])
    said = [*sentences[1:], "Bo came."]
    tasks = [task(text, (0, 2, "PER"), labels=["PER"], dataset="people", source="p:1") for text in said]
    tasks.append(task("Bo came.", labels=["PER"], dataset="again"))
    options = {"again": DatasetOptions(corrects=["people"])}
    account = merged([document, *documents[1:], *tasks], tmp_path, options=options)
    (found,) = [line for line in lines(tmp_path, "gold.jsonl") if line["text"] == document.text]
    assert [document.text[span["start"] : span["end"]] for span in found["accepted"]] == []
    assert document.text[slice(*found["covered_ranges"]["PER"][0])] == "Bo came."
    assert {name: counts["moved"] for name, counts in account.moved.items()} == {"people": 10, "again": 1}


@pytest.mark.parametrize("label", ["PER", "ORG"])
def test_corrections_move_with_the_sentences_though_their_dataset_has_other_texts_too(label, tmp_path):
    """A dataset with answers about documents and sentences is not made of sentences. Of other labels, it stays."""
    documents, sentences = letters()
    tasks = [task(text, (3, 7, "PER"), dataset="people", labels=["PER"], source="p:1") for text in sentences]
    mixed = [*(f"Report {n} has no name." for n in range(9)), *sentences[:2]]
    tasks += [task(text, dataset="mixed", labels=[label], source=f"m:{n}") for n, text in enumerate(mixed)]
    account = merged([*documents, *tasks], tmp_path, options={"mixed": DatasetOptions(corrects=["people"])})
    gold = {line["text"]: line for line in lines(tmp_path, "gold.jsonl")}
    together = label == "PER"
    assert gold.keys() == {each.text for each in documents} | set(mixed[: 9 if together else 11])
    assert [len(gold[each.text]["accepted"]) for each in documents] == [int(not together)] * 2 + [1] * 8
    assert account.moved.get("mixed") == ({"moved": 2} if together else None)
    assert account.answers["people"]["replaced"] == (2 if together else 0)


def test_a_later_label_of_the_same_place_replaces_in_a_document_too(tmp_path):
    """Two datasets of one source: each knows the places of the other's labels, which move as its own spans do."""
    documents, sentences = letters()
    tasks = []
    for n, text in enumerate(sentences):
        person, city = [Span(3, 7, "PER")], [Span(3, 7, "CITY")]
        for label, spans in (("PER", [person, []]), ("CITY", [[], city])):
            for time, (own, other) in enumerate(zip(spans, (["PER"], ["CITY"]), strict=True)):
                others = {} if own else {"other_labels": other, "other_places": [(3, 7)]}
                tasks.append(
                    task(
                        text, *map(msgspec.structs.astuple, own), labels=[label], dataset=label.lower(),
                        annotator="ada", timestamp=time, source=f"x:{2 * n + time}", **others,
                    )
                )  # fmt: skip
    for rule in ("keep", "auto"):
        account = merged([*documents, *tasks], tmp_path, rule)
        found = [span["label"] for line in lines(tmp_path, "gold.jsonl") for span in line["spans"] + line["accepted"]]
        assert sorted(found) == ["CITY"] * 10 + ["ORG"] * 10, rule
        assert account.repeated == {"city": {"again": 10}, "per": {"again": 10}}


@pytest.mark.parametrize(
    "texts",
    [
        ["She worked with Charles", "Lovelace was born in", "He lived in London, too 🦆."],  # parts of sentences
        [SENTENCES[0], "A sentence of its own, here.", "Another that is in no document."],  # most are in no other text
    ],
)
def test_texts_of_a_dataset_that_is_not_made_of_sentences_stay_texts(texts, tmp_path):
    tasks = [task(text, dataset="short", source=f"x:{number}") for number, text in enumerate(texts)]
    account = merged([task(DOCUMENT, dataset="documents"), *tasks], tmp_path)
    assert not account.moved
    assert len(lines(tmp_path, "gold.jsonl")) == 4


def test_a_dataset_that_has_documents_and_sentences_of_them_alone_stays_as_it_is(tmp_path):
    account = merged([task(text, source=f"x:{n}") for n, text in enumerate([DOCUMENT, *SENTENCES])], tmp_path)
    assert not account.moved
    assert account.totals["contained"] == 3


@pytest.mark.parametrize("rule", ["keep", "auto"])
def test_the_same_bytes_for_any_buckets_processes_and_order(rule, tmp_path):
    texts = [f"Letter {number} says that {DOCUMENT} {number} times." for number in range(40)]
    tasks = [task(text, labels=["ORG"], dataset="org", source=f"x:{n}") for n, text in enumerate(texts)]
    tasks += [teach(f"Letter {number} says that {SENTENCES[0]}", "Ada", source=f"x:{number}") for number in range(40)]
    made = []
    for name, some, resources in [("a", tasks, {}), ("b", tasks[::-1], {"buckets": 64, "processes": 2})]:
        account = merged(some, tmp_path / name, rule, **resources)
        made.append(
            {p.name: p.read_bytes() for p in (tmp_path / name / "out").glob("[!.]*.[jc]s*") if p.name != "merge.json"}
        )
        assert account.moved == ({"teach": {"texts": 40, "sentences": 40, "moved": 40}} if rule == "auto" else {})
    assert made[0] == made[1]
    assert len(made[0]) == 5


def test_duplicates_are_listed_with_what_differs(tmp_path):
    alike = [
        ("Ada met Bob.", "Ada  met Bob .\r\n", "whitespace"),
        ("1 kg of sugar", "1\u00a0kg of sugar", "whitespace"),
        ("Caf\u00e9 Royal", "Cafe\u0301 Royal", "Unicode form"),
        ("the \ufb01rst", "the  first ", "whitespace and Unicode form"),
    ]
    texts = [text for pair in alike for text in pair[:2]] + ["Ada met Rob.", "cafe royal"]
    tasks = [task(text, dataset=f"data {number % 2}", source=f"x:{number}") for number, text in enumerate(texts)]
    account = merged(tasks, tmp_path)
    found = lines(tmp_path, "duplicates.jsonl")
    assert account.totals["duplicates"] == 8
    assert {frozenset(text["text"] for text in one["texts"]): one["differ"] for one in found} == {
        frozenset(pair[:2]): pair[2] for pair in alike
    }
    assert all({text["sources"][0] for text in one["texts"]} == {"data 0", "data 1"} for one in found)
