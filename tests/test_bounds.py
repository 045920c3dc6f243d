"""What is too large is skipped and counted in bounded memory; what never ends is not read."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import zipfile
import zlib
from contextlib import closing

import pytest

from scripts.core import settings
from scripts.core.errors import UserError
from scripts.merging.pull import pull
from scripts.sources.importing import find_datasets
from scripts.sources.json_records import json_records
from scripts.sources.limits import Oversized, record_limit
from scripts.sources.prodigy_database import prodigy_database
from scripts.sources.prodigy_jsonl import ProdigyJsonl, byte_ranges, count_lines, lines_in
from tests.prodigy import add_task, line, task, write_database
from tests.project import ROOT
from tests.servers import engine, fill, temporary_database

HUGE = 200 * 2**20  # bytes
MORE = 100  # MB of memory that reading may take, beside what Python and the modules have
REASON = "larger than 1 MiB, see [pull] max_record_mb"
ADA = task("Ada sleeps", [(0, 3, "PER")])
ENTITY = {"text": "Ada sleeps", "label": [[0, 3, "PER"]]}
ROW = ["Ada sleeps", {"entities": [[0, 3, "PER"]]}]
STUDIO = {
    "data": {"text": "Ada sleeps"},
    "annotations": [
        {"result": [{"type": "labels", "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}}]}
    ],
}


def hole(path, before, after):
    """A file with bytes, many zeros that take no place on the disk, and more bytes."""
    with path.open("wb") as file:
        file.write(before)
        file.seek(HUGE, os.SEEK_CUR)
        file.write(after or b"\0")
    return path


def prodigy_lines(folder):
    hole(folder / "a.jsonl", f"{line(ADA)}\n".encode(), f"\n{line(ADA)}\n".encode())
    return "ProdigyJsonl", {"path": str(folder / "a.jsonl")}


def gzip_bomb(folder):
    with gzip.open(folder / "a.jsonl.gz", "wb", 1) as file:
        file.write(f"{line(ADA)}\n".encode())
        for _ in range(HUGE // 2**20):
            file.write(bytes(2**20))
        file.write(f"\n{line(ADA)}\n".encode())
    return "ProdigyJsonl", {"path": str(folder / "a.jsonl.gz")}


def array(folder):
    record = json.dumps(ENTITY).encode()
    hole(folder / "a.json", b"[" + record + b', {"text": "\\\\', b'"}, ' + record + b"]")
    return "Doccano", {"path": str(folder / "a.json")}


def objects(folder):
    record = json.dumps(ENTITY, indent=1).encode()
    hole(folder / "a.json", record + b'\n{"text": "', b'"}\n' + record)
    return "Doccano", {"path": str(folder / "a.json")}


def tasks(folder):
    record = json.dumps(STUDIO).encode()
    hole(folder / "a.json", b"[" + record + b', {"data": {"text": "', b'"}}, ' + record + b"]")
    return "LabelStudio", {"path": str(folder / "a.json")}


def rows(folder):
    record = json.dumps(ROW).encode()
    hole(folder / "a.json", b"[" + record + b', ["', b'", {"entities": []}], ' + record + b"]")
    return "TrainingData", {"path": str(folder / "a.json")}


def blob(folder):
    path = write_database(folder / "prodigy.db", {"ner": [ADA, b"", ADA]})
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE example SET content = zeroblob(?) WHERE id = 2", (HUGE,))
    return "ProdigyDatabase", {"path": str(path), "dataset": "ner"}


def brat(folder):
    for name in "abcd":
        (folder / f"{name}.txt").write_text("Ada sleeps")
        (folder / f"{name}.ann").write_text("T1\tPER 0 3\tAda\n")
    hole(folder / "b.txt", b"Ada", b"")
    hole(folder / "c.ann", b"T1", b"")
    return "Brat", {"path": str(folder)}


def long_line(folder):
    hole(folder / "a.conll", b"Ada B-PER\nsleeps O\n\nEva O\n", b" O\nsleeps O\n\nAda B-PER\nsleeps O\n")
    return "Conll", {"path": str(folder / "a.conll")}


def long_sentence(folder):
    sentence = b"Ada B-PER\nsleeps O\n\n"
    (folder / "a.conll").write_bytes(sentence + b"Eva B-PER\n" * 1_000_000 + b"\n" + sentence)
    return "Conll", {"path": str(folder / "a.conll")}


def long_document(folder):
    document = b"-DOCSTART- O\n\nAda B-PER\nsleeps O\n\n"
    (folder / "a.conll").write_bytes(document * 2 + b"Eva B-PER\n\n" * 200_000 + document)
    return "Conll", {"path": str(folder / "a.conll"), "text": "document"}


def xmi(folder):
    from tests.test_cas_xmi import made

    document, types = made("Ada sleeps", [(0, 3, "PER")])
    (folder / "TypeSystem.xml").write_text(types, "utf8")
    for name in "ac":
        (folder / f"{name}.xmi").write_text(document, "utf8")
    hole(folder / "b.xmi", document.encode(), b"")
    return "CasXmi", {"path": str(folder)}


def zip_bomb(folder):
    from tests.test_cas_xmi import made

    document, types = made("Ada sleeps", [(0, 3, "PER")])
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("TypeSystem.xml", types)
        archive.writestr("a.xmi", document)
        with archive.open("b.xmi", "w") as entry:
            for _ in range(HUGE // 2**20):
                entry.write(bytes(2**20))
        archive.writestr("c.xmi", document)
    return "CasXmi", {"path": str(folder / "a.zip")}


READ = """
import json, resource, sys
from pathlib import Path
from scripts.core import settings
from scripts.merging.pull import pull
import numpy
import scripts.sources.cas_xmi
name, options, folder, more = json.loads(sys.argv[1])
source = settings.readers()[f"labelwise.{name}.v1"](labels=["PER"], **options)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + more * 2**20,) * 2)
entry = pull({"a": source}, Path(folder), 1.0, 1, max_record_mb=1).manifest.datasets["a"]
print(json.dumps([entry.records["kept"], entry.reasons]))
"""


def pull_in_little_memory(name, options, folder):
    words = [sys.executable, "-c", READ, json.dumps([name, options, str(folder), MORE])]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


CASES = [
    prodigy_lines, gzip_bomb, array, objects, tasks, rows, blob, brat, long_line, long_sentence, long_document, xmi,
    zip_bomb,
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
@pytest.mark.parametrize("write", CASES)
def test_a_record_that_is_too_large_is_skipped_and_counted_in_bounded_memory(write, tmp_path):
    if write in (xmi, zip_bomb):
        pytest.importorskip("cassis", reason="pip install -r requirements-dev.txt")
    (tmp_path / "input").mkdir()
    found = pull_in_little_memory(*write(tmp_path / "input"), tmp_path / "out")
    assert found.returncode == 0, found.stderr[-3000:]
    assert json.loads(found.stdout) == [2, {REASON: 2 if write == brat else 1}]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_a_docbin_that_unpacks_to_far_more_is_one_line(tmp_path):
    packer = zlib.compressobj(1)
    with (tmp_path / "a.spacy").open("wb") as file:
        for _ in range(HUGE // 2**20):
            file.write(packer.compress(bytes(2**20)))
        file.write(packer.flush())
    found = pull_in_little_memory("DocBin", {"path": str(tmp_path / "a.spacy")}, tmp_path / "out")
    message = found.stderr.splitlines()[-1]
    assert "a.spacy: unpacked, it is larger than 16 MiB, 16 times [pull] max_record_mb; save its Docs in" in message


def test_the_limit_is_that_of_the_config_and_changes_what_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([line(ADA), line(task("Ada " + "x" * 2**20, [(0, 3, "PER")], tokens=[]))]))
    source = {"a": ProdigyJsonl(str(path), ["PER"])}
    for limit, kept in ((1, 1), (2, 2), (1, 1)):
        found = pull(source, tmp_path / "out", 0.5, 1, max_record_mb=limit)
        assert (found.manifest.datasets["a"].records["kept"], found.unchanged) == (kept, [])
    config = tmp_path / "datasets.cfg"
    block = f'[datasets.a]\n@readers = "labelwise.ProdigyJsonl.v1"\npath = "{path.as_posix()}"\nlabels = ["PER"]\n'
    config.write_text(f"[datasets]\n{block}[pull]\nmax_record_mb = 0\n")
    with pytest.raises(UserError, match=r"\[pull\] max_record_mb = 0: must be greater than or equal to 1"):
        settings.load(config)
    words = [sys.executable, "-m", "scripts.pull", str(config), str(tmp_path / "out"), "--pull.max_record_mb", "2"]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    assert len((tmp_path / "out" / "a.jsonl").read_bytes().splitlines()) == 2


@pytest.mark.parametrize("system", ["postgresql", "mysql"])
def test_a_row_of_a_server_that_is_too_large(system, tmp_path, monkeypatch):
    from scripts.sources.prodigy_database import prodigy_server

    with temporary_database(system, "labelwise_bounds") as url:
        fill(url, {"ner": [ADA, b"", ADA]})
        with engine(url).begin() as server:
            server.exec_driver_sql("UPDATE example SET content = %s WHERE id = 2", (bytes(2**20 + 1),))
        monkeypatch.setenv("ANNOTATIONS_URL", url.render_as_string(hide_password=False))
        sources = {"a": prodigy_server("ner", ["PER"], "ANNOTATIONS_URL")}
        entry = pull(sources, tmp_path / "out", 1.0, 1, max_record_mb=1).manifest.datasets["a"]
    assert (entry.records["kept"], entry.reasons) == (2, {REASON: 1})


@pytest.mark.parametrize("size", [2**20 - 2, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_the_lines_of_ranges_are_those_of_the_file_around_the_limit(tmp_path, size):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([b"1" * 100, b"2" * size, b"3" * 100, b"4" * size, b"5"]))
    with record_limit(1):
        whole = list(json_records(str(path)))
        ranges = byte_ranges(path, 2**19)
        before = 0
        parts = []
        for span in ranges:
            parts += lines_in(str(path), span._replace(lines_before=before))
            before += count_lines(str(path), span)
    assert [isinstance(content, Oversized) for _, content in whole] == [False, size > 2**20, False, size > 2**20, False]
    assert parts == whole


@pytest.mark.parametrize("extra", range(5))
@pytest.mark.parametrize("end", [b'"', b'\\"x"', b'\\\\"'])
def test_an_element_after_one_that_is_too_large_is_whole_wherever_blocks_end(tmp_path, extra, end):
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"a": 1}, {"b": "' + b"[" * (2 * 2**20 - 22 + extra) + end + b'}, {"c": "]"}]')
    with record_limit(1):
        found = [content for _, content in json_records(str(path))]
    assert [isinstance(content, Oversized) for content in found] == [False, True, False]
    assert found[::2] == [b'{"a": 1}', b'{"c": "]"}']


# ---- What never ends


@pytest.fixture(autouse=True)
def no_hanging():
    """Waiting for somebody to write into a pipe fails."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("waits"))
    signal.alarm(120)
    yield
    signal.alarm(0)


