"""Pull: every source becomes a file of answers. Sources that did not change are not read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.core.errors import UserError
from scripts.core.files import code_digest, exclusive, whole_file, work_folder
from scripts.core.manifest import Entry, Manifest, file_name, load, save
from scripts.core.workers import spread
from scripts.merging.sorting import sorted_blocks
from scripts.sources.source import Intake, Source

_NAME = ".fingerprints.json"  # it can always be deleted


class Fingerprint(msgspec.Struct):
    """A dataset: the digest of its source, and the digest, size and time of change of the file made of it."""

    source: str
    sha256: str
    size: int
    changed: int


def load_fingerprints(folder: Path) -> dict[str, Fingerprint]:
    """The fingerprints of a folder's datasets; none if there is no such file, or it is damaged."""
    try:
        return msgspec.json.decode((folder / _NAME).read_bytes(), type=dict[str, Fingerprint])
    except (OSError, msgspec.DecodeError):
        return {}


def save_fingerprints(folder: Path, entries: Mapping[str, Entry], sources: Mapping[str, str]) -> None:
    """Note the files that a folder holds, with the digests of their sources."""
    prints = {}
    for name, found in sorted(entries.items()):
        stat = (folder / found.file).stat()
        prints[name] = Fingerprint(sources[name], found.sha256, stat.st_size, stat.st_mtime_ns)
    with whole_file(folder / _NAME) as file:
        file.write(msgspec.json.encode(prints))


def is_as_left(path: Path, found: Entry, seen: Fingerprint | None) -> bool:
    """Whether a dataset's file is the one that the manifest tells of, by its size and time: it is not read."""
    if seen is None or seen.sha256 != found.sha256:
        return False
    try:
        stat = path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (seen.size, seen.changed)


_SKIPPED = "skipped"
_ROOMS = Path(__file__).parent.parent
_CODE = (_ROOMS / "core", _ROOMS / "sources", Path(__file__), Path(__file__).with_name("sorting.py"))
_ENCODER = msgspec.json.Encoder()


class Pulled(NamedTuple):
    """The new manifest, and the names of the datasets that were as before."""

    manifest: Manifest
    unchanged: list[str]


def pull(
    sources: Mapping[str, Source], folder: Path, max_skipped: float, processes: int, fresh: bool = False
) -> Pulled:
    """Read all sources into a folder. Nothing there changes before all of them have been read.

    sources (Mapping[str, Source]): By the name of their dataset.
    folder (Path): For `<dataset>.jsonl`, `skipped/<dataset>.jsonl` and the manifest. What it holds of datasets that
        are no longer asked for is deleted.
    max_skipped (float): Share of a dataset's records, or of its spans, that may be unusable.
    processes (int): How many datasets are read at a time.
    fresh (bool): Read unchanged sources too.
    RAISES (UserError): If a source cannot be read, holds too much that is unusable, or all are empty.
    """
    check(sources)
    with exclusive(folder):
        before, seen = _entries(folder), load_fingerprints(folder)
        prints = {name: fingerprint(source) for name, source in sources.items()}
        same = (_is_unchanged(folder, before.get(name), seen.get(name), prints[name]) for name in sources)
        unchanged = [] if fresh else [name for name, is_same in zip(sources, same, strict=True) if is_same]
        entries = {name: before[name] for name in unchanged}
        with work_folder(folder) as work:
            jobs = [_Job(name, source, work) for name, source in sources.items() if name not in unchanged]
            read = zip(jobs, spread(_read, jobs, processes, "Pulling"), strict=True)
            entries |= {job.dataset: found for job, found in read}
            judge(entries, folder, work, max_skipped)
            publish([job.dataset for job in jobs], entries, folder, work)
        manifest = Manifest(dict(sorted(entries.items())))
        save(manifest, folder)
        save_fingerprints(folder, entries, prints)
    return Pulled(manifest, unchanged)


def skipped_file(folder: Path, found: Entry) -> Path:
    """Where what was skipped of a dataset is listed; there is no such file if nothing was."""
    return folder / _SKIPPED / found.file


# Reading


class _Job(NamedTuple):
    dataset: str
    source: Source
    folder: Path


def check(sources: Mapping[str, Source]) -> None:
    """Look whether all sources can be read. RAISES (UserError): If one cannot."""
    for name, source in sources.items():
        try:
            source.check()
        except UserError as err:
            raise UserError(f"[datasets.{name}] {err}") from err


def _read(job: _Job) -> Entry:
    return read_source(*job)


