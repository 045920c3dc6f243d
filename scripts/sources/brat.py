"""brat standoff: folders with a .txt and an .ann a document. See https://brat.nlplab.org/standoff.html."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.documents import MISQUOTED, Document, Record, Unusable
from scripts.sources.files import Files, NamedFile, files
from scripts.sources.offsets import Mark
from scripts.sources.source import Intake, fit_span

_BOM = "\ufeff"
_ANNOTATION = re.compile(r"T[0-9]+\t(\S+) (@ @(?:;@ @)*)\t(.*)".replace("@", "[0-9]{1,15}"))
_LABEL = re.compile(r"T[0-9]+\s+(\S+)")
_STARTS_ANNOTATION = re.compile(rb"^T[0-9]", re.MULTILINE)
_STARTS_OTHER = re.compile(r"[EMARN][0-9]+\t|\*\t|#")  # events, attributes, relations, normalizations, notes


@registry.readers("labelwise.Brat.v1")
class Brat(Files, frozen=True):
    """Read the text-bound annotations (T lines) of a folder and all folders in it. A record is an .ann file.

    A document is complete for the labels, except for those of which it has a span that is skipped: the other spans of
    such a label are taken one by one, each as a binary answer.

    path (str): The folder.
    discontinuous (str): A span of several fragments is skipped ("skip"), taken from its first start to its last end
        ("cover"), or each fragment is a span ("split", and counted as such). Fragments with only whitespace between
        them are one span: so brat writes a span that crosses the end of a line.
    mismatch (str): "skip" or "keep" a span whose quoted text differs from the text at its offsets, whitespace aside.
    without_spans (str): An .ann without a T line means that the text has no entity ("annotated"), or that nobody has
        annotated it yet ("unannotated"): some tools make an empty .ann for each text beforehand.
    """

    endings: ClassVar[tuple[str, ...]] = (".ann",)
    discontinuous: Literal["skip", "cover", "split"] = "skip"
    mismatch: Literal["skip", "keep"] = "skip"

    def check(self) -> None:
        """RAISES (UserError): If there is no such folder, no .ann in it, or no label asked for."""
        if not Path(self.path).expanduser().is_dir():
            raise UserError(f"{self.path}: no such folder")
        Files.check(self)

    def recognizes(self) -> bool:
        """Whether it is a folder with an .ann file."""
        return Path(self.path).expanduser().is_dir() and bool(self.files())

    def all_files(self) -> list[NamedFile]:
        """The .ann and .txt files."""
        return files(self.path, (".ann", ".txt"))

    def note_unread(self, intake: Intake) -> None:
        """Note each .txt without an .ann."""
        annotated = {path.with_suffix(".txt") for path, _ in self.files()}
        texts = {path for path, _ in files(self.path, (".txt",))}
        intake.note("a .txt without an .ann: not annotated", len(texts - annotated))

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Give the document of an .ann file."""
        try:
            text = _decode(path.with_suffix(".txt"))
            lines = _decode(path).removeprefix(_BOM).split("\n")
        except Unusable as err:
            lost = len(_STARTS_ANNOTATION.findall(path.read_bytes().removeprefix(codecs.BOM_UTF8)))
            yield Record(f"{name}:1", [Document("", [Mark(0, 0, "")] * lost)], str(err))
            return
        annotations = list(_parse(lines, intake))
        text, shift = _as_counted(text, annotations)
        marks = [
            mark
            for annotation in annotations
            for mark in self._marks(text, _join_fragments(text, annotation, shift), f"{name}:{annotation.line}", intake)
        ]
        meta = {"document": name.removesuffix(".ann")}
        yield Record(f"{name}:1", [Document(text, marks, annotator=self.annotator, meta=meta)])

    def _marks(self, text: str, annotation: _TextBound, place: str, intake: Intake) -> list[Mark]:
        """Return the mark of an annotation, or one for each fragment if they are split."""
        label, fragments = annotation.label, annotation.fragments
        number = max(1, len(fragments)) if self.discontinuous == "split" else 1
        if fragments and label not in self.labels:
            return [Mark(0, 0, label)] * number
        if self.discontinuous == "cover" and fragments:
            fragments = [(fragments[0][0], max(end for _, end in fragments))]
        fault = self._fault(text, annotation, fragments)
        if fault == MISQUOTED and self.mismatch == "keep":
            intake.note(f"{MISQUOTED}, kept")
            fault = ""
        if fault:
            # A label that cannot be read may be any.
            return [Mark(0, 0, label if label in self.labels else "", fault=fault, place=place)] * number
        return [Mark(start, end, label, place=place) for start, end in fragments]

    def _fault(self, text: str, annotation: _TextBound, fragments: list[tuple[int, int]]) -> str:
        if not fragments:
            return "malformed annotation"
        if len(fragments) > 1 and self.discontinuous == "skip":
            return "discontinuous span"
        fitted = (fit_span(text, start, end, annotation.label) for start, end in fragments)
        reason = next((span for span in fitted if isinstance(span, str)), "")
        return reason or ("" if annotation.quotes(text) else MISQUOTED)


