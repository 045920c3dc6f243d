"""Prodigy's task JSON, of all ages, as answers. All Prodigy readers go through here.

The meaning of the fields was found in real databases and exports: see https://prodi.gy/docs/api-interfaces.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, Literal

import msgspec

from scripts.core.answers import Answer, Kind, Span, Task, are_apart
from scripts.core.hashing import input_hashes
from scripts.sources.documents import TRIMMED, Unusable
from scripts.sources.json_records import UNREADABLE, is_too_deep, reason
from scripts.sources.source import Intake, fit_span, whole_seconds

SAMPLE = 1000  # tasks in which labels are searched to name them in a message
KindSetting = Literal["auto", "manual", "binary"]

# Sessions that nobody named are called by the time of their start, which does not tell who answered.
_UNNAMED_SESSION = re.compile(r"(.*-)?\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", re.DOTALL)


class SpanRecord(msgspec.Struct, gc=False):
    start: int
    end: int
    label: str
    answer: Answer | None = None


class VersionRecord(msgspec.Struct, gc=False):
    """One of the answers that a review shows."""

    spans: list[SpanRecord] | None = None


class TaskRecord(msgspec.Struct, gc=False):
    text: str
    spans: list[SpanRecord] | None = None
    answer: Answer | None = None
    meta: Any = None
    versions: list[VersionRecord] | None = None
    input_hash: Any = msgspec.field(name="_input_hash", default=None)
    view_id: str | None = msgspec.field(name="_view_id", default=None)
    is_binary: bool | None = msgspec.field(name="_is_binary", default=None)
    session_id: str | None = msgspec.field(name="_session_id", default=None)
    annotator_id: str | None = msgspec.field(name="_annotator_id", default=None)
    timestamp: float | None = msgspec.field(name="_timestamp", default=None)


def is_task(content: bytes) -> bool:
    """Whether JSON has what only Prodigy's tasks have: a hash, or a span of their form."""
    try:
        record = decode(content)
    except UNREADABLE:
        return False
    return isinstance(record.input_hash, int) or bool(record.spans)


def labels_in(contents: Iterable[Any], limit: int | None = None) -> Counter[str]:
    """Count the spans of each label in the JSON of tasks, the first or all; what is no task does not count."""
    found: Counter[str] = Counter()
    for content in islice(contents, limit):
        with suppress(*UNREADABLE):
            found.update(span.label for span in decode(content).spans or () if span.label)
    return found


