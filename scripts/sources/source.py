"""The contract of a reader: a Source of answers, and the account of every record in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import msgspec

from scripts.core.answers import Span, Task
from scripts.core.manifest import OUTCOMES
from scripts.sources.states import State

NO_TIME = "time that is none (zero, negative, or no date) dropped: it is not known which answer is later"
_YEAR_10000 = 253_402_300_800  # seconds since 1970


@runtime_checkable
class Source(Protocol):
    """A source of annotations, as registered readers return it. It must pickle."""

    @property
    def labels(self) -> list[str]:
        """The labels whose annotations are taken from it."""

    def check(self) -> None:
        """Check that it can be read at all. RAISES (UserError): In one line, what is wrong and what there is."""

    def state(self) -> State | None:
        """Tell, without reading it, what changes whenever something in it does; None if nothing tells, as of a server.

        RAISES (UserError, OSError): If it is not there.
        """

    def digest(self) -> str:
        """Return a digest of all that the answers depend on, so that equal ones mean equal answers. All is read."""

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the answers: lists with those of one record, at least one.

        dataset (str): The name of the `[datasets.*]` block, for `Task.dataset`.
        intake (Intake): The account. Each record is counted as read; one that yields nothing as skipped, no answer or
            of other labels too.
        """


class Skipped(msgspec.Struct):
    """A record or span that cannot be used; a line of `assets/annotations/skipped/<dataset>.jsonl`.

    place (str): Its source as in a Task.
    what (str): "record" or "span".
    spans (int): Annotated spans lost by it.
    """

    place: str
    reason: str
    what: str
    spans: int = 0


class Intake(msgspec.Struct):
    """The account of one dataset: records read = kept + other labels + other annotators + no answer + skipped, and the
    same for spans.

    A reader calls `record` once a record, with its number of spans, and, for what it does not yield, `no_answer`,
    `skip`, `skip_span` or `other_labels`. Whoever consumes what it yields calls `keep`.

    on_skip (Callable[[Skipped], object]): Called with each skipped record or span, so that all can be listed in
        constant memory.
    labels (Counter[str]): Spans by label that are not taken, since their labels are not asked for.
    annotators (Counter[str]): Answers by annotator that are not taken, since others are asked for.
    renamed (Counter[str]): Spans by the two names of their label, "PER → PERSON", where ours differs.
    missing_labels (list[str]), missing_annotators (list[str]): Those that are asked for and occur in no answer, sorted.
    digest (str): As `Source.digest`, of what was read, if the reader takes it on its way; those of parts add up to that
        of the whole, see `add_digests`.
    """

    on_skip: Callable[[Skipped], object]
    records: Counter[str] = msgspec.field(default_factory=Counter)
    spans: Counter[str] = msgspec.field(default_factory=Counter)
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    notes: Counter[str] = msgspec.field(default_factory=Counter)
    labels: Counter[str] = msgspec.field(default_factory=Counter)
    annotators: Counter[str] = msgspec.field(default_factory=Counter)
    renamed: Counter[str] = msgspec.field(default_factory=Counter)
    missing_labels: list[str] = []
    missing_annotators: list[str] = []
    digest: str = ""

    def record(self, spans: int = 0) -> None:
        """Count a record and its spans as read."""
        self.records["read"] += 1
        self.spans["read"] += spans

    def keep(self, answers: int, spans: int, records: int = 1) -> None:
        """Count a record, or several, as kept, with the answers and spans that they yielded."""
        self.records["kept"] += records
        self.records["answers"] += answers
        self.spans["kept"] += spans

    def skip(self, place: str, reason: str, spans: int = 0) -> None:
        """Skip a record that cannot be used, with all its spans."""
        self.records["skipped"] += 1
        self.spans["skipped"] += spans
        self.reasons[reason] += 1
        self.on_skip(Skipped(place, reason, "record", spans))

    def skip_span(self, place: str, reason: str) -> None:
        """Skip a span that cannot be used; its record goes on."""
        self.spans["skipped"] += 1
        self.reasons[reason] += 1
        self.on_skip(Skipped(place, reason, "span", 1))

    def no_answer(self, kind: str, spans: int = 0) -> None:
        """Count a record that is no answer about spans: a category, a prediction, a text that nobody has annotated yet.

        kind (str): What it is; counted among the notes.
        """
        self.records["no_answer"] += 1
        self.spans["no_answer"] += spans
        self.notes[kind] += 1

    def other_labels(self, labels: Sequence[str], whole_record: bool = False) -> None:
        """Count spans, or with them the whole record, whose labels are not asked for; labels: one for each span."""
        self.spans["other_labels"] += len(labels)
        self.labels.update(labels)
        self.records["other_labels"] += whole_record

    def other_annotators(self, annotators: Sequence[str], spans: int, whole_record: bool = False) -> None:
        """Count answers, or with them the whole record, of annotators who are not asked for; one for each answer."""
        self.spans["other_annotators"] += spans
        self.annotators.update(annotators)
        self.records["other_annotators"] += whole_record

    def note(self, what: str, times: int = 1) -> None:
        """Note something odd by which nothing was lost (whitespace trimmed, hashes of an old version)."""
        if times:
            self.notes[what] += times

    def assert_adds_up(self) -> None:
        """RAISES (AssertionError): If a record or a span went missing."""
        for counts in (self.records, self.spans):
            assert counts["read"] == sum(counts[outcome] for outcome in OUTCOMES), dict(counts)


