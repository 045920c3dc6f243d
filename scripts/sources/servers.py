"""Connections to database servers, and errors that give no secret away.

A config has the name of a variable, or of a file of Prodigy's. Address, user and password are in there, and go into no
other file, screen or message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from scripts.core.errors import UserError

if TYPE_CHECKING:  # an extra
    from sqlalchemy import Connection

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
_MYSQL_VARIABLES = {
    "MYSQL_HOST": "host",
    "MYSQL_PORT": "port",
    "MYSQL_TCP_PORT": "port",
    "MYSQL_DATABASE": "database",
    "MYSQL_USER": "user",
    "MYSQL_PASSWORD": "password",
    "MYSQL_PWD": "password",
    "MYSQL_UNIX_PORT": "unix_socket",
}
_OTHER_NAMES = {"mysql": {"passwd": "password", "db": "database"}, "postgresql": {"database": "dbname"}}
_SECRET = ("password", "user", "sslpassword", "passfile", "username")
_MAY_BE = (
    'connection is "prodigy.json", a path of such a file, "postgresql", "mysql", or the name of a variable with a URL'
)
_TIMEOUT = 10  # seconds
_ROWS = 200  # fetched at a time


class DatabaseServer(NamedTuple):
    """An SQLAlchemy URL, and further arguments for its driver."""

    url: Any
    arguments: dict[str, Any]

    def message(self, err: BaseException) -> str:
        """Return the message of an error, without secrets, on one line."""
        found = {str(self.arguments[key]) for key in _SECRET if self.arguments.get(key)}
        found |= {os.environ[name] for name in ("PGPASSWORD", "PGUSER") if os.environ.get(name)}
        found |= {value for value in (self.url.username, self.url.password) if value}
        found |= {str(value) for key, value in self.url.query.items() if key in _SECRET}
        text = " ".join(str(getattr(err, "orig", None) or err).split())
        for secret in sorted(found, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def check_name(connection: str) -> None:
    """RAISES (UserError): If it may be an address with a password, which the error does not repeat."""
    if not connection.endswith(".json") and not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", connection):
        raise UserError(f"{_MAY_BE}, and never the URL itself, which is a secret")


@contextmanager
def connected(connection: str) -> Iterator[Connection]:
    """Begin a read-only transaction that sees the database as it is at one moment.

    connection (str): See `labelwise.ProdigyServer.v1`.
    RAISES (UserError): If there is no connection, or it breaks off.
    """
    try:
        import sqlalchemy
    except ImportError as err:
        raise UserError("a database server needs: pip install -r requirements-databases.txt") from err
    server = _server(connection)
    try:
        database = _begin(server)
    except (sqlalchemy.exc.SQLAlchemyError, ImportError, TypeError, ValueError) as err:
        raise UserError(f"{connection}: cannot connect ({server.message(err)})") from None
    driver = database.connection.driver_connection
    try:
        yield database
    except BaseException as err:
        _abandon(driver)
        database.invalidate()
        if not isinstance(err, sqlalchemy.exc.SQLAlchemyError):
            raise
        lost = getattr(err, "connection_invalidated", False)
        what = "the connection broke off; run the step again" if lost else "cannot be read"
        raise UserError(f"{connection}: {what} ({server.message(err)})") from None
    finally:
        database.close()
        database.engine.dispose()


def _abandon(driver: Any) -> None:
    """Keep PyMySQL from fetching all that is left of a query, and from complaining if the connection is gone."""
    result = getattr(driver, "_result", None)
    if result is not None:
        result.unbuffered_active = False


def execute(database: Connection, query: str, **values: Any) -> Iterator[Any]:
    """Stream the rows of a query, fetched some at a time from a cursor on the server."""
    from sqlalchemy import text

    yield from database.execution_options(stream_results=True, yield_per=_ROWS).execute(text(query), values)


def has_table(database: Connection, name: str) -> bool:
    from sqlalchemy import inspect

    return inspect(database).has_table(name)


def _begin(server: DatabaseServer) -> Connection:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    is_postgres = server.url.drivername == _DRIVERS["postgresql"]
    engine = create_engine(
        server.url, connect_args=server.arguments, isolation_level="REPEATABLE READ", poolclass=NullPool,
        hide_parameters=True,
    )  # fmt: skip
    database = engine.connect()
    if is_postgres:
        return database.execution_options(postgresql_readonly=True)
    database.exec_driver_sql("START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT")
    return database


def _server(connection: str) -> DatabaseServer:
    if connection.endswith(".json"):
        return _from_prodigy(connection)
    if connection == "postgresql":  # libpq reads all of its variables by itself
        return _from_arguments(connection, {})
    if connection == "mysql":
        found = {key: os.environ[variable] for variable, key in _MYSQL_VARIABLES.items() if variable in os.environ}
        return _from_arguments(connection, found)
    return _from_url(connection)


def _from_url(variable: str) -> DatabaseServer:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if variable not in os.environ:
        raise UserError(f"{variable}: there is no such environment variable; {_MAY_BE}")
    try:
        url = make_url(os.environ[variable])
    except (ArgumentError, ValueError):
        raise UserError(f"{variable}: holds no URL like postgresql://user:password@host:5432/database") from None
    driver = _DRIVERS.get(url.drivername.partition("+")[0])
    if driver is None:
        raise UserError(f"{variable}: holds a URL of another system; there is {', '.join(_DRIVERS)}")
    return DatabaseServer(url.set(drivername=driver), _timeout(driver))


def _from_arguments(system: str, settings: Mapping[str, Any]) -> DatabaseServer:
    from sqlalchemy import make_url

    names = _OTHER_NAMES[system]
    arguments = {names.get(key, key): value for key, value in settings.items()}
    if str(arguments.get("port", "")).isdecimal():
        arguments["port"] = int(arguments["port"])
    return DatabaseServer(make_url(f"{_DRIVERS[system]}://"), _timeout(_DRIVERS[system]) | arguments)


def _timeout(driver: str) -> dict[str, Any]:
    """Return the time to wait for a server, unless libpq's variable sets it."""
    is_set = driver == _DRIVERS["postgresql"] and "PGCONNECT_TIMEOUT" in os.environ
    return {} if is_set else {"connect_timeout": _TIMEOUT}


