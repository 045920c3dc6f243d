"""How annotators agree on the same texts, and how often datasets, annotators and periods annotate a label.

Agreement is F of exact spans and Krippendorff's alpha of words. Rates are compared between groups: counts of spans vary
more, or less, than Poisson's, so their dispersion is estimated from the texts themselves: the score test of a
quasi-Poisson model of spans by characters (McCullagh and Nelder 1989, Generalized Linear Models, chapter 6), where long
texts weigh most. A difference is not always an error: groups may have different texts.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby
from operator import add, itemgetter
from typing import Literal, get_args

import msgspec

from scripts.core.files import Count
from scripts.core.texts import is_unspaced

# ---- Agreement

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


# ---- Rates

Grouping = Literal["dataset", "annotator", "period"]

LEVEL = 0.05  # the probability that any of a report's differences is due to chance
_FEWEST_TEXTS, _FEWEST_SPANS = 10, 5  # of a group that is compared; spans are those expected of it
_MOST_MONTHS = 12


class GroupRate(msgspec.Struct):
    """A group: its texts, their characters, spans of the label in them, and spans in 1,000 characters."""

    name: str
    texts: Count
    characters: Count
    spans: Count
    rate: float
    is_tested: bool  # whether it has enough of both to be compared


class GroupComparison(msgspec.Struct):
    """The rates at which groups annotate a label."""

    label: str
    by: Grouping
    rates: list[GroupRate]
    # Corrected for all comparisons of the report (Holm 1979); None where fewer than two groups have enough texts.
    p_value: float | None
    differs: bool = False  # whether it is below `LEVEL`
    farthest: str = ""  # the group that differs most from the others, if they differ


@dataclass
class RateSums:
    """Sums over the texts of a group: texts, spans, characters, and their squares and products."""

    texts: int = 0
    spans: int = 0
    characters: int = 0
    spans_2: int = 0
    characters_2: int = 0
    product: int = 0

    def __add__(self, other: RateSums) -> RateSums:
        return RateSums(*map(add, vars(self).values(), vars(other).values()))

    @property
    def rate(self) -> float:
        """Spans a character."""
        return self.spans / self.characters

    @property
    def residual(self) -> float:
        """The sum of squared differences between the spans of each text and those its length makes expect."""
        rate = self.rate
        return self.spans_2 - 2 * rate * self.product + rate * rate * self.characters_2


GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
Names = tuple[str, str, str]  # of a dataset, an annotator and a month


def compare_groups(counted: Mapping[tuple[str, Names], RateSums]) -> list[GroupComparison]:
    """Compare the groups of each label and grouping where there are several. Groups without a name do not count.

    counted (Mapping): By label and names.
    """
    groups: dict[tuple[str, Grouping], dict[str, RateSums]] = defaultdict(lambda: defaultdict(RateSums))
    for (label, names), sums in sorted(counted.items()):
        for by, name in zip(GROUPINGS, names, strict=True):
            if name:
                groups[label, by][name] += sums
    found = [
        _compare(label, by, _quarters(sums) if by == "period" and len(sums) > _MOST_MONTHS else sums)
        for (label, by), sums in sorted(groups.items())
        if len(sums) > 1
    ]
    _correct(found)
    return found


def differing(comparisons: Iterable[GroupComparison]) -> list[GroupComparison]:
    """Those whose groups differ, the least probable by chance first."""
    found = [comparison for comparison in comparisons if comparison.differs]
    return sorted(found, key=lambda comparison: (comparison.p_value, comparison.label, comparison.by))


def _compare(label: str, by: Grouping, sums: Mapping[str, RateSums]) -> GroupComparison:
    sums = dict(sorted(sums.items()))
    rate = sum(sums.values(), RateSums()).rate
    tested = {
        name: one for name, one in sums.items() if one.texts >= _FEWEST_TEXTS and rate * one.characters >= _FEWEST_SPANS
    }
    rates = [
        GroupRate(
            name, one.texts, one.characters, one.spans, round(1000 * one.spans / one.characters, 4), name in tested
        )
        for name, one in sums.items()
    ]
    if len(tested) < 2:
        return GroupComparison(label, by, rates, None)
    whole = sum(tested.values(), RateSums())
    residuals = {
        name: (one.spans - whole.rate * one.characters) / math.sqrt(whole.rate * one.characters)
        for name, one in tested.items()
    }
    # How much more the spans of a text vary than Poisson's would.
    dispersion = sum(one.residual for one in tested.values()) / whole.spans * whole.texts / (whole.texts - len(tested))
    statistic = sum(one * one for one in residuals.values()) / dispersion if dispersion else 0.0
    farthest = max(sorted(residuals), key=lambda name: abs(residuals[name]))
    return GroupComparison(label, by, rates, chi_square_tail(statistic, len(tested) - 1), farthest=farthest)


def _quarters(months: Mapping[str, RateSums]) -> Mapping[str, RateSums]:
    quarters: dict[str, RateSums] = defaultdict(RateSums)
    for month, sums in months.items():
        year, number = month.split("-")
        quarters[f"{year}-Q{(int(number) + 2) // 3}"] += sums
    return quarters


def _correct(found: list[GroupComparison]) -> None:
    """Holm's correction: https://en.wikipedia.org/wiki/Holm%E2%80%93Bonferroni_method"""
    tested = [(one.p_value, one.label, one) for one in found if one.p_value is not None]
    tested.sort(key=itemgetter(0, 1))
    highest = 0.0
    for rank, (p_value, _, comparison) in enumerate(tested):
        highest = max(highest, min(1.0, p_value * (len(tested) - rank)))
        comparison.p_value = float(f"{highest:.4g}")
        comparison.differs = highest < LEVEL
        comparison.farthest = comparison.farthest if comparison.differs else ""


def chi_square_tail(value: float, freedom: int) -> float:
    """The p-value of a chi-square statistic (Abramowitz and Stegun 1964, 26.4.4 and 26.4.5)."""
    half = value / 2
    if freedom % 2:
        term, total = math.sqrt(2 * value / math.pi) * math.exp(-half), math.erfc(math.sqrt(half))
        for number in range(1, freedom, 2):
            total += term
            term *= value / (number + 2)
        return min(1.0, total)
    term = total = math.exp(-half)
    for number in range(1, freedom // 2):
        term *= half / number
        total += term
    return min(1.0, total)
