"""Prodigy's databases: in SQLite, read while Prodigy may be writing to it, and on PostgreSQL, MySQL or MariaDB."""

import difflib
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.files import real_path
from scripts.sources.limits import Oversized, max_record
from scripts.sources.offsets import Offsets
from scripts.sources.prodigy_tasks import SAMPLE, TaskReader, labels_in
from scripts.sources.prodigy_views import KindSetting
from scripts.sources.servers import check_name, connected, execute, has_table
from scripts.sources.source import Intake, Source
from scripts.sources.states import RowsDigest, State, state_of

LAST = 2**63 - 1  # id of a link
_TABLES = ("dataset", "example", "link")
_SEVERAL_NAMES = "the database has several names (hard links): a log beside another name is not seen"
_PAGE = 200  # rows
_PAGE_BYTES = 2**24
_HEADER = b"SQLite format 3\0"
_HEADER_SIZE = 100  # bytes; 24 to 27 count the changes, see https://www.sqlite.org/fileformat.html
_WAL_HEADER_SIZE = 32  # with salts that are new whenever the log begins anew

# Runs SQL with named parameters, and gives the rows.
Query = Callable[..., Iterator[Any]]


@registry.readers("labelwise.ProdigyDatabase.v1")
def prodigy_database(
    path: str,
    dataset: str,
    labels: list[str],
    kind: KindSetting = "auto",
    annotator: str = "",
    offsets: Offsets = "auto",
) -> Source:
    """Read one named dataset of a Prodigy SQLite database, which is opened read-only. Session datasets hold the same
    answers again and are not taken.

    path (str): The file, usually ~/.prodigy/prodigy.db.
    dataset (str): The dataset's name in Prodigy.
    labels (list[str]): The labels that were annotated in it; spans of others are not taken.
    kind (str): "manual" or "binary" where the tasks do not tell the kind of their answers, else "auto".
    annotator (str): Who answered, where the tasks do not tell. Of one annotator's answers the latest counts, whatever
        the dataset.
    offsets (str): Their unit: "codepoints", as Prodigy counts, or another one, see `Offsets`; "auto": code points,
        unless they seem shifted.
    """
    return ProdigyDatabase(path=path, dataset=dataset, labels=labels, kind=kind, annotator=annotator, offsets=offsets)


@registry.readers("labelwise.ProdigyServer.v1")
def prodigy_server(
    dataset: str,
    labels: list[str],
    connection: str = "prodigy.json",
    kind: KindSetting = "auto",
    annotator: str = "",
    offsets: Offsets = "auto",
) -> Source:
    """Read one named dataset of a Prodigy database on PostgreSQL, MySQL or MariaDB. Session datasets hold the same
    answers again and are not taken. It needs `pip install -r requirements-databases.txt`.

    dataset (str): The dataset's name in Prodigy.
    labels (list[str]): The labels that were annotated in it; spans of others are not taken.
    connection (str): Where to find how to connect; never the URL itself, since this file is for all to read.
        "prodigy.json": as Prodigy does, by db and db_settings in the file that $PRODIGY_CONFIG names, in the one
        here, and in the one in $PRODIGY_HOME or ~/.prodigy. A path of another such file does as well.
        "postgresql" or "mysql": by the variables PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD and all others of
        libpq's, or by MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_DATABASE, MYSQL_USER and MYSQL_PWD. Any other word is the
        name of a variable with a URL: "DATABASE_URL".
    kind (str): "manual" or "binary" where the tasks do not tell the kind of their answers, else "auto".
    annotator (str): Who answered, where the tasks do not tell. Of one annotator's answers the latest counts, whatever
        the dataset.
    offsets (str): Their unit: "codepoints", as Prodigy counts, or another one, see `Offsets`; "auto": code points,
        unless they seem shifted.
    """
    check_name(connection)
    return ProdigyServer(
        dataset=dataset, labels=labels, connection=connection, kind=kind, annotator=annotator, offsets=offsets
    )


