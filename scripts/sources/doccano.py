"""doccano's exports for sequence labelling, of all its versions: JSONL or JSON, plain or gzipped.

See https://doccano.github.io/doccano/. A project that its users share is exported as one file, `all.jsonl`; any other
as a zip with a file a user, `ada.jsonl`.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
from msgspec.structs import replace

from scripts.core.settings import registry
from scripts.sources.documents import Document, Record, WithoutSpans
from scripts.sources.files import Files, NamedFile
from scripts.sources.folders import split_of
from scripts.sources.json_records import UNREADABLE, any_record, is_too_deep, json_records, reason
from scripts.sources.limits import sized
from scripts.sources.offsets import Mark, Offsets, Unit, UnitEvidence
from scripts.sources.source import Intake

_TEXT = ("text", "data")
_ENTITIES = "entities"
_SPANS = ("label", "labels", _ENTITIES, "annotations")
_USER = ("username", "user", "annotator")
_APPROVER = "annotation_approver"
_NO_META = {*_TEXT, *_SPANS, *_USER, _APPROVER, "relations", "meta", "metadata", "Comments", "comments", "cats"}
_LABEL_DEFINITION = {"background_color", "backgroundColor"}  # of the project's file of labels, which has texts too
_NOBODY = {"all", "unknown"}  # what doccano calls the users of a shared project, and that of texts without spans

LABEL_ID = "label that is an id of doccano, no name: set label_names"
SHARED = "text with spans of several users, taken as one answer: set users to each if they worked apart"
APART = "text with spans of several users, an answer of each: set users to one if they shared the project"


class _Span(msgspec.Struct, gc=False):
    """A span of versions that export objects. user is the id of who made it; label may be an id too."""

    start_offset: int
    end_offset: int
    label: str | int
    user: str | int | None = None


_decode = msgspec.json.Decoder(dict[str, Any]).decode
_Spans = list[tuple[int, int, str | int] | _Span] | None


@registry.readers("labelwise.Doccano.v1")
class Doccano(Files, frozen=True):
    """Read a doccano export, whatever it calls its fields: `label`, `labels`, `entities` or `annotations`.

    path (str): The file, or a folder with a file for each user, which is named as its user.
    without_spans (str): A text without spans is "unannotated", since doccano exports texts that nobody has opened yet
        too; or "annotated", and has no entity, where only confirmed texts were exported. A text that has an
        `annotation_approver` counts as annotated.
    offsets (str): Their unit: "codepoints", "graphemes" (projects that count grapheme clusters as one
        character), "utf16" (some versions of doccano), "codepoints_crlf" and "utf16_crlf" (with the line ends of
        Windows as one character), "bytes", or "auto": as the boundaries of words tell.
    annotator (str): Who annotated, where the export does not tell.
    label_names (dict[str, str]): The names of labels, in exports that have their ids: `{"3": "ORG"}`.
    users (str): Where spans have the ids of users, those of a text are "one" answer, since its users share a project,
        or an answer of "each"; "auto": of each if several mark the same places.
    keys (list[str]): The fields of the spans; of a row that has several, the first is taken. If not given, those that
        have spans, `entities` first where there are relations or categories, else `label`.
    """

    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".json", ".json1")
    without_spans: WithoutSpans = "unannotated"
    offsets: Offsets = "auto"
    label_names: Mapping[str, str] | None = None
    users: Literal["auto", "one", "each"] = "auto"
    keys: Sequence[str] = ()

    def offset_units(self) -> tuple[Offsets, Unit]:
        """As set; doccano itself counts code points."""
        return self.offsets, "codepoints"

    def recognizes(self) -> bool:
        """Whether a record looks like doccano's."""
        return any_record(self.files(), _is_doccano)

    def first_look(self, intake: Intake) -> tuple[Doccano, UnitEvidence]:
        """Return the source with its keys and users that are "one" or "each", and the evidence of its spans."""
        source = self if self.keys else replace(self, keys=self._find_keys())
        evidence = UnitEvidence()
        together = apart = 0  # texts
        for content in self._contents():
            if content.isascii() and b"\\" not in content and b'"user"' not in content:
                continue  # all units are the same in it, and nothing tells its users
            try:
                documents = source._documents(_decode(content), "", Intake(lambda _: None))
            except UNREADABLE:
                continue
            for document in documents:
                evidence.add(document.text, document.marks)
            if len(documents) > 1:
                is_apart = _mark_the_same(documents)
                together, apart = together + (not is_apart), apart + is_apart
        users: Literal["one", "each"] = "each" if apart > together else "one"
        return (replace(source, users=users) if self.users == "auto" else source), evidence

    def _find_keys(self) -> list[str]:
        """Return the fields that have spans, the preferred one first."""
        found: set[str] = set()
        is_mixed = False
        for content in self._contents():
            with suppress(*UNREADABLE):
                record = _decode(content)
                found.update(_keys_with_spans(record))
                is_mixed = is_mixed or "relations" in record or "cats" in record
        order = (_ENTITIES, *_SPANS) if is_mixed else _SPANS
        return [key for key in dict.fromkeys(order) if key in found]

    def _contents(self) -> Iterator[bytes]:
        return (content for path, _ in self.files() for _, content in json_records(str(path)))

    def findings(self) -> list[str]:
        """Tell which labels are ids, and what texts without spans are taken for."""
        intake = Intake(lambda _: None)
        labels = Counter[str]()
        source, _ = self.first_look(intake)
        without = 0
        for record in source._all_records(self.files(), intake):
            labels.update(mark.label for document in record.documents for mark in document.marks)
            without += any(
                not (document.size or document.confirmed or document.no_answer) for document in record.documents
            )
        told = []
        if intake.notes[LABEL_ID]:
            ids = sorted(filter(str.isdecimal, labels), key=int)
            names = json.dumps(dict.fromkeys(ids, ""))
            told.append(f"labels {', '.join(ids)} are ids of doccano, no names: label_names = {names}")
        if without and self.without_spans == "unannotated":
            told.append(f'{without:,} × text without spans, not annotated yet: without_spans = "annotated" if they are')
        return Files.findings(self) + told

    def _all_records(self, files: Iterable[NamedFile], intake: Intake) -> Iterator[Record]:
        """Stream the rows of files; of several, each is named as its user, unless it is a split."""
        several = len(self.files()) > 1
        for path, name in files:
            yield from self._records(path, name, _user_of(name) if several else "", intake)

    def _records(self, path: Path, name: str, user: str, intake: Intake) -> Iterator[Record]:
        for place, content in json_records(str(path)):
            source = f"{name}:{place.rpartition(':')[2]}"
            try:
                record = _decode(sized(content))
                if other := _other_subject(record):
                    yield Record(source, [Document("", (), no_answer=other)])
                    continue
                documents = self._documents(record, user, intake)
            except UNREADABLE as err:
                yield Record(source, fault=reason(err))
                continue
            fault = "meta is nested too deeply" if is_too_deep(documents[0].meta) else ""
            if record.get("relations"):
                intake.note("relations are not read")
            if record.get("cats"):
                intake.note("categories are not read")
            yield Record(source, documents, fault)

    def _documents(self, record: dict[str, Any], user: str, intake: Intake) -> Sequence[Document]:
        """Return the document of each user with spans, or that of all. RAISES (ValidationError): If it is no such row.

        user (str): Of the file.
        """
        text = msgspec.convert(next((record[key] for key in _TEXT if key in record), None), str)
        taken = next((key for key in self.keys if record.get(key) is not None), "")
        malformed = (record[key] for key in _SPANS if record.get(key) and not isinstance(record[key], list))
        spans = msgspec.convert(record.get(taken) if taken else next(malformed, None), _Spans) or ()
        for key in _keys_with_spans(record):
            if key != taken:
                intake.note(f"spans under {key} are not taken: set keys", len(record[key]))
        by_user: dict[str, list[Mark]] = defaultdict(list)
        for span in spans:
            of, mark = self._mark(span, intake)
            by_user[of].append(mark)
        user = next((_name(record[key]) for key in _USER if _name(record.get(key))), _name(user)) or self.annotator
        if len(by_user) > 1:
            intake.note(SHARED if self.users == "one" else APART)
            if self.users == "one":
                by_user = {"": [mark for marks in by_user.values() for mark in marks]}
        document = Document(text, (), annotator=user, meta=_meta(record), confirmed=bool(record.get(_APPROVER)))
        return [
            replace(document, marks=marks, annotator=of or user) for of, marks in sorted((by_user or {"": []}).items())
        ]

    def _mark(self, span: tuple[int, int, str | int] | _Span, intake: Intake) -> tuple[str, Mark]:
        """Return the user who marked it, if the export tells, and the mark."""
        if isinstance(span, _Span):
            start, end, label, user = span.start_offset, span.end_offset, span.label, span.user
        else:
            (start, end, label), user = span, None
        name = (self.label_names or {}).get(str(label), "")
        if not name and isinstance(label, int):
            intake.note(LABEL_ID)
        return "" if user is None else str(user), Mark(start, end, name or str(label))


