"""The records that travel through the pipeline: an answer (Task) and a text with all its labels (GoldText)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol, TypeVar

import msgspec

Answer = Literal["accept", "reject", "ignore"]
Kind = Literal["manual", "binary", "review"]

_HASH_FIRST = b'{"_input_hash":'


class Span(msgspec.Struct, frozen=True, order=True, gc=False):
    """An entity: [start, end) in code points of the text, and its label."""

    start: int
    end: int
    label: str


class Task(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One answer about one text in one dataset; a line of `assets/annotations/<dataset>.jsonl`.

    text (str): The text.
    input_hash (int): Prodigy's input hash, recomputed from the text.
    labels (list[str]): What this answer speaks about, sorted.
    spans (list[Span]): Sorted, without repeats, inside the text, without blanks at their edges.
    answer (Answer): "accept", "reject" or "ignore".
    kind (Kind): "manual": the answer is complete for its labels. "binary": it judges its one span only.
        "review": complete for its labels, and it decides over the versions it shows.
    annotator (str): Who answered; empty where the source cannot say.
    timestamp (int | None): When, in seconds since 1970; None where the source cannot say.
    dataset (str): The name of the `[datasets.*]` block.
    source (str): Where it came from, ending in ":" and a number that grows with time within the dataset.
    meta (dict): The task's meta, as it was.
    versions (list[list[Span]]): Of a review: the spans of every version it shows.
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


class GoldText(msgspec.Struct, kw_only=True, gc=False):
    """One text and what is known of it, label by label; a line of `corpus/gold.jsonl`.

    A label is *covered* (its spans are known, everything else is known not to be it), *partly known* (some
    spans are known to be or not to be it) or *unknown*. Unknown is never "no".

    spans (list[Span]): The entities of the covered labels. Those of different labels may overlap.
    covered (list[str]): Labels that are completely annotated here, sorted.
    accepted (list[Span]), rejected (list[Span]): Of labels not covered: spans known to be, or not to be, entities.
    unresolved (list[str]): Labels whose answers disagree beyond what the policy could decide: not covered.
    sources (list[str]): The datasets whose answers took part, sorted.
    meta (dict): Metadata of the answers; of a key, the first by dataset and time.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    spans: list[Span]
    covered: list[str]
    accepted: list[Span]
    rejected: list[Span]
    unresolved: list[str]
    sources: list[str]
    meta: dict[str, Any]


class Given(Protocol):
    """An answer, as far as it says who gave it and when: a Task, or a part of one."""

    @property
    def dataset(self) -> str: ...
    @property
    def annotator(self) -> str: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def source(self) -> str: ...


def annotator_of(answer: Given) -> tuple[str, str]:
    """The annotator of an answer. All answers of a dataset that names none count as one annotator's."""
    return (answer.annotator, "") if answer.annotator else ("", answer.dataset)


def position(answer: Given) -> int:
    """The place of an answer in its dataset, where order is the order of time."""
    return int(answer.source.rpartition(":")[2])


def recency(answer: Given) -> tuple[int, str, int]:
    """Sorts answers of one annotator: the later, the larger. Answers without a time come first."""
    return (-1 if answer.timestamp is None else answer.timestamp, answer.dataset, position(answer))


def are_apart(spans: Iterable[Span]) -> bool:
    """Whether spans are in order and no two of them overlap."""
    end = 0
    for span in spans:
        if span.start < end:
            return False
        end = span.end
    return True


class _Placed(Protocol):
    """What is somewhere: a Span, or spaCy's."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


_P = TypeVar("_P", bound=_Placed)


def overlapping(spans: Iterable[_P]) -> list[list[_P]]:
    """Spans, sorted; those that overlap, directly or through others, together: they are in one place of the text."""
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
    """The input hash of a line of Tasks or GoldTexts without decoding the rest: it is the first key.

    RAISES (ValueError): If it is no such line.
    """
    if not line.startswith(_HASH_FIRST):
        raise ValueError("the line does not start with its input hash")
    return int(line[len(_HASH_FIRST) : line.index(b",")])
