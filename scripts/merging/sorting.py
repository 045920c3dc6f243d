"""Lines in the order of their hashes, however many, in bounded memory.

Files of answers are sorted so that a merge can take any range of hashes out of each of them without reading the
rest: what one text's answers have in common is their hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from mmap import ACCESS_READ, mmap
from operator import itemgetter
from pathlib import Path

from scripts.core.answers import hash_of_line
from scripts.core.files import BUFFER

RUN_BYTES = 20 * 2**20  # what is sorted in memory; beyond that, on disk
_HASH_WITHIN = 64  # bytes of a line
_LINE_OVERHEAD = 128  # bytes that Python takes for a line and its hash


def sorted_blocks(lines: Iterable[tuple[int, bytes]], runs: Path, run_bytes: int = RUN_BYTES) -> Iterator[bytes]:
    """Sort lines by their hashes; lines with the same hash keep their order. An external merge sort.

    lines (Iterable[tuple[int, bytes]]): Hashes and lines, with their newlines.
    runs (Path): A folder for sorted parts, made only if it is needed; whoever gave it removes it.
    run_bytes (int): How much is sorted in memory.
    YIELDS (bytes): The lines, many at a time.
    """
    paths: list[Path] = []
    run: list[tuple[int, bytes]] = []
    size = 0
    for line in lines:
        run.append(line)
        size += len(line[1]) + _LINE_OVERHEAD
        if size >= run_bytes:
            paths.append(_spill(run, runs / str(len(paths))))
            run, size = [], 0
    run.sort(key=itemgetter(0))
    in_memory = (line for _, line in run)
    yield from _blocks(merge(*map(_lines, paths), in_memory, key=hash_of_line) if paths else in_memory)


def _spill(run: list[tuple[int, bytes]], path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    run.sort(key=itemgetter(0))
    with path.open("wb") as file:
        for block in _blocks(line for _, line in run):
            file.write(block)
    return path


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", BUFFER) as lines:
        yield from lines


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BUFFER:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join(block)


def places(path: Path, hashes: Iterable[int]) -> list[int]:
    """Where in a sorted file the lines with at least these hashes begin: bisection, a few lines read for each.

    path (Path): Lines sorted by hash.
    hashes (Iterable[int]): Any hashes.
    RETURNS (list[int]): Offsets in bytes; the size of the file where there are no such lines.
    RAISES (ValueError): If it holds lines of another kind.
    """
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return [0 for _ in hashes]
        with mmap(file.fileno(), 0, access=ACCESS_READ) as lines:
            return [_bisect(lines, wanted) for wanted in hashes]


def _bisect(lines: mmap, wanted: int) -> int:
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high) // 2
        start = max(low, lines.rfind(b"\n", low, middle) + 1)  # of the line that has the middle
        if hash_of_line(lines[start : start + _HASH_WITHIN]) < wanted:
            low = lines.find(b"\n", middle) + 1 or high
        else:
            high = start
    return low
