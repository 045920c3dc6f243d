"""APIs over HTTP: a failure is one line without a secret, what may pass is tried again, nothing is half-written."""

from __future__ import annotations

import threading
import time
import traceback

import pytest

from scripts.core.errors import UserError
from scripts.sources import web
from scripts.sources.doccano_server import doccano_server
from scripts.sources.label_studio_server import label_studio_server
from scripts.sources.web import Web, fetch
from tests.prodigy import read
from tests.project import fail, succeed
from tests.web import TOKEN, Answer, doccano, label_studio, serving, studio_task

pytest.importorskip("httpx", reason="pip install -r requirements-servers.txt")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Nothing waits for long."""
    monkeypatch.setattr(web, "WAITS", (0.01, 0.01))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def connect(monkeypatch, url, token=TOKEN, name="TOOL"):
    monkeypatch.setenv(f"{name}_URL", url)
    monkeypatch.setenv(f"{name}_TOKEN", token)


def get(monkeypatch, respond, path="page"):
    """What a page holds, and the number of requests."""
    with serving(respond) as (url, requests):
        connect(monkeypatch, url)
        try:
            return Web("TOOL", "Tool", lambda _, token: f"Token {token}").get(path, dict), len(requests)
        except UserError as err:
            said = "".join(traceback.format_exception(err))
            assert TOKEN not in said
            assert url.partition("//")[2] not in said
            assert "\n" not in str(err)
            return str(err), len(requests)


def in_turn(*answers):
    """Each answer once, the last one from then on."""
    pending = list(answers)
    return lambda *_: pending.pop(0) if len(pending) > 1 else pending[0]


@pytest.mark.parametrize(
    ("status", "said", "requests"),
    [
        (302, "TOOL: Tool leads to another address (302); set TOOL_URL to that, as https:// for http://", 1),
        (400, "TOOL: Tool does not take the request (400)", 1),
        (401, "TOOL: Tool does not accept the token; set TOOL_TOKEN to a valid one", 1),
        (403, "does not accept the token, or its user may not do this; set TOOL_TOKEN to one of a user who may", 1),
        (404, "has no such page (404); TOOL_URL has to be the address of Tool itself", 1),
        (429, "asks to come back later (429)", 3),
        (500, "TOOL: Tool fails (500)", 3),
        (503, "TOOL: Tool fails (503)", 3),
    ],
)
def test_each_failure_is_one_line_and_those_that_may_pass_are_tried_again(monkeypatch, status, said, requests):
    body = f"<html>{TOKEN}</html>".encode()
    found, number = get(monkeypatch, lambda *_: Answer(body, status, {"Location": f"http://x/{TOKEN}"}))
    assert said in found
    assert number == requests


def test_what_fails_once_is_no_failure(monkeypatch):
    page = {"a": 1}
    assert get(monkeypatch, in_turn(Answer(status=502), page)) == (page, 2)
    assert get(monkeypatch, in_turn(Answer(page, cut=3), Answer(status=503), page)) == (page, 3)
    assert get(monkeypatch, in_turn(Answer(status=429, headers={"Retry-After": "0"}), page)) == (page, 2)


def test_a_server_is_given_the_time_that_it_asks_for(monkeypatch):
    began = time.monotonic()
    assert get(monkeypatch, in_turn(Answer(status=429, headers={"Retry-After": "1"}), {})) == ({}, 2)
    assert time.monotonic() - began >= 1


def test_a_page_that_is_cut_off_is_not_taken(monkeypatch):
    said, number = get(monkeypatch, lambda *_: Answer({"a": "b" * 1000}, cut=500))
    assert said.startswith("TOOL: Tool broke off its answer (")
    assert number == 3
    said, number = get(monkeypatch, lambda *_: Answer(b'{"a": '))
    assert said.startswith("TOOL: Tool answers, but not as Tool does; TOOL_URL has to be the address of Tool itself")


def test_another_site_at_the_address(monkeypatch):
    said, number = get(monkeypatch, lambda *_: Answer(b"<html>Welcome</html>"))
    assert "answers, but not as Tool does" in said
    assert number == 1


def test_a_page_without_end(monkeypatch):
    monkeypatch.setattr(web, "_MAX_ANSWER", 2**20)
    said, _ = get(monkeypatch, lambda *_: Answer(b" " * 2**21))
    assert said == "TOOL: Tool answers with more than 1 MiB"


def test_a_server_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(web, "TIMEOUT", 0.1)
    done = threading.Event()
    try:
        said, number = get(monkeypatch, lambda *_: done.wait(0.5))
    finally:
        done.set()
    assert said == "TOOL: Tool does not answer in time"
    assert number == 3


def test_a_wrong_address(monkeypatch):
    with serving(lambda *_: {}) as (url, _):
        pass
    for address, said in [
        (url, "TOOL: Tool cannot be reached ("),
        ("http://no-such-host.invalid/", "TOOL: Tool cannot be reached ("),
        ("labels.example.com", "TOOL_URL: holds no address like https://host:8080"),
        ("ftp://labels.example.com", "TOOL_URL: holds no address like https://host:8080"),
        (" ", "TOOL_URL: there is no such environment variable"),
    ]:
        connect(monkeypatch, address)
        with pytest.raises(UserError) as err:
            Web("TOOL", "Tool", lambda _, token: token).get("page", dict)
        assert str(err.value).startswith(said)
        assert "no-such-host" not in str(err.value)


@pytest.mark.parametrize("secret", ["https://ada:secret@labels.example.com", "eyJh.eyJ1.c2Vj", "Token 0123"])
def test_a_secret_in_the_config_is_not_repeated(secret):
    source = label_studio_server("ORG", ["ORG"], connection=secret)
    with pytest.raises(UserError, match="never the URL or the token, which is a secret") as err:
        fetch({"org": source})
    assert secret not in str(err.value)


def test_what_was_sent_is_not_sent_again(monkeypatch):
    with serving(lambda *_: Answer({"a": 1}, cut=2)) as (url, requests):
        connect(monkeypatch, url)
        with pytest.raises(UserError, match="broke off its answer"):
            Web("TOOL", "Tool", lambda _, token: token).post("page", {}, dict)
        assert len(requests) == 1


def test_a_personal_token_is_exchanged_and_again_when_that_has_expired(monkeypatch):
    tokens, valid = iter(["first", "second"]), []

    def respond(method, path, query, sent):
        if path == "/api/token/refresh/":
            assert sent == {"refresh": f"a.{TOKEN}.c"}
            valid[:] = [next(tokens)]
            return {"access": valid[0]}
        if len(requests) == 3:  # of projects, of which the first succeeds
            valid.clear()
        return (
            label_studio([])(method, path, query, sent)
            if requests[-1][2] == f"Bearer {[*valid, ''][0]}"
            else Answer(status=401)
        )

    with serving(respond) as (url, requests):
        connect(monkeypatch, url, f"a.{TOKEN}.c")
        source = label_studio_server("ORG", ["ORG"], "TOOL", folder="copies")
        assert list(source.fetched()) == []
        assert [header for *_, header in requests] == [
            None, "Bearer first", "Bearer first", None, "Bearer second", "Bearer second"
        ]  # fmt: skip


def test_a_name_and_a_password(monkeypatch, tmp_path):
    texts = {1: ("Ada .", [(0, 3, "PER")], True)}
    with serving(doccano(texts)) as (url, requests):
        connect(monkeypatch, url, f"ada:{TOKEN}")
        source = doccano_server("ORG", ["PER"], "TOOL", folder=str(tmp_path))
        fetch({"org": source})
        assert {header for *_, header in requests} == {None, "Token key"}
        connect(monkeypatch, url, "ada:wr0ng")
        with pytest.raises(UserError, match="does not accept the token") as err:
            fetch({"org": source})
        assert "wr0ng" not in str(err.value)
    assert read(source)[0][0].annotator == "ada"


# ---- Copies


def tasks(number=3):
    return [studio_task(n, f"Text {n} .", [(0, 4, "ORG")]) for n in range(1, number + 1)]


def test_only_what_changed_is_fetched_and_the_copy_is_that_of_a_full_fetch(monkeypatch, tmp_path):
    there = tasks(1200)
    with serving(label_studio(there)) as (url, requests):
        connect(monkeypatch, url)
        source = label_studio_server("ORG", ["ORG"], "TOOL", folder=str(tmp_path / "copies"))
        fetch({"org": source})
        path = tmp_path / "copies/TOOL-ORG.jsonl"
        assert path.stat().st_mode & 0o777 == 0o600
        before = path.stat()
        assert len(requests) == 2 + 4 + 12  # the project, pages of the list, the last one empty, and of tasks
        requests.clear()
        fetch({"org": source})
        assert len(requests) == 2 + 4
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        there[5] = studio_task(6, "Text 6 .", [], "2026-01-02T00:00:00Z")
        del there[700], there[0]
        there.append(studio_task(5000, "New .", []))
        requests.clear()
        fetch({"org": source})
        assert len(requests) == 2 + 4 + 2
        again = label_studio_server("ORG", ["ORG"], "TOOL", folder=str(tmp_path / "again"))
        fetch({"org": again})
        assert path.read_bytes() == (tmp_path / "again/TOOL-ORG.jsonl").read_bytes()
        assert read(source)[1].records["kept"] == len(there)


def test_a_server_that_gives_fewer_at_a_time_than_it_is_asked_for(monkeypatch, tmp_path):
    with serving(label_studio(tasks(100), most=7)) as (url, _):
        connect(monkeypatch, url)
        source = label_studio_server("ORG", ["ORG"], "TOOL", folder=str(tmp_path))
        fetch({"org": source})
    assert read(source)[1].records["kept"] == 100


def test_a_damaged_copy_is_fetched_anew(monkeypatch, tmp_path):
    with serving(label_studio(tasks())) as (url, _):
        connect(monkeypatch, url)
        source = label_studio_server("ORG", ["ORG"], "TOOL", folder=str(tmp_path))
        fetch({"org": source})
        path = tmp_path / "TOOL-ORG.jsonl"
        whole = path.read_bytes()
        for damaged in (b"", whole[:150], b"\0" * len(whole), b"[]\n" + whole):
            path.write_bytes(damaged)
            fetch({"org": source})
            assert path.read_bytes() == whole


def test_a_copy_stays_if_the_server_fails_half_way(monkeypatch, tmp_path):
    broken = []

    def respond(method, path, query, sent):
        answer = label_studio(tasks(1200))(method, path, query, sent)
        return Answer(status=500) if broken and "fields" in query else answer

    with serving(respond) as (url, _):
        connect(monkeypatch, url)
        source = label_studio_server("ORG", ["ORG"], "TOOL", folder=str(tmp_path))
        fetch({"org": source})
        path = tmp_path / "TOOL-ORG.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:600]))
        broken.append(True)
        with pytest.raises(UserError, match=r"fails \(500\)"):
            fetch({"org": source})
        assert path.read_bytes() == b"".join(lines[:600])
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "TOOL-ORG.jsonl"]


def test_a_project_that_is_written_to_while_it_is_read_is_read_again(monkeypatch, tmp_path):
    texts = {number: (f"Text {number} .", [], True) for number in range(1, 6)}
    changes = iter([lambda: texts.pop(2), lambda: None])

    def respond(method, path, query, sent):
        if path.endswith("/4/spans"):
            next(changes, lambda: None)()
        return doccano(texts)(method, path, query, sent)

    with serving(respond) as (url, _):
        connect(monkeypatch, url)
        source = doccano_server("ORG", ["PER"], "TOOL", folder=str(tmp_path))
        fetch({"org": source})
        assert [task.text for task in read(source)[0]] == ["Text 1 .", "Text 3 .", "Text 4 .", "Text 5 ."]
        changes = iter([lambda: texts.pop(1), lambda: texts.pop(3), lambda: texts.update({9: ("New .", [], True)})])
        with pytest.raises(UserError, match="was written to each time that it was read"):
            fetch({"org": source})
    assert len(read(source)[0]) == 4


def test_spans_of_users_who_share_a_project_and_of_those_who_do_not(monkeypatch, tmp_path):
    texts = {1: ("Ada .", [(0, 3, "PER")], False), 2: ("Ben .", [], True), 3: ("Eve .", [], False)}
    with serving(doccano(texts)) as (url, _):
        connect(monkeypatch, url, f"{TOKEN}\nother\n")
        source = doccano_server("ORG", ["PER"], "TOOL", folder=str(tmp_path / "a"))
        fetch({"org": source})
        assert [(task.text, len(task.spans)) for task in read(source)[0]] == [("Ada .", 1), ("Ben .", 0)] * 2
    with serving(doccano(texts, shared=True)) as (url, _):
        connect(monkeypatch, url, f"{TOKEN}\nother\n")
        source = doccano_server("ORG", ["PER"], "TOOL", folder=str(tmp_path / "b"))
        confirmed = doccano_server("ORG", ["PER"], "TOOL", only_confirmed=True, folder=str(tmp_path / "b"))
        fetch({"org": source, "confirmed": confirmed})
        assert [(task.text, len(task.spans), task.annotator) for task in read(source)[0]] == [
            ("Ada .", 1, "ada"), ("Ben .", 0, "")
        ]  # fmt: skip
        found, intake, _ = read(confirmed)
        assert [task.text for task in found] == ["Ben ."]
        assert intake.notes == {"text that nobody has confirmed": 2}


# ---- As a user runs it

CONFIG = """
[datasets]

