"""Label Studio by its API, https://api.labelstud.io: a copy of a project, in which only changed tasks are fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from scripts.core.files import BUFFER, UNREADABLE
from scripts.core.settings import registry
from scripts.core.workers import with_progress
from scripts.sources.documents import WithoutSpans
from scripts.sources.label_studio import LabelStudio
from scripts.sources.offsets import Offsets
from scripts.sources.web import COPIES, Web, choose_project, copy_path, names_or_numbers

TOOL = "Label Studio"
T = TypeVar("T", bound="ListedTask")
_LISTED = 500  # tasks in a page of the list
_FETCHED = 100  # tasks that are fetched at a time
# What takes the server a query a task. `include` would leave things out of the annotations, too.
_COSTLY = "annotators,comment_authors,drafts,file_upload,storage_filename"


@registry.readers("labelwise.LabelStudioServer.v1")
def label_studio_server(
    project: str | int,
    labels: list[str],
    connection: str = "LABEL_STUDIO",
    without_spans: WithoutSpans = "annotated",
    offsets: Offsets = "auto",
    field: str = "",
    to_name: Sequence[str] = (),
    annotator: str = "",
    folder: str = COPIES,
) -> LabelStudioServer:
    """Read a project of a Label Studio server as its export in JSON is read. Annotators are the numbers of users.
    `pull` lists all tasks, and fetches those that are new or changed. It needs `pip install -r
    requirements-servers.txt`.

    project (str | int): Its name, or its number.
    connection (str): The beginning of the names of two environment variables: for "LABEL_STUDIO", the address is in
        LABEL_STUDIO_URL and a token, personal or legacy, in LABEL_STUDIO_TOKEN. Neither is ever in this file.
    without_spans, offsets, field, to_name: See `labelwise.LabelStudio.v1`.
    folder (str): For the copy of what was fetched.
    """
    path = copy_path(folder, connection, project)
    return LabelStudioServer(
        path=path, labels=labels, without_spans=without_spans, offsets=offsets, field=field, to_name=to_name,
        annotator=annotator, connection=connection, project=project,
    )  # fmt: skip


class LabelStudioServer(LabelStudio, frozen=True, kw_only=True):
    """See `label_studio_server`."""

    connection: str
    project: str | int

    def datasets(self) -> list[str | int]:
        """The projects, by name, or by number where several have a name."""
        return names_or_numbers(StudioApi(self.connection).projects())

    def fetched(self) -> Iterator[bytes]:
        """Stream the tasks, sorted by their numbers: those that did not change from the copy."""
        api = StudioApi(self.connection)
        project = choose_project(api.web, api.projects(), self.project)
        number = -(-(api.project(project).task_number or 0) // _LISTED)
        known = _known(Path(self.path))
        line = next(known, None)
        for page in with_progress(api.pages(project, ListedTask), number, f"Fetching {self.project}"):
            listed = {task.id: task for task in page}
            lines: dict[int, bytes] = {}
            while line and line[0].id <= page[-1].id:
                if listed.get(line[0].id) == line[0]:
                    lines[line[0].id] = line[1]
                line = next(known, None)
            lines |= api.fetch(project, [number for number in listed if number not in lines])
            yield from (content for _, content in sorted(lines.items()))


class StudioApi:
    """The API of a Label Studio. RAISES (UserError): If there is no answer, or no right one."""

    def __init__(self, connection: str) -> None:
        self.web = Web(connection, TOOL, _authorize)

    def projects(self) -> dict[int, str]:
        """Return the names of all projects by number."""
        found: dict[int, str] = {}
        for number in count(1):
            page = self.web.get("api/projects/", _StudioProjects, page=number, page_size=100)
            found |= {one.id: one.title or "" for one in page.results}
            if not page.next:
                break
        return found

    def project(self, number: int) -> StudioProject:
        """Return what is told of a project."""
        return self.web.get(f"api/projects/{number}/", StudioProject)

    def pages(self, project: int, of: type[T]) -> Iterator[list[T]]:
        """List all tasks, sorted by number, without their texts. Those that are deleted meanwhile move no other."""
        last, needed = 0, {"include": ",".join(of.__struct_fields__), "omit": "data"}
        while tasks := self._tasks(project, of, {"filters": _after(last)}, **needed):
            last = tasks[-1].id
            yield tasks

    def fetch(self, project: int, numbers: Sequence[int]) -> dict[int, bytes]:
        """Return the lines of tasks by their numbers, without those that were deleted meanwhile."""
        lines: dict[int, bytes] = {}
        # Links to files that a task has are left as they are: those that are made for a reader expire.
        whole = {"fields": "all", "resolve_uri": "false", "omit": _COSTLY}
        for first in range(0, len(numbers), _FETCHED):
            left = [*numbers[first : first + _FETCHED]]
            # A server may give fewer at a time than it is asked for; once it gives none, the others are gone.
            while left and (tasks := self._tasks(project, StudioTask, {"selectedItems": _these(left)}, **whole)):
                for task in tasks:
                    task.annotations.sort(key=lambda annotation: annotation.id)
                    lines[task.id] = _encode(task) + b"\n"
                left = [number for number in left if number not in lines]
        return lines

    def _tasks(self, project: int, of: type[T], query: dict[str, Any], **options: str) -> list[T]:
        asked = msgspec.json.encode({**query, "ordering": ["tasks:id"]}).decode()
        page: Any = _StudioPage[of]  # type: ignore[valid-type]
        options |= {"project": str(project), "page": "1", "page_size": str(_LISTED), "query": asked}
        found: _StudioPage[T] = self.web.get("api/tasks/", page, **options)
        return found.tasks


def _these(numbers: Sequence[int]) -> dict[str, Any]:
    return {"all": False, "included": numbers}


def _after(number: int) -> dict[str, Any]:
    item = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": number}
    return {"conjunction": "and", "items": [item]}


def _authorize(web: Web, token: str) -> str:
    """Make the header of a token: a personal one, a JWT, is exchanged for one that is valid for some minutes."""
    if token.count(".") != 2:
        return f"Token {token}"
    return f"Bearer {web.post('api/token/refresh/', {'refresh': token}, _StudioAccess, is_anonymous=True).access}"


def _known(copy: Path) -> Iterator[tuple[ListedTask, bytes]]:
    """Stream the tasks of a copy, and their lines; of one that is damaged, those before the damage."""
    if not copy.is_file():
        return
    with copy.open("rb", BUFFER) as lines:
        for line in lines:
            try:
                yield _decode_listed(line), line
            except UNREADABLE:
                return


class ListedTask(msgspec.Struct, frozen=True):
    """What a list of tasks tells of one. If it is the same, nothing in the task has changed."""

    id: int
    updated_at: str
    total_annotations: int = 0
    cancelled_annotations: int = 0
    total_predictions: int = 0


class _StudioAnnotation(msgspec.Struct, omit_defaults=True):
    """What is kept of an annotation: what is the same each time that it is fetched, see `label_studio`."""

    id: int
    result: Any = None
    completed_by: Any = None
    was_cancelled: bool | None = None
    ground_truth: bool | None = None
    reviews: Any = None
    created_at: Any = None
    updated_at: Any = None


class _StudioPrediction(msgspec.Struct):
    id: int


class TaskMeta(ListedTask, frozen=True):
    """A listed task with its meta."""

    meta: Any = None


class StudioTask(TaskMeta, frozen=True):
    """A task of the copy."""

    data: Any = None
    annotations: list[_StudioAnnotation] = []
    predictions: list[_StudioPrediction] = []


class _StudioPage(msgspec.Struct, Generic[T]):
    tasks: list[T]


class _StudioInput(msgspec.Struct):
    type: str = ""
    value: str = ""


class StudioControl(msgspec.Struct):
    """A control, the objects that it is for, and the texts that these show: `value` is a key of a task's data."""

    type: str = ""
    to_name: list[str] = []
    inputs: list[_StudioInput] = []
    labels: list[str] = []


class StudioProject(msgspec.Struct):
    """A project, with the controls of its labeling interface by name."""

    id: int
    title: str | None = None
    task_number: int | None = None
    parsed_label_config: dict[str, StudioControl] = {}


class _StudioProjects(msgspec.Struct):
    results: list[StudioProject]
    next: str | None = None


class _StudioAccess(msgspec.Struct):
    access: str


_decode_listed = msgspec.json.Decoder(ListedTask).decode
_encode = msgspec.json.Encoder().encode
