"""Label Studio's JSON and JSON-MIN, of all its versions, and the files of its target storages.

See https://labelstud.io/guide/export and https://labelstud.io/guide/task_format. A project's labeling config, which the
exports do not have, has controls (`from_name`), as <Labels name="person" toName="body">, and objects (`to_name`), as
<Text name="body" value="$article">, whose text is in the task's data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec.structs import replace

from scripts.core.settings import registry
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files
from scripts.sources.json_records import UNREADABLE, any_record, json_records, reason
from scripts.sources.label_studio_texts import Region, TextsFound
from scripts.sources.limits import sized
from scripts.sources.offsets import Mark, Offsets, Unit, UnitEvidence
from scripts.sources.source import NO_TIME, Intake, whole_seconds

_OTHER = {"relation", "choices", "textarea", "rating", "taxonomy", "number", "datetime", "pairwise", "ranker"}
_SPANS_ELSEWHERE = {
    "hypertextlabels": "HyperText", "paragraphlabels": "Paragraphs", "timeserieslabels": "TimeSeries"
}  # fmt: skip
_ABOUT = {"annotator", "annotation_id", "created_at", "updated_at", "lead_time", "id", "agreement"}


class _Value(msgspec.Struct, gc=False):
    """start and end are numbers in plain text, and paths in the objects of HTML."""

    start: Any
    end: Any
    labels: list[str] = []
    text: Any = None


class _Result(msgspec.Struct, gc=False):
    """type is that of the control that made it; value is decoded only for spans."""

    value: msgspec.Raw = msgspec.Raw()
    type: str = "labels"
    to_name: Any = ""


class _Annotation(msgspec.Struct, gc=False):
    """ground_truth was called honeypot before 1.0; reviews are of Label Studio Enterprise."""

    result: list[_Result] = []
    completed_by: Any = None
    was_cancelled: bool | None = None
    skipped: bool | None = None
    ground_truth: Any = None
    honeypot: Any = None
    reviews: Any = None
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


class _StoredAnnotation(_Annotation, gc=False):
    """A file of a target storage: an annotation with its task inside."""

    task: _Task = msgspec.field(default_factory=_Task)


_decode = msgspec.json.Decoder(_Task).decode
_decode_stored = msgspec.json.Decoder(_StoredAnnotation).decode
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_decode_value = msgspec.json.Decoder(_Value).decode
_Regions = list[_Value]


class _Answer(NamedTuple):
    """An annotation: its spans, how often its results are of other types, and what the export says about it."""

    regions: list[Region]
    other: Counter[str]
    about: _Annotation


class _LabeledTask(NamedTuple):
    data: dict[str, Any]
    answers: list[_Answer]
    id: Any = None
    predictions: int = 0
    drafts: int = 0


@registry.readers("labelwise.LabelStudio.v1")
class LabelStudio(Files, frozen=True):
    """Read a Label Studio export, JSON or JSON-MIN. Each annotation of a task is an answer of the user who completed
    it; skipped ones are ignored, and so are those that a review rejected. A ground truth, or an annotation that a
    review accepted, decides over the others of its task. Predictions and drafts are not read, nor are results that are
    no spans of the text: relations, choices, text areas, spans of other objects.

    path (str): The file, or a folder of files.
    without_spans (str): An annotation without spans is "annotated", since somebody submitted it, or "unannotated". A
        task without an annotation never counts as annotated.
    offsets (str): Their unit: "utf16", as Label Studio counted before 1.4, "codepoints", as it counts since then,
        "utf16_crlf" and "codepoints_crlf" with the line ends of Windows as one character, "graphemes", "bytes",
        or "auto": as the texts in the spans tell, or the boundaries of words.
    field (str): The key of the text in a task's data; if not given, that in which most spans fit, or "text".
    to_name (list[str]): The objects whose spans are taken; if not given, those whose spans fit in the text.
    """

    endings: ClassVar[tuple[str, ...]] = (".json", ".jsonl")
    offsets: Offsets = "auto"
    field: str = ""
    to_name: Sequence[str] = ()

    def offset_units(self) -> tuple[Offsets, Unit]:
        """As set; Label Studio itself counted as browsers do, until 1.4: since then, code points."""
        return self.offsets, "utf16"

    def recognizes(self) -> bool:
        """Whether a record looks like Label Studio's."""
        return any_record(self.files(), _is_label_studio)

    def first_look(self, intake: Intake) -> tuple[LabelStudio, UnitEvidence]:
        """Return the source with its field and the objects whose spans are of this text, and the evidence of these."""
        texts = self._texts_found()
        field = self.field or texts.field()
        for what, number in texts.choice(field, is_set=bool(self.field)).items():
            intake.note(what, number)
        objects = self.to_name or texts.objects_of(field)
        return replace(self, field=field, to_name=objects), texts.evidence(field, objects)

    def _texts_found(self) -> TextsFound:
        found = TextsFound()
        for path, _ in self.files():
            for _, content in json_records(str(path)):
                try:
                    task = _read_task(content)
                except UNREADABLE:
                    continue
                found.add(task.data, [answer.regions for answer in task.answers])
        return found

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the tasks."""
        for place, content in json_records(str(path)):
            source = f"{name}:{place.rpartition(':')[2]}"
            try:
                yield self._record(_read_task(content), source, intake)
            except UNREADABLE as err:
                yield Record(source, fault=reason(err))

    def _record(self, task: _LabeledTask, source: str, intake: Intake) -> Record:
        text = task.data.get(self.field)
        if not isinstance(text, str):
            return Record(source, fault=_no_text(task.data))
        intake.note("predictions are not read", task.predictions)
        intake.note("drafts are not read", task.drafts)
        meta = _meta(task.data, task.id, self.field)
        documents = [self._document(text, answer, meta, intake) for answer in task.answers]
        return Record(source, _beside_own_truth(documents, intake))

    def _document(self, text: str, answer: _Answer, meta: dict[str, Any], intake: Intake) -> Document:
        for what, times in answer.other.items():
            intake.note(f"results of type {what if what in _OTHER else 'unknown'} are not read", times)
        marks = [mark for to_name, mark in answer.regions if to_name in self.to_name or not self.to_name]
        about = answer.about
        verdict = _verdict(about.reviews)
        if verdict is False:
            intake.note("annotation that a review rejected, ignored")
        timestamp = _seconds(about.updated_at) or _seconds(about.created_at)
        if timestamp is None and any(when not in (None, "") for when in (about.updated_at, about.created_at)):
            intake.note(NO_TIME)
        return Document(
            text,
            marks,
            answer="ignore" if about.was_cancelled or about.skipped or verdict is False else "accept",
            annotator=_user(about.completed_by) or self.annotator,
            timestamp=timestamp,
            meta=meta,
            decides=bool(about.ground_truth or about.honeypot or verdict),
        )


def _beside_own_truth(documents: list[Document], intake: Intake) -> list[Document]:
    """Ignore the other annotations of a user whose annotation of the task decides: later ones do not replace it."""
    deciding = {document.annotator for document in documents if document.decides}
    found = []
    for document in documents:
        if document.annotator in deciding and not document.decides:
            intake.note("annotation of a user beside their own ground truth, ignored")
            document = replace(document, answer="ignore")
        found.append(document)
    return found


# ---- Tasks


def _read_task(content: bytes) -> _LabeledTask:
    """Read a task in any of the formats. RAISES (UNREADABLE): If it is none."""
    task = _decode(sized(content))
    if task.data is None:
        return _other_task(content)
    annotations = task.annotations or task.completions
    answers = [_answer(annotation) for annotation in annotations or ()]
    return _LabeledTask(task.data, answers, task.id, len(task.predictions or ()), len(task.drafts or ()))


def _other_task(content: bytes) -> _LabeledTask:
    """Read an annotation with its task inside, or a record of JSON-MIN."""
    record = _decode_any(content)
    if isinstance(record.get("result"), list) and isinstance(record.get("task"), dict):
        stored = _decode_stored(content)
        return _LabeledTask(stored.task.data or {}, [_answer(stored)], stored.task.id)
    return _min_task(record)


def _min_task(record: dict[str, Any]) -> _LabeledTask:
    """Read JSON-MIN: the data, and beside it the spans of each control; a record an annotation."""
    kinds = {name: kind for name, value in record.items() if (kind := _kind_of_control(value))}
    if isinstance(record.get("label"), list):
        kinds.setdefault("label", "labels")
    regions: list[Region] = []
    other: Counter[str] = Counter()
    for name, kind in sorted(kinds.items()):
        if kind == "labels":
            regions += [Region(name, mark) for mark in _marks(msgspec.convert(record[name], _Regions))]
        elif kind in _SPANS_ELSEWHERE:
            regions += [Region(name, mark) for value in record[name] for mark in _marks_elsewhere(kind, value)]
        else:
            other[kind] += len(record[name])
    about = _Annotation(
        completed_by=record.get("annotator"), created_at=record.get("created_at"), updated_at=record.get("updated_at")
    )
    data = {name: value for name, value in record.items() if name not in _ABOUT and name not in kinds}
    # A task that nobody has annotated is exported too, without the id of an annotation.
    is_annotated = "annotation_id" not in record or record["annotation_id"] is not None
    return _LabeledTask(data, [_Answer(regions, other, about)] if is_annotated else [], record.get("id"))


def _kind_of_control(value: Any) -> str:
    """Return the type of the control whose results are a value of JSON-MIN, if they are of places in an object."""
    keys = {key for item in value if isinstance(item, dict) for key in item} if isinstance(value, list) else set()
    if {"start", "end", "labels"} <= keys:
        return "labels"
    return next((kind for kind in (*_SPANS_ELSEWHERE, *sorted(_OTHER)) if kind in keys and "start" in keys), "")


def _answer(annotation: _Annotation) -> _Answer:
    regions: list[Region] = []
    other: Counter[str] = Counter()
    for result in annotation.result:
        to_name = result.to_name if isinstance(result.to_name, str) else ""
        if result.type == "labels":
            regions += [Region(to_name, mark) for mark in _marks([_decode_value(result.value)])]
        elif result.type in _SPANS_ELSEWHERE:
            value = msgspec.json.decode(result.value) if result.value else {}
            regions += [Region(to_name, mark) for mark in _marks_elsewhere(result.type, value)]
        else:
            other[result.type] += 1
    return _Answer(regions, other, annotation)


def _marks(values: Iterable[_Value]) -> Iterator[Mark]:
    """Yield a mark for each label of each region; a region without any gives one without a label."""
    for value in values:
        quote = value.text if isinstance(value.text, str) else None
        for label in value.labels or [""]:
            if isinstance(value.start, int) and isinstance(value.end, int):
                yield Mark(value.start, value.end, label, quote)
            else:
                yield Mark(0, 0, label, fault=_not_read("HyperText" if isinstance(value.start, str) else "Audio"))


def _marks_elsewhere(kind: str, value: Any) -> Iterator[Mark]:
    """Yield a mark, with a fault, for each label of a region of another object than text."""
    labels = value.get(kind) if isinstance(value, dict) else None
    for label in labels if isinstance(labels, list) and labels else [""]:
        yield Mark(0, 0, label if isinstance(label, str) else "", fault=_not_read(_SPANS_ELSEWHERE[kind]))


def _not_read(what: str) -> str:
    return f"{what} is not read: only spans of plain text are"


def _is_label_studio(record: Mapping[str, Any]) -> bool:
    """Whether a record has what only Label Studio's have."""
    is_stored = isinstance(record.get("task"), dict) and isinstance(record.get("result"), list)
    is_whole = isinstance(record.get("data"), dict) and ("annotations" in record or "completions" in record)
    return is_stored or is_whole or "annotation_id" in record or "labels" in map(_kind_of_control, record.values())


# ---- What is said about an annotation


def _no_text(data: Mapping[str, Any]) -> str:
    """Return the reason why a task has no text, with the keys that it may be under."""
    keys = [key for key, value in data.items() if isinstance(value, str)]
    return f"no text in data: set field to {' or '.join(keys[:5])}" if keys else "no text in data"


def _verdict(reviews: Any) -> bool | None:
    """Return whether the last review accepted an annotation; None if there is none."""
    found = [review for review in reviews if isinstance(review, dict)] if isinstance(reviews, list) else []
    verdicts = [review.get("accepted") for review in sorted(found, key=lambda one: str(one.get("created_at")))]
    return next((verdict for verdict in reversed(verdicts) if isinstance(verdict, bool)), None)


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


def _meta(data: dict[str, Any], identity: Any, field: str) -> dict[str, Any]:
    """Return the short values in the data, such as the name of the document, and the task's id."""
    short = {key: value for key, value in data.items() if isinstance(value, (str, int, float)) and key != field}
    found = {key: value for key, value in short.items() if not isinstance(value, str) or len(value) <= 200}
    return found | ({"id": identity} if isinstance(identity, (str, int)) else {})
