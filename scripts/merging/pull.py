"""Pull: every source becomes a file of answers, sorted by hash. Sources that did not change are not read again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.core import files
from scripts.core.errors import UserError, committing
from scripts.core.files import code_digest, exclusive, put, remove, remove_state, whole_file, work_folder
from scripts.core.manifest import NAME, OUTCOMES, Entry, Manifest, demand_same_datasets, file_name, load, save
from scripts.core.settings import DatasetOptions
from scripts.core.workers import spread
from scripts.merging.sorting import sorted_blocks
from scripts.sources.limits import DEFAULT_MB, max_record, record_limit
from scripts.sources.names import check_names
from scripts.sources.options import read_answers
from scripts.sources.proofs import Proof, is_changed, prove
from scripts.sources.source import Intake, Source
from scripts.sources.web import fetch

_SKIPPED = "skipped"
_ROOMS = Path(__file__).parent.parent
_CODE = (_ROOMS / "core", _ROOMS / "sources", Path(__file__), Path(__file__).with_name("sorting.py"))
_ENCODER = msgspec.json.Encoder()

Entries = dict[str, Entry]


class Pulled(NamedTuple):
    """The new manifest, and the datasets that were not read again."""

    manifest: Manifest
    unchanged: list[str]


def pull(
    sources: Mapping[str, Source],
    folder: Path,
    max_skipped: float,
    processes: int,
    fresh: bool = False,
    reader: Reader | None = None,
    options: Mapping[str, DatasetOptions] | None = None,
    max_record_mb: int = DEFAULT_MB,
) -> Pulled:
    """Read all sources into a folder. Nothing there changes before all of them have been read.

    sources (Mapping[str, Source]): By dataset.
    folder (Path): For `<dataset>.jsonl`, `skipped/<dataset>.jsonl` and the manifest. Files of other datasets are
        deleted.
    max_skipped (float): Largest share of a dataset's records, or of its spans, that may be skipped.
    fresh (bool): Read unchanged sources too.
    reader (Reader | None): Another engine than this machine.
    options (Mapping[str, DatasetOptions] | None): By dataset; the defaults for those that are missing.
    max_record_mb (int): A record that is larger is skipped.
    RAISES (UserError): If a source cannot be read, too much of it is skipped, a label that is asked for never occurs
        while a similar one does, or all sources are empty.
    """
    fetch(sources)
    for name, source in sources.items():
        with _naming(name):
            source.check()
    options = {name: (options or {}).get(name, DatasetOptions()) for name in sources}
    reader = reader or Reader(processes, fresh)
    files.restrict(*{Path(path).expanduser() for source in sources.values() if (path := getattr(source, "path", ""))})
    with exclusive(folder), work_folder(folder) as work, record_limit(max_record_mb):
        entries, unchanged = reader.read(sources, options, folder, work)
        _validate(entries, folder, work, max_skipped)
        check_names(sources, options, entries)
        for path in (folder / entries[name].file for name in unchanged):
            if path.exists():  # on a cluster it is on the storage
                files.tighten(path)
        manifest = Manifest(dict(sorted(entries.items())))
        is_new = len(unchanged) < len(entries) or entries != previous_entries(folder)
        with committing():
            if is_new:  # who finds a manifest relies on the files that it names: it goes first and comes last
                remove_state(folder / NAME)
            _commit(entries, unchanged, folder, work)
            reader.commit(manifest, folder)
            if is_new:
                save(manifest, folder)
            else:
                files.tighten(folder / NAME)
    return Pulled(manifest, unchanged)


def reading_digest(source: Source, options: DatasetOptions) -> str:
    """Digest of all but its content that the answers read from a source depend on: settings and code."""
    taken = (options.annotators, options.rename)
    return hashlib.sha256(f"{source!r}\n{taken}\n{max_record()}\n{_code()}".encode()).hexdigest()


@cache
def _code() -> str:
    return code_digest(*_CODE)


def changed_blocks(
    manifest: Manifest, folder: Path, sources: Mapping[str, Source], options: Mapping[str, DatasetOptions]
) -> list[str]:
    """The datasets that were pulled with other settings, or by other code, than those of now, as far as is noted.

    RAISES (UserError): If other datasets were pulled than there are sources, or other labels of one.
    """
    demand_same_datasets(sources, manifest.datasets, f"{folder}: pulled", "pull again: weasel run pull")
    for name, source in sources.items():
        wanted, pulled = options[name].our_labels(source.labels), manifest.datasets[name].labels
        if wanted != pulled:
            raise UserError(
                f"[datasets.{name}] has the labels {', '.join(wanted)}, but {', '.join(pulled)} were pulled; pull "
                "again: weasel run pull"
            )
    known = load_fingerprints(folder)
    return [
        name
        for name, source in sources.items()
        if name in known and known[name].source.reading != reading_digest(source, options[name])
    ]


def previous_entries(folder: Path) -> Entries:
    """The datasets of a folder; none if its manifest is missing or damaged."""
    try:
        return load(folder).datasets
    except UserError:
        return {}


def skipped_file(folder: Path, entry: Entry) -> Path:
    """Path of the list of skipped records and spans of a dataset. There is no such file if nothing was skipped."""
    return folder / _SKIPPED / entry.file


class Reader:
    """Reads all sources, in processes of this machine. Other engines override `read`.

    proofs (dict[str, Proof]): Of all sources, once they have been read.
    """

    def __init__(self, processes: int, fresh: bool) -> None:
        self.processes, self.fresh = processes, fresh
        self.proofs: dict[str, Proof] = {}

    def read(
        self, sources: Mapping[str, Source], options: Mapping[str, DatasetOptions], folder: Path, work: Path
    ) -> tuple[Entries, list[str]]:
        """Read sources into files of a work folder, see `read_source`.

        options (Mapping[str, DatasetOptions]): Of each.
        folder (Path): The results of the previous pull, which stay as they are.
        RETURNS (tuple[Entries, list[str]]): All datasets; and the unchanged ones, whose previous files stay.
        """
        previous = previous_entries(folder)
        known = {} if self.fresh else _known_proofs(previous, folder)
        self.proofs = {name: proof for name, proof in known.items() if name in sources}
        jobs = []
        for name, source in sources.items():
            reading = reading_digest(source, options[name])
            proof = known.get(name)
            if proof is None or not proof.holds(reading, source.state()):
                jobs.append(ReadJob(name, source, options[name], work, reading, proof, max_record() // 2**20))
        entries = {name: previous[name] for name in self.proofs}
        for job, (entry, proof) in zip(jobs, spread(read_if_changed, jobs, self.processes, "Pulling"), strict=True):
            self.proofs[job.dataset] = proof
            entries[job.dataset] = entry or previous[job.dataset]
        return entries, [name for name in sources if name in known and entries[name] is previous[name]]

    def commit(self, manifest: Manifest, folder: Path) -> None:
        """Note the files that the folder holds now, just before the manifest is written."""
        fingerprints = {}
        for name, entry in manifest.datasets.items():
            path = folder / entry.file
            size, changed = (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else (0, 0)
            fingerprints[name] = Fingerprint(self.proofs[name], entry.sha256, size, changed)
        with whole_file(folder / _FINGERPRINTS) as file:
            file.write(msgspec.json.encode(fingerprints))


_FINGERPRINTS = ".fingerprints.json"  # it can always be deleted


class Fingerprint(msgspec.Struct):
    """A dataset: the proof of its source, and the digest, size and time of change of its file."""

    source: Proof
    sha256: str
    size: int
    changed: int


def load_fingerprints(folder: Path) -> dict[str, Fingerprint]:
    """Fingerprints of a folder's datasets; none if there is no such file, or it is damaged."""
    try:
        return msgspec.json.decode((folder / _FINGERPRINTS).read_bytes(), type=dict[str, Fingerprint])
    except files.UNREADABLE:
        return {}


