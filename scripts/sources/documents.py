"""What the readers of documents with spans share: from the marks in a text to answers, each mark accounted for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from scripts.core.answers import Answer, Span, Task
from scripts.core.hashing import input_hash
from scripts.sources.offsets import AMBIGUOUS, Mark, Offsets, Unit, in_codepoints
from scripts.sources.source import Intake, fit_span

WithoutSpans = Literal["annotated", "unannotated"]


class Unusable(Exception):
    """Why a document or a span cannot be used; with how many spans of it nobody has accounted for."""

    def __init__(self, reason: str, spans: int = 0) -> None:
        super().__init__(reason)
        self.spans = spans


class Document(msgspec.Struct, frozen=True):
    """A text and what one annotator marked in it.

    text (str): The text.
    marks (Sequence[Mark]): Its spans.
    wrong (Sequence[Mark]): Spans that are known not to be entities of their labels.
    complete (Collection[str] | None): The labels of which all spans are there; None: all.
    answer (Answer): "ignore" where it was skipped.
    annotator (str), timestamp (int | None), meta (dict): As in a Task.
    """

    text: str
    marks: Sequence[Mark]
    wrong: Sequence[Mark] = ()
    complete: Collection[str] | None = None
    answer: Answer = "accept"
    annotator: str = ""
    timestamp: int | None = None
    meta: dict[str, Any] = {}

    @property
    def size(self) -> int:
        """How many spans it has."""
        return len(self.marks) + len(self.wrong)


class Record(msgspec.Struct, frozen=True):
    """What stands at one place of a source: documents by one annotator each; or why it cannot be read.

    source (str): Its place, ending in ":" and a number.
    documents (Sequence[Document]): None if nobody has annotated it yet.
    fault (str): Why the whole of it cannot be used.
    """

    source: str
    documents: Sequence[Document] = ()
    fault: str = ""


class DocumentReader(msgspec.Struct, frozen=True):
    """Turns records into answers. A document is complete for the labels, but for those of which a span had to be
    refused in it: of these only the spans that could be read are taken, each as an answer about itself alone.

    dataset (str): The name of the `[datasets.*]` block.
    labels (Sequence[str]): The labels that were annotated in it.
    without_spans (WithoutSpans): What a document without any span is: "annotated", and nothing was found, or
        "unannotated" as yet.
    offsets (Offsets), usual (Unit): See `in_codepoints`.
    """

    dataset: str
    labels: Sequence[str]
    without_spans: WithoutSpans = "annotated"
    offsets: Offsets = "codepoints"
    usual: Unit = "codepoints"

    def read(self, records: Iterable[Record], intake: Intake) -> Iterator[list[Task]]:
        """The answers, those of one record at a time. It is noted if a label never occurs."""
        unseen = set(self.labels)
        for record in records:
            if tasks := self.answers(record, intake):
                unseen.difference_update(span.label for task in tasks for span in task.spans)
                yield tasks
        note_unseen(unseen, intake)

    def answers(self, record: Record, intake: Intake) -> list[Task]:
        """The answers in one record; none if it is refused or left out, which the intake is told."""
        size = sum(document.size for document in record.documents)
        intake.record(size)
        if record.fault:
            intake.skip(record.source, record.fault, size)
            return []
        tasks = []
        faults = []
        for document in record.documents:
            try:
                tasks += self._judge(document, record.source, intake)
            except Unusable as err:
                faults.append(err)
        if faults:
            _account(record.source, faults, bool(tasks), intake)
        elif not tasks:
            intake.other_labels(0, whole_record=True)
            intake.note("not annotated yet")
        return tasks

    def _judge(self, document: Document, source: str, intake: Intake) -> list[Task]:
        """None if it is not annotated yet. RAISES (Unusable): If nothing of it can be used."""
        if not document.text or document.text.isspace():
            raise Unusable("text is empty", document.size)
        if not document.size and (self.without_spans == "unannotated" or document.complete == ()):
            return []
        marks = self._located(document)
        right, wrong = marks[: len(document.marks)], marks[len(document.marks) :]
        spans, incomplete = self._fitted(document.text, right, source, intake)
        rejected, _ = self._fitted(document.text, wrong, source, intake)
        if document.complete is not None:
            incomplete |= set(self.labels) - set(document.complete)
        task = self._task(document, source)
        tasks = answers(task, dict.fromkeys(spans, source), incomplete)
        tasks += [replace(task, kind="binary", answer="reject", labels=[one.label], spans=[one]) for one in rejected]
        if not tasks:
            raise Unusable("no label of it could be read completely")
        return tasks

    def _located(self, document: Document) -> list[Mark]:
        """All marks, in code points. RAISES (Unusable): If it cannot be told how they are counted."""
        marks = [*document.marks, *document.wrong]
        located = in_codepoints(document.text, marks, self.offsets, self.usual)
        if located is None:
            raise Unusable(AMBIGUOUS, len(marks))
        return located

    def _fitted(self, text: str, marks: Sequence[Mark], source: str, intake: Intake) -> tuple[list[Span], set[str]]:
        """The spans that can be used, and the labels of which one cannot."""
        spans: dict[Span, None] = {}
        incomplete: set[str] = set()
        for mark in marks:
            if mark.label and mark.label not in self.labels:
                intake.other_labels(1)
                continue
            span = _fit(text, mark)
            if isinstance(span, str):
                intake.skip_span(source, span)
                # Where there is no label it may have been any.
                incomplete.update([mark.label] if mark.label else self.labels)
            elif span in spans:
                intake.skip_span(source, "span repeated in the same text")
            else:
                spans[span] = None
                intake.note("blanks at the edges of a span trimmed", (span.start, span.end) != (mark.start, mark.end))
        note_incomplete(incomplete, intake)
        return list(spans), incomplete

    def _task(self, document: Document, source: str) -> Task:
        return Task(
            input_hash=input_hash(document.text),
            text=document.text,
            labels=sorted(set(self.labels)),
            spans=[],
            answer=document.answer,
            kind="manual",
            annotator=document.annotator,
            timestamp=document.timestamp,
            dataset=self.dataset,
            source=source,
            meta=document.meta,
        )


def answers(task: Task, spans: Mapping[Span, str], incomplete: AbstractSet[str]) -> list[Task]:
    """One answer that is complete for its labels, and one a span of labels of which spans are missing.

    task (Task): As it is but for its spans, with all labels.
    spans (Mapping[Span, str]): The spans, and where each stands.
    incomplete (Set[str]): Labels of which spans are missing.
    """
    complete = [label for label in task.labels if label not in incomplete]
    taken = sorted(span for span in spans if span.label not in incomplete)
    found = [replace(task, labels=complete, spans=taken)] if complete else []
    return found + [
        replace(task, kind="binary", labels=[span.label], spans=[span], source=source)
        for span, source in spans.items()
        if span.label in incomplete
    ]


def note_incomplete(labels: Collection[str], intake: Intake) -> None:
    """Note of how many labels a span was refused in a text."""
    intake.note("labels not taken as complete in a text, since a span of theirs was refused", len(labels))


def note_unseen(labels: Iterable[str], intake: Intake) -> None:
    """Note labels that were asked for and are nowhere."""
    for label in sorted(labels):
        intake.note(never_occurs(label))


def never_occurs(label: str) -> str:
    """The note that a label which was asked for is nowhere."""
    return f"label {label} never occurs"


def _account(source: str, faults: Sequence[Unusable], rest_is_used: bool, intake: Intake) -> None:
    """Tell of documents that cannot be used: the record is refused, or, if others in it can be, their spans."""
    if not rest_is_used:
        intake.skip(source, str(faults[0]), sum(fault.spans for fault in faults))
        return
    for fault in faults:
        intake.note("one of several answers about a text could not be used")
        for _ in range(fault.spans):
            intake.skip_span(source, str(fault))


def _fit(text: str, mark: Mark) -> Span | str:
    """The span, or why it cannot be used."""
    if mark.fault or not mark.label:
        return mark.fault or "span without a label"
    span = fit_span(text, mark.start, mark.end, mark.label)
    if isinstance(span, Span) and not mark.fits(text):
        return "quoted text is not what stands at the offsets"
    return span
