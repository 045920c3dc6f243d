"""Label Studio tasks with pre-annotations. See https://labelstud.io/guide/predictions."""

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import msgspec

from scripts.core.answers import GoldText, Span
from scripts.exporting.writer import Writer

_FROM, _TO, _TYPE = "label", "text", "labels"
_encode = msgspec.json.Encoder().encode


class LabelStudioWriter(Writer):
    """tasks.json has all texts with their spans as predictions, and also as an annotation where all labels are covered:
    those texts need no annotator. labeling.xml is the labeling interface of the tasks.
    """

    def start(self) -> None:
        (self.folder / "labeling.xml").write_bytes(interface(self.labels).encode())
        self._file = self.open("tasks.json")
        self._separator = b"[\n"

    def add(self, text: GoldText) -> None:
        spans = self.entities(text, keeps_meta=True)
        self._file.write(self._separator + _encode(studio_task(text, spans, self.completeness(text) == "complete")))
        self._separator = b",\n"
        self.count("written", len(spans))

    def close(self) -> None:
        self._file.write(b"\n]\n" if self._separator == b",\n" else b"[]\n")
        super().close()


def interface(labels: Sequence[str]) -> str:
    """The labeling interface for some labels, in Label Studio's XML."""
    lines = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels)
    return (
        f'<View>\n  <Labels name="{_FROM}" toName="{_TO}">\n{lines}  </Labels>\n'
        f'  <Text name="{_TO}" value="$text"/>\n</View>\n'
    )


def studio_task(text: GoldText, spans: list[Span], complete: bool) -> dict[str, Any]:
    """A task with spans as predictions and, if all labels are covered, as an annotation."""
    result = regions(text.text, text.input_hash, spans)
    return {
        "data": {"text": text.text},
        **({"meta": text.meta} if text.meta else {}),
        "predictions": [{"model_version": "labelwise", "result": result}],
        **({"annotations": [{"result": result}]} if complete else {}),
    }


def regions(
    text: str, input_hash: int, spans: Sequence[Span], from_name: str = _FROM, to_name: str = _TO, first: int = 1
) -> list[dict[str, Any]]:
    """Spans as the results of a control, numbered from `first`. Label Studio counts code points, since 1.4."""
    result = []
    for number, span in enumerate(spans, first):
        quote = text[span.start : span.end]
        value = {"start": span.start, "end": span.end, "text": quote, "labels": [span.label]}
        name = f"{input_hash & 0xFFFFFFFF:08x}-{number}"
        result.append({"id": name, "from_name": from_name, "to_name": to_name, "type": _TYPE, "value": value})
    return result
