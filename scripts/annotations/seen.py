"""How `pull` read its sources and left its files: what is still so need not be read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from scripts.annotations.files import whole_file
from scripts.annotations.manifest import Entry

_NAME = ".fingerprints.json"  # it can always be deleted


class Seen(msgspec.Struct):
    """A dataset: a digest of its source, and the digest, size and time of change of the file made of it."""

    source: str
    sha256: str
    size: int
    changed: int


def remembered(folder: Path) -> dict[str, Seen]:
    """What a folder of annotations holds, by dataset; nothing, if that cannot be told."""
    try:
        return msgspec.json.decode((folder / _NAME).read_bytes(), type=dict[str, Seen])
    except (OSError, msgspec.DecodeError):
        return {}


def remember(folder: Path, entries: Mapping[str, Entry], sources: Mapping[str, str]) -> None:
    """Note what the folder holds now.

    entries (Mapping[str, Entry]): The datasets.
    sources (Mapping[str, str]): The digests of their sources.
    """
    seen = {}
    for name, found in sorted(entries.items()):
        stat = (folder / found.file).stat()
        seen[name] = Seen(sources[name], found.sha256, stat.st_size, stat.st_mtime_ns)
    with whole_file(folder / _NAME) as file:
        file.write(msgspec.json.encode(seen))


def is_as_left(path: Path, found: Entry, seen: Seen | None) -> bool:
    """Whether a dataset's file is the one that the manifest tells of, by its size and time: it is not read."""
    if seen is None or seen.sha256 != found.sha256:
        return False
    try:
        stat = path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (seen.size, seen.changed)
