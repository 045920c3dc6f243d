"""Corpora of other people, through all three steps, with every span accounted for."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
import spacy
from spacy.tokens import DocBin

from scripts.building.corpus import build
from scripts.building.plan import CorpusPlan
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.sources.brat import Brat
from scripts.sources.prodigy_jsonl import ProdigyJsonl

PLAN = CorpusPlan({"lang": "en"}, 0.1, 0.2, "", [], [], "snap")
RESOURCES = Resources(512, 2)


def run(sources, folder, policy="majority"):
    """All three steps."""
    manifest, _ = pull(sources, folder / "annotations", 0.2, 2)
    merged, _ = merge(manifest, folder / "annotations", folder / "corpus", policy, RESOURCES)
    corpus, _ = build(folder / "corpus", PLAN, 2)
    return manifest, merged, corpus


@pytest.fixture(scope="module")
def wet_lab(shared_data, tmp_path_factory):
    """brat-wlp: 622 documents, 20 labels; and its T lines by label, counted by themselves."""
    folder = shared_data / "brat-wlp"
    contents = (path.read_bytes().decode("utf8") for path in folder.rglob("*.ann"))
    found = Counter(m[1] for content in contents for m in re.finditer(r"^T[0-9]+\t(\S+)", content, re.MULTILINE))
    return found, *run({"wlp": Brat(str(folder), sorted(found))}, tmp_path_factory.mktemp("wlp"))


def test_every_annotation_of_the_wet_lab_protocols_is_kept_or_skipped(wet_lab):
    found, manifest, merged, corpus = wet_lab
    wlp = manifest.datasets["wlp"]
    assert (len(found), found.total(), wlp.records["read"]) == (20, 60_745, 622)
    assert wlp.spans["read"] == found.total() == wlp.spans["kept"] + sum(wlp.reasons.values())
    assert wlp.reasons == {"discontinuous span": 103}
    by_label = {label: counts["read"] for label, counts in merged.spans["wlp"].items()}
    assert sum(by_label.values()) == wlp.spans["kept"]
    assert all(0 <= found[label] - count <= 103 for label, count in by_label.items())
    assert corpus.outcomes["read"] == sum(n for outcome, n in corpus.outcomes.items() if outcome != "read")


def test_labels_with_a_skipped_span_are_not_covered(wet_lab):
    _, manifest, merged, _ = wet_lab
    notes = manifest.datasets["wlp"].notes
    assert notes["labels not taken as complete in a text, since one of their spans is skipped"] == 61
    assert merged.coverage["Action"]["partly_covered"] > 0
    assert merged.coverage["Misc"] | {"covered": merged.totals["texts"], "not_covered": 0} == merged.coverage["Misc"]


def test_all_ways_with_discontinuous_spans_account_for_every_line(shared_data, wet_lab, tmp_path):
    found = wet_lab[0]
    folder = str(shared_data / "brat-wlp")
    cover = pull({"wlp": Brat(folder, sorted(found), discontinuous="cover")}, tmp_path / "cover", 0.2, 1).manifest
    assert cover.datasets["wlp"].spans["read"] == found.total()
    assert cover.datasets["wlp"].spans["kept"] > 60_700


LABELS = ["BEHAVIOURAL", "CONDITION", "CONTROL", "DRUG", "OTHER", "PHYSICAL", "RADIOTHERAPY", "SURGICAL"]


@pytest.fixture(scope="module")
def trials(shared_data):
    """neurotrialner: two annotators, three files."""
    folder = shared_data / "prodigy-neurotrialner"
    names = {
        "first": ("bvi_neuro_ner_non_drug_60", "bvi"),
        "second": ("sed_neuro_ner_non_drug", "sed"),
        "second_60": ("sed_neuro_ner_non_drug_60", "sed"),
    }
    return {
        key: ProdigyJsonl(str(next(folder.rglob(f"{name}.jsonl"))), LABELS, annotator=who)
        for key, (name, who) in names.items()
    }


def test_two_annotators_disagree_and_all_of_it_is_listed(trials, tmp_path):
    manifest, merged, _ = run(trials, tmp_path)
    spans = {name: entry.spans["kept"] for name, entry in manifest.datasets.items()}
    assert spans == {"first": 1735, "second": 1358, "second_60": 534}
    for name, counts in merged.answers.items():
        assert counts["read"] == sum(count for fate, count in counts.items() if fate != "read")
        assert counts["rejected"] == {"first": 7, "second": 17, "second_60": 0}[name]
    conflicts = [json.loads(line) for line in (tmp_path / "corpus" / "conflicts.jsonl").read_text().splitlines()]
    kinds = Counter(conflict["kind"] for conflict in conflicts)
    assert kinds == {kind.removeprefix("conflicts: "): n for kind, n in merged.totals.items() if "conflicts" in kind}
    disagreements = [conflict for conflict in conflicts if conflict["kind"] == "disagreement"]
    assert len(disagreements) == kinds["disagreement"] > 100
    for conflict in disagreements:
        assert len({voice["annotator"] for voice in conflict["answers"]}) == 2
        assert len({json.dumps(voice["spans"]) for voice in conflict["answers"]}) == 2
    unresolved = sum(counts["unresolved"] for counts in merged.coverage.values())
    assert unresolved == sum("unresolved" in conflict["decision"] for conflict in disagreements)


def test_a_policy_that_decides_leaves_nothing_unresolved(trials, tmp_path):
    _, merged, corpus = run(trials, tmp_path, "union")
    assert sum(counts["unresolved"] for counts in merged.coverage.values()) == 0
    vocab = spacy.blank("en").vocab
    docs = [doc for path in (tmp_path / "corpus/train").iterdir() for doc in DocBin().from_disk(path).get_docs(vocab)]
    assert len(docs) == corpus.texts["train"] > 100
    assert all({span.label_ for span in doc.spans["covered"]} == set(LABELS) for doc in docs if doc.spans["gold"])
