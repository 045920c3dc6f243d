"""A Prodigy database in SQLite, read while Prodigy may be writing to it."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from scripts.annotations.errors import UserError
from scripts.annotations.intake import Intake, Source
from scripts.annotations.records import Task
from scripts.annotations.registry import registry
from scripts.sources.prodigy_tasks import KindSetting, TaskReader

_TABLES = {"dataset", "example", "link"}


@registry.readers("labelwise.ProdigyDatabase.v1")
def prodigy_database(path: str, dataset: str, labels: list[str], kind: KindSetting = "auto") -> Source:
    """Read one named dataset of a Prodigy SQLite database. Session datasets hold the same answers again and
    are left out. The database is opened read-only.

    path (str): The file, usually ~/.prodigy/prodigy.db.
    dataset (str): The dataset's name in Prodigy.
    labels (list[str]): The labels that were annotated in it; spans of others are left out.
    kind (str): "manual" or "binary" where the tasks do not say themselves what their answers mean, else "auto".
    """
    return ProdigyDatabase(path, dataset, labels, kind)


@dataclass(frozen=True)
class ProdigyDatabase:
    """See `prodigy_database`."""

    path: str
    dataset: str
    labels: list[str]
    kind: KindSetting

    def check(self) -> None:
        """RAISES (UserError): If it is no Prodigy database, or has no such dataset (naming those it has)."""
        with closing(self._open()) as database:
            self._dataset_id(database)

    def fingerprint(self) -> str:
        """Count, newest id and sums over the dataset's links and examples, without reading their content.

        Prodigy only ever adds and drops whole examples; an example changed in place by other means, with its
        hashes and length unchanged, is not seen: `--fresh` reads everything.
        """
        query = """
            SELECT count(*), max(link.id), sum(link.example_id), sum(example.task_hash),
                   sum(CASE typeof(example.content) WHEN 'blob' THEN length(example.content) END)
            FROM link JOIN example ON example.id = link.example_id WHERE link.dataset_id = ?"""
        with closing(self._open()) as database:
            row = database.execute(query, [self._dataset_id(database)]).fetchone()
        return ":".join(str(value or 0) for value in row)

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the dataset's tasks in the order they were linked, in one read transaction."""
        reader = TaskReader(dataset, frozenset(self.labels), self.kind, origin=self.dataset)
        query = """
            SELECT link.id, example.content
            FROM link JOIN example ON example.id = link.example_id
            WHERE link.dataset_id = ? ORDER BY link.id"""
        with closing(self._open()) as database:
            before = self._file().stat()
            for link, content in database.execute(query, [self._dataset_id(database)]):
                if tasks := reader.answers(content, f"link:{link}", intake):
                    yield tasks
            after = self._file().stat()
        if _immutable(self._file()) and (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise UserError(f"{self.path}: was written to while it was read; run the step again")

    def _file(self) -> Path:
        return Path(self.path).expanduser()

    def _open(self) -> sqlite3.Connection:
        path = self._file()
        if not path.is_file():
            raise UserError(f"{self.path}: no such file. Where is Prodigy's database? Usually ~/.prodigy/prodigy.db")
        mode = "immutable=1" if _immutable(path) else "mode=ro"
        database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)
        database.text_factory = bytes
        try:
            found = {name.decode() for (name,) in database.execute("SELECT name FROM sqlite_master")}
        except sqlite3.DatabaseError as err:
            database.close()
            raise UserError(f"{self.path}: cannot be read as a SQLite database ({err})") from err
        if not found >= _TABLES:
            database.close()
            raise UserError(f"{self.path}: is no Prodigy database: it lacks {', '.join(sorted(_TABLES - found))}")
        return database

    def _dataset_id(self, database: sqlite3.Connection) -> int:
        rows = database.execute("SELECT name, id, session FROM dataset ORDER BY name").fetchall()
        named = {name.decode("utf-8", "replace"): row_id for name, row_id, session in rows if not session}
        if self.dataset in named:
            return named[self.dataset]
        close = difflib.get_close_matches(self.dataset, named, n=20, cutoff=0.4) or list(named)[:20]
        more = f" and {len(named) - len(close)} more" if len(named) > len(close) else ""
        raise UserError(
            f"{self.path}: has no dataset {self.dataset!r}. There is {', '.join(close) or 'none at all'}{more}"
        )


def _immutable(path: Path) -> bool:
    """Whether to open the database as a file that does not change.

    A database in WAL mode makes files beside itself even for a read-only connection. Opened as immutable it does
    not, but nothing of a write-ahead log is seen: right where there is none, since then nobody is writing.
    Bytes 18 and 19 of the header are 2 in WAL mode, see https://www.sqlite.org/fileformat.html.
    """
    with path.open("rb") as file:
        return file.read(20)[18:20] == b"\x02\x02" and not path.with_name(f"{path.name}-wal").exists()