def special(kind, path):
    """A pipe, a socket, a device, or links to them."""
    if kind == "socket":
        with closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "link":
        os.mkfifo(path.with_name("pipe"))
        path.symlink_to(path.with_name("pipe"))
    else:
        os.mkfifo(path)
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.parametrize("kind", ["pipe", "link", "socket", "device"])
def test_import_and_pull_refuse_what_is_no_file(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = special(kind, tmp_path / "a.jsonl" if kind != "socket" else tmp_path.joinpath("a").relative_to(tmp_path))
    formats = [name.split(".")[1].lower() for name in settings.readers() if "Server" not in name]
    for format_name in ["", *formats]:
        with pytest.raises(UserError, match="is no file, but a pipe, a socket or a device"):
            find_datasets(format_name, str(path), {})
    for source in (ProdigyJsonl(str(path), ["PER"]), prodigy_database(str(path), "ner", ["PER"])):
        for use in (source.check, source.labels_found):
            with pytest.raises(UserError, match=r"no such file|is no file"):
                use()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.parametrize("write", [brat, xmi, prodigy_lines])
def test_pipes_beside_files_are_passed_over(write, tmp_path, monkeypatch):
    if write == xmi:
        pytest.importorskip("cassis", reason="pip install -r requirements-dev.txt")
    monkeypatch.setattr("tests.test_bounds.HUGE", 1)
    (tmp_path / "in").mkdir()
    name, options = write(tmp_path / "in")
    expected = sum(find_datasets(name, options["path"], {})[0].spans.values())
    pipes = [
        "p.jsonl", "p.json", "p.txt", "p.ann", "p.xmi", "p.conll", "p.spacy", "p.parquet", "p.zip", "p.tsv",
        "exportedproject1.json", "dataset_info.json", "TYPESYSTEM.xml",
    ]  # fmt: skip
    for pipe in pipes:
        os.mkfifo(tmp_path / "in" / pipe)
    (tmp_path / "in" / "d.txt").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "in" / "d.txt")
    found = find_datasets(name, str(tmp_path / "in"), {})
    assert sum(sum(dataset.spans.values()) for dataset in found) == expected - (write == brat)


