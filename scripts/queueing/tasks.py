"""Tasks in the formats of annotation tools, and the screen that says how their answers come back."""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console

from scripts.core.answers import GoldText
from scripts.core.settings import DatasetOptions
from scripts.exporting.doccano import doccano_line
from scripts.exporting.label_studio import interface, studio_task
from scripts.exporting.prodigy import ProdigyTokens, prodigy_task
from scripts.exporting.tokens import Tokens, cut
from scripts.queueing.request import Queue, QueueItem
from scripts.sources.blocks import DatasetBlock, slug
from scripts.sources.prodigy_database import ProdigyDatabase, ProdigyServer
from scripts.sources.source import Source

_DEFAULT_DATABASE = "~/.prodigy/prodigy.db"
_encode_lines = msgspec.json.Encoder().encode_lines


class TaskFormat(NamedTuple):
    """A format of tasks, and the reader of its answers."""

    name: str  # of the file with the tasks
    write: Callable[[list[QueueItem], str, Tokens, Path], None]  # items, label, tokens, folder
    reader: str
    answers: str  # the file that answers are exported to; none with a database
    settings: dict[str, str]  # further ones of the reader


def _write_prodigy(items: list[QueueItem], label: str, tokens: Tokens, folder: Path) -> None:
    """Write tasks for ner.manual. Versions stay in the answer, which is therefore read as a review that decides."""
    with (folder / FORMATS["prodigy"].name).open("wb") as file:
        for item in items:
            spans = [*item.spans, *(span for version, _ in item.versions for span in version)]
            shown = ProdigyTokens(item.text.text, cut(tokens.of(item.text.text), spans))
            task = prodigy_task(_with_reason(item), shown, item.spans, "ner_manual")
            if item.versions:
                task["versions"] = [
                    {"spans": [shown.span(span) for span in version], "sessions": by} for version, by in item.versions
                ]
            file.write(_encode_lines([task]))


def _write_label_studio(items: list[QueueItem], label: str, tokens: Tokens, folder: Path) -> None:
    tasks = (msgspec.json.encode(studio_task(_with_reason(item), item.spans, complete=False)) for item in items)
    (folder / FORMATS["label_studio"].name).write_bytes(b"[\n" + b",\n".join(tasks) + b"\n]\n")
    (folder / "labeling.xml").write_bytes(interface([label]).encode())


def _write_doccano(items: list[QueueItem], label: str, tokens: Tokens, folder: Path) -> None:
    lines = (doccano_line(_with_reason(item), item.spans) for item in items)
    (folder / FORMATS["doccano"].name).write_bytes(_encode_lines(lines))


def _with_reason(item: QueueItem) -> GoldText:
    return msgspec.structs.replace(item.text, meta=item.text.meta | item.reason)


_ALL_ANNOTATED = {"without_spans": "annotated"}
FORMATS = {
    "prodigy": TaskFormat("tasks.jsonl", _write_prodigy, "labelwise.ProdigyDatabase.v1", "", {}),
    "label_studio": TaskFormat("tasks.json", _write_label_studio, "labelwise.LabelStudio.v1", "answers.json", {}),
    "doccano": TaskFormat("tasks.jsonl", _write_doccano, "labelwise.Doccano.v1", "answers.jsonl", _ALL_ANNOTATED),
}


def print_way_back(
    console: Console, queue: Queue, folder: Path, sources: Mapping[str, Source],
    options: Mapping[str, DatasetOptions], lang: str,
) -> None:  # fmt: skip
    """Print what to do with the tasks in a folder, and the block of the config that reads the answers.

    sources (Mapping[str, Source]), options (Mapping[str, DatasetOptions]): The datasets of the config.
    """
    name, block = _destination(queue, folder, sources, options)
    task_format = FORMATS[queue.request.format]
    tasks = (folder / task_format.name).as_posix()
    if queue.request.format == "prodigy":
        words = ["prodigy", "ner.manual", name, f"blank:{lang}", tasks, *_label_option(queue.request.label)]
        console.print(f"\n{shlex.join(words)}\n", soft_wrap=True)
    else:
        answers = (folder / task_format.answers).as_posix()
        exported = "the approved texts" if queue.request.format == "doccano" else "the answers, as JSON,"
        console.print(f"\nImport {tasks}, and export {exported} to {answers}.\n", soft_wrap=True)
        if queue.request.kind != "uncovered":
            console.print("⚠ these answers count as one more annotator's; as reviews in Prodigy they would decide")
    if block is None:
        console.print("`pull` reads that dataset already: nothing to add to configs/datasets.cfg.")
    else:
        console.print("Add this to configs/datasets.cfg once there are answers:\n")
        console.print(str(block), soft_wrap=True)


def _label_option(label: str) -> list[str]:
    """Return the words of an option, of which a label like `-` is no option itself."""
    return [f"--label={label}"] if label.startswith("-") else ["--label", label]


def _destination(
    queue: Queue, folder: Path, sources: Mapping[str, Source], options: Mapping[str, DatasetOptions]
) -> tuple[str, DatasetBlock | None]:
    """Return the dataset that the answers go to, and the block that reads it unless the config has one."""
    request, task_format = queue.request, FORMATS[queue.request.format]
    if request.format != "prodigy":
        name = f"{slug(request.label)}_{request.kind}_{folder.name}"
        where = {"path": (folder / task_format.answers).as_posix(), "labels": [request.label]}
        return name, DatasetBlock(name, task_format.reader, where | task_format.settings)
    prodigy = {name: one for name, one in sources.items() if isinstance(one, ProdigyDatabase | ProdigyServer)}
    # The answers will have our name of the label, and may be anybody's.
    as_it_is = [name for name in prodigy if not options[name].rename and not options[name].annotators]
    own = [prodigy[name].dataset for name in as_it_is if prodigy[name].labels == [request.label]]
    if own and request.kind == "uncovered":
        return own[0], None
    # A review needs a dataset of its own: Prodigy does not ask about a text that the dataset has.
    number = "" if request.kind == "uncovered" else f"_{folder.name}"
    name = f"{slug(request.label)}_{request.kind}{number}"
    paths = [source.path for source in prodigy.values() if isinstance(source, ProdigyDatabase)]
    where = {"path": paths[0] if paths else _DEFAULT_DATABASE, "dataset": name, "labels": [request.label]}
    return name, None if name in sources else DatasetBlock(name, task_format.reader, where)
