"""Merging as a whole: divide the hashes into buckets, merge each of them, put the parts together."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.annotations.errors import UserError
from scripts.annotations.files import code_digest, exclusive, sha256, work_folder, write_json
from scripts.annotations.manifest import Manifest, digest
from scripts.annotations.parallel import Workers
from scripts.annotations.seen import is_as_left, remembered
from scripts.merging.account import Account
from scripts.merging.buckets import Resources
from scripts.merging.decide import Parts, Policy
from scripts.merging.gathering import gather
from scripts.merging.merged import NAME, Merged, is_as_merged, load
from scripts.merging.stretches import RESEMBLING, Stretch, former_merge, keeps_resemblance, remember

OUTPUTS = ("gold.jsonl", "conflicts.jsonl", "coverage.csv", "parts.jsonl", "lookalikes.jsonl")
_CODE = (Path(__file__).parent, Path(__file__).parent.parent / "annotations")


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
                account, stretches = _merge_and_compare(manifest, annotations, work, corpus, asked, resources, workers)
            merged = publish(asked, account, manifest, work, corpus)
        if parts == "keep":
            remember(corpus, stretches)
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
    manifest: Manifest,
    annotations: Path,
    work: Path,
    corpus: Path,
    asked: Merged,
    resources: Resources,
    workers: Workers,
) -> tuple[Account, list[Stretch]]:
    """Merge, and compare the texts; if that moves answers to other texts, merge and compare again."""
    paths = {name: annotations / entry.file for name, entry in manifest.datasets.items()}
    seen = remembered(annotations)
    sure = {name for name, entry in manifest.datasets.items() if is_as_left(paths[name], entry, seen.get(name))}
    size = sum(entry.bytes for entry in manifest.datasets.values())
    former = former_merge(asked, {name: seen[name] for name in sure}, size, corpus)
    if not former:  # all texts will be compared, which needs NumPy: loaded now, workers share it
        import scripts.merging.mapping  # noqa: F401
    unsure = [Vouched(paths[name], entry.sha256) for name, entry in manifest.datasets.items() if name not in sure]
    for _ in workers.spread(_verify, unsure, "Checking"):
        pass
    what = (size, work, asked.policy, resources, workers)
    stretches = gather(list(paths.values()), *what, former)
    account = Account.summed(stretch.account for stretch in stretches)
    if former and keeps_resemblance(former, stretches, work / "gold.jsonl"):
        for name in RESEMBLING:
            shutil.copyfile(corpus / f"{name}.jsonl", work / f"{name}.jsonl")
            account.totals[name] = former.merged.totals[name]
        return account, stretches

    from scripts.merging.mapping import map_parts  # where little changed nothing is compared: NumPy takes .1 s to load
    from scripts.merging.resemblance import find_resemblance

    found = find_resemblance(work, work / "first", workers)
    moved = 0
    if asked.parts == "map":
        mapped, moved = map_parts(list(paths.values()), work / "gold.jsonl", found, work / "first")
        if moved:
            stretches = gather(mapped, *what, None)
            account = Account.summed(stretch.account for stretch in stretches)
            found = find_resemblance(work, work / "second", workers)
    account.totals.update(found.counts | ({"answers moved": moved} if asked.parts == "map" else {}))
    return account, stretches


class Vouched(NamedTuple):
    """A file, and the digest that the manifest vouches for."""

    path: Path
    sha256: str


def _verify(file: Vouched) -> None:
    """RAISES (UserError): If the file is not what was pulled."""
    if not file.path.is_file() or sha256(file.path) != file.sha256:
        raise UserError(f"{file.path}: is not as it was pulled; pull again")


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