class TaskReader(msgspec.Struct, frozen=True, dict=True):
    """Turns the JSON of tasks into answers.

    kind (KindSetting): The kind of its answers, or "auto" to go by the tasks.
    origin (str): Prodigy's own name of the dataset, a prefix of its session names.
    annotator (str): Who answered, where a task does not tell.
    """

    dataset: str
    labels: Collection[str]
    kind: KindSetting
    origin: str
    annotator: str = ""

    def read(self, contents: Iterable[tuple[str, Any]], intake: Intake) -> Iterator[list[Task]]:
        """Yield the answers in places and JSON of tasks, one task at a time."""
        for source, content in contents:
            if tasks := self.answers(content, source, intake):
                yield tasks

    def answers(self, content: Any, source: str, intake: Intake) -> list[Task]:
        """Return the answers in one task: usually one, one a span for binary tasks, none if it is skipped.

        content (Any): The JSON as bytes or text; anything else is skipped.
        """
        try:
            record = decode(content)
        except UNREADABLE as err:
            intake.record()
            intake.skip(source, reason(err))
            return []
        found = len(record.spans or ())
        intake.record(found)
        try:
            return self._read_record(record, source, intake)
        except Unusable as err:
            intake.skip(source, str(err), found)
            return []

    def _read_record(self, record: TaskRecord, source: str, intake: Intake) -> list[Task]:
        if not record.text or record.text.isspace():
            raise Unusable("text is empty")
        if record.meta and is_too_deep(record.meta):
            raise Unusable("meta is nested too deeply")
        spans = record.spans or ()
        taken, fitted, others, trimmed = self._fit_spans(record.text, spans)
        current_hash, old_hash = input_hashes(record.text)
        task = self._task(record, source, current_hash)
        if task.kind == "binary":
            tasks = _binary_answers(record, task, taken, fitted)
        else:
            task.spans = fitted if are_apart(fitted) else sorted(set(fitted))
            if others:
                task.other_labels = sorted(set(others))
            if task.kind == "review":
                task.versions = [self._version(record.text, version) for version in record.versions or ()]
            tasks = [task]
            for _ in range(len(taken) - len(task.spans)):
                intake.skip_span(source, "span repeated in the same task")
        if others or not tasks:
            intake.other_labels(others, whole_record=not tasks)
        intake.note(TRIMMED, trimmed)
        self._note_oddities(record, task, old_hash, intake)
        return tasks

    def _fit_spans(self, text: str, spans: Iterable[SpanRecord]) -> tuple[list[SpanRecord], list[Span], list[str], int]:
        """Return the spans of the labels that are taken, the same fitted into the text, the labels of the other spans,
        and the number of trimmed ones.

        RAISES (Unusable): If one cannot be used.
        """
        taken, fitted, others = [], [], []
        trimmed = 0
        for span in spans:
            label = span.label
            if not label:
                raise Unusable("span without a label")
            if label in self.labels:
                start, end = span.start, span.end
                fits = fit_span(text, start, end, label)
                if isinstance(fits, str):
                    raise Unusable(f"span: {fits}")
                if fits.start != start or fits.end != end:
                    trimmed += 1
                taken.append(span)
                fitted.append(fits)
            else:
                others.append(label)
        return taken, fitted, others, trimmed

    def _task(self, record: TaskRecord, source: str, input_hash: int) -> Task:
        """Return the answer, but for its spans."""
        return Task(
            input_hash=input_hash,
            text=record.text,
            labels=self._sorted_labels,
            spans=[],
            answer=record.answer or "accept",
            kind=self._kind(record),
            annotator=_annotator(record.annotator_id or record.session_id or "", self.origin) or self.annotator,
            timestamp=whole_seconds(record.timestamp),
            dataset=self.dataset,
            source=source,
            meta=record.meta if isinstance(record.meta, dict) else {},
        )

    @cached_property
    def _sorted_labels(self) -> list[str]:
        return sorted(self.labels)

    def _kind(self, record: TaskRecord) -> Kind:
        if record.versions is not None or record.view_id == "review":
            return "review"
        if self.kind != "auto":
            return self.kind
        if record.is_binary or record.view_id == "ner":
            return "binary"
        if record.view_id is None and any(span.answer for span in record.spans or ()):
            return "binary"  # exports of ner.teach from before tasks named their view
        return "manual"

    def _version(self, text: str, version: VersionRecord) -> list[Span]:
        spans = (fit_span(text, span.start, span.end, span.label) for span in version.spans or ())
        return sorted({span for span in spans if isinstance(span, Span) and span.label in self.labels})

    def _note_oddities(self, record: TaskRecord, task: Task, old_hash: int, intake: Intake) -> None:
        if record.meta is not None and not isinstance(record.meta, dict):
            intake.note("meta that is no object dropped")
        if self.kind == "auto" and task.kind == "manual" and record.view_id is None and record.is_binary is None:
            intake.note("does not tell whether it is manual or binary: taken for manual")
        stored = record.input_hash
        if stored is None or stored == task.input_hash:
            return
        is_old = stored == old_hash
        intake.note("input hash of an old Prodigy version" if is_old else "stored input hash is not that of the text")


def _binary_answers(record: TaskRecord, task: Task, taken: list[SpanRecord], fitted: list[Span]) -> list[Task]:
    """Return an answer for each span: its own if it has one and not all of the record is ignored. RAISES (Unusable)."""
    spans = record.spans or []
    if not spans:
        raise Unusable("binary answer without a span")
    if task.answer == "reject" and sum(span.answer is None for span in spans) > 1:
        raise Unusable("binary reject of several spans at once: which one is wrong is not known")
    answers = ["ignore" if task.answer == "ignore" else span.answer or task.answer for span in taken]
    return [
        msgspec.structs.replace(task, answer=answer, labels=[span.label], spans=[span])
        for answer, span in zip(answers, fitted, strict=True)
    ]


@lru_cache(2**10)
def _annotator(session: str, origin: str) -> str:
    """Return the annotator in the name of a session, "<dataset>-<annotator>", if somebody named it."""
    is_unnamed = session == origin or _UNNAMED_SESSION.fullmatch(session)
    return "" if is_unnamed else session.removeprefix(f"{origin}-")


