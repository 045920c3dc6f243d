"""Prodigy JSONL: what `prodigy db-out` writes, plain or gzipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
from msgspec.structs import replace

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.byte_ranges import Piece, lines_of, number_of_lines, pieces
from scripts.sources.json_records import json_lines
from scripts.sources.prodigy_tasks import SAMPLE, KindSetting, TaskReader, is_task, labels_in
from scripts.sources.source import Intake, Source


@registry.readers("labelwise.ProdigyJsonl.v1")
def prodigy_jsonl(path: str, labels: list[str], kind: KindSetting = "auto", annotator: str = "") -> Source:
    """Read a Prodigy export of any age: manual, binary and review tasks.

    path (str): The file, plain or gzipped.
    labels (list[str]): The labels that were annotated in it; spans of others are left out.
    kind (str): "manual" or "binary" where the tasks do not say themselves what their answers mean, else "auto".
    annotator (str): Who answered, where the tasks do not say. Of one annotator's answers the latest counts, whatever
        the dataset.
    """
    return ProdigyJsonl(path, labels, kind, annotator)


class ProdigyJsonl(msgspec.Struct, frozen=True):
    """See `prodigy_jsonl`."""

    path: str
    labels: list[str]
    kind: KindSetting
    annotator: str

    def check(self) -> None:
        """RAISES (UserError): If there is no such file, or no label is asked for (naming those in it)."""
        if not self._file().is_file():
            raise UserError(f"{self.path}: no such file")
        if not self.labels:
            found = ", ".join(sorted(self.labels_found(SAMPLE)))
            raise UserError(f"{self.path}: labels is empty. There is {found or 'none'}")

    def recognizes(self) -> bool:
        """Whether the first lines look like Prodigy's tasks."""
        return any(is_task(line) for _, line in islice(json_lines(self.path), SAMPLE))

    def labels_found(self, most: int | None = None) -> Counter[str]:
        """How many spans each label has, in so many lines or in all."""
        return labels_in((line for _, line in json_lines(self.path)), most)

    def fingerprint(self) -> str:
        """Size and time of change."""
        stat = self._file().stat()
        return f"{stat.st_size}:{stat.st_mtime_ns}"

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the file's tasks, a line each. Blank lines do not count."""
        return self.read_lines(json_lines(self.path), dataset, intake)

    def read_lines(self, lines: Iterable[tuple[str, bytes]], dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the tasks of some lines, which come with their places."""
        origin = self._file().name.split(".")[0]
        reader = TaskReader(dataset, frozenset(self.labels), self.kind, origin, self.annotator)
        return reader.read(lines, intake)

    def parts(self, size: int) -> Sequence[Source]:
        """Ranges of bytes; a gzipped file is one."""
        return [LinesOf(self, piece) for piece in pieces(self._file(), size)] or [self]

    def _file(self) -> Path:
        return Path(self.path).expanduser()


class LinesOf(msgspec.Struct, frozen=True):
    """A part of an export: the lines that begin in a range of bytes."""

    whole: ProdigyJsonl
    piece: Piece

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
        """Stream the tasks of the range."""
        return self.whole.read_lines(lines_of(self.whole.path, self.piece), dataset, intake)

    def records_inside(self) -> int:
        """How many lines it has, blank ones too."""
        return number_of_lines(self.whole.path, self.piece)

    def after(self, records: int) -> Source:
        """With so many lines before it."""
        return replace(self, piece=self.piece._replace(before=records))
