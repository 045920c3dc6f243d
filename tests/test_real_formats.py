"""Corpora of other people in all formats: every span in the files, counted without our readers, is accounted for."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise

import pytest
import spacy
from spacy.tokens import DocBin

from scripts.core.manifest import OUTCOMES
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.sources.brat import Brat
from scripts.sources.conll import Conll
from scripts.sources.docbin import DocBinFiles
from scripts.sources.doccano import Doccano
from scripts.sources.label_studio import LabelStudio
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from tests.prodigy import read


def taken(source, found, folder):
    """Pull a source; its account, in which every span that was found otherwise is kept or skipped."""
    assert source.labels_found() == found
    account = pull({"data": source}, folder, 0.5, 1).manifest.datasets["data"]
    assert account.spans["read"] == found.total()
    assert account.spans["read"] == account.spans["kept"] + account.spans["skipped"]
    assert account.records["read"] == sum(account.records[fate] for fate in OUTCOMES)
    return account


# doccano


def test_the_setswana_corpus(shared_data, tmp_path):
    path = shared_data / "doccano-bsner-setswana" / "admin.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf8").splitlines()]
    found = Counter(label for row in rows for _, _, label in row["label"])
    assert (len(rows), len({row["text"] for row in rows}), len(found), found.total()) == (454, 435, 7, 444)
    account = taken(Doccano(str(path), sorted(found)), found, tmp_path / "unannotated")
    assert {fate: n for fate, n in account.records.items() if n} == {
        "read": 454, "kept": 231, "no_answer": 223, "answers": 231
    }  # fmt: skip
    assert account.notes == {
        "whitespace at the boundaries of a span trimmed": 98,
        "not annotated yet": 223,
        "span that starts or ends inside a word": 6,
    }
    account = taken(Doccano(str(path), sorted(found), without_spans="annotated"), found, tmp_path / "annotated")
    assert account.records["kept"] == 454


def test_spans_inside_words_of_the_setswana_corpus_are_kept_as_they_are(shared_data):
    path = shared_data / "doccano-bsner-setswana" / "admin.jsonl"
    tasks, _, _ = read(Doccano(str(path), ["DATE", "LOC", "MISC", "MONEY", "ORG", "PERSON", "TIME"]))
    inside = [
        span
        for task in tasks
        for span in task.spans
        if re.match(r"\w\w", task.text[span.start - 1 : span.start + 1] if span.start else "")
        or re.match(r"\w\w", task.text[span.end - 1 : span.end + 1])
    ]
    assert len(inside) == 6


# Label Studio


@pytest.mark.parametrize(("name", "spans", "relations"), [("testing_ls_full", 13, 7), ("testing_ls", 34, 0)])
def test_the_biographies(shared_data, tmp_path, name, spans, relations):
    path = shared_data / "labelstudio-biographynet" / f"{name}.json"
    tasks = json.loads(path.read_text("utf8"))
    if "data" in tasks[0]:
        results = [one for task in tasks for annotation in task["annotations"] for one in annotation["result"]]
        values = [one["value"] for one in results if one["type"] == "labels"]
        assert sum(one["type"] == "relation" for one in results) == relations
    else:
        values = [value for task in tasks for value in task["label"]]
    found = Counter(label for value in values for label in value["labels"])
    assert found.total() == spans
    account = taken(LabelStudio(str(path), sorted(found)), found, tmp_path)
    assert (account.records["kept"], account.spans["kept"]) == (2, spans)
    assert account.notes == ({"results of type relation are not read": relations} if relations else {})
    kept = [json.loads(line) for line in (tmp_path / "data.jsonl").read_text("utf8").splitlines()]
    assert {(task["annotator"], task["timestamp"] > 1_700_000_000) for task in kept} == {("2", True)}
    covered = Counter(task["text"][span["start"] : span["end"]] for task in kept for span in task["spans"])
    assert covered == Counter(value["text"].strip() for value in values)
    assert max(len(task["text"]) for task in kept) > 60_000


# CoNLL


def entities(content, separator):
    """Entities by the first tags of runs, without our reader; the sentences; and their texts."""
    blocks = [block for block in re.split(r"\n[ \t]*\n", content) if block.strip()]
    found: Counter[str] = Counter()
    texts = []
    for block in blocks:
        rows = [line.rsplit(separator, 1) for line in block.strip("\n\t ").split("\n") if line.strip()]
        rows = [row for row in rows if row[0] != "-DOCSTART-"]
        tags = ["O", *(tag.strip() for _, tag in rows)]
        starts = [
            tag[2:] for before, tag in pairwise(tags)
            if tag != "O" and (tag.startswith("B-") or before[2:] != tag[2:])
        ]  # fmt: skip
        found.update(starts)
        texts += [" ".join(token for token, _ in rows)] if rows else []
    return found, texts


def test_the_emerging_entities(shared_data, tmp_path):
    astral = sentences = spans = 0
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        path = shared_data / "conll-wnut17" / name
        content = path.read_bytes().decode("utf8")
        assert "\n\t\n" in content or name == "emerging.dev.conll" or "\n\n" in content
        found, texts = entities(content, "\t")
        account = taken(Conll(str(path), sorted(found)), found, tmp_path / name)
        assert account.notes == {"file with tags read as iob2": 1}
        assert (account.records["kept"], account.spans["skipped"]) == (len(texts), 0)
        kept = [json.loads(line) for line in (tmp_path / name / "data.jsonl").read_text("utf8").splitlines()]
        assert Counter(task["text"] for task in kept) == Counter(texts)
        astral += sum(any(character > "\uffff" for character in text) for text in texts)
        sentences, spans = sentences + len(texts), spans + found.total()
    assert (sentences, spans, astral) == (5690, 3890, 89)


def test_the_emerging_entities_as_a_folder(shared_data, tmp_path):
    """All three files, whatever their endings, with one label set; prose beside them is not read."""
    source = Conll(str(shared_data / "conll-wnut17"), [])
    assert source.recognizes()
    names = {"train": "wnut17train.conll", "dev": "emerging.dev.conll", "test": "emerging.test.annotated"}
    assert source.split_paths() == {split: str(shared_data / "conll-wnut17" / name) for split, name in names.items()}
    assert source.labels_found().total() == 3890


def test_nested_entities_in_columns(shared_data, tmp_path):
    """LitBank has a column for each depth: the outermost entities are read, the others counted."""
    folder = shared_data / "brat-litbank" / "entities" / "tsv"
    columns = [Counter(), Counter(), Counter(), Counter()]
    for path in folder.glob("*.tsv"):
        for line in path.read_text("utf8").splitlines():
            for found, tag in zip(columns, line.split("\t")[1:], strict=False):
                found.update([tag[2:]] if tag.startswith("B-") else [])
    source = Conll(str(folder), sorted(columns[0]))
    account = taken(source, columns[0], tmp_path)
    assert (account.records["kept"], account.spans["kept"]) == (8562, columns[0].total())
    others = {f"span in column {n}, which has tags too: tag = {n} takes it": columns[n - 2].total() for n in (3, 4, 5)}
    assert others.items() <= account.notes.items()
    assert len(source.findings()) == 1


def test_wikigold(shared_data, tmp_path):
    path = next((shared_data / "conll-wikigold").rglob("*.conll.txt"))
    found, texts = entities(path.read_text("utf8"), " ")
    account = taken(Conll(str(path), sorted(found)), found, tmp_path / "sentences")
    assert account.notes == {"file with tags read as io": 1}
    assert (account.records["kept"], account.spans["kept"], len(found)) == (len(texts), 3558, 4)
    assert len(texts) == 1696
    account = taken(Conll(str(path), sorted(found), text="document"), found, tmp_path / "documents")
    assert account.records["kept"] == path.read_text("utf8").count("-DOCSTART-") == 145


# DocBin


def test_the_legal_judgements(shared_data, tmp_path):
    path = next((shared_data / "spacy-legal-ner").rglob("*.spacy"))
    docs = list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))
    found = Counter(span.label_ for doc in docs for span in doc.ents)
    assert (len(docs), len(found), found.total()) == (1074, 14, 3028)
    assert any("incorrect_spans" in doc.spans for doc in docs)
    account = taken(DocBinFiles(str(path), sorted(found)), found, tmp_path)
    nothing_known = sum(all(token.ent_iob == 0 for token in doc) for doc in docs)
    assert (nothing_known, account.notes["not annotated yet"]) == (27, 27)
    assert (account.records["kept"], account.spans["kept"]) == (1047, 3028)


# brat, and Prodigy


@pytest.mark.parametrize(
    ("name", "documents", "labels", "spans"), [("brat-ibm-diagnosis", 193, 7, 6980), ("brat-litbank", 100, 6, 13_912)]
)
def test_other_folders_of_brats(shared_data, tmp_path, name, documents, labels, spans):
    folder = shared_data / name
    contents = [path.read_bytes().decode("utf8") for path in folder.rglob("*.ann")]
    found = Counter(m[1] for content in contents for m in re.finditer(r"^T[0-9]+\t(\S+)", content, re.MULTILINE))
    assert (len(contents), len(found), found.total()) == (documents, labels, spans)
    account = taken(Brat(str(folder), sorted(found)), found, tmp_path)
    assert account.records["kept"] == documents
    assert account.spans["skipped"] <= 3


def test_the_reviews_of_the_trials(shared_data, tmp_path):
    for path in sorted((shared_data / "prodigy-neurotrialner").rglob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text("utf8").splitlines() if line.strip()]
        found = Counter(span["label"] for row in rows for span in row.get("spans") or ())
        account = taken(ProdigyJsonl(str(path), sorted(found)), found, tmp_path / path.stem)
        assert account.records["read"] == len(rows)


def test_a_block_a_label_gives_the_gold_of_all_together(shared_data, tmp_path):
    """What `import` writes for the wet lab protocols: 20 datasets of one folder."""
    folder = str(shared_data / "brat-wlp")
    labels = sorted(Brat(folder, []).labels_found())
    gold = []
    for name, sources in (
        ("all", {"all": Brat(folder, labels)}),
        ("each", {one: Brat(folder, [one]) for one in labels}),
    ):
        manifest, _ = pull(sources, tmp_path / name, 0.5, 2)
        merge(manifest, tmp_path / name, tmp_path / f"{name}-corpus", "majority", Resources(512, 2))
        lines = (tmp_path / f"{name}-corpus" / "gold.jsonl").read_text("utf8").splitlines()
        # A text that is there twice has the meta of what comes first, which depends on the datasets' names.
        gold.append([json.loads(line) | {"sources": 0, "meta": 0} for line in lines])
    assert len(labels) == 20
    assert gold[0] == gold[1]
