"""INCEpTION and WebAnno: UIMA CAS XMI. See https://inception-project.github.io."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from msgspec.structs import replace

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.cas import NAMED_ENTITY, NO_TYPES, Annotation, Layers, ParsedFiles, TypeSystem, parse_types
from scripts.sources.cas_files import INITIAL, Origin, Surroundings, XmiFile, is_project, project_files, xmi_files
from scripts.sources.documents import Document, Record, Unusable
from scripts.sources.files import Files, NamedFile, has_ending
from scripts.sources.folders import CopiedFiles, Copies, Role, find_copies
from scripts.sources.offsets import Mark, Offsets, Unit, UnitEvidence
from scripts.sources.source import Intake, whole_seconds

_COUNTED_DIFFERENTLY = re.compile(rb"[\xf0-\xf4]|&#(?:\d{5}|x[\da-fA-F]{4}|13;|xD;)")  # beyond U+FFFF; carriage returns
_MIN_SPANS = 5  # that tell another unit than UIMA's
_ENDING = re.compile(r"\.xmi\Z", re.IGNORECASE)


@registry.readers("labelwise.CasXmi.v1")
class CasXmi(Files, frozen=True):
    """Read UIMA CAS XMI, as INCEpTION and WebAnno export it, an .xmi a text. In the export of a project the annotator
    is the name of the file (`annotation/DOCUMENT/USER.xmi`), and a curated document decides; elsewhere nothing says it.
    What nobody has finished is no answer: INITIAL_CAS, the document before anybody annotated it, and documents that
    are locked, not finished or in curation by the project's exportedproject.json.

    path (str): An .xmi, with its TypeSystem.xml beside it if types derive from the layer, a zip, as it is exported, or
        a folder of such.
    layer (str): The type of the annotations, with its package; types that derive from it count too. By default
        NamedEntity, or, if there is none, the layer with the most annotations.
    feature (str): Its feature that has the label. By default `value`, or, if it is empty, the one with the most texts.
    unfinished (str): A document that its annotator has not finished: "skip" it, take its "spans" one by one, or take it
        as "complete".
    annotator (str): Who annotated, where nothing says it.
    offsets (str): Their unit: "utf16", as UIMA counts, "codepoints", as some programs in Python do, "codepoints_crlf",
        "utf16_crlf", "graphemes", "bytes", or "auto": UTF-16, unless the boundaries of words tell another.
    copies (str): Several files with the same text outside of the export of a project, as `ana/1.xmi` and `ben/1.xmi`:
        as in brat.
    """

    endings: ClassVar[tuple[str, ...]] = (".xmi", ".zip")
    layer: str = ""
    feature: str = ""
    unfinished: Literal["skip", "spans", "complete"] = "skip"
    offsets: Offsets = "auto"
    copies: Copies = "auto"

    def offset_units(self) -> tuple[Offsets, Unit]:
        """As set; UIMA counts as Java does."""
        return self.offsets, "utf16"

    def likely_units(self, evidence: UnitEvidence, usual: Unit) -> tuple[Unit, ...]:
        """Return UTF-16, unless several spans tell otherwise: the format says what its offsets count."""
        return evidence.units(usual)[:1] if evidence.spans >= _MIN_SPANS else (usual,)

    def all_files(self) -> list[NamedFile]:
        """The files, and those with their types and their states."""
        around = self._surroundings()
        beside = ((around.types(path), name) for path, name in self.files() if not has_ending(path, ".zip"))
        types = [(types, f"{name}/{types}") for types, name in beside if types]
        return [*self.files(), *types, *((path, str(path)) for path in project_files(self._root()))]

    def recognizes(self) -> bool:
        """Whether there is an .xmi file, also in a zip, or the description of a project."""
        files = [file for file in self.files() if has_ending(file[0], self.endings)]
        around = self._surroundings()
        has_xmi = any(xmi.name.lower().endswith(".xmi") for file in files for xmi in xmi_files(*file, around))
        return has_xmi or any(is_project(path) for path, _ in files)

    def first_look(self, intake: Intake) -> tuple[CasXmi, UnitEvidence]:
        """Return the source with the layer and the feature that hold labels."""
        if self.layer and self.feature:
            return self, self._evidence()
        layers = self._survey().layers
        layer, feature = layers.choose(self.layer, self.feature)
        for other in layers.others(layer, feature):
            intake.note(f"label in another layer or feature: {other.setting} takes it", other.labels.total())
        source = replace(self, layer=layer, feature=feature)
        return source, source._evidence()

    def _evidence(self) -> UnitEvidence:
        """Return what the texts tell of the unit of the offsets; most have no character that is counted differently."""
        evidence, parsed, around = UnitEvidence(), self._survey().parsed, self._surroundings()
        for path, name in self.files() if self.offsets == "auto" else ():
            for xmi in xmi_files(path, name, around):
                if _COUNTED_DIFFERENTLY.search(xmi.content):
                    with suppress(Unusable):
                        document = self._document(xmi, Role(), parsed)
                        evidence.add(document.text, document.marks)
        return evidence

    def findings(self) -> list[str]:
        """Tell of layers and features with texts, and of copies."""
        layers = self._survey().layers
        layer, feature = layers.choose(self.layer, self.feature)
        others = layers.others(layer, feature)
        found = Files.findings(self)
        if others or layer != NAMED_ENTITY:
            taken = f'labels are taken from layer = "{layer}" with feature = "{feature}"'
            found.append("; ".join([taken, *map(str, others)]))
        if copied := self._copied():
            found.append(str(copied))
        return found

    def note_unread(self, intake: Intake) -> None:
        """Note copies."""
        if copied := self._copied():
            intake.note(copied.note(), copied.texts)

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the texts in a file."""
        return self._records(xmi_files(path, name, self._surroundings()), {}, ParsedFiles(), intake)

    def _all_records(self, files: Iterable[NamedFile], intake: Intake) -> Iterator[Record]:
        copied, parsed, around = self._copied(), self._survey().parsed, self._surroundings()
        found = chain.from_iterable(xmi_files(path, name, around) for path, name in files)
        return self._records(found, copied.roles if copied else {}, parsed, intake)

    def _records(
        self, found: Iterable[XmiFile], roles: Mapping[str, Role], parsed: ParsedFiles, intake: Intake
    ) -> Iterator[Record]:
        for xmi in found:
            if xmi.types is None and not xmi.fault:
                intake.note(_NO_TYPES)
            try:
                yield Record(f"{xmi.name}:1", [self._document(xmi, roles.get(xmi.name, Role()), parsed)])
            except Unusable as err:
                yield Record(f"{xmi.name}:1", fault=str(err))

    def _root(self) -> Path:
        place = Path(self.path).expanduser()
        return place if place.is_dir() else place.parent

    def _surroundings(self) -> Surroundings:
        return Surroundings(self._root())

    def _survey(self) -> _Survey:
        return _make_survey(self.path, self.state().value)

    def _copied(self) -> CopiedFiles | None:
        survey = self._survey()
        layer, feature = survey.layers.choose(self.layer, self.feature)
        return find_copies(
            list(survey.texts),
            survey.texts.__getitem__,
            lambda name: survey.by_file[name].labels(layer, feature),
            self.copies,
        )

    def _document(self, xmi: XmiFile, role: Role, parsed: ParsedFiles) -> Document:
        if xmi.fault:
            raise Unusable(xmi.fault)
        types = NO_TYPES if xmi.types is None else parse_types(xmi.types)
        self._check_layer(types)
        cas = parsed.parse(xmi.content)
        origin = xmi.origin
        no_answer = self._no_answer(origin)
        return Document(
            cas.text,
            [self._mark(found) for found in cas.annotations if types.is_a(found.type, self.layer)],
            complete=() if origin.is_unfinished and self.unfinished == "spans" else role.labels,
            annotator=origin.user or role.annotator or self.annotator,
            timestamp=whole_seconds(origin.timestamp),
            meta={"document": _ENDING.sub("", xmi.name)},
            decides=origin.is_curated or role.decides,
            no_answer=no_answer,
        )

    def _no_answer(self, origin: Origin) -> str:
        if origin.user == INITIAL:
            return "document as it was uploaded (INITIAL_CAS)"
        if origin.state == "IGNORE":
            return "document that is locked for its annotator"
        if not origin.is_unfinished or self.unfinished != "skip":
            return ""
        who = "curation" if origin.is_curated else "annotator"
        return f'document that its {who} has not finished: unfinished = "spans" or "complete" takes it'

    def _check_layer(self, types: TypeSystem) -> None:
        """RAISES (Unusable): If it is known that there is no such layer of spans, or that it has no such feature."""
        if not types.supertypes:
            return
        if self.layer not in types.supertypes:
            raise Unusable(f"no type {self.layer} in its TypeSystem.xml: set layer")
        if not types.is_a(self.layer, "uima.tcas.Annotation"):
            raise Unusable(f"{self.layer} is no layer of spans: set layer")
        if not types.has_feature(self.layer, self.feature):
            raise Unusable(f"{self.layer} has no feature {self.feature}: set feature")

    def _mark(self, found: Annotation) -> Mark:
        label = found.features.get(self.feature, "")
        offsets = found.offsets
        if label is None:
            return Mark(0, 0, "", fault=f"{self.feature} is no text")
        if offsets is None:
            return Mark(0, 0, label, fault="span without offsets")
        return Mark(*offsets, label)


