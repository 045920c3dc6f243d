"""Prodigy's task JSON, of all ages, as answers. All Prodigy readers go through here.

The meaning of the fields was found in real databases and exports: see https://prodi.gy/docs/api-interfaces.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

import msgspec

from scripts.core.answers import Answer, Kind, Span, Task, are_apart
from scripts.core.texts import input_hashes
from scripts.sources.documents import TRIMMED, Unusable
from scripts.sources.json_records import UNREADABLE, is_too_deep, reason
from scripts.sources.offsets import INSIDE_WORD, Boundaries, Mark, Offsets, convert, has_boundary_inside_word
from scripts.sources.prodigy_decoding import SpanRecord, TaskRecord, VersionRecord, decode
from scripts.sources.prodigy_views import (
    KIND_OF_VIEW,
    Evidence,
    KindSetting,
    TaskMarks,
    find_evidence,
    kind_of,
    marks_of,
    other_subject,
)
from scripts.sources.source import NO_TIME, Intake, fit_span, whole_seconds

SAMPLE = 1000  # tasks in which labels are searched to name them in a message

# Sessions that nobody named are called by the time of their start, which does not tell who answered.
_UNNAMED_SESSION = re.compile(r"(.*-)?\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", re.DOTALL)


class NoAnswer(Exception):
    """A task that is no answer about spans; its message names what it is about."""


def is_task(content: bytes) -> bool:
    """Whether JSON has what only Prodigy's tasks have: a hash, or a span of their form."""
    with suppress(*UNREADABLE):
        if isinstance(marks_of(content).input_hash, int):
            return True
        return bool(decode(content).spans)
    return False


def labels_in(
    contents: Callable[[], Iterable[Any]], limit: int | None = None, kind: KindSetting = "auto"
) -> Counter[str]:
    """Count the spans of each label in the tasks of a dataset, the first or all; those that are no answers about spans
    do not count.

    contents (Callable[[], Iterable[Any]]): Gives the JSON of the tasks.
    """
    found: Counter[str] = Counter()
    evidence = find_evidence(islice(contents(), SAMPLE))
    for content in islice(contents(), limit):
        with suppress(*UNREADABLE):
            record = decode(content)
            if record.answer is None and kind == "auto" and evidence.has_answers:
                continue
            if record.view_id in KIND_OF_VIEW or not other_subject(marks_of(content), kind, evidence):
                found.update(span.label for span in record.spans or () if span.label)
    return found


