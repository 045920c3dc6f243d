"""HTTP APIs of annotation tools: retries, limits, errors that give no secret away, and copies of what was fetched.

A config has the beginning of the names of two environment variables, as LABEL_STUDIO: address and token are in
LABEL_STUDIO_URL and LABEL_STUDIO_TOKEN, and go into no other file, screen or message.
"""

from __future__ import annotations

import filecmp
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import msgspec

from scripts.core.errors import UserError
from scripts.core.files import BUFFER, exclusive, put, work_folder
from scripts.core.manifest import file_name

COPIES = "assets/annotations/.servers"
WAITS = (0.5, 2.0, 8.0)  # seconds before a request is repeated
TIMEOUT = 60.0  # seconds without a byte
_MOST_PATIENCE = 60.0  # seconds that a server can ask to wait for
_ATTEMPTS = 3  # at a project that others write to
_MAX_ANSWER = 2**28  # bytes
_BUSY, _FORBIDDEN = 429, 403
_NAMES = 20  # in a message
_FAULTS = {
    401: "does not accept the token; set {name}_TOKEN to a valid one",
    _FORBIDDEN: "does not accept the token, or its user may not do this; set {name}_TOKEN to one of a user who may",
    404: "has no such page (404); {name}_URL has to be the address of {tool} itself, as https://host:8080",
    413: "takes no request of this size (413); raise the limit of the server in front of it",
    _BUSY: "asks to come back later (429); run the step again when it is less busy",
}
_NO_API = "answers, but not as {tool} does; {name}_URL has to be the address of {tool} itself, as https://host:8080"
T = TypeVar("T")


class Forbidden(UserError):
    """A page that is not for the user of the token."""


class Shifted(Exception):
    """A list that others wrote to while it was read page by page."""


class _WebAnswer(NamedTuple):
    """An answer that was read whole; retry_after (str): The header."""

    status: int
    retry_after: str
    content: bytes

    def asked_wait(self) -> float:
        """Return the seconds that the server asks to wait for; 0 if it does not."""
        return min(float(self.retry_after), _MOST_PATIENCE) if self.retry_after.isdecimal() else 0.0


class Web:
    """The API of a tool. Requests that read are repeated where that may help; others may have arrived, and are not.

    name (str): The beginning of the names of the variables.
    tool (str): The name of the tool, for messages.
    authorize (Callable[[Web, str], str]): Makes the header of a token. It is asked again where a token has expired.
    token (str): Instead of that in the variable.
    """

    def __init__(self, name: str, tool: str, authorize: Callable[[Web, str], str], token: str = "") -> None:
        self.name, self.tool = name, tool
        self._authorize, self._token = authorize, token or variable(name, "TOKEN").strip()
        self._url = variable(name, "URL").strip().rstrip("/")
        try:
            import httpx

            address = httpx.URL(self._url)
        except ImportError:
            raise UserError(f"{tool} by its API needs: pip install -r requirements-servers.txt") from None
        except httpx.InvalidURL:
            address = httpx.URL()
        if address.scheme not in ("http", "https") or not address.host:
            raise UserError(f"{name}_URL: holds no address like https://host:8080")
        self._secrets = {self._url, address.host, *re.split(r"[:\s]", self._token), self._token}
        self._client = httpx.Client(timeout=httpx.Timeout(TIMEOUT, connect=10), headers={"Accept": "application/json"})
        self._header = ""

    def get(self, path: str, of: type[T], **params: Any) -> T:
        """Read a page. RAISES (UserError): If it cannot be had, or is of another type."""
        return self._decoded(lambda: self._send("GET", path, params=params), of, WAITS)

    def post(self, path: str, data: Any, of: type[T], is_anonymous: bool = False) -> T:
        """Send something, once: after an error nobody knows whether it has arrived.

        is_anonymous (bool): Whether no token goes with it, as to log in.
        """
        content = msgspec.json.encode(data)
        return self._decoded(lambda: self._send("POST", path, content=content, is_anonymous=is_anonymous), of, ())

    def failure(self, what: str, error: type[UserError] = UserError) -> UserError:
        """Return an error with the names of tool and variable, and without what is secret in its reason."""
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            what = what.replace(secret, "***")
        return error(f"{self.name}: {self.tool} {' '.join(what.split())}")

    def _decoded(self, send: Callable[[], _WebAnswer], of: type[T], waits: Iterable[float]) -> T:
        import httpx

        pending = [*waits]
        while True:
            wait = pending.pop(0) if pending else None
            try:
                answer = send()
            except (httpx.TransportError, httpx.DecodingError) as err:
                if wait is None:
                    raise self.failure(_reason(err)) from None
            else:
                if wait is None or (answer.status < 500 and answer.status != _BUSY):
                    return self._content(answer, of)
                wait = answer.asked_wait() or wait
            time.sleep(wait)

    def _send(self, method: str, path: str, is_anonymous: bool = False, **what: Any) -> _WebAnswer:
        if is_anonymous:
            answer = self._receive(method, path, "", **what)
            # As doccano answers a wrong password.
            return answer._replace(status=401) if answer.status == 400 else answer
        header = self._header or self._authorize(self, self._token)
        answer = self._receive(method, path, header, **what)
        if answer.status == 401 and (again := self._authorize(self, self._token)) != header:  # it has expired meanwhile
            header = again
            answer = self._receive(method, path, header, **what)
        self._header = header
        return answer

    def _receive(self, method: str, path: str, header: str, **what: Any) -> _WebAnswer:
        """Send a request and read the answer. RAISES (UserError): If it is larger than can be meant."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": header} if header else {})
        self._client.cookies.clear()  # with one of a session, Django asks for more than the token
        with self._client.stream(method, f"{self._url}/{path}", headers=headers, **what) as answer:
            content = bytearray()
            for part in answer.iter_bytes():
                content += part
                if len(content) > _MAX_ANSWER:
                    raise self.failure(f"answers with more than {_MAX_ANSWER // 2**20} MiB")
        return _WebAnswer(answer.status_code, answer.headers.get("Retry-After", ""), bytes(content))

    def _content(self, answer: _WebAnswer, of: type[T]) -> T:
        status = answer.status
        if 300 <= status < 400:
            raise self.failure(
                f"leads to another address ({status}); set {self.name}_URL to that, as https:// for http://"
            )
        if not 200 <= status < 300:
            what = "fails" if status >= 500 else "does not take the request"
            what = _FAULTS.get(status, f"{what} ({status})").format(name=self.name, tool=self.tool)
            raise self.failure(what, Forbidden if status == _FORBIDDEN else UserError)
        try:
            return msgspec.json.decode(answer.content, type=of)
        except (msgspec.DecodeError, UnicodeError):
            raise self.failure(_NO_API.format(name=self.name, tool=self.tool)) from None


def variable(name: str, ending: str) -> str:
    """Return what a variable holds. RAISES (UserError): If there is none, or the name may be a secret itself."""
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        raise UserError(
            "connection is the beginning of the names of two variables, as LABEL_STUDIO of LABEL_STUDIO_URL and "
            "LABEL_STUDIO_TOKEN, and never the URL or the token, which is a secret"
        )
    if not os.environ.get(f"{name}_{ending}", "").strip():
        raise UserError(
            f"{name}_{ending}: there is no such environment variable; an address is in {name}_URL, its token in "
            f"{name}_TOKEN"
        )
    return os.environ[f"{name}_{ending}"]


def _reason(err: Exception) -> str:
    """Return why there is no answer; of some libraries' errors, the message is that of the system."""
    import httpx

    if isinstance(err, httpx.TimeoutException):
        return "does not answer in time"
    broken = isinstance(err, (httpx.RemoteProtocolError, httpx.ReadError, httpx.DecodingError))
    return f"{'broke off its answer' if broken else 'cannot be reached'} ({err})"