# Decoding. Most of a task's bytes are its tokens, which nobody needs: they are cut out before the rest is decoded, in a
# third of the time in which a decoder passes over them. Most of the others are its text, which occurs again in dataset
# after dataset: as long as there is room, texts are cached by their JSON.

_TOKENS = b'"tokens":[{'
_SPACED_TOKENS = b'"tokens": [{'
_END_AND_KEY = re.compile(rb'\}\], ?"\w+":')
_CUT = 7_046_029_254  # stands for the tokens, and for the text
_CUT_TOKENS = b'"tokens":%d' % _CUT
_TEXT = b'{"text":'
_SPACED_TEXT = b'{"text": '
_CUT_TEXT = b'{"text":%d' % _CUT
_AFTER_ARRAYS = b",]} \t\r\n"
_BACKSLASH = ord("\\")
_QUOTE = b'"'
_MAX_CACHED = 12 * 2**20  # bytes of JSON; texts take four times as much, with what Python notes of them


class _CutRecord(TaskRecord, gc=False):
    text: str | int  # type: ignore[assignment]
    tokens: int | None = None


decode_whole = msgspec.json.Decoder(TaskRecord).decode
_decode_cut = msgspec.json.Decoder(_CutRecord).decode
_decode_text = msgspec.json.Decoder(str).decode
_cached: dict[bytes, str] = {}
_cached_bytes = 0


def decode(content: Any) -> TaskRecord:
    """Decode a task. What is malformed inside its tokens may pass. RAISES (UNREADABLE): If it is no JSON of one."""
    if isinstance(content, bytes):
        text, text_end = _find_text(content)
        tokens, tokens_end = find_tokens(content, text_end)
        if tokens:
            beginning = _CUT_TEXT if text_end else b""
            try:
                record = _decode_cut(beginning + content[text_end:tokens] + _CUT_TOKENS + content[tokens_end:])
                if record.text == _CUT:
                    record.text = _cached_text(content[text:text_end])
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return decode_whole(content)
            # Else it was the tokens of something inside the task, or its text is a number.
            if record.tokens == _CUT and isinstance(record.text, str):
                return record
    return decode_whole(content)


def _cached_text(content: bytes) -> str:
    global _cached_bytes
    text = _cached.get(content)
    if text is None:
        text = _decode_text(content)
        if _cached_bytes + len(content) <= _MAX_CACHED:
            _cached_bytes += len(content)
            _cached[content] = text
    return text


def _find_text(task: bytes) -> tuple[int, int]:
    """Return start and end of the text of a task that begins with it, with its quotes; (0, 0) if it does not."""
    start = len(_TEXT) if task.startswith(_TEXT) else len(_SPACED_TEXT) if task.startswith(_SPACED_TEXT) else 0
    if not start or not task.startswith(_QUOTE, start):
        return 0, 0
    end = task.find(_QUOTE, start + 1)
    while end > 0 and _is_escaped(task, end):
        end = task.find(_QUOTE, end + 1)
    return start, end + 1


def _is_escaped(task: bytes, position: int) -> bool:
    before = position
    while task[before - 1] == _BACKSLASH:
        before -= 1
    return (position - before) % 2 == 1


def find_tokens(task: bytes, start: int = 0) -> tuple[int, int]:
    """Find an array of objects called tokens, with its name, that another key follows.

    In JSON a quote that no backslash precedes begins or ends a string, and no name follows the end of one. So what is
    found is a key, outside of strings, and so is a bracket between the end of an object and a key. Brackets before it
    are inside strings: what follows them could not follow the end of an array. If this bracket ends an array inside a
    token, then what is left has brackets without partners, and cannot be decoded.

    task (bytes): JSON.
    start (int): A position in it that is not inside a string; what stands before is passed over.
    RETURNS (tuple[int, int]): Start and end; (0, 0) if there is none, or it cannot be told.
    """
    begin = task.find(_TOKENS, start)
    if begin < 0:
        begin = task.find(_SPACED_TOKENS, start)
    if begin < 1 or task[begin - 1] == _BACKSLASH:
        return 0, 0
    end = task.find(b"]", begin)
    while not _END_AND_KEY.match(task, end - 1):
        if end < 0 or task[end + 1 : end + 2] in _AFTER_ARRAYS:
            return 0, 0
        end = task.find(b"]", end + 1)
    return begin, end + 1