class TaskReader(msgspec.Struct, frozen=True, dict=True):
    """Turns the JSON of tasks into answers.

    kind (KindSetting): The kind of its answers, or "auto" to go by the tasks.
    origin (str): Prodigy's own name of the dataset, a prefix of its session names.
    annotator (str): Who answered, where a task does not tell.
    sample (Callable[[], Iterable[Any]]): Gives the JSON of the first tasks of the dataset, for tasks that do not tell
        what they are.
    offsets (Offsets): Their unit; "auto": code points, as Prodigy counts, checked by the boundaries of words.
    """

    dataset: str
    labels: Collection[str]
    kind: KindSetting
    origin: str
    annotator: str = ""
    sample: Callable[[], Iterable[Any]] = tuple
    offsets: Offsets = "auto"

    def read(self, contents: Iterable[tuple[str, Any]], intake: Intake) -> Iterator[list[Task]]:
        """Yield the answers in places and JSON of tasks, one task at a time.

        RAISES (UserError): At the end, if the offsets of the spans seem to be shifted.
        """
        for source, content in contents:
            if tasks := self.answers(content, source, intake):
                yield tasks
        if self.offsets == "auto":
            spans = intake.spans
            taken = spans["read"] - spans["other_labels"] - spans["no_answer"] - spans["skipped"]
            self._boundaries.check(self.origin, taken)

    def answers(self, content: Any, source: str, intake: Intake) -> list[Task]:
        """Return the answers in one task: usually one, one a span for binary tasks, none if it is skipped.

        content (Any): The JSON as bytes or text; anything else is skipped.
        """
        try:
            record = decode(content)
        except UNREADABLE as err:
            self._skip_unreadable(content, err, source, intake)
            return []
        found = len(record.spans or ())
        intake.record(found)
        try:
            return self._read_record(record, content, source, intake)
        except NoAnswer as subject:
            intake.no_answer(no_answer(str(subject)), found)
        except Unusable as err:
            intake.skip(source, str(err), found)
        return []

    def _skip_unreadable(self, content: Any, err: Exception, source: str, intake: Intake) -> None:
        """Skip what is no task with a text and spans, unless it is a task about something else."""
        with suppress(*UNREADABLE):
            marks = marks_of(content)
            if subject := other_subject(marks, self.kind, self._evidence):
                spans = marks.number_of_spans()
                intake.record(spans)
                intake.no_answer(no_answer(subject), spans)
                return
        intake.record()
        intake.skip(source, reason(err))

    def _read_record(self, record: TaskRecord, content: Any, source: str, intake: Intake) -> list[Task]:
        kind = self._kind(record, content, intake)
        if not record.text or record.text.isspace():
            raise Unusable("text is empty")
        if record.meta and is_too_deep(record.meta):
            raise Unusable("meta is nested too deeply")
        if record.spans and self._converts:
            record.spans = _in_codepoints(record.text, record.spans, self.offsets)
        taken, fitted, others, trimmed, inside = self._fit_spans(record.text, record.spans or ())
        if inside:
            self._boundaries.add_all(record.text, inside, source)
            intake.note(INSIDE_WORD, len(inside))
        current_hash, old_hash = input_hashes(record.text)
        task = self._task(record, kind, source, current_hash)
        if kind == "binary":
            tasks = _binary_answers(record, task, taken, fitted)
        else:
            tasks = self._complete_answers(record, task, taken, fitted, others)
            for _ in range(len(taken) - sum(len(one.spans) for one in tasks)):
                intake.skip_span(source, "span repeated in the same task")
        if others or not tasks:
            intake.other_labels([span.label for span in others], whole_record=not tasks)
        intake.note(TRIMMED, trimmed)
        _note_oddities(record, task, old_hash, intake)
        return tasks

    def _kind(self, record: TaskRecord, content: Any, intake: Intake) -> Kind:
        """Return the kind of an answer. RAISES (NoAnswer): If it is not about spans."""
        kind = KIND_OF_VIEW.get(record.view_id)
        if kind is None:
            kind = self._kind_by_marks(marks_of(content), intake)
        elif record.versions is not None:
            kind = "review"
        elif self.kind != "auto":
            kind = self.kind
        elif record.is_binary:
            kind = "binary"
        if record.answer is None and self.kind == "auto" and self._evidence.has_answers:
            raise NoAnswer("not answered, as others are; kind takes it")
        return kind

    def _kind_by_marks(self, marks: TaskMarks, intake: Intake) -> Kind:
        """Return the kind of an answer whose interface does not tell it. RAISES (NoAnswer)."""
        if subject := other_subject(marks, self.kind, self._evidence):
            raise NoAnswer(subject)
        kind, note = kind_of(marks, self.kind, self._evidence)
        if marks.answer is not None or not self._evidence.has_answers:
            intake.note(note, bool(note))
        return kind

    @cached_property
    def _converts(self) -> bool:
        return self.offsets not in ("auto", "codepoints")

    @cached_property
    def _boundaries(self) -> Boundaries:
        return Boundaries()

    @cached_property
    def _evidence(self) -> Evidence:
        return find_evidence(islice(self.sample(), SAMPLE))

    def _complete_answers(
        self, record: TaskRecord, task: Task, taken: list[SpanRecord], fitted: list[Span], others: list[SpanRecord]
    ) -> list[Task]:
        """Return the complete answer, and those about single spans of it that have an answer of their own."""
        task.spans = fitted if are_apart(fitted) else sorted(set(fitted))
        if others:
            task.other_labels = sorted({span.label for span in others})
            task.other_places = sorted({(span.start, span.end) for span in others})
        if task.kind == "review":
            task.versions = [self._version(record.text, version) for version in record.versions or ()]
        for span in taken:
            if span.answer is not None and task.answer == "accept":
                return _single_out(task, taken, fitted)
        return [task]

    def _fit_spans(
        self, text: str, spans: Iterable[SpanRecord]
    ) -> tuple[list[SpanRecord], list[Span], list[SpanRecord], int, list[Mark]]:
        """Return the spans of the labels that are taken, the same fitted into the text, the other spans,
        the number of trimmed ones, and those that start or end inside a word.

        RAISES (Unusable): If one cannot be used.
        """
        taken, fitted, others, inside = [], [], [], []
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
                # Most spans have no letter beside them.
                if text[start - 1].isalnum() or text[end : end + 1].isalnum():
                    inside += [Mark(start, end, label)] if has_boundary_inside_word(text, start, end) else []
                taken.append(span)
                fitted.append(fits)
            else:
                others.append(span)
        return taken, fitted, others, trimmed, inside

    def _task(self, record: TaskRecord, kind: Kind, source: str, input_hash: int) -> Task:
        """Return the answer, but for its spans."""
        return Task(
            input_hash=input_hash,
            text=record.text,
            labels=self._sorted_labels,
            spans=[],
            answer=record.answer or "accept",
            kind=kind,
            annotator=_annotator(record.annotator_id or record.session_id or "", self.origin) or self.annotator,
            timestamp=whole_seconds(record.timestamp),
            dataset=self.dataset,
            source=source,
            meta=record.meta if isinstance(record.meta, dict) else {},
        )

    @cached_property
    def _sorted_labels(self) -> list[str]:
        return sorted(self.labels)

    def _version(self, text: str, version: VersionRecord) -> list[Span]:
        shown = version.spans or []
        shown = _in_codepoints(text, shown, self.offsets) if self._converts else shown
        found = (span for span in shown if span.answer != "reject")
        spans = (fit_span(text, span.start, span.end, span.label) for span in found)
        return sorted({span for span in spans if isinstance(span, Span) and span.label in self.labels})


