"""Prodigy JSONL, as `prodigy db-out` writes it, plain or gzipped. A plain file can be divided by ranges of bytes."""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.core.settings import registry
from scripts.sources.files import opened
from scripts.sources.json_records import json_lines
from scripts.sources.limits import read_line
from scripts.sources.offsets import Offsets
from scripts.sources.prodigy_tasks import SAMPLE, TaskReader, is_task, labels_in
from scripts.sources.prodigy_views import KindSetting
from scripts.sources.source import Intake, Source, SourcePart
from scripts.sources.states import State, digest_of, state_of

_GZIP = b"\x1f\x8b"


@registry.readers("labelwise.ProdigyJsonl.v1")
class ProdigyJsonl(msgspec.Struct, frozen=True):
    """Read a Prodigy export of any age: manual, binary and review tasks.

    path (str): The file, plain or gzipped.
    labels (list[str]): The labels that were annotated in it; spans of others are not taken.
    kind (str): "manual" or "binary" where the tasks do not tell the kind of their answers, else "auto".
    annotator (str): Who answered, where the tasks do not tell. Of one annotator's answers the latest counts, whatever
        the dataset.
    offsets (str): Their unit: "codepoints", as Prodigy counts, "utf16", "codepoints_crlf", "utf16_crlf", "graphemes"
        or "bytes", where other programs made the spans; "auto": code points, unless they seem shifted.
    """

    path: str
    labels: list[str]
    kind: KindSetting = "auto"
    annotator: str = ""
    offsets: Offsets = "auto"

    def check(self) -> None:
        """RAISES (UserError): If there is no such file, or no label is asked for (naming those in it)."""
        if not self._file().is_file():
            raise UserError(f"{self.path}: no such file")
        if not self.labels:
            found = ", ".join(sorted(self.labels_found(SAMPLE)))
            raise UserError(f"{self.path}: labels is empty. There is {found or 'none'}")

    def recognizes(self) -> bool:
        """Whether a line looks like one of Prodigy's tasks."""
        return any(is_task(line) for _, line in json_lines(self.path))

    def labels_found(self, limit: int | None = None) -> Counter[str]:
        """Count the spans of each label, in the first lines or in all."""
        return labels_in(self._contents, limit, self.kind)

    def state(self) -> State:
        """The state of the file."""
        return state_of([(self._file(), "")])

    def digest(self) -> str:
        """Digest of the file's bytes."""
        return digest_of([(self._file(), "")])

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the file's tasks, a line each. Blank lines do not count."""
        return self.read_lines(json_lines(self.path), dataset, intake)

    def read_lines(self, lines: Iterable[tuple[str, bytes]], dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the tasks of some lines, which come with their places."""
        origin = self._file().name.split(".")[0]
        labels = frozenset(self.labels)
        reader = TaskReader(dataset, labels, self.kind, origin, self.annotator, self._contents, self.offsets)
        return reader.read(lines, intake)

    def parts(self, size: int) -> Sequence[Source]:
        """Ranges of bytes; a gzipped file is one."""
        return [LinesInRange(self, span) for span in byte_ranges(self._file(), size)] or [self]

    def _contents(self) -> Iterator[bytes]:
        return (line for _, line in json_lines(self.path))

    def _file(self) -> Path:
        return Path(self.path).expanduser()


class ByteRange(NamedTuple):
    """The lines that begin in a range of bytes, and the number of lines before them."""

    start: int
    stop: int
    lines_before: int = 0


class LinesInRange(SourcePart[ProdigyJsonl], frozen=True):
    """A part of an export: the lines that begin in a range of bytes."""

    range: ByteRange

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the tasks of the range."""
        return self.whole.read_lines(lines_in(self.whole.path, self.range), dataset, intake)

    def records_inside(self) -> int:
        """Count its lines, blank ones too."""
        return count_lines(self.whole.path, self.range)

    def after(self, records: int) -> Source:
        """Return the part with a number of lines before it."""
        return replace(self, range=self.range._replace(lines_before=records))


def byte_ranges(path: Path, size: int) -> list[ByteRange]:
    """Divide a file into ranges of at most a size. None, if it has no more, or is gzipped: then it is read at once."""
    total = path.stat().st_size
    number = -(-total // size)
    with path.open("rb") as file:
        if number < 2 or file.read(2) == _GZIP:
            return []
    return [ByteRange(*edges) for edges in pairwise(total * part // number for part in range(number + 1))]


def lines_in(path: str, span: ByteRange) -> Iterator[tuple[str, bytes]]:
    """Stream the lines that begin in a range, with their places, as `json_lines` does those of the file."""
    name = Path(path).name
    with opened(path) as file:
        file.seek(max(span.start - 1, 0))  # a line begins after a newline
        if span.start:
            read_line(file)
        position = file.tell()
        number = span.lines_before
        while position < span.stop:
            line, length = read_line(file)
            if not length:
                return
            position += length
            number += 1
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.isspace():
                yield f"{name}:{number}", line


def count_lines(path: str, span: ByteRange) -> int:
    """Count the lines that begin in a range, blank ones too."""
    with opened(path) as file:
        start = max(span.start - 1, 0)
        file.seek(start)
        found = int(span.start == 0)
        left = span.stop - 1 - start
        while left > 0 and (block := file.read(min(left, BUFFER))):
            # As count(b"\n") does, in a quarter of the time where lines are long.
            place = block.find(b"\n")
            while place >= 0:
                found += 1
                place = block.find(b"\n", place + 1)
            left -= len(block)
        return found
