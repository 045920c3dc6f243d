"""Divides texts into folds such that texts which share rare surface forms are in the same fold.

A model that judges a text should not have seen its entities elsewhere: it would repeat how they are annotated there,
right or wrong. Texts with a common surface form cannot all be in one fold; texts with a rare one can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.hashing import normalized
from scripts.merging.duplicates import find_root

Integers = NDArray[np.int64]


class Folds(NamedTuple):
    """The fold of each text."""

    of_text: Integers  # the number of its fold, in the order of the gold
    groups: Integers  # the first text of its group. A group is in one fold
    unseen: float  # the share of entities whose surface form is in no other fold


def assign_folds(texts: Iterable[GoldText], folds: int) -> Folds:
    """Assign texts to folds of about the same size. It takes sixteen bytes an entity.

    Texts which share a surface form are grouped, the rarest forms first, unless the group became larger than half a
    fold; so are texts that are equal after normalization. The largest groups first, each goes to the smallest fold.

    texts (Iterable[GoldText]): In the order of the gold.
    RAISES (UserError): If there are not enough texts.
    """
    keys, owners, count = _hash_forms(texts)
    if count < 2 * folds:
        raise UserError(f"{count} texts are too few for {folds} folds: fewer folds, --suspects.folds 2, or more texts")
    groups = _group(keys, owners, count, largest=max(1, count // (2 * folds)))
    of_text = _fill_folds(groups, folds)
    is_form = keys > 0
    in_one_fold = pd.Series(of_text[owners[is_form]]).groupby(keys[is_form]).transform("nunique") == 1
    return Folds(of_text, groups, float(in_one_fold.mean()) if len(in_one_fold) else 0.0)


def _hash_forms(texts: Iterable[GoldText]) -> tuple[Integers, Integers, int]:
    """Hashes of surface forms and, negative, of whole texts; the text each is in; and the number of texts."""
    keys, owners, count = [], [], 0
    for count, text in enumerate(texts, 1):
        forms = {normalized(text.text[span.start : span.end]) for span in (*text.spans, *text.accepted)}
        keys += [*sorted(map(_hash, forms)), -_hash(normalized(text.text))]
        owners += [count - 1] * (len(forms) + 1)
    return np.array(keys, np.int64), np.array(owners, np.int64), count


def _hash(form: str) -> int:
    digest = hashlib.blake2b(form.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 2) + 1


def _group(keys: Integers, owners: Integers, count: int, largest: int) -> Integers:
    """The first text of each text's group."""
    first, size = list(range(count)), [1] * count
    order = np.argsort(keys, kind="stable")
    _, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    rarest_first = np.argsort(counts, kind="stable")[np.sum(counts == 1) :]  # without those in one text
    for form in rarest_first.tolist():
        texts = owners[order[starts[form] : starts[form] + counts[form]]]
        roots = sorted({find_root(first, text) for text in texts.tolist()})
        total = sum(size[root] for root in roots)
        if len(roots) > 1 and total <= largest:
            size[roots[0]] = total
            for root in roots[1:]:
                first[root] = roots[0]
    return np.array([find_root(first, text) for text in range(count)], np.int64)


def _fill_folds(groups: Integers, folds: int) -> Integers:
    """The fold of each text."""
    firsts, sizes = np.unique(groups, return_counts=True)
    filled = [0] * folds
    of_group = np.zeros(len(groups), np.int64)
    for number in np.argsort(-sizes, kind="stable").tolist():
        smallest = filled.index(min(filled))
        of_group[firsts[number]] = smallest
        filled[smallest] += int(sizes[number])
    return of_group[groups]
