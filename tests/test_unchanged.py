"""A source counts as unchanged only if that is proven, and what is written to while it is read is read again."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from itertools import islice

import msgspec
import pytest

from scripts.core.errors import UserError
from scripts.core.settings import DatasetOptions
from scripts.merging.pull import pull
from scripts.merging.reading import ReadJob, read_if_changed
from scripts.sources import states
from scripts.sources.brat import Brat
from scripts.sources.cas_xmi import CasXmi
from scripts.sources.prodigy_database import ProdigyDatabase, prodigy_database
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from scripts.sources.source import SourcePart
from tests.prodigy import add_task, line, read, task, write_database
from tests.servers import engine, fill, temporary_database
from tests.test_reader_contracts import RECORDS, reader  # noqa: F401 (a fixture)

NAMES = [f"label_{number:02}" for number in range(20)]


def text_of(name):
    return f"Ada met {name} in Rome ."


def database(path, **fields):
    return write_database(path, {name: [task(text_of(name), [(0, 3, "PER")], **fields)] * 3 for name in NAMES})


def sources_in(path):
    return {name: prodigy_database(str(path), name, ["PER"]) for name in NAMES}


def pulled(folder, name):
    return [json.loads(answer)["text"] for answer in (folder / f"{name}.jsonl").read_text("utf8").splitlines()]


def execute(path, *statements):
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(*statement) if isinstance(statement, tuple) else connection.execute(statement)


def edit(name, old="Ada", new="Eva", stored="BLOB"):
    """An UPDATE that leaves the length as it is."""
    return (
        f"UPDATE example SET content = CAST(replace(CAST(content AS TEXT), ?, ?) AS {stored}) WHERE id IN (SELECT "
        "example_id FROM link JOIN dataset ON dataset.id = link.dataset_id WHERE name = ?)",
        (old, new, name),
    )


@pytest.fixture(params=["settled", "just written"])
def clock(request, monkeypatch):
    """Files that were written long ago, whose state is a proof, and files whose times may not tell the next change."""
    if request.param == "settled":
        monkeypatch.setattr(states, "_TICK", -1)
        yield lambda: time.sleep(0.02)  # longer than a file system's clock ticks
    else:
        yield lambda: time.sleep(0.02)


# ---- Databases


@pytest.mark.parametrize("stored", ["BLOB", "TEXT"])
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_an_update_of_the_same_length_makes_that_dataset_alone_be_read_anew(tmp_path, clock, mode, stored):
    path = database(tmp_path / "prodigy.db")
    execute(path, f"PRAGMA journal_mode = {mode}", *(edit(name, "met", "met", stored) for name in NAMES))
    assert pull(sources_in(path), tmp_path / "out", 0.2, 1).unchanged == []
    assert pull(sources_in(path), tmp_path / "out", 0.2, 1).unchanged == NAMES
    clock()
    size = path.stat().st_size
    execute(path, edit("label_07", stored=stored))
    assert path.stat().st_size == size
    assert pull(sources_in(path), tmp_path / "out", 0.2, 2).unchanged == [n for n in NAMES if n != "label_07"]
    assert pulled(tmp_path / "out", "label_07") == [text_of("label_07").replace("Ada", "Eva")] * 3
    assert pull(sources_in(path), tmp_path / "out", 0.2, 1).unchanged == NAMES


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("UPDATE link SET dataset_id = 2 WHERE id = 1", ["label_00", "label_01"]),
        ("UPDATE link SET example_id = 4 WHERE id = 1", ["label_00"]),
        ("UPDATE link SET id = 1000 WHERE id = 1", ["label_00"]),
        ("DELETE FROM link WHERE id = 2", ["label_00"]),
        ("UPDATE dataset SET created = 5 WHERE id = 1", []),
    ],
)
def test_other_rows_that_change(tmp_path, statement, changed):
    path = database(tmp_path / "prodigy.db")
    pull(sources_in(path), tmp_path / "out", 0.2, 1)
    execute(path, statement)
    assert pull(sources_in(path), tmp_path / "out", 0.2, 1).unchanged == [n for n in NAMES if n not in changed]


def test_an_update_in_the_log_of_a_database_that_is_in_use(tmp_path, clock):
    path = database(tmp_path / "prodigy.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for new in ("Eva", "Ida", "Una"):
            with connection:
                connection.execute(*edit("label_03", "Ada", "Ada"))
            pull(sources_in(path), tmp_path / "out", 0.2, 1)
            clock()
            before = path.read_bytes()
            with connection:
                connection.execute(*edit("label_03", pulled(tmp_path / "out", "label_03")[0][:3], new))
            assert path.read_bytes() == before
            assert pull(sources_in(path), tmp_path / "out", 0.2, 1).unchanged == [n for n in NAMES if n != "label_03"]
            assert pulled(tmp_path / "out", "label_03")[0].startswith(new)
            connection.execute("PRAGMA wal_checkpoint(RESTART)")  # the log begins anew, in the same bytes


def test_nothing_is_read_of_what_the_state_proves(tmp_path, monkeypatch):
    monkeypatch.setattr(states, "_TICK", -1)
    path = database(tmp_path / "prodigy.db")
    (tmp_path / "a.jsonl").write_text(line(task("Ada", [(0, 3, "PER")])))
    sources = sources_in(path) | {"a": ProdigyJsonl(str(tmp_path / "a.jsonl"), ["PER"])}
    pull(sources, tmp_path / "out", 0.2, 1)
    for kind in (ProdigyDatabase, ProdigyJsonl):
        for method in ("digest", "read"):
            monkeypatch.setattr(kind, method, lambda *_: pytest.fail("was read"))
    assert pull(sources, tmp_path / "out", 0.2, 1).unchanged == list(sources)


@pytest.mark.parametrize("system", ["postgresql", "mysql"])
def test_an_update_on_a_server(system, tmp_path, monkeypatch):
    with temporary_database(system, "labelwise_unchanged") as url:
        fill(url, {name: [task(text_of(name), [(0, 3, "PER")])] * 3 for name in NAMES[:3]})
        monkeypatch.setenv("ANNOTATIONS_URL", url.render_as_string(hide_password=False))
        from scripts.sources.prodigy_database import prodigy_server

        sources = {name: prodigy_server(name, ["PER"], "ANNOTATIONS_URL") for name in NAMES[:3]}
        pull(sources, tmp_path / "out", 0.2, 1)
        assert pull(sources, tmp_path / "out", 0.2, 1).unchanged == NAMES[:3]
        with engine(url).begin() as server:
            (content,) = server.exec_driver_sql("SELECT content FROM example WHERE id = 4").one()
            server.exec_driver_sql(
                "UPDATE example SET content = %s WHERE id = 4", (bytes(content).replace(b"Ada", b"Eva"),)
            )
        assert pull(sources, tmp_path / "out", 0.2, 1).unchanged == ["label_00", "label_02"]
        assert "Eva met label_01 in Rome ." in pulled(tmp_path / "out", "label_01")


# ---- Files


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(line(task("Ada", [(0, 3, "PER")])))
    return path


def source_of(path):
    return {"a": ProdigyJsonl(str(path), ["PER"])}


def test_an_edit_that_keeps_size_and_time_is_seen(export, tmp_path, clock):
    pull(source_of(export), tmp_path / "out", 0.2, 1)
    stat = export.stat()
    clock()
    export.write_text(line(task("Eva", [(0, 3, "PER")])))
    os.utime(export, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert pull(source_of(export), tmp_path / "out", 0.2, 1).unchanged == []
    assert pulled(tmp_path / "out", "a") == ["Eva"]


def test_a_file_with_the_same_size_and_time_in_place_of_another_is_seen(export, tmp_path, clock):
    """As `rsync -t` and `cp -p` of an older version put it."""
    pull(source_of(export), tmp_path / "out", 0.2, 1)
    clock()
    other = tmp_path / "other.jsonl"
    other.write_text(line(task("Eva", [(0, 3, "PER")])))
    shutil.copystat(export, other)
    other.replace(export)
    assert pull(source_of(export), tmp_path / "out", 0.2, 1).unchanged == []
    assert pulled(tmp_path / "out", "a") == ["Eva"]


def test_an_edit_within_one_tick_of_a_coarse_clock_is_seen(export, tmp_path, monkeypatch):
    """As git's "racy" files: size and times are the same, and no state can tell."""
    now = time.time_ns()
    monkeypatch.setattr(states, "state_of", lambda *_: states.State("always the same", now, now + 10**9))
    monkeypatch.setattr("scripts.sources.prodigy_jsonl.state_of", states.state_of)
    pull(source_of(export), tmp_path / "out", 0.2, 1)
    export.write_text(line(task("Eva", [(0, 3, "PER")])))
    assert pull(source_of(export), tmp_path / "out", 0.2, 1).unchanged == []
    assert pulled(tmp_path / "out", "a") == ["Eva"]


