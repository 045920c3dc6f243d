"""In which units a source counts: code points, as Python does, or UTF-16, as browsers do.

They differ after the first character beyond U+FFFF, such as an emoji. Where spans carry their text it tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Unit = Literal["codepoints", "utf16"]
Offsets = Literal["auto", "codepoints", "utf16"]

AMBIGUOUS = (
    "characters beyond U+FFFF, and no text in the spans that would tell how offsets are counted: "
    'set offsets to "codepoints" or "utf16"'
)
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
    usual (Unit): What is right where both fit.
    RETURNS (list[Mark] | None): None where "auto" cannot tell.
    """
    first = _ASTRAL.search(text)
    if first is None or all(mark.end <= first.start() for mark in marks) or offsets == "codepoints":
        return list(marks)
    converted = [_converted(mark, utf16_to_codepoints(text)) for mark in marks]
    if offsets == "utf16":
        return converted
    if all(mark.quote is None for mark in marks):
        return None
    readings: dict[Unit, list[Mark]] = {"codepoints": list(marks), "utf16": converted}
    fits = {unit: sum(mark.fits(text) and not mark.fault for mark in found) for unit, found in readings.items()}
    return readings[max(fits, key=lambda unit: (fits[unit], unit == usual))]


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


def _converted(mark: Mark, codepoint: Callable[[int], int | None]) -> Mark:
    start, end = codepoint(mark.start), codepoint(mark.end)
    if mark.start < 0 or mark.end < 0:
        return mark
    if start is None or end is None:
        return mark._replace(fault=mark.fault or "offset inside a character of two UTF-16 units")
    return mark._replace(start=start, end=end)
