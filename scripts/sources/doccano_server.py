"""doccano by its API: a copy of a project, which is fetched whole, since doccano does not tell what has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from scripts.core.settings import registry
from scripts.core.workers import with_progress
from scripts.sources.doccano import Doccano
from scripts.sources.documents import Document, WithoutSpans
from scripts.sources.offsets import Offsets
from scripts.sources.source import Intake
from scripts.sources.web import COPIES, Forbidden, Shifted, Web, choose_project, copy_path, names_or_numbers, variable

TOOL = "doccano"
T = TypeVar("T")
_PAGE = 200  # texts, or projects
_ORDER = "created_at"  # in a project with a random order, too


@registry.readers("labelwise.DoccanoServer.v1")
def doccano_server(
    project: str | int,
    labels: list[str],
    connection: str = "DOCCANO",
    only_confirmed: bool = False,
    without_spans: WithoutSpans = "unannotated",
    offsets: Offsets = "auto",
    users: Literal["auto", "one", "each"] = "auto",
    annotator: str = "",
    folder: str = COPIES,
) -> DoccanoServer:
    """Read a project of a doccano server as its export is read. `pull` reads all of its texts, and the spans of each. A
    text that somebody has confirmed (✓) is annotated, even without spans. It needs `pip install -r
    requirements-servers.txt`.

    project (str | int): Its name, or its number.
    connection (str): The beginning of the names of two environment variables: for "DOCCANO", the address is in
        DOCCANO_URL, and a token, or a user's name and password as in "ada:secret", in DOCCANO_TOKEN. Neither is ever
        in this file. Unless its users share the project, each sees no spans but their own: DOCCANO_TOKEN then has
        those of all, a line each.
    only_confirmed (bool): Whether texts that nobody has confirmed are no answers, whatever spans they have.
    without_spans, offsets, users: See `labelwise.Doccano.v1`.
    folder (str): For the copy of what was fetched.
    """
    path = copy_path(folder, connection, project)
    return DoccanoServer(
        path=path, labels=labels, without_spans=without_spans, offsets=offsets, users=users, annotator=annotator,
        connection=connection, project=project, only_confirmed=only_confirmed,
    )  # fmt: skip


class DoccanoServer(Doccano, frozen=True, kw_only=True):
    """See `doccano_server`."""

    connection: str
    project: str | int
    only_confirmed: bool = False

    def datasets(self) -> list[str | int]:
        """The projects, by name, or by number where several have a name."""
        return names_or_numbers(next(apis(self.connection)).projects())

    def fetched(self) -> Iterator[bytes]:
        """Stream the texts, those of a project that is not shared once for each user."""
        for api in apis(self.connection):
            project = choose_project(api.web, api.projects(), self.project)
            is_shared = api.web.get(f"v1/projects/{project}", DoccanoRow).collaborative_annotation
            for record in api.records(project, is_shared, f"Fetching {self.project}"):
                yield _encode(record) + b"\n"
            if is_shared:  # all see the same
                return

    def _documents(self, record: dict[str, Any], user: str, intake: Intake) -> Sequence[Document]:
        documents = super()._documents(record, user, intake)
        if self.only_confirmed and not record.get("annotation_approver"):
            return [replace(document, no_answer="text that nobody has confirmed") for document in documents]
        return documents


class DoccanoApi:
    """The API of a doccano, for one of its users. RAISES (UserError): If there is no answer, or no right one."""

    def __init__(self, connection: str, token: str) -> None:
        self.web = Web(connection, TOOL, _authorize, token)

    def projects(self) -> dict[int, str]:
        """Return the names of all projects by number."""
        return {project.id: project.name for project in self._listed("v1/projects", DoccanoRow)}

    def texts(self, project: int) -> Iterator[DoccanoText]:
        """Stream the texts in the order in which they were added."""
        return self._listed(f"v1/projects/{project}/examples", DoccanoText)

    def _listed(self, path: str, of: type[T]) -> Iterator[T]:
        number = 0
        while True:
            page: _DoccanoPage[T] = self.web.get(path, _page(of), limit=_PAGE, offset=number, ordering=_ORDER)
            yield from page.results
            number += len(page.results)
            if not page.next or not page.results:
                return

    def labels(self, project: int) -> dict[int, str]:
        """Return the names of the labels of spans by number."""
        return {label.id: label.text for label in self.web.get(f"v1/projects/{project}/span-types", list[DoccanoRow])}

    def spans(self, project: int, text: int) -> list[DoccanoSpan]:
        """Return the spans of a text, in the order in which they were made."""
        spans = self.web.get(f"v1/projects/{project}/examples/{text}/spans", list[DoccanoSpan])
        return sorted(spans, key=lambda span: span.id)

    def records(self, project: int, is_shared: bool, title: str) -> Iterator[dict[str, Any]]:
        """Stream the texts with their spans, as an export has them.

        RAISES (Shifted): If texts were added or deleted meanwhile, so that some may have been passed over.
        """
        total = self.web.get(f"v1/projects/{project}/examples", _page(DoccanoText), limit=1).count
        me = self.web.get("v1/me", DoccanoRow)
        labels, names = self.labels(project), self._members(project) | {me.id: me.username}
        seen = []
        for text in with_progress(self.texts(project), total, title):
            seen.append(text.id)
            spans = [
                {"start_offset": span.start_offset, "end_offset": span.end_offset, "label": labels[span.label],
                 **({"user": names.get(span.user or 0, str(span.user))} if is_shared else {})}
                for span in self.spans(project, text.id) if span.label in labels
            ]  # fmt: skip
            record = {"id": text.id, "text": text.text, "meta": text.meta, "entities": spans}
            record["annotation_approver"] = text.annotation_approver or text.is_confirmed
            yield record if is_shared else {**record, "username": me.username}
        if seen != [text.id for text in self.texts(project)]:
            raise Shifted

    def _members(self, project: int) -> dict[int, str]:
        """Return the names of the project's users by number; none where they are shown to its administrators only."""
        with suppress(Forbidden):
            found = self.web.get(f"v1/projects/{project}/members", list[DoccanoRow])
            return {member.user: member.username for member in found}
        return {}


def apis(connection: str) -> Iterator[DoccanoApi]:
    """Yield the API for each user whose token is in the variable."""
    for line in variable(connection, "TOKEN").splitlines():
        if line.strip():
            yield DoccanoApi(connection, line.strip())


def _authorize(web: Web, token: str) -> str:
    """Make the header of a token, or of that which a user gets for name and password."""
    username, colon, password = token.partition(":")
    if colon:
        given = {"username": username, "password": password}
        token = web.post("v1/auth/login/", given, DoccanoRow, is_anonymous=True).key
    return f"Token {token}"


class DoccanoText(msgspec.Struct):
    """A text of a project. is_confirmed is about the user who asks, or, if users share the project, about all."""

    id: int
    text: str | None
    meta: Any = None
    annotation_approver: str | None = None
    is_confirmed: bool = False


class _DoccanoPage(msgspec.Struct, Generic[T]):
    results: list[T]
    count: int = 0
    next: str | None = None


def _page(of: Any) -> Any:
    return _DoccanoPage[of]


class DoccanoSpan(msgspec.Struct):
    id: int
    label: int
    start_offset: int
    end_offset: int
    user: int | None = None


class DoccanoRow(msgspec.Struct):
    """What is told of a project, a label, a user, a member of a project, or a login: each has some of these."""

    id: int = 0
    name: str = ""
    text: str = ""
    username: str = ""
    user: int = 0
    key: str = ""
    collaborative_annotation: bool = False


_encode = msgspec.json.Encoder().encode
