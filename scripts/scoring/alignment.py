"""Entities of many texts against what was predicted, all at once: which were found, and what went wrong with the rest.

Columns of `Rows` are text, label, start and end, as numbers; a row is an entity, a prediction, or a range in which a
label is known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
TEXT, LABEL, START, END = range(4)
HIT, BOUNDARY, TYPE, BOTH, MISSED = range(5)
KINDS = ("hit", "boundary", "type", "both", "missed")


class Aligned(NamedTuple):
    """Each entity with the prediction it is aligned with, if any. One prediction is aligned with one entity at most.

    gold (Rows), predicted (Rows): Sorted, each once.
    partner (NDArray[int64]): Of each entity: the row of its prediction, or -1.
    kind (NDArray[int8]): Of each entity, see `KINDS`.
    is_spurious (NDArray[bool]): Of each prediction: whether it is aligned with no entity.
    """

    gold: Rows
    predicted: Rows
    partner: NDArray[np.int64]
    kind: NDArray[np.int8]
    is_spurious: NDArray[np.bool_]


def align(gold: Rows, predicted: Rows) -> Aligned:
    """Align entities with predictions, one to one.

    First each entity with the prediction that is equal to it (a hit). Of what is left, what overlaps, in this order:
    same label (boundary), same borders (type), neither (both); among these, the larger overlap as a share of what
    both cover, then the first in the text. Entities that are left are missed, predictions spurious. So of each label:
    its entities = hit + boundary + type + both + missed. Nervaluate has much the same kinds, but no one-to-one
    alignment, so that its do not add up: https://github.com/MantisAI/nervaluate

    gold (Rows), predicted (Rows): The entities and the predictions, in any order; those that can be judged.
    """
    gold, predicted = distinct(gold), distinct(predicted)
    partner = _equal(gold, predicted)
    kind = np.where(partner >= 0, HIT, MISSED).astype(np.int8)
    is_spurious = np.ones(len(predicted), bool)
    is_spurious[partner[partner >= 0]] = False
    for one, other, what in _overlapping(gold, predicted, np.flatnonzero(partner < 0), np.flatnonzero(is_spurious)):
        if partner[one] < 0 and is_spurious[other]:
            partner[one], kind[one], is_spurious[other] = other, what, False
    return Aligned(gold, predicted, partner, kind, is_spurious)


def distinct(rows: Rows) -> Rows:
    """Rows sorted by text, start, end and label, each once."""
    order = np.lexsort((rows[:, LABEL], rows[:, END], rows[:, START], rows[:, TEXT]))
    rows = rows[order]
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (rows[1:] != rows[:-1]).any(1)
    return rows[is_new]


def are_within(rows: Rows, ranges: Rows) -> NDArray[np.bool_]:
    """Which rows lie in a range of their text and label. Ranges of a text and label must be apart from each other."""
    if not len(rows) or not len(ranges):
        return np.zeros(len(rows), bool)
    ranges = ranges[np.lexsort((ranges[:, START], ranges[:, LABEL], ranges[:, TEXT]))]
    group = np.unique(_pairs(np.concatenate([ranges, rows])), return_inverse=True)[1]
    size = int(max(ranges[:, END].max(), rows[:, END].max())) + 1
    starts = group[: len(ranges)] * size + ranges[:, START]
    last = np.searchsorted(starts, group[len(ranges) :] * size + rows[:, START], "right") - 1
    is_of_group = group[: len(ranges)][last] == group[len(ranges) :]
    return (last >= 0) & is_of_group & (rows[:, END] <= ranges[last, END])


def _pairs(rows: Rows) -> NDArray[np.int64]:
    """A number for each text and label."""
    return rows[:, TEXT] * (rows[:, LABEL].max() + 1) + rows[:, LABEL]


def _equal(gold: Rows, predicted: Rows) -> NDArray[np.int64]:
    """Of each entity the row of the prediction that is equal, or -1."""
    both = np.concatenate([gold, predicted])
    order = np.lexsort((both[:, LABEL], both[:, END], both[:, START], both[:, TEXT]))
    ordered = both[order]
    same = np.flatnonzero((ordered[1:] == ordered[:-1]).all(1))
    partner = np.full(len(gold), -1)
    partner[order[same]] = order[same + 1] - len(gold)  # the sort is stable: the entity comes first
    return partner


def _overlapping(
    gold: Rows, predicted: Rows, left: NDArray[np.int64], spare: NDArray[np.int64]
) -> list[tuple[int, int, int]]:
    """Entity, prediction and kind of all pairs that overlap, the best first."""
    one, other = _pairs_that_overlap(gold[left], predicted[spare])
    one, other = left[one], spare[other]
    g, p = gold[one], predicted[other]
    same_label = g[:, LABEL] == p[:, LABEL]
    same_borders = (g[:, START] == p[:, START]) & (g[:, END] == p[:, END])
    kind = np.select([same_label, same_borders], [BOUNDARY, TYPE], BOTH)
    shared = np.minimum(g[:, END], p[:, END]) - np.maximum(g[:, START], p[:, START])
    covered = np.maximum(g[:, END], p[:, END]) - np.minimum(g[:, START], p[:, START])
    order = np.lexsort((other, one, -shared / np.maximum(covered, 1), kind))
    return list(zip(one[order].tolist(), other[order].tolist(), kind[order].tolist(), strict=True))


def _pairs_that_overlap(one: Rows, other: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of pairs that overlap in a text. Both must be sorted by text and start."""
    if not len(one) or not len(other):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    size = int(max(one[:, END].max(), other[:, END].max())) + 1
    starts = other[:, TEXT] * size + other[:, START]
    reach = np.maximum.accumulate(other[:, TEXT] * size + other[:, END])
    first = np.searchsorted(reach, one[:, TEXT] * size + one[:, START], "right")
    after = np.maximum(np.searchsorted(starts, one[:, TEXT] * size + one[:, END], "left"), first)
    times = after - first
    row = np.repeat(np.arange(len(one)), times)
    column = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times) + np.repeat(first, times)
    overlap = (one[row, TEXT] == other[column, TEXT]) & (other[column, END] > one[row, START])
    return row[overlap], column[overlap]
