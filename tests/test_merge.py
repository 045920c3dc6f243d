"""Merging as a whole: the same bytes whatever the order, the buckets and the processes."""

from __future__ import annotations

import hashlib
import random
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.core.answers import GoldText, Span, Task
from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.core.texts import input_hash
from scripts.merging.account import Account
from scripts.merging.buckets import ALL, groups
from scripts.merging.merge import Resources, merge
from scripts.merging.merge_text import merge_text
from scripts.merging.rules import MergeRules
from tests.annotated import task, write

TEXTS = ["Ada met Bob.", "Grüße aus Köln 🦆", "x", "y " * 40, "same", "Same"]
LABELS = ["ORG", "PERSON", 'ODD "LABEL", ü']
RESOURCES = Resources(memory_mb=512, processes=1)


@st.composite
def answers(draw):
    """An answer of any kind. Two of the texts collide: they share a hash."""
    text = draw(st.sampled_from(TEXTS))
    dataset = draw(st.integers(0, len(LABELS) - 1))
    kind = draw(st.sampled_from(["manual", "manual", "binary", "review"]))
    span = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 6)).map(
        lambda at: Span(at[0], min(len(text), at[0] + at[1]), LABELS[dataset])
    )
    spans = [draw(span)] if kind == "binary" else draw(st.lists(span, max_size=3, unique=True))
    return Task(
        input_hash=input_hash(text.lower()),  # "same" and "Same" collide
        text=text,
        labels=[LABELS[dataset]],
        spans=sorted(spans),
        answer=draw(st.sampled_from(["accept", "accept", "accept", "reject", "ignore"])),
        kind=kind,
        annotator=draw(st.sampled_from(["", "a", "b", "c"])),
        timestamp=draw(st.sampled_from([None, 1, 2, 3])),
        dataset=f"dataset {dataset}",
        source=f"link:{draw(st.integers(1, 5))}",
        meta=draw(st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3), max_size=1)),
        versions=[sorted(draw(st.lists(span, max_size=2, unique=True)))] if kind == "review" else [],
    )


def outputs(folder):
    found = (path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith("."))
    return {path.name: path.read_bytes() for path in found}


def obvious(tasks, policy):
    """The gold, with everything in memory."""
    groups = {}
    for found in tasks:
        groups.setdefault((found.input_hash, found.text), []).append(found)
    return msgspec.json.Encoder().encode_lines(
        [merge_text(groups[key], MergeRules(policy), Account())[0] for key in sorted(groups)]
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=st.lists(answers(), min_size=1, max_size=25),
    seed=st.integers(0, 2**16),
    buckets=st.integers(1, 128),
    policy=st.sampled_from(["majority", "union", "intersection", "latest"]),
)
def test_the_same_bytes_for_any_order_and_any_number_of_buckets(found, seed, buckets, policy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merge")
    merge(write(folder / "1", found), folder / "1", folder / "corpus1", policy, RESOURCES)
    shuffled = random.Random(seed).sample(found, len(found))
    manifest = write(folder / "2", shuffled)
    manifest.datasets = dict(reversed(manifest.datasets.items()))
    merge(manifest, folder / "2", folder / "corpus2", policy, RESOURCES._replace(buckets=buckets))
    first, second = outputs(folder / "corpus1"), outputs(folder / "corpus2")
    for made in (first, second):  # the digests of shuffled inputs differ, and nothing else
        record = msgspec.json.decode(made.pop("merge.json"))
        del record["inputs"], record["manifest"]
        made["account"] = record
    assert first == second
    assert first["gold.jsonl"] == obvious(found, policy)


@pytest.fixture
def many():
    """2,000 texts, annotated for two labels."""
    rng = random.Random(0)
    texts = [f"text {number} " * 20 for number in range(2000)]
    return [
        task(
            text, *([(0, 1, label)] * rng.randrange(2)), labels=[label], dataset=label.lower(), source=f"link:{number}"
        )
        for number, text in enumerate(texts)
        for label in ("ORG", "PERSON")
    ]


def test_the_same_bytes_for_any_number_of_processes_and_buckets(many, tmp_path):
    manifest = write(tmp_path / "in", many)
    made = []
    for processes, number in [(1, 0), (2, 0), (2, 7), (1, 64)]:
        corpus = tmp_path / f"{processes}-{number}"
        merge(manifest, tmp_path / "in", corpus, "majority", Resources(512, processes, number))
        made.append(outputs(corpus))
    assert all(one == made[0] for one in made)
    gold = msgspec.json.decode(b"[" + made[0]["gold.jsonl"].strip().replace(b"\n", b",") + b"]", type=list[GoldText])
    assert len(gold) == 2000
    assert [(text.input_hash, text.text) for text in gold] == sorted((text.input_hash, text.text) for text in gold)


def test_a_bucket_that_outgrows_its_share_is_divided_again(many, tmp_path):
    write(tmp_path / "in", many)
    paths = sorted((tmp_path / "in").glob("*.jsonl"))
    found, peaks = [], []
    for largest in (10_000, 10**9):
        tracemalloc.start()
        digests = [hashlib.sha256(b"".join(lines)).digest() for lines in groups(paths, ALL, largest)]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        found.append(digests)
    assert found[0] == found[1]
    assert len(found[0]) == 2000
    assert peaks[0] < peaks[1] / 3 + 2 * BUFFER


def test_one_giant_group_is_merged_although_it_cannot_be_divided(tmp_path):
    found = [task("same" * 2000, dataset="org", annotator=str(n), source=f"link:{n}") for n in range(300)]
    manifest = write(tmp_path / "in", found)
    assert manifest.datasets["org"].bytes > 2 * 2**20  # more than a bucket may have of so little memory
    merged, _ = merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES._replace(memory_mb=64))
    assert merged.totals["texts"] == 1
    assert merged.answers["org"]["kept"] == 300
    assert not [path for path in (tmp_path / "corpus").iterdir() if path.name.startswith(".tmp-")]


