"""Tasks to the server of an annotation tool: into the project of a label, never the same one twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from scripts.core.answers import GoldText, Span
from scripts.core.settings import DatasetOptions, QueueSection
from scripts.core.workers import with_progress
from scripts.exporting.label_studio import interface, regions
from scripts.sources.blocks import DatasetBlock, slug, unique
from scripts.sources.doccano_server import DoccanoApi, DoccanoServer, apis
from scripts.sources.label_studio_server import LabelStudioServer, StudioApi, TaskMeta
from scripts.sources.source import Source
from scripts.sources.web import Web, choose_project

TOOLS = {"label_studio": "Label Studio", "doccano": "doccano"}
_KEY = "labelwise"  # in a task's meta, for its digest
_BATCH = 100  # tasks of a request


class Target(NamedTuple):
    """A project on a server."""

    tool: str  # a key of TOOLS
    connection: str
    project: str | int


class PushTask(NamedTuple):
    """A text with the spans that annotators see.

    key (str): A digest of what is asked.
    score (float | None): Of a prediction: the more certain the models are, the higher.
    """

    key: str
    text: GoldText
    spans: list[Span]
    score: float | None = None

    @property
    def meta(self) -> dict[str, Any]:
        return self.text.meta | {_KEY: self.key}


class Pushed(NamedTuple):
    """Numbers of tasks: sent now, there already, and left out, since the tool would change their texts."""

    sent: int
    there: int
    left_out: int = 0


class _Numbered(msgspec.Struct):
    id: int


def target_of(section: QueueSection, label: str) -> Target | None:
    """Return the project that the config pushes a label's tasks to; None if tasks are files alone."""
    if not section.push:
        return None
    return Target(section.push, section.connection or section.push.upper(), section.project or label)


def push(target: Target, tasks: Sequence[PushTask], label: str, version: str) -> Pushed:
    """Send the tasks that are not in the project yet; the project and its label are made if there are none. If it
    breaks off, the next call goes on where it ended.

    version (str): Name of the models that made the predictions.
    RAISES (UserError): If the server fails, or the project is not for spans of this label.
    """
    if target.tool == "label_studio":
        return _to_label_studio(StudioApi(target.connection), target.project, tasks, label, version)
    return _to_doccano(next(apis(target.connection)), target.project, tasks, label)


def _find_or_make(web: Web, path: str, projects: Mapping[int, str], wanted: str | int, new: dict[str, Any]) -> int:
    """Return the number of a project; one that is wanted by a name that none has is made."""
    if isinstance(wanted, int) or wanted in projects.values():
        return choose_project(web, projects, wanted)
    return web.post(path, new, _Numbered).id


def _keys(metas: Iterable[Any]) -> Iterable[str]:
    return (str(meta[_KEY]) for meta in metas if isinstance(meta, dict) and _KEY in meta)


# ---- Label Studio


class _Control(NamedTuple):
    """A <Labels>, its object, and the key of the text in the data of tasks."""

    from_name: str
    to_name: str
    key: str


def _to_label_studio(api: StudioApi, wanted: str | int, tasks: Sequence[PushTask], label: str, version: str) -> Pushed:
    new = {"title": wanted, "label_config": interface([label])}
    project = _find_or_make(api.web, "api/projects/", api.projects(), wanted, new)
    control = _control(api, project, wanted, label)
    there = {*_keys(task.meta for page in api.pages(project, TaskMeta) for task in page)}
    missing = [_studio_task(task, control, version) for task in tasks if task.key not in there]
    for first in range(0, len(missing), _BATCH):
        api.web.post(f"api/projects/{project}/import", missing[first : first + _BATCH], dict[str, Any])
    return Pushed(len(missing), len(tasks) - len(missing))


def _control(api: StudioApi, project: int, name: str | int, label: str) -> _Control:
    """Return the control of a project that has the label. RAISES (UserError): If there is none."""
    for from_name, control in api.project(project).parsed_label_config.items():
        texts = [shown.value for shown in control.inputs if shown.type == "Text"]
        if control.type == "Labels" and label in control.labels and texts and control.to_name:
            return _Control(from_name, control.to_name[0], texts[0])
    raise api.web.failure(f"has no <Labels> with {label} for a <Text> in project {name!r}; add it to its interface")


def _studio_task(task: PushTask, control: _Control, version: str) -> dict[str, Any]:
    """A task with its spans as a prediction, which is no answer until somebody submits it."""
    text = task.text
    result = regions(text.text, text.input_hash, task.spans, control.from_name, control.to_name)
    score = {} if task.score is None else {"score": task.score}
    prediction = {"result": result, "model_version": version} | score
    return {"data": {control.key: text.text}, "meta": task.meta, "predictions": [prediction]}


# ---- doccano


def _to_doccano(api: DoccanoApi, wanted: str | int, tasks: Sequence[PushTask], label: str) -> Pushed:
    new = {"name": wanted, "description": wanted, "collaborative_annotation": True}
    new |= {"project_type": "SequenceLabeling", "resourcetype": "SequenceLabelingProject"}
    project = _find_or_make(api.web, "v1/projects", api.projects(), wanted, new)
    place = f"v1/projects/{project}"
    numbers = {name: number for number, name in api.labels(project).items()}
    if label not in numbers:
        numbers[label] = api.web.post(f"{place}/span-types", {"text": label}, _Numbered).id
    known = {key: text for text in api.texts(project) for key in _keys([text.meta])}
    fitting = [task for task in tasks if task.text.text == task.text.text.strip()]
    for task in with_progress(fitting, len(fitting), "Pushing"):
        text = known.get(task.key)
        if text is None:
            sent = {"text": task.text.text, "meta": task.meta}
            number = api.web.post(f"{place}/examples", sent, _Numbered).id
        elif text.is_confirmed or not task.spans or api.spans(project, text.id):
            continue
        else:  # it broke off before the spans
            number = text.id
        for span in task.spans:
            offsets = {"label": numbers[label], "start_offset": span.start, "end_offset": span.end}
            api.web.post(f"{place}/examples/{number}/spans", offsets, _Numbered)
    there = sum(task.key in known for task in fitting)
    return Pushed(len(fitting) - there, there, len(tasks) - len(fitting))


# ---- The way back


def reading_block(
    target: Target, label: str, sources: Mapping[str, Source], options: Mapping[str, DatasetOptions]
) -> DatasetBlock | None:
    """Return the block that reads the answers, None if one does already."""
    reader = LabelStudioServer if target.tool == "label_studio" else DoccanoServer
    for name, source in sources.items():
        where = getattr(source, "connection", ""), getattr(source, "project", "")
        if isinstance(source, reader) and where == target[1:] and label in options[name].our_labels(source.labels):
            return None
    settings = {"connection": target.connection, "project": target.project, "labels": [label]}
    if reader is DoccanoServer:  # what nobody has confirmed may be the model's
        settings["only_confirmed"] = True
    name = unique(slug(f"{label}_{target.tool}"), sources)
    return DatasetBlock(name, f"labelwise.{reader.__name__}.v1", settings)
