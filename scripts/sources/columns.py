"""Columns of CoNLL files: how they are separated, which hold the tokens and which hold tags, and lines of comment."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.sources.files import opened
from scripts.sources.limits import lines
from scripts.sources.tags import UNDERSCORE, split, tags_of_token

DOCSTART = "-DOCSTART-"  # in AIDA's files, with the name of the document after it
_SAMPLE = 1000  # lines that tell the separator of the columns, and which hold tags
_LONG_LINE = 2**16  # bytes: of longer ones the beginning tells
_ENOUGH = 20  # tagged tokens: a file in which the first lines have fewer is read on
_MAX_SAMPLE = 100_000  # lines of all files
_MIN_TAGS = 0.95  # of the values of a column are tags
_MIN_OUTSIDE = 0.3  # of the values of a column of tags without prefixes are "O"
_MAX_VALUES = 2000  # that are counted: other columns do not have as many tags
_MAX_DIFFERENT = 100  # values of such a column
_WHITESPACE = b" \t\r\n"
_TAG = re.compile(r"O|[BILUESM]-.+", re.DOTALL)
_TOKEN_ID = re.compile(r"[0-9]{1,9}([-.][0-9]{1,9})?")
# Before the words of a multiword token, and of a word that is not in the text: https://universaldependencies.org/format
_NO_WORD = re.compile(r"[0-9]{1,9}[-.][0-9]{1,9}")
# "# sent_id = 3", "# id 1f0c domain=en", "# newdoc", "#begin document (bc/cctv); part 000"
_COMMENT = re.compile(r"#\s*[A-Za-z_][\w.:-]*([ \t]+[\w.:-]+)*\s*=|#\s*(newdoc|newpar)\b|#(begin|end) document\b")
_DOCUMENT = re.compile(r"#\s*newdoc\b|#begin document\b")
_TOKEN_NAME = re.compile(r"tokens?|words?|forms?|text", re.IGNORECASE)
_TAG_NAME = re.compile(
    r"(.*[\W_])?(tags?|labels?|ner?|iob[12]?|bio|bioes|bilou|biluo|entit(y|ies))([\W_].*)?", re.IGNORECASE
)
_PREDICTIONS = re.compile(
    r"((?<![a-z])|(?=[A-Z]))([Pp]redict(ed|ions?)|[Pp]reds?|[Ss]uggest(ed|ions?)|candidates|drafts)(?![a-z])"
)
# Of the chunks of CoNLL-2000 and -2003, which are phrases and no entities.
_PHRASES = frozenset(
    ["ADJP", "ADVP", "AP", "CONJP", "INTJ", "LST", "NC", "NP", "PC", "PP", "PRT", "SBAR", "UCP", "VC", "VP"]
)


class Layout(NamedTuple):
    """The separator of the columns, a tab or (None) whitespace, and the number of columns in most lines.

    is_regular (bool): Whether nearly all lines have as many, and more than one, as no prose has.
    is_numbered (bool): Whether the first column counts the tokens, as in CoNLL-U.
    """

    separator: str | None
    width: int
    is_regular: bool
    is_numbered: bool

    @classmethod
    def of(cls, path: Path) -> Layout:
        first = (line[:_LONG_LINE] for _, line in islice(read_lines(path), _SAMPLE))
        sample = [line for line in first if line.strip(_WHITESPACE)]
        separator = "\t" if 2 * sum(b"\t" in line for line in sample) > len(sample) else None
        split_lines = [columns_of(line, separator) for line in sample]
        widths = Counter(map(len, split_lines))
        width = max(widths, key=lambda width: (widths[width], width), default=0)
        rows = sum(not line.startswith(b"#") for line in sample)
        is_numbered = width > 2 and _count_up([columns[0] for columns in split_lines if len(columns) == width])
        return cls(separator, width, width > 1 and widths[width] > 0.9 * rows, is_numbered)

    def is_no_word(self, columns: list[str]) -> bool:
        """Tell a line of CoNLL-U that is no word by its number: 3-4, whose words follow, or 3.1, which is not there."""
        return self.is_numbered and not columns[0].isdigit() and _NO_WORD.fullmatch(columns[0]) is not None

    def is_comment(self, line: bytes, columns: list[str], tag: str, starts_sentence: bool) -> bool:
        """Tell a line of comment by its form: "#" may be a token too, and as many words as columns may follow it.

        tag (str): What is in the column of the tags.
        starts_sentence (bool): Whether no token of the sentence is before it.
        """
        if not line.startswith(b"#"):
            return False
        if _COMMENT.match(line.decode("utf8", "replace")):
            return True
        is_row = len(columns) > 1 and (is_tag(tag) or tag == UNDERSCORE)
        return not is_row or (starts_sentence and len(columns) != self.width)


class TagColumn(msgspec.Struct):
    """A column that holds tags.

    number (int): From 1.
    spans (Counter[str]): Number of its entities by label, of those lines that were read.
    """

    number: int
    spans: Counter[str]

    @property
    def has_phrases(self) -> bool:
        return are_phrases(self.spans)

    def __str__(self) -> str:
        return f"column {self.number}, with {list_labels(self.spans)}"


def are_phrases(labels: Collection[str]) -> bool:
    """Whether labels are those of phrases, and not of entities."""
    return bool(labels) and _PHRASES.issuperset(labels)


def names_predictions(name: str) -> bool:
    """Whether a column or key is called as what a model said: predicted_tags, ner.suggestion, nerPredictions."""
    return _PREDICTIONS.search(name) is not None


def list_labels(spans: Counter[str]) -> str:
    """Number of spans and the first of their labels."""
    labels = ", ".join(sorted(spans)[:4]) + (", …" if len(spans) > 4 else "")
    return f"{spans.total():,} × {labels}" if spans else "no span"


class Columns(NamedTuple):
    """The columns of files: the number of columns, the one with tokens, and those with tags."""

    width: int
    token: int
    tags: list[TagColumn]

    @property
    def tag(self) -> int:
        """The column of the tags of entities: the one with the most; -1, the last, if nothing looks like tags."""
        if not self.tags:
            return -1
        number = max(self.tags, key=lambda tags: (not tags.has_phrases, tags.spans.total(), tags.number)).number
        return -1 if number == self.width else number


def find_columns(paths: Iterable[Path], all_lines: bool = False) -> Columns:
    """Find the columns of files by their first lines, or by all of them. The usual number of columns counts; in files
    with another, the columns of the same number are the same, and the last ones are.
    """
    rows: dict[int, _Rows] = {}
    read = 0
    for path in paths:
        layout = Layout.of(path)
        found = rows.setdefault(layout.width, _Rows(layout.width))
        for number, line in read_lines(path):
            if not all_lines and (read > _MAX_SAMPLE or (number > _SAMPLE and found.has_enough())):
                break
            read += 1
            columns = columns_of(line, layout.separator)
            if not names_columns(number, columns):
                found.add(line, columns)
    most = max(rows.values(), key=lambda one: one.number, default=_Rows(0))
    usual = most.columns()
    by_number = {column.number: column for column in usual.tags}
    for column, width in ((column, one.width) for one in rows.values() if one != most for column in one.columns().tags):
        number = usual.width if column.number == width else column.number
        by_number.setdefault(number, TagColumn(number, Counter())).spans.update(column.spans)
    return usual._replace(tags=list(by_number.values()))


def is_tag(value: str) -> bool:
    """Whether a value looks like a tag with a prefix, or "O", or several of such."""
    return any(_TAG.fullmatch(tag) for tag in tags_of_token(value.strip()))


def are_tags(values: Counter[str]) -> bool:
    """Whether nearly all values look like tags, or are few different ones, many of them "O". "_" tells nothing."""
    tags = sum(number for value, number in values.items() if is_tag(value))
    total = values.total() - values[UNDERSCORE]
    return tags > _MIN_TAGS * total or (len(values) <= _MAX_DIFFERENT and values["O"] > _MIN_OUTSIDE * total)


def starts_document(line: bytes, columns: list[str]) -> bool:
    """Whether a line is no token, but begins a document."""
    return bool(columns) and (
        columns[0].startswith(DOCSTART) or bool(_DOCUMENT.match(line[:200].decode("utf8", "replace")))
    )


def names_columns(number: int, columns: list[str]) -> bool:
    """Whether the first line of a file is no token, but has the names of the columns: `TOKEN NE-COARSE-LIT`.

    number (int): Of the line.
    """
    if number != 1 or any(column == UNDERSCORE or _TOKEN_ID.fullmatch(column) or is_tag(column) for column in columns):
        return False
    return any(map(_TOKEN_NAME.fullmatch, columns)) and any(map(_TAG_NAME.fullmatch, columns))


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Stream the lines of a file with their numbers, without a byte order mark."""
    with opened(path) as file:
        for number, line in enumerate(lines(file), 1):
            yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


