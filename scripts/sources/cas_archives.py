"""Where INCEpTION and WebAnno put their XMI files: in folders and in zips, those of a project with zips in them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple
from zipfile import BadZipFile, ZipFile

from scripts.sources.documents import Unusable

LARGEST = 2**28  # bytes, unpacked: what is larger is no document, but made to fill the memory
TYPES = "typesystem.xml"
_DEPTH = 2  # a zip in the zip of a project
# What a zip can be wrong in: damaged, cut off, encrypted, packed in a way that Python has not.
_DAMAGED = (BadZipFile, EOFError, OSError, RuntimeError, ValueError, NotImplementedError, zlib.error)


class Found(NamedTuple):
    """An XMI file.

    name (str): Its path, with those of the zips that it is in.
    xmi (bytes), types (bytes): It, and the TypeSystem.xml beside it or in a folder above.
    fault (str): Why it cannot be used.
    """

    name: str
    xmi: bytes = b""
    types: bytes = b""
    fault: str = ""


def xmis(path: Path, name: str, root: Path) -> Iterator[Found]:
    """What is in a file, one in memory at a time.

    path (Path), name (str): An XMI file, or a zip with such.
    root (Path): The folder above which no TypeSystem.xml is looked for.
    """
    with path.open("rb") as file:
        if path.suffix == ".zip":
            yield from _unzipped(file, name, 1)
            return
        try:
            beside = types_beside(path, root)
            types = beside.read_bytes() if beside else None
            yield Found(name, _limited(file), _demanded(types))
        except Unusable as err:
            yield Found(name, fault=str(err))


def types_beside(path: Path, root: Path) -> Path | None:
    """The TypeSystem.xml that is nearest to a file, in its folder or one above."""
    for folder in path.parents:
        found = [one for one in sorted(folder.glob("*.xml")) if one.name.lower() == TYPES]
        if found or folder == root:
            return found[0] if found else None
    return None


def _unzipped(file: IO[bytes], name: str, depth: int) -> Iterator[Found]:
    try:
        archive = ZipFile(file)
    except _DAMAGED:
        yield Found(name, fault="damaged zip")
        return
    with archive:
        entries = {entry: entry.lower() for entry in sorted(archive.namelist())}
        for entry, lower in entries.items():
            if lower.endswith(".xmi") or (lower.endswith(".zip") and depth < _DEPTH):
                yield from _entry(archive, entry, entries, f"{name}/{entry}", depth)


def _entry(archive: ZipFile, entry: str, entries: Mapping[str, str], name: str, depth: int) -> Iterator[Found]:
    try:
        content = _member(archive, entry)
        if entry.lower().endswith(".xmi"):
            nearest = _nearest(entry, entries)
            yield Found(name, content, _demanded(_member(archive, nearest) if nearest else None))
            return
    except Unusable as err:
        yield Found(name, fault=str(err))
        return
    yield from _unzipped(io.BytesIO(content), name, depth + 1)


def _nearest(entry: str, entries: Mapping[str, str]) -> str:
    for folder in PurePosixPath(entry.lower()).parents:
        wanted = str(folder / TYPES)
        if found := next((one for one, lower in entries.items() if lower == wanted), ""):
            return found
    return ""


def _member(archive: ZipFile, entry: str) -> bytes:
    """RAISES (Unusable): If it is damaged, or too large."""
    try:
        with archive.open(entry) as file:
            return _limited(file)
    except _DAMAGED as err:
        raise Unusable("damaged zip") from err


def _limited(file: IO[bytes]) -> bytes:
    """RAISES (Unusable): If it is too large."""
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Unusable(f"larger than {LARGEST // 2**20} MiB")
    return content


def _demanded(types: bytes | None) -> bytes:
    """RAISES (Unusable): If there is none."""
    if types is None:
        raise Unusable("no TypeSystem.xml beside it")
    return types
