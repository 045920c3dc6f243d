"""Texts are put into folds, so that those which share rare forms are in the same.

A model that judges a text should not have seen its entities elsewhere: it would repeat what is annotated there, right
or wrong. All texts of a common form cannot be in one fold, but those of a rare one can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.hashing import normalized

Ints = NDArray[np.int64]
_GROUPS = 2  # of the largest size that fill a fold


class Folds(NamedTuple):
    """Which fold each text is in.

    number (NDArray[int64]): Of each text, in the order of the gold.
    group (NDArray[int64]): Of each text: the first text of its group.
    unseen (float): Of all entities, the share whose form is in no text of another fold.
    """

    number: Ints
    group: Ints
    unseen: float

    @property
    def sizes(self) -> list[int]:
        """Texts of each fold."""
        return np.bincount(self.number).tolist()


def fold(texts: Iterable[GoldText], folds: int) -> Folds:
    """Put texts into folds of about the same size.

    Texts which share a form are grouped, the rarest forms first, unless a group would become larger than half a fold;
    so are texts that are equal but for case, blanks and marks. The groups, the largest first, go each to the fold that
    has the fewest texts. It takes sixteen bytes an entity.

    texts (Iterable[GoldText]): In the order of the gold.
    folds (int): How many.
    RAISES (UserError): If there are not enough texts.
    """
    keys, where, count = _forms(texts)
    if count < 2 * folds:
        raise UserError(f"{count} texts are too few for {folds} folds; fewer folds: --vars.folds 2, or more texts")
    group = _groups(keys, where, count, max(1, count // (_GROUPS * folds)))
    number = _allot(group, folds)
    return Folds(number, group, _unseen(keys[keys > 0], number[where[keys > 0]]))


def _forms(texts: Iterable[GoldText]) -> tuple[Ints, Ints, int]:
    """A number for each form and the text it is in, and how many texts there are. Those of whole texts are below 0."""
    keys, where, count = [], [], 0
    for count, text in enumerate(texts, 1):
        forms = {normalized(text.text[span.start : span.end]) for span in (*text.spans, *text.accepted)}
        keys += [*sorted(map(_number, forms)), -_number(normalized(text.text))]
        where += [count - 1] * (len(forms) + 1)
    return np.array(keys, np.int64), np.array(where, np.int64), count


def _number(form: str) -> int:
    digest = hashlib.blake2b(form.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 2) + 1


def _groups(keys: Ints, where: Ints, count: int, most: int) -> Ints:
    """The first text of each text's group."""
    parent, size = list(range(count)), [1] * count

    def root(text: int) -> int:
        while parent[text] != text:
            parent[text] = text = parent[parent[text]]
        return text

    for texts in _rarest_first(keys, where):
        roots = sorted({root(text) for text in texts.tolist()})
        if len(roots) > 1 and sum(size[each] for each in roots) <= most:
            size[roots[0]] = sum(size[each] for each in roots)
            for each in roots[1:]:
                parent[each] = roots[0]
    return np.array([root(text) for text in range(count)], np.int64)


def _rarest_first(keys: Ints, where: Ints) -> Iterable[Ints]:
    """The texts of each form that is in several."""
    order = np.argsort(keys, kind="stable")
    _, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    for form in np.argsort(counts, kind="stable").tolist():
        if counts[form] > 1:
            yield where[order[starts[form] : starts[form] + counts[form]]]


def _allot(group: Ints, folds: int) -> Ints:
    """The fold of each text."""
    groups, sizes = np.unique(group, return_counts=True)
    taken = [0] * folds
    of_group = np.zeros(len(group), np.int64)
    for each in np.argsort(-sizes, kind="stable").tolist():
        smallest = taken.index(min(taken))
        of_group[groups[each]] = smallest
        taken[smallest] += int(sizes[each])
    return of_group[group]


def _unseen(keys: Ints, number: Ints) -> float:
    if not len(keys):
        return 0.0
    form = np.unique(keys, return_inverse=True)[1]
    low, high = np.full(form.max() + 1, number.max()), np.zeros(form.max() + 1, np.int64)
    np.minimum.at(low, form, number)
    np.maximum.at(high, form, number)
    return float((low == high)[form].mean())
