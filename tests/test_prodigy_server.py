"""Prodigy on PostgreSQL and MariaDB: the same as from SQLite, no secret anywhere, and a connection that breaks off."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time

import pytest

from scripts.core.errors import UserError
from scripts.merging.pull import pull
from scripts.sources.prodigy_database import prodigy_database, prodigy_server
from scripts.sources.servers import check_name, connected
from scripts.sources.source import Intake
from tests.prodigy import read, task, write_database
from tests.project import ROOT
from tests.servers import engine, fill, temporary_database

HASHES = {"_input_hash": 1, "_task_hash": 2}
SPAN = {"start": 0, "end": 3, "label": "PERSON"}
TASKS = {
    "people": [
        task("Ada met Bob 🦆 in Köln .", [(0, 3, "PERSON"), (8, 11, "PERSON")], _session_id="people-eve"),
        task("Nobody .", answer="reject"),
        b"no JSON",
        None,
        task("Ada .", [(0, 3, "PERSON")], _view_id="ner", _is_binary=True),
        task("Ada Ada .", [(0, 3, "PERSON"), (4, 7, "OTHER")]),
    ],
    "places": [task("Köln .", [(0, 4, "PLACE")])],
    # of an old ner.teach, some without marks, and a category
    "old": [
        {"text": "Ada .", "spans": [SPAN | {"score": 0.5}], "meta": {"score": 0.5}, "answer": "accept", **HASHES},
        {"text": "Bob .", "spans": [SPAN], "answer": "reject", **HASHES},
        {"text": "Nobody .", "label": "EMPTY", "answer": "accept", **HASHES},
    ],
}
SESSIONS = {"people-eve": "people"}


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def url(request):
    """A database with the tasks."""
    with temporary_database(request.param) as found:
        fill(found, TASKS, SESSIONS)
        yield found


@pytest.fixture
def address(url, monkeypatch):
    """The URL in a variable."""
    monkeypatch.setenv("ANNOTATIONS_URL", url.render_as_string(hide_password=False))
    return "ANNOTATIONS_URL"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*.json*") if not path.name.startswith(".")}


def test_the_same_bytes_as_from_sqlite(address, tmp_path):
    path = str(write_database(tmp_path / "prodigy.db", TASKS, SESSIONS))
    sqlite = {name: prodigy_database(path, name, ["PERSON"]) for name in TASKS}
    there = {name: prodigy_server(name, ["PERSON"], address) for name in TASKS}
    found, _ = pull(sqlite, tmp_path / "sqlite", 0.5, 1)
    assert found.datasets["old"].records["no_answer"] == 1
    old = [json.loads(answer) for answer in (tmp_path / "sqlite/old.jsonl").read_text("utf8").splitlines()]
    assert [answer["kind"] for answer in old] == ["binary", "binary"]
    pull(there, tmp_path / "server", 0.5, 1)
    assert contents(tmp_path / "server") == contents(tmp_path / "sqlite")
    assert len((tmp_path / "server" / "people.jsonl").read_bytes().splitlines()) == 4


def test_what_did_not_change_is_not_read_again(url, address, tmp_path):
    sources = {name: prodigy_server(name, ["PERSON"], address) for name in TASKS}
    assert pull(sources, tmp_path, 0.5, 1).unchanged == []
    assert pull(sources, tmp_path, 0.5, 1).unchanged == list(TASKS)
    with engine(url).begin() as database:
        database.exec_driver_sql("INSERT INTO example (input_hash, task_hash, content) VALUES (1, 1, '{}')")
        database.exec_driver_sql("INSERT INTO link (example_id, dataset_id) SELECT max(example.id), max(dataset.id) "
                                 "FROM example, dataset WHERE name = 'places'")  # fmt: skip
    assert pull(sources, tmp_path, 0.5, 1).unchanged == ["people", "old"]
    with engine(url).begin() as database:
        database.exec_driver_sql("DELETE FROM link WHERE id = (SELECT * FROM (SELECT max(id) FROM link) AS newest)")
    assert pull(sources, tmp_path, 0.5, 1).unchanged == ["people", "old"]


def test_content_as_text(address, url, tmp_path):
    with engine(url).begin() as database:
        to = "TEXT USING convert_from(content, 'UTF8')" if "postgres" in url.drivername else "LONGTEXT"
        alter = "ALTER COLUMN content TYPE" if "postgres" in url.drivername else "MODIFY content"
        database.exec_driver_sql(f"ALTER TABLE example {alter} {to}")
    try:
        path = str(write_database(tmp_path / "prodigy.db", TASKS, SESSIONS))
        assert (
            read(prodigy_server("people", ["PERSON"], address))[0]
            == read(prodigy_database(path, "people", ["PERSON"]))[0]
        )
    finally:
        with engine(url).begin() as database:
            back = "BYTEA USING convert_to(content, 'UTF8')" if "postgres" in url.drivername else "LONGBLOB"
            database.exec_driver_sql(f"ALTER TABLE example {alter} {back}")


def test_nothing_can_be_written(address):
    with pytest.raises(UserError, match=r"(?i)read.only transaction"), connected(address) as database:
        database.exec_driver_sql("DELETE FROM link")


def test_one_moment_is_seen(url, address):
    source = prodigy_server("people", ["PERSON"], address)
    intake = Intake(lambda _: None)
    answers = source.read("people", intake)
    next(answers)
    with engine(url).begin() as database:
        database.exec_driver_sql(
            'INSERT INTO example (input_hash, task_hash, content) VALUES (1, 1, \'{"text": "x"}\')'
        )
        database.exec_driver_sql("INSERT INTO link (example_id, dataset_id) SELECT max(example.id), min(dataset.id) "
                                 "FROM example, dataset WHERE name = 'people'")  # fmt: skip
    list(answers)
    assert intake.records["read"] == len(TASKS["people"])
    with engine(url).begin() as database:
        database.exec_driver_sql("DELETE FROM link WHERE id = (SELECT * FROM (SELECT max(id) FROM link) AS newest)")


def test_what_is_not_there_is_named(address):
    with pytest.raises(UserError, match=r"has no dataset 'peple'\. There is people"):
        prodigy_server("peple", ["PERSON"], address).check()
    with pytest.raises(UserError, match=r"labels is empty\. In people is OTHER, PERSON"):
        prodigy_server("people", [], address).check()
    with pytest.raises(UserError, match="has no dataset 'people-eve'"):
        prodigy_server("people-eve", ["PERSON"], address).check()


def test_a_database_of_something_else(url, monkeypatch):
    system = "postgresql" if "postgres" in url.drivername else "mysql"
    other = url.set(database="postgres" if system == "postgresql" else "mysql")
    monkeypatch.setenv("ELSEWHERE", other.render_as_string(hide_password=False))
    with pytest.raises(UserError, match="ELSEWHERE: is no Prodigy database: it lacks dataset, example, link"):
        prodigy_server("people", ["PERSON"], "ELSEWHERE").check()


# How to connect


def prodigy_json(url):
    if "postgres" in url.drivername:
        own = {"host": url.host, "port": url.port, "user": url.username, "dbname": url.database}
        return {"db": "postgresql", "db_settings": {"postgresql": own}}
    own = {"host": url.host, "port": url.port, "user": url.username, "passwd": "", "db": url.database}
    return {"db": "mysql", "db_settings": {"mysql": own}}


def test_by_prodigys_own_configuration(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRODIGY_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    source = prodigy_server("people", ["PERSON"])
    with pytest.raises(UserError, match=r"prodigy.json: no such file; .*PRODIGY_HOME"):
        source.check()
    (tmp_path / "home" / "prodigy.json").write_text(json.dumps(prodigy_json(url)))
    source.check()
    (tmp_path / "prodigy.json").write_text('{"db": "sqlite"}')  # what is here goes before
    with pytest.raises(UserError, match=r"labelwise\.ProdigyDatabase.v1"):
        source.check()
    other = tmp_path / "other.json"
    other.write_text(json.dumps(prodigy_json(url)))
    prodigy_server("people", ["PERSON"], str(other)).check()
    monkeypatch.setenv("PRODIGY_CONFIG", str(other))
    source.check()


def test_by_the_standard_variables(url, monkeypatch):
    if "postgres" in url.drivername:
        names = {"PGHOST": url.host, "PGPORT": url.port, "PGDATABASE": url.database, "PGUSER": url.username}
    else:
        names = {"MYSQL_HOST": url.host, "MYSQL_TCP_PORT": url.port, "MYSQL_DATABASE": url.database,
                 "MYSQL_USER": url.username}  # fmt: skip
    for name, value in names.items():
        monkeypatch.setenv(name, str(value))
    prodigy_server("people", ["PERSON"], "postgresql" if "postgres" in url.drivername else "mysql").check()


SECRET = "hush/4711%"


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("postgresql://nobody:hush%2F4711%25@127.0.0.1:1/x", "LEAKY: cannot connect ("),
        ("mysql://nobody:hush%2F4711%25@127.0.0.1:1/x", "LEAKY: cannot connect ("),
        ("mysql://nobody:hush%2F4711%25@127.0.0.1:1/x?odd=1", "LEAKY: cannot connect ("),
        ("postgresql://nobody:hush%2F4711%25@127.0.0.1:5432/x?odd=hush", "LEAKY: cannot connect ("),
        ("hush/4711%", "LEAKY: holds no URL like postgresql://user:password@host"),
        ("postgresql://nobody:hush%2F4711%25@host:hush/x", "LEAKY: holds no URL"),
        ("oracle://nobody:hush%2F4711%25@host/x", "LEAKY: holds a URL of another system; there is postgresql"),
    ],
)
def test_an_error_gives_no_secret_away(variable, said, monkeypatch):
    pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("LEAKY", variable)
    with pytest.raises(UserError) as found:
        prodigy_server("people", ["PERSON"], "LEAKY").check()
    assert str(found.value).startswith(said)
    assert "\n" not in str(found.value)
    assert "hush" not in str(found.value)
    assert "nobody" not in str(found.value)


def test_a_refused_password_is_not_repeated(url, monkeypatch):
    wrong = url.set(username="no_such_user", password=SECRET)
    monkeypatch.setenv("LEAKY", wrong.render_as_string(hide_password=False))
    with pytest.raises(UserError, match="LEAKY: cannot connect") as found:
        prodigy_server("people", ["PERSON"], "LEAKY").check()
    assert SECRET not in str(found.value)
    assert "no_such_user" not in str(found.value)


@pytest.mark.parametrize("connection", ["postgresql://u:hush@h/d", "host=h password=hush", "", "a b"])
def test_a_url_in_the_config_is_an_error_and_not_repeated(connection):
    with pytest.raises(UserError, match="never the URL itself") as found:
        prodigy_server("people", ["PERSON"], connection)
    assert "hush" not in str(found.value)
    check_name("DATABASE_URL")


def test_a_variable_that_is_not_there(monkeypatch):
    pytest.importorskip("sqlalchemy")
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(UserError, match="NOWHERE: there is no such environment variable; connection is"):
        prodigy_server("people", ["PERSON"], "NOWHERE").check()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no JSON, hush", "is no JSON object"),
        ("[]", "is no JSON object"),
        ("{}", "Prodigy is on SQLite there"),
        ('{"db": "hush"}', "db is no server that can be read; there is mysql, postgresql"),
        ('{"db": "mysql", "db_settings": {"mysql": "hush"}}', "db_settings.mysql is no object"),
        (
            '{"db": "mysql", "db_settings": {"mysql": {"host": "127.0.0.1", "port": 1, "passwd": "hush"}}}',
            "cannot connect",
        ),
        ('{"db": "mysql", "db_settings": {"mysql": {"odd": "hush"}}}', "cannot connect"),
    ],
)
def test_a_damaged_configuration_of_prodigys(content, said, tmp_path):
    pytest.importorskip("sqlalchemy")
    path = tmp_path / "prodigy.json"
    path.write_text(content)
    with pytest.raises(UserError, match=said) as found:
        prodigy_server("people", ["PERSON"], str(path)).check()
    assert "hush" not in str(found.value)


def test_without_sqlalchemy_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-databases\.txt"):
        prodigy_server("people", ["PERSON"], "DATABASE_URL").check()


def test_what_travels_to_another_process_has_no_secret(address, monkeypatch):
    monkeypatch.setenv(address, "postgresql://u:hush@h/d")
    source = prodigy_server("people", ["PERSON"], address)
    assert b"hush" not in pickle.dumps(source)
    assert "hush" not in repr(source)


# A connection that breaks off


CONFIG = """
[datasets]

