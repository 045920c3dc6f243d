"""Tasks in the formats of tools for annotation, each item as a person is to see it, in their order.

What is asked next, why, and how the answers come back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from rich.console import Console

from scripts.core.answers import GoldText
from scripts.exporting.doccano import doccano_line
from scripts.exporting.label_studio import interface, studio_task
from scripts.exporting.prodigy import Shown, prodigy_task
from scripts.exporting.tokens import Tokens, cut
from scripts.queueing.request import Item, Queue
from scripts.reporting.console import plural
from scripts.sources.importing import Block, slug
from scripts.sources.prodigy_database import ProdigyDatabase
from scripts.sources.prodigy_server import ProdigyServer
from scripts.sources.source import Source

if TYPE_CHECKING:
    from scripts.queueing.queue import Queued


_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
Writer = Callable[[list[Item], str, Tokens, Path], None]


class Format(NamedTuple):
    """How tasks go out, and how answers come back.

    name (str): Of the file with the tasks.
    write (Writer): Writes the tasks of a label into a folder.
    reader (str), answers (str): The reader of the answers, and the file that they are exported to.
    settings (dict[str, str]): Further ones of the reader.
    """

    name: str
    write: Writer
    reader: str
    answers: str
    settings: dict[str, str]


def _prodigy(items: list[Item], label: str, tokens: Tokens, folder: Path) -> None:
    """Tasks for ner.manual. Where there are versions, they stay in the answer, which is read as a review of them."""
    with (folder / FORMATS["prodigy"].name).open("wb") as file:
        for item in items:
            borders = [*item.spans, *(span for version in item.versions for span in version.spans)]
            shown = Shown(item.text.text, cut(tokens.of(item.text.text), borders))
            task = prodigy_task(_with_reason(item), shown, item.spans, "ner_manual")
            if item.versions:
                task["versions"] = [
                    {"spans": [shown.span(span) for span in version.spans], "sessions": version.by}
                    for version in item.versions
                ]
            file.write(_encode_lines([task]))


def _label_studio(items: list[Item], label: str, tokens: Tokens, folder: Path) -> None:
    """Tasks to import, their spans as predictions, and the labeling interface they are for."""
    tasks = (_encode(studio_task(_with_reason(item), item.spans, complete=False)) for item in items)
    (folder / FORMATS["label_studio"].name).write_bytes(b"[\n" + b",\n".join(tasks) + b"\n]\n")
    (folder / "labeling.xml").write_bytes(interface([label]).encode())


def _doccano(items: list[Item], label: str, tokens: Tokens, folder: Path) -> None:
    (folder / FORMATS["doccano"].name).write_bytes(
        _encode_lines(doccano_line(_with_reason(item), item.spans) for item in items)
    )


def _with_reason(item: Item) -> GoldText:
    return msgspec.structs.replace(item.text, meta=item.text.meta | item.reason)


FORMATS = {
    "prodigy": Format("tasks.jsonl", _prodigy, "labelwise.ProdigyDatabase.v1", "", {}),
    "label_studio": Format("tasks.json", _label_studio, "labelwise.LabelStudio.v1", "answers.json", {}),
    "doccano": Format("tasks.jsonl", _doccano, "labelwise.Doccano.v1", "answers.jsonl", {"without_spans": "annotated"}),
}


_DATABASE = "~/.prodigy/prodigy.db"


def print_queue(console: Console, found: Queued) -> None:
    """The account: read = queued + left out, by reason; and what else waits."""
    queue = found.queue
    fates = " + ".join(f"{times:,} {fate}" for fate, times in queue.counts.items() if fate != "read")
    console.print(f"{queue.unit.capitalize()}s: {queue.counts['read']:,} = {fates}")
    if queue.worth:
        first, last = queue.worth
        said = f"Worth {first} (the first) to {last} (the last): near 0, the models are sure of all that is in a text"
        console.print(said)
    if found.is_old:
        console.print("⚠ the models were trained on another corpus than there is now: weasel run train")
    for kind, number in found.waiting.items():
        if number:
            said = f"{plural(number, kind.removesuffix('s'))} of {queue.request.label} not asked about yet"
            console.print(f"{said}: --vars.kind {kind}")


def print_way_back(console: Console, found: Queued, sources: Mapping[str, Source], lang: str) -> None:
    """What to do with the tasks, and the block of the config that reads the answers.

    sources (Mapping[str, Source]): The datasets of the config.
    lang (str): Of the pipeline.
    """
    if found.folder is None:
        return
    queue, folder = found.queue, found.folder
    name, block = _destination(queue, folder, sources)
    kind = FORMATS[queue.request.format]
    tasks = (folder / kind.name).as_posix()
    if queue.request.format == "prodigy":
        label = queue.request.label
        command = f"prodigy ner.manual {name} blank:{lang} {tasks} --label {_quoted(label)}"
        console.print(f"\n{command}\n", soft_wrap=True)
    else:
        answers = (folder / kind.answers).as_posix()
        done = "the approved texts" if queue.request.format == "doccano" else "the answers, as JSON,"
        said = f"\nImport {tasks}, and export {done} to {answers}.\n"
        console.print(said, soft_wrap=True)
        if queue.request.kind != "uncovered":
            console.print("⚠ the answers count as those of one more annotator; from Prodigy they would decide")
    if block is None:
        console.print("The answers are pulled with that dataset: nothing to add to the config.")
    else:
        console.print("In configs/datasets.cfg, once there are answers:\n")
        console.print(str(block), soft_wrap=True)


def _destination(queue: Queue, folder: Path, sources: Mapping[str, Source]) -> tuple[str, Block | None]:
    """The dataset that the answers go to, and the block that reads it, if it is a new one.

    A review needs one of its own: in a dataset that has the text Prodigy does not show it again.
    """
    request, kind = queue.request, FORMATS[queue.request.format]
    databases = [one for one in sources.values() if isinstance(one, ProdigyDatabase)]
    if request.format != "prodigy":
        name = f"{slug(request.label)}_{request.kind}_{folder.name}"
        where = {"path": (folder / kind.answers).as_posix(), "labels": [request.label]}
        return name, Block(name, kind.reader, where | kind.settings)
    of_prodigy = (one for one in sources.values() if isinstance(one, ProdigyDatabase | ProdigyServer))
    own = [one.dataset for one in of_prodigy if one.labels == [request.label]]
    if own and request.kind == "uncovered":
        return own[0], None
    number = "" if request.kind == "uncovered" else f"_{folder.name}"
    name = f"{slug(request.label)}_{request.kind}{number}"
    path = databases[0].path if databases else _DATABASE
    block = Block(name, kind.reader, {"path": path, "dataset": name, "labels": [request.label]})
    return name, None if name in sources else block


def _quoted(label: str) -> str:
    return label if label.replace("-", "").replace("_", "").isalnum() else f'"{label}"'
