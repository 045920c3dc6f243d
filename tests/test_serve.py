"""`serve`: a real server on loopback, and clients that are many, slow, hostile or killed."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import jinja2
import pytest
import spacy

from scripts import functions  # noqa: F401 (label heads are registered)
from scripts.exporting.label_studio import interface
from scripts.model.models import announce, load_model, model_digest
from tests.project import ROOT, make
from tests.scored import one_line, step, write_model
from tests.test_queue import prepare, teach

pytest.importorskip("uvicorn", reason="pip install -r requirements-serve.txt")

MODEL = "training/ner/seed-0/model-best"
TEXTS = [
    f"{start}IBM hired Ada number {n} .\r\nIBM 🙂 and Ada ." for n in range(6) for start in ("", "👍🏽 ", "é ")
] + [""]
SECRET = "Zanzibar"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with an evaluated model."""
    folder = make(tmp_path_factory.mktemp("served"), 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare(folder)
        teach(folder, 0)
    done = step(folder, "scripts.evaluate", "--run", "ner", "--models", "training/ner", "--corpus", "corpus",
                "--output", "metrics", "--seed", 0)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


class Server:
    """A running server: its address, process, and how it is asked."""

    def __init__(self, process, url):
        self.process, self.url = process, url
        self.place = (urlsplit(url).hostname, urlsplit(url).port)

    def ask(self, path, sent=None, headers=None, method=None):
        """RETURNS: Status and JSON. sent: An object, or the bytes of a body."""
        data = sent if sent is None or isinstance(sent, bytes) else json.dumps(sent).encode()
        request = urllib.request.Request(self.url + path, data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as err:
            return err.code, json.loads(err.read())

    def predict(self, sent, **more):
        status, found = self.ask("/predict", sent, **more)
        assert status == 200, found
        return found

    def memory(self, name):
        """A line of the kernel about the process, in MB: VmRSS is its memory now, VmHWM its peak."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text)[1]) / 1024


@contextmanager
def served(folder, *options, token="", expected=""):
    """Run the step, and stop it as a user does; it writes nothing but how it ended, and what is expected."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.serve", "--model", MODEL, "--port", "0", *map(str, options)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "LABELWISE_TOKEN": token},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf8",
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert line.startswith("✔ ner "), process.stderr.read()
        yield Server(process, re.search(r"http://[^;]+", line)[0])
        process.send_signal(signal.SIGTERM)
        rest, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert rest == ""
    assert err == expected + "✘ stopped; previous outputs are unchanged. To go on: weasel run serve\n"


@pytest.fixture(scope="module")
def server(project):
    with served(project) as found:
        yield found


@pytest.fixture(scope="module")
def nlp(project):
    return load_model(project / MODEL)


def spans_of(doc):
    """What the pipeline predicts in a text, as the server says it."""
    group = doc.spans["predicted"]
    return [
        {"start": span.start_char, "end": span.end_char, "label": span.label_,
         "probability": pytest.approx(float(score), abs=2e-4)}
        for span, score in zip(group, group.attrs["scores"], strict=True)
    ]  # fmt: skip


def test_texts_have_the_spans_and_probabilities_that_the_pipeline_predicts(server, nlp):
    found = server.predict({"texts": TEXTS})["results"]
    expected = [spans_of(doc) for doc in nlp.pipe(TEXTS)]
    assert [one["spans"] for one in found] == expected
    assert sum(map(len, expected)) > 20
    assert server.predict({"texts": []})["results"] == []
    assert server.predict({"text": TEXTS[1]})["spans"] == expected[1]


def test_a_model_without_probabilities_says_so(tmp_path):
    write_model(tmp_path / "training/ner", {"ORG": ["IBM"]})
    with served(tmp_path) as server:
        assert server.predict({"text": "👍 IBM"})["spans"] == [
            {"start": 2, "end": 5, "label": "ORG", "probability": None}
        ]
        assert server.ask("/version")[1]["evaluated"] is None


def test_version_has_run_digest_labels_and_scores(server, project):
    status, found = server.ask("/version")
    (folder,) = [path for path in (project / "metrics").iterdir() if path.is_dir()]
    metrics = json.loads((folder / "metrics.json").read_bytes())
    assert status == 200
    assert (found["run"], found["digest"]) == ("ner", model_digest(project / MODEL)[0])
    assert found["evaluated"] == folder.name
    assert found["versions"]["spacy"] == spacy.__version__
    assert found["labels"] == {
        label: {"p": score["p"], "r": score["r"], "f": score["f"], "entities": score["support"]}
        for label, score in metrics["labels"].items()
    }
    assert set(found["labels"]) == {"ORG", "PER"}


# ---- Label Studio


def studio(*texts, labels=("ORG", "PER"), config=None):
    """What Label Studio sends to /predict."""
    tasks = [{"id": number, "data": {"text": text}} for number, text in enumerate(texts)]
    return {"tasks": tasks, "label_config": config or interface(labels), "project": "7.1700000000", "params": {}}


@pytest.mark.parametrize("labels", [["ORG", "PER"], ["PER"], ["LOC", "ORG"]])
def test_label_studio_gets_the_spans_of_the_projects_labels_where_its_page_counts_them(server, nlp, labels):
    found = server.predict(studio(*TEXTS, labels=labels))["results"]
    assert len(found) == len(TEXTS)
    assert {one["model_version"] for one in found} == {
        server.ask("/setup", {"schema": interface(labels)})[1]["model_version"]
    }
    for text, one in zip(TEXTS, found, strict=True):
        expected = [span for span in spans_of(nlp(text)) if span["label"] in labels]
        values = [region["value"] for region in one["result"]]
        quotes = [text[value["start"] : value["end"]] for value in values]  # code points
        assert quotes == [value["text"] for value in values] == [text[span["start"] : span["end"]] for span in expected]
        assert [value["labels"] for value in values] == [[span["label"]] for span in expected]
        assert [region["score"] for region in one["result"]] == [span["probability"] for span in expected]
        assert {(region["from_name"], region["to_name"], region["type"]) for region in one["result"]} <= {
            ("label", "text", "labels")
        }
        assert one.get("score") == min((region["score"] for region in one["result"]), default=None)
    assert any(one["result"] for one in found)


def test_controls_texts_and_keys_are_those_of_the_interface(server):
    config = """<View>
      <Header value="$title"/>
      <Text name="head" value="$title"/><Text name="body" value="$article"/>
      <Labels name="firms" toName="body"><Label value="Firm" alias="ORG"/></Labels>
      <Labels name="people" toName="head,body"><Label value="PER"/></Labels>
      <Labels name="others" toName="body"><Label value="LOC"/></Labels>
    </View>"""
    tasks = [{"data": {"title": "IBM hired Ada number 1 .", "article": "IBM hired Ada number 2 ."}}]
    (found,) = server.predict({"tasks": tasks, "label_config": config})["results"]
    shown = [
        (one["from_name"], one["to_name"], *one["value"]["labels"], one["value"]["text"]) for one in found["result"]
    ]
    assert shown == [("firms", "body", "ORG", "IBM"), ("people", "head", "PER", "Ada")]
    assert len({one["id"] for one in found["result"]}) == 2


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><View><Text name="text" value="$text"/>&b;</View>'
)
URL = interface(["ORG"]).replace("$text", '$text" valueType="url')


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (interface(["LOC"]), "has no <Labels> of a <Text> with a label of the model: ORG, PER"),
        ("<View></View>", "has no <Labels>"),
        (URL, "has no <Labels>"),
        ("<View>", "damaged"),
        (BOMB, "DOCTYPE"),
    ],
)
def test_an_interface_that_the_model_has_no_spans_for_is_refused(server, config, said):
    for path, sent in (("/predict", studio("IBM", config=config)), ("/setup", {"schema": config})):
        status, found = server.ask(path, sent)
        assert status == 400
        assert said in found["error"]
        assert found["error"].startswith("label_config")


