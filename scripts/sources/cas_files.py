"""INCEpTION's and WebAnno's exports: XMI files in folders and zips, with who made them and whether they are finished.

The export of a project is a zip with `annotation/DOCUMENT/USER.zip`, `curation/DOCUMENT/CURATION_USER.zip` and
`exportedproject.json`, which has the state of each document for each user.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple
from zipfile import BadZipFile, ZipFile

import msgspec

from scripts.sources.documents import Unusable
from scripts.sources.files import files, has_ending, real_path
from scripts.sources.limits import read_bounded, read_file

_MAX_DEPTH = 2  # of zips in zips
_TYPES = "typesystem.xml"
# Errors of zips that are damaged, cut off, encrypted, or packed in a way that Python does not know.
_DAMAGED = (BadZipFile, EOFError, OSError, RuntimeError, ValueError, NotImplementedError, zlib.error)
# annotation/letter.txt/ada.xmi, or in a zip or a folder between, whose name is random
_LAYOUT = re.compile(r"(?:^|/)(annotation|curation)/([^/]+)/(?:[^/]+/)?([^/]+)\.xmi", re.IGNORECASE)
_PROJECT = re.compile(r"exportedproject[^/]*\.json", re.IGNORECASE)
_UNFINISHED = ("NEW", "IN_PROGRESS", "ANNOTATION_IN_PROGRESS", "CURATION_IN_PROGRESS")
INITIAL = "INITIAL_CAS"  # INCEpTION exports the document as it was uploaded too


class DocumentState(msgspec.Struct):
    """A document in exportedproject.json; of a user, or of the curation.

    updated (int | None), timestamp (int | None): Milliseconds since 1970.
    """

    name: str
    user: str = ""
    state: str | None = None
    updated: int | None = None
    timestamp: int | None = None


class Project(msgspec.Struct):
    """exportedproject.json."""

    source_documents: list[DocumentState] = []
    annotation_documents: list[DocumentState] = []


class Origin(NamedTuple):
    """Who made an XMI file, as its path and the project say.

    user (str): Empty where nothing says it.
    is_curated (bool): Whether it is the result of curation.
    state (str): FINISHED, IN_PROGRESS, IGNORE (locked), CURATION_FINISHED, …; empty where nothing says it.
    timestamp (float | None): Seconds since 1970.
    """

    user: str = ""
    is_curated: bool = False
    state: str = ""
    timestamp: float | None = None

    @property
    def is_unfinished(self) -> bool:
        return self.state in _UNFINISHED


class XmiFile(NamedTuple):
    """An XMI file, named by its path and those of the zips that it is in, and the TypeSystem.xml that is nearest."""

    name: str
    content: bytes = b""
    types: bytes | None = None
    fault: str = ""
    project: Project = Project()

    @property
    def origin(self) -> Origin:
        match = _LAYOUT.search(self.name)
        if match is None:
            return Origin()
        document, file = match[2], match[3]
        if match[1].lower() == "curation":
            states = [one for one in self.project.source_documents if one.name == document]
            return Origin(file, True, (states[0].state or "") if states else "")
        states = [one for one in self.project.annotation_documents if one.name == document]
        # Some versions add a number to the name of the user.
        numbered = sorted((one for one in states if _is_numbered(file, one.user)), key=lambda one: -len(one.user))
        found = next((one for one in states if one.user == file), next(iter(numbered), None))
        if found is None:
            return Origin(file)
        time = found.updated or found.timestamp
        return Origin(found.user, False, found.state or "", time / 1000 if time else None)


def _is_numbered(file: str, user: str) -> bool:
    return file.startswith(user) and file[len(user) :].isdecimal()


class Surroundings:
    """What is beside .xmi files and in the folders above, up to a root. Each folder is looked at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._types: dict[Path, Path | None] = {}
        self._projects: dict[Path, Project | None] = {}

    def types(self, path: Path) -> Path | None:
        """Return the TypeSystem.xml that is nearest to a file, in its folder or one above; of a link, that beside the
        file that it leads to, if there is none.
        """
        for folder in self._above(path):
            if folder not in self._types:
                self._types[folder] = _types_in(folder)
            if found := self._types[folder]:
                return found
        return _types_in(real_path(path).parent) if path.is_symlink() else None

    def project(self, path: Path) -> Project:
        """Return the exportedproject.json that is nearest to a file; an empty one if there is none."""
        for folder in self._above(path):
            if folder not in self._projects:
                self._projects[folder] = _project_in(folder)
            if found := self._projects[folder]:
                return found
        return Project()

    def _above(self, path: Path) -> Iterator[Path]:
        for folder in path.parents:
            yield folder
            if folder == self._root:
                return


