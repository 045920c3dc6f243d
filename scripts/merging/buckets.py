"""Buckets: ranges of hashes, each merged on its own in bounded memory.

All answers about a text share its hash, and the files of the datasets are sorted by hash: a bucket is one slice of each
file. Buckets in the order of their hashes give sorted gold.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.core.answers import Task, hash_of_line
from scripts.core.files import BUFFER
from scripts.merging.account import Account
from scripts.merging.merge_text import merge_text
from scripts.merging.rules import MergeRules
from scripts.merging.sorting import offsets_of

MOST_BUCKETS = 1024
_MB = 2**20
_TARGET = 16 * _MB  # larger buckets are not merged faster
_PROCESS_MB = 64  # of Python and the modules of a merge
_FACTOR = 2  # memory that a bucket takes for each of its bytes, at most
_DIVIDE = 16


class Resources(NamedTuple):
    """Limits of a merge; the result does not depend on them.

    memory_mb (int): For all processes together.
    processes (int): At a time.
    buckets (int): Number of buckets; 0 to choose it by the size of the data and the memory.
    """

    memory_mb: int
    processes: int
    buckets: int = 0


class Range(NamedTuple):
    """Hashes from start to before stop."""

    start: int
    stop: int

    def split(self, number: int) -> list[Range]:
        """Divide into at most `number` ranges, in order."""
        number = min(number, self.stop - self.start)
        edges = [self.start + (self.stop - self.start) * edge // number for edge in range(number + 1)]
        return [Range(*edge) for edge in pairwise(edges)]


ALL = Range(-(2**31), 2**31)


class Bucket(NamedTuple):
    """The work of merging one bucket.

    paths (list[Path]): Files of answers, sorted by hash.
    largest (int): With more bytes the bucket is divided again.
    gold (Path), conflicts (Path): Files that the results are appended to.
    """

    paths: list[Path]
    hashes: Range
    largest: int
    rules: MergeRules
    gold: Path
    conflicts: Path


def largest_bucket(memory_mb: int, processes: int) -> int:
    """Most bytes of a bucket, so that one bucket for each process fits into the memory."""
    share = memory_mb / processes - _PROCESS_MB
    return max(_MB, int(share * _MB / _FACTOR))


def number_of_buckets(size: int, largest: int, processes: int) -> int:
    """Number of buckets for `size` bytes: the same number for each process, none much larger than is fast."""
    wanted = math.ceil(size / min(_TARGET, largest) / processes) * processes
    return min(max(wanted, 4 * processes if size > _MB else 1), MOST_BUCKETS)


_encode = msgspec.json.Encoder().encode_lines


def merge_bucket(bucket: Bucket) -> bytes:
    """Merge one bucket: append the gold and the conflicts of its texts, sorted by hash, then text. Returns the packed
    account of its answers.
    """
    account = Account()
    with bucket.gold.open("ab") as gold, bucket.conflicts.open("ab") as conflicts:
        for lines in groups(bucket.paths, bucket.hashes, bucket.largest):
            for tasks in _by_text(lines):
                text, found = merge_text(tasks, bucket.rules, account)
                gold.write(_encode([text]))
                conflicts.write(_encode(found))
    return account.packed()


def groups(paths: Sequence[Path], hashes: Range, largest: int) -> Iterator[Iterator[bytes]]:
    """Group lines by hash, in the order of hashes; no more in memory than a bucket may have.

    paths (Sequence[Path]): Files of answers, sorted by hash.
    hashes (Range): The bucket.
    largest (int): If it has more bytes, it is divided again; one hash that has more is read line by line.
    RAISES (ValueError): If a file holds other things than answers.
    """
    offsets = {path: offsets_of(path, hashes) for path in paths}
    slices = [(path, start, stop) for path, (start, stop) in offsets.items() if start < stop]
    if sum(stop - start for _, start, stop in slices) <= largest:
        same_hash: dict[bytes, list[bytes]] = defaultdict(list)
        for line in _lines(slices):
            same_hash[line[: line.index(b",")]].append(line)  # the hash comes first in a line
        for beginning in sorted(same_hash, key=lambda beginning: hash_of_line(beginning + b",")):
            yield iter(same_hash.pop(beginning))
    elif hashes.stop - hashes.start > 1:
        for part in hashes.split(_DIVIDE):
            yield from groups(paths, part, largest)
    else:
        yield _lines(slices)


def _lines(slices: Iterable[tuple[Path, int, int]]) -> Iterator[bytes]:
    for path, start, stop in slices:
        with path.open("rb", BUFFER) as file:
            offset = file.seek(start)
            while offset < stop and (some := file.readlines(min(BUFFER, stop - offset - 1))):
                offset += sum(map(len, some))
                yield from some


class _TaskWithoutText(Task):
    """An answer from its labels on."""

    input_hash: int = 0
    text: str = ""


_decode = msgspec.json.Decoder(Task).decode
_decode_rest = msgspec.json.Decoder(_TaskWithoutText).decode
_LABELS = b'"labels":['


def _by_text(lines: Iterable[bytes]) -> Iterator[list[Task]]:
    """Group answers that share a hash by text, in the order of texts. Each text is in memory once."""
    texts: dict[str, list[Task]] = {}
    tasks: list[Task] = []
    beginning = b"\n"  # of no line
    for line in lines:
        # Lines that are equal up to their labels have the same text, so it is decoded once. `"labels":[` cannot stand
        # in a text, where a backslash comes before each quote.
        if line.startswith(beginning):
            task: Task = _decode_rest(b"{" + line[len(beginning) :])
            task.input_hash = tasks[0].input_hash
        else:
            task = _decode(line)
            beginning = line[: line.index(_LABELS)]
            tasks = texts.setdefault(task.text, [])
        if tasks:
            task.text = tasks[0].text
        tasks.append(task)
    for text in sorted(texts):
        yield texts[text]
