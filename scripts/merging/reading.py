"""Reading sources into sorted files of answers: one process a source, and all processes where a source is large."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.core.manifest import OUTCOMES, Entry, file_name, join_entries
from scripts.core.settings import DatasetOptions
from scripts.core.workers import Workers, spread
from scripts.merging.sorting import merged_blocks, sorted_blocks, sorted_chunks
from scripts.sources.limits import DEFAULT_MB, record_limit
from scripts.sources.offsets import INSIDE_WORD, may_be_shifted
from scripts.sources.options import read_answers
from scripts.sources.proofs import Proof, is_changed, prove
from scripts.sources.source import Divisible, Intake, Source, number_parts, records_inside
from scripts.sources.states import State, add_digests

SKIPPED = "skipped"
PART_BYTES = 2**27  # sources that are larger are divided
_ENCODER = msgspec.json.Encoder()


def skipped_file(folder: Path, entry: Entry) -> Path:
    """Path of the list of skipped records and spans of a dataset. There is no such file if nothing was skipped."""
    return folder / SKIPPED / entry.file


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
        with naming(job.dataset):
            before = job.source.state()
        try:
            with naming(job.dataset), record_limit(job.max_record_mb):
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
            return entry, replace(proof, content=digest or proof.content)
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
    with _intake(job) as intake:
        size, digest = _write(sorted_blocks(_hashed_lines(job, intake), path.with_suffix(".sorted")), path)
    return _entry(job, intake, size, digest), intake.digest


@contextmanager
def _intake(job: ReadJob) -> Iterator[Intake]:
    """Account for a source that is read to its end in the block."""
    listed = job.folder / SKIPPED / file_name(job.dataset)
    listed.parent.mkdir(parents=True, exist_ok=True)
    with listed.open("wb") as skipped, naming(job.dataset), record_limit(job.max_record_mb):
        intake = Intake(lambda skip: skipped.write(_ENCODER.encode_lines([skip])))
        yield intake
    if not intake.reasons:
        listed.unlink()
    intake.assert_adds_up()


def _write(blocks: Iterable[bytes], path: Path) -> tuple[int, str]:
    """Write a file. RETURNS (tuple[int, str]): Its size and its digest."""
    digest, size = hashlib.sha256(), 0
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as out:
        for block in blocks:
            digest.update(block)
            size += out.write(block)
    return size, digest.hexdigest()


@contextmanager
def naming(dataset: str) -> Iterator[None]:
    """Say of which dataset an error is."""
    try:
        yield
    except UserError as err:
        raise UserError(f"[datasets.{dataset}] {err}") from err


def _entry(job: ReadJob, intake: Intake, size: int = 0, digest: str = "") -> Entry:
    outcomes = ("read", *OUTCOMES)
    return Entry(
        file=file_name(job.dataset),
        sha256=digest,
        bytes=size,
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


# ---- Large sources, in parts


class Divided(NamedTuple):
    """A source that is read in parts, its state and proof before."""

    job: ReadJob
    before: State
    proof: Proof
    parts: Sequence[Source]

    @property
    def folder(self) -> Path:
        """The folder for what is read, a folder a part in it."""
        return self.job.folder / f"{file_name(self.job.dataset)}.parts"

    def jobs(self, records: Sequence[int]) -> list[ReadJob]:
        """Return the work of reading the parts, which have so many records each."""
        parts = enumerate(number_parts(self.parts, records))
        return [self.job._replace(source=part, folder=self.folder / str(number)) for number, part in parts]


class ReadPart(NamedTuple):
    """The account of a part, the digest of its source if it gave one, and the sorted files of its answers."""

    entry: Entry
    digest: str
    chunks: list[Path]


def read_all(jobs: Sequence[ReadJob], processes: int) -> list[tuple[Entry | None, Proof]]:
    """Read sources in a number of processes, each with the result of `read_if_changed`; the large ones in parts."""
    if processes == 1:
        return [*spread(read_if_changed, jobs, 1, "Pulling")]
    with Workers(processes) as workers:
        begun = [*workers.spread(_begin, jobs, "Pulling")]
        divided = [one for one in begun if isinstance(one, Divided)]
        counts = iter([*workers.spread(records_inside, [part for one in divided for part in one.parts], "Counting")])
        parts = [job for one in divided for job in one.jobs([*islice(counts, len(one.parts))])]
        found = iter([*workers.spread(_read_part, parts, "Pulling")])
        whole = [(one, [*islice(found, len(one.parts))]) for one in divided]
        joined = iter([*workers.spread(_join, whole, "Pulling")])
    return [next(joined) if isinstance(one, Divided) else one for one in begun]


def _begin(job: ReadJob) -> tuple[Entry | None, Proof] | Divided:
    """Read a source, unless it is large and can be divided."""
    source = job.source
    if isinstance(source, Divisible):
        with suppress(Exception), record_limit(job.max_record_mb):  # reading it tells what is wrong
            before = source.state()  # of a server nothing would tell that parts saw different moments
            if before and len(parts := source.parts(PART_BYTES)) > 1:
                proof = prove(source, before, job.reading, job.known)
                return (None, proof) if proof.equals(job.known) else Divided(job, before, proof, parts)
    return read_if_changed(job)


def _read_part(job: ReadJob) -> ReadPart | None:
    """Read a part. RETURNS (ReadPart | None): None if it cannot be read to its end."""
    with suppress(Exception):  # reading the whole tells whether that is so
        with _intake(job) as intake:
            chunks = sorted_chunks(_hashed_lines(job, intake), job.folder)
        return ReadPart(_entry(job, intake), intake.digest, chunks)
    return None


def _join(item: tuple[Divided, Sequence[ReadPart | None]]) -> tuple[Entry | None, Proof]:
    """Join the parts of a source; if anything went wrong, or may have, read it as a whole, in one process."""
    (job, before, proof, _), found = item
    parts = [part for part in found if part]
    is_sound = len(parts) == len(found) and not is_changed(job.source, before)
    entry = join_entries([part.entry for part in parts]) if is_sound else None
    if entry is None or may_be_shifted(entry.notes.get(INSIDE_WORD, 0), entry.spans["kept"]):
        shutil.rmtree(item[0].folder, ignore_errors=True)
        return read_if_changed(job)
    size, digest = _write(merged_blocks([path for part in parts for path in part.chunks]), job.folder / entry.file)
    if entry.reasons:
        lists = [skipped_file(part.chunks[0].parent, part.entry) for part in parts if part.entry.reasons]
        _write((block for path in lists for block in _blocks(path)), skipped_file(job.folder, entry))
    shutil.rmtree(item[0].folder)
    content = add_digests(part.digest for part in parts) or proof.content
    return replace(entry, bytes=size, sha256=digest), replace(proof, content=content)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(partial(file.read, BUFFER), b"")
