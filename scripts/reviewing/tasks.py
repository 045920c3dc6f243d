"""Tasks in the formats of tools for annotation, each item as a person is to see it, in their order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.annotations.records import GoldText
from scripts.exporting.doccano import doccano_line
from scripts.exporting.label_studio import interface, studio_task
from scripts.exporting.prodigy import Shown, prodigy_task
from scripts.exporting.tokens import Tokens, cut
from scripts.reviewing.items import Item

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