def is_as_pulled(path: Path, entry: Entry, cached: Fingerprint | None) -> bool:
    """Whether a dataset's file is as in the manifest, by its size and time of change: the file is not read."""
    if cached is None or cached.sha256 != entry.sha256 or not path.is_file():
        return False
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns) == (cached.size, cached.changed)


def _known_proofs(entries: Entries, folder: Path) -> dict[str, Proof]:
    """Return the proofs of the datasets whose files are as they were pulled."""
    cached = load_fingerprints(folder)
    return {
        name: cached[name].source
        for name, entry in entries.items()
        if is_as_pulled(folder / entry.file, entry, cached.get(name)) and skips_listed(folder, entry)
    }


def skips_listed(folder: Path, entry: Entry) -> bool:
    """Whether a dataset has a list of skipped records if, and only if, some were skipped."""
    return skipped_file(folder, entry).exists() == bool(entry.reasons)


# ---- Reading a source

_ATTEMPTS = 3  # at a source that others write to


class ReadJob(NamedTuple):
    """A source to read, the options of its dataset, and the folder for its files.

    reading (str): See `reading_digest`.
    known (Proof | None): Of what its previous files hold, if they can stay.
    max_record_mb (int): See `pull`.
    """

    dataset: str
    source: Source
    options: DatasetOptions
    folder: Path
    reading: str = ""
    known: Proof | None = None
    max_record_mb: int = DEFAULT_MB


def read_if_changed(job: ReadJob) -> tuple[Entry | None, Proof]:
    """Read a source, see `read_source`, unless it is as it was; again, if it is written to meanwhile.

    RETURNS (tuple[Entry | None, Proof]): No entry if it is as it was.
    RAISES (UserError): If it cannot be read to its end, or is written to all the time.
    """
    for left in reversed(range(_ATTEMPTS)):
        with _naming(job.dataset):
            before = job.source.state()
        try:
            with _naming(job.dataset), record_limit(job.max_record_mb):
                proof = prove(job.source, before, job.reading, job.known)
                if proof.equals(job.known):
                    return None, proof
            entry, digest = _read(job)
        except Exception:  # half a file can raise anything
            if left and is_changed(job.source, before):
                continue
            raise
        # Of a database in use, what was read is sound, and what was not shows in its state the next time.
        if not is_changed(job.source, before) or (before and before.is_shared and not left):
            return entry, msgspec.structs.replace(proof, content=digest or proof.content)
    raise UserError(f"[datasets.{job.dataset}] was written to each time that it was read; run again when that is done")


