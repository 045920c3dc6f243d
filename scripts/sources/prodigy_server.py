"""A Prodigy database on PostgreSQL, MySQL or MariaDB, read in one read-only transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.prodigy_tables import LAST, TABLES, Dataset, find, ranges
from scripts.sources.prodigy_tasks import LOOKED_AT, KindSetting, TaskReader, labels_in
from scripts.sources.servers import check_name, connected, execute, has_table
from scripts.sources.source import Intake, Source

if TYPE_CHECKING:  # an extra
    from sqlalchemy import Connection


@registry.readers("labelwise.ProdigyServer.v1")
def prodigy_server(
    dataset: str,
    labels: list[str],
    connection: str = "prodigy.json",
    kind: KindSetting = "auto",
    annotator: str = "",
) -> Source:
    """Read one named dataset of a Prodigy database on PostgreSQL, MySQL or MariaDB. Session datasets hold the same
    answers again and are left out. It needs `pip install -r requirements-databases.txt`.

    dataset (str): The dataset's name in Prodigy.
    labels (list[str]): The labels that were annotated in it; spans of others are left out.
    connection (str): Where it is said how to connect; never how itself, since this file is for all to read.
        "prodigy.json": as Prodigy does, by db and db_settings in the file that $PRODIGY_CONFIG names, in the one
        here, and in the one in $PRODIGY_HOME or ~/.prodigy. A path of another such file does as well.
        "postgresql" or "mysql": by the variables PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD and all others of
        libpq's, or by MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_DATABASE, MYSQL_USER and MYSQL_PWD. Any other word is the
        name of a variable with a URL: "DATABASE_URL".
    kind (str): "manual" or "binary" where the tasks do not say themselves what their answers mean, else "auto".
    annotator (str): Who answered, where the tasks do not say. Of one annotator's answers the latest counts, whatever
        the dataset.
    """
    check_name(connection)
    return ProdigyServer(dataset, labels, connection, kind, annotator)


class ProdigyServer(msgspec.Struct, frozen=True):
    """See `prodigy_server`."""

    dataset: str
    labels: list[str]
    connection: str
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
            raise UserError(f"{self.connection}: labels is empty. In {self.dataset} is {found or 'none'}")

    def datasets(self) -> list[str]:
        """The named datasets."""
        with self._open() as database:
            return list(_datasets(database))

    def labels_found(self, most: int | None = None) -> Counter[str]:
        """How many spans each label has in the dataset, in so many tasks or in all."""
        with self._open() as database:
            rows = _rows(database, self._find(database).id, most)
            return labels_in(content for _, content in rows)

    def fingerprint(self) -> str:
        """When the dataset was made, and count, newest id and sums over its links and examples, without reading
        their content.

        Prodigy only ever adds and drops whole examples, and a server never gives an id twice. An example changed in
        place by other means, with its hashes and length unchanged, is not seen: `--fresh` reads everything.
        """
        query = """
            SELECT count(*), max(link.id), sum(link.example_id), sum(example.task_hash), sum(octet_length(content))
            FROM link JOIN example ON example.id = link.example_id WHERE link.dataset_id = :dataset"""
        with self._open() as database:
            found = self._find(database)
            (sums,) = execute(database, query, dataset=found.id)
        return ":".join(str(value or 0) for value in (found.id, found.created, *sums))

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the dataset's tasks in the order they were linked, as they are at one moment."""
        reader = TaskReader(dataset, frozenset(self.labels), self.kind, self.dataset, self.annotator)
        with self._open() as database:
            rows = _rows(database, self._find(database).id, after=self.after, until=self.until)
            yield from reader.read(rows, intake)

    def parts(self, size: int) -> Sequence[Source]:
        """Ranges of the ids of links. They are not seen as they are at one moment: what is dropped meanwhile may be
        in one and not in another.
        """
        query = """
            SELECT min(link.id), max(link.id), sum(octet_length(content))
            FROM link JOIN example ON example.id = link.example_id WHERE link.dataset_id = :dataset"""
        with self._open() as database:
            ((first, last, total),) = execute(database, query, dataset=self._find(database).id)
        return [replace(self, after=after, until=until) for after, until in ranges(first, last, total, size)]

    def _find(self, database: Connection) -> Dataset:
        return find(self.connection, _datasets(database), self.dataset)

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        """A read-only transaction that sees one moment. RAISES (UserError): If there is none, or it breaks off."""
        with connected(self.connection) as database:
            lacking = [name for name in TABLES if not has_table(database, name)]
            if lacking:
                raise UserError(f"{self.connection}: is no Prodigy database: it lacks {', '.join(lacking)}")
            yield database


def _datasets(database: Connection) -> dict[str, Dataset]:
    """All but those of sessions, by name. Whether `session` is a number or a boolean differs between servers."""
    rows = execute(database, "SELECT name, id, created, session FROM dataset ORDER BY name")
    return {_text(name): Dataset(id_, created) for name, id_, created, session in rows if not session}


def _text(value: Any) -> str:
    return value.decode("utf8", "replace") if isinstance(value, bytes) else str(value)


def _rows(
    database: Connection, dataset: int, most: int | None = None, after: int = -1, until: int = LAST
) -> Iterator[tuple[str, Any]]:
    """Where each task stands, and its content."""
    query = """
        SELECT link.id, example.content FROM link LEFT JOIN example ON example.id = link.example_id
        WHERE link.dataset_id = :dataset AND link.id > :after AND link.id <= :until ORDER BY link.id"""
    limit = f" LIMIT {most}" if most else ""
    found = execute(database, query + limit, dataset=dataset, after=after, until=until)
    return ((f"link:{id_}", content) for id_, content in found)
