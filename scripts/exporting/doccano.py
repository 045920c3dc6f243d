"""doccano JSONL: a text with its labels a line. See https://doccano.github.io/doccano/tutorial/#import-a-dataset."""

from collections.abc import Iterable
from typing import Any

import msgspec

from scripts.core.answers import GoldText, Span
from scripts.exporting.writer import Writer

_encode = msgspec.json.Encoder().encode_lines


class DoccanoWriter(Writer):
    """complete.jsonl has the texts in which all labels are covered, incomplete.jsonl the others."""

    suffix = ".jsonl"

    def add(self, text: GoldText) -> None:
        spans = self.entities(text, keeps_meta=True)
        self.parts[self.completeness(text)].write(_encode([doccano_line(text, spans)]))
        self.count("written", len(spans))


def doccano_line(text: GoldText, spans: Iterable[Span]) -> dict[str, Any]:
    """A text with spans in the form that doccano imports."""
    line: dict[str, Any] = {"text": text.text, "label": [[span.start, span.end, span.label] for span in spans]}
    return line | ({"meta": text.meta} if text.meta else {})