[datasets.people]
@readers = "labelwise.ProdigyServer.v1"
connection = "ANNOTATIONS_URL"
dataset = "many"
labels = ["PERSON"]
"""


def start(folder, url):
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.pull", "datasets.cfg", "annotations", "--fresh"], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "ANNOTATIONS_URL": url.render_as_string(hide_password=False)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf8",
    )  # fmt: skip


def cut(url):
    """Cut the connections of everybody else, as an administrator can; how many there were."""
    with engine(url).connect() as database:
        if "postgres" in url.drivername:
            query = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            return database.exec_driver_sql(query).scalar()
        query = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        ids = [id_ for (id_,) in database.exec_driver_sql(query)]
        for id_ in ids:
            database.exec_driver_sql(f"KILL {id_}")
        return len(ids)


def test_a_connection_that_is_cut_midway_is_said_and_leaves_what_was_there(url, tmp_path):
    (tmp_path / "datasets.cfg").write_text(CONFIG)
    many = [task(f"Ada met number {number} . {'x ' * 2000}", [(0, 3, "PERSON")]) for number in range(200)]
    fill(url, {"many": many})
    with engine(url).begin() as database:
        for _ in range(6):
            database.exec_driver_sql("INSERT INTO link (example_id, dataset_id) SELECT example_id, dataset_id "
                                     "FROM link WHERE dataset_id = (SELECT max(id) FROM dataset)")  # fmt: skip
    done = start(tmp_path, url)
    assert done.communicate()[1] == ""
    before = contents(tmp_path / "annotations")
    reader = start(tmp_path, url)
    while not any(path.stat().st_size for path in (tmp_path / "annotations").glob(".tmp-*/people.*/*")):
        assert reader.poll() is None
        time.sleep(0.005)
    assert cut(url)
    said = reader.communicate()[1]
    assert (reader.returncode, said.count("\n")) == (1, 1), said
    assert said.startswith("✘ [datasets.people] ANNOTATIONS_URL: the connection broke off; run the step again (")
    assert contents(tmp_path / "annotations") == before
