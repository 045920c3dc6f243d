"""Prodigy JSONL: what `prodigy db-out` writes, plain or gzipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.annotations.errors import UserError
from scripts.annotations.files import open_maybe_gzip
from scripts.annotations.intake import Intake, Source
from scripts.annotations.records import Task
from scripts.annotations.registry import registry
from scripts.sources.prodigy_tasks import KindSetting, TaskReader


@registry.readers("labelwise.ProdigyJsonl.v1")
def prodigy_jsonl(path: str, labels: list[str], kind: KindSetting = "auto") -> Source:
    """Read a Prodigy export of any age: manual, binary and review tasks.

    path (str): The file, plain or gzipped.
    labels (list[str]): The labels that were annotated in it; spans of others are left out.
    kind (str): "manual" or "binary" where the tasks do not say themselves what their answers mean, else "auto".
    """
    return ProdigyJsonl(path, labels, kind)


@dataclass(frozen=True)
class ProdigyJsonl:
    """See `prodigy_jsonl`."""

    path: str
    labels: list[str]
    kind: KindSetting

    def check(self) -> None:
        """RAISES (UserError): If there is no such file."""
        if not Path(self.path).expanduser().is_file():
            raise UserError(f"{self.path}: no such file")

    def fingerprint(self) -> str:
        """Size and time of change."""
        stat = Path(self.path).expanduser().stat()
        return f"{stat.st_size}:{stat.st_mtime_ns}"

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the file's tasks, a line each. Blank lines do not count."""
        path = Path(self.path).expanduser()
        reader = TaskReader(dataset, frozenset(self.labels), self.kind, origin=path.name.split(".")[0])
        try:
            with open_maybe_gzip(path) as lines:
                for number, line in enumerate(lines, 1):
                    if number == 1:
                        line = line.removeprefix(b"\xef\xbb\xbf")
                    if line.strip() and (tasks := reader.answers(line, f"{path.name}:{number}", intake)):
                        yield tasks
        except EOFError as err:
            raise UserError(f"{self.path}: the gzip file ends before its end; it is damaged or incomplete") from err
