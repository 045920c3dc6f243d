"""brat standoff: folders with a .txt and an .ann a document. See https://brat.nlplab.org/standoff.html."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from scripts.core.answers import Span, Task
from scripts.core.errors import UserError
from scripts.core.hashing import input_hash
from scripts.core.settings import registry
from scripts.sources.documents import Unusable, WithoutSpans, answers, note_incomplete, note_unseen
from scripts.sources.source import Intake, Source, fit_span

Discontinuous = Literal["skip", "cover", "split"]
Mismatch = Literal["skip", "keep"]

_BOM = "\ufeff"
_ANNOTATION = re.compile(r"T[0-9]+\t(\S+) (@ @(?:;@ @)*)\t(.*)".replace("@", "[0-9]{1,15}"))
_LABEL = re.compile(r"T[0-9]+\s+(\S+)")
_STARTS_ANNOTATION = re.compile(rb"^T[0-9]", re.MULTILINE)
_STARTS_OTHER = re.compile(r"[EMARN][0-9]+\t|\*\t|#")  # events, attributes, relations, normalizations, notes


@registry.readers("labelwise.Brat.v1")
def brat(
    path: str,
    labels: list[str],
    discontinuous: Discontinuous = "skip",
    annotator: str = "",
    mismatch: Mismatch = "skip",
    without_spans: WithoutSpans = "annotated",
) -> Source:
    """Read the text-bound annotations (T lines) of a folder and all folders in it. A record is an .ann file.

    A document is taken as completely annotated for the labels, except for those of which a span had to be refused
    there: of these only the spans that could be read are taken, each as an answer about itself alone.

    path (str): The folder.
    labels (list[str]): The labels that were annotated in it; spans of others are left out.
    discontinuous (str): A span in several fragments is skipped ("skip"), taken from the first start to the last
        end ("cover"), or every fragment is a span ("split", and counted as such). Fragments with only blanks
        between them are one span: so brat writes what crosses the end of a line.
    annotator (str): Who annotated, for the merge.
    mismatch (str): What to do with a span whose quoted text is not what stands at its offsets, blanks aside.
    without_spans (str): What an .ann without a T line means: that there is nothing to find ("annotated"), or that
        nobody has looked yet ("unannotated"): some tools make an empty .ann for every text beforehand.
    """
    return Brat(path, labels, discontinuous, annotator, mismatch, without_spans)


class Brat(msgspec.Struct, frozen=True):
    """See `brat`."""

    path: str
    labels: list[str]
    discontinuous: Discontinuous
    annotator: str
    mismatch: Mismatch
    without_spans: WithoutSpans
    first: int = 0  # of a part: which of the documents, in the order of their names
    stop: int | None = None

    def check(self) -> None:
        """RAISES (UserError): If there is no such folder, no .ann in it, or no label asked for."""
        folder = self._folder()
        if not folder.is_dir():
            raise UserError(f"{self.path}: no such folder")
        if next(folder.rglob("*.ann"), None) is None:
            raise UserError(f"{self.path}: no .ann file in it, nor in the folders below")
        if not self.labels:
            found = ", ".join(sorted(self.labels_found()))
            raise UserError(f"{self.path}: labels is empty. There is {found or 'none'}")

    def recognises(self) -> bool:
        """Whether there is an .ann file."""
        return next(self._folder().rglob("*.ann"), None) is not None

    def labels_found(self) -> Counter[str]:
        """How many annotations each label has."""
        lines = (line for path in self._files(".ann") for line in path.read_text("utf8", "replace").split("\n"))
        return Counter(match[1] for match in map(_ANNOTATION.match, lines) if match)

    def fingerprint(self) -> str:
        """Digest over the names, sizes and times of change of all .ann and .txt files."""
        digest = hashlib.blake2b(digest_size=16)
        for suffix in (".ann", ".txt"):
            for path in self._files(suffix):
                stat = path.stat()
                digest.update(f"{self._name(path)}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        return digest.hexdigest()

    def read(self, dataset: str, intake: Intake) -> Iterator[list[Task]]:
        """Stream the documents in the order of their names, one in memory at a time."""
        unseen = set(self.labels)
        files = self._files(".ann")
        for path in files[self.first : self.stop]:
            document = self._load(path, intake)
            if document is None:
                continue
            unseen.difference_update(annotation.label for annotation in document.annotations)
            if tasks := self._tasks(document, dataset, intake):
                yield tasks
        if self.first == 0:
            annotated = {path.with_suffix(".txt") for path in files}
            intake.note("a .txt without an .ann: not annotated", len(set(self._files(".txt")) - annotated))
        note_unseen(unseen, intake)

    def parts(self, size: int) -> Sequence[Source]:
        """So many of the documents each."""
        files = self._files(".ann")
        total = sum(path.stat().st_size for path in (*files, *self._files(".txt")))
        number = min(-(-total // size), len(files))
        edges = [len(files) * part // number for part in range(number)] if number else [0]
        return [replace(self, first=first, stop=stop) for first, stop in zip_longest(edges, edges[1:])]

    def _folder(self) -> Path:
        return Path(self.path).expanduser()

    def _name(self, path: Path) -> str:
        return os.fsencode(path.relative_to(self._folder()).as_posix()).decode("utf8", "replace")

    def _files(self, suffix: str) -> list[Path]:
        return sorted((path for path in self._folder().rglob(f"*{suffix}") if path.is_file()), key=self._name)

    def _load(self, path: Path, intake: Intake) -> _Document | None:
        """The document of an .ann file, or None if the whole of it had to be refused."""
        try:
            text = _decode(path.with_suffix(".txt"))
            lines = _decode(path).removeprefix(_BOM).split("\n")
        except Unusable as err:
            found = len(_STARTS_ANNOTATION.findall(path.read_bytes().removeprefix(codecs.BOM_UTF8)))
            intake.record(found)
            intake.skip(self._name(path), str(err), found)
            return None
        return _parse(self._name(path), text, lines, intake)

    def _tasks(self, document: _Document, dataset: str, intake: Intake) -> list[Task]:
        intake.record(sum(map(self._count, document.annotations)))
        if not document.annotations and self.without_spans == "unannotated":
            intake.other_labels(0, whole_record=True)
            intake.note("not annotated yet")
            return []
        spans, incomplete = self._judge(document, intake)
        task = self._task(document, dataset)
        places = {span: f"{document.name}:{line}" for span, line in spans.items()}
        tasks = answers(task, places, incomplete)
        if not tasks:
            intake.skip(document.name, "no label of it could be read completely")
        note_incomplete(incomplete, intake)
        return tasks

    def _count(self, annotation: _Annotation) -> int:
        """How many spans an annotation counts for."""
        return max(1, len(annotation.fragments)) if self.discontinuous == "split" else 1

    def _judge(self, document: _Document, intake: Intake) -> tuple[dict[Span, int], set[str]]:
        """The usable spans, each with its line, and the labels of which a span was refused."""
        spans: dict[Span, int] = {}
        incomplete: set[str] = set()
        for annotation in document.annotations:
            count = self._count(annotation)
            if annotation.fragments and annotation.label not in self.labels:
                intake.other_labels(count)
                continue
            place = f"{document.name}:{annotation.line}"
            try:
                fitted = self._fit(document.text, annotation, intake)
            except Unusable as err:
                for _ in range(count):
                    intake.skip_span(place, str(err))
                # Where the label cannot be read it may have been any.
                incomplete.update({annotation.label} & set(self.labels) or self.labels)
                continue
            for span in fitted:
                if span in spans:
                    intake.skip_span(place, "span repeated in the same document")
                spans.setdefault(span, annotation.line)
        return spans, incomplete

    def _fit(self, text: str, annotation: _Annotation, intake: Intake) -> list[Span]:
        """The spans that an annotation stands for. RAISES (Unusable): With the reason, if it cannot be used."""
        fragments = annotation.fragments
        if not fragments:
            raise Unusable("malformed annotation")
        if len(fragments) > 1 and self.discontinuous == "skip":
            raise Unusable("discontinuous span")
        if self.discontinuous == "cover":
            fragments = [(fragments[0][0], max(end for _, end in fragments))]
        spans = [_fitted(text, start, end, annotation.label) for start, end in fragments]
        if not annotation.quotes(text):
            if self.mismatch == "skip":
                raise Unusable("quoted text is not what stands at the offsets")
            intake.note("quoted text is not what stands at the offsets, kept")
        trimmed = sum((span.start, span.end) != fragment for span, fragment in zip(spans, fragments, strict=True))
        intake.note("blanks at the edges of a span trimmed", trimmed)
        return spans

    def _task(self, document: _Document, dataset: str) -> Task:
        return Task(
            input_hash=input_hash(document.text),
            text=document.text,
            labels=sorted(set(self.labels)),
            spans=[],
            answer="accept",
            kind="manual",
            annotator=self.annotator,
            timestamp=None,
            dataset=dataset,
            source=f"{document.name}:1",
            meta={"document": document.name.removesuffix(".ann")},
        )


class _Annotation(NamedTuple):
    """A T line: sorted fragments in code points, ends exclusive. One that is malformed has none."""

    line: int
    label: str
    fragments: list[tuple[int, int]]
    quote: str

    def quotes(self, text: str) -> bool:
        """Whether the quoted text is what stands at the offsets, blanks aside."""
        return self.quote.split() == " ".join(text[start:end] for start, end in self.fragments).split()


class _Document(NamedTuple):
    """name is the path of the .ann within the folder."""

    name: str
    text: str
    annotations: list[_Annotation]


def _decode(path: Path) -> str:
    """RAISES (Unusable): If there is no such file, or it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf8")  # as it is: offsets count "\r\n" as two
    except FileNotFoundError as err:
        raise Unusable(f"no {path.suffix} beside it") from err
    except UnicodeDecodeError as err:
        raise Unusable(f"{path.suffix} is not UTF-8") from err


