"""The published files, whole: each beside one that was written by hand after its documentation.

Digests, times, versions, sizes and what is drawn at random stand there as "…", and are masked in what is made here.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import importlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest
import spacy

from tests.prodigy import line, task
from tests.scored import covered_doc, sign, write_corpus, write_model

GOLDEN = Path(__file__).parent / "golden"
NLP = spacy.blank("en")

# Keys of JSON whose values are masked, beside all digests.
MASKED = {"time", "commit", "uncommitted", "model_bytes", "words_per_second", "versions", "text"}
DRAWN = {
    "compared_low",
    "compared_high",
    "p_value",
}  # columns of compare.csv: intervals and p-values with seed variance
# A longer text with one of the input, and one that differs in whitespace.
CONTAINING = [
    task("Eve smiled . The University of Bonn hired Eve .", [(0, 3, "PER"), (42, 45, "PER")]),
    task("Apple moved  to Berlin .", []),
]
DIGEST = re.compile(r"(?<![0-9a-z])[0-9a-f]{8,64}(?![0-9a-z])")


def run(step, *options):
    """Run a step in this process, in the current folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [step, *map(str, options)])
        importlib.import_module(f"scripts.{step}").main()


def expected(name):
    return (GOLDEN / "expected" / name).read_text("utf8")


def assert_same(found, name):
    """Compare a text with a golden file, byte by byte."""
    difference = difflib.unified_diff(expected(name).splitlines(), found.splitlines(), name, "found", lineterm="")
    assert found == expected(name), "\n".join(difference)


def masked(path):
    """A JSON file as it is written, with digests and the values of some keys masked."""

    def mask(value, is_masked=False):
        if isinstance(value, dict):
            return {key: mask(found, is_masked or key in MASKED) for key, found in value.items()}
        if is_masked or (isinstance(value, str) and DIGEST.fullmatch(value)):
            return "…"
        return [mask(found) for found in value] if isinstance(value, list) else value

    content = json.loads(path.read_bytes())
    assert (
        path.read_text("utf8") == json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    )  # two spaces, real letters
    return json.dumps(mask(content), indent=2, ensure_ascii=False) + "\n"


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """A folder with answers of all kinds, pulled, merged and made a corpus of."""
    folder = tmp_path_factory.mktemp("golden") / "project"
    shutil.copytree(GOLDEN / "input", folder)
    with (folder / "per.jsonl").open("a") as file:
        file.write("\n".join(map(line, CONTAINING)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("pull", "datasets.cfg", "annotations", "--system.processes", 1)
        run("merge", "datasets.cfg", "annotations", "corpus", "--system.processes", 1)
        run("corpus", "datasets.cfg", "training.cfg", "corpus", "--system.processes", 1)
    return folder


@pytest.mark.parametrize(
    "name", ["gold.jsonl", "conflicts.jsonl", "coverage.csv", "contained.jsonl", "duplicates.jsonl"]
)
def test_what_merge_publishes(merged, name):
    assert_same((merged / "corpus" / name).read_text("utf8"), name)


@pytest.mark.parametrize("name", ["merge.json", "split.json"])
def test_the_accounts_of_merge_and_corpus(merged, name):
    assert_same(masked(merged / "corpus" / name), name)


def test_queue_json(merged, monkeypatch):
    monkeypatch.chdir(merged)
    run(
        "queue",
        "datasets.cfg",
        "training.cfg",
        "--label",
        "ORG",
        "--models",
        "training/none",
        "--queue.order",
        "random",
    )
    assert_same(masked(merged / "queues/ORG/001/queue.json"), "queue.json")


def sentence(firm, person, place, other):
    """A test text with the same counts as all others: resampled texts have the same F, so that intervals are known."""
    text = f"{firm} hired {person} of New {place} via {other} in London ."
    gold = [(0, 1, "ORG"), (2, 3, "PER"), (4, 6, "LOC"), (7, 8, "PER"), (9, 10, "LOC")]
    return covered_doc(NLP, text, gold, ["LOC", "ORG", "PER"])


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A corpus of three test texts, the last of them covered for PER alone, and two runs on it.

    Both predict the firms and London rightly, people as LOC (type) or not (missed), and "hired" as PER (spurious).
    The first predicts New Rome and New Bonn with another boundary, the second predicts them rightly.
    """
    folder = tmp_path_factory.mktemp("scored")
    train = covered_doc(NLP, "IBM moved to London .", [(0, 1, "ORG"), (3, 4, "LOC")], ["LOC", "ORG", "PER"])
    test = [
        sentence("IBM", "Ada", "Rome", "Bob"), sentence("Apple", "Eve", "Bonn", "Dan"),
        covered_doc(NLP, "IBM called .", [], ["PER"]),
    ]  # fmt: skip
    write_corpus(folder / "corpus", test, train=[train])
    spans = {"LOC": {"train": 1}, "ORG": {"train": 1}, "PER": {"train": 0}}
    sign(folder / "corpus", spans=spans, covered={label: {"train": 1} for label in ("LOC", "ORG", "PER")})
    common = {"ORG": ["IBM", "Apple"], "PER": ["hired"]}
    places = {"one": ["Rome", "Bonn"], "two": ["New Rome", "New Bonn"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, found in places.items():
            patterns = common | {"LOC": [*found, "London", "Ada", "Eve"]}
            write_model(folder / "training" / name, patterns, folder / "corpus/split.json")
            run("evaluate", "--run", name, "--models", f"training/{name}")
        run("compare", "metrics", "--baseline", "one")
    return folder


def run_folder(folder, name):
    (found,) = (folder / "metrics").glob(f"{name}-????????")
    return found


@pytest.mark.parametrize("name", ["metrics.json", "confusion.json"])
def test_the_scores_of_a_run(scored, name):
    assert_same((run_folder(scored, "one") / name).read_text("utf8"), name)


def test_run_json(scored):
    assert_same(masked(run_folder(scored, "one") / "run.json"), "run.json")


def test_counts_csv(scored):
    rows = gzip.decompress((run_folder(scored, "one") / "counts.csv.gz").read_bytes()).decode()
    hidden = re.sub(r"(?m)^(-?\d+):[0-9a-f]{16},(\w+),[0-9a-f]+,", r"\1:…,\2,…,", rows)
    assert_same(re.sub(r"(?m)^(-?\d+):[0-9a-f]{16},", r"\1:…,", hidden), "counts.csv")


def test_compare_csv(scored):
    content = (scored / "metrics/compare.csv").read_text("utf8")
    rows = list(csv.DictReader(io.StringIO(content)))
    for row in rows:
        row |= {column: "…" for column in DRAWN if row[column]}
        row |= {"time": "…", "run": DIGEST.sub("…", row["run"]), "baseline": DIGEST.sub("…", row["baseline"])}
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    assert_same(out.getvalue(), "compare.csv")


def test_next_json(merged, scored, tmp_path, monkeypatch):
    """Of what was merged, and of the two runs."""
    shutil.copytree(merged / "corpus", tmp_path / "corpus")
    shutil.copytree(scored / "metrics", tmp_path / "metrics")
    monkeypatch.chdir(tmp_path)
    run("next", "corpus", "metrics")
    assert_same(DIGEST.sub("…", masked(tmp_path / "metrics/next.json")), "next.json")
