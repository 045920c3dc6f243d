"""The real Label Studio and the real doccano: tasks go up, are answered through the tools' APIs, and come back."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request

import msgspec
import pytest

from scripts import functions  # noqa: F401 (label heads are registered)
from scripts.core.answers import GoldText
from scripts.exporting.label_studio import interface
from tests import doccano, label_studio
from tests.prodigy import line, task, write_database
from tests.project import CONFIG, ROOT, TRAINING, run, succeed
from tests.test_queue import prepare, teach
from tests.test_serve import served
from tests.web import Answer, serving

pytest.importorskip("httpx", reason="pip install -r requirements-servers.txt")

FIRMS = ["IBM", "Acme", "Globex", "Initech", "Umbrella", "Hooli"]
MANY = int(os.environ.get("LABELWISE_TASKS", "3000"))  # of the project that is large; 20000 takes some minutes
PUSHED = 200
_words = random.Random(7)
WORDS = ["".join(_words.choices("abcdefghijklmnop", k=6)) for _ in range(400)]


def sentence(number):
    words = _words.sample(WORDS, 14)
    words[3] = "👍🏽" if number % 5 == 0 else words[3]
    words[5] = "one\r\nline" if number % 7 == 0 else words[5]
    words[8] = FIRMS[number % 6] if number % 3 else words[8]
    return f"Ada {' '.join(words)} ."


TEXTS = [sentence(number) for number in range(300)]


def firms(text):
    """The spans that are right."""
    return [(match.start(), match.end(), "ORG") for match in re.finditer("|".join(FIRMS), text)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project in which ORG is annotated in some texts, with a model."""
    folder = tmp_path_factory.mktemp("made")
    write_database(folder / "prodigy.db", {"org_2024": [task(text, firms(text)) for text in TEXTS[:40]]})
    (folder / "per.jsonl").write_text("\n".join(line(task(text, [(0, 3, "PER")])) for text in TEXTS))
    config = CONFIG.replace("dev = 0.2\ntest = 0.2", "dev = 0.03\ntest = 0.03")
    (folder / "datasets.cfg").write_text(config)
    (folder / "training.cfg").write_text(TRAINING)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare(folder)
        teach(folder, 0)
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it, in which a test works."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """Label Studio with two users."""
    program = label_studio.executable()
    if program is None:
        pytest.skip("Label Studio is not installed (or set LABELWISE_LABEL_STUDIO to its executable)")
    with label_studio.running(program, tmp_path_factory.mktemp("studio")) as call:
        call.ben = call("POST", "/api/users/", {"email": "ben@example.com", "username": "ben"})["id"]
        yield call


@pytest.fixture(scope="module")
def shared_doccano(tmp_path_factory):
    """doccano with two users."""
    program = doccano.executable()
    if program is None:
        pytest.skip("doccano is not installed (or set LABELWISE_DOCCANO to its executable)")
    with doccano.running(program, tmp_path_factory.mktemp("doccano")) as call:
        user = {"username": "ben", "password1": doccano.PASSWORD, "password2": doccano.PASSWORD}
        call.ben = call("ada", "POST", "/v1/users/create", user)["id"]
        yield call


def connect(monkeypatch, name, url, token):
    monkeypatch.setenv(f"{name}_URL", url)
    monkeypatch.setenv(f"{name}_TOKEN", token)


def push(folder, tool, *options):
    """Queue tasks to a tool; what the step says."""
    fixed = ["datasets.cfg", "training.cfg", "--label", "ORG", "--models", "training/ner", "--queue.push", tool]
    return succeed(folder, "queue", *fixed, "--limit", PUSHED, *options)


def merged(folder):
    """Pull and merge. RETURNS: The gold by text, and what pull says."""
    said = succeed(folder, "pull")
    succeed(folder, "merge")
    lines = (folder / "corpus/gold.jsonl").read_bytes().splitlines()
    return {text.text: text for text in (msgspec.json.decode(line, type=GoldText) for line in lines)}, said


def assert_answers(gold, asked, answered):
    """What was answered is covered, with these spans; what was not, is not."""
    for text in asked:
        assert ("ORG" in gold[text].covered) == (text in answered), text
        if text in answered:
            found = [(span.start, span.end, span.label) for span in gold[text].spans if span.label == "ORG"]
            assert found == answered[text]
            assert any(span.label == "PER" for span in gold[text].spans)
    assert sum(map(bool, answered.values())) > 50
    assert any("👍" in text for text in answered)
    assert any("\r\n" in text for text in answered)


def results(text, spans):
    """Spans as Label Studio's page sends them."""
    return [
        {"id": f"r{start}", "from_name": "label", "to_name": "text", "type": "labels",
         "value": {"start": start, "end": end, "text": text[start:end], "labels": [label]}}
        for start, end, label in spans
    ]  # fmt: skip