def fit_span(text: str, start: int, end: int, label: str) -> Span | str:
    """Return a span that is inside the text and neither starts nor ends with whitespace; or the reason to skip it.

    start (int), end (int): Code points, end exclusive, as in the source.
    """
    if not 0 <= start < end <= len(text):
        return "offsets outside the text" if 0 <= start < end else "offsets negative, reversed or empty"
    if text[start].isspace() or text[end - 1].isspace():
        covered = text[start:end]
        start += len(covered) - len(covered.lstrip())
        end -= len(covered) - len(covered.rstrip())
        if start >= end:
            return "span of whitespace only"
    return Span(start, end, label)


def whole_seconds(timestamp: float | None) -> int | None:
    """Return a timestamp in whole seconds; zero, negative and absurd ones (beyond the year 9999) are not known.

    timestamp (float | None): Seconds since 1970, or milli-, micro- or nanoseconds, which are of years after 9999 if
        taken for the next larger unit, but for those before 1978.
    """
    if timestamp is None or timestamp <= 0:
        return None
    if timestamp < _YEAR_10000:
        return int(timestamp)
    return next((int(timestamp // unit) for unit in (1e3, 1e6, 1e9) if timestamp < _YEAR_10000 * unit), None)


@runtime_checkable
class Divisible(Protocol):
    """A Source that can be divided, to be read by several processes or machines at a time."""

    def parts(self, size: int) -> Sequence[Source]:
        """Return sources of about a size in bytes each that, one after the other, give what it gives; itself if small.

        It looks at sizes and keys only. Parts may be NumberedPart.
        """


@runtime_checkable
class NumberedPart(Protocol):
    """A part that numbers its records."""

    def records_inside(self) -> int:
        """Count its records."""

    def after(self, records: int) -> Source:
        """Return the part with a number of records before it."""


def records_inside(part: Source) -> int:
    """Count the records of a part that numbers them; 0 for any other."""
    return part.records_inside() if isinstance(part, NumberedPart) else 0


def number_parts(parts: Sequence[Source], records: Sequence[int]) -> Iterator[Source]:
    """Yield parts, each with the number of records before it; records: those inside of each."""
    for part, before in zip(parts, accumulate(records, initial=0), strict=False):
        yield part.after(before) if isinstance(part, NumberedPart) else part


S = TypeVar("S", bound=Any)


class SourcePart(msgspec.Struct, Generic[S], frozen=True):
    """Base of a part of a Source: all but its reading is that of the whole."""

    whole: S

    @property
    def labels(self) -> list[str]:
        return self.whole.labels

    def check(self) -> None:
        self.whole.check()

    def state(self) -> State | None:
        return self.whole.state()

    def digest(self) -> str:
        return self.whole.digest()
