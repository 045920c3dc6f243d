"""INCEpTION and WebAnno: UIMA CAS XMI. See https://inception-project.github.io.

Their files are in folders and in zips; the export of a project is a zip with zips in it.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, ClassVar, NamedTuple
from zipfile import BadZipFile, ZipFile

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.documents import Document, Record, Unusable
from scripts.sources.files import Files, NamedFile
from scripts.sources.offsets import Mark, Offsets, Unit
from scripts.sources.source import Intake

if TYPE_CHECKING:  # an extra
    from cassis import Cas, TypeSystem

NAMED_ENTITY = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"

MAX_BYTES = 2**28  # unpacked: what is larger is no document, but made to fill the memory
_MAX_DEPTH = 2  # of zips in zips
_TYPES = "typesystem.xml"
# Errors of zips that are damaged, cut off, encrypted, or packed in a way that Python does not know.
_DAMAGED = (BadZipFile, EOFError, OSError, RuntimeError, ValueError, NotImplementedError, zlib.error)
_ID = "{http://www.omg.org/XMI}id"
_TEXT = "_InitialView"  # UIMA's name for the view of a document's text
_NOBODY = "INITIAL_CAS"  # INCEpTION exports the document as it was uploaded too
# annotation/letter.txt/ada.xmi, or in a zip or a folder between, whose name is random
_LAYOUT = re.compile(r"(?:^|/)(?:annotation|curation)/[^/]+/(?:[^/]+/)?([^/]+)\.xmi", re.IGNORECASE)
_ENCODING = re.compile(rb"<\?xml[^>]*\bencoding\s*=\s*[\"']([^\"']*)")


@registry.readers("labelwise.CasXmi.v1")
class CasXmi(Files, frozen=True):
    """Read UIMA CAS XMI, as INCEpTION and WebAnno export it, an .xmi a text. In the export of a project the annotator
    is the name of the file (`annotation/DOCUMENT/USER.xmi`); elsewhere nothing says it. INITIAL_CAS, the document
    before anybody annotated it, is not taken. It needs `pip install -r requirements-inception.txt`.

    path (str): An .xmi with its TypeSystem.xml beside it, a zip with both, as it is exported, or a folder of such. For
        the curated annotations alone, unpack the project and name its folder `curation`.
    layer (str): The type of the annotations, with its package; types that derive from it count too.
    feature (str): Its feature that has the label.
    annotator (str): Who annotated, where nothing says it.
    """

    endings: ClassVar[tuple[str, ...]] = (".xmi", ".zip")
    layer: str = NAMED_ENTITY
    feature: str = "value"

    def offset_units(self) -> tuple[Offsets, Unit]:
        """As Java counts."""
        return "utf16", "utf16"

    def all_files(self) -> list[NamedFile]:
        """The files, and those with their types."""
        beside = ((_types_beside(path, self._root()), name) for path, name in self.files() if path.suffix != ".zip")
        return self.files() + [(types, f"{name}/{types}") for types, name in beside if types]

    def recognizes(self) -> bool:
        """Whether there is an .xmi file, also in a zip."""
        files = (file for file in self.files() if file[0].name.endswith(self.endings))
        return any(xmi.name.endswith(".xmi") for file in files for xmi in _xmi_files(*file, self._root()))

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the texts in a file."""
        try:
            import cassis  # noqa: F401
        except ImportError as err:
            raise UserError(f"{self.path}: to read it, pip install -r requirements-inception.txt") from err
        for xmi in _xmi_files(path, name, self._root()):
            try:
                documents = [] if xmi.name.endswith(f"/{_NOBODY}.xmi") else [self._document(xmi)]
                yield Record(f"{xmi.name}:1", documents)
            except Unusable as err:
                yield Record(f"{xmi.name}:1", fault=str(err))

    def _root(self) -> Path:
        place = Path(self.path).expanduser()
        return place if place.is_dir() else place.parent

    def _document(self, xmi: _Xmi) -> Document:
        if xmi.fault or xmi.types is None:
            raise Unusable(xmi.fault or "no TypeSystem.xml beside it")
        cas = _load_cas(xmi.content, xmi.types)
        self._check_layer(cas.typesystem)
        view = cas.get_view(_TEXT)
        if not isinstance(view.sofa_string, str):
            raise Unusable("no text in it")
        offsets = _offsets(xmi.content)
        annotations = view.select(self.layer)
        user = _LAYOUT.search(xmi.name)
        return Document(
            view.sofa_string,
            [self._mark(annotation.get(self.feature), offsets.get(annotation.xmiID)) for annotation in annotations],
            annotator=user[1] if user else self.annotator,
            meta={"document": xmi.name.removesuffix(".xmi")},
        )

    def _check_layer(self, types: TypeSystem) -> None:
        """RAISES (Unusable): If there is no such layer of spans, or it has no such feature."""
        if not types.contains_type(self.layer):
            raise Unusable(f"no type {self.layer} in its TypeSystem.xml: set layer")
        if not types.is_instance_of(self.layer, "uima.tcas.Annotation"):
            raise Unusable(f"{self.layer} is no layer of spans: set layer")
        if types.get_type(self.layer).get_feature(self.feature) is None:
            raise Unusable(f"{self.layer} has no feature {self.feature}: set feature")

    def _mark(self, label: Any, offsets: tuple[int, int] | None) -> Mark:
        if label is not None and not isinstance(label, str):
            return Mark(0, 0, "", fault=f"{self.feature} is no text")
        if offsets is None:
            return Mark(0, 0, label or "", fault="span without offsets")
        return Mark(*offsets, label or "")