def answer_in_studio(call, tasks):
    """Answer as two annotators would. RETURNS: The spans of what is answered in the end, by text."""
    answered = {}

    def submit(found, user=1, spans=None, **more):
        text = found["data"]["text"]
        result = results(text, firms(text) if spans is None else spans)
        sent = {"result": result, "completed_by": user, **more}
        return call("POST", f"/api/tasks/{found['id']}/annotations/", sent)["id"]

    def correct(found):
        annotation = submit(found, spans=[(0, 3, "ORG")])
        text = found["data"]["text"]
        call("PATCH", f"/api/annotations/{annotation}/", {"result": results(text, firms(text))})

    ways = [
        lambda found: submit(found),
        lambda found: submit(found, user=call.ben),
        lambda found: [submit(found), submit(found, user=call.ben)],
        correct,
        lambda found: [submit(found, user=call.ben, was_cancelled=True, spans=[]), submit(found)],
        lambda found: submit(found, was_cancelled=True),
        lambda found: call("DELETE", f"/api/annotations/{submit(found)}/"),
        lambda found: None,  # a prediction is no answer
    ]
    for number, found in enumerate(tasks):
        ways[number % len(ways)](found)
        if number % len(ways) < 5:
            answered[found["data"]["text"]] = firms(found["data"]["text"])
    gone = tasks[8]
    call("DELETE", f"/api/tasks/{gone['id']}/")
    del answered[gone["data"]["text"]]
    return answered


def studio_tasks(call, title="ORG"):
    (number,) = [one["id"] for one in call("GET", "/api/projects/")["results"] if one["title"] == title]
    return call("GET", f"/api/tasks/?project={number}&page_size=1000&fields=all")["tasks"]


