r"""The units in which a source counts offsets, and how they become code points.

Python counts code points, browsers UTF-16 units, some doccano projects grapheme clusters, which people take for one
character, and some programs bytes of UTF-8. They differ after an emoji: 👍🏽 is one cluster of two code points, each of
these is two UTF-16 units and four bytes. Browsers may count "\r\n" as one (`codepoints_crlf`, `utf16_crlf`).
Quoted texts tell the unit; without them, boundaries inside words do, see `UnitEvidence`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple, get_args

from scripts.core.errors import UserError
from scripts.core.texts import is_inside_word

Unit = Literal["codepoints", "utf16", "codepoints_crlf", "utf16_crlf", "graphemes", "bytes"]
Offsets = Literal["auto", "codepoints", "utf16", "codepoints_crlf", "utf16_crlf", "graphemes", "bytes"]

UNITS: tuple[Unit, ...] = get_args(Unit)
AMBIGUOUS = (
    "emoji, accents or line ends that units count differently, and nothing that tells the unit of the offsets: "
    f"set offsets to {', '.join(UNITS[:-1])} or {UNITS[-1]}"
)
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_CRLF = "\r\n"


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

    def quotes(self, text: str) -> bool:
        """Whether its quote is the text at its offsets, whitespace aside."""
        if self.quote is None or not 0 <= self.start < self.end:
            return False
        covered = text[self.start : self.end].split()
        return covered == self.quote.split() or ("\\" in self.quote and covered == _unescaped(self.quote).split())

    def fits(self, text: str) -> bool:
        """Whether its quote, if it has one, is the text at its offsets, or a part of it that ends inside of words.

        Label Studio with granularity="word" widens spans to whole words, and quotes what the mouse covered.
        """
        return self.quote is None or self.quotes(text) or self._is_widened(text)

    def _is_widened(self, text: str) -> bool:
        words = _unescaped(self.quote or "").split()
        if not words or not 0 <= self.start < self.end <= len(text) or has_boundary_inside_word(text, *self[:2]):
            return False
        covered = text[self.start : self.end].split()
        if len(covered) != len(words):
            return False
        if len(words) == 1:
            return words[0] in covered[0]
        return covered[0].endswith(words[0]) and covered[1:-1] == words[1:-1] and covered[-1].startswith(words[-1])


def _unescaped(quote: str) -> str:
    r"""Return a quote in which Label Studio wrote the ends of lines as a backslash and an n."""
    return re.sub(r"\\[nrt]", " ", quote)


def has_boundary_inside_word(text: str, start: int, end: int) -> bool:
    """Whether a span starts or ends inside a word."""
    return is_inside_word(text, start) or is_inside_word(text, end)


INSIDE_WORD = "span that starts or ends inside a word"
_MIN_SHIFTED = 5
_MAX_CUT = 0.8  # as a share
_MAX_SHIFTED = 0.25  # as a share; in corpora whose offsets are right it is below .002


class Boundaries:
    """Counts spans whose offsets seem to be shifted: a boundary inside a word, and the other one too, or whitespace or
    punctuation beside it. Where people mark stems, or names without their prefix, only one boundary is inside a word.
    Spans that end one character before the end of a word are counted too: their ends are inclusive, if nearly all do.
    """

    def __init__(self) -> None:
        self.spans = 0
        self._shifted = 0
        self._example = ""
        self._cut = 0
        self._cut_example = ""
        self._evidence = UnitEvidence()

    def add(self, text: str, mark: Mark, place: str) -> bool:
        """Count a span, in code points. RETURNS (bool): Whether it starts or ends inside a word."""
        self.spans += 1
        start, end = mark.start, mark.end
        starts, ends = is_inside_word(text, start), is_inside_word(text, end)
        seems_shifted = (starts and (ends or not text[end - 1].isalnum())) or (ends and not text[start].isalnum())
        if seems_shifted and not mark.quotes(text):
            self._shifted += 1
            self._example = self._example or f"{start} to {end} in {place}"
        elif ends and not starts and not is_inside_word(text, end + 1) and not mark.quotes(text):
            self._cut += 1
            self._cut_example = self._cut_example or f"{start} to {end} in {place}"
        return starts or ends

    def add_all(self, text: str, marks: Sequence[Mark], place: str) -> None:
        """Count the spans of a text, and take what they tell of the unit of their offsets, were it another."""
        for mark in marks:
            self.add(text, mark, place)
        self._evidence.add(text, marks)

    def check(self, source: str, spans: int = 0, ends_set: bool = False) -> None:
        """RAISES (UserError): If so many spans seem to be shifted that their offsets must be counted otherwise.

        spans (int): All spans of the source, if not all were counted.
        ends_set (bool): Ends are as they are by a setting.
        """
        spans = spans or self.spans
        if not ends_set and self._cut >= _MIN_SHIFTED and self._cut > _MAX_CUT * spans:
            what = (
                f"{self._cut:,} of {spans:,} spans end one character before the end of a word, as {self._cut_example}"
            )
            fix = "ends must be exclusive; set offsets, to codepoints, to take them as they are"
            raise UserError(f"{source}: {what}: {fix}")
        if self._shifted < _MIN_SHIFTED or self._shifted <= _MAX_SHIFTED * spans:
            return
        unit = self._evidence.units("codepoints")[0]
        what = f"{self._shifted:,} of {spans:,} spans seem to be shifted, as {self._example}"
        fits = "no unit of offsets fits" if unit == "codepoints" else f"they fit if offsets count {unit}"
        raise UserError(f"{source}: {what}; {fits}: set offsets, to codepoints to take them as they are")


def may_be_shifted(inside: int, spans: int) -> bool:
    """Whether `Boundaries.check` might refuse so many spans, of which a number starts or ends inside a word."""
    return inside > min(_MAX_SHIFTED, _MAX_CUT) * spans


# ---- Which unit

_Pattern = tuple[tuple[int, bool], ...]  # of each unit: the same number where the span is the same; whether it fits
_CAUSE_NO_DOUBT: tuple[Unit, ...] = ("bytes",)  # rare: taken only where nothing else fits
_MIN_ALONE = 3  # spans of a document that tell its unit, where the source does not


class UnitEvidence:
    """What the documents of a source tell of the unit of its offsets. Only spans count that are others in other units.

    A quoted span fits if it is its quote; any other if it is in the text, and starts and ends between words.
    """

    def __init__(self) -> None:
        self._quoted: Counter[_Pattern] = Counter()
        self._unquoted: Counter[_Pattern] = Counter()

    def add(self, text: str, marks: Sequence[Mark]) -> None:
        """Take the evidence of a document; most have no character that is counted differently."""
        if not marks or (text.isascii() and _CRLF not in text):
            return
        # Most of the others have letters beyond ASCII alone, which only bytes count differently.
        if not any(differs(text, unit) for unit in UNITS if unit != "bytes") and all(_fits(text, m) for m in marks):
            return
        sound = [mark for mark in marks if not mark.fault]
        for readings in zip(*(convert(text, sound, unit) for unit in UNITS), strict=True):
            groups: dict[Mark, int] = {}
            numbers = [groups.setdefault(mark, len(groups)) for mark in readings]
            if len(groups) > 1:
                pattern = tuple((number, _fits(text, mark)) for number, mark in zip(numbers, readings, strict=True))
                (self._unquoted if readings[0].quote is None else self._quoted)[pattern] += 1

    @property
    def spans(self) -> int:
        """Number of spans that tell something."""
        return self._quoted.total() + self._unquoted.total()

    def update(self, other: UnitEvidence) -> None:
        """Add the evidence of other documents."""
        self._quoted.update(other._quoted)
        self._unquoted.update(other._unquoted)

    def units(self, usual: Unit) -> tuple[Unit, ...]:
        """Return the most likely unit, and after it those that may be as well.

        It is the one in which most quotes fit; without quotes, one in which nearly all spans fit; else what is usual.
        """
        if self._quoted:
            best = max(_ordered(usual), key=lambda unit: _fitting(self._quoted, unit))
            return (best,) if 2 * _fitting(self._quoted, best) > self._quoted.total() else tuple(_ordered(usual))
        best = max(_ordered(usual), key=lambda unit: _fitting(self._unquoted, unit))
        others = [unit for unit in UNITS if unit != best and unit not in _CAUSE_NO_DOUBT]
        if _fitting(self._unquoted, best) >= 0.9 * self._unquoted.total():
            return (best, *(unit for unit in others if not self._is_worse(unit, best)))
        if best != usual and self._is_worse(usual, best):
            return tuple(_ordered(usual))  # neither fits
        return (usual, *(unit for unit in others if unit != usual and not self._is_worse(unit, usual)))

    def _is_worse(self, unit: Unit, best: Unit) -> bool:
        """Whether clearly fewer of the spans that are others in both fit in it than in the best unit, or none is."""
        number, best_number = UNITS.index(unit), UNITS.index(best)
        others = [(p, n) for p, n in self._unquoted.items() if p[number][0] != p[best_number][0]]
        more = sum((pattern[best_number][1] - pattern[number][1]) * count for pattern, count in others)
        return not others or more > sum(count for _, count in others) / 3

    def tells_alone(self, usual: Unit) -> Unit | None:
        """Return the unit in which all spans of a single document fit, if they are several and fit in no other."""
        if self._unquoted.total() < _MIN_ALONE:
            return None
        best, *others = self.units(usual)
        return best if not others and _fitting(self._unquoted, best) == self._unquoted.total() else None


def _ordered(first: Unit, *others: Unit) -> list[Unit]:
    return list(dict.fromkeys((first, *others, *UNITS)))


def _fitting(patterns: Counter[_Pattern], unit: Unit) -> int:
    number = UNITS.index(unit)
    return sum(count for pattern, count in patterns.items() if pattern[number][1])


def _fits(text: str, mark: Mark) -> bool:
    if mark.quote is not None:
        return not mark.fault and mark.quotes(text)
    is_inside = not mark.fault and 0 <= mark.start < mark.end <= len(text)
    if not is_inside or text[mark.start : mark.end].isspace():
        return False
    return not has_boundary_inside_word(text, mark.start, mark.end)


def unit_of(text: str, marks: Sequence[Mark], units: Sequence[Unit] = UNITS) -> Unit | None:
    """Return the unit of the offsets of one document: that in which most of its quotes fit.

    marks (Sequence[Mark]): All of them are counted in the same unit.
    units (Sequence[Unit]): As `UnitEvidence.units` gives them: without quotes the first, unless the spans are others
        in one of the rest.
    RETURNS (Unit | None): None where it cannot be told.
    """
    if all(mark.quote is None for mark in marks):
        if all(_is_same(text, marks, units[0], other) for other in units[1:]):
            return units[0]
        alone = UnitEvidence()
        alone.add(text, marks)
        return alone.tells_alone(units[0])
    best: Unit = units[0]
    best_fits = (-1, -1)
    for unit in _ordered(*units):
        converted = convert(text, marks, unit)
        exact = sum(mark.quotes(text) and not mark.fault for mark in converted)
        fits = (exact, sum(mark.fits(text) and not mark.fault for mark in converted))
        if fits > best_fits:
            best, best_fits = unit, fits
        if exact == len(marks):
            break
    return best


def counted_otherwise(unit: str) -> str:
    """Return the note about a document whose offsets are not in the unit that is usual."""
    return f"text whose offsets count {unit}, as its spans tell"


def _is_same(text: str, marks: Sequence[Mark], unit: Unit, other: Unit) -> bool:
    """Whether spans are the same in two units. Accents alone raise no doubt that grapheme clusters are counted."""
    if not differs(text, unit) and not differs(text, other):
        return True
    if "graphemes" in (unit, other) and not _ASTRAL.search(text) and _CRLF not in text:
        return True
    return convert(text, marks, unit) == convert(text, marks, other)


# ---- Conversion


def differs(text: str, unit: Unit) -> bool:
    """Whether a text has characters that a unit does not count as code points do."""
    if unit == "codepoints":
        return False
    if unit == "bytes":
        return not text.isascii()
    if unit in ("utf16", "utf16_crlf") and not text.isascii() and _ASTRAL.search(text):
        return True
    if unit == "graphemes" and not text.isascii() and _joined_characters()(text):
        return True
    return unit != "utf16" and _CRLF in text


def convert(text: str, marks: Sequence[Mark], unit: Unit) -> list[Mark]:
    """Convert the offsets of marks to code points. A mark that starts or ends inside a character gets a fault."""
    if not differs(text, unit):
        return list(marks)
    codepoint = to_codepoints(text, unit)
    return [_convert_mark(mark, codepoint) for mark in marks]


def to_codepoints(text: str, unit: Unit) -> Callable[[int], int | None]:
    """Return a function from a unit to code points: None inside a character, as far beyond the end as before."""
    codepoints: dict[int, int] = {}
    position = 0
    for number, width in enumerate(_widths(text, unit)):
        codepoints[position] = number
        position += width
    codepoints[position] = len(text)
    return lambda offset: codepoints.get(offset) if offset <= position else len(text) + offset - position


def _widths(text: str, unit: Unit) -> Iterator[int]:
    """Yield how much a unit counts for each code point; what belongs to the character before it counts nothing."""
    if unit == "graphemes":
        import regex  # takes a while, and few formats need it

        for match in regex.finditer(r"\X", text):  # https://unicode.org/reports/tr29/
            yield 1
            yield from (0 for _ in range(match.end() - match.start() - 1))
        return
    before = ""
    for character in text:
        if unit == "bytes":
            yield 1 + (character > "\x7f") + (character > "\u07ff") + (character > "\uffff")
        elif unit.endswith("_crlf") and before == "\r" and character == "\n":
            yield 0
        else:
            yield 1 + (unit != "codepoints_crlf" and character > "\uffff")
        before = character


@cache
def _joined_characters() -> Callable[[str], object]:
    """Return a search for what may be of one grapheme cluster with the character before or after it."""
    import regex

    return regex.compile(
        r"[\p{M}\u0600-\u0605\u06dd\u070f\u08e2\u200c\u200d\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff"
        r"\U000110bd\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
    ).search


def _convert_mark(mark: Mark, codepoint: Callable[[int], int | None]) -> Mark:
    if mark.start < 0 or mark.end < 0:
        return mark
    start, end = codepoint(mark.start), codepoint(mark.end)
    if start is None or end is None:
        return mark._replace(fault=mark.fault or INSIDE_CHARACTER)
    return mark._replace(start=start, end=end)


INSIDE_CHARACTER = "offset inside a character of several units"