class ProdigyTables(msgspec.Struct, frozen=True, kw_only=True):
    """Base of a Source that is a dataset in the tables of a Prodigy database; a reader derives from it and opens it."""

    size_of_content: ClassVar[str]  # SQL
    dataset: str
    labels: list[str]
    kind: KindSetting
    annotator: str
    offsets: Offsets = "auto"
    after: int = -1  # of a part: the links after this id
    until: int = LAST  # and up to this

    def place(self) -> str:
        """Return the database's name for messages."""
        raise NotImplementedError

    def open(self) -> AbstractContextManager[Query]:
        """Open the database. RAISES (UserError): If it cannot be read, now or later on."""
        raise NotImplementedError

    def rows(self, query: Query, dataset: int, limit: int | None = None) -> Iterator[tuple[str, Any]]:
        """Stream the tasks of a dataset: place and content, in the order they were linked."""
        raise NotImplementedError

    def check(self) -> None:
        """RAISES (UserError): If it is no Prodigy database, has no such dataset, or no label is asked for."""
        with self.open() as query:
            self._find(query)
        if not self.labels:
            found = ", ".join(sorted(self.labels_found(SAMPLE)))
            raise UserError(f"{self.place()}: labels is empty. In {self.dataset} is {found or 'none'}")

    def datasets(self) -> list[str]:
        """The named datasets."""
        with self.open() as query:
            return list(_named(query))

    def labels_found(self, limit: int | None = None) -> Counter[str]:
        """Count the spans of each label in the dataset, in its first tasks or in all."""
        return labels_in(self._contents, limit, self.kind)

    def state(self) -> State | None:
        """Nothing tells whether a dataset changed, but its rows."""
        return None

    def digest(self) -> str:
        """Digest of the ids of the dataset's links, and of the content of their examples."""
        digest = RowsDigest()
        with self.open() as query:
            deque(digest.watch(self.rows(query, self._find(query))), maxlen=0)
        return digest.hexdigest()

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the dataset's tasks in the order they were linked."""
        whole = replace(self, after=-1, until=LAST)
        labels = frozenset(self.labels)
        reader = TaskReader(dataset, labels, self.kind, self.dataset, self.annotator, whole._contents, self.offsets)
        with self.open() as query:
            yield from reader.read(self.watched(self.rows(query, self._find(query)), intake), intake)

    def watched(self, rows: Iterator[tuple[str, Any]], intake: Intake) -> Iterator[tuple[str, Any]]:
        """Yield the rows as they are read; a reader may take their digest on the way."""
        return rows

    def parts(self, size: int) -> Sequence[Source]:
        """Ranges of the ids of links. Of a server, parts do not see the same moment: what is dropped meanwhile may be
        in one and not in another.
        """
        sums = f"min(link.id), max(link.id), sum({self.size_of_content})"
        with self.open() as query:
            first, last, total = self._aggregate(query, sums, self._find(query))
        return [replace(self, after=after, until=until) for after, until in ranges(first, last, total, size)]

    def _contents(self, limit: int | None = None) -> Iterator[Any]:
        """Stream the JSON of the tasks, the first or all."""
        with self.open() as query:
            yield from (content for _, content in self.rows(query, self._find(query), limit))

    def _tasks_sql(self) -> str:
        return _TASKS_SQL.format(size=self.size_of_content)

    def _aggregate(self, query: Query, what: str, dataset: int) -> Any:
        join = "link JOIN example ON example.id = link.example_id"
        (row,) = query(f"SELECT {what} FROM {join} WHERE link.dataset_id = :dataset", dataset=dataset)  # noqa: S608
        return row

    def _find(self, query: Query) -> int:
        """Return the id of the dataset. RAISES (UserError): If there is none; it names others."""
        datasets = _named(query)
        if self.dataset in datasets:
            return datasets[self.dataset]
        close = difflib.get_close_matches(self.dataset, datasets, n=20, cutoff=0.4) or list(datasets)[:20]
        more = f" and {len(datasets) - len(close)} more" if len(datasets) > len(close) else ""
        there = ", ".join(close) or "none at all"
        raise UserError(f"{self.place()}: has no dataset {self.dataset!r}. There is {there}{more}")