def test_label_studio_from_the_queue_to_the_gold(studio, project, monkeypatch):
    connect(monkeypatch, "LABEL_STUDIO", studio.url, label_studio.TOKEN)
    said = push(project, "label_studio")
    assert f"Label Studio, project ORG: {PUSHED} tasks pushed" in said
    assert "[datasets.org_label_studio] is new in the config" in said
    tasks = studio_tasks(studio)
    assert len(tasks) == PUSHED == len({found["data"]["text"] for found in tasks})
    assert not any(found["annotations"] for found in tasks)
    predictions = [prediction for found in tasks for prediction in found["predictions"]]
    assert len(predictions) == PUSHED
    assert {bool(re.fullmatch("ner [0-9a-f]{8}", one["model_version"])) for one in predictions} == {True}
    assert all(0 < one["score"] <= 1 for one in predictions)
    for found in tasks:  # where the words are
        text = found["data"]["text"]
        for value in (result["value"] for one in found["predictions"] for result in one["result"]):
            assert text[value["start"] : value["end"]] == value["text"]
    assert any(one["result"] for one in predictions)

    # What was pushed is not pushed again, also if the queue is not noted here.
    (project / "queues").rename(project / "elsewhere")
    assert f"project ORG: 0 tasks pushed, {PUSHED} were there already" in push(project, "label_studio")
    assert len(studio_tasks(studio)) == PUSHED

    answered = answer_in_studio(studio, tasks)
    gold, _ = merged(project)
    assert_answers(gold, [found["data"]["text"] for found in tasks], answered)

    # A second pull lists all, and fetches what changed.
    fetched = []

    def forward(method, path, query, sent):
        selected = json.loads(query.get("query", "{}")).get("selectedItems", {})
        fetched.extend(selected.get("included", []))
        headers = {"Authorization": f"Token {label_studio.TOKEN}"}
        address = f"{studio.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as found:
            return json.loads(found.read())

    unanswered, changed, skipped = tasks[7], tasks[16], tasks[24]
    studio("POST", f"/api/tasks/{unanswered['id']}/annotations/",
           {"result": results(unanswered["data"]["text"], firms(unanswered["data"]["text"]))})  # fmt: skip
    studio("DELETE", f"/api/annotations/{studio_annotation(studio, changed)}/")
    studio("PATCH", f"/api/annotations/{studio_annotation(studio, skipped)}/", {"was_cancelled": True})
    with serving(forward) as (url, _):
        connect(monkeypatch, "LABEL_STUDIO", url, label_studio.TOKEN)
        gold, _ = merged(project)
        assert sorted(fetched) == sorted(found["id"] for found in (unanswered, changed, skipped))
        fetched.clear()
        assert "3 datasets, 3 unchanged" in merged(project)[1]
        assert fetched == []
    answered[unanswered["data"]["text"]] = firms(unanswered["data"]["text"])
    del answered[changed["data"]["text"]], answered[skipped["data"]["text"]]
    assert_answers(gold, [found["data"]["text"] for found in tasks], answered)

    # The same bytes as of a full pull.
    connect(monkeypatch, "LABEL_STUDIO", studio.url, label_studio.TOKEN)
    copies = project / "assets/annotations/.servers"
    before = {path.name: path.read_bytes() for path in copies.glob("*.jsonl")}
    for path in copies.glob("*.jsonl"):
        path.unlink()
    succeed(project, "pull")
    assert {path.name: path.read_bytes() for path in copies.glob("*.jsonl")} == before


def test_a_push_that_breaks_off_is_completed_by_the_next_one(studio, project, monkeypatch):
    imports = []

    def forward(method, path, query, sent):
        """As a connection that breaks when the second request has arrived, before its answer."""
        headers = {"Authorization": f"Token {label_studio.TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{studio.url}{path}?{urllib.parse.urlencode(query)}", headers=headers)
        request.method, request.data = method, json.dumps(sent).encode() if sent is not None else None
        with urllib.request.urlopen(request) as found:
            answer = found.read()
        imports.extend([path] * path.endswith("/import"))
        return Answer(answer, cut=5 if len(imports) == 2 else 0)

    options = ["--queue.project", "Broken"]
    with serving(forward) as (url, _):
        connect(monkeypatch, "LABEL_STUDIO", url, label_studio.TOKEN)
        fixed = ["datasets.cfg", "training.cfg", "--label", "ORG", "--models", "training/ner", "--limit", "150"]
        done = run(project, "queue", *fixed, "--queue.push", "label_studio", *options)
    assert done.returncode == 1
    assert "LABEL_STUDIO: Label Studio broke off its answer" in done.stderr
    assert not list(project.glob("queues/ORG/*"))
    assert "Broken" not in (project / "datasets.cfg").read_text()
    connect(monkeypatch, "LABEL_STUDIO", studio.url, label_studio.TOKEN)
    assert "project Broken: 50 tasks pushed, 150 were there already" in push(project, "label_studio", *options)
    texts = [found["data"]["text"] for found in studio_tasks(studio, "Broken")]
    assert len(texts) == len(set(texts)) == PUSHED


def studio_annotation(call, found):
    return call("GET", f"/api/tasks/{found['id']}/")["annotations"][0]["id"]


