"""What `import` says of labels that never stand in one text, and of labels without a block."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
import spacy
from spacy.tokens import DocBin

from scripts.sources.blocks import write_config
from scripts.sources.importing import find_datasets
from scripts.sources.planning import plan_import
from tests.prodigy import line, task
from tests.project import TRAINING, succeed

APART = "CITY and PERSON never stand in one text (CITY in 20, PERSON in 20 of 40), yet a text of one is taken as having"
OWN_PATHS = "If each was annotated in its own texts, import them by their own paths: "
WORDS = {"PERSON": "Ada", "CITY": "Graz"}


def sentence(number):
    return f"Number {number}: Ada moved to Graz."


def span(text, label):
    start = text.index(WORDS[label])
    return start, start + len(WORDS[label]), label


def texts_of():
    """Texts by the one label that was annotated in them."""
    return {label: [sentence(20 * place + number) for number in range(20)] for place, label in enumerate(WORDS)}


def said(path, tmp_path):
    return plan_import(find_datasets("", str(path), {}), tmp_path / "datasets.cfg", "add").said


def write_brat(folder, name, text, *spans):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(text, "utf8")
    lines = (f"T{at}\t{label} {start} {end}\t{text[start:end]}\n" for at, (start, end, label) in enumerate(spans, 1))
    (folder / f"{name}.ann").write_text("".join(lines), "utf8")


def in_brat(folder):
    for label, texts in texts_of().items():
        for number, text in enumerate(texts):
            write_brat(folder / label.lower(), f"{label}{number}", text, span(text, label))
    return "city, person"


def in_conll(folder):
    folder.mkdir()
    for label, texts in texts_of().items():
        rows = (f"{word}\t{f'B-{label}' if word.strip('.') == WORDS[label] else 'O'}\n" for text in texts
                for word in [*text.split(), ""])  # fmt: skip
        lines = "".join(rows).replace("\tO\n\tO", "\tO\n")
        (folder / f"{label.lower()}.conll").write_text(lines.replace("\n\tO\n", "\n\n"), "utf8")
    return "city.conll, person.conll"


def in_docbins(folder):
    folder.mkdir()
    nlp = spacy.blank("en")
    for label, texts in texts_of().items():
        docs = []
        for text in texts:
            doc = nlp(text)
            start, end, _ = span(text, label)
            doc.set_ents([doc.char_span(start, end, label)])
            docs.append(doc)
        DocBin(docs=docs).to_disk(folder / f"{label.lower()}.spacy")
    return "city.spacy, person.spacy"


@pytest.mark.parametrize("write", [in_brat, in_conll, in_docbins])
def test_labels_in_files_of_their_own_are_named_with_these(write, tmp_path):
    names = write(tmp_path / "all")
    (found,) = said(tmp_path / "all", tmp_path)
    assert APART in found
    assert found.endswith(OWN_PATHS + names)


def prodigy(folder, *groups):
    """A dataset with groups of texts and the labels of each."""
    tasks = [task(text, [span(text, label) for label in labels]) for texts, labels in groups for text in texts]
    (folder / "ner.jsonl").write_text("\n".join(map(line, tasks)), "utf8")
    return folder / "ner.jsonl"


def test_labels_in_one_file_can_be_taken_apart_by_what_is_said(tmp_path):
    texts = texts_of()
    path = prodigy(tmp_path, *((texts[label], [label]) for label in texts))
    (found,) = [one for one in said(path, tmp_path) if "never" in one]
    assert APART in found
    assert 'set repeats = "unite"' in found
    config = tmp_path / "datasets.cfg"
    write_config(config, plan_import(find_datasets("", str(path), {}), config, "add").config)
    assert covered(tmp_path) == {"CITY": 40, "PERSON": 40}
    config.write_text(re.sub(r"^labels", 'repeats = "unite"\nlabels', config.read_text(), flags=re.MULTILINE))
    assert covered(tmp_path) == {"CITY": 20, "PERSON": 20}


def covered(folder):
    """By label, the texts that it is covered in, as its blocks say it."""
    (folder / "training.cfg").write_text(TRAINING)
    succeed(folder, "pull")
    succeed(folder, "merge")
    lines = (folder / "corpus" / "gold.jsonl").read_text("utf8").splitlines()
    return Counter(label for one in lines for label in json.loads(one)["covered"])


def test_groups_of_labels_are_told_apart(tmp_path):
    both = ["CITY", "PERSON"]
    other = [f"{number}. Acme and Bolt grew." for number in range(20)]
    tasks = [task(text, [span(text, label) for label in both]) for text in texts_of()["CITY"]]
    tasks += [task(text, [(text.index("Acme"), text.index("Acme") + 4, "ORG")]) for text in other]
    (tmp_path / "ner.jsonl").write_text("\n".join(map(line, tasks)), "utf8")
    (found,) = [one for one in said(tmp_path / "ner.jsonl", tmp_path) if "never" in one]
    assert "ner: CITY + PERSON and ORG never stand in one text (CITY in 20, ORG in 20, PERSON in 20 of 40)" in found


@pytest.mark.parametrize("shared", [1, 20])
def test_nothing_is_said_of_labels_that_meet(shared, tmp_path):
    texts = texts_of()
    both = [sentence(100 + number) for number in range(shared)]
    path = prodigy(tmp_path, (texts["CITY"], ["CITY"]), (texts["PERSON"], ["PERSON"]), (both, ["CITY", "PERSON"]))
    assert not [one for one in said(path, tmp_path) if "never" in one]


@pytest.mark.parametrize(("frequent", "empty"), [(4, 0), (6, 60)])
def test_nothing_is_said_of_labels_that_may_not_meet_by_chance(frequent, empty, tmp_path):
    texts = texts_of()
    path = prodigy(
        tmp_path,
        (texts["CITY"][:frequent], ["CITY"]),
        (texts["PERSON"][:frequent], ["PERSON"]),
        ([sentence(100 + number) for number in range(empty)], []),
    )
    assert not [one for one in said(path, tmp_path) if "never" in one]


def test_nothing_is_said_of_binary_answers_and_passes(tmp_path):
    texts = texts_of()
    one = [task(text, [span(text, label)], _view_id="ner") for label in texts for text in texts[label]]
    (tmp_path / "binary.jsonl").write_text("\n".join(map(line, one)), "utf8")
    assert not [one for one in said(tmp_path / "binary.jsonl", tmp_path) if "never" in one]
    both = [text for label in texts for text in texts[label]]
    path = prodigy(tmp_path, (both, ["CITY"]), (both, ["PERSON"]))
    assert not [one for one in said(path, tmp_path) if "never" in one]


def test_a_label_without_a_block_is_named_with_the_reasons(tmp_path):
    for number in range(8):
        text = sentence(number)
        write_brat(tmp_path / "all", str(number), text, span(text, "PERSON"))
        with (tmp_path / "all" / f"{number}.ann").open("a") as file:
            file.write("T9\tROUTE 0 6;10 13\tNumber Ada\n")
    found = said(tmp_path / "all", tmp_path)
    assert "all: ROUTE has no block: 8 × discontinuous span" in found
    assert any('8 × discontinuous span, which is skipped: discontinuous = "cover"' in one for one in found)
    plan = plan_import(find_datasets("", str(tmp_path / "all"), {"discontinuous": "cover"}), tmp_path / "x.cfg", "add")
    assert [block.name for block in plan.blocks] == ["all_person", "all_route"]
