"""How `pull` read its sources and left its files: what is still so need not be read again, nor merged again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import msgspec

from scripts.annotations.files import whole_file
from scripts.annotations.manifest import Entry
from scripts.annotations.sorting import differing

_NAME = ".fingerprints.json"  # it can always be deleted
_MOST_HASHES = 2**12  # if more changed, all is taken to have changed
_MOST_EARLIER = 8

Since = dict[str, list[int]]


class Seen(msgspec.Struct):
    """A dataset: a digest of its source, and the digest, size and time of change of the file made of it.

    since (Since): What changed since its last files were made, by their digests: hashes, sorted.
    """

    source: str
    sha256: str
    size: int
    changed: int
    since: Since = {}


def remembered(folder: Path) -> dict[str, Seen]:
    """What a folder of annotations holds, by dataset; nothing, if that cannot be told."""
    try:
        return msgspec.json.decode((folder / _NAME).read_bytes(), type=dict[str, Seen])
    except (OSError, msgspec.DecodeError):
        return {}


def changes(before: Entry | None, seen: Seen | None, old: Path, found: Entry, new: Path) -> Since:
    """What changed in a dataset's file. See `Seen`.

    before (Entry | None), seen (Seen | None): The dataset as it was known until now.
    old (Path), new (Path): The file that it had, and the one that it is to have.
    found (Entry): The dataset as it is.
    """
    if before is None or seen is None or not is_as_left(old, before, seen):
        return {}
    if found.sha256 == seen.sha256:
        return seen.since
    try:
        hashes = list(islice(differing(old, new), _MOST_HASHES + 1))
    except (OSError, ValueError):  # what is wrong with it does not matter: it goes
        return {}
    earlier = [*seen.since.items(), (seen.sha256, [])][-_MOST_EARLIER:]
    since = ((digest, sorted({*had, *hashes})) for digest, had in earlier)
    return {digest: changed for digest, changed in since if len(changed) <= _MOST_HASHES}


def remember(
    folder: Path, entries: Mapping[str, Entry], sources: Mapping[str, str], since: Mapping[str, Since]
) -> None:
    """Note what the folder holds now.

    entries (Mapping[str, Entry]): The datasets.
    sources (Mapping[str, str]): The digests of their sources.
    since (Mapping[str, Since]): What changed in them.
    """
    seen = {}
    for name, found in sorted(entries.items()):
        stat = (folder / found.file).stat()
        seen[name] = Seen(sources[name], found.sha256, stat.st_size, stat.st_mtime_ns, since[name])
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