def test_a_wrong_token_and_a_project_without_the_label(studio, project, monkeypatch):
    connect(monkeypatch, "LABEL_STUDIO", studio.url, "0" * 40)
    fixed = ["datasets.cfg", "training.cfg", "--label", "ORG", "--models", "training/ner"]
    options = ["--queue.push", "label_studio", "--queue.project", "Other"]
    done = run(project, "queue", *fixed, *options)
    assert done.stderr == (
        "✘ LABEL_STUDIO: Label Studio does not accept the token; set LABEL_STUDIO_TOKEN to a valid one\n"
    )
    connect(monkeypatch, "LABEL_STUDIO", studio.url, label_studio.TOKEN)
    other = '<View><Labels name="l" toName="t"><Label value="X"/></Labels><Text name="t" value="$body"/></View>'
    studio("POST", "/api/projects/", {"title": "Other", "label_config": other})
    done = run(project, "queue", *fixed, *options)
    assert "has no <Labels> with ORG for a <Text> in project 'Other'" in done.stderr
    assert not (project / "queues/ORG").exists()


def test_a_large_project_of_label_studio_is_pulled_in_flat_memory(studio, tmp_path, monkeypatch):
    connect(monkeypatch, "LABEL_STUDIO", studio.url, label_studio.TOKEN)
    peaks = []
    for number in (100, MANY):
        title = f"Large {number}"
        project = studio("POST", "/api/projects/", {"title": title, "label_config": interface(["ORG"])})["id"]
        for first in range(0, number, 500):
            texts = [f"{one} IBM " + "word " * 1000 for one in range(first, min(first + 500, number))]
            tasks = [
                {"data": {"text": text}, "annotations": [{"result": results(text, firms(text))}]} for text in texts
            ]
            studio("POST", f"/api/projects/{project}/import", tasks)
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "datasets.cfg").write_text(
            f'[datasets]\n\n[datasets.org]\n@readers = "labelwise.LabelStudioServer.v1"\nproject = "{title}"\n'
            'labels = ["ORG"]\n'
        )
        done = run(folder, "pull")
        assert done.returncode == 0, done.stderr
        answers = (folder / "annotations/org.jsonl").read_bytes()
        assert answers.count(b"\n") == number
        assert answers.count(b'"label":"ORG"') == number
        peaks.append(int(re.search(r"([\d,]+) MB", done.stdout)[1].replace(",", "")))
    assert peaks[1] < peaks[0] + 60


def answer_in_doccano(call, project, texts):
    """Answer as two annotators would. RETURNS: The spans of what is confirmed in the end, by text."""
    (label,) = call("ada", "GET", f"/v1/projects/{project}/span-types")
    answered = {}

    def mark(user, found, spans):
        for start, end, _ in spans:
            span = {"label": label["id"], "start_offset": start, "end_offset": end}
            call(user, "POST", f"/v1/projects/{project}/examples/{found['id']}/spans", span)

    for number, found in enumerate(texts):
        user, place = ("ada", "ben")[number % 2], f"/v1/projects/{project}/examples/{found['id']}"
        way = number // 2 % 4
        if way == 1:  # corrected by the other
            mark("ben", found, [(0, 3, "ORG")])
            (wrong,) = call("ada", "GET", f"{place}/spans")
            call("ada", "DELETE", f"{place}/spans/{wrong['id']}")
        if way < 3:
            mark(user, found, firms(found["text"]))
        if way < 2:  # with spans or without
            call(user, "POST", f"{place}/states")
            answered[found["text"]] = firms(found["text"])
    gone = texts[0]
    call("ada", "DELETE", f"/v1/projects/{project}/examples/{gone['id']}")
    del answered[gone["text"]]
    return answered


