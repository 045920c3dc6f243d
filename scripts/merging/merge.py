"""Merge all answers: divide the hashes into buckets, merge each bucket, put the results together."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from msgspec.structs import replace

from scripts.core.errors import UserError, committing
from scripts.core.files import (
    as_cell,
    code_digest,
    exclusive,
    has_digest,
    put,
    remove,
    remove_state,
    sha256,
    work_folder,
    write_state,
)
from scripts.core.manifest import Manifest, digest
from scripts.core.settings import DatasetOptions
from scripts.core.workers import Workers
from scripts.merging.account import Account
from scripts.merging.buckets import ALL, Bucket, Resources, largest_bucket, merge_bucket, number_of_buckets
from scripts.merging.decide import Policy
from scripts.merging.merged import NAME, ContainedRule, MergeRecord, load
from scripts.merging.pull import is_as_pulled, load_fingerprints
from scripts.merging.rules import MergeRules, made_in_passes

OUTPUTS = ("gold.jsonl", "conflicts.jsonl", "coverage.csv", "contained.jsonl", "duplicates.jsonl")
_CODE = (Path(__file__).parent, Path(__file__).parent.parent / "core")


def merge(
    manifest: Manifest,
    annotations: Path,
    corpus: Path,
    policy: Policy,
    resources: Resources,
    contained: ContainedRule = "auto",
    merger: Merger | None = None,
    options: Mapping[str, DatasetOptions] | None = None,
) -> tuple[MergeRecord, bool]:
    """Merge all answers into `OUTPUTS`, and account for each of them in merge.json. If a previous merge had the same
    answers and rules, and its outputs are intact, nothing is done.

    manifest (Manifest), annotations (Path): The results of `pull`.
    corpus (Path): The folder for the results. They are replaced together, when everything is merged.
    contained (ContainedRule): Whether answers about contained texts move to the container, see `moved`.
    merger (Merger | None): Another engine than this machine.
    options (Mapping[str, DatasetOptions] | None): By dataset; the defaults for those that are missing.
    RETURNS (tuple[MergeRecord, bool]): The content of merge.json, and whether it is new.
    RAISES (UserError): If a file is not as it was pulled.
    """
    merger = merger or Merger(manifest, annotations, resources)
    inputs = {name: entry.sha256 for name, entry in sorted(manifest.datasets.items())}
    options = {name: each for name, each in sorted((options or {}).items()) if name in inputs}
    request = MergeRecord(
        policy=policy, contained=contained, code=code_digest(*_CODE), manifest=digest(manifest), inputs=inputs,
        corrects={name: each.corrects for name, each in options.items() if each.corrects},
        repeats={name: each.repeats for name, each in options.items() if each.repeats != "auto"},
    )  # fmt: skip
    with exclusive(annotations), exclusive(corpus):  # so that nothing is pulled meanwhile
        previous = _previous(request, corpus, merger.outputs)
        if previous:
            return previous, False
        with work_folder(corpus) as work:
            account = merger.merge(request, work)
            return _commit(request, account, manifest, work, corpus, merger.outputs), True


def _previous(request: MergeRecord, corpus: Path, outputs: Sequence[str]) -> MergeRecord | None:
    """The merge.json of a previous merge with the same inputs and rules, if all outputs are there and intact."""
    try:
        found = load(corpus)
        one, other = ((r.policy, r.contained, r.code, r.manifest, r.corrects, r.repeats) for r in (found, request))
        same = one == other and found.outputs.keys() >= set(outputs)
        return found if same and all(sha256(corpus / name) == sha for name, sha in found.outputs.items()) else None
    except (UserError, OSError):
        return None


# ---- On this machine


class Merger:
    """Merges all answers, in processes of this machine. Other engines override `merge` and its `outputs`."""

    outputs: Sequence[str] = OUTPUTS

    def __init__(self, manifest: Manifest, annotations: Path, resources: Resources) -> None:
        self.manifest, self.annotations, self.resources = manifest, annotations, resources

    def merge(self, request: MergeRecord, work: Path) -> Account:
        """Write the outputs, but for coverage.csv. RAISES (UserError): If an input is not as it was pulled."""
        from scripts.merging.contained import compare_texts  # NumPy takes longer than to find no work
        from scripts.merging.moved import made_of_contained, move_answers

        paths = {name: self.annotations / entry.file for name, entry in self.manifest.datasets.items()}
        with Workers(self.resources.processes) as workers:
            self._verify(workers)
            account, rules = self.by_evidence(request, lambda rules: self._merge_files(paths, work, rules, workers))
            found = compare_texts(work, work / "compared", workers)
            gold = work / "gold.jsonl"
            if request.contained == "auto" and (moved := made_of_contained(gold, found, workers)):
                labels = {name: entry.labels for name, entry in self.manifest.datasets.items()}
                paths = move_answers(paths, labels, moved, gold, found, work / "compared", workers)
                account = self._merge_files(paths, work, rules, workers)  # all again: answers are about other texts now
                found = compare_texts(work, work / "compared again", workers)
                request.moved = moved
        account.totals.update(found.counts)
        return account

    def by_evidence(
        self, request: MergeRecord, merge_all: Callable[[MergeRules], Account]
    ) -> tuple[Account, MergeRules]:
        """Merge all answers; if it turns out that datasets were made in passes, all again by that.

        request (MergeRecord): Gets the datasets that were made in passes.
        """
        request.passes = sorted(name for name, repeats in request.repeats.items() if repeats == "unite")
        account = merge_all(request.rules(self.manifest))
        evidence: dict[str, dict[str, int]] = account.to_dict()["repeated"]
        found = [name for name in evidence if name not in request.repeats and made_in_passes(evidence[name])]
        if found:
            request.passes = sorted([*request.passes, *found])
            account = merge_all(request.rules(self.manifest))
        return account, request.rules(self.manifest)

    def _verify(self, workers: Workers) -> None:
        """RAISES (UserError): If a file is not as it was pulled. Those that are by size and time are not read."""
        for _ in workers.spread(validate_file, files_to_validate(self.annotations, self.manifest), "Verifying"):
            pass

    def _merge_files(self, files: Mapping[str, Path], work: Path, rules: MergeRules, workers: Workers) -> Account:
        """Merge files of answers, sorted by hash, into gold.jsonl and conflicts.jsonl of a folder."""
        paths = list(files.values())
        gold, conflicts = work / "gold.jsonl", work / "conflicts.jsonl"
        for path in (gold, conflicts):
            path.write_bytes(b"")
        largest = largest_bucket(self.resources.memory_mb, self.resources.processes)
        size = sum(path.stat().st_size for path in paths)
        number = self.resources.buckets or number_of_buckets(size, largest, self.resources.processes)
        buckets = [Bucket(paths, hashes, largest, rules, gold, conflicts) for hashes in ALL.split(number)]
        if self.resources.processes > 1:  # which cannot append to one file in order
            buckets = [
                bucket._replace(gold=work / f"gold-{number}", conflicts=work / f"conflicts-{number}")
                for number, bucket in enumerate(buckets)
            ]
        account = Account()
        for bucket, packed in zip(buckets, workers.spread(merge_bucket, buckets, "Merging"), strict=True):
            account.add(Account.unpacked(packed))
            for part, path in ((bucket.gold, gold), (bucket.conflicts, conflicts)):
                if part != path:
                    with part.open("rb") as file, path.open("ab") as out:
                        shutil.copyfileobj(file, out)
                    part.unlink()
        return account


# ---- Who reads answers checks them


def files_to_validate(folder: Path, manifest: Manifest) -> list[tuple[Path, str]]:
    """The datasets' files that may not be as they were pulled, by size and time of change, with their digests."""
    cached = load_fingerprints(folder)
    return [
        (folder / entry.file, entry.sha256)
        for name, entry in manifest.datasets.items()
        if not is_as_pulled(folder / entry.file, entry, cached.get(name))
    ]


