"""doccano JSONL: a text with its labels a line. See https://doccano.github.io/doccano/tutorial/#import-a-dataset."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import msgspec

from scripts.core.answers import GoldText, Span
from scripts.exporting.formats import Export, entities, side

_encode = msgspec.json.Encoder().encode_lines


class Doccano:
    """complete.jsonl has the texts in which all labels are known, incomplete.jsonl the others."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._open = ExitStack()
        self._files = {
            name: self._open.enter_context((export.folder / f"{name}.jsonl").open("wb"))
            for name in ("complete", "incomplete")
        }

    def add(self, text: GoldText) -> None:
        """Write a text."""
        spans = entities(text, self._export, keeps_meta=True)
        self._files[side(text, self._export.labels)].write(_encode([doccano_line(text, spans)]))
        self._export.account.write(len(spans))

    def close(self) -> None:
        """Close the files."""
        self._open.close()


def doccano_line(text: GoldText, spans: Iterable[Span]) -> dict[str, Any]:
    """A text with spans, as doccano imports it."""
    line: dict[str, Any] = {"text": text.text, "label": [[span.start, span.end, span.label] for span in spans]}
    return line | ({"meta": text.meta} if text.meta else {})