@pytest.mark.parametrize("table", ["dataset", "example", "link"])
def test_a_database_with_a_view_for_a_table_is_refused(table, tmp_path):
    path = write_database(tmp_path / "prodigy.db", {"ner": [ADA]})
    columns = {
        "dataset": "n AS id, 'ner' || n AS name, 0 AS created, 0 AS session", "example": "n AS id, '{}' AS content",
        "link": "n AS id, 1 AS example_id, 1 AS dataset_id",
    }[table]  # fmt: skip
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"DROP TABLE {table}")
        database.execute(
            f"CREATE VIEW {table} AS WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) "
            f"SELECT {columns} FROM numbers"
        )
    for use in (
        prodigy_database(str(path), "ner", ["PER"]).check,
        lambda: pull({"a": prodigy_database(str(path), "ner", ["PER"])}, tmp_path / "out", 0.2, 1),
        lambda: find_datasets("", str(path), {}),
    ):
        with pytest.raises(UserError, match=rf"is no Prodigy database: {table} is no table in it, but a view"):
            use()


def test_large_rows_are_read_some_at_a_time(tmp_path):
    path = write_database(
        tmp_path / "prodigy.db", {"ner": [task(f"Ada {n} " + "x" * 2**20, tokens=[]) for n in range(40)]}
    )
    with closing(sqlite3.connect(path)) as database, database:
        add_task(database, [1], ADA)
    entry = pull({"a": prodigy_database(str(path), "ner", ["PER"])}, tmp_path / "out", 0.2, 1).manifest.datasets["a"]
    assert entry.records["kept"] == 41
