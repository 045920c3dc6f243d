"""The records of the pipeline: an answer (Task), and a text with all its labels (GoldText)."""

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeVar

import msgspec

Answer = Literal["accept", "reject", "ignore"]
Kind = Literal["manual", "binary", "review"]

_HASH_FIRST = b'{"_input_hash":'
_NUMBER = re.compile(r"\d+")


Range = tuple[int, int]  # [start, end) in code points


class Span(msgspec.Struct, frozen=True, order=True, gc=False):
    """An entity: [start, end) in code points of the text, and its label."""

    start: int
    end: int
    label: str


class Task(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One answer about one text in one dataset; a line of `assets/annotations/<dataset>.jsonl`.

    labels (list[str]): The labels that the answer is about, sorted.
    spans (list[Span]): Sorted, without repeats, inside the text, without whitespace at their boundaries.
    kind (Kind): "manual": complete for its labels. "binary": about its one span only. "review": complete for its
        labels, and decides between the versions that it shows.
    annotator (str): Who answered; empty where the source does not tell.
    timestamp (int | None): Seconds since 1970; None where the source does not tell.
    source (str): Its place in the source, ending in ":" and a number that grows with time within a file.
    versions (list[list[Span]]): Of a review: the spans of each version that it shows.
    range (Range | None): Where it is complete; None: everywhere. Only while contained texts are merged with their
        containers.
    other_labels (list[str]): Labels of its spans that are not taken, since its dataset is not asked for them; sorted.
    other_places (list[Range]): Their places, sorted: a later answer may have another label there.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    labels: list[str]
    spans: list[Span]
    answer: Answer
    kind: Kind
    annotator: str
    timestamp: int | None
    dataset: str
    source: str
    meta: dict[str, Any]
    versions: list[list[Span]] = []
    range: Range | None = None
    other_labels: list[str] = []
    other_places: list[Range] = []


class CoveredAnnotations(Protocol):
    """The fields by which coverage is told; see `GoldText`."""

    @property
    def spans(self) -> list[Span]: ...
    @property
    def covered(self) -> list[str]: ...
    @property
    def covered_ranges(self) -> dict[str, list[Range]]: ...
    @property
    def accepted(self) -> list[Span]: ...
    def covers(self, label: str, start: int, end: int) -> bool: ...


class Coverage(msgspec.Struct, gc=False):
    """A text whose labels are covered in the whole of it, or in ranges."""

    def covers(self: CoveredAnnotations, label: str, start: int, end: int) -> bool:
        """Whether a label is covered in a range: what is not among its spans there is no entity."""
        return label in self.covered or any(
            first <= start and end <= last for first, last in self.covered_ranges.get(label, ())
        )

    def covered_spans(self: CoveredAnnotations) -> list[Span]:
        """All entities where their label is covered, in the whole text or in a range, sorted."""
        if not self.covered_ranges:
            return self.spans
        return sorted([*self.spans, *(span for span in self.accepted if self.covers(span.label, span.start, span.end))])


class GoldText(Coverage, omit_defaults=True, kw_only=True, gc=False):
    """One text with the merged annotations of all labels; a line of `corpus/gold.jsonl`.

    A label is *covered* (somebody annotated the whole text for it: what is not among its spans is no entity of it),
    *partly covered* (some spans are decided), *unresolved* or *not covered*. Not covered never means "no entity".

    spans (list[Span]): The entities of the covered labels. Those of different labels may overlap.
    covered_ranges (dict[str, list[Range]]): By label that is covered in a part of the text only: sorted ranges, apart
        from each other, in which its accepted spans are all its entities. Omitted if there is none.
    accepted (list[Span]), rejected (list[Span]): Of labels not covered: spans decided to be, or not to be, entities.
    unresolved (list[str]): Labels whose answers disagree where the policy cannot decide; they are not covered.
    sources (list[str]): The datasets whose answers count, sorted.
    other_sources (list[str]): The other datasets that have an answer: it was replaced, rejected, ignored or is about
        other labels. Sorted; omitted if there is none.
    meta (dict): Metadata of the answers; of a key, the first by dataset and time, before those that do not count.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    spans: list[Span]
    covered: list[str]
    covered_ranges: dict[str, list[Range]] = {}
    accepted: list[Span]
    rejected: list[Span]
    unresolved: list[str]
    sources: list[str]
    other_sources: list[str] = []
    meta: dict[str, Any]


class AnswerOrigin(Protocol):
    """Annotator, time and place of an answer: a Task, or a part of one."""

    @property
    def dataset(self) -> str: ...
    @property
    def annotator(self) -> str: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def source(self) -> str: ...


def annotator_of(answer: AnswerOrigin) -> tuple[str, str]:
    """Return the annotator of an answer, or its dataset where nobody is named: all of these count as one annotator."""
    return (answer.annotator, "") if answer.annotator else ("", answer.dataset)


def place(answer: AnswerOrigin) -> tuple[str, int]:
    """Return the file of an answer and its number in it: by these, answers of a dataset that have no time are ordered.

    Within a file the number grows with time. That a later file is a later answer is a guess; round9 is before round10.
    """
    file, _, number = answer.source.rpartition(":")
    return _in_order(file), int(number)


@lru_cache
def _in_order(file: str) -> str:
    """The name of a file with numbers of one length. Most answers are of the same few files."""
    return _NUMBER.sub(lambda digits: digits[0].zfill(12), file)


def recency(answer: AnswerOrigin) -> tuple[int, str, str, int]:
    """Return a key that sorts the answers of one annotator by time; those without a time come first."""
    return (-1 if answer.timestamp is None else answer.timestamp, answer.dataset, *place(answer))


# How a later complete answer about a text, in the same dataset, relates to an earlier one.
AGAIN, OTHER, UNCLEAR = "again", "other", "unclear"


def relation(
    labels: AbstractSet[str],
    places: AbstractSet[Range],
    later_labels: AbstractSet[str],
    later_places: AbstractSet[Range],
) -> str:
    """Tell whether two complete answers in one dataset are about the same labels, by all of their spans.

    RETURNS (str): `AGAIN`: they have a label in common, or the same place has another label. `OTHER`: neither is so.
        `UNCLEAR`: one has no span.
    """
    if not labels or not later_labels:
        return UNCLEAR
    return OTHER if labels.isdisjoint(later_labels) and places.isdisjoint(later_places) else AGAIN


def are_apart(spans: Iterable[Span]) -> bool:
    """Whether spans are in order and no two of them overlap."""
    end = 0
    for span in spans:
        if span.start < end:
            return False
        end = span.end
    return True


_P = TypeVar("_P", bound=Any)  # a Span, or spaCy's


def overlapping(spans: Iterable[_P]) -> list[list[_P]]:
    """Group sorted spans by overlap, direct or through others."""
    found: list[list[_P]] = []
    end = -1
    for span in spans:
        if span.start < end:
            found[-1].append(span)
        else:
            found.append([span])
        end = max(end, span.end)
    return found


def hash_of_line(line: bytes) -> int:
    """Read the input hash of a line of Tasks or GoldTexts, which is its first key, without decoding the rest.

    RAISES (ValueError): If it is no such line.
    """
    if not line.startswith(_HASH_FIRST):
        raise ValueError("the line does not start with its input hash")
    return int(line[len(_HASH_FIRST) : line.index(b",")])
