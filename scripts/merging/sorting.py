"""External merge sort of lines by hash, and the offsets of hashes in sorted files.

Files of answers are sorted so that a merge can take any range of hashes out of each of them without reading the rest.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from mmap import ACCESS_READ, mmap
from operator import itemgetter
from pathlib import Path

from scripts.core.answers import hash_of_line
from scripts.core.files import BUFFER

CHUNK_BYTES = 20 * 2**20  # sorted in memory; further lines are sorted on disk
_HASH_WITHIN = 64  # first bytes of a line that have the hash
_LINE_OVERHEAD = 128  # bytes that Python takes for a line and its hash


def sorted_blocks(lines: Iterable[tuple[int, bytes]], folder: Path, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Sort lines by hash; lines with the same hash keep their order.

    lines (Iterable[tuple[int, bytes]]): Hashes and lines, with their newlines.
    folder (Path): For sorted chunks, made only if it is needed. The caller removes it.
    YIELDS (bytes): The lines, many at a time.
    """
    paths, rest = _sort_chunks(lines, folder, chunk_bytes)
    yield from merged_blocks(paths, (line for _, line in rest))


def sorted_chunks(lines: Iterable[tuple[int, bytes]], folder: Path, chunk_bytes: int = CHUNK_BYTES) -> list[Path]:
    """Sort lines as `sorted_blocks`, but leave all in files of a folder, for `merged_blocks`."""
    paths, rest = _sort_chunks(lines, folder, chunk_bytes)
    return [*paths, _write_chunk(rest, folder / str(len(paths)))]


def merged_blocks(paths: Sequence[Path], rest: Iterable[bytes] = ()) -> Iterator[bytes]:
    """Merge sorted files, and sorted lines; of lines with the same hash, those of earlier files come first."""
    yield from _joined(merge(*map(_lines, paths), rest, key=hash_of_line) if paths else rest)


def _sort_chunks(
    lines: Iterable[tuple[int, bytes]], folder: Path, chunk_bytes: int
) -> tuple[list[Path], list[tuple[int, bytes]]]:
    """Return the files of all sorted chunks but the last, and that."""
    paths: list[Path] = []
    chunk: list[tuple[int, bytes]] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line[1]) + _LINE_OVERHEAD
        if size >= chunk_bytes:
            chunk.sort(key=itemgetter(0))
            paths.append(_write_chunk(chunk, folder / str(len(paths))))
            chunk, size = [], 0
    chunk.sort(key=itemgetter(0))
    return paths, chunk


def _write_chunk(chunk: list[tuple[int, bytes]], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for block in _joined(line for _, line in chunk):
            file.write(block)
    return path


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb", BUFFER) as lines:
        yield from lines


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    size = 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BUFFER:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join(block)


def offsets_of(path: Path, hashes: Iterable[int]) -> list[int]:
    """Find where the lines with at least each hash begin, by bisection: a few lines are read for each.

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
        start = max(low, lines.rfind(b"\n", low, middle) + 1)  # of the line in which the middle is
        if hash_of_line(lines[start : start + _HASH_WITHIN]) < wanted:
            low = lines.find(b"\n", middle) + 1 or high
        else:
            high = start
    return low
