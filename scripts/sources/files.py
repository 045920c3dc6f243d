"""What sources share that are a file, or a folder of them, with documents."""

from __future__ import annotations

import codecs
import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from gzip import BadGzipFile
from itertools import pairwise
from pathlib import Path
from typing import IO, ClassVar

import msgspec

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.files import open_maybe_gzip
from scripts.sources.documents import DocumentReader, Record, WithoutSpans
from scripts.sources.offsets import Offsets, Unit
from scripts.sources.source import Intake, Source


class Files:
    """A Source that is files. What derives from it has these fields, and reads their records."""

    __slots__ = ()

    endings: ClassVar[tuple[str, ...]] = ()  # of files in a folder; none: the path must be a file
    path: str
    labels: list[str]
    without_spans: WithoutSpans

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the records of one file.

        path (Path), name (str): The file, and how its records call it.
        intake (Intake): For notes on what is no record.
        """
        raise NotImplementedError

    def counted(self) -> tuple[Offsets, Unit]:
        """How offsets are counted, and how they usually are in this format."""
        return "codepoints", "codepoints"

    def check(self) -> None:
        """RAISES (UserError): If there is nothing to read, or no label is asked for (naming those in it)."""
        place = Path(self.path).expanduser()
        if not self.files():
            inside = f" with a file *{', *'.join(self.endings)} in it" if self.endings else ""
            what = f"folder{inside}" if place.is_dir() else f"file{f', nor folder{inside}' if inside else ''}"
            raise UserError(f"{self.path}: no such {what}")
        if not self.labels:
            raise UserError(
                f"{self.path}: labels is empty. There is {', '.join(sorted(self.labels_found())) or 'none'}"
            )

    def fingerprint(self) -> str:
        """Digest over the names, sizes and times of change of all files."""
        return stamp({name: path for path, name in self.files()})

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the answers in the order of the files' names."""
        return self.read_files(self.files(), dataset, intake)

    def read_files(self, files: Iterable[tuple[Path, str]], dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the answers in some of the files."""
        reader = DocumentReader(dataset, self.labels, self.without_spans, *self.counted())
        return reader.read(self._in(files, intake), intake)

    def parts(self, size: int) -> Sequence[Source]:
        """So many of the files each."""
        found = self.files()
        number = min(-(-sum(path.stat().st_size for path, _ in found) // size), len(found))
        edges = [len(found) * part // number for part in range(number + 1)] if number > 1 else []
        return [SomeFiles(self, *both) for both in pairwise(edges)] or [self]

    def labels_found(self) -> Counter[str]:
        """How many spans each label has. All of the source is read."""
        records = self._in(self.files(), Intake(lambda _: None))
        documents = (document for record in records for document in record.documents)
        return Counter(mark.label for one in documents for mark in (*one.marks, *one.wrong) if mark.label)

    def files(self) -> list[tuple[Path, str]]:
        """The files, and their names within the folder."""
        return files(self.path, self.endings)

    def _in(self, files: Iterable[tuple[Path, str]], intake: Intake) -> Iterator[Record]:
        for path, name in files:
            yield from self.records(path, name, intake)


class SomeFiles(msgspec.Struct, frozen=True):
    """A part of a source of files: from which to before which, in the order of their names."""

    whole: Files
    first: int
    stop: int

    @property
    def labels(self) -> list[str]:
        """As of the whole."""
        return self.whole.labels

    def check(self) -> None:
        """As the whole."""
        self.whole.check()

    def fingerprint(self) -> str:
        """Of the whole."""
        return self.whole.fingerprint()

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the answers in these files."""
        return self.whole.read_files(self.whole.files()[self.first : self.stop], dataset, intake)


def files(path: str, endings: tuple[str, ...]) -> list[tuple[Path, str]]:
    """A file, or, sorted, those of a folder and all below it that end in some way; with their names within it."""
    place = Path(path).expanduser()
    if place.is_file():
        return [(place, place.name)]
    found = [one for one in place.rglob("*") if one.name.endswith(endings) and one.is_file()] if endings else []
    named = [(one, os.fsencode(one.relative_to(place).as_posix()).decode("utf8", "replace")) for one in found]
    return sorted(named, key=lambda pair: pair[1])


@contextmanager
def opened(path: str | Path) -> Iterator[IO[bytes]]:
    """Open for reading bytes, plain or gzipped. RAISES (UserError): If it is UTF-16, or gzipped and damaged."""
    try:
        with open_maybe_gzip(Path(path).expanduser()) as file:
            if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise UserError(f"{path}: is UTF-16, as the > of PowerShell writes; save it as UTF-8")
            file.seek(0)
            yield file
    except (EOFError, BadGzipFile, zlib.error) as err:
        raise UserError(f"{path}: the gzip file is damaged or incomplete ({err})") from err


def stamp(named: dict[str, Path]) -> str:
    """Digest over the names, sizes and times of change of files."""
    digest = hashlib.blake2b(digest_size=16)
    for name, path in named.items():
        stat = path.stat()
        digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()