def columns_of(line: bytes, separator: str | None) -> list[str]:
    """Return the columns of a line; none if it has only whitespace."""
    if not line.strip(_WHITESPACE):
        return []
    text = line.decode("utf8", "replace").rstrip("\r\n")
    return text.split(separator) if separator else re.split("[ \t]+", text.strip(" \t"))


def _are_numbers(values: Counter[str]) -> bool:
    """Whether nearly all values are numbers of tokens."""
    numbers = sum(number for value, number in values.items() if _TOKEN_ID.fullmatch(value))
    return numbers > _MIN_TAGS * values.total()


def _count_up(values: list[str]) -> bool:
    """Whether values are numbers, each one more than that before, or 0 or 1; others are between these at most."""
    values = [value for value in values if not value.startswith(("#", DOCSTART))]
    numbers = [int(value) for value in values if _TOKEN_ID.fullmatch(value) and not _NO_WORD.fullmatch(value)]
    counted = sum(after == before + 1 or after <= 1 for before, after in pairwise([0, *numbers]))
    return _are_numbers(Counter(values)) and 2 * len(numbers) > len(values) and counted > _MIN_TAGS * len(numbers)


class _Rows:
    """Rows of files with the same number of columns, counted by column."""

    def __init__(self, width: int) -> None:
        self.number = 0
        self.width = width
        self._values = [Counter[str]() for _ in range(width)]
        self._spans = [Counter[str]() for _ in range(width)]
        self._before: list[list[str]] = [[]] * width

    def add(self, line: bytes, columns: list[str]) -> None:
        """Count a line; other lines than rows end a sentence."""
        if not columns or len(columns) != self.width or columns[0].startswith(DOCSTART) or line.startswith(b"#"):
            self._before = [[]] * self.width
            return
        self.number += 1
        for place, value in enumerate(map(str.strip, columns)):
            if len(self._values[place]) > _MAX_VALUES:  # tokens
                continue
            self._values[place][value] += 1
            tags = [split(tag) for tag in tags_of_token(value)]
            for prefix, label in tags:
                if label and (prefix in ("B", "U") or label not in self._before[place]):
                    self._spans[place][label] += 1
            self._before[place] = [label for _, label in tags]

    def has_enough(self) -> bool:
        """Whether a column that holds tags has some other than "O", or none holds tags."""
        values = [self._values[place] for place in range(self.width) if self._holds_tags(place)]
        return not values or any(counts.total() - counts["O"] - counts[UNDERSCORE] >= _ENOUGH for counts in values)

    def columns(self) -> Columns:
        token = self._token() if self.width > 2 else 1
        tags = [
            TagColumn(place + 1, spans)
            for place, spans in enumerate(self._spans)
            if place + 1 != token and self._holds_tags(place)
        ]
        return Columns(self.width, token, tags)

    def _token(self) -> int:
        """The column of the tokens: the first, or, if that numbers them, the first with neither numbers nor tags."""
        if not _are_numbers(self._values[0]):
            return 1
        others = (place for place in range(1, self.width) if not _are_numbers(self._values[place]))
        return next((place + 1 for place in others if not self._holds_tags(place)), 1)

    def _holds_tags(self, place: int) -> bool:
        return len(self._values[place]) <= _MAX_VALUES and are_tags(self._values[place])