def _in_codepoints(text: str, spans: Iterable[SpanRecord], unit: Any) -> list[SpanRecord]:
    """RAISES (Unusable): If an offset is inside a character."""
    converted = []
    marks = convert(text, [Mark(span.start, span.end, span.label) for span in spans], unit)
    for span, mark in zip(spans, marks, strict=True):
        if mark.fault:
            raise Unusable(f"span: {mark.fault}")
        converted.append(msgspec.structs.replace(span, start=mark.start, end=mark.end))
    return converted


def _note_oddities(record: TaskRecord, task: Task, old_hash: int, intake: Intake) -> None:
    if record.answer is None:
        intake.note("has no answer: taken for accepted")
    if record.meta is not None and not isinstance(record.meta, dict):
        intake.note("meta that is no object dropped")
    if task.timestamp is None and record.timestamp is not None:
        intake.note(NO_TIME)
    stored = record.input_hash
    if stored is not None and stored != task.input_hash:
        is_old = stored == old_hash
        intake.note("input hash of an old Prodigy version" if is_old else "stored input hash is not that of the text")


def _single_out(task: Task, taken: list[SpanRecord], fitted: list[Span]) -> list[Task]:
    """Return a complete answer without the spans in it that are rejected or ignored, and an answer about each of them.
    It is not complete for the labels of ignored ones: their other spans are answers of their own too.
    """
    answers: dict[Span, Answer] = {}
    for span, fits in zip(taken, fitted, strict=True):
        if answers.get(fits) != "reject":
            answers[fits] = span.answer or "accept"
    untold = {span.label for span, answer in answers.items() if answer == "ignore"}
    alone = msgspec.structs.replace(task, kind="binary", versions=[], other_labels=[], other_places=[])
    task.labels = [label for label in task.labels if label not in untold]
    task.spans = sorted(span for span, answer in answers.items() if answer == "accept" and span.label not in untold)
    complete = set(task.spans)
    return [task] * bool(task.labels) + [
        msgspec.structs.replace(alone, labels=[span.label], spans=[span], answer=answer)
        for span, answer in sorted(answers.items())
        if span not in complete
    ]


def _binary_answers(record: TaskRecord, task: Task, taken: list[SpanRecord], fitted: list[Span]) -> list[Task]:
    """Return an answer for each span: its own if it has one and not all of the record is ignored.

    RAISES (Unusable): If it cannot be told which span is meant.
    RAISES (NoAnswer): If there is none.
    """
    spans = record.spans or []
    if not spans:
        raise NoAnswer("yes or no without a span")
    if task.answer == "reject" and sum(span.answer is None for span in spans) > 1:
        raise Unusable("binary reject of several spans at once: which one is wrong is not known")
    answers = ["ignore" if task.answer == "ignore" else span.answer or task.answer for span in taken]
    return [
        msgspec.structs.replace(task, answer=answer, labels=[span.label], spans=[span])
        for answer, span in zip(answers, fitted, strict=True)
    ]


def no_answer(subject: str) -> str:
    """Return the note about a task that is no answer about spans."""
    return f"no answer about spans: {subject}"


@lru_cache(2**10)
def _annotator(session: str, origin: str) -> str:
    """Return the annotator in the name of a session, "<dataset>-<annotator>", if somebody named it."""
    is_unnamed = session == origin or _UNNAMED_SESSION.fullmatch(session)
    return "" if is_unnamed else session.removeprefix(f"{origin}-")
