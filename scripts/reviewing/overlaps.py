"""Spans of different labels that overlap, by pairs of labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from scripts.annotations.records import Span
from scripts.reviewing.contexts import Context, context
from scripts.reviewing.passages import Known, Passage

_EXAMPLES = 3


class Overlap(msgspec.Struct):
    """Two labels whose spans overlap.

    labels (tuple[str, str]): Sorted.
    count (int): Pairs of spans. same (int): Of these, those at just the same place.
    examples (list[Context]): The first of them, what both cover.
    """

    labels: tuple[str, str]
    count: int = 0
    same: int = 0
    examples: list[Context] = []


def overlaps(found: Passage) -> list[Overlap]:
    """Those of a passage, in the order of their first places."""
    order = np.argsort(found.spans.starts, kind="stable")
    starts, ends = found.spans.starts[order], found.spans.ends[order]
    touching = starts[1:][starts[1:] < np.maximum.accumulate(ends)[:-1]]
    result: dict[tuple[str, str], Overlap] = {}
    for number in np.unique(found.prints.text_at(touching)).tolist():
        _add(
            result,
            ((labels, same, context(found.texts[number], *both)) for labels, same, both in _of(found.texts[number])),
        )
    return list(result.values())


def joined(parts: Iterable[list[Overlap]]) -> list[Overlap]:
    """Those of several passages as one list, the most frequent first."""
    result: dict[tuple[str, str], Overlap] = {}
    for part in parts:
        for each in part:
            sum_ = result.setdefault(each.labels, Overlap(each.labels, examples=[]))
            sum_.count += each.count
            sum_.same += each.same
            sum_.examples = [*sum_.examples, *each.examples][:_EXAMPLES]
    return sorted(result.values(), key=lambda each: (-each.count, each.labels))


def _add(result: dict[tuple[str, str], Overlap], found: Iterable[tuple[tuple[str, str], bool, Context]]) -> None:
    for labels, same, where in found:
        overlap = result.setdefault(labels, Overlap(labels, examples=[]))
        overlap.count += 1
        overlap.same += same
        if len(overlap.examples) < _EXAMPLES:
            overlap.examples.append(where)


def _of(known: Known) -> Iterator[tuple[tuple[str, str], bool, tuple[int, int]]]:
    """Pairs of spans of a text: their labels, whether they are at the same place, and what they share."""
    for one, other in _pairs(sorted(known.spans)):
        labels = (one.label, other.label) if one.label < other.label else (other.label, one.label)
        same = (one.start, one.end) == (other.start, other.end)
        yield labels, same, (max(one.start, other.start), min(one.end, other.end))


def _pairs(spans: list[Span]) -> Iterator[tuple[Span, Span]]:
    for place, one in enumerate(spans):
        for other in spans[place + 1 :]:
            if other.start >= one.end:
                break
            if other.label != one.label:
                yield one, other
