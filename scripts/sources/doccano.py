"""doccano's exports for sequence labelling, of all its versions: JSONL or JSON, plain or gzipped.

See https://doccano.github.io/doccano/.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from scripts.core.settings import registry
from scripts.sources.documents import Document, Record, WithoutSpans
from scripts.sources.files import Files
from scripts.sources.json_records import UNREADABLE, is_too_deep, json_records, reason
from scripts.sources.offsets import Mark, Offsets, Unit
from scripts.sources.source import Intake

_TEXT = ("text", "data")
_SPANS = ("label", "labels", "entities", "annotations")
_NO_META = {*_TEXT, *_SPANS, "relations", "meta", "metadata", "Comments", "comments", "cats"}


class _Span(msgspec.Struct, gc=False):
    """A span of versions that export objects. user is the id of who made it; label may be an id too."""

    start_offset: int
    end_offset: int
    label: str | int
    user: str | int | None = None


_Spans = list[tuple[int, int, str | int] | _Span] | None


@registry.readers("labelwise.Doccano.v1")
class Doccano(Files, frozen=True):
    """Read a doccano export, whatever it calls its fields: `label`, `labels`, `entities` or `annotations`.

    path (str): The file.
    without_spans (str): A text without spans is "unannotated", since doccano exports texts that nobody has opened yet
        too; or "annotated", and has no entity, where only confirmed texts were exported.
    offsets (str): Their unit: "codepoints", "graphemes" (projects that count grapheme clusters as one
        character), "utf16" (some versions of doccano), or "auto": as code points; with a text that has characters
        beyond U+FFFF it is an error, since doccano's spans do not have their text.
    annotator (str): Who annotated, for the merge. Exports with the ids of users have an answer for each of them.
    label_names (dict[str, str]): The names of labels, in exports that have their ids: `{"3": "ORG"}`.
    """

    without_spans: WithoutSpans = "unannotated"
    offsets: Offsets = "auto"
    label_names: Mapping[str, str] | None = None

    def offset_units(self) -> tuple[Offsets, Unit]:
        """As set; doccano itself counts code points."""
        return self.offsets, "codepoints"

    def recognizes(self) -> bool:
        """Whether the first records look like doccano's."""
        return any(map(_is_doccano, [content for _, content in islice(json_records(self.path), 100)]))

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the rows."""
        for source, content in json_records(str(path)):
            try:
                record = msgspec.json.decode(content, type=dict[str, Any])
                documents = self._documents(record)
            except UNREADABLE as err:
                yield Record(source, fault=reason(err))
                continue
            fault = "meta is nested too deeply" if is_too_deep(documents[0].meta) else ""
            if record.get("relations"):
                intake.note("relations are not read")
            yield Record(source, documents, fault)

    def _documents(self, record: dict[str, Any]) -> list[Document]:
        """Return the document of each user with spans. RAISES (ValidationError): If it is no such row."""
        text = msgspec.convert(next((record[key] for key in _TEXT if key in record), None), str)
        found = next((record[key] for key in _SPANS if record.get(key)), None)
        by_user: dict[str, list[Mark]] = {}
        for span in msgspec.convert(found, _Spans) or ():
            user, mark = self._mark(span)
            by_user.setdefault(user, []).append(mark)
        meta = _meta(record)
        return [
            Document(text, marks, annotator=user or self.annotator, meta=meta)
            for user, marks in sorted((by_user or {"": []}).items())
        ]

    def _mark(self, span: tuple[int, int, str | int] | _Span) -> tuple[str, Mark]:
        """Return the user who marked it, if the export tells, and the mark."""
        if isinstance(span, _Span):
            start, end, label, user = span.start_offset, span.end_offset, span.label, span.user
        else:
            (start, end, label), user = span, None
        name = (self.label_names or {}).get(str(label), str(label))
        return "" if user is None else str(user), Mark(start, end, name)


def _is_doccano(content: bytes) -> bool:
    """Whether a row has a text and spans as doccano writes them."""
    try:
        record = msgspec.json.decode(content, type=dict[str, Any])
        found = next((record[key] for key in _SPANS if record.get(key)), None)
        has_text = any(isinstance(record.get(key), str) for key in _TEXT) and "_task_hash" not in record
        return has_text and bool(msgspec.convert(found, _Spans))
    except UNREADABLE:
        return False


def _meta(record: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata: beside the other fields in newer versions, `meta` or `metadata` in older ones."""
    inner = record.get("meta") or record.get("metadata")
    own = {key: value for key, value in record.items() if key not in _NO_META}
    return own | (inner if isinstance(inner, dict) else {})
