"""Label Studio tasks with pre-annotations. See https://labelstud.io/guide/predictions."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import msgspec

from scripts.core.answers import GoldText, Span
from scripts.exporting.formats import Export, entities, is_complete

_FROM, _TO, _TYPE = "label", "text", "labels"
_encode = msgspec.json.Encoder().encode
_LAST_IN_ONE_UNIT = "\uffff"


class LabelStudio:
    """tasks.json has all texts, with their spans as predictions, and, where all labels are known, as an annotation:
    what is annotated need not be annotated again. labeling.xml is the labeling interface they are made for.
    """

    def __init__(self, export: Export) -> None:
        self._export = export
        (export.folder / "labeling.xml").write_bytes(interface(export.labels).encode())
        self._file = (export.folder / "tasks.json").open("wb")
        self._before = b"[\n"

    def add(self, text: GoldText) -> None:
        """Write a text."""
        spans = entities(text, self._export, keeps_meta=True)
        self._file.write(self._before + _encode(studio_task(text, spans, is_complete(text, self._export.labels))))
        self._before = b",\n"
        self._export.account.write(len(spans))

    def close(self) -> None:
        """End the list."""
        self._file.write(b"\n]\n" if self._before == b",\n" else b"[]\n")
        self._file.close()


def interface(labels: Sequence[str]) -> str:
    """The labeling interface for texts with these labels."""
    lines = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
    return (
        f'<View>\n  <Labels name="{_FROM}" toName="{_TO}">\n{lines}  </Labels>\n'
        f'  <Text name="{_TO}" value="$text"/>\n</View>\n'
    )


def studio_task(text: GoldText, spans: list[Span], complete: bool) -> dict[str, Any]:
    """A task with spans as predictions, and, if they are complete, as an annotation."""
    units = utf16(text.text, [offset for span in spans for offset in (span.start, span.end)])
    result = [
        {
            "id": f"{text.input_hash & 0xFFFFFFFF:08x}-{number}",
            "from_name": _FROM,
            "to_name": _TO,
            "type": _TYPE,
            "value": {
                "start": units[span.start],
                "end": units[span.end],
                "text": text.text[span.start : span.end],
                "labels": [span.label],
            },
        }
        for number, span in enumerate(spans, 1)
    ]
    task: dict[str, Any] = {"data": {"text": text.text}}
    if text.meta:
        task["meta"] = text.meta
    task["predictions"] = [{"model_version": "labelwise", "result": result}]
    if complete:
        task["annotations"] = [{"result": result}]
    return task


def utf16(text: str, offsets: list[int]) -> dict[int, int]:
    """Offsets in UTF-16 code units, which is how browsers count, by offset in code points."""
    astral = [] if text.isascii() else [place for place, char in enumerate(text) if char > _LAST_IN_ONE_UNIT]
    return {offset: offset + bisect_left(astral, offset) for offset in offsets}
