"""The tables of a Prodigy database, on whatever database system."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import NamedTuple

from scripts.annotations.errors import UserError

TABLES = ("dataset", "example", "link")


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
