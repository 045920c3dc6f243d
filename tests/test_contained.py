"""Texts contained in longer ones, found and moved; and duplicates."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.merging import contained
from scripts.merging.merge import Resources, merge
from scripts.merging.survey import Fingerprints
from tests.annotated import task, write

RESOURCES = Resources(memory_mb=512, processes=1)
few = settings(max_examples=settings.default.max_examples // 3)
DOCUMENT = "Ada Lovelace was born in London. She worked with Charles Babbage.\nHe lived in London, too 🦆."
SENTENCES = ["Ada Lovelace was born in London.", "She worked with Charles Babbage.", "He lived in London, too 🦆."]


def merged(tasks, folder, rule="auto", **resources):
    shutil.rmtree(folder, ignore_errors=True)
    manifest = write(folder / "in", tasks)
    return merge(manifest, folder / "in", folder / "out", "majority", RESOURCES._replace(**resources), rule)[0]


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