def test_doccano_from_the_queue_to_the_gold(shared_doccano, project, monkeypatch):
    call = shared_doccano
    connect(monkeypatch, "DOCCANO", call.url, f"ada:{doccano.PASSWORD}")
    said = push(project, "doccano")
    assert f"doccano, project ORG: {PUSHED} tasks pushed" in said
    assert "[datasets.org_doccano] is new in the config" in said
    (found,) = [one for one in call("ada", "GET", "/v1/projects")["results"] if one["name"] == "ORG"]
    number = found["id"]
    call("ada", "POST", f"/v1/projects/{number}/members", {"user": call.ben, "role": 2})
    texts = call("ada", "GET", f"/v1/projects/{number}/examples?limit=1000")["results"]
    assert len(texts) == PUSHED == len({one["text"] for one in texts})
    assert call("ada", "GET", f"/v1/projects/{number}/examples/{texts[0]['id']}/spans") == []

    (project / "queues").rename(project / "elsewhere")
    assert f"project ORG: 0 tasks pushed, {PUSHED} were there already" in push(project, "doccano")

    answered = answer_in_doccano(call, number, texts)
    gold, _ = merged(project)
    assert_answers(gold, [one["text"] for one in texts], answered)
    assert "3 datasets, 3 unchanged" in merged(project)[1]
    answers = [json.loads(line) for line in (project / "annotations/org_doccano.jsonl").read_bytes().splitlines()]
    assert {answer["annotator"] for answer in answers} == {"ada", "ben", ""}


def test_spans_that_are_pushed_to_doccano_are_answers_once_they_are_confirmed(shared_doccano, project, monkeypatch):
    call = shared_doccano
    connect(monkeypatch, "DOCCANO", call.url, f"ada:{doccano.PASSWORD}")
    push(project, "doccano", "--prefill", "model", "--queue.project", "Prefilled")
    (found,) = [one for one in call("ada", "GET", "/v1/projects")["results"] if one["name"] == "Prefilled"]
    texts = call("ada", "GET", f"/v1/projects/{found['id']}/examples?limit=1000")["results"]
    spans = {one["text"]: call("ada", "GET", f"/v1/projects/{found['id']}/examples/{one['id']}/spans") for one in texts}
    filled = [one for one in texts if spans[one["text"]]]
    assert len(filled) > 20
    for one in filled[:5]:
        call("ada", "POST", f"/v1/projects/{found['id']}/examples/{one['id']}/states")
    gold, _ = merged(project)
    covered = [one["text"] for one in texts if "ORG" in gold[one["text"]].covered]
    assert sorted(covered) == sorted(one["text"] for one in filled[:5])
    for text in covered:
        pushed = [(span["start_offset"], span["end_offset"]) for span in spans[text]]
        assert sorted(pushed) == [(span.start, span.end) for span in gold[text].spans if span.label == "ORG"]


def test_users_who_do_not_share_a_project_of_doccano(shared_doccano, tmp_path, monkeypatch):
    call = shared_doccano
    new = {"name": "Apart", "description": "x", "project_type": "SequenceLabeling",
           "resourcetype": "SequenceLabelingProject"}  # fmt: skip
    number = call("ada", "POST", "/v1/projects", new)["id"]
    call("ada", "POST", f"/v1/projects/{number}/members", {"user": call.ben, "role": 2})
    label = call("ada", "POST", f"/v1/projects/{number}/span-types", {"text": "ORG"})["id"]
    text = call("ada", "POST", f"/v1/projects/{number}/examples", {"text": "IBM hired Acme .", "meta": {}})["id"]
    for user, start, end in (("ada", 0, 3), ("ben", 10, 14)):
        span = {"label": label, "start_offset": start, "end_offset": end}
        call(user, "POST", f"/v1/projects/{number}/examples/{text}/spans", span)
    (tmp_path / "datasets.cfg").write_text(
        '[datasets]\n\n[datasets.org]\n@readers = "labelwise.DoccanoServer.v1"\nproject = "Apart"\nlabels = ["ORG"]\n'
    )
    connect(monkeypatch, "DOCCANO", call.url, f"ada:{doccano.PASSWORD}\nben:{doccano.PASSWORD}")
    succeed(tmp_path, "pull")
    answers = [json.loads(line) for line in (tmp_path / "annotations/org.jsonl").read_bytes().splitlines()]
    assert {answer["annotator"]: answer["spans"] for answer in answers} == {
        "ada": [{"start": 0, "end": 3, "label": "ORG"}], "ben": [{"start": 10, "end": 14, "label": "ORG"}]
    }  # fmt: skip


