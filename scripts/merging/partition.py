"""The first half of merging: lines of answers go to buckets by ranges of their hash.

Answers about one text share a hash, so a bucket can be merged on its own; and since the ranges are in order, what
is merged bucket by bucket is sorted as a whole.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from scripts.annotations.errors import UserError
from scripts.annotations.files import BUFFER
from scripts.annotations.records import hash_of_line

HASHES = 2**32
MOST_BUCKETS = 128  # each is an open file in every process; systems allow from 256 on
_MB = 2**20
_BUFFER = 2**16  # of each of many open files
_TARGET = 16 * _MB  # larger buckets are not merged faster
_PROCESS_MB = 64  # what Python and the modules of a merge take
_FACTOR = 1.6  # measured: how much more than its bytes a bucket takes in memory


class Range(NamedTuple):
    """Hashes from start to before stop, counted from 0 (hash + 2**31)."""

    start: int
    stop: int

    def split(self, parts: int) -> list[Range]:
        """Cut into at most so many ranges, in order."""
        parts = min(parts, self.stop - self.start)
        edges = [self.start + (self.stop - self.start) * part // parts for part in range(parts + 1)]
        return [Range(*edge) for edge in pairwise(edges)]


ALL = Range(0, HASHES)


def largest_bucket(memory_mb: int, processes: int) -> int:
    """How many bytes a bucket may have so that as many as there are processes fit into the memory."""
    share = memory_mb / processes - _PROCESS_MB
    return max(_MB, int(share * _MB / _FACTOR))


def number_of_buckets(size: int, largest: int, processes: int) -> int:
    """How many buckets so many bytes are divided into: small ones, and enough to keep all processes busy."""
    wanted = math.ceil(size / min(_TARGET, largest))
    return min(max(wanted, 4 * processes if size > _MB else 1), MOST_BUCKETS)


def partition(lines: Iterable[bytes], folder: Path, whole: Range, buckets: int) -> list[Path]:
    """Append lines to one file a bucket.

    lines (Iterable[bytes]): Lines of answers, their hashes within the range.
    folder (Path): Where the files go; it is made.
    whole (Range): Is cut into buckets.
    buckets (int): How many.
    RETURNS (list[Path]): The files in the order of their ranges, `Range.split`.
    """
    folder.mkdir(parents=True)
    starts = [part.start - 2**31 for part in whole.split(buckets)]
    paths = [folder / f"{number:04}" for number in range(len(starts))]
    with ExitStack() as stack:
        writers = [stack.enter_context(path.open("wb", _BUFFER)).write for path in paths]
        for line in lines:
            writers[bisect_right(starts, hash_of_line(line)) - 1](line)
    return paths


class Input(NamedTuple):
    """The file of a dataset, and the digest its manifest vouches for."""

    path: Path
    sha256: str


class Partition(NamedTuple):
    """The work of partitioning one dataset."""

    source: Input
    folder: Path
    buckets: int


def partition_dataset(job: Partition) -> list[Path]:
    """Partition the file of a dataset. RAISES (UserError): If it is not what was pulled."""
    digest = hashlib.sha256()
    changed = UserError(f"{job.source.path}: is not as it was pulled; pull again")
    try:
        paths = partition(_digested(job.source.path, digest), job.folder, ALL, job.buckets)
    except (FileNotFoundError, ValueError) as err:
        raise changed from err
    if digest.hexdigest() != job.source.sha256:
        raise changed
    return paths


def _digested(path: Path, digest: hashlib._Hash) -> Iterator[bytes]:
    with path.open("rb", BUFFER) as lines:
        for line in lines:
            digest.update(line)
            yield line


def size(paths: Sequence[Path]) -> int:
    """Bytes in files."""
    return sum(path.stat().st_size for path in paths)