def xmi_files(path: Path, name: str, surroundings: Surroundings) -> Iterator[XmiFile]:
    """Stream an XMI file, or those in a zip, one in memory at a time."""
    with path.open("rb") as file:
        if has_ending(path, ".zip"):
            yield from _unzip(file, name, 1, Project())
            return
        try:
            beside = surroundings.types(path)
            types = read_file(beside) if beside else None
            yield XmiFile(name, read_bounded(file), types, project=surroundings.project(path))
        except Unusable as err:
            yield XmiFile(name, fault=str(err))


def _types_in(folder: Path) -> Path | None:
    found = (file for file in sorted(folder.glob("*.[xX][mM][lL]")) if file.name.lower() == _TYPES and file.is_file())
    return next(found, None)


def project_files(root: Path) -> list[Path]:
    """The exportedproject.json in a folder and all folders below."""
    return [path for path, _ in files(str(root), (".json",)) if _PROJECT.fullmatch(path.name)]


def is_project(path: Path) -> bool:
    """Whether a file is a zip with the description of a project."""
    try:
        with ZipFile(path) as archive:
            return any(_PROJECT.fullmatch(PurePosixPath(entry).name) for entry in archive.namelist())
    except _DAMAGED:
        return False


def _project_in(folder: Path) -> Project | None:
    found = [
        file for file in sorted(folder.glob("*.[jJ][sS][oO][nN]")) if _PROJECT.fullmatch(file.name) and file.is_file()
    ]
    return _project(read_file(found[0])) if found else None


def _project(content: bytes) -> Project:
    try:
        return msgspec.json.decode(content, type=Project)
    except msgspec.DecodeError:
        return Project()


def _unzip(file: IO[bytes], name: str, depth: int, project: Project) -> Iterator[XmiFile]:
    try:
        archive = ZipFile(file)
    except _DAMAGED:
        yield XmiFile(name, fault="damaged zip")
        return
    with archive:
        project = _project_inside(archive) or project
        for entry in sorted(archive.namelist()):
            place = f"{name}/{entry}"
            is_zip = entry.lower().endswith(".zip") and depth < _MAX_DEPTH
            if not is_zip and not entry.lower().endswith(".xmi"):
                continue
            try:
                content = _read_entry(archive, entry)
                if not is_zip:
                    types = _types_entry(archive, entry)
                    yield XmiFile(place, content, _read_entry(archive, types) if types else None, project=project)
            except Unusable as err:
                yield XmiFile(place, fault=str(err))
                continue
            if is_zip:
                yield from _unzip(io.BytesIO(content), place, depth + 1, project)


def _project_inside(archive: ZipFile) -> Project | None:
    entries = [entry for entry in sorted(archive.namelist()) if _PROJECT.fullmatch(PurePosixPath(entry).name)]
    try:
        return _project(_read_entry(archive, entries[0])) if entries else None
    except Unusable:
        return None


def _types_entry(archive: ZipFile, entry: str) -> str:
    """Return the name of the nearest TypeSystem.xml in a zip; nothing if there is none."""
    by_lower = {other.lower(): other for other in archive.namelist()}
    nearest = (str(folder / _TYPES) for folder in PurePosixPath(entry.lower()).parents)
    return next((by_lower[types] for types in nearest if types in by_lower), "")


def _read_entry(archive: ZipFile, entry: str) -> bytes:
    try:
        with archive.open(entry) as file:
            return read_bounded(file)
    except _DAMAGED as err:
        raise Unusable("damaged zip") from err
