"""The units in which a source counts offsets, and how they become code points.

Python counts code points, browsers UTF-16 units, and some doccano projects grapheme clusters, which people take for
one character. They differ after an emoji: 👍🏽 is one cluster of two code points, and each of these is two UTF-16
units; accents may be code points of their own. Where spans carry their text, it tells the unit.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Unit = Literal["codepoints", "utf16", "graphemes"]
Offsets = Literal["auto", "codepoints", "utf16", "graphemes"]

AMBIGUOUS = (
    "characters beyond U+FFFF, and no text in the spans that tells the unit of their offsets: "
    'set offsets to "codepoints", "utf16" or "graphemes"'
)
_UNITS: tuple[Unit, ...] = ("codepoints", "utf16", "graphemes")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


class Mark(NamedTuple):
    """A span as a source has it.

    start (int), end (int): End exclusive, in any unit.
    quote (str | None): The text that the source says it covers, if it does.
    fault (str): The reason to skip it, if it is known before its offsets are checked.
    place (str): Its place, if it has another than its record.
    """

    start: int
    end: int
    label: str
    quote: str | None = None
    fault: str = ""
    place: str = ""

    def fits(self, text: str) -> bool:
        """Whether its quote, if it has one, is the text at its offsets, whitespace aside."""
        if self.quote is None:
            return True
        return 0 <= self.start < self.end and text[self.start : self.end].split() == self.quote.split()


def in_codepoints(text: str, marks: Sequence[Mark], offsets: Offsets, usual: Unit) -> list[Mark] | None:
    """Convert the offsets of marks to code points. A mark that starts or ends inside a character gets a fault.

    marks (Sequence[Mark]): Those of one record, since all of them are counted in the same unit.
    offsets (Offsets): Their unit; "auto" for the one in which most of their quotes fit.
    usual (Unit): The unit that is preferred where several fit; then code points, UTF-16, graphemes.
    RETURNS (list[Mark] | None): None where "auto" cannot tell.
    """
    if offsets != "auto":
        return _convert(text, marks, offsets)
    if all(mark.quote is None for mark in marks):
        first = _ASTRAL.search(text)  # up to it, UTF-16 units are code points
        return list(marks) if first is None or all(mark.end <= first.start() for mark in marks) else None
    best: list[Mark] = []
    best_fits = -1
    for unit in sorted(_UNITS, key=lambda unit: unit != usual):
        converted = _convert(text, marks, unit)
        fits = sum(mark.fits(text) and not mark.fault for mark in converted)
        if fits > best_fits:
            best, best_fits = converted, fits
        if fits == len(marks):
            break
    return best


def utf16_to_codepoints(text: str) -> Callable[[int], int | None]:
    """Return a function from UTF-16 units to code points: None inside a character, as far beyond the end as before."""
    codepoints: dict[int, int] = {}
    units = 0
    for number, character in enumerate(text):
        codepoints[units] = number
        units += 1 + (character > "\uffff")
    return lambda offset: len(text) + offset - units if offset >= units else codepoints.get(offset)


def graphemes_to_codepoints(text: str) -> Callable[[int], int | None]:
    """Return a function from grapheme clusters (https://unicode.org/reports/tr29/) to code points, as for UTF-16."""
    import regex  # takes a while, and few formats need it

    boundaries = [0, *(match.end() for match in regex.finditer(r"\X", text))]
    count = len(boundaries) - 1
    return lambda offset: boundaries[offset] if 0 <= offset <= count else len(text) + offset - count


def _convert(text: str, marks: Sequence[Mark], unit: Unit) -> list[Mark]:
    if unit == "codepoints" or (unit == "utf16" and not _ASTRAL.search(text)):
        return list(marks)
    if unit == "graphemes" and text.isascii() and "\r\n" not in text:
        return list(marks)
    codepoint = (utf16_to_codepoints if unit == "utf16" else graphemes_to_codepoints)(text)
    return [_convert_mark(mark, codepoint) for mark in marks]


def _convert_mark(mark: Mark, codepoint: Callable[[int], int | None]) -> Mark:
    if mark.start < 0 or mark.end < 0:
        return mark
    start, end = codepoint(mark.start), codepoint(mark.end)
    if start is None or end is None:
        return mark._replace(fault=mark.fault or "offset inside a character of two UTF-16 units")
    return mark._replace(start=start, end=end)