def test_a_file_that_is_only_touched_is_read_at_most_once_more(export, tmp_path, clock):
    pull(source_of(export), tmp_path / "out", 0.2, 1)
    for _ in range(3):
        clock()
        export.touch()
        found = pull(source_of(export), tmp_path / "out", 0.2, 1)
    assert found.unchanged == ["a"]


def test_all_is_read_anew_if_it_is_asked_for(export, tmp_path):
    pull(source_of(export), tmp_path / "out", 0.2, 1)
    assert pull(source_of(export), tmp_path / "out", 0.2, 1, fresh=True).unchanged == []


# ---- Links


@pytest.mark.parametrize("link", ["file", "folder", "chain"])
def test_a_link_to_a_database_that_is_in_use_loses_none_of_its_answers(tmp_path, link):
    (tmp_path / "there").mkdir()
    path = database(tmp_path / "there" / "prodigy.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            for number in range(25):
                add_task(connection, [1], task(f"in the log {number}"))
        here = tmp_path / "here"
        if link == "folder":
            here.symlink_to(path.parent)
            here /= "prodigy.db"
        else:
            here.symlink_to(path)
        if link == "chain":
            (tmp_path / "again").symlink_to(here)
            here = tmp_path / "again"
        found = pull(sources_in(here), tmp_path / "out", 0.2, 1)
        assert found.manifest.datasets["label_00"].records["kept"] == 3 + 25
        with connection:
            add_task(connection, [1], task("later"))
        assert pull(sources_in(here), tmp_path / "out", 0.2, 1).unchanged == NAMES[1:]


@pytest.mark.skipif(not hasattr(os, "link"), reason="has no hard links")
def test_a_second_name_of_a_database_is_not_read_without_a_word(tmp_path):
    """SQLite has its log beside the name under which it was opened, and nothing leads from one name to another."""
    path = database(tmp_path / "prodigy.db")
    (tmp_path / "there").mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            add_task(connection, [1], task("in the log"))
        assert read(sources_in(path)["label_00"])[1].records["read"] == 4
        os.link(path, tmp_path / "there" / "prodigy.db")
        assert not [note for note in read(sources_in(path)["label_00"])[1].notes if "hard links" in note]
        _, intake, _ = read(sources_in(tmp_path / "there" / "prodigy.db")["label_00"])
        assert [note for note in intake.notes if "several names (hard links): a log beside another name" in note]


def test_a_link_that_leads_elsewhere_is_another_source(export, tmp_path, clock):
    other = tmp_path / "other.jsonl"
    other.write_text(line(task("Eva", [(0, 3, "PER")])))
    shutil.copystat(export, other)
    link = tmp_path / "link.jsonl"
    link.symlink_to(export)
    pull(source_of(link), tmp_path / "out", 0.2, 1)
    assert pull(source_of(link), tmp_path / "out", 0.2, 1).unchanged == ["a"]
    link.unlink()
    link.symlink_to(other)
    assert pull(source_of(link), tmp_path / "out", 0.2, 1).unchanged == []
    assert pulled(tmp_path / "out", "a") == ["Eva"]


def write_brat(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(f"{name} sleeps")
    (folder / f"{name}.ann").write_text(f"T1\tPER 0 {len(name)}\t{name}\n")


def texts(source):
    return sorted(found.text for found in read(source)[0])


def test_linked_folders_are_read_once_and_circles_end(tmp_path):
    write_brat(tmp_path / "corpus" / "own", "Ada")
    write_brat(tmp_path / "store" / "more", "Eva")
    (tmp_path / "corpus" / "linked").symlink_to(tmp_path / "store")
    (tmp_path / "corpus" / "a link to own").symlink_to(tmp_path / "corpus" / "own")
    (tmp_path / "corpus" / "own" / "circle").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus" / "nowhere").symlink_to(tmp_path / "not there")
    (tmp_path / "corpus" / "itself.ann").symlink_to(tmp_path / "corpus" / "itself.ann")
    (tmp_path / "link").symlink_to(tmp_path / "corpus")
    for path in ("corpus", "link"):
        found, _, _ = read(Brat(str(tmp_path / path), ["PER"]))
        assert sorted(one.source for one in found) == ["linked/more/Eva.ann:1", "own/Ada.ann:1"]


def test_a_link_in_a_circle_is_no_file(tmp_path):
    (tmp_path / "a.db").symlink_to(tmp_path / "b.db")
    (tmp_path / "b.db").symlink_to(tmp_path / "a.db")
    for source in (
        ProdigyJsonl(str(tmp_path / "a.db"), ["PER"]),
        prodigy_database(str(tmp_path / "a.db"), "a", ["PER"]),
    ):
        with pytest.raises(UserError, match=r"a\.db: no such file"):
            source.check()


def test_the_text_beside_a_linked_annotation_is_found_and_its_change_seen(tmp_path, clock):
    write_brat(tmp_path / "store", "Ada")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "1.ann").symlink_to(tmp_path / "store" / "Ada.ann")
    source = Brat(str(tmp_path / "corpus"), ["PER"])
    assert texts(source) == ["Ada sleeps"]
    pull({"a": source}, tmp_path / "out", 0.2, 1)
    clock()
    (tmp_path / "store" / "Ada.txt").write_text("Ada sleept")
    assert pull({"a": source}, tmp_path / "out", 0.2, 1).unchanged == []
    assert pulled(tmp_path / "out", "a") == ["Ada sleept"]


def test_the_types_beside_a_linked_xmi_are_found(tmp_path):
    pytest.importorskip("cassis", reason="pip install -r requirements-dev.txt")
    from tests.test_cas_xmi import made

    document, types = made("Ada sleeps", [(0, 3, "PER")])
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.xmi").write_text(document, "utf8")
    (tmp_path / "store" / "TypeSystem.xml").write_text(types, "utf8")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "b.xmi").symlink_to(tmp_path / "store" / "a.xmi")
    for path in ("here", "here/b.xmi"):
        found, intake, _ = read(CasXmi(str(tmp_path / path), ["PER"]))
        assert [one.text for one in found] == ["Ada sleeps"]
        assert not [note for note in intake.notes if "TypeSystem" in note]


