"""Documents with marked spans, as most formats have them, and their way to answers, with an account of each mark."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from scripts.core.answers import Answer, Span, Task
from scripts.core.texts import input_hash
from scripts.sources.offsets import AMBIGUOUS, INSIDE_WORD, Boundaries, Mark, Unit, convert, counted_otherwise, unit_of
from scripts.sources.source import Intake, fit_span

WithoutSpans = Literal["auto", "annotated", "unannotated"]


class Unusable(Exception):
    """The reason why a document cannot be used, and the number of its spans that are not accounted for yet."""

    def __init__(self, reason: str, spans: int = 0) -> None:
        super().__init__(reason)
        self.spans = spans


class Document(msgspec.Struct, frozen=True):
    """A text with the marks of one annotator.

    wrong (Sequence[Mark]): Spans that are known not to be entities of their labels.
    complete (Collection[str] | None): The labels of which all spans are marked; None: all.
    answer (Answer): "ignore" where it was skipped by its annotator.
    annotator (str), timestamp (int | None), meta (dict): As in a Task.
    decides (bool): Whether it overrules other documents about the text, as a curated one: its answer is a review.
    no_answer (str): Why it is no answer about spans, if it is none, as that nobody has finished it.
    confirmed (bool): Whether somebody said that it is done: without spans it has none, whatever `without_spans` says.
    """

    text: str
    marks: Sequence[Mark]
    wrong: Sequence[Mark] = ()
    complete: Collection[str] | None = None
    answer: Answer = "accept"
    annotator: str = ""
    timestamp: int | None = None
    meta: dict[str, Any] = {}
    decides: bool = False
    no_answer: str = ""
    confirmed: bool = False

    @property
    def size(self) -> int:
        """Number of spans."""
        return len(self.marks) + len(self.wrong)


class Record(msgspec.Struct, frozen=True):
    """One text of a source: a document for each of its annotators.

    source (str): Its place, ending in ":" and a number.
    documents (Sequence[Document]): Empty if nobody has annotated it yet.
    fault (str): The reason to skip the whole of it, if any.
    """

    source: str
    documents: Sequence[Document] = ()
    fault: str = ""


class DocumentReader(msgspec.Struct, frozen=True):
    """Turns records into answers. A document is complete for the labels, except for those of which it has a span that
    is skipped: the other spans of such a label are taken one by one, each as a binary answer.

    without_spans (WithoutSpans): A document without any span is "annotated", and has none, or "unannotated" as yet.
    units (tuple[Unit, ...]): The unit of the offsets; several where documents have to tell it, see `unit_of`.
    usual (Unit | None): The unit that the format usually counts in, where the spans tell the unit; None where it is
        certain or set.
    boundaries (Boundaries): Counts of the spans.
    """

    dataset: str
    labels: Sequence[str]
    without_spans: WithoutSpans = "annotated"
    units: tuple[Unit, ...] = ("codepoints",)
    usual: Unit | None = None
    boundaries: Boundaries = msgspec.field(default_factory=Boundaries)

    def read(self, records: Iterable[Record], intake: Intake) -> Iterator[list[Task]]:
        """Yield the answers, those of one record at a time."""
        for record in records:
            if tasks := self._read_record(record, intake):
                yield tasks

    def _read_record(self, record: Record, intake: Intake) -> list[Task]:
        """Return the answers of a record; if there is none, the intake is told the reason."""
        size = sum(document.size for document in record.documents)
        intake.record(size)
        if record.fault:
            intake.skip(record.source, record.fault, size)
            return []
        tasks: list[Task] = []
        unusable: list[Unusable] = []
        for document in record.documents:
            try:
                tasks += self._read_document(document, record.source, intake)
            except Unusable as err:
                unusable.append(err)
        if tasks:
            for reason in unusable:
                intake.note("one of several answers about a text could not be used")
                for _ in range(reason.spans):
                    intake.skip_span(record.source, str(reason))
            _count_unanswered(record, intake)
        elif unusable:
            intake.skip(record.source, str(unusable[0]), sum(reason.spans for reason in unusable))
        else:
            _count_without_answer(record, intake)
        return tasks

    def _read_document(self, document: Document, source: str, intake: Intake) -> list[Task]:
        """Return its answers about the labels; none if it has none. RAISES (Unusable): If it cannot be used."""
        if document.no_answer:
            return []
        if not document.text or document.text.isspace():
            raise Unusable("text is empty", document.size)
        if is_address(document.text) or (_is_link(document.text) and document.size and not _has_quote(document)):
            raise Unusable("the text is not there, but the address of a file", document.size)
        if (
            not document.size
            and not document.confirmed
            and (self.without_spans == "unannotated" or document.complete == ())
        ):
            return []
        marks = self._in_codepoints(document, intake)
        right, wrong = marks[: len(document.marks)], marks[len(document.marks) :]
        spans, incomplete = self._fit_marks(document.text, right, source, intake)
        rejected, _ = self._fit_marks(document.text, wrong, source, intake)
        is_usable = not incomplete
        if document.complete is not None:
            incomplete |= set(self.labels) - set(document.complete)
        others = [mark for mark in right if mark.label and mark.label not in self.labels]
        tasks = self._answers(document, source, spans, rejected, incomplete, others)
        if not tasks and not is_usable:
            raise Unusable("no label of it could be read completely")
        return tasks

    def _in_codepoints(self, document: Document, intake: Intake) -> list[Mark]:
        """Return all marks, with offsets in code points. RAISES (Unusable): If their unit cannot be told."""
        text, marks = document.text, [*document.marks, *document.wrong]
        if self.usual is None:
            return convert(text, marks, self.units[0])
        unit = unit_of(text, marks, self.units)
        if unit is None:
            raise Unusable(AMBIGUOUS, document.size)
        converted = convert(text, marks, unit)
        if unit != self.usual and converted != convert(text, marks, self.usual):
            intake.note(counted_otherwise(unit))
        return converted

    def _fit_marks(
        self, text: str, marks: Iterable[Mark], source: str, intake: Intake
    ) -> tuple[dict[Span, str], set[str]]:
        """Return the spans that can be used, with their places, and the labels of which a span is skipped."""
        places: dict[Span, str] = {}
        incomplete: set[str] = set()
        for mark in marks:
            if mark.label and mark.label not in self.labels:
                intake.other_labels([mark.label])
                continue
            place = mark.place or source
            span = _fit(text, mark)
            if isinstance(span, str):
                intake.skip_span(place, span)
                # A mark without a label may be of any.
                incomplete.update([mark.label] if mark.label else self.labels)
            elif span in places:
                intake.skip_span(place, "span repeated in the same text")
            else:
                places[span] = place
                if self.boundaries.add(text, mark, place):
                    intake.note(INSIDE_WORD)
                if (span.start, span.end) != (mark.start, mark.end):
                    intake.note(TRIMMED)
        intake.note("labels not taken as complete in a text, since one of their spans is skipped", len(incomplete))
        return places, incomplete

    def _answers(
        self, document: Document, source: str, spans: dict[Span, str], rejected: Iterable[Span], incomplete: set[str],
        others: Sequence[Mark],
    ) -> list[Task]:  # fmt: skip
        """Return an answer that is complete for its labels, and one for each span of the others."""
        complete = Task(
            input_hash=input_hash(document.text),
            text=document.text,
            labels=sorted(set(self.labels) - incomplete),
            spans=sorted(span for span in spans if span.label not in incomplete),
            answer=document.answer,
            kind="review" if document.decides else "manual",
            annotator=document.annotator,
            timestamp=document.timestamp,
            dataset=self.dataset,
            source=source,
            meta=document.meta,
            other_labels=sorted({mark.label for mark in others}),
            other_places=sorted({(mark.start, mark.end) for mark in others}),
        )
        alone = replace(complete, kind="binary", other_labels=[], other_places=[])
        tasks = [complete] if complete.labels else []
        for span, place in spans.items():
            if span.label in incomplete:
                tasks.append(replace(alone, labels=[span.label], spans=[span], source=place))
        for span in rejected:
            tasks.append(replace(alone, labels=[span.label], spans=[span], answer="reject"))
        return tasks


_ADDRESS = re.compile(
    r"(?:s3|gs|azure-blob|azure_spi|file|dbfs|abfss?|wasbs?|hdfs)://\S+|/?data/(?:upload|local-files|media)/\S+"
    r"|(?:https?://|[.~]?/|[A-Za-z]:[\\/]|[\w.-]+/)\S*\.(?:txt|html?|json|csv|tsv|xml|md|pdf|docx?)(?:\?\S*)?",
    re.IGNORECASE,
)


def is_address(text: str) -> bool:
    """Whether a text is the path or URL of a file, as exports have it where a file was uploaded or lies in a bucket."""
    return len(text) < 2000 and _ADDRESS.fullmatch(text.strip()) is not None


def _is_link(text: str) -> bool:
    """Whether a text is nothing but a link: a text without spans it may be, as of a post."""
    return len(text) < 2000 and re.fullmatch(r"\s*https?://\S+\s*", text) is not None


def _has_quote(document: Document) -> bool:
    """Whether a span quotes the text."""
    return any(mark.quotes(document.text) for mark in document.marks)


def _count_without_answer(record: Record, intake: Intake) -> None:
    """Count a record that has no answer about the labels that are asked for."""
    unanswered = [document for document in record.documents if document.no_answer]
    if not unanswered and any(document.complete or document.size for document in record.documents):
        intake.other_labels([], whole_record=True)  # its spans are counted already
        return
    kind = unanswered[0].no_answer if unanswered else "not annotated yet"
    intake.no_answer(kind, sum(document.size for document in unanswered))


def _count_unanswered(record: Record, intake: Intake) -> None:
    """Count the documents of a record with answers that are none."""
    for document in record.documents:
        if document.no_answer:
            intake.note(document.no_answer)
            intake.spans["no_answer"] += document.size


TRIMMED = "whitespace at the boundaries of a span trimmed"


def _fit(text: str, mark: Mark) -> Span | str:
    if mark.fault or not mark.label:
        return mark.fault or "span without a label"
    span = fit_span(text, mark.start, mark.end, mark.label)
    if isinstance(span, Span) and not mark.fits(text):
        return MISQUOTED
    return span


MISQUOTED = "quoted text differs from the text at the offsets"