[datasets.org]
@readers = "labelwise.LabelStudioServer.v1"
connection = "TOOL"
project = "ORG"
labels = ["ORG"]
"""


def test_import_writes_the_blocks_and_pull_reads_them(monkeypatch, tmp_path):
    there = tasks()
    with serving(label_studio(there)) as (url, requests):
        connect(monkeypatch, url)
        options = ["--format", "labelstudioserver", "--config", "datasets.cfg"]
        said = succeed(tmp_path, "import", "TOOL", *options)
        assert "1 new block" in said or "datasets.cfg: 1 block" in said
        assert (tmp_path / "datasets.cfg").read_text().strip() == CONFIG.strip()
        assert "3" in succeed(tmp_path, "pull")
        first = (tmp_path / "annotations/org.jsonl").read_bytes()
        assert first.count(b"\n") == 3
        assert (tmp_path / "annotations/org.jsonl").stat().st_mode & 0o077 == 0
        requests.clear()
        assert "1 dataset, 1 unchanged" in succeed(tmp_path, "pull")
        assert len(requests) == 4
        there.append(studio_task(9, "Nothing .", []))
        succeed(tmp_path, "pull")
        assert (tmp_path / "annotations/org.jsonl").read_bytes().count(b"\n") == 4
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not [path for path in files if TOKEN.encode() in path.read_bytes() or url.encode() in path.read_bytes()]


def test_a_step_that_cannot_reach_a_server_leaves_all_as_it_was(monkeypatch, tmp_path):
    (tmp_path / "datasets.cfg").write_text(CONFIG)
    with serving(label_studio(tasks())) as (url, _):
        connect(monkeypatch, url)
        succeed(tmp_path, "pull")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    said = fail(tmp_path, "pull")
    assert said.startswith("✘ TOOL: Label Studio cannot be reached (")
    assert url.partition("//")[2] not in said
    assert TOKEN not in said
    assert {path: path.read_bytes() for path in before} == before
    monkeypatch.delenv("TOOL_TOKEN")
    assert "TOOL_TOKEN: there is no such environment variable" in fail(tmp_path, "pull")
