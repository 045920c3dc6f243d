"""Lines in the order of their hashes, however many, in bounded memory.

Files of answers are sorted so that a merge can take any range of hashes out of each of them without reading the
rest: what one text's answers have in common is their hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import IO

from scripts.annotations.files import BUFFER
from scripts.annotations.records import hash_of_line

RUN_BYTES = 20 * 2**20  # what is sorted in memory; beyond that, on disk
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
        size = file.seek(0, 2)
        return [_bisect(file, size, wanted) for wanted in hashes]


def _bisect(file: IO[bytes], size: int, wanted: int) -> int:
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        file.seek(max(middle - 1, 0))
        if middle:
            file.readline()  # to the first line that begins at the middle or after it
        place = file.tell()
        line = file.readline() if place < high else b""
        if line and hash_of_line(line) < wanted:
            low = place + len(line)
        else:
            high = middle
    return low
