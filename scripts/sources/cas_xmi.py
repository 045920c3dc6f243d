"""INCEpTION and WebAnno: UIMA CAS XMI. See https://inception-project.github.io."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.cas_archives import Found, types_beside, xmis
from scripts.sources.documents import Document, Record, Unusable, WithoutSpans
from scripts.sources.files import Files, stamp
from scripts.sources.offsets import Mark, Offsets, Unit
from scripts.sources.source import Intake, Source

if TYPE_CHECKING:  # an extra
    from cassis import Cas, TypeSystem

NAMED_ENTITY = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"

_ID = "{http://www.omg.org/XMI}id"
_TEXT = "_InitialView"  # what UIMA calls the view of a document's text
_NOBODY = "INITIAL_CAS"  # what INCEpTION exports too: the document as it was uploaded
# annotation/letter.txt/ada.xmi, or in a zip or a folder between, named by chance
_LAYOUT = re.compile(r"(?:^|/)(?:annotation|curation)/[^/]+/(?:[^/]+/)?([^/]+)\.xmi", re.IGNORECASE)
_ENCODING = re.compile(rb"<\?xml[^>]*\bencoding\s*=\s*[\"']([^\"']*)")


@registry.readers("labelwise.CasXmi.v1")
def cas_xmi(
    path: str,
    labels: list[str],
    layer: str = NAMED_ENTITY,
    feature: str = "value",
    without_spans: WithoutSpans = "annotated",
    annotator: str = "",
) -> Source:
    """Read what INCEpTION and WebAnno export as UIMA CAS XMI, a text an .xmi. Who annotated is the name of the file in
    the export of a project (`annotation/DOCUMENT/USER.xmi`); elsewhere nothing says it. INITIAL_CAS, the document
    before anybody annotated it, is left out. It needs `pip install -r requirements-inception.txt`.

    path (str): An .xmi with its TypeSystem.xml beside it, a zip with both, as it is exported, or a folder of such. For
        the curated annotations alone, unpack the project and name its folder `curation`.
    labels (list[str]): The labels that were annotated in it; spans of others are left out.
    layer (str): The type of the annotations, with its package; types that derive from it are of it too.
    feature (str): Its feature that has the label.
    without_spans (str): What a text without spans is: "annotated", and nothing is there, or "unannotated".
    annotator (str): Who annotated, where it is not said.
    """
    return CasXmi(path, labels, layer, feature, without_spans, annotator)


class CasXmi(Files, msgspec.Struct, frozen=True):
    """See `cas_xmi`."""

    endings: ClassVar[tuple[str, ...]] = (".xmi", ".zip")
    path: str
    labels: list[str]
    layer: str
    feature: str
    without_spans: WithoutSpans
    annotator: str

    def counted(self) -> tuple[Offsets, Unit]:
        """As Java does."""
        return "utf16", "utf16"

    def fingerprint(self) -> str:
        """Digest over the names, sizes and times of change of all files, with those that have the types."""
        named = {}
        for path, name in self.files():
            named[name] = path
            if path.suffix != ".zip" and (types := types_beside(path, self._root())):
                named[f"{name}/{types}"] = types
        return stamp(named)

    def recognises(self) -> bool:
        """Whether there is an .xmi file, also in a zip."""
        of_this_name = (one for one in self.files() if one[0].name.endswith(self.endings))
        return any(found.name.endswith(".xmi") for one in of_this_name for found in xmis(*one, self._root()))

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the texts in a file."""
        _demand_cassis(self.path)
        for found in xmis(path, name, self._root()):
            try:
                documents = [] if found.name.endswith(f"/{_NOBODY}.xmi") else [self._document(found)]
                yield Record(f"{found.name}:1", documents)
            except Unusable as err:
                yield Record(f"{found.name}:1", fault=str(err))

    def _root(self) -> Path:
        place = Path(self.path).expanduser()
        return place if place.is_dir() else place.parent

    def _document(self, found: Found) -> Document:
        """RAISES (Unusable): With the reason, if there is none that can be read."""
        if found.fault:
            raise Unusable(found.fault)
        cas = _loaded(found)
        self._demand_layer(cas.typesystem)
        view = cas.get_view(_TEXT)
        if not isinstance(view.sofa_string, str):
            raise Unusable("no text in it")
        offsets = _offsets(found.xmi)
        marks = [self._mark(one.get(self.feature), offsets.get(one.xmiID)) for one in view.select(self.layer)]
        user = _LAYOUT.search(found.name)
        return Document(
            view.sofa_string,
            marks,
            annotator=user[1] if user else self.annotator,
            meta={"document": found.name.removesuffix(".xmi")},
        )

    def _demand_layer(self, types: TypeSystem) -> None:
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


def _demand_cassis(path: str) -> None:
    """RAISES (UserError): If it is not installed."""
    try:
        import cassis  # noqa: F401
    except ImportError as err:
        raise UserError(f"{path}: to read it, pip install -r requirements-inception.txt") from err


def _loaded(found: Found) -> Cas:
    """RAISES (Unusable): If the XML is damaged or unsafe, or not what its types say."""
    from cassis import load_cas_from_xmi
    from cassis.typesystem import TypeNotFoundError
    from lxml.etree import XMLSyntaxError

    _demand_safe(found.types, "TypeSystem.xml")
    _demand_safe(found.xmi, ".xmi")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of offsets outside the text: they are refused one by one
            return load_cas_from_xmi(io.BytesIO(found.xmi), _types(found.types))
    except XMLSyntaxError as err:
        raise Unusable("damaged XML, or a text of more than 10 MB") from err
    except TypeNotFoundError as err:
        raise Unusable("a type in it is not in its TypeSystem.xml") from err
    except Exception as err:  # what is no CAS can be anything to cassis
        raise Unusable(f"no CAS that can be read ({type(err).__name__})") from err


@lru_cache(maxsize=4)
def _types(content: bytes) -> TypeSystem:
    """The documents of a project have the same."""
    from cassis import load_typesystem

    return load_typesystem(io.BytesIO(content))


def _demand_safe(content: bytes, what: str) -> None:
    """RAISES (Unusable): If it is not UTF-8, in which UIMA writes, or has a DOCTYPE, which it never writes: one can
    name files and servers to read from, or grow to any size. In another encoding it might not be seen.
    """
    encoding = _ENCODING.match(content.removeprefix(b"\xef\xbb\xbf"))
    if (encoding and encoding[1].lower() not in (b"utf-8", b"us-ascii")) or b"\0" in content:
        raise Unusable(f"{what} is not UTF-8")
    try:
        content.decode("utf8")
    except UnicodeDecodeError as err:
        raise Unusable(f"{what} is not UTF-8") from err
    if b"<!DOCTYPE" in content:
        raise Unusable(f"{what} has a DOCTYPE, which is not safe to read")


def _offsets(xmi: bytes) -> dict[int, tuple[int, int]]:
    """From where to where the annotations are, by their ids, in UTF-16 units. cassis gives code points, but for an
    offset inside a character or outside the text, which it gives as it is: one could not be told from the other.
    """
    from lxml import etree

    found = (one for one in etree.fromstring(xmi) if one.get("begin") and one.get("end"))
    return {int(one.get(_ID)): (int(one.get("begin")), int(one.get("end"))) for one in found}