def test_a_task_without_its_text_is_refused(server):
    sent = studio("IBM") | {"tasks": [{"data": {"body": SECRET}}]}
    assert server.ask("/predict", sent) == (400, {"error": "tasks: no text in data.text of one"})


def test_health_is_up(server):
    assert server.ask("/health")[1]["status"] == "UP"


# ---- doccano


def test_the_documented_template_maps_an_answer_to_doccanos_labels(server, nlp):
    """As its auto-labeling-pipeline does: {{ text }} of the body is replaced, the template renders JSON of labels."""
    page = (ROOT / "docs/serving.md").read_text("utf8")
    template = re.search(r"```jinja\n(.*?)```", page, re.DOTALL)[1]
    assert '{"text": "{{ text }}"}' in page
    for text in TEXTS:
        labels = json.loads(jinja2.Template(template).render(input=server.predict({"text": text})))
        expected = [(span["start"], span["end"], span["label"]) for span in spans_of(nlp(text))]
        assert [(one["start_offset"], one["end_offset"], one["label"]) for one in labels] == expected


# ---- Requests that are refused


@pytest.mark.parametrize(
    ("path", "sent", "status", "said"),
    [
        ("/predict", b"{", 400, "no JSON"),
        ("/predict", b'{"text": "\xff"}', 400, "no JSON"),
        ("/predict", b'{"text": "\\ud800"}', 400, "no JSON"),
        ("/predict", b'{"tasks": [{"data": ' + b'{"a":' * 100_000, 400, "no JSON"),
        ("/predict", b"", 400, "no JSON"),
        ("/predict", {}, 400, "neither text nor texts nor tasks"),
        ("/predict", [SECRET], 400, "Expected `object`"),
        ("/predict", {"texts": SECRET}, 400, "$.texts"),
        ("/predict", {"texts": [SECRET, 7]}, 400, "$.texts[1]"),
        ("/predict", {"tasks": [{"data": SECRET}]}, 400, "$.tasks[0].data"),
        ("/predict", {"texts": [SECRET] * 1001}, 413, "1,001 texts"),
        ("/predict", {"text": SECRET * 20_000}, 413, "160,000 characters"),
        ("/predict", studio(*[SECRET] * 1001), 413, "1,001 tasks"),
        ("/predict", {"text": SECRET * 200_000}, 413, "more than 1 MB"),
        ("/predict", None, 405, "Method Not Allowed"),
        ("/version", {}, 405, "Method Not Allowed"),
        ("/elsewhere", None, 404, "Not Found"),
    ],
    ids=map(str, range(17)),
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_in_a_line_without_text(server, path, sent, status, said):
    found, answer = server.ask(path, sent)
    assert found == status
    assert said in answer["error"]
    assert "\n" not in answer["error"]
    assert SECRET not in answer["error"]


PROTECTED = [
    ("/version", None),
    ("/health", None),
    ("/predict", {"text": "IBM"}),
    ("/setup", {"schema": interface(["ORG"])}),
]
WRONG = ["", "Bearer", "Bearer s3cre", "s3cret", "Basic s3cret", "Basic \xfc", "Bearer \xfc", "Token s3cret"]


def test_a_token_is_demanded(project):
    def basic(password):
        return "Basic " + base64.b64encode(f"ada:{password}".encode()).decode()

    with served(project, token="s3cret") as server:
        for path, sent in PROTECTED:
            for right in ("Bearer s3cret", "bearer s3cret", basic("s3cret")):
                assert server.ask(path, sent, {"Authorization": right})[0] == 200
            for wrong in (*WRONG, basic("s3cre")):
                status, found = server.ask(path, sent, {"Authorization": wrong})
                assert status == 401
                assert "s3cre" not in found["error"]


def test_a_text_that_the_pipeline_fails_on_spoils_no_other_and_is_not_told(project, nlp):
    with served(project, "--max-mb", 20, "--max-characters", 10**7, expected="⚠ /predict: ValueError\n" * 3) as server:
        for _ in range(3):
            with ThreadPoolExecutor(4) as clients:
                fine = [clients.submit(server.predict, {"text": text}) for text in TEXTS[:2]]
                status, found = server.ask("/predict", {"text": f"{SECRET} " * 120_000})  # more than nlp.max_length
                assert (status, found) == (500, {"error": "the model failed (ValueError)"})
                assert [one.result()["spans"] for one in fine] == [spans_of(nlp(text)) for text in TEXTS[:2]]


# ---- Clients


def sent_raw(server, data):
    """A connection that has sent some bytes."""
    connection = socket.create_connection(server.place, timeout=60)
    connection.sendall(data)
    return connection


HALF = b'POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"texts": ["Ada'


def received(connection):
    """All that comes until the server ends the connection."""
    found = b""
    try:
        while chunk := connection.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


def test_slow_clients_are_ended_and_hold_nobody_up(project):
    with served(project, "--max-seconds", 1) as server:
        half_head, half_body, silent = (sent_raw(server, data) for data in (HALF[:30], HALF, b""))
        assert server.predict({"text": "IBM"})
        assert received(half_head) == received(silent) == b""
        answer = received(half_body)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "the body has not come in 1 s"}
        many = [sent_raw(server, b"GET") for _ in range(120)]  # more than it takes at a time
        for connection in many:
            received(connection)
        assert server.predict({"text": "IBM"})