_NO_TYPES = "no TypeSystem.xml beside an .xmi: types that derive from the layer are not known"


class _Survey(NamedTuple):
    """The layers of a source; by the name of an XMI that no project says the user of, a digest of its text, and its
    layers; and what was parsed, for all who read the source after it.
    """

    layers: Layers
    texts: dict[str, bytes]
    by_file: dict[str, Layers]
    parsed: ParsedFiles


@lru_cache(maxsize=8)
def _make_survey(path: str, state: str) -> _Survey:
    """Read a source that is in a state. RAISES (UserError): If no XMI is in it."""
    source = CasXmi(path, [])
    survey = _Survey(Layers(), {}, {}, ParsedFiles())
    is_empty, around = True, source._surroundings()
    for file, name in source.files():
        for xmi in xmi_files(file, name, around):
            is_empty = False
            with suppress(Unusable):
                _add_to_survey(survey, xmi)
    if is_empty and source.files():
        raise UserError(f"{path}: no .xmi in it: export it as UIMA CAS XMI")
    return survey


def _add_to_survey(survey: _Survey, xmi: XmiFile) -> None:
    """RAISES (Unusable): If it cannot be read."""
    types = parse_types(xmi.types) if xmi.types else NO_TYPES
    cas = survey.parsed.parse(xmi.content)
    layers = Layers()
    for annotation in cas.annotations:
        is_entity = types.is_a(annotation.type, NAMED_ENTITY)
        layers.add(annotation._replace(type=NAMED_ENTITY) if is_entity else annotation)
    survey.layers.update(layers)
    if not xmi.origin.user:
        survey.texts[xmi.name] = hashlib.sha256(cas.text.encode("utf8", "surrogatepass")).digest()
        survey.by_file[xmi.name] = layers
