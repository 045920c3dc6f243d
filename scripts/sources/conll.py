"""CoNLL files: a token a line, its tag in a column, blank lines between sentences."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.core.texts import is_written_together
from scripts.sources.columns import (
    Layout,
    TagColumn,
    are_tags,
    columns_of,
    find_columns,
    names_columns,
    read_lines,
    starts_document,
)
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files, NamedFile, opened
from scripts.sources.folders import CopiedFiles, Copies, Role, find_copies
from scripts.sources.limits import Oversized, TooLarge, max_record
from scripts.sources.offsets import UnitEvidence
from scripts.sources.source import Intake
from scripts.sources.tags import JOINED, Scheme, SchemeSetting, check_scheme, find_scheme, tagged_text, usual_tags

_WEBANNO = b"#FORMAT=WebAnno TSV"
_LONG_LINE = 2**16  # bytes
_RECOGNIZED = 20  # files of a folder at most: it may have thousands of another format
_MIN_SOUND = 0.9  # of the lines, in a file with tags: a few may be broken
_NO_WORDS = "line of a multiword token (3-4) or an empty node (3.1) is not read: the words themselves are"
_ALIKE = 20  # sentences: files that begin with the same ones are compared as a whole
_GENERAL = (".tsv", ".txt")  # may hold anything
_ENDINGS = (
    ".conll", ".iob", ".bio", *_GENERAL, ".conllu", ".iob2", ".bioes", ".ner", ".annotated", ".train", ".dev", ".valid",
    ".test", ".testa", ".testb",
)  # fmt: skip


@registry.readers("labelwise.Conll.v1")
class Conll(Files, frozen=True):
    """Read tokens and their tags. The text is the tokens with a space between them, since no more is known of it;
    without, in scripts that have none between words.
    Columns are separated by tabs where there are tabs, and then tokens may contain spaces.

    path (str): The file, or a folder with files *.conll, *.iob, *.bio, *.tsv, *.txt and the like.
    token (int), tag (int): The columns, counted from 1, or from the end: -1 is the last. 0: the tokens are in the
        first, or the first with words after one that numbers them; the tags in the column with the most entities,
        phrases (NP, VP) aside.
    scheme (str): "iob1", "iob2", "biluo" (also BIOES), "io", or "auto": the one that the file keeps to. An entity
        that breaks its rules is skipped.
    text (str): A text is a "sentence", or a "document": all sentences up to the next -DOCSTART-, a line each.
    copies (str): Several files with the same texts, as `ana.conll` and `ben.conll`, are of several "annotators", or
        each is complete for other "labels", or the last of these "versions" counts. "auto": versions, if they are
        called v1, v2; labels, if each label has its spans in files of its own; else annotators, of whom a file named
        `gold` decides.
    """

    endings: ClassVar[tuple[str, ...]] = (*_ENDINGS, *(f"{ending}.gz" for ending in _ENDINGS))
    token: int = 0
    tag: int = 0
    scheme: SchemeSetting = "auto"
    text: Literal["sentence", "document"] = "sentence"
    copies: Copies = "auto"

    def __post_init__(self) -> None:
        check_scheme(self.scheme)

    def recognizes(self) -> bool:
        """Whether the first lines of the file, or of some files in a folder that have columns, are tagged."""
        files = self.files()
        some = [path for path, _ in self._readable(files[:: len(files) // _RECOGNIZED + 1]) if _has_lines(path)]
        found = find_columns(some)
        source = replace(self, token=self.token or found.token, tag=self.tag or found.tag)
        return bool(some) and all(source._is_tagged(path) or _is_webanno(path) for path in some)

    def first_look(self, intake: Intake) -> tuple[Conll, UnitEvidence]:
        """Return the source with the columns that its first lines tell."""
        return self._with_columns(), UnitEvidence()

    def _with_columns(self) -> Conll:
        if self.token and self.tag:
            return self
        found = find_columns(path for path, _ in self._readable_files())
        return replace(self, token=self.token or found.token, tag=self.tag or found.tag)

    def note_unread(self, intake: Intake) -> None:
        """Note other columns with tags, copies, and files without columns."""
        for other in self._other_columns():
            take = f"tag = {other.number} takes it"
            intake.note(f"span in column {other.number}, which has tags too: {take}", other.spans.total())
        if copied := self._copied():
            intake.note(copied.note(), copied.texts)
        intake.note("file *.txt or *.tsv without columns is not read", len(self.files()) - len(self._readable_files()))

    def findings(self) -> list[str]:
        """Tell of columns with tags, copies and splits."""
        source = self._with_columns()
        found = Files.findings(self)
        if others := self._other_columns():
            taken = f"column {source.tag}" if source.tag > 0 else "the last column"
            found.append(
                "; ".join([f"tags of {taken} are taken", *(f"tag = {one.number} takes {one}" for one in others)])
            )
        if source.token > 1:
            found.append(f"tokens of column {source.token} are taken, since column 1 numbers them")
        if copied := self._copied():
            found.append(str(copied))
        return found

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the texts of a file."""
        return self._records(path, name, Role(), intake)

    def _all_records(self, files: Iterable[NamedFile], intake: Intake) -> Iterator[Record]:
        copied = self._copied()
        readable = {path for path, _ in self._readable_files()}
        for path, name in files:
            if path in readable:
                yield from self._records(path, name, copied.roles.get(name, Role()) if copied else Role(), intake)

    def _records(self, path: Path, name: str, role: Role, intake: Intake) -> Iterator[Record]:
        """Stream the texts. The file is read twice, first to find its scheme."""
        if _is_webanno(path):
            raise UserError(f"{path}: is WebAnno TSV, which is not read; export it as UIMA CAS XMI")
        scheme, usual = self._scheme(path)
        intake.note(f"file with tags read as {scheme}")
        document = 0
        for sentences in self._texts(path):
            intake.note("lines of comment are not read", sum(sentence.comments for sentence in sentences))
            intake.note(_NO_WORDS, sum(sentence.no_words for sentence in sentences))
            document += sentences[0].starts_document
            meta = {"document": f"{name}:{document}"} if document else {}
            tagged = [
                ([row.token for row in one.rows], [usual.get(row.tag, row.tag) for row in one.rows])
                for one in sentences
            ]
            text, marks = tagged_text(tagged, scheme)
            if is_written_together(text):
                intake.note(JOINED)
            fault = next((row.fault for sentence in sentences for row in sentence.rows if row.fault), "")
            found = Document(
                text,
                marks,
                complete=role.labels,
                annotator=role.annotator or self.annotator,
                meta=meta,
                decides=role.decides,
            )
            yield Record(f"{name}:{sentences[0].line}", [found], fault)

    def _scheme(self, path: Path) -> tuple[Scheme, dict[str, str]]:
        """Return the scheme of a file, and what its tags are usually written as, see `usual_tags`."""
        seen: set[str] = set()
        scheme = find_scheme(self.scheme, self._tags(path, seen))
        if self.scheme != "auto":
            seen.update(tag for tags in self._tags(path, set()) for tag in tags)
        usual = usual_tags(seen)
        if usual:
            scheme = find_scheme(
                self.scheme, ([usual.get(tag, tag) for tag in tags] for tags in self._tags(path, seen))
            )
        return scheme, usual

    def _tags(self, path: Path, seen: set[str]) -> Iterator[list[str]]:
        for sentence in self._sentences(path):
            tags = [row.tag for row in sentence.rows]
            seen.update(tags)
            yield tags

    def _texts(self, path: Path) -> Iterator[list[_Sentence]]:
        """Group the sentences of each text."""
        gathered: list[_Sentence] = []
        size = 0
        for sentence in self._sentences(path):
            if gathered and (self.text == "sentence" or sentence.starts_document):
                yield gathered
                gathered, size = [], 0
            size += sentence.size
            gathered.append(sentence)
            if size > max_record():
                gathered[0].mark_too_large()
                del gathered[1:]
        if gathered:
            yield gathered

    def _sentences(self, path: Path) -> Iterator[_Sentence]:
        """Stream the lines between blank ones; -DOCSTART- is no token."""
        layout = Layout.of(path)
        skips_no_words = self.token not in (1, -layout.width)
        sentence = _Sentence()
        for number, line in read_lines(path):
            sentence.size += len(line)
            if isinstance(line, Oversized) or (sentence.size > max_record() and not line.isspace()):
                sentence.line = sentence.line or number
                sentence.mark_too_large()
                continue
            columns = columns_of(line, layout.separator)
            begins = starts_document(line, columns)
            if not columns or begins:
                if sentence.rows:
                    yield sentence
                    sentence = _Sentence()
                sentence.starts_document |= begins
                continue
            if skips_no_words and layout.is_no_word(columns):
                sentence.no_words += 1
                continue
            row = self._row(line, columns, layout.width)
            if names_columns(number, columns) or layout.is_comment(line, columns, row.tag, not sentence.rows):
                sentence.comments += 1
            else:
                sentence.line = sentence.line or number
                sentence.rows.append(row)
        if sentence.rows:
            yield sentence

    def _row(self, line: bytes, columns: list[str], width: int) -> _TaggedToken:
        if width == 2 < len(columns):
            return _TaggedToken("", columns[-1], "line with more columns than the others: of which is its token?")
        token, tag = (column - 1 if column > 0 else len(columns) + column for column in (self.token, self.tag))
        if token == tag or not (0 <= token < len(columns) and 0 <= tag < len(columns)):
            return _TaggedToken("", "O", "line without a column for the token and one for the tag")
        is_utf8 = line.decode("utf8", "ignore").encode() == line
        fault = "token is empty" if not columns[token].strip() else "" if is_utf8 else "not UTF-8"
        return _TaggedToken(columns[token], columns[tag].strip() or "O", fault)

    # Several files

    def _readable_files(self) -> list[NamedFile]:
        """The files, but for those in a folder that may hold anything and have no columns, as a README.txt."""
        return self._readable(self.files())

    def _readable(self, files: list[NamedFile]) -> list[NamedFile]:
        if Path(self.path).expanduser().is_file():
            return files
        return [(path, name) for path, name in files if not _is_general(name) or Layout.of(path).is_regular]

    def _is_tagged(self, path: Path) -> bool:
        rows = [row for sentence in islice(self._sentences(path), 50) for row in sentence.rows]
        sound = [row.tag for row in rows if not row.fault]
        return len(sound) >= _MIN_SOUND * len(rows) and are_tags(Counter(sound))

    def _other_columns(self) -> list[TagColumn]:
        """The columns with tags that are not taken, with all their spans; none if the config says which is taken."""
        paths = [path for path, _ in self._readable_files()]
        if self.tag or len(find_columns(paths).tags) < 2:
            return []
        found = find_columns(paths, all_lines=True)
        taken = self._with_columns().tag
        return [one for one in found.tags if one.spans and one.number != (taken if taken > 0 else found.width)]

    def _copied(self) -> CopiedFiles | None:
        """Find files with the same texts. Those that begin alike are read as a whole."""
        paths = {name: path for path, name in self._readable_files()}
        if len(paths) < 2 or self.copies == "versions":
            return None
        source = self._with_columns()
        beginnings = {name: source._tokens(path, _ALIKE) for name, path in paths.items()}
        numbers = Counter(beginnings.values())
        return find_copies(
            list(paths),
            lambda name: source._tokens(paths[name], None) if numbers[beginnings[name]] > 1 else None,
            lambda name: source._labels_in(paths[name]),
            self.copies,
        )

    def _tokens(self, path: Path, sentences: int | None) -> bytes:
        """Digest of the tokens in a number of sentences, or in all."""
        digest = hashlib.sha256()
        for sentence in islice(self._sentences(path), sentences):
            digest.update("\n".join(row.token for row in sentence.rows).encode() + b"\n\n")
        return digest.digest()

    def _labels_in(self, path: Path) -> Counter[str]:
        records = self._records(path, path.name, Role(), Intake(lambda _: None))
        return Counter(mark.label for record in records for document in record.documents for mark in document.marks)


def _has_lines(path: Path) -> bool:
    """Whether a file ends its first lines early, which JSON in one line does not. An empty one has none."""
    with opened(path) as file:
        start = file.read(_LONG_LINE)
    return bool(start.strip()) and (b"\n" in start or len(start) < _LONG_LINE)


class _TaggedToken(NamedTuple):
    token: str
    tag: str
    fault: str


class _Sentence(msgspec.Struct):
    """The rows of a sentence, the line at which it begins, whether -DOCSTART- is before it, and its bytes."""

    rows: list[_TaggedToken] = []
    line: int = 0
    starts_document: bool = False
    comments: int = 0
    no_words: int = 0
    size: int = 0

    def mark_too_large(self) -> None:
        """Keep the reason instead of the rows; what is added does not count any more."""
        self.rows = [_TaggedToken("", "O", str(TooLarge()))]
        self.size = max_record() + 1


def _is_webanno(path: Path) -> bool:
    return next(read_lines(path), (1, b""))[1].startswith(_WEBANNO)


def _is_general(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(_GENERAL)
