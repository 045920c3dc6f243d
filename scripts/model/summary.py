"""corpus/split.json, as far as the steps after it want to know which corpus there is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scripts.annotations.errors import UserError
from scripts.annotations.files import read_json

STORED = "docbins.json"  # beside split.json where the shards are not: says where they are


class Split(msgspec.Struct):
    """What of corpus/split.json says which corpus it is.

    digest (str): Of the texts, what is known of them, how they are split and tokenized.
    texts (dict[str, int]): How many on each side.
    covered (dict[str, dict[str, int]]): By label and side: texts in which the label is known everywhere.
    spans (dict[str, dict[str, int]]): By label and side: its entities.
    """

    digest: str
    texts: dict[str, int]
    covered: dict[str, dict[str, int]] = {}
    spans: dict[str, dict[str, int]] = {}


def read_split(path: Path) -> Split:
    """Read corpus/split.json. RAISES (UserError): If there is none, it is damaged, or the shards are elsewhere."""
    if path.with_name(STORED).exists():
        raise UserError(f"{path.parent}: its shards stayed on the storage; bring them: fetch = true, weasel run corpus")
    return read_json(
        path, Split, "make the corpus first: weasel run corpus", "make the corpus again: weasel run corpus"
    )