# ---- The model in the tools


def predicted(server, text, labels):
    """What the server says about a text: spans of these labels, in code points."""
    spans = server.predict({"text": text}, headers={"Authorization": "Bearer s3cret"})["spans"]
    return [(span["start"], span["end"], span["label"]) for span in spans if span["label"] in labels]


@pytest.mark.parametrize("labels", [["ORG", "PER"], ["ORG"]], ids=len)
def test_label_studio_shows_what_serve_predicts_when_a_task_is_opened(studio, project, labels):
    title = f"Served {len(labels)}"
    number = studio("POST", "/api/projects/", {"title": title, "label_config": interface(labels)})["id"]
    studio("POST", f"/api/projects/{number}/import", [{"data": {"text": text}} for text in TEXTS[40:60]])
    connection = {"project": number, "title": "labelwise", "auth_method": "BASIC_AUTH", "basic_auth_user": "any"}
    with served(project, token="s3cret") as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            studio("POST", "/api/ml", connection | {"url": server.url, "basic_auth_pass": "wrong"})
        assert b"authentication parameters were either not provided or are incorrect" in caught.value.read()
        studio("POST", "/api/ml", connection | {"url": server.url, "basic_auth_pass": "s3cret"})
        seen = 0
        for one in studio_tasks(studio, title):
            opened = studio("GET", f"/api/tasks/{one['id']}/?project={number}")
            text = opened["data"]["text"]
            (prediction,) = opened["predictions"]
            assert prediction["model_version"].startswith("ner ")
            assert prediction["result"] == [
                shown | {key: value for key, value in found.items() if key in ("id", "score")}
                for found, shown in zip(
                    prediction["result"], results(text, predicted(server, text, labels)), strict=True
                )
            ]
            assert prediction["score"] == min((one["score"] for one in prediction["result"]), default=None)
            seen += len(prediction["result"])
        assert seen > 10


def test_doccano_writes_what_serve_predicts_by_the_documented_template(shared_doccano, project):
    call = shared_doccano
    new = {"name": "Served", "description": "Served", "project_type": "SequenceLabeling"}
    number = call("ada", "POST", "/v1/projects", new | {"resourcetype": "SequenceLabelingProject"})["id"]
    place = f"/v1/projects/{number}"
    names = {call("ada", "POST", f"{place}/span-types", {"text": label})["id"]: label for label in ("ORG", "PER")}
    template = re.search(r"```jinja\n(.*?)```", (ROOT / "docs/serving.md").read_text("utf8"), re.DOTALL)[1]
    texts = [text for text in TEXTS[40:60] if text == text.strip()]
    with served(project, token="s3cret") as server:
        asked = {"url": f"{server.url}/predict", "method": "POST", "params": {}, "body": {"text": "{{ text }}"}}
        asked["headers"] = {"Authorization": "Bearer s3cret"}
        config = {"model_name": "Custom REST Request", "model_attrs": asked, "template": template, "task_type": "Span"}
        call("ada", "POST", f"{place}/auto-labeling/configs", config | {"label_mapping": {}})
        seen = 0
        for text in texts:
            example = call("ada", "POST", f"{place}/examples", {"text": text, "meta": {}})["id"]
            call("ada", "POST", f"{place}/auto-labeling?example={example}", {})
            spans = call("ada", "GET", f"{place}/examples/{example}/spans")
            found = sorted((span["start_offset"], span["end_offset"], names[span["label"]]) for span in spans)
            assert found == predicted(server, text, ("ORG", "PER"))
            seen += len(found)
        assert seen > 10
