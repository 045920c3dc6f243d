"""Merge all answers: divide the hashes into buckets, merge each bucket, put the results together."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.files import code_digest, exclusive, sha256, work_folder, write_json
from scripts.core.manifest import Manifest, digest
from scripts.core.workers import Workers
from scripts.merging.account import Account
from scripts.merging.buckets import (
    ALL,
    Range,
    Resources,
    groups,
    largest_bucket,
    number_of_buckets,
)
from scripts.merging.decide import Parts, Policy
from scripts.merging.merge_text import merge_text
from scripts.merging.merged import NAME, Merged, is_as_merged, load
from scripts.merging.pull import is_as_left, load_fingerprints

_LABELS = b'"labels":['


class _Rest(Task):
    """An answer from its labels on."""

    input_hash: int = 0
    text: str = ""


_decode = msgspec.json.Decoder(Task).decode
_decode_rest = msgspec.json.Decoder(_Rest).decode
_encode = msgspec.json.Encoder().encode_lines


class Bucket(NamedTuple):
    """The work of merging one bucket.

    paths (list[Path]): Files of answers, sorted by hash.
    hashes (Range): Which of them are in the bucket.
    largest (int): With more bytes it is divided again.
    policy (Policy): How disagreements are decided.
    gold (Path), conflicts (Path): Files to whose ends the results go.
    """

    paths: list[Path]
    hashes: Range
    largest: int
    policy: Policy
    gold: Path
    conflicts: Path


def merge_bucket(bucket: Bucket) -> msgspec.Raw:
    """Merge one bucket: the gold and the conflicts of its texts, sorted by hash, then text.

    RETURNS (msgspec.Raw): The packed account of its answers.
    """
    account = Account()
    with bucket.gold.open("ab") as gold, bucket.conflicts.open("ab") as conflicts:
        for lines in groups(bucket.paths, bucket.hashes, bucket.largest):
            for tasks in _texts(lines):
                text, found = merge_text(tasks, bucket.policy, account)
                gold.write(_encode([text]))
                conflicts.write(_encode(found))
    return account.packed()


def _texts(lines: Iterable[bytes]) -> Iterator[list[Task]]:
    """Group answers by text, in the order of texts. A text is held once, however many answers it has.

    It is decoded once too: lines that begin like one before, up to their labels, are about its text. These bytes can
    not be in a text, in which a backslash stands before each quote.
    """
    texts: dict[str, list[Task]] = {}
    same: list[Task] = []
    beginning = b"\n"  # of no line
    for line in lines:
        if line.startswith(beginning):
            task: Task = _decode_rest(b"{" + line[len(beginning) :])
            task.input_hash = same[0].input_hash
        else:
            task = _decode(line)
            beginning = line[: line.index(_LABELS)]
            same = texts.setdefault(task.text, [])
        if same:
            task.text = same[0].text
        same.append(task)
    for text in sorted(texts):
        yield texts[text]


def gather(paths: list[Path], size: int, work: Path, policy: Policy, resources: Resources, workers: Workers) -> Account:
    """Merge answers into gold.jsonl and conflicts.jsonl of the work folder.

    paths (list[Path]): Files of answers, sorted by hash.
    size (int): Their bytes.
    policy (Policy): How disagreements are decided.
    """
    gold, conflicts = (work / name for name in ("gold.jsonl", "conflicts.jsonl"))
    for path in (gold, conflicts):
        path.write_bytes(b"")
    largest = largest_bucket(resources.memory_mb, resources.processes)
    number = resources.buckets or number_of_buckets(size, largest, resources.processes)
    alone = resources.processes == 1  # then each bucket is written where it belongs
    buckets = [
        Bucket(
            paths,
            hashes,
            largest,
            policy,
            gold=gold if alone else work / f"gold-{hashes.start}",
            conflicts=conflicts if alone else work / f"conflicts-{hashes.start}",
        )
        for hashes in ALL.split(number)
    ]
    account = Account()
    for bucket, packed in zip(buckets, workers.spread(merge_bucket, buckets, "Merging"), strict=True):
        account.add(Account.unpacked(packed))
        if not alone:
            _move_to_end(bucket.gold, gold)
            _move_to_end(bucket.conflicts, conflicts)
    return account


def _move_to_end(part: Path, path: Path) -> None:
    with part.open("rb") as file, path.open("ab") as whole:
        shutil.copyfileobj(file, whole)
    part.unlink()


OUTPUTS = ("gold.jsonl", "conflicts.jsonl", "coverage.csv", "parts.jsonl", "lookalikes.jsonl")
_CODE = (Path(__file__).parent, Path(__file__).parent.parent / "core")


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
            with Workers(resources.processes) as workers:
                account = _merge_and_compare(manifest, annotations, work, asked, resources, workers)
            merged = publish(asked, account, manifest, work, corpus)
        return merged, True


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
        return done if len(set(rules)) == 1 and is_as_merged(done, corpus) else None
    except (UserError, OSError):
        return None


def _merge_and_compare(
    manifest: Manifest, annotations: Path, work: Path, asked: Merged, resources: Resources, workers: Workers
) -> Account:
    """Merge, and compare the texts; if that moves answers to other texts, merge and compare again."""
    from scripts.merging.contained import find_resemblance, map_parts  # NumPy: loaded before the workers, who share it

    _verify(manifest, annotations, workers)
    paths = [annotations / entry.file for entry in manifest.datasets.values()]
    size = sum(entry.bytes for entry in manifest.datasets.values())
    how = (size, work, asked.policy, resources, workers)
    account = gather(paths, *how)
    found = find_resemblance(work, work / "first", workers)
    if asked.parts == "map":
        mapped, moved = map_parts(paths, work / "gold.jsonl", found, work / "first")
        if moved:
            account = gather(mapped, *how)
            found = find_resemblance(work, work / "second", workers)
        account.totals["answers moved"] = moved
    account.totals.update(found.counts)
    return account


def _verify(manifest: Manifest, annotations: Path, workers: Workers) -> None:
    """Read the files whose size and time are not as pull noted them. RAISES (UserError): If one is not as pulled."""
    cached = load_fingerprints(annotations)
    files = [
        Expected(annotations / entry.file, entry.sha256)
        for name, entry in manifest.datasets.items()
        if not is_as_left(annotations / entry.file, entry, cached.get(name))
    ]
    for _ in workers.spread(_verify_file, files, "Checking"):
        pass


class Expected(NamedTuple):
    """A file, and its digest in the manifest."""

    path: Path
    sha256: str


def _verify_file(file: Expected) -> None:
    """RAISES (UserError): If the file is not what was pulled."""
    if not file.path.is_file() or sha256(file.path) != file.sha256:
        raise UserError(f"{file.path}: is not as it was pulled; pull again")


def _account_for(asked: Merged, account: Account, manifest: Manifest) -> Merged:
    """RAISES (AssertionError): If an answer that was pulled, or a span, went missing."""
    for name, entry in manifest.datasets.items():
        assert account.answers[name, "read"] == entry.records["answers"], (name, "answers")
        assert sum(account.spans[name, label, "read"] for label in entry.labels) == entry.spans["kept"], (name, "spans")
        account.answers[name, "read"] += entry.records["skipped"]
        account.answers[name, "skipped"] += entry.records["skipped"]
    account.assert_adds_up()
    counts = account.to_dict()
    labels = sorted({label for entry in manifest.datasets.values() for label in entry.labels})
    return Merged(
        policy=asked.policy, parts=asked.parts, code=asked.code, manifest=asked.manifest, inputs=asked.inputs,
        labels=labels, **counts,
        coverage={label: _states(label, account) for label in labels},
    )  # fmt: skip


def _states(label: str, account: Account) -> dict[str, int]:
    counts = {state: account.coverage[label, "", state] for state in ("covered", "partly_covered", "unresolved")}
    not_covered = account.totals["texts"] - sum(counts.values())
    assert not_covered >= 0, (label, counts)
    return {
        "texts": account.totals["texts"],
        **counts,
        "not_covered": not_covered,
        "spans": account.coverage[label, "", "spans"],
    }


def _coverage_csv(merged: Merged, account: Account) -> bytes:
    """A row a label, with dataset "*", and a row for each dataset that covers texts for it."""
    out = io.StringIO(newline="")
    rows = csv.writer(out, lineterminator="\n")
    states = ("texts", "covered", "partly_covered", "unresolved", "not_covered", "spans")
    rows.writerow(("label", "dataset", *states))
    for label, counts in merged.coverage.items():
        rows.writerow((label, "*", *(counts[state] for state in states)))
        for dataset in merged.inputs:
            if covered := account.coverage[label, dataset, "covered"]:
                rows.writerow((label, dataset, "", covered, "", "", "", account.spans[dataset, label, "gold"]))
    return out.getvalue().encode()