# ---- Written to while it is read


class WrittenTo(SourcePart):
    """A source to which something is done after the first answer of each reading."""

    meanwhile: object

    def __repr__(self):
        return repr(self.whole)

    def read(self, dataset, intake):
        answers = self.whole.read(dataset, intake)
        yield from islice(answers, 1)
        self.meanwhile()
        yield from answers


def read_only(source):
    """The source; of a server its copy, which is not fetched."""
    return WrittenTo(source, lambda: None)


def test_what_changes_while_it_is_read_is_read_again(reader, tmp_path):  # noqa: F811
    source = reader("Ada", labels=["PER"])
    if isinstance(source, ProdigyDatabase):
        execute(source.path, "PRAGMA journal_mode = WAL")  # read as a file that does not change
    if source.state() is None:
        pytest.skip("a server shows one moment of its database")
    names = iter(["Eva"])

    def change():
        if name := next(names, ""):
            time.sleep(0.02)
            reader(name, labels=["PER"])

    found = pull({"a": WrittenTo(source, change)}, tmp_path / "out", 0.2, 1)
    assert found.manifest.datasets["a"].records["kept"] == RECORDS
    assert all(text.startswith("Eva met number") for text in pulled(tmp_path / "out", "a"))
    assert next(names, None) is None


@pytest.mark.parametrize("is_mended", [False, True])
def test_what_is_cut_while_it_is_read_is_never_pulled_by_half(reader, tmp_path, is_mended):  # noqa: F811
    source = reader(labels=["PER"])
    if source.state() is None:
        pytest.skip("nobody can cut a server's files")
    files = {path: path.read_bytes() for path in (tmp_path / "input").rglob("*") if path.is_file()}
    contents = [{path: content[: len(content) // 2] for path, content in files.items()}, files if is_mended else {}]

    def write():
        time.sleep(0.02)
        for path, content in (contents.pop(0) if contents else {}).items():
            path.write_bytes(content)

    pull({"a": read_only(source)}, tmp_path / "out", 0.2, 1)
    before = (tmp_path / "out" / "a.jsonl").read_bytes()
    try:
        found = pull({"a": WrittenTo(source, write)}, tmp_path / "out", 0, 1, fresh=True)
    except UserError as err:
        assert "\n" not in str(err)
        assert (tmp_path / "out" / "a.jsonl").read_bytes() == before
    else:  # a reading saw all of what is there
        assert pull({"a": read_only(source)}, tmp_path / "other", 0, 1).manifest.datasets == found.manifest.datasets


def test_what_is_gone_before_it_is_read_is_not_taken_for_empty(reader, tmp_path):  # noqa: F811
    source = reader(labels=["PER"])
    if source.state() is None:
        pytest.skip("nobody can remove a server's files")
    pull({"a": read_only(source)}, tmp_path / "out", 0.2, 1)
    before = (tmp_path / "out" / "a.jsonl").read_bytes()
    (tmp_path / "input").rename(tmp_path / "gone")
    with pytest.raises((UserError, OSError)):
        read_if_changed(ReadJob("a", source, DatasetOptions(), tmp_path))
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == before


def test_what_changes_all_the_time_stops_the_step(export, tmp_path):
    pull(source_of(export), tmp_path / "out", 0.2, 1)
    before = (tmp_path / "out" / "a.jsonl").read_bytes()

    def append():
        with export.open("a") as file:
            file.write("\n" + line(task("Eva", [(0, 3, "PER")])))

    with pytest.raises(UserError, match=r"^\[datasets\.a\] was written to each time that it was read; run again when"):
        pull({"a": WrittenTo(source_of(export)["a"], append)}, tmp_path / "out", 0.2, 1, fresh=True)
    assert (tmp_path / "out" / "a.jsonl").read_bytes() == before


def test_a_dataset_that_is_dropped_and_imported_anew_while_it_is_read(tmp_path):
    """In a database that Prodigy has open, so that a reading sees what is saved meanwhile."""
    tasks = [task(f"Ada {number}", [(0, 3, "PER")]) for number in range(500)]
    path = write_database(tmp_path / "prodigy.db", {"ner": tasks, "other": tasks[:1]})
    times = iter([True])

    def drop():
        if next(times, False):
            execute(path, "DELETE FROM link WHERE dataset_id = 1 AND id > 100")

    found = pull({"a": WrittenTo(prodigy_database(str(path), "ner", ["PER"]), drop)}, tmp_path / "out", 0.2, 1)
    assert found.manifest.datasets["a"].records["kept"] == 100


def test_answers_that_are_saved_while_others_are_read_come_with_the_next_pull(tmp_path):
    path = write_database(tmp_path / "prodigy.db", {"ner": [task("Ada", [(0, 3, "PER")])] * 2, "other": [task("Eva")]})
    source = prodigy_database(str(path), "ner", ["PER"])

    def save():
        with closing(sqlite3.connect(path)) as connection, connection:
            add_task(connection, [1], task("Ida", [(0, 3, "PER")]))

    pull({"a": WrittenTo(source, save)}, tmp_path / "out", 0.2, 1)
    there = read(source)[1].records["read"]
    assert pull({"a": source}, tmp_path / "out", 0.2, 1).manifest.datasets["a"].records["kept"] == there
    assert msgspec.json.decode((tmp_path / "out" / ".fingerprints.json").read_bytes())["a"]["source"]["content"]