def _from_prodigy(path: str) -> DatabaseServer:
    """Read db and db_settings, as https://prodi.gy/docs/install#config has them."""
    found = [place for place in _prodigy_files(path) if place.is_file()]
    if not found:
        raise UserError(f"{path}: no such file; Prodigy's is here, or in $PRODIGY_HOME or ~/.prodigy")
    config: dict[str, Any] = {}
    for place in found:
        config |= _json(place)
    system = config.get("db", "sqlite")
    if system == "sqlite":
        raise UserError(f"{path}: Prodigy is on SQLite there (db); read it with labelwise.ProdigyDatabase.v1")
    if system not in _OTHER_NAMES:
        raise UserError(f"{path}: db is no server that can be read; there is {', '.join(sorted(_OTHER_NAMES))}")
    settings = config.get("db_settings")
    own = settings.get(system, {}) if isinstance(settings, dict) else None
    if not isinstance(own, dict):
        raise UserError(f"{path}: db_settings.{system} is no object")
    return _from_arguments(system, own)


def _prodigy_files(path: str) -> list[Path]:
    """Return the files to read; the settings of a later one replace those before."""
    if path != "prodigy.json":
        return [Path(path).expanduser()]
    if "PRODIGY_CONFIG" in os.environ:
        return [Path(os.environ["PRODIGY_CONFIG"]).expanduser()]
    home = Path(os.environ.get("PRODIGY_HOME", "~/.prodigy")).expanduser()
    return [home / "prodigy.json", Path("prodigy.json")]


def _json(path: Path) -> dict[str, Any]:
    """RAISES (UserError): If it is no JSON object; the error repeats nothing of it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):
        raise UserError(f"{path}: is no JSON object") from None
