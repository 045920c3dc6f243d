"""Merging as a whole: divide the hashes into buckets, merge each of them, put the parts together."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.annotations.errors import UserError
from scripts.annotations.files import code_digest, exclusive, read_json, sha256, work_folder, write_json
from scripts.annotations.manifest import Manifest, digest
from scripts.annotations.parallel import spread
from scripts.annotations.seen import is_as_left, remembered
from scripts.merging.account import Account
from scripts.merging.bucket import Bucket, merge_bucket
from scripts.merging.buckets import ALL, largest_bucket, number_of_buckets
from scripts.merging.decide import Parts, Policy

NAME = "merge.json"
OUTPUTS = ("gold.jsonl", "conflicts.jsonl", "coverage.csv", "parts.jsonl", "lookalikes.jsonl")
_CODE = (Path(__file__).parent, Path(__file__).parent.parent / "annotations")


class Resources(NamedTuple):
    """What a merge may use; the result does not depend on it.

    memory_mb (int): Of memory, for all processes together.
    processes (int): At a time.
    buckets (int): 0 to choose by the size of the data and the memory.
    """

    memory_mb: int
    processes: int
    buckets: int = 0


class Merged(msgspec.Struct, kw_only=True):
    """corpus/merge.json: what was merged, by which rules, and where everything went.

    policy (str): How disagreements between annotators were decided.
    parts (str): What became of answers about texts that are parts of others.
    code (str): Digest of the modules that merged.
    manifest (str): Digest of all that is known of the datasets.
    inputs (dict[str, str]): The datasets and the digests of their files.
    outputs (dict[str, str]): The digests of the files beside it.
    labels (list[str]): All that were annotated, sorted.
    totals (dict[str, int]): Texts, spans in the gold, conflicts by kind, texts that resemble others, answers moved.
    answers (dict[str, dict[str, int]]): By dataset: read, and the fates that make it up, see `account`.
    spans (dict[str, dict[str, dict[str, int]]]): By dataset and label: the same for spans.
    coverage (dict[str, dict[str, int]]): By label: texts by what is known of it, and spans in the gold.
    """

    policy: Policy
    parts: Parts
    code: str
    manifest: str
    inputs: dict[str, str]
    outputs: dict[str, str] = {}
    labels: list[str] = []
    totals: dict[str, int] = {}
    answers: dict[str, dict[str, int]] = {}
    spans: dict[str, dict[str, dict[str, int]]] = {}
    coverage: dict[str, dict[str, int]] = {}


def load(corpus: Path) -> Merged:
    """Read merge.json. RAISES (UserError): If it is not there, or damaged."""
    return read_json(corpus / NAME, Merged, "merge the annotations first", "merge again")


def gold_as_merged(corpus: Path) -> tuple[Merged, Path]:
    """What was merged, and gold.jsonl. RAISES (UserError): If the one is not there, or the other is another."""
    merged = load(corpus)
    gold = corpus / "gold.jsonl"
    if gold.name not in merged.outputs:
        raise UserError(f"{gold}: stayed on the storage, in shards; bring it: [engine] fetch = true, weasel run merge")
    if not gold.exists() or sha256(gold) != merged.outputs[gold.name]:
        raise UserError(f"{gold}: is not as it was merged; merge again")
    return merged, gold


def known_labels(merged: Merged) -> list[str]:
    """The labels of which something is known in some text, sorted."""
    return [label for label, counts in merged.coverage.items() if counts["unknown"] < counts["texts"]]


def merge(
    manifest: Manifest,
    annotations: Path,
    corpus: Path,
    policy: Policy,
    resources: Resources,
    parts: Parts = "keep",
) -> tuple[Merged, bool]:
    """Merge all answers into gold.jsonl, conflicts.jsonl and coverage.csv, list the texts that resemble others in
    parts.jsonl and lookalikes.jsonl, and account for everything in merge.json.

    manifest (Manifest): What was pulled into the folder `annotations`.
    corpus (Path): The folder for the results. They change together, when everything is merged.
    policy (Policy): How disagreements between annotators are decided.
    resources (Resources): What may be used.
    parts (Parts): Whether answers about parts of other texts are moved to these ("map"), see `map_parts`.
    RETURNS (tuple[Merged, bool]): The account, and whether there was anything to do.
    RAISES (UserError): If a file is not as it was pulled.
    """
    asked = asked_for(manifest, policy, parts)
    with exclusive(annotations), exclusive(corpus):  # so that nothing is pulled meanwhile
        before = is_done(asked, corpus)
        if before:
            return before, False
        with work_folder(corpus) as work:
            account = _merge_and_compare(manifest, annotations, work, asked, resources)
            return publish(asked, account, manifest, work, corpus), True


def asked_for(manifest: Manifest, policy: Policy, parts: Parts) -> Merged:
    """What is to be merged, and by which rules."""
    entries = sorted(manifest.datasets.items())
    return Merged(
        policy=policy,
        parts=parts,
        code=code_digest(*_CODE),
        manifest=digest(manifest),
        inputs={name: entry.sha256 for name, entry in entries},
    )


def publish(
    asked: Merged, account: Account, manifest: Manifest, work: Path, corpus: Path, names: Sequence[str] = OUTPUTS
) -> Merged:
    """Put what was merged into its place, with coverage.csv and merge.json.

    work (Path): A folder on the disk of `corpus` that has all files of these names but coverage.csv.
    RAISES (AssertionError): If an answer that was pulled, or a span, went missing.
    """
    merged = _account_for(asked, account, manifest)
    (work / "coverage.csv").write_bytes(_coverage_csv(merged, account))
    merged.outputs = {name: sha256(work / name) for name in names}
    for name in OUTPUTS:  # what another engine left, and this one does not make, is of something else
        if name not in names:
            (corpus / name).unlink(missing_ok=True)
    for name in names:
        (work / name).replace(corpus / name)
    write_json(corpus / NAME, merged)
    return merged


def is_done(asked: Merged, corpus: Path) -> Merged | None:
    """The account of an earlier merge of the same, if what it made is still there."""
    try:
        done = load(corpus)
        rules = ((one.policy, one.parts, one.code, one.manifest) for one in (done, asked))
        return (
            done
            if len(set(rules)) == 1 and all(sha256(corpus / name) == digest for name, digest in done.outputs.items())
            else None
        )
    except (UserError, OSError):
        return None


def _merge_and_compare(
    manifest: Manifest, annotations: Path, work: Path, asked: Merged, resources: Resources
) -> Account:
    """Merge, and compare the texts; if that moves answers to other texts, merge and compare again."""
    entries = manifest.datasets.values()
    paths = [annotations / entry.file for entry in entries]
    seen = remembered(annotations)
    unsure = [
        Vouched(path, entry.sha256)
        for path, (name, entry) in zip(paths, manifest.datasets.items(), strict=True)
        if not is_as_left(path, entry, seen.get(name))
    ]
    for _ in spread(_verify, unsure, resources.processes, "Checking"):
        pass
    size = sum(entry.bytes for entry in entries)
    account = _merge_all(paths, size, work, asked.policy, resources)

    from scripts.merging.mapping import map_parts  # which need NumPy: it takes a tenth of a second to load
    from scripts.merging.resemblance import find_resemblance

    found = find_resemblance(work, work / "first", resources.processes)
    moved = 0
    if asked.parts == "map":
        paths, moved = map_parts(paths, work / "gold.jsonl", found, work / "first")
    if moved:
        account = _merge_all(paths, size, work, asked.policy, resources)
        found = find_resemblance(work, work / "second", resources.processes)
    account.totals.update(found.counts | ({"answers moved": moved} if asked.parts == "map" else {}))
    return account


def _merge_all(paths: list[Path], size: int, work: Path, policy: Policy, resources: Resources) -> Account:
    """Merge bucket by bucket, and join; leaves gold.jsonl and conflicts.jsonl in the work folder."""
    gold, conflicts = (work / name for name in ("gold.jsonl", "conflicts.jsonl"))
    for path in (gold, conflicts):
        path.write_bytes(b"")
    alone = resources.processes == 1  # then each bucket is written where it belongs
    largest = largest_bucket(resources.memory_mb, resources.processes)
    number = resources.buckets or number_of_buckets(size, largest, resources.processes)
    buckets = [
        Bucket(
            paths, hashes, largest, policy,
            gold=gold if alone else work / f"gold-{index}",
            conflicts=conflicts if alone else work / f"conflicts-{index}",
        )
        for index, hashes in enumerate(ALL.split(number))
    ]  # fmt: skip
    account = Account()
    for bucket, part in zip(buckets, spread(merge_bucket, buckets, resources.processes, "Merging"), strict=True):
        account.add(part)
        if not alone:
            _move_to_end(bucket.gold, gold)
            _move_to_end(bucket.conflicts, conflicts)
    return account


class Vouched(NamedTuple):
    """A file, and the digest that the manifest vouches for."""

    path: Path
    sha256: str


def _verify(file: Vouched) -> None:
    """RAISES (UserError): If the file is not what was pulled."""
    if not file.path.is_file() or sha256(file.path) != file.sha256:
        raise UserError(f"{file.path}: is not as it was pulled; pull again")


def _move_to_end(part: Path, path: Path) -> None:
    with part.open("rb") as file, path.open("ab") as whole:
        shutil.copyfileobj(file, whole)
    part.unlink()


def _account_for(asked: Merged, account: Account, manifest: Manifest) -> Merged:
    """RAISES (AssertionError): If an answer that was pulled, or a span, went missing."""
    for name, entry in manifest.datasets.items():
        assert account.answers[name, "read"] == entry.records["answers"], (name, "answers")
        assert sum(account.spans[name, label, "read"] for label in entry.labels) == entry.spans["kept"], (name, "spans")
        account.answers[name, "read"] += entry.records["refused"]
        account.answers[name, "refused"] += entry.records["refused"]
    account.settle()
    counts = account.to_dict()
    labels = sorted({label for entry in manifest.datasets.values() for label in entry.labels})
    return Merged(
        policy=asked.policy, parts=asked.parts, code=asked.code, manifest=asked.manifest, inputs=asked.inputs,
        labels=labels, **counts,
        coverage={label: _states(label, account) for label in labels},
    )  # fmt: skip


def _states(label: str, account: Account) -> dict[str, int]:
    counts = {state: account.coverage[label, "", state] for state in ("covered", "partly", "unresolved")}
    unknown = account.totals["texts"] - sum(counts.values())
    assert unknown >= 0, (label, counts)
    return {
        "texts": account.totals["texts"],
        **counts,
        "unknown": unknown,
        "spans": account.coverage[label, "", "spans"],
    }


def _coverage_csv(merged: Merged, account: Account) -> bytes:
    """A row a label, with dataset "*", and a row for each dataset that covers texts for it."""
    out = io.StringIO(newline="")
    rows = csv.writer(out, lineterminator="\n")
    states = ("texts", "covered", "partly", "unresolved", "unknown", "spans")
    rows.writerow(("label", "dataset", *states))
    for label, counts in merged.coverage.items():
        rows.writerow((label, "*", *(counts[state] for state in states)))
        for dataset in merged.inputs:
            if covered := account.coverage[label, dataset, "covered"]:
                rows.writerow((label, dataset, "", covered, "", "", "", account.spans[dataset, label, "gold"]))
    return out.getvalue().encode()
