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

from tests.before import FILES, GOLDEN, RENAMED, before, json_lines, pulled_project, renamed, run_step
from tests.generated import write_project

POLICIES = {
    "union": ["--merge.between_annotators", "union"],
    "intersection": ["--merge.between_annotators", "intersection"],
    "latest": ["--merge.between_annotators", "latest"],
    "map": ["--merge.contained", "map"],
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


@pytest.mark.parametrize("name", ["gold.jsonl", "conflicts.jsonl", "parts.jsonl", "lookalikes.jsonl"])
def test_the_same_lines(project, name):
    found, folder = project
    old = [renamed(line, RENAMED[name]) for line in json_lines(before(found, name))]
    assert json_lines((folder / "corpus" / FILES.get(name, name)).read_bytes()) == old


def test_the_same_gold_byte_by_byte(project):
    found, folder = project
    assert (folder / "corpus/gold.jsonl").read_bytes() == before(found, "gold.jsonl")


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
    assert {key: new[key] for key in old} == old


def test_the_same_split(project):
    found, folder = project
    old = renamed(json.loads(before(found, "split.json")), RENAMED["split.json"])
    new = json.loads((folder / "corpus/split.json").read_bytes())
    assert {key: new[key] for key in old} == old


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


def test_the_same_docs(project):
    found, folder = project
    assert list(shards(folder / "corpus")) == json_lines(before(found, "docs.jsonl"))


def test_the_same_docs_without_misaligned_spans(generated, monkeypatch):
    monkeypatch.chdir(generated)
    run_step("merge", "datasets.cfg", "annotations", "skip", "--system.processes", 1)
    run_step("corpus", "datasets.cfg", "training.cfg", "skip", "--docs.misaligned", "skip", "--split.dev", 0.3)
    assert list(shards(generated / "skip")) == json_lines(before("generated", "docs-skip.jsonl"))


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_by_other_policies(generated, policy, monkeypatch):
    monkeypatch.chdir(generated)
    run_step("merge", "datasets.cfg", "annotations", policy, *POLICIES[policy], "--system.processes", 1)
    new = [
        line
        for name in ("gold.jsonl", "conflicts.jsonl")
        for line in json_lines((generated / policy / name).read_bytes())
    ]
    assert new == [
        renamed(line, RENAMED["conflicts.jsonl"]) for line in json_lines(before("generated", f"{policy}.jsonl"))
    ]
