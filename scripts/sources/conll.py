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
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files, opened
from scripts.sources.source import Intake
from scripts.sources.tags import SchemeSetting, check_scheme, find_scheme, tagged_text

_DOCSTART = "-DOCSTART-"
_SAMPLE = 1000  # lines that tell the separator of the columns
_WHITESPACE = b" \t\r\n"
_TAG = re.compile(r"O|[BILUESM]-.+", re.DOTALL)


@registry.readers("labelwise.Conll.v1")
class Conll(Files, frozen=True):
    """Read tokens and their tags. The text is the tokens with a space between them, since no more is known of it.
    Columns are separated by tabs where there are tabs, and then tokens may contain spaces.

    path (str): The file, or a folder with files *.conll, *.iob, *.bio, *.tsv or *.txt.
    token (int), tag (int): The columns, counted from 1, or from the end: -1 is the last.
    scheme (str): "iob1", "iob2", "biluo" (also BIOES), "io", or "auto": the one that the file keeps to. An entity
        that breaks its rules is skipped.
    text (str): A text is a "sentence", or a "document": all sentences up to the next -DOCSTART-, a line each.
    """

    endings: ClassVar[tuple[str, ...]] = (".conll", ".iob", ".bio", ".tsv", ".txt")
    token: int = 1
    tag: int = -1
    scheme: SchemeSetting = "auto"
    text: Literal["sentence", "document"] = "sentence"

    def __post_init__(self) -> None:
        if 0 in (self.token, self.tag):
            raise UserError("token and tag count columns from 1, or from the end with -1")
        check_scheme(self.scheme)

    def recognizes(self) -> bool:
        """Whether the first lines end in tags."""
        if not Path(self.path).expanduser().is_file():
            return False
        rows = [row for sentence in islice(self._sentences(Path(self.path).expanduser()), 50) for row in sentence.rows]
        return len(rows) > 1 and all(not row.fault and _TAG.fullmatch(row.tag) for row in rows)

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the texts. The file is read twice, first to find its scheme."""
        scheme = find_scheme(self.scheme, ([row.tag for row in one.rows] for one in self._sentences(path)))
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

    def _texts(self, path: Path) -> Iterator[list[_Sentence]]:
        """Group the sentences of each text."""
        gathered: list[_Sentence] = []
        for sentence in self._sentences(path):
            if gathered and (self.text == "sentence" or sentence.starts_document):
                yield gathered
                gathered = []
            gathered.append(sentence)
        if gathered:
            yield gathered

    def _sentences(self, path: Path) -> Iterator[_Sentence]:
        """Stream the lines between blank ones; -DOCSTART- is no token."""
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

    def _row(self, line: bytes, columns: list[str]) -> _TaggedToken:
        token, tag = (column - 1 if column > 0 else len(columns) + column for column in (self.token, self.tag))
        if token == tag or not (0 <= token < len(columns) and 0 <= tag < len(columns)):
            return _TaggedToken("", "O", "line without a column for the token and one for the tag")
        is_utf8 = line.decode("utf8", "ignore").encode() == line
        fault = "token is empty" if not columns[token].strip() else "" if is_utf8 else "not UTF-8"
        return _TaggedToken(columns[token], columns[tag].strip() or "O", fault)


class _TaggedToken(NamedTuple):
    token: str
    tag: str
    fault: str


class _Sentence(msgspec.Struct):
    """The rows of a sentence, the line at which it begins, and whether -DOCSTART- is before it."""

    rows: list[_TaggedToken] = []
    line: int = 0
    starts_document: bool = False
    comments: int = 0


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def _layout(path: Path) -> tuple[str | None, int]:
    """Return the separator of the columns, a tab or (None) whitespace, and the number of columns in most lines."""
    lines = [line for _, line in islice(_lines(path), _SAMPLE) if line.strip(_WHITESPACE)]
    separator = "\t" if 2 * sum(b"\t" in line for line in lines) > len(lines) else None
    widths = Counter(len(_columns(line, separator)) for line in lines)
    return separator, max(widths, key=lambda width: (widths[width], width), default=0)


def _columns(line: bytes, separator: str | None) -> list[str]:
    """Return the columns of a line; none if it has only whitespace."""
    if not line.strip(_WHITESPACE):
        return []
    text = line.decode("utf8", "replace").rstrip("\r\n")
    return text.split(separator) if separator else re.split("[ \t]+", text.strip(" \t"))
