"""UIMA's CAS as XMI: a text with annotations in layers, each with features. See the UIMA reference, "XMI CAS"."""

from __future__ import annotations

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from tempfile import SpooledTemporaryFile
from typing import NamedTuple
from xml.etree import ElementTree

import msgspec

from scripts.sources.columns import list_labels
from scripts.sources.documents import Unusable

NAMED_ENTITY = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"

_TEXT = "_InitialView"  # UIMA's name for the view of a document's text
_ID = "{http://www.omg.org/XMI}id"
_CAS = "{http:///uima/cas.ecore}"
_TYPES = "{http://uima.apache.org/resourceSpecifier}"
_PLACE = (_ID, "sofa", "begin", "end")
_ENCODING = re.compile(rb"<\?xml[^>]*\bencoding\s*=\s*[\"']([^\"']*)")
_VERSION = re.compile(rb"(<\?xml[^>]*\bversion\s*=\s*[\"'])1\.1")
_CONTROL = re.compile(rb"&#(x?[0-9A-Fa-f]{1,4});")
# Layers of the text itself, and of tools.
_NO_ENTITIES = re.compile(
    r"uima\.|de\.tudarmstadt\.ukp\.(clarin|inception)\.|org\.dkpro\.core\.api\.xml\."
    r"|de\.tudarmstadt\.ukp\.dkpro\.core\.api\.(anomaly|coref|lexmorph|metadata|segmentation|semantics|syntax|transform)\."
)
_RELATION = {"Governor", "Dependent"}  # what it goes from and to
_IN_MEMORY = 4 * 2**20  # bytes of parsed files; more are on disk


class Annotation(NamedTuple):
    """An annotation: its type with the package, its offsets in UTF-16 units as written, and its features.

    features (Mapping[str, str | None]): Values by name; None: a list, no text.
    """

    type: str
    begin: str
    end: str
    features: Mapping[str, str | None]

    @property
    def offsets(self) -> tuple[int, int] | None:
        """None if they are no numbers."""
        try:
            return int(self.begin), int(self.end)
        except ValueError:
            return None


class Cas(NamedTuple):
    """A text and its annotations."""

    text: str
    annotations: list[Annotation]


class TypeSystem(NamedTuple):
    """The types of a TypeSystem.xml: the type that each derives from, and the features that each adds."""

    supertypes: dict[str, str]
    features: dict[str, set[str]]

    def is_a(self, name: str, ancestor: str) -> bool:
        """Whether a type is another one or derives from it."""
        seen = set()
        while name != ancestor and name in self.supertypes and name not in seen:
            seen.add(name)
            name = self.supertypes[name]
        return name == ancestor

    def has_feature(self, name: str, feature: str) -> bool:
        """Whether a type, or one that it derives from, has a feature."""
        return any(feature in found for other, found in self.features.items() if self.is_a(name, other))


NO_TYPES = TypeSystem({}, {})


def parse_cas(content: bytes) -> Cas:
    """RAISES (Unusable): If the XML is damaged or unsafe, or no CAS with a text."""
    root = parse_xml(content, ".xmi")
    sofas = [element for element in root if element.tag == f"{_CAS}Sofa"]
    sofa = next((one for one in sofas if one.get("sofaID") == _TEXT or len(sofas) == 1), None)
    text = None if sofa is None else sofa.get("sofaString")
    if sofa is None or text is None:
        raise Unusable("no text in it")
    return Cas(text, list(_annotations(root, sofa.get(_ID))))