def validate_file(file: tuple[Path, str]) -> None:
    """RAISES (UserError): If a file has not this digest."""
    if not has_digest(*file):
        raise UserError(f"{file[0]}: is not as it was pulled; pull again: weasel run pull")


def validate_answers(folder: Path, manifest: Manifest, merged: MergeRecord) -> None:
    """Check that the answers in a folder are those that were merged. RAISES (UserError): If they are not."""
    if digest(manifest) != merged.manifest:
        raise UserError(f"{folder}: was pulled after the merge; merge again: weasel run merge")
    for file in files_to_validate(folder, manifest):
        validate_file(file)


# ---- The account, and the results in place


def _commit(
    request: MergeRecord, account: Account, manifest: Manifest, work: Path, corpus: Path, outputs: Sequence[str]
) -> MergeRecord:
    """Move the outputs into the corpus. merge.json, which has their digests, goes first and comes last.

    RAISES (AssertionError): If an answer that was pulled, or a span, is missing.
    """
    merged = _accounted(request, account, manifest)
    (work / "coverage.csv").write_bytes(_coverage_csv(merged, account))
    merged.outputs = {name: sha256(work / name) for name in outputs}
    with committing():
        remove_state(corpus / NAME)
        for name in set(OUTPUTS) - set(outputs):  # of a previous merge, by another engine
            remove(corpus / name)
        for name in outputs:
            put(work / name, corpus / name)
        write_state(corpus / NAME, merged)
    return merged


