"""A Prodigy database in SQLite, read while Prodigy may be writing to it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.prodigy_tables import LAST, TABLES, Dataset, find, ranges
from scripts.sources.prodigy_tasks import LOOKED_AT, KindSetting, TaskReader, labels_in
from scripts.sources.source import Intake, Source

_PAGE = 200
_HEADER = b"SQLite format 3\0"


@registry.readers("labelwise.ProdigyDatabase.v1")
def prodigy_database(
    path: str, dataset: str, labels: list[str], kind: KindSetting = "auto", annotator: str = ""
) -> Source:
    """Read one named dataset of a Prodigy SQLite database. Session datasets hold the same answers again and
    are left out. The database is opened read-only.

    path (str): The file, usually ~/.prodigy/prodigy.db.
    dataset (str): The dataset's name in Prodigy.
    labels (list[str]): The labels that were annotated in it; spans of others are left out.
    kind (str): "manual" or "binary" where the tasks do not say themselves what their answers mean, else "auto".
    annotator (str): Who answered, where the tasks do not say. Of one annotator's answers the latest counts, whatever
        the dataset.
    """
    return ProdigyDatabase(path, dataset, labels, kind, annotator)


class ProdigyDatabase(msgspec.Struct, frozen=True):
    """See `prodigy_database`."""

    path: str
    dataset: str
    labels: list[str]
    kind: KindSetting
    annotator: str
    after: int = -1  # of a part: ids of links from the next one on
    until: int = LAST

    def check(self) -> None:
        """RAISES (UserError): If it is no Prodigy database, has no such dataset, or no label is asked for."""
        with self._open() as database:
            self._find(database)
        if not self.labels:
            found = ", ".join(sorted(self.labels_found(LOOKED_AT)))
            raise UserError(f"{self.path}: labels is empty. In {self.dataset} is {found or 'none'}")

    def recognizes(self) -> bool:
        """Whether it is an SQLite database."""
        path = self._file()
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER

    def datasets(self) -> list[str]:
        """The named datasets."""
        with self._open() as database:
            return list(self._named(database))

    def labels_found(self, most: int | None = None) -> Counter[str]:
        """How many spans each label has in the dataset, in so many tasks or in all."""
        with self._open() as database:
            return labels_in((content for _, content in self._rows(database, self._find(database).id)), most)

    def fingerprint(self) -> str:
        """When the dataset was made, and count, newest id and sums over its links and examples, without reading
        their content.

        Prodigy only ever adds and drops whole examples; an example changed in place by other means, with its
        hashes and length unchanged, is not seen: `--fresh` reads everything.
        """
        query = """
            SELECT count(*), max(link.id), sum(link.example_id), sum(example.task_hash),
                   sum(CASE typeof(example.content) WHEN 'blob' THEN length(example.content) END)
            FROM link JOIN example ON example.id = link.example_id WHERE link.dataset_id = ?"""
        with self._open() as database:
            found = self._find(database)
            sums = database.execute(query, [found.id]).fetchone()
        return ":".join(str(value or 0) for value in (found.created, *sums))

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the dataset's tasks in the order they were linked."""
        reader = TaskReader(dataset, frozenset(self.labels), self.kind, self.dataset, self.annotator)
        with self._open() as database:
            yield from reader.read(self._rows(database, self._find(database).id), intake)

    def parts(self, size: int) -> Sequence[Source]:
        """Ranges of the ids of links."""
        query = """
            SELECT min(link.id), max(link.id), sum(length(example.content))
            FROM link JOIN example ON example.id = link.example_id WHERE link.dataset_id = ?"""
        with self._open() as database:
            first, last, total = database.execute(query, [self._find(database).id]).fetchone()
        return [replace(self, after=after, until=until) for after, until in ranges(first, last, total, size)]

    def _rows(self, database: sqlite3.Connection, dataset_id: int) -> Iterator[tuple[str, Any]]:
        """Where each task stands, and its content.

        They are fetched page by page: while a query is open Prodigy cannot save, and gives up after five seconds.
        """
        query = """
            SELECT link.id, example.content
            FROM link LEFT JOIN example ON example.id = link.example_id
            WHERE link.dataset_id = ? AND link.id > ? AND link.id <= ? ORDER BY link.id LIMIT ?"""
        last = self.after
        while page := database.execute(query, (dataset_id, last, self.until, _PAGE)).fetchall():
            for last, content in page:
                yield f"link:{last}", content

    def _file(self) -> Path:
        return Path(self.path).expanduser()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """RAISES (UserError): If it is no Prodigy database, or turns out to be damaged later on."""
        path = self._file()
        if not path.is_file():
            raise UserError(f"{self.path}: no such file. Where is Prodigy's database? Usually ~/.prodigy/prodigy.db")
        immutable, before = _immutable(path), path.stat()
        where = f"file:{quote(str(path.absolute()))}?{'immutable=1' if immutable else 'mode=ro'}"
        try:
            with closing(sqlite3.connect(where, uri=True)) as database:
                database.text_factory = bytes  # what is no UTF-8 is the business of who reads the content
                self._check(database, before.st_size)
                yield database
        except sqlite3.Error as err:
            raise UserError(f"{self.path}: cannot be read as a Prodigy database in SQLite ({err})") from err
        after = path.stat()
        if immutable and (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise UserError(f"{self.path}: was written to while it was read; run the step again")

    def _check(self, database: sqlite3.Connection, size: int) -> None:
        found = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        (page_size,) = database.execute("PRAGMA page_size").fetchone()
        if size % page_size:  # SQLite would take the rest of the last page for zeros
            raise UserError(f"{self.path}: is cut off: its last page is not whole. Copy it again")
        lacking = [name for name in TABLES if name.encode() not in found]
        if lacking:
            raise UserError(f"{self.path}: is no Prodigy database: it lacks {', '.join(lacking)}")

    def _find(self, database: sqlite3.Connection) -> Dataset:
        return find(self.path, self._named(database), self.dataset)

    def _named(self, database: sqlite3.Connection) -> dict[str, Dataset]:
        rows = database.execute("SELECT CAST(name AS TEXT), id, created FROM dataset WHERE NOT session ORDER BY name")
        return {str(name or b"", "utf8", "replace"): Dataset(*rest) for name, *rest in rows}


def _immutable(path: Path) -> bool:
    """Whether to open the database as a file that does not change.

    A database in WAL mode makes files beside itself even for a read-only connection. Opened as immutable it does
    not, but nothing of a write-ahead log is seen: right where there is none, since then nobody is writing.
    Bytes 18 and 19 of the header are 2 in WAL mode, see https://www.sqlite.org/fileformat.html.
    """
    with path.open("rb") as file:
        return file.read(20)[18:20] == b"\x02\x02" and not path.with_name(f"{path.name}-wal").exists()
