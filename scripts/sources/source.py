"""What a reader must give, and the account of every record it met.

Sources that can be read in parts, by several machines at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from scripts.core.answers import Span, Task


@runtime_checkable
class Source(Protocol):
    """A place annotations come from. Readers are registered functions that return one; it must pickle."""

    @property
    def labels(self) -> list[str]:
        """The labels whose annotations are taken from it."""

    def check(self) -> None:
        """Look whether it can be read at all. RAISES (UserError): In one line, what is wrong and what exists."""

    def fingerprint(self) -> str:
        """A cheap value that changes whenever what would be read changes."""

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the answers, those of one record at a time, at least one. Every record is told to the intake
        as read; one that yields nothing is told to it as refused or left out too.

        dataset (str): The name of the `[datasets.*]` block, for `Task.dataset`.
        intake (Intake): The account to keep.
        """


class Refusal(msgspec.Struct):
    """Something that could not be used. spans is how many annotated spans went with it."""

    place: str
    reason: str
    what: str  # "record" or "span"
    spans: int = 0


class Intake(msgspec.Struct):
    """The account of one dataset: records read = kept + left out + refused, and the same for spans.

    A reader calls `record` once a record, `span` with the number of spans in it, and, for what it does not
    yield, `refuse`, `refuse_span` or `leave_out`; what it yields is counted by whoever consumes it.

    on_refusal (Callable[[Refusal], object]): Called with each refusal, so that all are listed in constant memory.
    """

    on_refusal: Callable[[Refusal], object]
    records: Counter[str] = msgspec.field(default_factory=Counter)
    spans: Counter[str] = msgspec.field(default_factory=Counter)
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    notes: Counter[str] = msgspec.field(default_factory=Counter)

    def record(self, spans: int = 0) -> None:
        """Met a record with so many spans."""
        self.records["read"] += 1
        self.spans["read"] += spans

    def keep(self, answers: int, spans: int, records: int = 1) -> None:
        """A record, or several, yielded so many answers, with so many spans."""
        self.records["kept"] += records
        self.records["answers"] += answers
        self.spans["kept"] += spans

    def refuse(self, place: str, reason: str, spans: int = 0) -> None:
        """The record cannot be used, and so many spans go with it."""
        self.records["refused"] += 1
        self.spans["refused"] += spans
        self.reasons[reason] += 1
        self.on_refusal(Refusal(place, reason, "record", spans))

    def refuse_span(self, place: str, reason: str) -> None:
        """One span of a record cannot be used; the record goes on."""
        self.spans["refused"] += 1
        self.reasons[reason] += 1
        self.on_refusal(Refusal(place, reason, "span", 1))

    def leave_out(self, spans: int, whole_record: bool = False) -> None:
        """So many spans, or the whole record with them, are of labels that are not taken."""
        self.spans["left_out"] += spans
        self.records["left_out"] += whole_record

    def note(self, what: str, times: int = 1) -> None:
        """Something a person should know although nothing was lost by it (trimmed blanks, old hashes)."""
        if times:
            self.notes[what] += times

    def settle(self) -> None:
        """RAISES (AssertionError): If a record or a span went missing."""
        for counts in (self.records, self.spans):
            assert counts["read"] == counts["kept"] + counts["left_out"] + counts["refused"], dict(counts)


def fit_span(text: str, start: int, end: int, label: str) -> Span | str:
    """A span as the pipeline wants it: inside the text, without blanks at its edges; or why it cannot be.

    text (str): The text.
    start (int), end (int): Code points, end exclusive, as found.
    label (str): Its label.
    RETURNS (Span | str): The span, or the reason it is refused.
    """
    if not 0 <= start < end <= len(text):
        return "offsets outside the text" if 0 <= start < end else "offsets negative, reversed or empty"
    if text[start].isspace() or text[end - 1].isspace():
        covered = text[start:end]
        start += len(covered) - len(covered.lstrip())
        end -= len(covered) - len(covered.rstrip())
        if start >= end:
            return "span of blanks only"
    return Span(start, end, label)


@runtime_checkable
class Divisible(Protocol):
    """A Source that can be divided."""

    def parts(self, size: int) -> Sequence[Source]:
        """Sources of about so many bytes each that, one after the other, give what it gives; itself if that is less.

        It looks at sizes and keys alone. Parts may be Numbered.
        """


@runtime_checkable
class Numbered(Protocol):
    """A part whose records say the how many'th they are."""

    def records_inside(self) -> int:
        """How many records it has."""

    def after(self, records: int) -> Source:
        """The part, if so many records come before it."""