def read_source(dataset: str, source: Source, folder: Path) -> Entry:
    """Stream a source into its file in a folder, sorted by hash; what is skipped is listed in a folder below.

    RAISES (UserError): If it cannot be read to its end.
    """
    path = folder / file_name(dataset)
    listed = folder / _SKIPPED / path.name
    listed.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as out, listed.open("wb") as skipped:
        intake = Intake(lambda skip: skipped.write(_ENCODER.encode_lines([skip])))
        try:
            for block in sorted_blocks(_lines(dataset, source, intake), folder / f"{path.name}.runs"):
                digest.update(block)
                out.write(block)
        except UserError as err:
            raise UserError(f"[datasets.{dataset}] {err}") from err
    if not intake.reasons:
        listed.unlink()
    intake.assert_adds_up()
    outcomes = ("read", "kept", "other_labels", "skipped")
    return Entry(
        file=path.name,
        sha256=digest.hexdigest(),
        bytes=path.stat().st_size,
        labels=sorted(set(source.labels)),
        records={outcome: intake.records[outcome] for outcome in (*outcomes, "answers")},
        spans={outcome: intake.spans[outcome] for outcome in outcomes},
        reasons=dict(sorted(intake.reasons.items())),
        notes=dict(sorted(intake.notes.items())),
    )


def _lines(dataset: str, source: Source, intake: Intake) -> Iterator[tuple[int, bytes]]:
    """The answers with their hashes."""
    records = answers = spans = 0
    for tasks in source.read(dataset, intake):
        records += 1
        for task in tasks:
            answers += 1
            spans += len(task.spans)
            yield task.input_hash, _ENCODER.encode(task) + b"\n"
    intake.keep(answers, spans, records)


# What need not be read again


def fingerprint(source: Source) -> str:
    """Digest of all that what is read of a source depends on."""
    what = f"{source!r}\n{source.fingerprint()}\n{_code()}"
    return hashlib.sha256(what.encode()).hexdigest()


@cache
def _code() -> str:
    return code_digest(*_CODE)


def _entries(folder: Path) -> dict[str, Entry]:
    """What the folder holds; nothing, if that cannot be told."""
    try:
        return load(folder).datasets
    except UserError:
        return {}


def _is_unchanged(folder: Path, found: Entry | None, seen: Fingerprint | None, fingerprint: str) -> bool:
    if found is None or seen is None or seen.source != fingerprint:
        return False
    listed = skipped_file(folder, found).exists() == bool(found.reasons)
    return listed and is_as_left(folder / found.file, found, seen)


# Judging and publishing


def judge(entries: dict[str, Entry], folder: Path, work: Path, max_skipped: float) -> None:
    """RAISES (UserError): If too much is unusable; the list of what was skipped is published all the same."""
    for name, found in sorted(entries.items()):
        for what, counts in (("records", found.records), ("spans", found.spans)):
            if counts["skipped"] > max_skipped * counts["read"]:
                if (work / _SKIPPED / found.file).exists():
                    _replace(work / _SKIPPED / found.file, skipped_file(folder, found))
                raise UserError(_too_many(name, what, counts, found, max_skipped, skipped_file(folder, found)))
    if not any(found.records["read"] for found in entries.values()):
        raise UserError(f"nothing to pull: no record in {', '.join(sorted(entries))}")


def _too_many(name: str, what: str, counts: dict[str, int], found: Entry, allowed: float, listed: Path) -> str:
    reason = max(found.reasons, key=lambda reason: found.reasons[reason])
    return (
        f"[datasets.{name}] {counts['skipped']:,} of {counts['read']:,} {what} cannot be used, most often since: "
        f"{reason}. More than {allowed:.0%} ([pull] max_skipped) stops the step; {listed} lists them all"
    )


def publish(read: list[str], entries: dict[str, Entry], folder: Path, work: Path) -> None:
    """Put what was read into its place, and delete what is there of datasets that are no longer asked for."""
    for name in read:
        found = entries[name]
        _replace(work / found.file, folder / found.file)
        _replace(work / _SKIPPED / found.file, skipped_file(folder, found))
    wanted = {found.file for found in entries.values()}
    for path in (*folder.glob("*.jsonl"), *folder.glob(f"{_SKIPPED}/*.jsonl")):
        if path.name not in wanted:
            path.unlink()


def _replace(new: Path, place: Path) -> None:
    """Put a new file in its place; where there is none, the old one goes."""
    if new.exists():
        place.parent.mkdir(exist_ok=True)
        new.replace(place)
    else:
        place.unlink(missing_ok=True)
