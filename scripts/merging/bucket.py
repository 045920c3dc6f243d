"""A bucket of answers becomes the gold of its texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.annotations.records import Task
from scripts.merging.account import Account
from scripts.merging.buckets import Range, groups
from scripts.merging.decide import Policy
from scripts.merging.stretches import Stretch, stretch_of
from scripts.merging.text import merge_text

_LABELS = b'"labels":['


class _Rest(Task):
    """An answer from its labels on."""

    input_hash: int = 0
    text: str = ""


_decode = msgspec.json.Decoder(Task).decode
_decode_rest = msgspec.json.Decoder(_Rest).decode
_encode = msgspec.json.Encoder().encode_lines


class Bucket(NamedTuple):
    """The work of merging one bucket.

    paths (list[Path]): Files of answers, sorted by hash.
    hashes (Range): Which of them are in the bucket.
    largest (int): With more bytes it is divided again.
    policy (Policy): How disagreements are decided.
    gold (Path), conflicts (Path): Files to whose ends the results go.
    stretches (int): How many stretches all hashes are divided into.
    """

    paths: list[Path]
    hashes: Range
    largest: int
    policy: Policy
    gold: Path
    conflicts: Path
    stretches: int = 1


def merge_bucket(bucket: Bucket) -> dict[int, Stretch]:
    """Merge one bucket: the gold and the conflicts of its texts, sorted by hash, then text.

    RETURNS (dict[int, Stretch]): By the number of a stretch, what was made of its answers that are in the bucket.
    """
    found = groups(bucket.paths, bucket.hashes, bucket.largest)
    texts = ((stretch_of(tasks[0].input_hash, bucket.stretches), tasks) for group in found for tasks in _texts(group))
    made = {}
    with bucket.gold.open("ab") as gold, bucket.conflicts.open("ab") as conflicts:
        for number, own in groupby(texts, itemgetter(0)):
            account = Account()
            before = gold.tell(), conflicts.tell()
            for _, tasks in own:
                merged, disputes = merge_text(tasks, bucket.policy, account)
                gold.write(_encode([merged]))
                conflicts.write(_encode(disputes))
            account.book()
            made[number] = Stretch(account.packed(), gold.tell() - before[0], conflicts.tell() - before[1])
    return made


def _texts(lines: Iterable[bytes]) -> Iterator[list[Task]]:
    """Group answers by text, in the order of texts. A text is held once, however many answers it has.

    It is decoded once too: lines that begin like one before, up to their labels, are about its text. These bytes can
    not be in a text, in which a backslash stands before each quote.
    """
    texts: dict[str, list[Task]] = {}
    same: list[Task] = []
    beginning = b"\n"  # of no line
    for line in lines:
        if line.startswith(beginning):
            task: Task = _decode_rest(b"{" + line[len(beginning) :])
            task.input_hash = same[0].input_hash
        else:
            task = _decode(line)
            beginning = line[: line.index(_LABELS)]
            same = texts.setdefault(task.text, [])
        if same:
            task.text = same[0].text
        same.append(task)
    for text in sorted(texts):
        yield texts[text]
