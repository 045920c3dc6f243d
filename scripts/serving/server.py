"""A trained model over HTTP: spans of texts, Label Studio's ML backend, and requests as doccano's auto-labeling sends.

Texts are private and untrusted: none is logged or kept, and no error repeats one.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from socket import socket
from typing import Any, NamedTuple

import msgspec
import uvicorn
from spacy.language import Language
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from scripts.core.answers import Span
from scripts.core.errors import plain_console
from scripts.core.texts import input_hash
from scripts.exporting.label_studio import regions
from scripts.model.models import demand_finished, labels_of, load_model, model_digest, versions
from scripts.reporting.one_text import predictions
from scripts.scoring import runs
from scripts.sources.cas import parse_xml
from scripts.sources.documents import Unusable

_CONNECTIONS = 100  # at a time; more are answered with 503
_BATCH = 2**16  # characters of waiting requests that are predicted together; a larger request is predicted alone
_DIGITS = 4  # of probabilities
_STOPPING = 5  # seconds for requests that are at work when the server is stopped
Spans = list[tuple[Span, float | None]]  # of a text, with their probabilities, if the model has calibrated ones


class Limits(NamedTuple):
    """Of a request: its size, its texts, the characters of each; seconds for its body to come, and for the answer."""

    megabytes: float = 1.0
    texts: int = 1000
    characters: int = 100_000
    seconds: float = 30.0


class ServedModel(NamedTuple):
    """A model, and the answer of /version."""

    nlp: Language
    name: str  # run and digest
    labels: frozenset[str]
    about: dict[str, Any]


def load(path: Path, metrics: Path, run: str) -> ServedModel:
    """Load a model, and its scores if it was evaluated. RAISES (UserError): See `load_model`, `demand_finished`."""
    demand_finished(path)
    nlp = load_model(path)
    digest, _ = model_digest(path)
    about: dict[str, Any] = {"run": run, "digest": digest, "evaluated": None, "versions": versions()}
    about["labels"] = dict.fromkeys(sorted(labels_of(nlp.meta)))
    if found := runs.of_model(digest, metrics):
        scored, seed = found
        about["evaluated"] = scored.run.folder
        for label, score in scored.of_seed(seed).labels.items():
            about["labels"][label] = {"p": score.p, "r": score.r, "f": score.f, "entities": score.support}
    return ServedModel(nlp, f"{run} {digest[:8]}", labels_of(nlp.meta), about)


# ---- Prediction


class _Job(NamedTuple):
    texts: Sequence[str]
    found: asyncio.Future[list[Spans]]


class _Predictor:
    """Predicts in one thread, so that the event loop answers meanwhile; requests that wait are predicted together."""

    def __init__(self, nlp: Language) -> None:
        self._nlp = nlp
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[_Job] = []
        self._work: asyncio.Task[None] | None = None

    async def predict(self, texts: Sequence[str]) -> list[Spans]:
        """Return the spans of each text."""
        job = _Job(texts, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._predict_waiting())
        return await job.found

    async def _predict_waiting(self) -> None:
        while jobs := self._next_jobs():
            results = await asyncio.get_running_loop().run_in_executor(self._thread, self._predict, jobs)
            for job, result in zip(jobs, results, strict=True):
                if job.found.done():  # it waited too long
                    continue
                if isinstance(result, Exception):
                    job.found.set_exception(result)
                else:
                    job.found.set_result(result)

    def _next_jobs(self) -> list[_Job]:
        """Take one job at least, then as many as `_BATCH` allows; without those that nobody waits for any more."""
        waiting = [job for job in self._waiting if not job.found.done()]
        size, count = 0, 0
        while count < len(waiting) and (not count or size < _BATCH):
            size += sum(map(len, waiting[count].texts))
            count += 1
        self._waiting = waiting[count:]
        return waiting[:count]

    def _predict(self, jobs: Sequence[_Job]) -> list[list[Spans] | Exception]:
        """Predict the texts of some jobs. Where a text makes the pipeline fail, only its own job does."""
        try:
            with self._nlp.memory_zone():  # the words of texts are not kept
                docs = self._nlp.pipe(text for job in jobs for text in job.texts)
                found = ([(span, p and round(p, _DIGITS)) for span, p in predictions(doc)] for doc in docs)
                return [list(islice(found, len(job.texts))) for job in jobs]
        except Exception as err:  # whatever its components raise
            return [err] if len(jobs) == 1 else [result for job in jobs for result in self._predict([job])]


def _plain(spans: Spans) -> dict[str, Any]:
    return {"spans": [msgspec.to_builtins(span) | {"probability": probability} for span, probability in spans]}


# ---- Label Studio


class _TextLabels(NamedTuple):
    """A <Labels> of a labeling interface: its labels that the model has, its <Text>, and that one's key in the data."""

    from_name: str
    to_name: str
    key: str
    labels: frozenset[str]


