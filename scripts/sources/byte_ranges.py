"""Files of lines in parts: ranges of bytes, each with the lines that begin in it."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

from scripts.core.files import BUFFER
from scripts.sources.files import opened

_GZIP = b"\x1f\x8b"


class Piece(NamedTuple):
    """The lines that begin in a range of bytes, and how many lines come before them."""

    start: int
    stop: int
    before: int = 0


def pieces(path: Path, size: int) -> list[Piece]:
    """Ranges of at most so many bytes. None, if the file has no more, or is gzipped: then it is read from its start."""
    total = path.stat().st_size
    number = -(-total // size)
    with path.open("rb") as file:
        if number < 2 or file.read(2) == _GZIP:
            return []
    return [Piece(*edges) for edges in pairwise(total * part // number for part in range(number + 1))]


def lines_of(path: str, piece: Piece) -> Iterator[tuple[str, bytes]]:
    """Where each line stands, and the line. Blank ones do not count. As `json_lines`, but for a part."""
    name = Path(path).name
    with opened(path) as file:
        place = _seek(file, piece)
        number = piece.before
        while place < piece.stop and (line := file.readline()):
            place += len(line)
            number += 1
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if not line.isspace():
                yield f"{name}:{number}", line


def number_of_lines(path: str, piece: Piece) -> int:
    """How many lines begin in it, blank ones too."""
    with opened(path) as file:
        start = max(piece.start - 1, 0)  # a line begins after a newline
        file.seek(start)
        found = int(piece.start == 0)
        left = piece.stop - 1 - start
        while left > 0 and (block := file.read(min(left, BUFFER))):
            found += block.count(b"\n")
            left -= len(block)
        return found


def _seek(file: IO[bytes], piece: Piece) -> int:
    """Go to the first line that begins at the start or after it."""
    file.seek(max(piece.start - 1, 0))
    if piece.start:
        file.readline()
    return file.tell()
