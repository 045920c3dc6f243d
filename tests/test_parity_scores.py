"""Scores stay the same: metrics, counts and a comparison of given predictions, beside stored ones."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from tests.before import BEFORE, RENAMED, before, pulled_project, renamed, run_step
from tests.scored import sign, write_model

PATTERNS = json.loads((BEFORE / "patterns.json").read_text("utf8"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A folder with the larger project, pulled."""
    return pulled_project(tmp_path_factory.mktemp("generated"))


@pytest.fixture(scope="module")
def scored(generated):
    """The larger project with two runs of given predictions: one of one seed, and one of two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(generated)
        run_step("merge", "datasets.cfg", "annotations", "corpus", "--system.processes", 1)
        # Contained texts were in the split of their own hash.
        patch.setattr("scripts.building.corpus.placements_of", lambda *_: None)
        run_step("corpus", "datasets.cfg", "training.cfg", "corpus", "--system.processes", 1)
        forget_misaligned(Path("corpus/test"))
        sign(Path("corpus"))
        for name, seeds in PATTERNS.items():
            for seed, patterns in seeds.items():
                write_model(Path("training") / name, patterns, Path("corpus/split.json"), int(seed))
            folders = ("--models", f"training/{name}", "--corpus", "corpus", "--output", "metrics")
            run_step("evaluate", "--run", name, *folders, "--seed", 0, "--seeds", len(seeds))
        run_step("compare", "metrics", "--baseline", "one")
    return {path.name.rpartition("-")[0]: path for path in Path(generated, "metrics").glob("*-????????")}


def forget_misaligned(folder):
    """Stored scores are against spans as they were snapped."""
    vocab = spacy.blank("xx").vocab
    for path in folder.glob("*.spacy"):
        docs = list(DocBin().from_disk(path).get_docs(vocab))
        for doc in docs:
            doc.spans.pop("misaligned", None)
        DocBin(["ENT_IOB", "ENT_TYPE"], docs=docs).to_disk(path)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_same_counts(scored, name):
    assert gzip.decompress((scored[name] / "counts.csv.gz").read_bytes()) == before("generated", f"counts-{name}.csv")


def errors_as_now(score):
    """The kinds of errors of a score, as numbers of false negatives and of false positives."""
    old = score.pop("errors")
    fn = {"boundary": old["boundary"], "type": old["type"], "boundary_type": old["both"], "missed": old["missed"]}
    fp = {"boundary": old["boundary"], "other label": old["mistaken"], "spurious": old["spurious"]}
    return {"fn": fn, "fp": fp}


def errors_without_sides(score):
    """False positives about entities of other labels were one number, whatever their boundaries."""
    found = score.pop("errors")
    fp = found["fp"]
    assert found["fn"].pop("tokenizer") == 0
    return found | {
        "fp": {"boundary": fp["boundary"], "other label": fp["type"] + fp["boundary_type"], "spurious": fp["spurious"]}
    }


@pytest.mark.parametrize("name", PATTERNS)
def test_the_same_metrics(scored, name):
    old, new = (
        json.loads(before("generated", f"metrics-{name}.json")),
        json.loads((scored[name] / "metrics.json").read_text()),
    )
    for one, other in zip(all_scores(old), all_scores(new), strict=True):
        assert errors_without_sides(other) == errors_as_now(one)
    assert new == renamed(old, RENAMED["metrics.json"])


def all_scores(metrics):
    for each in [metrics, *metrics.get("seeds", {}).values()]:
        yield from [*each["labels"].values(), each["micro"]]


def test_the_same_comparison(scored):
    words = RENAMED["compare.json"]
    old = renamed(json.loads(before("generated", "compare.json")), words)
    new = json.loads((scored["one"].parent / "compare.json").read_text())
    of_each = [[run["changes"] for run in compared["runs"]] for compared in (new, old)]
    for changes in of_each[0] + of_each[1]:
        for row in ("micro", "macro"):
            (changes or {}).get(row, {}).pop("texts", None)  # of any label now, see test_compare.py
    assert of_each[0] == of_each[1]


def test_the_same_table_of_comparison(scored):
    words = RENAMED["compare.csv"] | RENAMED["compare.json"]
    rows = list(csv.DictReader(io.StringIO(before("generated", "compare.csv").decode())))
    old = [{words.get(column, column): words.get(value, value) for column, value in row.items()} for row in rows]
    for row in old:
        row["label"] = row["label"] or row["row"]
    new = list(csv.DictReader(io.StringIO((scored["one"].parent / "compare.csv").read_text())))
    assert len(new) == len(old)
    for one, other in zip(new, old, strict=True):
        of_any_label = {"compared_texts"} if one["label"] in ("micro", "macro") else set()  # see test_compare.py
        for column in other.keys() - {"run", "time", "baseline"} - of_any_label:
            assert number(one[column]) == number(other[column]), column


def number(value):
    """A cell as a number, if it is one."""
    try:
        return float(value)
    except ValueError:
        return value