def _controls(interface: str, labels: frozenset[str]) -> list[_TextLabels]:
    """Return the controls of an interface that have labels of the model. RAISES (NotAnswered): If there are none."""
    try:
        elements = list(parse_xml(interface.encode(), "label_config").iter())
    except Unusable as err:
        raise NotAnswered(400, str(err)) from err
    keys = {
        element.get("name", ""): element.get("value", "").removeprefix("$")
        for element in elements
        if element.tag == "Text" and element.get("valueType") != "url"
    }
    found = []
    for element in elements:
        own = labels.intersection(child.get("alias") or child.get("value") or "" for child in element.iter("Label"))
        shown = [name for name in element.get("toName", "").split(",") if name in keys]
        if element.tag == "Labels" and own and shown:
            found.append(_TextLabels(element.get("name", ""), shown[0], keys[shown[0]], own))
    if not found:
        some = ", ".join(sorted(labels))
        raise NotAnswered(400, f"label_config: has no <Labels> of a <Text> with a label of the model: {some}")
    return found


class _SentTask(msgspec.Struct):
    data: dict[str, Any]

    def text(self, key: str) -> str:
        """RAISES (NotAnswered): If there is none."""
        text = self.data.get(key)
        if not isinstance(text, str):
            raise NotAnswered(400, f"tasks: no text in data.{key} of one")
        return text


def _studio_prediction(task: _SentTask, controls: Sequence[_TextLabels], found: dict[str, Spans]) -> dict[str, Any]:
    """The prediction of a task. Its score is that of its least certain span."""
    result: list[dict[str, Any]] = []
    for control in controls:
        text = task.text(control.key)
        own = [(span, probability) for span, probability in found[text] if span.label in control.labels]
        spans = [span for span, _ in own]
        made = regions(text, input_hash(text), spans, control.from_name, control.to_name, len(result) + 1)
        result += [region | _score(probability) for region, (_, probability) in zip(made, own, strict=True)]
    return {"result": result} | _score(min((region["score"] for region in result if "score" in region), default=None))


def _score(probability: float | None) -> dict[str, float]:
    return {} if probability is None else {"score": probability}


# ---- Requests


class NotAnswered(Exception):
    """What stands against an answer: status, and a line that has no text in it."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


class _Asked(msgspec.Struct):
    """The body of /predict, with one of the first three, and of Label Studio's /setup."""

    text: str | None = None
    texts: list[str] | None = None
    tasks: list[_SentTask] | None = None
    label_config: str = ""
    schema: str = ""


