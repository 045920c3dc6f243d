"""In which units a source counts: code points, as Python does, UTF-16, as browsers do, or grapheme clusters, which is
what a reader takes for one character.

They differ after an emoji: 👍🏽 is one cluster of two code points, and each of these is two units of UTF-16. Accents
may be code points of their own. Where spans carry their text it tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Unit = Literal["codepoints", "utf16", "graphemes"]
Offsets = Literal["auto", "codepoints", "utf16", "graphemes"]

AMBIGUOUS = (
    "characters beyond U+FFFF, and no text in the spans that would tell how offsets are counted: "
    'set offsets to "codepoints", "utf16" or "graphemes"'
)
_UNITS: tuple[Unit, ...] = ("codepoints", "utf16", "graphemes")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


class Mark(NamedTuple):
    """A span as a source has it.

    start (int), end (int): End exclusive, in whatever units.
    label (str): Its label.
    quote (str | None): The text that it says it covers, if it says so.
    fault (str): Why it cannot be used, if it was seen before its offsets were looked at.
    """

    start: int
    end: int
    label: str
    quote: str | None = None
    fault: str = ""

    def fits(self, text: str) -> bool:
        """Whether its quote is what stands at its offsets, blanks aside; a mark without a quote always fits."""
        if self.quote is None:
            return True
        return 0 <= self.start < self.end and text[self.start : self.end].split() == self.quote.split()


def in_codepoints(text: str, marks: Sequence[Mark], offsets: Offsets, usual: Unit) -> list[Mark] | None:
    """Marks with their offsets in code points; one inside a character gets a fault.

    text (str): What they are in.
    marks (Sequence[Mark]): Those of one record: they are taken to be counted in one way.
    offsets (Offsets): How they are counted, or "auto" to see which way more of their quotes fit.
    usual (Unit): What is right where several fit; then what comes first: code points, UTF-16, graphemes.
    RETURNS (list[Mark] | None): None where "auto" cannot tell.
    """
    if offsets != "auto":
        return _converted(text, marks, offsets)
    if all(mark.quote is None for mark in marks):
        first = _ASTRAL.search(text)
        return list(marks) if first is None or all(mark.end <= first.start() for mark in marks) else None
    return _as_quoted(text, marks, usual)


def utf16_to_codepoints(text: str) -> Callable[[int], int | None]:
    """A function from an offset in UTF-16 units to one in code points; None inside a character.

    An offset beyond the end stays as far beyond it.
    """
    borders: dict[int, int] = {}
    units = 0
    for number, character in enumerate(text):
        borders[units] = number
        units += 1 + (character > "\uffff")
    return lambda offset: len(text) + offset - units if offset >= units else borders.get(offset)


def graphemes_to_codepoints(text: str) -> Callable[[int], int | None]:
    """A function from an offset in grapheme clusters to one in code points. See https://unicode.org/reports/tr29/.

    An offset beyond the end stays as far beyond it.
    """
    import regex  # takes a while, and few need it

    borders = [0, *(match.end() for match in regex.finditer(r"\X", text))]
    count = len(borders) - 1
    return lambda offset: borders[offset] if 0 <= offset <= count else len(text) + offset - count


def _as_quoted(text: str, marks: Sequence[Mark], usual: Unit) -> list[Mark]:
    """The reading in which most quotes are what stands there; the others are not tried once all are."""
    best: list[Mark] = []
    most = -1
    for unit in sorted(_UNITS, key=lambda unit: unit != usual):
        found = _converted(text, marks, unit)
        fits = sum(mark.fits(text) and not mark.fault for mark in found)
        if fits > most:
            best, most = found, fits
        if most == len(marks):
            break
    return best


def _converted(text: str, marks: Sequence[Mark], unit: Unit) -> list[Mark]:
    if unit == "codepoints" or (unit == "utf16" and not _ASTRAL.search(text)):
        return list(marks)
    if unit == "graphemes" and text.isascii() and "\r\n" not in text:
        return list(marks)
    codepoint = (utf16_to_codepoints if unit == "utf16" else graphemes_to_codepoints)(text)
    return [_moved(mark, codepoint) for mark in marks]


def _moved(mark: Mark, codepoint: Callable[[int], int | None]) -> Mark:
    if mark.start < 0 or mark.end < 0:
        return mark
    start, end = codepoint(mark.start), codepoint(mark.end)
    if start is None or end is None:
        return mark._replace(fault=mark.fault or "offset inside a character of two UTF-16 units")
    return mark._replace(start=start, end=end)