# CAS


def _load_cas(content: bytes, types: bytes) -> Cas:
    """RAISES (Unusable): If the XML is damaged or unsafe, or does not fit its types."""
    from cassis import load_cas_from_xmi
    from cassis.typesystem import TypeNotFoundError
    from lxml.etree import XMLSyntaxError

    _check_safe(types, "TypeSystem.xml")
    _check_safe(content, ".xmi")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of offsets outside the text: such spans are skipped one by one
            return load_cas_from_xmi(io.BytesIO(content), _load_types(types))
    except XMLSyntaxError as err:
        raise Unusable("damaged XML, or a text of more than 10 MB") from err
    except TypeNotFoundError as err:
        raise Unusable("a type in it is not in its TypeSystem.xml") from err
    except Exception as err:  # cassis can raise anything on what is no CAS
        raise Unusable(f"no CAS that can be read ({type(err).__name__})") from err


@lru_cache(maxsize=4)  # the documents of a project have the same
def _load_types(content: bytes) -> TypeSystem:
    from cassis import load_typesystem

    return load_typesystem(io.BytesIO(content))


def _check_safe(content: bytes, what: str) -> None:
    """RAISES (Unusable): If it is not UTF-8, in which UIMA writes, or has a DOCTYPE, which UIMA never writes."""
    encoding = _ENCODING.match(content.removeprefix(b"\xef\xbb\xbf"))
    # In another encoding a DOCTYPE would not be found.
    if (encoding and encoding[1].lower() not in (b"utf-8", b"us-ascii")) or b"\0" in content:
        raise Unusable(f"{what} is not UTF-8")
    try:
        content.decode("utf8")
    except UnicodeDecodeError as err:
        raise Unusable(f"{what} is not UTF-8") from err
    # It can name files and servers to read from, or grow to any size.
    if b"<!DOCTYPE" in content:
        raise Unusable(f"{what} has a DOCTYPE, which is not safe to read")


def _offsets(xmi: bytes) -> dict[int, tuple[int, int]]:
    """Return start and end of the annotations in UTF-16 units, by their ids."""
    from lxml import etree

    # cassis gives code points, but leaves an offset inside a character or outside the text as it is: these could not be
    # told apart.
    annotations = (element for element in etree.fromstring(xmi) if element.get("begin") and element.get("end"))
    return {int(found.get(_ID)): (int(found.get("begin")), int(found.get("end"))) for found in annotations}


# Files in folders and zips


class _Xmi(NamedTuple):
    """An XMI file, named by its path and those of the zips that it is in, and the TypeSystem.xml that is nearest."""

    name: str
    content: bytes = b""
    types: bytes | None = None
    fault: str = ""


def _xmi_files(path: Path, name: str, root: Path) -> Iterator[_Xmi]:
    """Stream an XMI file, or those in a zip, one in memory at a time; no TypeSystem.xml is searched above a root."""
    with path.open("rb") as file:
        if path.suffix == ".zip":
            yield from _unzip(file, name, 1)
            return
        try:
            beside = _types_beside(path, root)
            yield _Xmi(name, _read_limited(file), beside.read_bytes() if beside else None)
        except Unusable as err:
            yield _Xmi(name, fault=str(err))


def _types_beside(path: Path, root: Path) -> Path | None:
    """Return the TypeSystem.xml that is nearest to a file, in its folder or one above."""
    for folder in path.parents:
        found = [file for file in sorted(folder.glob("*.xml")) if file.name.lower() == _TYPES]
        if found or folder == root:
            return found[0] if found else None
    return None


def _unzip(file: IO[bytes], name: str, depth: int) -> Iterator[_Xmi]:
    try:
        archive = ZipFile(file)
    except _DAMAGED:
        yield _Xmi(name, fault="damaged zip")
        return
    with archive:
        for entry in sorted(archive.namelist()):
            place = f"{name}/{entry}"
            is_zip = entry.lower().endswith(".zip") and depth < _MAX_DEPTH
            if not is_zip and not entry.lower().endswith(".xmi"):
                continue
            try:
                content = _read_entry(archive, entry)
                if not is_zip:
                    types = _types_entry(archive, entry)
                    yield _Xmi(place, content, _read_entry(archive, types) if types else None)
            except Unusable as err:
                yield _Xmi(place, fault=str(err))
                continue
            if is_zip:
                yield from _unzip(io.BytesIO(content), place, depth + 1)


def _types_entry(archive: ZipFile, entry: str) -> str:
    """Return the name of the nearest TypeSystem.xml in a zip; nothing if there is none."""
    by_lower = {other.lower(): other for other in archive.namelist()}
    nearest = (str(folder / _TYPES) for folder in PurePosixPath(entry.lower()).parents)
    return next((by_lower[types] for types in nearest if types in by_lower), "")


def _read_entry(archive: ZipFile, entry: str) -> bytes:
    try:
        with archive.open(entry) as file:
            return _read_limited(file)
    except _DAMAGED as err:
        raise Unusable("damaged zip") from err


def _read_limited(file: IO[bytes]) -> bytes:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Unusable(f"larger than {MAX_BYTES // 2**20} MiB")
    return content