def choose_project(web: Web, projects: Mapping[int, str], wanted: str | int) -> int:
    """Return the number of a project that is given by its number or name.

    projects (Mapping[int, str]): Names by number.
    RAISES (UserError): If there is none, or several have the name.
    """
    if isinstance(wanted, int) and wanted in projects:
        return wanted
    found = [number for number, name in projects.items() if name == wanted]
    if len(found) == 1:
        return found[0]
    names = sorted({*projects.values()})
    what = f"has no project {wanted!r}; there is {', '.join(map(repr, names[:_NAMES])) or 'none at all'}"
    if found:
        what = f"has several projects {wanted!r}; set project to the number of one: {', '.join(map(str, found))}"
    raise web.failure(what)


def names_or_numbers(projects: Mapping[int, str]) -> list[str | int]:
    """Return what tells each project: its name, or its number where several have the name."""
    names = [*projects.values()]
    return [name if names.count(name) == 1 else number for number, name in projects.items()]


# ---- Copies


@runtime_checkable
class OnServer(Protocol):
    """A source that reads the copy, at its path, of what it fetches from a server."""

    path: str

    def fetched(self) -> Iterator[bytes]:
        """Stream the lines of the new copy, which may be those of the present one."""


def copy_path(folder: str, connection: str, project: str | int) -> str:
    """Return the path of a project's copy, a JSON record a line."""
    separator = "#" if isinstance(project, int) else "-"
    return str(Path(folder) / file_name(f"{connection}{separator}{project}"))


def fetch(sources: Mapping[str, object]) -> None:
    """Bring the copies of sources that are on servers up to date, each once; one that did not change stays as it is.

    sources (Mapping[str, object]): All, by name.
    RAISES (UserError): If something cannot be fetched; its copy stays as it is.
    """
    for source in {one.path: one for one in sources.values() if isinstance(one, OnServer)}.values():
        place = Path(source.path)
        with exclusive(place.parent), work_folder(place.parent) as work:
            new = work / place.name
            new.touch(0o600)
            with new.open("wb", BUFFER) as file:
                _write(source, file)
                file.flush()
                os.fsync(file.fileno())
            if not place.exists() or not filecmp.cmp(new, place, shallow=False):
                put(new, place)


def _write(source: OnServer, file: IO[bytes]) -> None:
    for _ in range(_ATTEMPTS):
        try:
            file.writelines(source.fetched())
            return
        except Shifted:
            file.seek(0)
            file.truncate()
    raise UserError(
        f"{source.path}: the project was written to each time that it was read; run again when that is done"
    )
