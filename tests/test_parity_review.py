"""Results stay the same: consistency and coverage of a small project, beside stored ones.

tests/golden/before/generated has what 328ac7d made of `tests.generated`, with its words; the tables here rename them.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256

import pytest

from tests.before import before, json_lines, pulled_project, renamed, run_step, without_other_sources

KINDS = {"partly": "partial", "relabelled": "relabeled", "other": "overlapped"}
SUSPECT_KINDS = {"label": "type"}
TOP = {"several": "ambiguous", "all_several": "ambiguous_total", "places": "candidates"}
LABEL = {
    "within": "inside_words", "forms": "surface_forms", "places": "occurrences", "uneven": "inconsistent",
    "table": "most_inconsistent",
}  # fmt: skip
FORM = {"form": "surface_form", "places": "occurrences", **KINDS}
EXCERPT = {"said": "text"}
OVERLAP = {"same": "same_boundaries"}
GROUPS = {"chance": "p_value"}
SUSPECT = {"doubt": "kind"}
FOUND_BY = {"forms": "surface_forms"}
COVERAGE = {
    "similar": "near_duplicates", "partly": "partly_covered", "unknown": "not_covered", "lacking": "to_annotate",
    "twins": "near_duplicates", "like_covered": "near_duplicates_of_covered", "why": "reason",
    "together": "labels_at_once",
}  # fmt: skip
TO_ANNOTATE = {"like": "near_duplicate_of"}
# Sentences that say why something is a suspect: the numbers and names in them stay.
REASONS = {
    " places of this form in the texts of others": " occurrences of this surface form in texts of other annotators",
    " places of this form": " occurrences of this surface form",
    "of this one only a part is": "this one only in part",
    "with a word or sign more": "with one word or sign more",
    r"^Of (.*) only a part is annotated as (.*); of this one all": (
        r"In \1, only a part is annotated as \2; here all of it is"
    ),
    r"^At (.*) nothing is annotated; here it is as": r"In \1, nothing is annotated; here it is annotated as",
}


@pytest.fixture(scope="module")
def review(tmp_path_factory):
    """corpus/review of the project."""
    folder = pulled_project(tmp_path_factory.mktemp("review"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_step("merge", "datasets.cfg", "annotations", "corpus", "--system.processes", 1)
        run_step("consistency", "annotations", "corpus", "--processes", 1)
        run_step("coverage", "annotations", "corpus", "--processes", 1)
    return folder / "corpus/review"


def with_gold_before(found, review):
    """An account with the digest that its gold would have without the datasets whose answers do not count."""
    gold = (review.parent / "gold.jsonl").read_bytes()
    assert found["gold"] == sha256(gold).hexdigest()
    return found | {"gold": sha256(without_other_sources(gold)).hexdigest()}


def keys(value, words):
    """An object with its own keys renamed."""
    return {words.get(key, key): content for key, content in value.items()}


def form(old):
    new = keys(old, FORM)
    examples = keys(new["examples"], KINDS)
    return new | {"examples": {kind: renamed(excerpts, EXCERPT) for kind, excerpts in examples.items()}}


def label(old):
    new = keys(old, LABEL)
    return new | {
        "occurrences": keys(new["occurrences"], KINDS),
        "suspects": keys(new["suspects"], SUSPECT_KINDS),
        "most_inconsistent": [form(one) for one in new["most_inconsistent"]],
    }


def test_the_same_consistency(review):
    new = keys(json.loads(before("generated", "consistency.json")), TOP)
    new |= {
        "labels": {name: label(one) for name, one in new["labels"].items()},
        "ambiguous": [keys(one, FORM) | {"examples": renamed(one["examples"], EXCERPT)} for one in new["ambiguous"]],
        "overlaps": renamed(new["overlaps"], OVERLAP | EXCERPT),
        "groups": renamed(new["groups"], GROUPS),
    }
    assert len(new["overlaps"]) == 1
    assert len(new["groups"]) > 1
    found = with_gold_before(json.loads((review / "consistency.json").read_bytes()), review)
    del found["listed"]  # the digest of the list was not kept
    for agreement in (*found["agreement"].values(), *new["agreement"].values()):
        del agreement["alpha"]  # by words: a text has 漢字, which was one word
    assert found == new


def reason(old):
    for was, now in REASONS.items():
        old = re.sub(was, now, old)
    return old


def test_the_same_suspects(review):
    new = json_lines((review / "consistency.jsonl").read_bytes())
    old = [keys(line, SUSPECT) for line in json_lines(before("generated", "consistency.jsonl"))]
    assert new == [
        line
        | {
            "kind": SUSPECT_KINDS.get(line["kind"], line["kind"]),
            "found_by": [FOUND_BY[method] for method in line["found_by"]],
            "reason": reason(line["reason"]),
        }
        for line in old
    ]
    assert {line["kind"] for line in new} >= {"missing", "boundary"}


def test_the_same_texts_to_annotate(review):
    found = with_gold_before(json.loads((review / "coverage.json").read_bytes()), review)
    was = renamed(json.loads(before("generated", "coverage.json")), COVERAGE)
    for counts in (*found["labels"].values(), *was["labels"].values()):
        del counts["words"]  # 漢字 was one word
    assert found == was
    old = json_lines(before("generated", "coverage.jsonl"))
    assert json_lines((review / "coverage.jsonl").read_bytes()) == [keys(line, TO_ANNOTATE) for line in old]
