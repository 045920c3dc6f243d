"""CoNLL files: a token a line, its tag in a column, blank lines between sentences."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import msgspec

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.documents import Document, Record, WithoutSpans
from scripts.sources.files import Files, opened
from scripts.sources.source import Intake, Source
from scripts.sources.tags import SCHEMES, Evidence, Scheme, SchemeSetting, tagged_text

Unit = Literal["sentence", "document"]

_DOCSTART = "-DOCSTART-"
_LOOKED_AT = 1000  # lines, to tell how columns are separated
_BLANK = b" \t\r\n"
_TAG = re.compile(r"O|[BILUESM]-.+", re.DOTALL)


@registry.readers("labelwise.Conll.v1")
def conll(
    path: str,
    labels: list[str],
    token: int = 1,
    tag: int = -1,
    scheme: SchemeSetting = "auto",
    text: Unit = "sentence",
    without_spans: WithoutSpans = "annotated",
    annotator: str = "",
) -> Source:
    """Read tokens and their tags. The text is the tokens with a blank between them, since that is all that is known.
    Columns are separated by tabs where there are tabs, and then tokens may hold blanks.

    path (str): The file, or a folder with files *.conll, *.iob, *.bio, *.tsv or *.txt.
    labels (list[str]): The labels that were annotated in it; spans of others are left out.
    token (int), tag (int): The columns, counted from 1, or from the end: -1 is the last.
    scheme (str): "iob1", "iob2", "biluo" (also BIOES), "io", or "auto": the one that the file keeps to. An entity
        that breaks its rules is refused.
    text (str): A text is a "sentence", or a "document": all sentences up to the next -DOCSTART-, a line each.
    without_spans (str): What a text without spans is: "annotated", and nothing is there, or "unannotated".
    annotator (str): Who annotated, for the merge.
    """
    if 0 in (token, tag):
        raise UserError("token and tag count columns from 1, or from the end with -1")
    if scheme not in SCHEMES:
        raise UserError(f"scheme = {scheme!r}: must be one of {', '.join(SCHEMES)}")
    return Conll(path, labels, token, tag, scheme, text, without_spans, annotator)


class Conll(Files, msgspec.Struct, frozen=True):
    """See `conll`."""

    endings: ClassVar[tuple[str, ...]] = (".conll", ".iob", ".bio", ".tsv", ".txt")
    path: str
    labels: list[str]
    token: int
    tag: int
    scheme: SchemeSetting
    text: Unit
    without_spans: WithoutSpans
    annotator: str

    def recognizes(self) -> bool:
        """Whether the first lines end in tags."""
        if not Path(self.path).expanduser().is_file():
            return False
        rows = [row for sentence in islice(self._sentences(Path(self.path).expanduser()), 50) for row in sentence.rows]
        return len(rows) > 1 and all(not row.fault and _TAG.fullmatch(row.tag) for row in rows)

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the texts. The file is read twice, first to see which scheme it keeps to."""
        scheme = self._scheme(path)
        intake.note(f"file with tags read as {scheme}")
        document = 0
        for sentences in self._texts(path):
            intake.note("lines of comment are not read", sum(sentence.comments for sentence in sentences))
            document += sentences[0].starts_document
            meta = {"document": f"{name}:{document}"} if document else {}
            tagged = [([row.token for row in one.rows], [row.tag for row in one.rows]) for one in sentences]
            text, marks = tagged_text(tagged, scheme)
            fault = next((row.fault for sentence in sentences for row in sentence.rows if row.fault), "")
            yield Record(
                f"{name}:{sentences[0].line}", [Document(text, marks, annotator=self.annotator, meta=meta)], fault
            )

    def _scheme(self, path: Path) -> Scheme:
        if self.scheme != "auto":
            return self.scheme
        evidence = Evidence()
        for sentence in self._sentences(path):
            evidence.add([row.tag for row in sentence.rows])
        return evidence.scheme()

    def _texts(self, path: Path) -> Iterator[list[_Sentence]]:
        """The sentences of each text."""
        gathered: list[_Sentence] = []
        for sentence in self._sentences(path):
            if gathered and (self.text == "sentence" or sentence.starts_document):
                yield gathered
                gathered = []
            gathered.append(sentence)
        if gathered:
            yield gathered

    def _sentences(self, path: Path) -> Iterator[_Sentence]:
        """What stands between blank lines; -DOCSTART- is none of the tokens."""
        separator, width = _layout(path)
        sentence = _Sentence()
        for number, line in _lines(path):
            columns = _columns(line, separator)
            if not columns or columns[0] == _DOCSTART:
                if sentence.rows:
                    yield sentence
                    sentence = _Sentence()
                sentence.starts_document |= bool(columns)
            elif line.startswith(b"#") and len(columns) != width:
                sentence.comments += 1
            else:
                sentence.line = sentence.line or number
                sentence.rows.append(self._row(line, columns))
        if sentence.rows:
            yield sentence

    def _row(self, line: bytes, columns: list[str]) -> _Row:
        token, tag = (column - 1 if column > 0 else len(columns) + column for column in (self.token, self.tag))
        if token == tag or not (0 <= token < len(columns) and 0 <= tag < len(columns)):
            return _Row("", "O", "line without a column for the token and one for the tag")
        fault = "" if columns[token].strip() else "token is empty"
        return _Row(columns[token], columns[tag].strip() or "O", fault or ("not UTF-8" if _is_foreign(line) else ""))


class _Row(NamedTuple):
    token: str
    tag: str
    fault: str


class _Sentence(msgspec.Struct):
    """line is where it begins; starts_document, whether -DOCSTART- is before it."""

    rows: list[_Row] = []
    line: int = 0
    starts_document: bool = False
    comments: int = 0


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def _layout(path: Path) -> tuple[str | None, int]:
    """What separates the columns, a tab or (None) blanks, and how many there are in most lines."""
    lines = [line for _, line in islice(_lines(path), _LOOKED_AT) if line.strip(_BLANK)]
    separator = "\t" if 2 * sum(b"\t" in line for line in lines) > len(lines) else None
    widths = Counter(len(_columns(line, separator)) for line in lines)
    return separator, max(widths, key=lambda width: (widths[width], width), default=0)


def _columns(line: bytes, separator: str | None) -> list[str]:
    """None in a blank line, which may hold blanks and tabs."""
    if not line.strip(_BLANK):
        return []
    text = line.decode("utf8", "replace").rstrip("\r\n")
    return text.split(separator) if separator else re.split("[ \t]+", text.strip(" \t"))


def _is_foreign(line: bytes) -> bool:
    try:
        line.decode("utf8")
    except UnicodeDecodeError:
        return True
    return False