def _accounted(request: MergeRecord, account: Account, manifest: Manifest) -> MergeRecord:
    """The merge.json with its account. RAISES (AssertionError): If an answer that was pulled, or a span, is missing."""
    for name, entry in manifest.datasets.items():
        assert account.answers[name, "read"] == entry.records["answers"], (name, "answers")
        assert sum(account.spans[name, label, "read"] for label in entry.labels) == entry.spans["kept"], (name, "spans")
        account.answers[name, "read"] += entry.records["skipped"]
        account.answers[name, "skipped"] += entry.records["skipped"]
    account.assert_adds_up()
    account.count_said_again()
    labels = sorted({label for entry in manifest.datasets.values() for label in entry.labels})
    coverage = {label: _coverage_of(label, account) for label in labels}
    return replace(request, labels=labels, coverage=coverage, **account.to_dict())


def _coverage_of(label: str, account: Account) -> dict[str, int]:
    counts = {state: account.coverage[label, "", state] for state in ("covered", "partly_covered", "unresolved")}
    texts = account.totals["texts"]
    assert sum(counts.values()) <= texts, (label, counts)
    not_covered = texts - sum(counts.values())
    return {"texts": texts, **counts, "not_covered": not_covered, "spans": account.coverage[label, "", "spans"]}


def _coverage_csv(merged: MergeRecord, account: Account) -> bytes:
    """A row for each label, with dataset "*", and one for each dataset that covers texts for it."""
    table = StringIO(newline="")  # not of pandas, which takes a third of a second to import
    states = ("texts", "covered", "partly_covered", "unresolved", "not_covered", "spans")
    rows = csv.DictWriter(table, ["label", "dataset", *states], restval="", lineterminator="\n")
    rows.writeheader()
    for label, counts in merged.coverage.items():
        rows.writerow({"label": as_cell(label), "dataset": "*", **counts})
        for dataset in merged.inputs:
            if covered := account.coverage[label, dataset, "covered"]:
                spans = account.spans[dataset, label, "gold"]
                cells = {"label": as_cell(label), "dataset": as_cell(dataset)}
                rows.writerow({**cells, "covered": covered, "spans": spans})
    return table.getvalue().encode()
