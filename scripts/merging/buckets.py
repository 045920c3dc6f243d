"""Which answers are merged together: ranges of hashes, each small enough to be merged in memory.

Answers about one text share a hash, so a range can be merged on its own; and since the ranges are in order, what is
merged range by range is sorted as a whole. The files of the datasets are sorted by hash: a range is a slice of each.

A bucket of answers becomes the gold of its texts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from scripts.core.answers import hash_of_line
from scripts.core.files import BUFFER
from scripts.merging.sorting import places

MOST_BUCKETS = 1024
_MB = 2**20
_TARGET = 16 * _MB  # larger buckets are not merged faster
_PROCESS_MB = 64  # what Python and the modules of a merge take
_FACTOR = 2  # how much more than its bytes a bucket takes in memory, at most
_DIVIDE = 16


class Resources(NamedTuple):
    """What a merge may use; the result does not depend on it.

    memory_mb (int): Of memory, for all processes together.
    processes (int): At a time.
    buckets (int): 0 to choose by the size of the data and the memory.
    """

    memory_mb: int
    processes: int
    buckets: int = 0


class Range(NamedTuple):
    """Hashes from start to before stop."""

    start: int
    stop: int

    def split(self, parts: int) -> list[Range]:
        """Cut into at most so many ranges, in order."""
        parts = min(parts, self.stop - self.start)
        edges = [self.start + (self.stop - self.start) * part // parts for part in range(parts + 1)]
        return [Range(*edge) for edge in pairwise(edges)]


ALL = Range(-(2**31), 2**31)


class Slice(NamedTuple):
    """The lines of a sorted file from one place to before another."""

    path: Path
    start: int
    stop: int


def largest_bucket(memory_mb: int, processes: int) -> int:
    """How many bytes a bucket may have so that as many as there are processes fit into the memory."""
    share = memory_mb / processes - _PROCESS_MB
    return max(_MB, int(share * _MB / _FACTOR))


def number_of_buckets(size: int, largest: int, processes: int) -> int:
    """How many buckets so many bytes are divided into: small ones, as many for each process, and enough of them."""
    wanted = math.ceil(size / min(_TARGET, largest) / processes) * processes
    return min(max(wanted, 4 * processes if size > _MB else 1), MOST_BUCKETS)


def slices(paths: Sequence[Path], hashes: Range) -> list[Slice]:
    """The part of each file that has these hashes; of files that have none, nothing.

    RAISES (ValueError): If a file holds other things than answers.
    """
    found = (Slice(path, *places(path, hashes)) for path in paths)
    return [piece for piece in found if piece.start < piece.stop]


def groups(paths: Sequence[Path], hashes: Range, largest: int) -> Iterator[Iterator[bytes]]:
    """Lines that share a hash, in the order of hashes; no more of them in memory than a bucket may have.

    paths (Sequence[Path]): Files of answers, sorted by hash.
    hashes (Range): The bucket.
    largest (int): If it has more bytes, it is divided again; one hash that has more is read line by line.
    """
    pieces = slices(paths, hashes)
    if sum(piece.stop - piece.start for piece in pieces) <= largest:
        same: dict[bytes, list[bytes]] = defaultdict(list)
        for piece in pieces:
            for line in _read(piece):
                same[line[: line.index(b",")]].append(line)  # the hash is what comes first
        for beginning in sorted(same, key=lambda beginning: hash_of_line(beginning + b",")):
            yield iter(same.pop(beginning))
    elif hashes.stop - hashes.start > 1:
        for part in hashes.split(_DIVIDE):
            yield from groups(paths, part, largest)
    else:
        yield (line for piece in pieces for line in _read(piece))


def _read(piece: Slice) -> Iterator[bytes]:
    with piece.path.open("rb", BUFFER) as lines:
        place = lines.seek(piece.start)
        while place < piece.stop and (some := lines.readlines(min(BUFFER, piece.stop - place - 1))):
            place += sum(map(len, some))
            yield from some
