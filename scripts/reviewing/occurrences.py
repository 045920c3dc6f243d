"""What is annotated where a form stands: the form itself, something longer, something else, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from scripts.merging.fingerprints import Numbers
from scripts.reviewing.forms import Finder, Rows
from scripts.reviewing.passages import Flags, Passage

# Of a form and a label it was annotated as, at one place of a text where that label is covered:
#   annotated: just so. inside: a longer span of the label holds it. partly: a span of the label has a part of it.
#   relabelled: another label has just this place. other: spans of other labels touch it. none: nothing does.
KINDS = ("annotated", "inside", "partly", "relabelled", "other", "none")
ANNOTATED, INSIDE, PARTLY, RELABELLED, OTHER, NONE = range(len(KINDS))


class Occurrences(NamedTuple):
    """rows (Numbers): Numbers of the form and label in the table. kinds (Numbers): See above. starts, ends: In the
    passage. touching (Numbers): The number of the label's own span that it touches, -1 if none.
    """

    rows: Numbers
    kinds: Numbers
    starts: Numbers
    ends: Numbers
    touching: Numbers


def occurrences(found: Passage, finder: Finder, table: Rows) -> Iterator[Occurrences]:
    """All places of all forms, for each label they were annotated as, in texts where that is covered.

    table (Rows): Forms and labels, sorted by form; `finder` was made of it.
    """
    edges = np.append(np.searchsorted(table["key"], finder.keys), len(table))
    annotated = _annotated(found)
    for places in finder.places(found):
        counts = edges[places.forms + 1] - edges[places.forms]
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(edges[places.forms], counts) + within
        starts, ends = np.repeat(places.starts, counts), np.repeat(places.ends, counts)
        labels = table["label"][rows].astype(np.int64)
        known = found.covered[found.prints.text_at(starts), labels]
        rows, starts, ends, labels = rows[known], starts[known], ends[known], labels[known]
        kinds, touching = _classified(found, annotated, labels, starts, ends)
        yield Occurrences(rows, kinds, starts, ends, touching)


class _Annotated(NamedTuple):
    """All spans: where they start, ascending; and of each, where it and those before it have all ended."""

    starts: Numbers
    ends: Numbers

    def touch(self, starts: Numbers, ends: Numbers) -> Flags:
        """Whether some span has a part of each place."""
        before = np.searchsorted(self.starts, ends)
        return self.ends[before] > starts


def _annotated(found: Passage) -> _Annotated:
    order = np.argsort(found.spans.starts, kind="stable")
    ends = np.maximum.accumulate(found.spans.ends[order])
    return _Annotated(found.spans.starts[order], np.append(0, ends))


def _classified(
    found: Passage, annotated: _Annotated, labels: Numbers, starts: Numbers, ends: Numbers
) -> tuple[Numbers, Numbers]:
    spans, size = found.spans, len(found.prints) + 1
    kinds = np.full(len(starts), NONE)
    kinds[annotated.touch(starts, ends)] = OTHER
    if not len(spans.starts):
        return kinds, np.full(len(starts), -1)
    same_place = np.unique(spans.starts * size + spans.ends)
    wanted = starts * size + ends
    at = np.minimum(np.searchsorted(same_place, wanted), len(same_place) - 1)
    kinds[same_place[at] == wanted] = RELABELLED
    own = np.searchsorted(spans.labels * size + spans.ends, labels * size + starts, side="right")
    at = np.minimum(own, len(spans.starts) - 1)
    touches = (own < len(spans.starts)) & (spans.labels[at] == labels) & (spans.starts[at] < ends)
    longer = touches & (spans.starts[at] <= starts) & (ends <= spans.ends[at])
    kinds[touches] = PARTLY
    kinds[longer] = INSIDE
    kinds[longer & (spans.starts[at] == starts) & (spans.ends[at] == ends)] = ANNOTATED
    return kinds, np.where(touches, at, -1)
