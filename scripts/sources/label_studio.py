"""Label Studio's JSON and JSON-MIN, of all its versions. See https://labelstud.io/guide/export."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from scripts.core.settings import registry
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files
from scripts.sources.json_records import UNREADABLE, json_records, reason
from scripts.sources.offsets import Mark, Offsets, Unit
from scripts.sources.source import Intake, whole_seconds

_OTHER = {"relation", "choices", "textarea", "rating", "taxonomy", "number", "datetime", "pairwise", "ranker"}
_SPANS_ELSEWHERE = {"hypertextlabels", "paragraphlabels", "timeserieslabels"}


class _Value(msgspec.Struct, gc=False):
    start: int
    end: int
    labels: list[str] = []
    text: Any = None


class _Result(msgspec.Struct, gc=False):
    """type is that of the control that made it; value is decoded only for spans."""

    value: msgspec.Raw = msgspec.Raw()
    type: str = "labels"


class _Annotation(msgspec.Struct, gc=False):
    result: list[_Result] = []
    completed_by: Any = None
    was_cancelled: bool | None = None
    skipped: bool | None = None
    created_at: Any = None
    updated_at: Any = None


class _Task(msgspec.Struct, gc=False):
    """completions are the annotations of versions before 1.0."""

    data: dict[str, Any] | None = None
    annotations: list[_Annotation] | None = None
    completions: list[_Annotation] | None = None
    id: Any = None
    predictions: list[msgspec.Raw] | None = None
    drafts: list[msgspec.Raw] | None = None


_decode = msgspec.json.Decoder(_Task).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_Regions = list[_Value]


@registry.readers("labelwise.LabelStudio.v1")
class LabelStudio(Files, frozen=True):
    """Read a Label Studio export, JSON or JSON-MIN. Each annotation of a task is an answer of the user who completed
    it; skipped ones are ignored. Predictions and drafts are not read, nor are results that are no spans of a text:
    relations, choices, text areas.

    path (str): The file.
    without_spans (str): An annotation without spans is "annotated", since somebody submitted it, or "unannotated". A
        task without an annotation never counts as annotated.
    offsets (str): Their unit: "utf16", as browsers count, "codepoints", as Python programs that import annotations
        count, "graphemes", or "auto": as the texts in the spans tell; where there are none, and it matters, it is an
        error.
    annotator (str): Who annotated, where the export does not tell.
    field (str): The key of the text in a task's data; if not given, "text", or the only text that there is.
    """

    offsets: Offsets = "auto"
    field: str = ""

    def offset_units(self) -> tuple[Offsets, Unit]:
        """As set; Label Studio itself counts as browsers do."""
        return self.offsets, "utf16"

    def recognizes(self) -> bool:
        """Whether the first records look like Label Studio's."""
        for _, content in islice(json_records(self.path), 20):
            try:
                task = _decode_any(content)
            except UNREADABLE:
                continue
            whole = isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task)
            if whole or "annotation_id" in task or _regions_key(task):
                return True
        return False

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the tasks."""
        for source, content in json_records(str(path)):
            try:
                yield self._record(content, source, intake)
            except UNREADABLE as err:
                yield Record(source, fault=reason(err))

    def _record(self, content: bytes, source: str, intake: Intake) -> Record:
        task = _decode(content)
        if task.data is None:
            return self._min_record(_decode_any(content), source)
        found = task.completions if task.annotations is None else task.annotations
        text = self._text(task.data)
        if text is None:
            return Record(source, fault="no text in data: set field to its key")
        intake.note("predictions are not read", len(task.predictions or ()))
        intake.note("drafts are not read", len(task.drafts or ()))
        meta = _meta(task.data, task.id)
        return Record(source, [self._document(text, one, meta, intake) for one in found or ()])

    def _document(self, text: str, annotation: _Annotation, meta: dict[str, Any], intake: Intake) -> Document:
        odd = Counter(result.type for result in annotation.result if result.type != "labels")
        for what, times in odd.items():
            if what not in _SPANS_ELSEWHERE:
                intake.note(f"results of type {what if what in _OTHER else 'unknown'} are not read", times)
        elsewhere = sum(odd[what] for what in _SPANS_ELSEWHERE)
        values = (msgspec.json.decode(r.value, type=_Value) for r in annotation.result if r.type == "labels")
        marks = [*_marks(values), *[Mark(0, 0, "", fault="a span of something other than plain text")] * elsewhere]
        return Document(
            text,
            marks,
            answer="ignore" if annotation.was_cancelled or annotation.skipped else "accept",
            annotator=_user(annotation.completed_by) or self.annotator,
            timestamp=_seconds(annotation.updated_at) or _seconds(annotation.created_at),
            meta=meta,
        )

    def _min_record(self, task: dict[str, Any], source: str) -> Record:
        """JSON-MIN: the data and the spans side by side, a record an annotation."""
        key = "label" if isinstance(task.get("label"), list) else _regions_key(task)
        values = msgspec.convert(task.get(key) or [], _Regions)
        about = {"annotator", "annotation_id", "created_at", "updated_at", "lead_time", "id"}
        data = {name: value for name, value in task.items() if name not in about and name != key}
        text = self._text(data)
        if text is None:
            return Record(source, fault="no data, and no text: no task, or set field to the text's key")
        document = Document(
            text,
            list(_marks(values)),
            annotator=_user(task.get("annotator")) or self.annotator,
            timestamp=_seconds(task.get("updated_at")) or _seconds(task.get("created_at")),
            meta=_meta(data, task.get("id")),
        )
        return Record(source, [document])

    def _text(self, data: dict[str, Any]) -> str | None:
        if self.field or isinstance(data.get("text"), str):
            found = data.get(self.field or "text")
            return found if isinstance(found, str) else None
        texts = [value for value in data.values() if isinstance(value, str)]
        return texts[0] if len(texts) == 1 else None


def _regions_key(task: dict[str, Any]) -> str:
    """Return the key of the spans in JSON-MIN, which is the name of the control in the project."""
    for key, value in task.items():
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, dict) and {"start", "end", "labels"} <= set(first):
            return key
    return ""


def _marks(values: Iterable[_Value]) -> Iterator[Mark]:
    """Yield a mark for each label of each region; a region without any gives one without a label."""
    for value in values:
        quote = value.text if isinstance(value.text, str) else None
        for label in value.labels or [""]:
            yield Mark(value.start, value.end, label, quote)


def _user(completed_by: Any) -> str:
    """Return the e-mail address or number of a user; exports of some versions have an object with both."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return str(completed_by) if isinstance(completed_by, (str, int)) and not isinstance(completed_by, bool) else ""


def _seconds(when: Any) -> int | None:
    """Return seconds since 1970 from an ISO date, or from the number that old versions have."""
    if isinstance(when, (int, float)) and not isinstance(when, bool):
        return whole_seconds(when)
    try:
        found = msgspec.convert(when, datetime)
    except msgspec.ValidationError:
        return None
    return whole_seconds((found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp())


def _meta(data: dict[str, Any], identity: Any) -> dict[str, Any]:
    """Return the short values in the data, such as the name of the document, and the task's id."""
    short = {key: value for key, value in data.items() if isinstance(value, (str, int, float)) and key != "text"}
    found = {key: value for key, value in short.items() if not isinstance(value, str) or len(value) <= 200}
    return found | ({"id": identity} if isinstance(identity, (str, int)) else {})
