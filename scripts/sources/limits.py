"""The size of records and lines: one that is larger is passed over, and memory does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO

from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.sources.documents import Unusable

DEFAULT_MB = 64  # of 1024 * 1024 bytes
_max_mb = ContextVar("max_record_mb", default=DEFAULT_MB)


class TooLarge(Unusable):
    """A record that is larger than the limit."""

    def __init__(self) -> None:
        super().__init__(f"larger than {_max_mb.get():,} MiB, see [pull] max_record_mb")


class Oversized(bytes):
    """Stands for a record or line that is larger than the limit. It is empty."""


@contextmanager
def record_limit(max_mb: int) -> Iterator[None]:
    """Read records up to a size, `[pull] max_record_mb`, while the block runs: readers ask for it by `max_record`."""
    token = _max_mb.set(max_mb)
    try:
        yield
    finally:
        _max_mb.reset(token)


def max_record() -> int:
    """Return the number of bytes that a record may have."""
    return _max_mb.get() * 2**20


def sized(content: bytes) -> bytes:
    """Return a record. RAISES (TooLarge): If it is larger than the limit."""
    if isinstance(content, Oversized):
        raise TooLarge()
    return content


def read_line(file: IO[bytes]) -> tuple[bytes, int]:
    """Read a line. RETURNS (tuple[bytes, int]): The line, and the number of bytes read, 0 at the end of the file."""
    limit = max_record() + 1
    line = file.readline(limit)
    length = len(line)
    if length < limit or line.endswith(b"\n"):
        return line, length
    while part := file.readline(BUFFER):
        length += len(part)
        if part.endswith(b"\n"):
            break
    return Oversized(), length


def lines(file: IO[bytes]) -> Iterator[bytes]:
    """Stream the lines of a file, with their ends."""
    while (found := read_line(file))[1]:
        yield found[0]


def read_bounded(file: IO[bytes]) -> bytes:
    """Read all of a file. RAISES (TooLarge): If it is larger than the limit."""
    content = file.read(max_record() + 1)
    if len(content) > max_record():
        raise TooLarge()
    return content


def read_file(path: Path) -> bytes:
    """Read a file. RAISES (TooLarge): If it is larger than the limit. RAISES (UserError): If it is no regular file."""
    demand_regular(path)
    with path.open("rb") as file:
        return read_bounded(file)


def demand_regular(path: Path, is_folder_allowed: bool = False) -> None:
    """RAISES (UserError): If something is there that is no file: reading a pipe or a device may never end."""
    if path.exists() and not path.is_file() and not (is_folder_allowed and path.is_dir()):
        raise UserError(f"{path}: is no file, but a {'folder' if path.is_dir() else 'pipe, a socket or a device'}")
