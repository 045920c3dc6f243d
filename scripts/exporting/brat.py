"""brat: a .txt and an .ann a text. See https://brat.nlplab.org/standoff.html."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from scripts.core.answers import GoldText, Span
from scripts.exporting.formats import Export, entities, side

_TYPE = re.compile(r"[\w-]+")  # what brat takes for the name of a type
_LINE = re.compile(r"[^\n]+")
_BOM = "\ufeff"


class _Fragment(NamedTuple):
    start: int
    end: int


class Brat:
    """A folder for texts in which all labels are known, and one for the others, below one annotation.conf. Files are
    named by the text's hash.
    """

    def __init__(self, export: Export) -> None:
        self._export = export
        self._last: tuple[int, int] = (0, 0)  # the hash of the last text, and how many in a row had it
        types = [label for label in export.labels if _TYPE.fullmatch(label)]
        sections = ["[entities]", *types, "[relations]", "[events]", "[attributes]"]
        (export.folder / "annotation.conf").write_bytes("".join(f"{line}\n" for line in sections).encode())

    def add(self, text: GoldText) -> None:
        """Write a text and its annotations."""
        found = entities(text, self._export, keeps_meta=False)
        spans = [span for span in found if _TYPE.fullmatch(span.label)]
        reason = "label that brat cannot take: it has to be of letters, digits, - and _"
        self._export.account.leave_out_spans(reason, len(found) - len(spans))
        self._export.account.note("a byte order mark at the start, which readers drop", text.text.startswith(_BOM))
        path = self._export.folder / side(text, self._export.labels) / self._name(text.input_hash)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".txt").write_bytes(text.text.encode())
        lines = (_line(number, text.text, span) for number, span in enumerate(spans, 1))
        path.with_suffix(".ann").write_bytes("".join(lines).encode())
        self._export.account.write(len(spans))

    def close(self) -> None:
        """Nothing is open."""

    def _name(self, input_hash: int) -> str:
        """The hash as eight digits. Texts that share one, which follow each other, get a number."""
        last, times = self._last
        self._last = (input_hash, times + 1 if times and last == input_hash else 1)
        name = f"{input_hash & 0xFFFFFFFF:08x}"
        return name if self._last[1] == 1 else f"{name}-{self._last[1]}"


def _line(number: int, text: str, span: Span) -> str:
    fragments = list(_fragments(text, span))
    places = ";".join(f"{fragment.start} {fragment.end}" for fragment in fragments)
    quote = " ".join(text[fragment.start : fragment.end] for fragment in fragments)
    return f"T{number}\t{span.label} {places}\t{quote}\n"


def _fragments(text: str, span: Span) -> Iterator[_Fragment]:
    """A span that crosses the end of a line is written as brat does: a fragment a line, without blanks at its edges."""
    for match in _LINE.finditer(text, span.start, span.end):
        line = match[0]
        start = match.start() + len(line) - len(line.lstrip())
        if line := line.strip():
            yield _Fragment(start, start + len(line))
