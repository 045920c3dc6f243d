"""One-to-one alignment of entities and predictions, and the kind of each error.

Columns of `Rows` are text, label, start and end, as numbers; a row is an entity, a prediction, or a range in which a
label is covered. All texts are aligned at once, in NumPy.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
TEXT, LABEL, START, END = range(4)
HIT, BOUNDARY, TYPE, BOUNDARY_TYPE, MISSED, TOKENIZER = range(6)
# Of entities. "tokenizer": not on token boundaries, so that no prediction can be equal to it; `align` knows none.
KINDS = ("hit", "boundary", "type", "boundary_type", "missed", "tokenizer")
SPURIOUS = MISSED  # instead of it: the kind of predictions without an entity


class Alignment(NamedTuple):
    """Entities and predictions in pairs. A prediction is in one pair at most, as is an entity."""

    gold: Rows  # sorted, each once
    predicted: Rows  # likewise
    partner: NDArray[np.int64]  # by entity: the row of its prediction, or -1
    kind: NDArray[np.int8]  # by entity, see `KINDS`
    is_spurious: NDArray[np.bool_]  # by prediction: whether it has no entity


def align(gold: Rows, predicted: Rows) -> Alignment:
    """Align entities with predictions, one to one.

    First, each entity with the prediction that is equal to it (a hit). Then those that overlap, in this order: same
    label (boundary), same boundaries (type), neither (boundary_type); among these, the larger overlap as a share of
    the union, then the first in the text. Entities that are left are missed, predictions spurious. So for each label:
    entities = hit + boundary + type + boundary_type + missed. Nervaluate has much the same kinds, but no one-to-one
    alignment, so that its kinds do not add up: https://github.com/MantisAI/nervaluate

    gold (Rows), predicted (Rows): Entities and predictions where their label is covered, in any order.
    """
    gold, predicted = distinct(gold), distinct(predicted)
    partner = _equal(gold, predicted)
    kind = np.where(partner >= 0, HIT, MISSED).astype(np.int8)
    is_spurious = np.ones(len(predicted), bool)
    is_spurious[partner[partner >= 0]] = False
    pairs = _overlapping(gold, predicted, np.flatnonzero(partner < 0), np.flatnonzero(is_spurious))
    for entity, prediction, kind_of_pair in pairs:
        if partner[entity] < 0 and is_spurious[prediction]:
            partner[entity], kind[entity], is_spurious[prediction] = prediction, kind_of_pair, False
    return Alignment(gold, predicted, partner, kind, is_spurious)


def distinct(rows: Rows) -> Rows:
    """Sort rows by text, start, end and label, and keep each once."""
    rows = rows[np.lexsort((rows[:, LABEL], rows[:, END], rows[:, START], rows[:, TEXT]))]
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (rows[1:] != rows[:-1]).any(1)
    return rows[is_new]


def are_within(rows: Rows, ranges: Rows) -> NDArray[np.bool_]:
    """Find the rows that lie in a range of their text and label. Ranges of a text and label must not touch."""
    if not len(rows) or not len(ranges):
        return np.zeros(len(rows), bool)
    ranges = ranges[np.lexsort((ranges[:, START], ranges[:, LABEL], ranges[:, TEXT]))]
    # Ranges of a text and label become a group; in one line of numbers, groups follow each other without touching.
    both = np.concatenate([ranges, rows])
    group = np.unique(both[:, TEXT] * (both[:, LABEL].max() + 1) + both[:, LABEL], return_inverse=True)[1]
    size = int(max(ranges[:, END].max(), rows[:, END].max())) + 1
    starts = group[: len(ranges)] * size + ranges[:, START]
    last = np.searchsorted(starts, group[len(ranges) :] * size + rows[:, START], "right") - 1
    is_of_group = group[: len(ranges)][last] == group[len(ranges) :]
    return (last >= 0) & is_of_group & (rows[:, END] <= ranges[last, END])


def _equal(gold: Rows, predicted: Rows) -> NDArray[np.int64]:
    """By entity, the row of the prediction that is equal, or -1."""
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
    same_boundaries = (g[:, START] == p[:, START]) & (g[:, END] == p[:, END])
    kind = np.select([same_label, same_boundaries], [BOUNDARY, TYPE], BOUNDARY_TYPE)
    shared = np.minimum(g[:, END], p[:, END]) - np.maximum(g[:, START], p[:, START])
    union = np.maximum(g[:, END], p[:, END]) - np.minimum(g[:, START], p[:, START])
    order = np.lexsort((other, one, -shared / np.maximum(union, 1), kind))
    return list(zip(one[order].tolist(), other[order].tolist(), kind[order].tolist(), strict=True))


def _pairs_that_overlap(one: Rows, other: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of pairs that overlap in a text. Both must be sorted by text and start."""
    if not len(one) or not len(other):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    size = int(max(one[:, END].max(), other[:, END].max())) + 1
    starts = other[:, TEXT] * size + other[:, START]
    # The predictions that may overlap an entity lie between the first that reaches beyond its start and the first that
    # starts after its end. If predictions are nested, some of these do not: the last lines sort them out.
    reach = np.maximum.accumulate(other[:, TEXT] * size + other[:, END])
    first = np.searchsorted(reach, one[:, TEXT] * size + one[:, START], "right")
    after = np.maximum(np.searchsorted(starts, one[:, TEXT] * size + one[:, END], "left"), first)
    times = after - first
    row = np.repeat(np.arange(len(one)), times)
    column = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times) + np.repeat(first, times)
    overlap = (one[row, TEXT] == other[column, TEXT]) & (other[column, END] > one[row, START])
    return row[overlap], column[overlap]