def _parse(name: str, text: str, lines: list[str], intake: Intake) -> _Document | None:
    annotations = []
    for number, line in enumerate(lines, 1):
        if re.match("T[0-9]", line):
            annotations.append(_annotation(number, line.removesuffix("\r")))
        elif line.strip() and not _STARTS_OTHER.match(line):
            intake.note("line of an .ann that is no annotation (a quoted text broken by a newline?)")
    text, shift = _as_counted(text, annotations)
    if not text or text.isspace():
        intake.record(len(annotations))
        intake.skip(name, "text is empty", len(annotations))
        return None
    return _Document(name, text, [_joined(text, annotation, shift) for annotation in annotations])


def _annotation(number: int, line: str) -> _Annotation:
    match = _ANNOTATION.fullmatch(line)
    if match is None:
        readable = _LABEL.match(line)
        return _Annotation(number, readable[1] if readable else "", [], "")
    label, offsets, quote = match.groups()
    pairs = (fragment.split() for fragment in offsets.split(";"))
    return _Annotation(number, label, sorted((int(start), int(end)) for start, end in pairs), quote)


def _as_counted(text: str, annotations: list[_Annotation]) -> tuple[str, int]:
    r"""The text as the offsets count it, which the quoted texts tell, and by how much offsets are too high.

    brat counts a byte order mark and "\r\n" as they are. Other tools drop the mark, and git writes "\n" as "\r\n"
    on Windows after the annotation.
    """
    bare = text.removeprefix(_BOM)
    readings = [text, bare, text.replace("\r\n", "\n"), bare.replace("\r\n", "\n")]
    if len(set(readings)) > 1:
        text = max(readings, key=lambda reading: sum(annotation.quotes(reading) for annotation in annotations))
    return text.removeprefix(_BOM), int(text.startswith(_BOM))


def _joined(text: str, annotation: _Annotation, shift: int) -> _Annotation:
    """The annotation with offsets into the text, and fragments joined that have only blanks between them."""
    fragments: list[tuple[int, int]] = []
    for start, end in annotation.fragments:
        start, end = start - shift, end - shift
        if fragments and 0 <= fragments[-1][1] <= start and not text[fragments[-1][1] : start].strip():
            start = fragments.pop()[0]
        fragments.append((start, end))
    return annotation._replace(fragments=fragments)


def _fitted(text: str, start: int, end: int, label: str) -> Span:
    span = fit_span(text, start, end, label)
    if isinstance(span, str):
        raise Unusable(span)
    return span