def read_source(job: ReadJob) -> Entry:
    """Stream the answers of a source into `<dataset>.jsonl`, sorted by hash, and skipped records and spans into
    `skipped/<dataset>.jsonl`.

    RAISES (UserError): If it cannot be read to its end.
    """
    return _read(job)[0]


def _read(job: ReadJob) -> tuple[Entry, str]:
    """See `read_source`. RETURNS (tuple[Entry, str]): The account, and the digest of the source if it gave one."""
    path = job.folder / file_name(job.dataset)
    listed = job.folder / _SKIPPED / path.name
    listed.parent.mkdir(exist_ok=True)
    digest = hashlib.sha256()
    reading = record_limit(job.max_record_mb)
    with path.open("wb") as out, listed.open("wb") as skipped, _naming(job.dataset), reading:
        intake = Intake(lambda skip: skipped.write(_ENCODER.encode_lines([skip])))
        for block in sorted_blocks(_hashed_lines(job, intake), path.with_suffix(".sorted")):
            digest.update(block)
            out.write(block)
    if not intake.reasons:
        listed.unlink()
    intake.assert_adds_up()
    return _entry(job, intake, path, digest.hexdigest()), intake.digest


@contextmanager
def _naming(dataset: str) -> Iterator[None]:
    """Say of which dataset an error is."""
    try:
        yield
    except UserError as err:
        raise UserError(f"[datasets.{dataset}] {err}") from err


def _entry(job: ReadJob, intake: Intake, path: Path, digest: str) -> Entry:
    outcomes = ("read", *OUTCOMES)
    return Entry(
        file=path.name,
        sha256=digest,
        bytes=path.stat().st_size,
        labels=job.options.our_labels(job.source.labels),
        records={outcome: intake.records[outcome] for outcome in (*outcomes, "answers")},
        spans={outcome: intake.spans[outcome] for outcome in outcomes},
        reasons=dict(sorted(intake.reasons.items())),
        notes=dict(sorted(intake.notes.items())),
        other_labels=dict(sorted(intake.labels.items())),
        other_annotators=dict(sorted(intake.annotators.items())),
        renamed=dict(sorted(intake.renamed.items())),
        missing_labels=intake.missing_labels,
        missing_annotators=intake.missing_annotators,
    )


def _hashed_lines(job: ReadJob, intake: Intake) -> Iterator[tuple[int, bytes]]:
    """Hash and line of each answer."""
    records = answers = spans = 0
    for tasks in read_answers(job.source, job.dataset, job.options, intake):
        records += 1
        for task in tasks:
            answers += 1
            spans += len(task.spans)
            yield task.input_hash, _ENCODER.encode(task) + b"\n"
    intake.keep(answers, spans, records)


# ---- Validating, and the results in place


def _validate(entries: Entries, folder: Path, work: Path, max_skipped: float) -> None:
    """RAISES (UserError): If too much is skipped; the list of skipped records is put in place all the same."""
    for name, entry in sorted(entries.items()):
        for unit, counts in (("records", entry.records), ("spans", entry.spans)):
            asked = counts["read"] - counts["no_answer"] - counts["other_annotators"]
            if counts["skipped"] > max_skipped * asked:
                listed = skipped_file(folder, entry)
                if skipped_file(work, entry).exists():
                    _replace(skipped_file(work, entry), listed)
                reason = max(entry.reasons, key=lambda reason: entry.reasons[reason])
                raise UserError(
                    f"[datasets.{name}] {counts['skipped']:,} of {asked:,} {unit} cannot be used, most often "
                    f"since: {reason}. More than {max_skipped:.0%} ([pull] max_skipped) stops the step; {listed} lists "
                    "them all"
                )
    if not any(entry.records["read"] for entry in entries.values()):
        raise UserError(f"nothing to pull: no record in {', '.join(sorted(entries))}")


def _commit(entries: Entries, unchanged: Collection[str], folder: Path, work: Path) -> None:
    """Put new files in place, and delete those of datasets that are no longer in the config."""
    for name, entry in entries.items():
        if name not in unchanged:
            _replace(work / entry.file, folder / entry.file)
            _replace(skipped_file(work, entry), skipped_file(folder, entry))
    wanted = {entry.file for entry in entries.values()}
    for path in (*folder.glob("*.jsonl"), *folder.glob(f"{_SKIPPED}/*.jsonl")):
        if path.name not in wanted:
            remove(path)


def _replace(new: Path, place: Path) -> None:
    """Put a new file in place of another; if there is no new one, delete the other."""
    if new.exists():
        place.parent.mkdir(exist_ok=True)
        put(new, place)
    elif place.exists():
        remove(place)
