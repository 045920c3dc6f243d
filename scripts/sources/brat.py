"""brat standoff: folders with a .txt and an .ann a document. See https://brat.nlplab.org/standoff.html.

BioNLP's shared tasks have an .a1 with the given entities and an .a2 with the triggers of events in place of an .ann.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.documents import MISQUOTED, Document, Record, Unusable, WithoutSpans
from scripts.sources.files import Files, NamedFile, beside, files, has_ending, real_path
from scripts.sources.folders import CopiedFiles, Copies, Role, find_copies
from scripts.sources.limits import Oversized, TooLarge, max_record, read_file
from scripts.sources.offsets import UNITS, Mark, counted_otherwise, differs, to_codepoints
from scripts.sources.source import Intake, fit_span

_BOM = "\ufeff"
_FIRST, _SECOND = ".a1", ".a2"
_ANNOTATION = re.compile(r"T[0-9]+\t(\S+) (@ @(?:;@ @)*)\t(.*)".replace("@", "[0-9]{1,15}"))
_LABEL = re.compile(r"T[0-9]+\s+(\S+)")
_LABELS = re.compile(rb"^T[0-9]+\s+(\S+)", re.MULTILINE)
_STARTS_ANNOTATION = re.compile(rb"^T[0-9]", re.MULTILINE)
_SEVERAL_FRAGMENTS = re.compile(rb"^T[0-9]+\s+\S+ [0-9]+ [0-9]+;", re.MULTILINE)
_STARTS_OTHER = re.compile(r"[EMARN][0-9]+\t|\*\t|#")
_DISCONTINUOUS = "discontinuous span"
_OTHERS = {
    "E": "event", "R": "relation", "*": "relation", "A": "attribute", "M": "attribute", "N": "normalization",
    "#": "note",
}  # fmt: skip


@registry.readers("labelwise.Brat.v1")
class Brat(Files, frozen=True):
    """Read the text-bound annotations (T lines) of a folder and all folders in it. A record is an .ann file, or an .a1
    file with its .a2. Events, relations, attributes and notes are counted only.

    A document is complete for the labels, except for those of which it has a span that is skipped: the other spans of
    such a label are taken one by one, each as a binary answer. A document whose .a2 is missing, while others have one,
    is complete for the labels of the .a1 files only.

    path (str): The folder.
    discontinuous (str): A span of several fragments is skipped ("skip"), taken from its first start to its last end
        ("cover"), or each fragment is a span ("split", and counted as such). Fragments with only whitespace between
        them are one span: so brat writes a span that crosses the end of a line.
    mismatch (str): "skip" or "keep" a span whose quoted text differs from the text at its offsets, whitespace aside.
    without_spans (str): An .ann without a T line means that the text has no entity ("annotated"), or that nobody has
        annotated it yet ("unannotated"). "auto": an empty file is not annotated yet, since brat shows only texts
        that have an .ann, so that people make empty ones beforehand; one with other lines is annotated.
    copies (str): Several files about the same text, as `ana/1.ann` and `ben/1.ann`, are of several "annotators", or
        each is complete for other "labels", or the last of these "versions" counts. "auto": versions, if they are
        called v1, v2; labels, if each label has its spans in files of its own; else annotators, of whom a file named
        `gold`, `curated` or `adjudicated` decides.
    """

    endings: ClassVar[tuple[str, ...]] = (".ann", ".a1", ".a2")
    without_spans: WithoutSpans = "auto"
    discontinuous: Literal["skip", "cover", "split"] = "skip"
    mismatch: Literal["skip", "keep"] = "skip"
    copies: Copies = "auto"

    def check(self) -> None:
        """RAISES (UserError): If there is no such folder, no .ann in it, or no label asked for."""
        if not Path(self.path).expanduser().is_dir():
            raise UserError(f"{self.path}: no such folder")
        Files.check(self)

    def recognizes(self) -> bool:
        """Whether it is a folder with an .ann file."""
        return Path(self.path).expanduser().is_dir() and bool(self.files())

    def files(self) -> list[NamedFile]:
        """The .ann and .a1 files; an .a2 is read with its .a1."""
        return [
            (path, name)
            for path, name in Files.files(self)
            if not has_ending(path, _SECOND) or not beside(path, _FIRST).is_file()
        ]

    def all_files(self) -> list[NamedFile]:
        """The files with annotations and the .txt files, also those beside what links lead to."""
        found = files(self.path, (*self.endings, ".txt"))
        texts = ((_text_of_target(path), name) for path, name in found if path.is_symlink())
        return [*found, *((text, f"{name}:.txt") for text, name in texts if text.is_file())]

    def note_unread(self, intake: Intake) -> None:
        """Note each .txt without an .ann, and copies."""
        layout = _Layout(self)
        intake.note("a .txt without an .ann: not annotated", len(layout.texts_without_annotations()))
        if copied := layout.copied(self.copies):
            intake.note(copied.note(), copied.texts)

    def findings(self) -> list[str]:
        """Tell of copies, and of files that nobody has annotated yet."""
        layout = _Layout(self)
        found = Files.findings(self)
        if copied := layout.copied(self.copies):
            found.append(str(copied))
            if unlike := layout.unlike_copies():
                what = "text whose copies differ in line ends, or in a newline at the end, and so stay different texts"
                do = "give all copies the same newline at the end; line ends are counted by the offsets: leave them"
                found.append(f"{unlike:,} × {what}: {do}")
        if self.without_spans == "auto" and (empty := sum(_is_empty(path) for path, _ in layout.files)):
            verb, they = ("is", "it is") if empty == 1 else ("are", "they are")
            found.append(f'{empty:,} empty .ann {verb} not annotated yet: without_spans = "annotated" if {they}')
        if skipped := self._discontinuous(layout):
            takes = 'discontinuous = "cover" takes them from the first start to the last end, "split" each fragment'
            found.append(f"{skipped:,} × {_DISCONTINUOUS}, which is skipped: {takes}")
        return found

    def _discontinuous(self, layout: _Layout) -> int:
        """Count the spans that are skipped since they are of several fragments."""
        some = [one for one in layout.files if _SEVERAL_FRAGMENTS.search(_bytes(one[0]))]
        records = (self._record(path, name, Role(), layout, Intake(lambda _: None)) for path, name in some)
        marks = (mark for record in records for document in record.documents for mark in document.marks)
        return sum(mark.fault == _DISCONTINUOUS for mark in marks)

    def _all_records(self, files: Iterable[NamedFile], intake: Intake) -> Iterator[Record]:
        """Stream the documents of files."""
        layout = _Layout(self)
        copied = layout.copied(self.copies)
        roles = copied.roles if copied else {}
        for path, name in files:
            yield self._record(path, name, roles.get(name, Role(self.annotator)), layout, intake)

    def _record(self, path: Path, name: str, role: Role, layout: _Layout, intake: Intake) -> Record:
        document = name.rpartition(".")[0]
        try:
            text = _decode(layout.text_of(path))
            lines = _lines(path, name)
        except Unusable as err:
            lost = len(_STARTS_ANNOTATION.findall(_bytes(path).removeprefix(codecs.BOM_UTF8)))
            return Record(f"{name}:1", [Document("", [Mark(0, 0, "")] * lost)], str(err))
        annotations = list(_parse(lines, intake))
        text, shift = _as_counted(text, annotations)
        annotations = _in_codepoints(text, [annotation.shifted(shift) for annotation in annotations], intake)
        marks = [
            mark for annotation in annotations for mark in self._marks(text, _join_fragments(text, annotation), intake)
        ]
        is_new = self.without_spans == "auto" and _is_empty(path)
        found = Document(
            text,
            marks,
            complete=layout.complete(path) if role.labels is None else role.labels,
            annotator=role.annotator or self.annotator,
            meta={"document": document},
            decides=role.decides,
            no_answer=_EMPTY if is_new else "",
        )
        return Record(f"{name}:1", [found])

    def _marks(self, text: str, annotation: _TextBound, intake: Intake) -> list[Mark]:
        """Return the mark of an annotation, or one for each fragment if they are split."""
        place, label, fragments = annotation.place, annotation.label, annotation.fragments
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
            return _DISCONTINUOUS
        fitted = (fit_span(text, start, end, annotation.label) for start, end in fragments)
        reason = next((span for span in fitted if isinstance(span, str)), "")
        return reason or ("" if annotation.quotes(text) else MISQUOTED)


class _TextBound(NamedTuple):
    """A T line: sorted fragments in code points, ends exclusive. A malformed line has none."""

    place: str
    label: str
    fragments: list[tuple[int, int]]
    quote: str

    def shifted(self, shift: int) -> _TextBound:
        """Return the annotation with offsets that are lower by a number."""
        return self._replace(fragments=[(start - shift, end - shift) for start, end in self.fragments])

    def converted(self, codepoint: Callable[[int], int | None]) -> _TextBound:
        """Return the annotation with offsets in code points, or as it is where one is inside a character."""
        fragments = [(codepoint(start), codepoint(end)) for start, end in self.fragments if min(start, end) >= 0]
        sound = [(start, end) for start, end in fragments if start is not None and end is not None]
        return self._replace(fragments=sound) if len(sound) == len(self.fragments) else self

    def quotes(self, text: str) -> bool:
        """Whether its quoted text is the text at its offsets, whitespace aside."""
        return self.quote.split() == " ".join(text[start:end] for start, end in self.fragments).split()


_EMPTY = 'empty .ann: not annotated yet, unless without_spans = "annotated"'


class _Layout:
    """The files of a folder: those with annotations, and the texts."""

    def __init__(self, source: Brat) -> None:
        self.files = source.files()
        self.texts = {path for path, _ in files(source.path, (".txt",))}
        self._in_lower_case = {path.with_suffix(".txt"): path for path in sorted(self.texts)}  # 1.txt before 1.TXT
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for text in self.texts:
            self._by_stem[text.stem].append(text)
        first = [path for path, _ in self.files if has_ending(path, _FIRST)]
        self._without_second = {path for path in first if not beside(path, _SECOND).is_file()}
        # The triggers of events are known in the others only.
        is_partial = 0 < len(self._without_second) < len(first)
        self._given = frozenset(label for path in first for label in _labels_in(path)) if is_partial else None

    def text_of(self, path: Path) -> Path:
        """Return the .txt beside a file, also `1.txt` beside `1.ana.ann`, or else the only one of its name anywhere."""
        nearest = path.with_suffix(".txt")
        shorter = path.with_name(path.stem).with_suffix(".txt")
        if found := self._in_lower_case.get(nearest) or self._in_lower_case.get(shorter):
            return found
        named = self._by_stem.get(path.stem, [])
        if not named and path.is_symlink():
            return _text_of_target(path)
        return named[0] if len(named) == 1 else nearest

    def texts_without_annotations(self) -> set[Path]:
        return self.texts - {self.text_of(path) for path, _ in self.files}

    def complete(self, path: Path) -> frozenset[str] | None:
        """Return the labels that a file is complete for, as far as its ending says it; None: all."""
        return self._given if path in self._without_second else None

    def copied(self, copies: Copies) -> CopiedFiles | None:
        """Find files with annotations of the same text, line ends aside."""
        paths = {name: path for path, name in self.files}
        contents = self._contents()
        return find_copies(list(paths), contents.get, lambda name: Counter(_labels_in(paths[name])), copies)

    def _contents(self) -> dict[str, bytes]:
        """Return digests of the texts without their line ends, by the name of the file with annotations. Of the texts,
        those are read that have the size or the name of another.
        """
        texts = {name: self.text_of(path) for path, name in self.files}
        sizes = {name: text.stat().st_size for name, text in texts.items() if text.is_file()}
        sizes = {name: size for name, size in sizes.items() if size <= max_record()}
        by_size = Counter(sizes.values())
        by_name = Counter(text.name for text in set(texts.values()))
        some = [name for name, size in sizes.items() if by_size[size] > 1 or by_name[texts[name].name] > 1]
        return {name: hashlib.sha256(_with_newlines(_bytes(texts[name]))).digest() for name in some}

    def unlike_copies(self) -> int:
        """Count the texts that have copies with other line ends."""
        texts = {name: self.text_of(path) for path, name in self.files}
        found: dict[bytes, set[bytes]] = defaultdict(set)
        for name, content in self._contents().items():
            found[content].add(hashlib.sha256(_bytes(texts[name]).removeprefix(codecs.BOM_UTF8)).digest())
        return sum(len(digests) > 1 for digests in found.values())


def _text_of_target(path: Path) -> Path:
    """Return where the .txt beside the file is that a link leads to."""
    return beside(real_path(path), ".txt")


def _with_newlines(text: bytes) -> bytes:
    r"""Return a text with "\n" as the only line end, and none after the last line."""
    return text.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").rstrip(b"\n")


def _labels_in(path: Path) -> list[str]:
    """Return the label of each T line, for documents that are not read yet."""
    return [label.decode("utf8", "replace") for label in _LABELS.findall(_bytes(path))]


def _is_empty(path: Path) -> bool:
    """Whether a file has nothing but whitespace, and is no .a1 with an .a2."""
    has_second = has_ending(path, _FIRST) and beside(path, _SECOND).is_file()
    content = _bytes(path)
    is_blank = not isinstance(content, Oversized) and not content.removeprefix(codecs.BOM_UTF8).strip()
    return is_blank and not has_second


def _bytes(path: Path) -> bytes:
    """Return the bytes of a file, if it is not too large."""
    try:
        return read_file(path)
    except TooLarge:
        return Oversized()


def _decode(path: Path) -> str:
    """RAISES (Unusable): If there is no such file, or it is too large, or not UTF-8."""
    if not path.is_file():
        raise Unusable(f"no {path.suffix} beside it")
    try:
        return read_file(path).decode("utf8")  # line ends as they are: offsets count "\r\n" as two
    except UnicodeDecodeError as err:
        raise Unusable(f"{path.suffix} is not UTF-8") from err


def _lines(path: Path, name: str) -> list[tuple[str, str]]:
    """Return the lines of a file with annotations, and of the .a2 of an .a1, with their places. RAISES (Unusable)."""
    parts = [(path, name)]
    if has_ending(path, _FIRST) and (second := beside(path, _SECOND)).is_file():
        parts.append((second, name[: -len(_FIRST)] + second.suffix))
    return [
        (f"{place}:{number}", line.removesuffix("\r"))
        for part, place in parts
        for number, line in enumerate(_decode(part).removeprefix(_BOM).split("\n"), 1)
    ]


def _parse(lines: Iterable[tuple[str, str]], intake: Intake) -> Iterator[_TextBound]:
    for place, line in lines:
        if re.match("T[0-9]", line):
            yield _annotation(place, line)
        elif other := _STARTS_OTHER.match(line):
            intake.note(f"{_OTHERS[other[0][0]]} is not read")
        elif line.strip():
            intake.note("line of an .ann that is no annotation (a quoted text broken by a newline?)")


def _annotation(place: str, line: str) -> _TextBound:
    match = _ANNOTATION.fullmatch(line)
    if match is None:
        readable = _LABEL.match(line)
        return _TextBound(place, readable[1] if readable else "", [], "")
    label, offsets, quote = match.groups()
    pairs = (fragment.split() for fragment in offsets.split(";"))
    return _TextBound(place, label, sorted((int(start), int(end)) for start, end in pairs), quote)


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


def _in_codepoints(text: str, annotations: list[_TextBound], intake: Intake) -> list[_TextBound]:
    """Return the annotations with offsets in code points, in which brat counts; tools that write its format may count
    in other units, which the quoted texts tell.
    """
    most = sum(annotation.quotes(text) for annotation in annotations)
    best, unit = annotations, ""
    for other in UNITS if most < len(annotations) else ():
        if differs(text, other):
            codepoint = to_codepoints(text, other)
            converted = [annotation.converted(codepoint) for annotation in annotations]
            quoting = sum(annotation.quotes(text) for annotation in converted)
            if quoting > most:
                most, best, unit = quoting, converted, other
    if unit:
        intake.note(counted_otherwise(unit))
    return best


def _join_fragments(text: str, annotation: _TextBound) -> _TextBound:
    """Return the annotation with fragments joined that only whitespace separates."""
    fragments: list[tuple[int, int]] = []
    for start, end in annotation.fragments:
        if fragments and 0 <= fragments[-1][1] <= start and not text[fragments[-1][1] : start].strip():
            start = fragments.pop()[0]
        fragments.append((start, end))
    return annotation._replace(fragments=fragments)