class Service:
    """What the paths answer: `app` is an ASGI application."""

    def __init__(self, model: ServedModel, limits: Limits, token: str) -> None:
        self.model, self.limits, self._token = model, limits, token.encode()
        self._predictor = _Predictor(model.nlp)
        posts = {"/predict": self._predict, "/setup": self._setup}
        gets = {"/version": self._version, "/health": self._health}
        routes = [Route(path, self._answered(endpoint), methods=["POST"]) for path, endpoint in posts.items()]
        routes += [Route(path, self._answered(endpoint), methods=["GET"]) for path, endpoint in gets.items()]
        self.app = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})

    def _answered(self, endpoint: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
        """Let an endpoint answer in JSON, also if it fails."""

        async def answer(request: Request) -> Response:
            try:
                self._demand_token(request)
                return _json(200, await endpoint(request))
            except NotAnswered as err:
                return _json(err.status, {"error": err.message})
            except ClientDisconnect:
                return Response()  # to nobody
            except Exception as err:  # whatever components of the model raise; its message may have text in it
                plain_console(stderr=True).print(f"⚠ {request.url.path}: {type(err).__name__}", soft_wrap=True)
                return _json(500, {"error": f"the model failed ({type(err).__name__})"})

        return answer

    def _demand_token(self, request: Request) -> None:
        """RAISES (NotAnswered): If the token is neither a bearer token nor the password of basic authentication."""
        kind, _, sent = request.headers.get("authorization", "").partition(" ")
        given = sent.strip().encode() if kind.lower() == "bearer" else b""
        if kind.lower() == "basic":
            with suppress(ValueError):
                given = base64.b64decode(sent, validate=True).partition(b":")[2]
        if not hmac.compare_digest(given, self._token) and self._token:
            raise NotAnswered(401, "the token is missing or wrong: send it as a bearer token, or as a password")

    async def _asked(self, request: Request) -> _Asked:
        """Read and decode a body. RAISES (NotAnswered): If it is too large, too slow, or no such JSON."""
        try:
            return msgspec.json.decode(await asyncio.wait_for(self._body(request), self.limits.seconds), type=_Asked)
        except asyncio.TimeoutError as err:
            raise NotAnswered(408, f"the body has not come in {self.limits.seconds:g} s") from err
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
            reason = str(err) if isinstance(err, msgspec.ValidationError) else "is no JSON"
            raise NotAnswered(400, f"the body: {reason}") from err

    async def _body(self, request: Request) -> bytearray:
        """Read a body. RAISES (NotAnswered): If it is too large: before it is sent, if the client waits for that."""
        body, most = bytearray(), self.limits.megabytes * 2**20
        is_announced = int(request.headers.get("content-length", 0)) > most
        if not (is_announced and "expect" in request.headers):
            async for chunk in request.stream():
                # Read to its end, but not kept: who sends on while the answer comes may never see it.
                body += chunk if len(body) <= most else b""
        if is_announced or len(body) > most:
            raise NotAnswered(413, f"the body has more than {self.limits.megabytes:g} MB")
        return body

    async def _predict(self, request: Request) -> dict[str, Any]:
        asked = await self._asked(request)
        version = {"model_version": self.model.name}
        if asked.tasks is not None:
            return {"results": [made | version for made in await self._predict_tasks(asked.tasks, asked.label_config)]}
        if asked.texts is not None:
            return version | {"results": list(map(_plain, await self._spans(asked.texts)))}
        if asked.text is not None:
            return version | _plain((await self._spans([asked.text]))[0])
        raise NotAnswered(400, "the body: has neither text nor texts nor tasks")

    async def _predict_tasks(self, tasks: Sequence[_SentTask], interface: str) -> list[dict[str, Any]]:
        controls = _controls(interface, self.model.labels)
        texts = [task.text(control.key) for task in tasks for control in controls]
        if sum(map(len, texts)) > self.limits.megabytes * 2**20 or len(texts) > self.limits.texts:
            raise NotAnswered(413, f"{len(tasks):,} tasks for {len(controls)} <Labels>: too many or too long")
        unique = list(dict.fromkeys(texts))
        found = dict(zip(unique, await self._spans(unique), strict=True))
        return [_studio_prediction(task, controls, found) for task in tasks]

    async def _spans(self, texts: Sequence[str]) -> list[Spans]:
        """Predict the spans of each text. RAISES (NotAnswered): If texts are too many or long, or wait too long."""
        if len(texts) > self.limits.texts:
            raise NotAnswered(413, f"{len(texts):,} texts: more than {self.limits.texts:,}")
        if (longest := max(map(len, texts), default=0)) > self.limits.characters:
            raise NotAnswered(413, f"a text of {longest:,} characters: more than {self.limits.characters:,}")
        try:
            return await asyncio.wait_for(self._predictor.predict(texts), self.limits.seconds)
        except asyncio.TimeoutError as err:
            raise NotAnswered(503, f"no prediction in {self.limits.seconds:g} s: try again later") from err

    async def _setup(self, request: Request) -> dict[str, str]:
        _controls((await self._asked(request)).schema, self.model.labels)
        return {"model_version": self.model.name}

    async def _version(self, request: Request) -> dict[str, Any]:
        return self.model.about

    async def _health(self, request: Request) -> dict[str, str]:
        return {"status": "UP", "model_class": "labelwise"}


def _json(status: int, found: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(found) + b"\n", status, media_type="application/json")


async def _http_error(request: Request, err: Exception) -> Response:
    assert isinstance(err, HTTPException)
    return _json(err.status_code, {"error": err.detail})


# ---- The server


def serve(service: Service, listener: socket) -> None:
    """Answer requests until a signal stops it; those at work are answered before, within some seconds."""
    seconds = service.limits.seconds

    class Protocol(H11Protocol):
        """Ends connections whose client sends no whole head, or does not read: uvicorn would wait for ever."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.loop.call_later(seconds, self._end_if_idle, None)

        def _end_if_idle(self, before: object) -> None:
            if self.cycle is before and (before is None or self.cycle.response_complete):
                self.transport.abort()
            elif not self.transport.is_closing():
                self.loop.call_later(seconds, self._end_if_idle, self.cycle)

    config = uvicorn.Config(
        service.app, http=Protocol, ws="none", lifespan="off", loop="asyncio", log_config=None, log_level="critical",
        access_log=False, proxy_headers=False, server_header=False, limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_STOPPING,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])