class ProdigyDatabase(ProdigyTables, frozen=True, kw_only=True):
    """See `prodigy_database`."""

    # In bytes, without reading it; SQLite before 3.43 knows that of blobs, as Prodigy stores them, and reads a text.
    size_of_content: ClassVar[str] = f"{'octet_' * (sqlite3.sqlite_version_info >= (3, 43))}length(example.content)"
    path: str

    def place(self) -> str:
        """The path."""
        return self.path

    def recognizes(self) -> bool:
        """Whether it is an SQLite database."""
        return _beginning(self._file(), len(_HEADER)) == _HEADER

    def state(self) -> State:
        """The state of the file, and of the logs beside it: in WAL mode the file itself is written to now and then."""
        path = self._file()
        logs = [path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-journal")]
        beginnings = _beginning(path, _HEADER_SIZE) + _beginning(logs[0], _WAL_HEADER_SIZE)
        files = [(path, str(path)), *((log, log.name) for log in logs if log.is_file())]
        return state_of(files, beginnings, is_shared=not _is_immutable(path))

    def watched(self, rows: Iterator[tuple[str, Any]], intake: Intake) -> Iterator[tuple[str, Any]]:
        """Yield the rows as they are read, and take their digest: a file of many datasets changes all the time."""
        path = self._file()
        if self.until == LAST and _is_immutable(path) and path.stat().st_nlink > 1:  # once for all parts
            intake.note(_SEVERAL_NAMES)
        digest = RowsDigest()
        yield from digest.watch(rows)
        intake.digest = digest.hexdigest()

    def rows(self, query: Query, dataset: int, limit: int | None = None) -> Iterator[tuple[str, Any]]:
        """Stream the tasks page by page: while a query is open Prodigy cannot save, and gives up after five seconds.

        RAISES (UserError): If some were removed meanwhile, so that it is not known which have been read.
        """
        sql = f"{self._tasks_sql()} LIMIT {_PAGE}"
        last, number = self.after, 0
        while page := _take_page(query(sql, dataset=dataset, after=last, until=self.until, most=max_record())):
            number += len(page)
            for last, is_larger, content in page:
                yield f"link:{last}", Oversized() if is_larger else content
        ((there,),) = query(_COUNT_SQL, dataset=dataset, after=self.after, until=last)
        if there != number:
            raise UserError(f"{self.path}: was written to while it was read; run the step again")

    @contextmanager
    def open(self) -> Iterator[Query]:
        """RAISES (UserError): If it is no Prodigy database, or turns out to be damaged later on."""
        path = self._file()
        if not path.is_file():
            raise UserError(f"{self.path}: no such file. Where is Prodigy's database? Usually ~/.prodigy/prodigy.db")
        immutable, before = _is_immutable(path), path.stat()
        where = f"file:{quote(str(path.absolute()))}?{'immutable=1' if immutable else 'mode=ro'}"
        try:
            with closing(sqlite3.connect(where, uri=True)) as database:
                database.text_factory = bytes  # what is no UTF-8 is for the reader of the content
                self._check_tables(database, before.st_size)
                yield lambda sql, **values: database.execute(sql, values)
        except sqlite3.Error as err:
            raise UserError(f"{self.path}: cannot be read as a Prodigy database in SQLite ({err})") from err
        after = path.stat()
        if immutable and (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise UserError(f"{self.path}: was written to while it was read; run the step again")

    def _file(self) -> Path:
        """Return the file that the path leads to: SQLite has its logs beside that."""
        return real_path(self.path)

    def _check_tables(self, database: sqlite3.Connection, size: int) -> None:
        found = dict(database.execute("SELECT name, type FROM sqlite_master"))
        (page_size,) = database.execute("PRAGMA page_size").fetchone()
        if size % page_size:  # SQLite would take the rest of the last page for zeros
            raise UserError(f"{self.path}: is cut off: its last page is not whole. Copy it again")
        lacking = [name for name in _TABLES if name.encode() not in found]
        if lacking:
            raise UserError(f"{self.path}: is no Prodigy database: it lacks {', '.join(lacking)}")
        views = [name for name in _TABLES if found[name.encode()] != b"table"]
        if views:  # which can have rows without end
            raise UserError(f"{self.path}: is no Prodigy database: {views[0]} is no table in it, but a view")


class ProdigyServer(ProdigyTables, frozen=True, kw_only=True):
    """See `prodigy_server`. A part sees the database as it is at one moment."""

    size_of_content: ClassVar[str] = "octet_length(example.content)"
    connection: str

    def place(self) -> str:
        """The setting, which is no secret."""
        return self.connection

    def rows(self, query: Query, dataset: int, limit: int | None = None) -> Iterator[tuple[str, Any]]:
        """Stream the tasks from a cursor on the server."""
        sql = f"{self._tasks_sql()} LIMIT {limit}" if limit else self._tasks_sql()
        values = {"dataset": dataset, "after": self.after, "until": self.until, "most": max_record()}
        for link, is_larger, content in query(sql, **values):
            yield f"link:{link}", Oversized() if is_larger else content

    def digest(self) -> str:
        """Digest of the rows, which the server makes, unless it has no MD5, as where only newer digests are allowed."""
        with suppress(UserError), connected(self.connection) as database:
            query = partial(execute, database)
            sql = _DIGEST_SQL.format(number=_NUMBER_SQL[database.dialect.name])
            ((rows, total),) = query(sql, dataset=self._find(query))
            return f"{rows}:{total}"
        return super().digest()

    @contextmanager
    def open(self) -> Iterator[Query]:
        """Begin a read-only transaction. RAISES (UserError): If there is none, or it breaks off."""
        with connected(self.connection) as database:
            lacking = [name for name in _TABLES if not has_table(database, name)]
            if lacking:
                raise UserError(f"{self.connection}: is no Prodigy database: it lacks {', '.join(lacking)}")
            yield partial(execute, database)


_TASKS_SQL = """
    SELECT link.id, {size} > :most, CASE WHEN {size} > :most THEN NULL ELSE example.content END
    FROM link LEFT JOIN example ON example.id = link.example_id
    WHERE link.dataset_id = :dataset AND link.id > :after AND link.id <= :until ORDER BY link.id"""
_COUNT_SQL = "SELECT count(*) FROM link WHERE dataset_id = :dataset AND id > :after AND id <= :until"
# The sum of a number of 60 bits for each row, the beginning of its digest.
_DIGEST_SQL = """
    SELECT count(*), sum({number}) FROM
    (SELECT substr(md5(concat_ws(' ', link.id, example.id, md5(example.content))), 1, 15) AS digest
    FROM link LEFT JOIN example ON example.id = link.example_id WHERE link.dataset_id = :dataset) AS digests"""
_NUMBER_SQL = {
    "postgresql": "CAST(CAST('x' || digest AS bit(60)) AS bigint)",
    "mysql": "CAST(conv(digest, 16, 10) AS unsigned)",
}


def ranges(first: int | None, last: int | None, total: int | None, size: int) -> list[tuple[int, int]]:
    """Return ranges of ids, after one and until another, that are equally long and hold about a size in bytes each.

    first, last (int | None): The ids there are. What is added later is in the last range.
    total (int | None): Bytes of all together.
    """
    if first is None or last is None:
        return [(-1, LAST)]
    number = min(-(-int(total or 0) // size), last - first + 1)
    if number < 2:
        return [(-1, LAST)]
    edges = [first - 1 + (last - first + 1) * part // number for part in range(number)]
    return list(pairwise([*edges, LAST]))


def _named(query: Query) -> dict[str, int]:
    """Return the ids of all datasets but those of sessions, by name."""
    # Whether `session` is a number or a boolean differs between systems.
    rows = query("SELECT name, id, session FROM dataset ORDER BY name")
    named = ((b"" if name is None else name, found) for name, found, session in rows if not session)
    return {n.decode("utf8", "replace") if isinstance(n, bytes) else str(n): found for n, found in named}


def _take_page(rows: Any) -> list[Any]:
    """Take rows from a cursor until they are large enough for a page, and close it."""
    page, size = [], 0
    with closing(rows):
        for row in rows:
            page.append(row)
            size += len(row[-1]) if isinstance(row[-1], bytes) else 0
            if size > _PAGE_BYTES:
                break
    return page


def _beginning(path: Path, size: int) -> bytes:
    """Return the first bytes of a file; none if there is no file."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(size)


def _is_immutable(path: Path) -> bool:
    """Whether to open the database as a file that does not change.

    A database in WAL mode makes files beside itself even for a read-only connection. Opened as immutable it does
    not, but nothing of a write-ahead log is seen: right where there is none, since then nobody is writing.
    Bytes 18 and 19 of the header are 2 in WAL mode, see https://www.sqlite.org/fileformat.html.
    """
    return _beginning(path, 20)[18:] == b"\x02\x02" and not path.with_name(f"{path.name}-wal").exists()