def test_a_request_that_waits_too_long_is_answered_and_not_predicted(project):
    with served(project, "--max-seconds", 0.2) as server:
        large = {"texts": ["IBM hired Ada . " * 6000] * 10}
        status, found = server.ask("/predict", large)
        assert (status, found) == (503, {"error": "no prediction in 0.2 s: try again later"})
        assert server.ask("/health")[0] == 200


def test_killed_clients_leave_the_server_as_it_was(project, server):
    whole = json.dumps({"texts": TEXTS * 30}).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(whole)
    for _ in range(20):
        for data in (HALF, head + whole, HALF[:20]):
            sent_raw(server, data).close()
    assert len(server.predict({"texts": TEXTS})["results"]) == len(TEXTS)


def test_other_requests_are_answered_while_the_model_is_at_work(server):
    with ThreadPoolExecutor(1) as clients:
        large = clients.submit(server.predict, {"texts": ["IBM hired Ada . " * 60] * 1000})
        answers = [server.ask("/version")[0] for _ in range(3)]
        assert answers == [200] * 3
        assert not large.done()
        assert len(large.result()["results"]) == 1000


def test_many_clients_get_each_their_own_answers(server, nlp):
    texts = [f"Ada and IBM {'🙂' * (number % 4)} hired {number} times Ada IBM" for number in range(400)]
    expected = dict(zip(texts, map(spans_of, nlp.pipe(texts)), strict=True))
    wrong = []

    def client(first):
        for text in texts[first::20]:
            if server.predict({"text": text})["spans"] != expected[text]:
                wrong.append(text)
            (one,) = server.predict(studio(text))["results"]
            if len(one["result"]) != len(expected[text]):
                wrong.append(text)

    threads = [threading.Thread(target=client, args=[first]) for first in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell memory")
def test_memory_stays_flat(project):
    def predict_new_words(server, first):
        for number in range(first, first + 60):
            texts = [" ".join(f"w{number}x{one}y{each}" for each in range(20)) for one in range(50)]
            server.predict({"texts": texts})

    body = b"x" * 100_000_000
    with served(project) as server:
        predict_new_words(server, 0)
        before = server.memory("VmHWM")
        predict_new_words(server, 1000)
        predict_new_words(server, 2000)
        for _ in range(3):
            assert server.ask("/predict", body) == (413, {"error": "the body has more than 1 MB"})
            connection = sent_raw(server, b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
            connection.close()
        assert server.memory("VmHWM") < before + 20  # 120,000 new words would be twice that in the vocabulary


# ---- The step


def test_a_request_at_work_is_answered_when_the_server_is_stopped(project):
    with served(project) as server:
        connection = sent_raw(server, HALF)
        assert server.predict({"text": "IBM"})  # the half has arrived
        server.process.send_signal(signal.SIGTERM)
        rest = b' and IBM"]}'
        connection.sendall(rest + b" " * (1000 - len(rest) - len(b'{"texts": ["Ada')))
        assert received(connection).startswith(b"HTTP/1.1 200 ")
        server.process.wait(60)


def test_the_step_says_in_a_line_why_it_cannot_begin(project, tmp_path):
    assert "train a model first" in one_line(step(tmp_path, "scripts.serve", "--model", MODEL))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = one_line(step(project, "scripts.serve", "--model", MODEL, "--port", port))
        assert f"port {port}" in said
        assert "set --host or --port" in said
    assert "set --host or --port" in one_line(step(project, "scripts.serve", "--model", MODEL, "--port", 70_000))
    write_model(tmp_path / "training/ner", {"ORG": ["IBM"]})
    announce([tmp_path / "training/ner/seed-0"])
    assert "is of the training before" in one_line(step(tmp_path, "scripts.serve", "--model", MODEL))