def test_the_account_counts_what_pull_skipped(many, tmp_path):
    merged, _ = merge(write(tmp_path / "in", many), tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    assert merged.answers["org"]["read"] == 2002
    assert merged.answers["org"]["skipped"] == 2
    assert merged.coverage["ORG"]["covered"] == 2000


def test_nothing_is_done_twice(many, tmp_path):
    manifest = write(tmp_path / "in", many)
    merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus").glob("[!.]*")}
    merged, is_new = merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    assert not is_new
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus").glob("[!.]*")} == before
    (tmp_path / "corpus" / "gold.jsonl").write_text("edited")
    again, is_new = merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    assert is_new
    assert again == merged


def test_what_pull_skipped_since_is_in_the_account(many, tmp_path):
    manifest = write(tmp_path / "in", many)
    merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    manifest.datasets["org"].records["skipped"] += 3
    merged, _ = merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    assert merged.answers["org"]["skipped"] == 5


@pytest.mark.parametrize("damage", ["edited", "missing", "garbage"])
def test_annotations_that_are_not_as_pulled_stop_the_merge_and_harm_nothing(damage, many, tmp_path):
    manifest = write(tmp_path / "in", many)
    merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    before = outputs(tmp_path / "corpus")
    path = tmp_path / "in" / "org.jsonl"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-500] if damage == "edited" else b"\xff\x00 no JSON\n")
    with pytest.raises(UserError, match=r"org\.jsonl: is not as it was pulled"):
        merge(manifest, tmp_path / "in", tmp_path / "corpus", "union", RESOURCES)
    assert outputs(tmp_path / "corpus") == before
    assert not [path for path in (tmp_path / "corpus").iterdir() if path.name.startswith(".tmp-")]


def test_after_new_answers_all_is_merged_as_from_nothing(many, tmp_path):
    merge(write(tmp_path / "in", many), tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    new = [task("text 7 " * 20, (0, 4, "ORG"), dataset="org", annotator="b"), task("A new text.", dataset="org")]
    manifest = write(tmp_path / "more", many + new)
    merge(manifest, tmp_path / "more", tmp_path / "corpus", "majority", RESOURCES)
    merge(manifest, tmp_path / "more", tmp_path / "from nothing", "majority", RESOURCES)
    assert outputs(tmp_path / "corpus") == outputs(tmp_path / "from nothing")


@pytest.mark.parametrize("broken", ["gold.jsonl", "merge.json"])
def test_a_merge_that_breaks_off_while_it_commits_is_made_up_for(broken, many, tmp_path, monkeypatch):
    manifest = write(tmp_path / "in", many)
    merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    expected = outputs(tmp_path / "corpus")
    merge(manifest, tmp_path / "in", tmp_path / "corpus", "union", RESOURCES)
    replace = Path.replace

    def fail(self, target):
        if Path(target).name == broken:
            raise OSError("no space left")
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="no space"):
            merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    merge(manifest, tmp_path / "in", tmp_path / "corpus", "majority", RESOURCES)
    assert outputs(tmp_path / "corpus") == expected
