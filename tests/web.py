"""A small HTTP server on loopback, and what Label Studio and doccano answer, as far as the readers ask."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "s3cr3t-t0k3n"


class Answer:
    """What the server sends: a body that may be cut off, as by a connection that breaks."""

    def __init__(self, body=b"", status=200, headers=None, cut=0):
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.headers, self.cut = status, headers or {}, cut


@contextmanager
def serving(respond):
    """Run a server; respond gets method, path, query and what was sent, and returns an Answer or what is its JSON.

    YIELDS: The address, and a list of all requests so far: method, path and the header of authorization.
    """
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def respond(self):
            url = urlsplit(self.path)
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            requests.append((self.command, url.path, self.headers.get("Authorization")))
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            found = respond(self.command, url.path, query, json.loads(sent or b"null"))
            answer = found if isinstance(found, Answer) else Answer(found)
            self.send_response(answer.status)
            for name, value in {"Content-Length": len(answer.body), **answer.headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) - answer.cut])

        do_GET = do_POST = respond  # noqa: N815 (the library's names)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def label_studio(tasks, title="ORG", most=1000):
    """The API of a Label Studio with one project; most: tasks it gives at a time."""

    def respond(method, path, query, sent):
        if path == "/api/projects/":
            return {"results": [{"id": 7, "title": title}], "next": None}
        if path == "/api/projects/7/":
            return {"id": 7, "title": title, "task_number": len(tasks)}
        if path != "/api/tasks/" or query["project"] != "7":
            return Answer(status=404)
        asked = json.loads(query["query"])
        if "selectedItems" in asked:
            return {"tasks": [task for task in tasks if task["id"] in asked["selectedItems"]["included"]][:most]}
        after = asked["filters"]["items"][0]["value"]
        found = sorted((task for task in tasks if task["id"] > after), key=lambda task: task["id"])
        hidden = ("data", "annotations", "predictions")
        listed = [{key: value for key, value in task.items() if key not in hidden} for task in found]
        return {"tasks": listed[: min(most, int(query["page_size"]))]}

    return respond


def studio_task(number, text, spans, updated="2026-01-01T00:00:00Z", user=1):
    """A task with an annotation."""
    result = [
        {"type": "labels", "to_name": "text", "value": {"start": start, "end": end, "labels": [label]}}
        for start, end, label in spans
    ]
    annotation = {"id": number, "result": result, "completed_by": user, "created_ago": f"{id(result)} minutes"}
    return {
        "id": number, "updated_at": updated, "total_annotations": 1, "data": {"text": text}, "annotations": [annotation]
    }  # fmt: skip


def doccano(texts, labels=("LOC", "PER"), shared=False, name="ORG"):
    """The API of a doccano with one project. texts: text, spans, and whether it is confirmed, by number."""
    project = {"id": 7, "name": name, "collaborative_annotation": shared}
    fixed = {
        "/v1/me": {"id": 1, "username": "ada"},
        "/v1/projects": {"results": [project], "next": None},
        "/v1/projects/7": project,
        "/v1/projects/7/members": [{"user": 1, "username": "ada"}, {"user": 2, "username": "ben"}],
        "/v1/projects/7/span-types": [{"id": number, "text": label} for number, label in enumerate(labels, 10)],
    }

    def respond(method, path, query, sent):
        if path in fixed:
            return fixed[path]
        if path == "/v1/auth/login/":
            return {"key": "key"} if sent == {"username": "ada", "password": TOKEN} else Answer(status=400)
        if path.endswith("/spans"):
            _, spans, _ = texts.get(int(path.split("/")[-2]), ("", [], False))
            return [
                {"id": number, "start_offset": start, "end_offset": end, "label": 10 + labels.index(label), "user": 1}
                for number, (start, end, label) in enumerate(spans)
            ]
        first, number = int(query.get("offset", 0)), int(query["limit"])
        rows = [
            {"id": number, "text": text, "meta": {}, "is_confirmed": confirmed}
            for number, (text, _, confirmed) in texts.items()
        ]
        following = "yes" if first + number < len(rows) else None
        return {"count": len(rows), "results": rows[first : first + number], "next": following}

    return respond
