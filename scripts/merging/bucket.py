"""The second half of merging: a bucket of answers becomes the gold of its texts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.annotations.files import BUFFER
from scripts.annotations.records import Task, hash_of_line
from scripts.merging.account import Account
from scripts.merging.decide import Policy
from scripts.merging.partition import Range, partition, size
from scripts.merging.text import merge_text

_SUBDIVIDE = 16
_decode = msgspec.json.Decoder(Task).decode
_encode = msgspec.json.Encoder().encode_lines


class Bucket(NamedTuple):
    """The work of merging one bucket.

    paths (list[Path]): Its lines; they are deleted as soon as they have been read.
    hashes (Range): Where their hashes lie.
    largest (int): With more bytes it is divided again.
    gold (Path), conflicts (Path): Where the results go.
    policy (Policy): How disagreements are decided.
    """

    paths: list[Path]
    hashes: Range
    largest: int
    gold: Path
    conflicts: Path
    policy: Policy


def merge_bucket(bucket: Bucket) -> Account:
    """Merge one bucket: the gold and the conflicts of its texts, sorted by hash, then text."""
    account = Account()
    with bucket.gold.open("wb") as gold, bucket.conflicts.open("wb") as conflicts:
        for group in _groups(bucket.paths, bucket.hashes, bucket.largest):
            for tasks in _texts(group):
                merged, found = merge_text(tasks, bucket.policy, account)
                gold.write(_encode([merged]))
                conflicts.write(_encode(found))
    return account


def _groups(paths: list[Path], hashes: Range, largest: int) -> Iterator[Iterable[bytes]]:
    """Lines that share a hash, in the order of hashes; no more of them in memory than a bucket may have."""
    if size(paths) <= largest:
        lines = sorted(((hash_of_line(line), line) for path in paths for line in _consume(path)), key=itemgetter(0))
        for _, group in groupby(lines, itemgetter(0)):
            yield map(itemgetter(1), group)
    elif hashes.stop - hashes.start > 1:
        folder = paths[0].with_name(f"{paths[0].name}-divided")
        parts = partition(chain.from_iterable(map(_consume, paths)), folder, hashes, _SUBDIVIDE)
        for path, part in zip(parts, hashes.split(_SUBDIVIDE), strict=True):
            yield from _groups([path], part, largest)
        shutil.rmtree(folder)
    else:
        yield chain.from_iterable(map(_consume, paths))


def _consume(path: Path) -> Iterator[bytes]:
    with path.open("rb", BUFFER) as lines:
        yield from lines
    path.unlink()


def _texts(lines: Iterable[bytes]) -> Iterator[list[Task]]:
    """Group answers by text, in the order of texts. A text is held once, however many answers it has."""
    texts: dict[str, list[Task]] = {}
    same: list[Task] = []
    for line in lines:
        task = _decode(line)
        if not same or task.text != same[0].text:  # mostly equal, and comparing is cheaper than hashing
            same = texts.setdefault(task.text, [])
        if same:
            task.text = same[0].text
        same.append(task)
    for text in sorted(texts):
        yield texts[text]
