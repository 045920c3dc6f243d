"""Whether a source is as it was: told by its files' identity, size and times, without reading them, or by its bytes."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scripts.core.files import sha256

_TICK = 2 * 10**9  # nanoseconds: the coarsest clock of a file system, FAT's


class State(NamedTuple):
    """What tells, without reading a source, that nothing in it changed.

    value (str): Digest of the identity, size and times of all files, and of what else changes with each writing.
    changed (int), taken (int): When a file was changed last, and when this was told; nanoseconds since 1970.
    is_shared (bool): Whether others may write to it while it is read: what is read stays sound, as in a database.
    """

    value: str
    changed: int
    taken: int
    is_shared: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether the next change must have another time. A clock may stand still for longer than a change takes, see
        https://git-scm.com/docs/racy-git.
        """
        return self.taken - self.changed > _TICK


def state_of(files: Iterable[tuple[Path, str]], more: bytes = b"", is_shared: bool = False) -> State:
    """Return the state of files with their names.

    The time at which a file's own description changed is part of it: what was copied with its time of change, or
    moved in place of another, has a new one.

    more (bytes): What else changes with each writing.
    RAISES (OSError): If a file is gone.
    """
    taken, changed = time.time_ns(), 0
    digest = hashlib.blake2b(more, digest_size=16)
    for path, name in files:
        stat = path.stat()
        times = (stat.st_mtime_ns, stat.st_ctime_ns)
        digest.update(f"{name}\0{stat.st_dev} {stat.st_ino} {stat.st_size} {times}\0".encode("utf8", "surrogateescape"))
        changed = max(changed, times[os.name == "posix"])  # the time of change can be set; on Windows alone it is told
    return State(digest.hexdigest(), changed, taken, is_shared)


def digest_of(files: Iterable[tuple[Path, str]]) -> str:
    """Digest of the names and the bytes of files, which are read."""
    digest = hashlib.blake2b(digest_size=16)
    for path, name in files:
        digest.update(f"{name}\0{sha256(path)}\0".encode("utf8", "surrogateescape"))
    return digest.hexdigest()


class RowsDigest:
    """Digest of places and contents of rows, taken while they are read: the sum of the rows' digests, see
    `add_digests`.
    """

    def __init__(self) -> None:
        self._sum = 0

    def watch(self, rows: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """Yield the rows as they are."""
        for place, content in rows:
            # A checksum of each row, since a digest of 2.6 GB takes longer than to read the answers in it.
            stored = content if isinstance(content, bytes) else repr(content).encode()
            row = b"%s %d %d" % (place.encode(), len(stored), zlib.crc32(stored))
            self._sum += int.from_bytes(hashlib.blake2b(row, digest_size=_SUM_BYTES).digest(), "big")
            yield place, content

    def hexdigest(self) -> str:
        """Digest of the rows so far."""
        return _as_digest(self._sum)


_SUM_BYTES = 16


def add_digests(digests: Iterable[str]) -> str:
    """Return the digest of rows from those of parts of them; none if that of a part is missing."""
    found = list(digests)
    return _as_digest(sum(int(digest, 16) for digest in found)) if all(found) else ""


def _as_digest(total: int) -> str:
    return f"{total % 2 ** (8 * _SUM_BYTES):0{2 * _SUM_BYTES}x}"