def _user_of(name: str) -> str:
    """Return the user whose file it is, or whose folder, where the file is called as that of all."""
    *folders, file = name.split("/")
    stem = file.split(".")[0]
    if split_of(stem):
        return ""
    return folders[-1] if folders and stem in _NOBODY else stem


def _name(user: Any) -> str:
    """Return the name or id of a user; nothing if it is none."""
    is_name = isinstance(user, (str, int)) and not isinstance(user, bool)
    return str(user) if is_name and str(user) not in _NOBODY else ""


def _mark_the_same(documents: Sequence[Document]) -> bool:
    """Whether several users mark the same places in a text: then they did not see what others had marked."""
    marked = Counter(place for document in documents for place in {mark[:2] for mark in document.marks})
    return any(users > 1 for users in marked.values())


def _keys_with_spans(record: Mapping[str, Any]) -> list[str]:
    """Return the fields of a row that have something else than names of categories."""
    found = ((key, record.get(key)) for key in _SPANS)
    return [key for key, value in found if isinstance(value, list) and any(not isinstance(one, str) for one in value)]


def _other_subject(record: Mapping[str, Any]) -> str:
    """Return what a row is about, if not about spans: labels that are names or texts are of projects for
    classification, translation or summaries.
    """
    if _keys_with_spans(record):
        return ""
    if any(record.get(key) for key in _SPANS if isinstance(record.get(key), (str, list))):
        return "category or text, no spans"
    return "definition of a label" if _LABEL_DEFINITION & set(record) else ""


def _is_doccano(record: Mapping[str, Any]) -> bool:
    """Whether a row has a text and spans as doccano writes them."""
    has_text = any(isinstance(record.get(key), str) for key in _TEXT)
    keys = _keys_with_spans(record) if has_text else []
    with suppress(msgspec.ValidationError):
        return any(msgspec.convert(record[key], _Spans) for key in keys)
    return False


def _meta(record: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata: beside the other fields in newer versions, `meta` or `metadata` in older ones."""
    inner = record.get("meta") or record.get("metadata")
    own = {key: value for key, value in record.items() if key not in _NO_META}
    return own | (inner if isinstance(inner, dict) else {})
