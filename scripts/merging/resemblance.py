"""Texts that resemble others, although they are none of them: parts of longer ones, and such as look alike."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from scripts.core.workers import Workers
from scripts.merging.contained import Places, find_parts, write_parts
from scripts.merging.duplicates import write_lookalikes
from scripts.merging.survey import Rows, blocks, survey

_BLOCK = 2**18  # bytes of gold: the arrays made of it stay in the cache of a processor; more take half as long again


class Resemblance(NamedTuple):
    """What was found.

    rows (Rows), parts (Places): The texts, and which of them are parts of which.
    counts (dict[str, int]): "parts" and "lookalikes": how many texts.
    """

    rows: Rows
    parts: Places
    counts: dict[str, int]


def find_resemblance(folder: Path, work: Path, workers: Workers) -> Resemblance:
    """Write parts.jsonl and lookalikes.jsonl of a folder's gold.jsonl.

    folder (Path): Has the gold, and gets the results.
    work (Path): A folder for what is found on the way, of no use to anybody but for the rows.
    """
    work.mkdir()
    gold = folder / "gold.jsonl"
    parts = blocks(gold, _BLOCK)
    rows, firsts = survey(parts, work / "rows", workers)
    found = find_parts(parts, rows, firsts, work, workers)
    counts = {
        "parts": write_parts(gold, rows, found, folder / "parts.jsonl"),
        "lookalikes": write_lookalikes(gold, rows, folder / "lookalikes.jsonl"),
    }
    return Resemblance(rows, found, counts)
