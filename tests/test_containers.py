"""No text of dev or test, nor a part of one, is in train: texts that stand in others are in the split of these."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.building import containers
from scripts.building.corpus import build, splitter, whole_splitter
from scripts.building.plan import CorpusPlan
from scripts.building.splits import SPLITS
from scripts.core.answers import Span
from scripts.core.errors import UserError, plain_console
from scripts.core.texts import normalized
from scripts.merging.merge import Resources, merge
from scripts.merging.merged import read_gold
from scripts.reporting.corpus import print_corpus
from tests.annotated import task, write
from tests.test_corpus import docs

PLAN = CorpusPlan({"lang": "en"}, dev=0.2, test=0.3, document="", dev_datasets=[], test_datasets=[], misaligned="snap")
few = settings(max_examples=settings.default.max_examples // 3)
FILLER = [task(f"Filler {number} has words of its own, and no other text does.") for number in range(40)]


def corpus_of(folder, tasks, plan=PLAN, processes=1):
    """Merge the answers, build the corpus. RETURNS: The account, and the texts by split."""
    shutil.rmtree(folder, ignore_errors=True)
    manifest = write(folder / "in", [each if each.spans else with_entity(each) for each in tasks])
    merge(manifest, folder / "in", folder / "out", "majority", Resources(512, 1), "keep")
    made, _ = build(folder / "out", plan, processes)
    return made, {split: {doc.text for doc in docs(folder / "out", split)} for split in SPLITS if made.texts[split]}


def with_entity(answer):
    """The first word as an entity: without any, there is nothing to train on."""
    return msgspec.structs.replace(answer, spans=[Span(0, len(answer.text.split()[0]), answer.labels[0])])


def leaks(texts):
    """Texts of at least 20 characters that are in train and, equal or as a part, in dev or test, or the other way."""
    found = set()
    for split in ("dev", "test"):
        for one in texts.get(split, ()):
            for other in texts["train"]:
                short, long = sorted([one, other], key=len)
                at = long.find(short)
                end = at + len(short)
                cut = at >= 0 and any(
                    0 < place < len(long) and long[place - 1].isalnum() and long[place].isalnum() for place in (at, end)
                )
                if (at >= 0 and not cut and len(short) >= containers.SHORTEST) or normalized(one) == normalized(other):
                    found.add((short, long))
    return found


def sentences(number):
    return [f"In letter {number} Ada wrote to Bob of {number}.", f"It came to Lyon {number * 3} days later, in May."]


def documents(numbers, **fields):
    return [
        task(" ".join(sentences(number)), dataset="documents", source=f"d:{number}", **fields) for number in numbers
    ]


def test_sentences_are_in_the_split_of_their_document(tmp_path):
    parts = [task(text, dataset="sentences") for number in range(60) for text in sentences(number)]
    made, texts = corpus_of(tmp_path, documents(range(60)) + parts)
    assert not leaks(texts)
    for found in texts.values():
        assert {text for text in found if len(text) < 70} == {
            part for number in range(60) if " ".join(sentences(number)) in found for part in sentences(number)
        }
    assert all(len(found) > 6 for found in texts.values())
    assert made.placed["followed"] > 40
    assert made.placed["leaks"] == made.placed["short"] == made.no_split == 0


def test_a_text_in_documents_of_several_splits_is_in_none_and_listed(tmp_path):
    common = "All rights to this letter belong to the archive."
    letters = [task(f"Letter {number}: {sentences(number)[0]} {common}", source=f"d:{number}") for number in range(30)]
    made, texts = corpus_of(tmp_path, [*letters, task(common, (0, 3, "ORG"), source="d:99")])
    assert not leaks(texts)
    assert common not in set().union(*texts.values())
    assert made.no_split == made.placed["no split"] == 1
    assert made.outcomes["no split"] == 1
    listed = [json.loads(line) for path in (tmp_path / "out/misaligned").iterdir() for line in path.open()]
    assert [(line["outcome"], line["end"]) for line in listed] == [("no split", len(common))]


def test_a_short_text_in_documents_of_several_splits_stays_and_is_counted(tmp_path):
    short = "Yours truly, Ada."
    letters = [task(f"Letter {number}: {sentences(number)[0]} {short}", source=f"d:{number}") for number in range(30)]
    made, texts = corpus_of(tmp_path, [*letters, task(short, source="d:99")])
    assert short in set().union(*texts.values())
    assert made.no_split == 0
    assert made.placed["short"] == 1
    assert made.placed["leaks"] == 0


@pytest.mark.parametrize(
    ("clean", "raw"),
    [
        ("Bay & Sons sold \"all\" to Carl's heir.", "Bay &amp; Sons sold &quot;all&quot; to Carl&#39;s heir."),
        ("She said “it’s over” in the end, and left.", 'She said "it\'s over" in the end, and left.'),
        ("The office of the president was closed.", "The of\u00adfice of\u200b the\n president\u00a0was closed."),
        ("Le café Résumé est fermé le dimanche.", "Le cafe\u0301 Re\u0301sume\u0301 est ferme\u0301 le dimanche."),
        ("Fish &amp;amp; chips are served at eight.", "Fish & chips are served at eight."),
    ],
)  # fmt: skip
def test_texts_equal_after_cleaning_are_listed_and_in_one_split(clean, raw, tmp_path):
    tasks = [task(f"{number}: {text}", source=f"d:{number}") for number in range(40) for text in (clean, raw)]
    made, texts = corpus_of(tmp_path, tasks)
    assert not leaks(texts)
    assert all(len([text for text in found if text.endswith(clean)]) * 2 == len(found) for found in texts.values())
    assert len((tmp_path / "out/duplicates.jsonl").read_text().splitlines()) == 40
    assert made.placed["leaks"] == 0


def test_a_text_equal_to_a_contained_one_goes_with_it(tmp_path):
    """Stripped and escaped, as they come back from another tool."""
    parts = [task(text, dataset="sentences") for number in range(60) for text in sentences(number)]
    again = [task(f"{part.text[:-1]} &nbsp;.", dataset="again", source=f"a:{n}") for n, part in enumerate(parts)]
    made, texts = corpus_of(tmp_path, documents(range(60)) + parts + again)
    of_wording = {}
    for split, found in texts.items():
        for text in found:
            of_wording.setdefault(normalized(text), set()).add(split)
    assert all(len(splits) == 1 for splits in of_wording.values())
    for number in range(60):
        document = of_wording[normalized(" ".join(sentences(number)))]
        assert all(of_wording[normalized(part)] == document for part in sentences(number))
    assert made.placed["leaks"] == 0


@pytest.mark.parametrize("split", ["dev", "test"])
def test_documents_of_sentences_to_evaluate_on_are_evaluated_on_too(split, tmp_path):
    parts = [task(sentences(number)[0], dataset="chosen") for number in range(0, 60, 10)]
    plan = PLAN._replace(**{f"{split}_datasets": ["chosen"]})
    made, texts = corpus_of(tmp_path, documents(range(60)) + parts, plan)
    assert {part.text for part in parts} <= texts[split]
    assert {" ".join(sentences(number)) for number in range(0, 60, 10)} <= texts[split]
    assert not leaks(texts)
    assert made.placed["evaluated"] > 0


def test_sentences_of_documents_to_evaluate_on_are_not_trained_on(tmp_path):
    held_out = [task(" ".join(sentences(number)), dataset="held_out") for number in range(5)]
    parts = [task(text, dataset="sentences") for number in range(60) for text in sentences(number)]
    _, texts = corpus_of(
        tmp_path, documents(range(5, 60)) + held_out + parts, PLAN._replace(test_datasets=["held_out"])
    )
    assert {text for number in range(5) for text in sentences(number)} <= texts["test"]
    assert not leaks(texts)


def test_texts_of_one_wording_in_documents_of_several_splits_are_in_none(tmp_path):
    plan = PLAN._replace(document="page")
    closing = "With kind regards to all of you"
    tasks = [task(f"{closing}{'!' * number}", meta={"page": number}, source=f"d:{number}") for number in range(20)] + [
        task(each.text, meta={"page": number // 2}, source=f"e:{number}") for number, each in enumerate(FILLER)
    ]
    made, texts = corpus_of(tmp_path, tasks, plan)
    assert not leaks(texts)
    assert made.no_split == 20
    assert sum(made.texts.values()) == 40


def test_the_same_bytes_with_more_processes_and_only_changed_shards_are_made_again(tmp_path):
    parts = [task(text, dataset="sentences") for number in range(60) for text in sentences(number)]
    corpus_of(tmp_path, documents(range(60)) + parts)
    before = {str(path): path.read_bytes() for path in (tmp_path / "out").rglob("*.spacy")}
    made, kept = build(tmp_path / "out", PLAN, 2)
    assert kept == len(made.shards)
    corpus_of(tmp_path, documents(range(60)) + parts, processes=2)
    assert before == {str(path): path.read_bytes() for path in (tmp_path / "out").rglob("*.spacy")}


def test_a_list_of_contained_texts_that_is_not_as_merged_stops(tmp_path):
    corpus_of(tmp_path, documents(range(60)))
    (tmp_path / "out/contained.jsonl").unlink()
    with pytest.raises(UserError, match=r"contained\.jsonl: is not as it was merged; merge again"):
        build(tmp_path / "out", PLAN, 1)


def test_a_queue_knows_the_splits_of_the_corpus(tmp_path):
    parts = [task(text, dataset="sentences") for number in range(60) for text in sentences(number)]
    _, texts = corpus_of(tmp_path, documents(range(60)) + parts)
    gold = tmp_path / "out/gold.jsonl"
    whole, own = whole_splitter(PLAN, gold), splitter(PLAN, gold)
    assert all(text.text in texts[whole.split_of(text)] for text in read_gold(gold))
    assert any(text.text not in texts[own.split_of(text)] for text in read_gold(gold))


def test_the_screen_says_what_was_placed(tmp_path, capsys):
    common = "All rights to this letter belong to the archive."
    letters = [task(f"{' '.join(sentences(number))} {common}", source=f"d:{number}") for number in range(60)]
    parts = [task(text, dataset="sentences") for number in range(60) for text in [*sentences(number)[:1], common]]
    made, _ = corpus_of(tmp_path, letters + parts[:-1])
    print_corpus(plain_console(), made, tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{made.placed['followed']} texts in the split of the longer text that contains it" in shown
    assert "⚠ 1 text in no split, since it stands in texts of several: corpus/misaligned/ lists it" in shown


words = st.lists(
    st.sampled_from(["Ada", "met Bob in", "London", "&amp;", "&", "“Lyon”", '"Lyon"', "."]), min_size=4, max_size=16
)


@st.composite
def planted(draw):
    """Texts, parts of them, parts of these, and their variants."""
    texts = [" ".join([f"No {number}", *draw(words)]) for number in range(12)]
    for text in list(texts):
        for start, size in draw(st.lists(st.tuples(st.integers(0, 30), st.integers(15, 60)), max_size=2)):
            part = text[start : start + size]
            texts += [part, part.replace("&amp;", "&").replace("“", '"').replace("”", '"')]
    return sorted({text for text in texts if text.strip()})


@few
@given(
    texts=planted(),
    chosen=st.sets(st.integers(0, 30), max_size=4),
    document=st.booleans(),
    block=st.sampled_from([1, 2**20]),
)
def test_no_planted_leak_is_left(texts, chosen, document, block, tmp_path):
    tasks = [
        task(text, source=f"x:{n}", dataset="chosen" if n in chosen else "data", meta={"page": n % 7})
        for n, text in enumerate(texts)
    ]
    plan = PLAN._replace(
        document="page" if document else "", test_datasets=["chosen"] if any(n < len(texts) for n in chosen) else []
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(containers, "_BLOCK", block)
        made, found = corpus_of(tmp_path, tasks + FILLER, plan)
    bad = {pair for pair in leaks(found) if len(pair[0]) >= containers.SHORTEST}
    assert not bad
    assert made.placed.get("leaks", 0) == 0
    assert sum(made.texts.values()) + made.no_split == len(texts) + len(FILLER)
