"""Databases on a PostgreSQL and a MariaDB that run here, with Prodigy's tables."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager

import pytest

from tests.prodigy import CREATED

# As peewee makes them for Prodigy.
SCHEMAS = {
    "postgresql": """
CREATE TABLE dataset (id SERIAL PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE, created INTEGER NOT NULL,
    meta BYTEA NOT NULL, session BOOLEAN NOT NULL);
CREATE TABLE example (id SERIAL PRIMARY KEY, input_hash BIGINT NOT NULL, task_hash BIGINT NOT NULL, content BYTEA);
CREATE TABLE link (id SERIAL PRIMARY KEY, example_id INTEGER NOT NULL REFERENCES example (id),
    dataset_id INTEGER NOT NULL REFERENCES dataset (id));
CREATE INDEX link_example_id ON link (example_id);
CREATE INDEX link_dataset_id ON link (dataset_id)
""",
    "mysql": """
CREATE TABLE dataset (id INTEGER AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL UNIQUE,
    created INTEGER NOT NULL, meta BLOB NOT NULL, session BOOL NOT NULL);
CREATE TABLE example (id INTEGER AUTO_INCREMENT PRIMARY KEY, input_hash BIGINT NOT NULL, task_hash BIGINT NOT NULL,
    content LONGBLOB);
CREATE TABLE link (id INTEGER AUTO_INCREMENT PRIMARY KEY, example_id INTEGER NOT NULL, dataset_id INTEGER NOT NULL,
    FOREIGN KEY (example_id) REFERENCES example (id), FOREIGN KEY (dataset_id) REFERENCES dataset (id))
""",
}
# PostgreSQL has "trust" for all who ask, MariaDB a root without a password: as in a container made for tests.
ADMINS = {
    "postgresql": os.environ.get("LABELWISE_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"),
    "mysql": os.environ.get("LABELWISE_MYSQL", "mysql+pymysql://root@127.0.0.1:3306/"),
}


@contextmanager
def temporary_database(system, name="labelwise_tests"):
    """An empty database with Prodigy's tables, and its URL. Skips where no such server runs."""
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="pip install -r requirements-databases.txt")
    name = f"{name}_{os.getpid()}"
    admin = sqlalchemy.create_engine(ADMINS[system], isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 2})
    try:
        connection = admin.connect()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError):
        pytest.skip(f"no {system} here: {admin.url.host}:{admin.url.port}")
    with connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        url = admin.url.set(database=name)
        try:
            with engine(url).begin() as database:
                for statement in SCHEMAS[system].split(";"):
                    database.exec_driver_sql(statement)
            yield url
        finally:
            force = " WITH (FORCE)" if system == "postgresql" else ""
            connection.exec_driver_sql(f"DROP DATABASE {name}{force}")
            admin.dispose()


def engine(url):
    """An engine that keeps no connection."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    return create_engine(url, poolclass=NullPool)


def fill(url, datasets, sessions=None):
    """Datasets and their tasks, as `write_database` writes them to SQLite."""
    from sqlalchemy import text

    with engine(url).begin() as database:

        def insert(table, **values):
            columns = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            database.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({marks})"), values)
            return database.execute(text(f"SELECT max(id) FROM {table}")).scalar()

        for name, tasks in datasets.items():
            about = {"created": CREATED, "meta": b"{}"}
            ids = [insert("dataset", name=name, session=False, **about)]
            for session, of in (sessions or {}).items():
                if of == name:
                    ids.append(insert("dataset", name=session, session=True, **about))
            for content in tasks:
                hashes = (content["_input_hash"], content["_task_hash"]) if isinstance(content, dict) else (0, 0)
                content = json.dumps(content).encode() if isinstance(content, dict) else content
                example = insert("example", input_hash=hashes[0], task_hash=hashes[1], content=content)
                for id_ in ids:
                    insert("link", example_id=example, dataset_id=id_)