class _TextBound(NamedTuple):
    """A T line: sorted fragments in code points, ends exclusive. A malformed line has none."""

    line: int
    label: str
    fragments: list[tuple[int, int]]
    quote: str

    def quotes(self, text: str) -> bool:
        """Whether its quoted text is the text at its offsets, whitespace aside."""
        return self.quote.split() == " ".join(text[start:end] for start, end in self.fragments).split()


def _decode(path: Path) -> str:
    """RAISES (Unusable): If there is no such file, or it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf8")  # line ends as they are: offsets count "\r\n" as two
    except FileNotFoundError as err:
        raise Unusable(f"no {path.suffix} beside it") from err
    except UnicodeDecodeError as err:
        raise Unusable(f"{path.suffix} is not UTF-8") from err


def _parse(lines: list[str], intake: Intake) -> Iterator[_TextBound]:
    for number, line in enumerate(lines, 1):
        if re.match("T[0-9]", line):
            yield _annotation(number, line.removesuffix("\r"))
        elif line.strip() and not _STARTS_OTHER.match(line):
            intake.note("line of an .ann that is no annotation (a quoted text broken by a newline?)")


def _annotation(number: int, line: str) -> _TextBound:
    match = _ANNOTATION.fullmatch(line)
    if match is None:
        readable = _LABEL.match(line)
        return _TextBound(number, readable[1] if readable else "", [], "")
    label, offsets, quote = match.groups()
    pairs = (fragment.split() for fragment in offsets.split(";"))
    return _TextBound(number, label, sorted((int(start), int(end)) for start, end in pairs), quote)


def _as_counted(text: str, annotations: list[_TextBound]) -> tuple[str, int]:
    r"""Return the text as the offsets count it, which the quoted texts tell, and by how much offsets are too high.

    brat counts a byte order mark and "\r\n" as they are. Other tools drop the mark, and git writes "\n" as "\r\n"
    on Windows after the annotation.
    """
    bare = text.removeprefix(_BOM)
    readings = [text, bare, text.replace("\r\n", "\n"), bare.replace("\r\n", "\n")]
    if len(set(readings)) > 1:
        text = max(readings, key=lambda reading: sum(annotation.quotes(reading) for annotation in annotations))
    return text.removeprefix(_BOM), int(text.startswith(_BOM))


def _join_fragments(text: str, annotation: _TextBound, shift: int) -> _TextBound:
    """Return the annotation with offsets into the text, and with fragments joined that only whitespace separates."""
    fragments: list[tuple[int, int]] = []
    for start, end in annotation.fragments:
        start, end = start - shift, end - shift
        if fragments and 0 <= fragments[-1][1] <= start and not text[fragments[-1][1] : start].strip():
            start = fragments.pop()[0]
        fragments.append((start, end))
    return annotation._replace(fragments=fragments)
