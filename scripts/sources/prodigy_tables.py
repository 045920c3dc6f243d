"""The tables of a Prodigy database, on whatever database system."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from scripts.core.errors import UserError

TABLES = ("dataset", "example", "link")
LAST = 2**63 - 1


class Dataset(NamedTuple):
    """A row of `dataset`; created is in seconds since 1970."""

    id: int
    created: int


def find(place: str, datasets: Mapping[str, Dataset], name: str) -> Dataset:
    """A dataset by its name. RAISES (UserError): If there is none; it names those that there are.

    place (str): The database, for the message.
    """
    if name in datasets:
        return datasets[name]
    close = difflib.get_close_matches(name, datasets, n=20, cutoff=0.4) or list(datasets)[:20]
    more = f" and {len(datasets) - len(close)} more" if len(datasets) > len(close) else ""
    raise UserError(f"{place}: has no dataset {name!r}. There is {', '.join(close) or 'none at all'}{more}")


def ranges(first: int | None, last: int | None, total: int | None, size: int) -> list[tuple[int, int]]:
    """Ranges of ids, after which and until which, that are equally long and hold about so many bytes each.

    first, last (int | None): The ids there are. What is added later is in the last range.
    total (int | None): Bytes of all together.
    """
    if first is None or last is None:
        return [(-1, LAST)]
    number = min(-(-int(total or 0) // size), last - first + 1)
    if number < 2:
        return [(-1, LAST)]
    edges = [first - 1 + (last - first + 1) * part // number for part in range(number)]
    return list(pairwise([*edges, LAST]))