class ParsedFiles:
    """Parses .xmi files, each once: all blocks on a folder read it from here.

    Beyond some memory it is in a temporary file without a name, which is gone with the process.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile[bytes](max_size=_IN_MEMORY)
        self._places: dict[bytes, tuple[int, int]] = {}  # offset and size, by the digest of the content

    def __del__(self) -> None:
        self._file.close()

    def parse(self, content: bytes) -> Cas:
        """See `parse_cas`."""
        digest = hashlib.sha256(content).digest()
        if digest not in self._places:
            self._add(digest, content)
        offset, size = self._places[digest]
        self._file.seek(offset)
        found = _DECODER.decode(self._file.read(size))
        if isinstance(found, str):
            raise Unusable(found)
        return found

    def _add(self, digest: bytes, content: bytes) -> None:
        try:
            encoded = msgspec.msgpack.encode(parse_cas(content))
        except Unusable as err:
            encoded = msgspec.msgpack.encode(str(err))
        offset = self._file.seek(0, io.SEEK_END)
        self._file.write(encoded)
        self._places[digest] = offset, len(encoded)


_DECODER = msgspec.msgpack.Decoder(Cas | str)


def _annotations(root: ElementTree.Element, sofa: str | None) -> Iterator[Annotation]:
    """Stream the annotations of a text: those in its view. RAISES (Unusable): If one of them is not there."""
    views = [view for view in root.iter(f"{_CAS}View") if view.get("sofa") == sofa]
    members = {member for view in views for member in view.get("members", "").split()}
    if not members <= {element.get(_ID) for element in root}:
        raise Unusable("annotations of it are missing")
    for element in root:
        begin, end = element.get("begin"), element.get("end")
        if begin is None or end is None or element.get("sofa") != sofa or (views and element.get(_ID) not in members):
            continue
        features: dict[str, str | None] = {name: value for name, value in element.items() if name not in _PLACE}
        features |= dict.fromkeys(child.tag for child in element)
        yield Annotation(_type_name(element.tag), begin, end, features)


def _type_name(tag: str) -> str:
    """Return `a.b.Name` for `{http:///a/b.ecore}Name`."""
    namespace, _, name = tag.removeprefix("{").rpartition("}")
    package = namespace.removeprefix("http:///").removesuffix(".ecore").replace("/", ".")
    return name if package in ("", "uima.noNamespace") else f"{package}.{name}"


@lru_cache(maxsize=4)  # the documents of a project have the same
def parse_types(content: bytes) -> TypeSystem:
    """RAISES (Unusable): If the XML is damaged or unsafe."""
    supertypes: dict[str, str] = {}
    features: dict[str, set[str]] = {}
    for found in parse_xml(content, "TypeSystem.xml").iter(f"{_TYPES}typeDescription"):
        name = found.findtext(f"{_TYPES}name", "").strip()
        supertypes[name] = found.findtext(f"{_TYPES}supertypeName", "").strip()
        added = (one.findtext(f"{_TYPES}name", "").strip() for one in found.iter(f"{_TYPES}featureDescription"))
        features[name] = set(added)
    return TypeSystem(supertypes, features)


def parse_xml(content: bytes, what: str) -> ElementTree.Element:
    """RAISES (Unusable): If it is damaged, not UTF-8, in which UIMA writes, or has a DOCTYPE, which it never writes."""
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
    content, is_newer = _VERSION.subn(rb"\g<1>1.0", content, count=1)
    if is_newer:  # control characters are allowed in XML 1.1
        content = _CONTROL.sub(_without_control, content)
    try:
        return ElementTree.fromstring(content)  # noqa: S314 (without a DOCTYPE it cannot do harm)
    except ElementTree.ParseError as err:
        raise Unusable(f"{what} is damaged XML") from err


def _without_control(match: re.Match[bytes]) -> bytes:
    code = int(match[1][1:], 16) if match[1].startswith(b"x") else int(match[1])
    return match[0] if code >= 32 or code in (9, 10, 13) else b"&#xFFFD;"


# Layers and features


class Layer(NamedTuple):
    """A layer and one of its features, with the number of annotations by the feature's value."""

    type: str
    feature: str
    labels: Counter[str]

    def __str__(self) -> str:
        return f"{self.setting} has {list_labels(self.labels)}"

    @property
    def setting(self) -> str:
        return f'layer = "{self.type}" with feature = "{self.feature}"'


class Layers:
    """The layers of a source, and the features that may be labels: those with texts in them."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str], Counter[str]] = {}

    def add(self, annotation: Annotation) -> None:
        if _NO_ENTITIES.match(annotation.type) or _RELATION & annotation.features.keys():
            return
        for feature, value in annotation.features.items():
            if value and not value.isdecimal():  # a number is a reference
                self._labels.setdefault((annotation.type, feature), Counter())[value] += 1

    def update(self, other: Layers) -> None:
        """Add the layers of another document."""
        for names, labels in other._labels.items():
            self._labels.setdefault(names, Counter()).update(labels)

    def labels(self, layer: str, feature: str) -> Counter[str]:
        return self._labels.get((layer, feature), Counter())

    def found(self) -> list[Layer]:
        """All layers with texts in a feature: NamedEntity and its value first, then by number of annotations."""
        layers = [Layer(*names, labels) for names, labels in self._labels.items()]
        return sorted(
            layers,
            key=lambda one: (one.type != NAMED_ENTITY, one.feature != "value", -one.labels.total(), len(one.labels)),
        )

    def others(self, layer: str, feature: str) -> list[Layer]:
        return [found for found in self.found() if found[:2] != (layer, feature)]

    def choose(self, layer: str, feature: str) -> tuple[str, str]:
        """Return a layer and a feature: those that are set, else the first that is found."""
        for found in self.found():
            if layer in ("", found.type) and feature in ("", found.feature):
                return found.type, found.feature
        return layer or NAMED_ENTITY, feature or "value"
