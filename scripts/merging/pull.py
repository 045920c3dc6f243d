"""Pull: every source becomes a file of answers, sorted by hash. Sources that did not change are not read again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.core import files
from scripts.core.errors import UserError, committing
from scripts.core.files import code_digest, exclusive, put, remove, remove_state, whole_file, work_folder
from scripts.core.manifest import NAME, Entry, Manifest, demand_same_datasets, digest, load, save
from scripts.core.settings import DatasetOptions, Settings
from scripts.merging.reading import SKIPPED, ReadJob, naming, read_all, skipped_file
from scripts.sources.limits import DEFAULT_MB, max_record, record_limit
from scripts.sources.names import check_names
from scripts.sources.proofs import Proof
from scripts.sources.source import Source
from scripts.sources.web import fetch

_ROOMS = Path(__file__).parent.parent
_CODE = (_ROOMS / "core", _ROOMS / "sources", *map(Path(__file__).with_name, ("pull.py", "reading.py", "sorting.py")))

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
        with naming(name):
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
                files.tighten_state(folder / NAME)
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


def changed_since(merged: str, folder: Path, config: Settings) -> list[str]:
    """The same for a step after the merge; none if a folder holds no answers, or others than were merged.

    merged (str): Digest of the manifest that was merged.
    RAISES (UserError): See `changed_blocks`.
    """
    try:
        manifest = load(folder)
    except UserError:  # pulled and merged by somebody else
        return []
    if digest(manifest) != merged:
        return []
    with record_limit(config.pull.max_record_mb):
        return changed_blocks(manifest, folder, config.datasets, config.options)


def previous_entries(folder: Path) -> Entries:
    """The datasets of a folder; none if its manifest is missing or damaged."""
    try:
        return load(folder).datasets
    except UserError:
        return {}


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
        """Read sources into files of a work folder, see `read_all`.

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
        for job, (entry, proof) in zip(jobs, read_all(jobs, self.processes), strict=True):
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
    for path in (*folder.glob("*.jsonl"), *folder.glob(f"{SKIPPED}/*.jsonl")):
        if path.name not in wanted:
            remove(path)


def _replace(new: Path, place: Path) -> None:
    """Put a new file in place of another; if there is no new one, delete the other."""
    if new.exists():
        place.parent.mkdir(exist_ok=True)
        put(new, place)
    elif place.exists():
        remove(place)
