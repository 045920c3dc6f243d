"""How far annotators who answered about the same texts agree."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from operator import itemgetter

import msgspec

Ranges = frozenset[tuple[int, int]]  # [start, end) of the spans of a label

_WORD = re.compile(r"\w+|[^\w\s]")


class Pair(msgspec.Struct):
    """Two annotators, and the spans of a label that both marked, or one of them; f is the harmonic mean of how many
    of each one's spans the other has too, None where there is none.
    """

    annotators: tuple[str, str]
    texts: int
    both: int
    first: int
    second: int
    f: float | None


class Agreement(msgspec.Struct):
    """How far annotators agree on a label.

    texts (int): That several of them answered for.
    f (float | None): Of exact spans, over all pairs of annotators. None: nobody marked any.
    alpha (float | None): Krippendorff's, over words that are in a span of the label or not. 1 is agreement, 0 chance.
    pairs (list[Pair]): By annotators.
    """

    texts: int
    f: float | None
    alpha: float | None
    pairs: list[Pair]


@dataclass
class Tally:
    """Counts of a label; those of parts add up.

    pairs (dict): By two annotators: texts, spans of both, of the first alone, of the second alone.
    coincidences (list): Of words, by pairs of answers about one: outside and outside, outside and inside, inside and
        inside.
    """

    texts: int = 0
    pairs: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    coincidences: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def count(self, answers: Mapping[str, Ranges], words: Sequence[tuple[int, int]]) -> None:
        """Count a text with several answers."""
        self.texts += 1
        for one, other in combinations(sorted(answers), 2):
            both = len(answers[one] & answers[other])
            self._add((one, other), (1, both, len(answers[one]) - both, len(answers[other]) - both))
        marked = [_marked(ranges, words) for ranges in answers.values() if ranges]
        touched = set().union(*marked)
        raters = len(answers)
        self.coincidences[0] += raters * (len(words) - len(touched))
        for word in touched:
            inside = sum(word in each for each in marked)
            self._coincide(raters - inside, inside)

    def _coincide(self, outside: int, inside: int) -> None:
        others = outside + inside - 1
        self.coincidences[0] += outside * (outside - 1) / others
        self.coincidences[1] += outside * inside / others
        self.coincidences[2] += inside * (inside - 1) / others

    def _add(self, pair: tuple[str, str], counts: Iterable[int]) -> None:
        before = self.pairs.get(pair, [0, 0, 0, 0])
        self.pairs[pair] = [old + new for old, new in zip(before, counts, strict=True)]

    def add(self, other: Tally) -> None:
        """Add the counts of another part."""
        self.texts += other.texts
        for pair, counts in other.pairs.items():
            self._add(pair, counts)
        self.coincidences = [a + b for a, b in zip(self.coincidences, other.coincidences, strict=True)]

    def agreement(self) -> Agreement:
        """What it comes to."""
        pairs = [
            Pair(pair, texts, both, first, second, _f(both, first, second))
            for pair, (texts, both, first, second) in sorted(self.pairs.items())
        ]
        outside, mixed, inside = self.coincidences
        both, first, second = (sum(getattr(pair, name) for pair in pairs) for name in ("both", "first", "second"))
        return Agreement(self.texts, _f(both, first, second), alpha([[outside, mixed], [mixed, inside]]), pairs)


def words_of(text: str) -> list[tuple[int, int]]:
    """Where words and signs are."""
    return [match.span() for match in _WORD.finditer(text)]


def _marked(ranges: Ranges, words: Sequence[tuple[int, int]]) -> set[int]:
    """The numbers of the words that ranges touch."""
    touched: set[int] = set()
    for start, end in ranges:
        first = bisect_right(words, start, key=itemgetter(1))
        touched.update(range(first, bisect_left(words, end, lo=first, key=itemgetter(0))))
    return touched


def _f(both: int, first: int, second: int) -> float | None:
    whole = 2 * both + first + second
    return round(2 * both / whole, 4) if whole else None


def alpha(coincidences: Sequence[Sequence[float]]) -> float | None:
    """Krippendorff's alpha of nominal data; None if there is but one value.

    coincidences (Sequence): Values × values: pairs of answers about one unit, each divided by how many answers it has,
        less one. https://repository.upenn.edu/handle/20.500.14332/2089 (2011), section C.
    """
    totals = [sum(row) for row in coincidences]
    number = sum(totals)
    observed = number - sum(row[place] for place, row in enumerate(coincidences))
    expected = number * number - sum(total * total for total in totals)
    if not expected:
        return None
    return round(1 - (number - 1) * observed / expected, 4)
