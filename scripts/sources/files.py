"""Sources that are a file or a folder of files with documents."""

from __future__ import annotations

import codecs
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from pathlib import Path
from typing import IO, ClassVar, NamedTuple

import msgspec

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.files import open_maybe_gzip
from scripts.sources.documents import DocumentReader, Record, WithoutSpans
from scripts.sources.folders import split_of
from scripts.sources.limits import demand_regular
from scripts.sources.offsets import Offsets, Unit, UnitEvidence
from scripts.sources.source import Intake, Source, SourcePart
from scripts.sources.states import State, digest_of, state_of

PUBLISHED_SPLITS = "published splits by the names of its files"
NamedFile = tuple[Path, str]  # with its name within the folder


class Files(msgspec.Struct, frozen=True):
    """A Source that is files. A reader derives from it and reads their records.

    path (str): A file or folder.
    labels (list[str]): The labels that were annotated in it; spans of others are not taken.
    without_spans (str): A text without spans is "annotated", and has no entity, or "unannotated".
    annotator (str): Who annotated, for the merge.
    """

    endings: ClassVar[tuple[str, ...]] = ()  # of files in a folder; none: the path must be a file
    path: str
    labels: list[str]
    without_spans: WithoutSpans = "annotated"
    annotator: str = ""

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the records of one file; name (str): Its name in their places."""
        raise NotImplementedError

    def offset_units(self) -> tuple[Offsets, Unit]:
        """Return the units that offsets count, and those that are usual in this format."""
        return "codepoints", "codepoints"

    def files(self) -> list[NamedFile]:
        """Return the files to read, sorted by name."""
        return files(self.path, self.endings)

    def all_files(self) -> list[NamedFile]:
        """Return the files whose change changes the source: those to read, and others that belong to them."""
        return self.files()

    def recognizes(self) -> bool:
        """Tell whether `import` takes the path for this format when none is given: if a file has one of the endings."""
        found = self.files()
        return bool(found) and has_ending(found[0][0], self.endings)

    def note_unread(self, intake: Intake) -> None:
        """Note files that are not read although they look as if they should."""

    def findings(self) -> list[str]:
        """Tell `import` what the files hold beside labels: sentences, with the setting that takes it otherwise."""
        splits = self.split_paths()
        names = [f"{split} ({Path(path).name})" for split, path in splits.items()]
        return [f"{PUBLISHED_SPLITS}: {', '.join(names)}"] if names else []

    def split_paths(self) -> dict[str, str]:
        """Return the paths of "train", "dev" and "test" where the names of all files or folders in it say so."""
        names = [name.split("/") for _, name in self.files()]
        if len(names) < 2:
            return {}
        depth = next((depth for depth, parts in enumerate(zip(*names, strict=False)) if len(set(parts)) > 1), 0)
        inside = sorted({"/".join(parts[: depth + 1]) for parts in names})
        splits = {split_of(name.rpartition("/")[2]): str(Path(self.path) / name) for name in inside}
        return splits if len(splits) == len(inside) and "" not in splits else {}

    def check(self) -> None:
        """RAISES (UserError): If there is nothing to read, or no label is asked for (naming those in it)."""
        self._demand_files()
        if not self.labels:
            found = ", ".join(sorted(self.labels_found()))
            raise UserError(f"{self.path}: labels is empty. There is {found or 'none'}")

    def _demand_files(self) -> None:
        if not self.files():
            inside = f" with a file *{', *'.join(self.endings[:5])} in it" if self.endings else ""
            is_folder = Path(self.path).expanduser().is_dir()
            what = f"folder{inside}" if is_folder else f"file{f', nor folder{inside}' if inside else ''}"
            raise UserError(f"{self.path}: no such {what}")

    def state(self) -> State:
        """The state of all files. RAISES (UserError, OSError): If there is none, or one is gone."""
        self._demand_files()
        return state_of(self.all_files())

    def digest(self) -> str:
        """Digest of the names and bytes of all files."""
        return digest_of(self.all_files())

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the answers in the order of the files' names."""
        return self.read_range(0, None, dataset, intake)

    def read_range(self, first: int, stop: int | None, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the answers in a range of the files."""
        is_part = first > 0 or stop is not None
        source, evidence, notes = self._look_once() if is_part else self._look()
        if first == 0:
            intake.notes.update(notes)
        offsets, usual = self.offset_units()
        units = (self.likely_units(evidence, usual), usual) if offsets == "auto" else ((offsets,), None)
        reader = DocumentReader(dataset, self.labels, self.without_spans, *units)
        yield from reader.read(source._all_records(self.files()[first:stop], intake), intake)
        if reader.usual:
            reader.boundaries.check(self.path, ends_set=self.are_ends_set())
        if first == 0:
            self.note_unread(intake)

    def first_look(self, intake: Intake) -> tuple[Files, UnitEvidence]:
        """Return the source with all settings that its records decide, and what they tell of the unit of their offsets.

        It may read all of them. The intake is told what was chosen.
        """
        evidence = UnitEvidence()
        if self.offset_units()[0] == "auto":
            for record in self._all_records(self.files(), Intake(lambda _: None)):
                for document in record.documents:
                    evidence.add(document.text, [*document.marks, *document.wrong])
        return self, evidence

    def _look(self) -> _Look:
        intake = Intake(lambda _: None)
        return _Look(*self.first_look(intake), intake.notes)

    def _look_once(self) -> _Look:
        """Look before the first part that a process reads, and keep it for the next ones."""
        key = f"{self!r} {self.state().value}"
        if key not in _LOOKS:
            _LOOKS.clear()
            _LOOKS[key] = self._look()
        return _LOOKS[key]

    def are_ends_set(self) -> bool:
        """Whether a setting says if ends are exclusive."""
        return False

    def likely_units(self, evidence: UnitEvidence, usual: Unit) -> tuple[Unit, ...]:
        """Return the units that the offsets may count, the most likely one first."""
        return evidence.units(usual)

    def parts(self, size: int) -> Sequence[Source]:
        """Ranges of the files of about a size in bytes each."""
        number_of_files = len(self.files())
        total = sum(path.stat().st_size for path, _ in self.all_files())
        number = min(-(-total // size), number_of_files)
        if number < 2:
            return [self]
        return [FileRange(self, *edges) for edges in pairwise(number_of_files * n // number for n in range(number + 1))]

    def labels_found(self) -> Counter[str]:
        """Count the spans of each label. All of the source is read."""
        source, _ = self.first_look(Intake(lambda _: None))
        records = source._all_records(self.files(), Intake(lambda _: None))
        documents = (document for record in records for document in record.documents)
        return Counter(mark.label for one in documents for mark in (*one.marks, *one.wrong) if mark.label)

    def _all_records(self, files: Iterable[NamedFile], intake: Intake) -> Iterator[Record]:
        return chain.from_iterable(self.records(path, name, intake) for path, name in files)


class _Look(NamedTuple):
    """What `Files.first_look` returned and noted."""

    source: Files
    evidence: UnitEvidence
    notes: Counter[str]


_LOOKS: dict[str, _Look] = {}  # the last one


class FileRange(SourcePart[Files], frozen=True):
    """A part of a source of files: from which to before which, in the order of their names."""

    first: int
    stop: int

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the answers in these files."""
        return self.whole.read_range(self.first, self.stop, dataset, intake)


def files(path: str, endings: tuple[str, ...]) -> list[NamedFile]:
    """Return a file, or those in a folder and all folders below that have one of the endings, sorted by name.

    endings (tuple[str, ...]): In lower case. Those of the files may be in upper case, as some programs write them.
    """
    place = Path(path).expanduser()
    if place.is_file():
        return [(place, place.name)]
    found = [file for file in _files_below(place) if has_ending(file, endings)] if endings else []
    # A name that is no UTF-8 gets replacement characters.
    named = [(file, os.fsencode(file.relative_to(place).as_posix()).decode("utf8", "replace")) for file in found]
    return sorted(named, key=lambda pair: pair[1])


def has_ending(path: Path, endings: str | tuple[str, ...]) -> bool:
    """Tell whether the name of a file has one of the endings, which are in lower case, in any case."""
    return path.name.lower().endswith(endings)


def beside(path: Path, ending: str) -> Path:
    """Return the file beside one that has another ending, in lower or in upper case; where there is none, in lower."""
    found = path.with_suffix(ending)
    in_upper_case = path.with_suffix(ending.upper())
    return in_upper_case if not found.is_file() and in_upper_case.is_file() else found


def _files_below(place: Path) -> Iterator[Path]:
    """Stream the files in a folder and all folders below, also those that links lead to; each folder once."""
    seen: set[tuple[int, int]] = set()
    folders, links = [place] if place.is_dir() else [], list[Path]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)  # last: a file is called by the folder that it is in
        stat = folder.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            continue
        seen.add((stat.st_dev, stat.st_ino))
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                # An entry knows what it is, if it is no link; a path knows of links in a circle.
                known = folder / entry.name if entry.is_symlink() else entry
                if known.is_dir():
                    (links if entry.is_symlink() else folders).append(folder / entry.name)
                elif known.is_file():  # no pipe or device
                    yield folder / entry.name


def real_path(path: str | Path) -> Path:
    """Return the path that links lead to; where they lead nowhere or in a circle, there is no file."""
    return Path(os.path.realpath(Path(path).expanduser()))


@contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """Open for reading bytes, plain or gzipped. RAISES (UserError): If it is no file, UTF-16, or damaged gzip."""
    demand_regular(Path(path).expanduser())
    with open_maybe_gzip(Path(path).expanduser()) as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise UserError(f"{path}: is UTF-16, as the > of PowerShell writes; save it as UTF-8")
        file.seek(0)
        yield file
