"""Agreement between annotators of the same texts: F of exact spans and Krippendorff's alpha of words."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from operator import itemgetter

import msgspec

from scripts.core.files import Count
from scripts.core.words import is_unspaced

Ranges = frozenset[tuple[int, int]]  # [start, end) of the spans of a label

_WORD = re.compile(r"\w+|[^\w\s]")  # divided further where a script puts no space between words


class PairAgreement(msgspec.Struct):
    """Two annotators: spans of a label that both marked, or one alone. f: of exact spans; None if there are none."""

    annotators: tuple[str, str]
    texts: Count
    both: Count
    first: Count
    second: Count
    f: float | None


class Agreement(msgspec.Struct):
    """Agreement on a label."""

    texts: Count  # with several annotators
    f: float | None  # of exact spans, over all pairs of annotators; None if nobody marked any
    alpha: float | None  # Krippendorff's, over words inside or outside of a span. 1 is agreement, 0 chance
    pairs: list[PairAgreement]  # by annotators


@dataclass
class AgreementCounts:
    """Counts of a label; those of different texts add up."""

    texts: int = 0  # with several annotators
    # By two annotators: texts, and spans of both, of the first alone, of the second alone
    pairs: defaultdict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    # Of words, by pairs of answers about one: both outside, one inside, both inside
    coincidences: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    def count(self, answers: Mapping[str, Ranges], words: Sequence[tuple[int, int]]) -> None:
        """Count a text with several answers, by annotator."""
        self.texts += 1
        for pair in combinations(sorted(answers), 2):
            first, second = (answers[name] for name in pair)
            both, alone = len(first & second), (len(first - second), len(second - first))
            self.pairs[pair].update(texts=1, both=both, first=alone[0], second=alone[1])
        marked = [_touched_words(ranges, words) for ranges in answers.values() if ranges]
        touched = set().union(*marked)
        self.coincidences[0] += len(answers) * (len(words) - len(touched))
        for word in touched:
            inside = sum(word in words_of_one for words_of_one in marked)
            outside, others = len(answers) - inside, len(answers) - 1
            pairs = (outside * (outside - 1), outside * inside, inside * (inside - 1))
            self.coincidences = [sums + number / others for sums, number in zip(self.coincidences, pairs, strict=True)]

    def add(self, other: AgreementCounts) -> None:
        """Add the counts of other texts."""
        self.texts += other.texts
        for pair, counts in other.pairs.items():
            self.pairs[pair].update(counts)
        self.coincidences = [a + b for a, b in zip(self.coincidences, other.coincidences, strict=True)]

    def agreement(self) -> Agreement:
        """Compute F and alpha of the counts."""
        pairs = [PairAgreement(pair, **counts, f=_f(counts)) for pair, counts in sorted(self.pairs.items())]
        outside, mixed, inside = self.coincidences
        whole = sum(self.pairs.values(), Counter[str]())
        return Agreement(self.texts, _f(whole), alpha([[outside, mixed], [mixed, inside]]), pairs)


def find_words(text: str) -> list[tuple[int, int]]:
    """Start and end of each word and sign."""
    words = [match.span() for match in _WORD.finditer(text)]
    if text.isascii() or not any(map(is_unspaced, text)):
        return words
    return [piece for start, end in words for piece in _pieces(text, start, end)]


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Divide a word into letters of unspaced scripts, and what stands between them."""
    for key, group in groupby(range(start, end), lambda at: at if is_unspaced(text[at]) else -1):
        piece = [key] if key >= 0 else list(group)
        yield piece[0], piece[-1] + 1


def _touched_words(ranges: Ranges, words: Sequence[tuple[int, int]]) -> set[int]:
    """The numbers of the words that ranges overlap."""
    touched: set[int] = set()
    for start, end in ranges:
        first = bisect_right(words, start, key=itemgetter(1))
        touched.update(range(first, bisect_left(words, end, lo=first, key=itemgetter(0))))
    return touched


def _f(counts: Counter[str]) -> float | None:
    marked = 2 * counts["both"] + counts["first"] + counts["second"]
    return round(2 * counts["both"] / marked, 4) if marked else None


def alpha(coincidences: Sequence[Sequence[float]]) -> float | None:
    """Krippendorff's alpha of nominal data; None if there is only one value.

    coincidences (Sequence): Values × values: pairs of answers about one unit, each divided by the number of its answers
        less one. https://repository.upenn.edu/handle/20.500.14332/2089 (2011), section C.
    """
    totals = [sum(row) for row in coincidences]
    whole = sum(totals)
    observed = whole - sum(row[value] for value, row in enumerate(coincidences))
    expected = whole * whole - sum(total * total for total in totals)
    if not expected:
        return None
    return round(1 - (whole - 1) * observed / expected, 4)
