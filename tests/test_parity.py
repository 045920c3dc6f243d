"""Results stay the same: gold, conflicts, coverage and Docs of two small projects, beside stored ones.

tests/golden/before has what 328ac7d made of tests/golden/input and of `tests.generated`, with its words; the table in
`tests.before` renames them.
"""

from __future__ import annotations

import json
import shutil

import pytest
import spacy
from spacy.tokens import DocBin

from scripts.core.texts import normalized
from tests.before import (
    FILES,
    GOLDEN,
    RENAMED,
    before,
    json_lines,
    pulled_project,
    renamed,
    run_step,
    without_other_sources,
)
from tests.generated import write_project

POLICIES = {
    "union": ["--merge.between_annotators", "union"],
    "intersection": ["--merge.between_annotators", "intersection"],
    "latest": ["--merge.between_annotators", "latest"],
}


@pytest.fixture(scope="module", params=["golden", "generated"])
def project(request, tmp_path_factory):
    """The name of a project, and a folder where it was pulled, merged and made a corpus of."""
    folder = tmp_path_factory.mktemp("parity") / request.param
    if request.param == "golden":
        shutil.copytree(GOLDEN / "input", folder)
    else:
        write_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_step("pull", "datasets.cfg", "annotations", "--system.processes", 1)
        run_step("merge", "datasets.cfg", "annotations", "corpus", "--system.processes", 1)
        run_step("corpus", "datasets.cfg", "training.cfg", "corpus", "--system.processes", 1)
    return request.param, folder


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A folder with the larger project, pulled."""
    return pulled_project(tmp_path_factory.mktemp("generated"))


def lines_of_before(path):
    """The lines of a file but for those of replacements, and datasets whose answers do not count: none were listed."""
    lines = json_lines(without_other_sources(path.read_bytes()))
    return [line for line in lines if line.get("kind") != "replacement"]


@pytest.mark.parametrize("name", ["gold.jsonl", "conflicts.jsonl", "parts.jsonl", "lookalikes.jsonl"])
def test_the_same_lines(project, name):
    found, folder = project
    old = [renamed(line, RENAMED[name]) for line in json_lines(before(found, name))]
    new = lines_of_before(folder / "corpus" / FILES.get(name, name))
    assert [{key: line[key] for key in line if key != "containers"} for line in new] == old


def test_the_same_gold_byte_by_byte(project):
    found, folder = project
    new = (folder / "corpus/gold.jsonl").read_bytes()
    assert without_other_sources(new) == before(found, "gold.jsonl")
    assert new.count(b'"other_sources"') == {"golden": 2, "generated": 8}[found]


def test_the_same_coverage(project):
    found, folder = project
    header, _, rows = before(found, "coverage.csv").decode().partition("\n")
    words = RENAMED["coverage.csv"]
    columns = ",".join(words.get(column, column) for column in header.split(","))
    assert (folder / "corpus/coverage.csv").read_text() == f"{columns}\n{rows}"


def test_the_same_outcomes_of_answers_and_spans(project):
    found, folder = project
    old = renamed(json.loads(before(found, "merge.json")), RENAMED["merge.json"])
    new = json.loads((folder / "corpus/merge.json").read_bytes())
    for key in ("accepted", "rejected", "said again", "conflicts: replacement"):  # were not counted
        new["totals"].pop(key, None)
    assert {outcomes.pop("other_labels") for outcomes in new["answers"].values()} == {0}
    assert {key: new[key] for key in old} == old


def test_the_same_split(project):
    found, folder = project
    old = renamed(json.loads(before(found, "split.json")), RENAMED["split.json"])
    new = json.loads((folder / "corpus/split.json").read_bytes())
    assert {key: all_splits(new[key]) for key in old} == {key: all_splits(value) for key, value in old.items()}
    if not new["placed"]["followed"]:
        assert {key: new[key] for key in old} == old
    assert new["no_split"] == 0


def all_splits(value):
    """Counts by split are summed up: contained texts are in another one now."""
    if isinstance(value, dict):
        return sum(value.values()) if "train" in value else {key: all_splits(each) for key, each in value.items()}
    return value


def shards(corpus):
    """All Docs of a corpus: tokens, entities and span groups."""
    vocab = spacy.blank("xx").vocab
    for split in ("train", "dev", "test"):
        for path in sorted((corpus / split).glob("*.spacy")):
            for doc in DocBin().from_disk(path).get_docs(vocab):
                yield {
                    "split": split,
                    "text": doc.text,
                    "tokens": [[token.idx, token.idx + len(token)] for token in doc],
                    "ents": [[ent.start, ent.end, ent.label_] for ent in doc.ents],
                    "ent_iob": "".join(token.ent_iob_ or "-" for token in doc),
                    "spans": {
                        key: [[span.start, span.end, span.label_] for span in doc.spans[key]]
                        for key in sorted(doc.spans)
                        if key != "misaligned"  # there was none: scores were against spans as snapped
                    },
                }


def assert_the_same_docs(corpus, old):
    """But for the splits of texts that stand in others, or that are equal to these after cleaning."""
    new = {doc["text"]: doc for doc in shards(corpus)}
    placed = {normalized(line["text"]) for line in json_lines((corpus / "contained.jsonl").read_bytes())}
    assert new.keys() == {doc["text"] for doc in old}
    for doc in old:
        if normalized(doc["text"]) in placed:
            new[doc["text"]]["split"] = doc["split"]
    assert [new[doc["text"]] for doc in old] == old


def test_the_same_docs(project):
    found, folder = project
    assert_the_same_docs(folder / "corpus", json_lines(before(found, "docs.jsonl")))


def test_the_same_docs_without_misaligned_spans(generated, monkeypatch):
    monkeypatch.chdir(generated)
    run_step("merge", "datasets.cfg", "annotations", "skip", "--system.processes", 1)
    run_step("corpus", "datasets.cfg", "training.cfg", "skip", "--docs.misaligned", "skip", "--split.dev", 0.3)
    assert_the_same_docs(generated / "skip", json_lines(before("generated", "docs-skip.jsonl")))


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_by_other_policies(generated, policy, monkeypatch):
    monkeypatch.chdir(generated)
    run_step("merge", "datasets.cfg", "annotations", policy, *POLICIES[policy], "--system.processes", 1)
    new = [line for name in ("gold.jsonl", "conflicts.jsonl") for line in lines_of_before(generated / policy / name)]
    assert new == [
        renamed(line, RENAMED["conflicts.jsonl"]) for line in json_lines(before("generated", f"{policy}.jsonl"))
    ]
