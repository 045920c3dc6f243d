"""Whether datasets, annotators or periods annotate a label more or less often than others.

Spans per text are counts that vary more, or less, than Poisson's, so their dispersion is estimated from the texts
themselves: the score test of a quasi-Poisson model of spans by characters (McCullagh and Nelder 1989, Generalized
Linear Models, chapter 6), with the dispersion of long texts, which weigh most, weighing most. That texts differ is no
error of anybody: where groups had other texts, look at these first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import msgspec

By = Literal["dataset", "annotator", "period"]
LEVEL = 0.05  # all differences of a report together are due to chance at most so often
_FEWEST_TEXTS, _FEWEST_SPANS = 10, 5  # of a group that is tested; spans are those expected of it
_MOST_MONTHS = 12


class Rate(msgspec.Struct):
    """One group: its texts, their characters, the spans of the label in them, and how many that is in 1,000 characters.

    is_tested (bool): Whether it has enough of both to be compared.
    """

    name: str
    texts: int
    characters: int
    spans: int
    rate: float
    is_tested: bool


class Groups(msgspec.Struct):
    """How often groups annotate a label.

    chance (float | None): How probable differences as large are by chance alone, corrected for all labels and ways
        of grouping there are (Holm 1979); None where fewer than two groups have enough texts.
    differs (bool): Whether that is less than `LEVEL`.
    farthest (str): The group that is furthest from the rest, if they differ.
    """

    label: str
    by: By
    rates: list[Rate]
    chance: float | None
    differs: bool = False
    farthest: str = ""


@dataclass
class Sums:
    """Of the texts of a group: how many, spans, characters, and the sums of their squares and products."""

    texts: int = 0
    spans: int = 0
    characters: int = 0
    spans_2: int = 0
    characters_2: int = 0
    product: int = 0

    def count(self, spans: int, characters: int) -> None:
        """Count a text."""
        self.texts += 1
        self.spans += spans
        self.characters += characters
        self.spans_2 += spans * spans
        self.characters_2 += characters * characters
        self.product += spans * characters

    def add(self, other: Sums) -> None:
        """Add those of other texts."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def residual(self) -> float:
        """The sum of squares of what the texts have more, or less, spans than the group's rate makes expect."""
        rate = self.spans / self.characters
        return self.spans_2 - 2 * rate * self.product + rate * rate * self.characters_2


WAYS: tuple[By, ...] = get_args(By)
Counted = Mapping[tuple[str, tuple[str, ...]], Sums]  # by label, and names of a dataset, an annotator and a month


def groups(counted: Counted) -> list[Groups]:
    """Compare the groups of each label, where there are several. Those without a name are left out."""
    by_label: dict[tuple[str, By], dict[str, Sums]] = {}
    for (label, names), sums in sorted(counted.items()):
        for by, name in zip(WAYS, names, strict=True):
            if name:
                by_label.setdefault((label, by), {}).setdefault(name, Sums()).add(sums)
    found = [
        _groups(label, by, _periods(sums) if by == "period" else dict(sorted(sums.items())))
        for (label, by), sums in sorted(by_label.items())
    ]
    several = [each for each in found if len(each.rates) > 1]
    _correct(several)
    return several


def _groups(label: str, by: By, sums: Mapping[str, Sums]) -> Groups:
    tested = _tested(sums)
    rates = [
        Rate(name, one.texts, one.characters, one.spans, round(1000 * one.spans / one.characters, 4), name in tested)
        for name, one in sums.items()
    ]
    if len(tested) < 2:
        return Groups(label, by, rates, None)
    residuals, dispersion = _residuals(tested)
    statistic = sum(one * one for one in residuals.values()) / dispersion if dispersion else 0.0
    farthest = max(sorted(residuals), key=lambda name: abs(residuals[name]))
    return Groups(label, by, rates, chi_square_tail(statistic, len(tested) - 1), farthest=farthest)


def _tested(sums: Mapping[str, Sums]) -> dict[str, Sums]:
    whole = _sum(sums.values())
    rate = whole.spans / whole.characters
    return {
        name: one for name, one in sums.items() if one.texts >= _FEWEST_TEXTS and rate * one.characters >= _FEWEST_SPANS
    }


def _residuals(sums: Mapping[str, Sums]) -> tuple[dict[str, float], float]:
    """Of each group (spans - expected) / √expected; and how much more the texts vary than Poisson's would."""
    whole = _sum(sums.values())
    rate = whole.spans / whole.characters
    dispersion = sum(one.residual for one in sums.values()) / whole.spans * whole.texts / (whole.texts - len(sums))
    return {
        name: (one.spans - rate * one.characters) / math.sqrt(rate * one.characters) for name, one in sums.items()
    }, dispersion


def _sum(parts: Iterable[Sums]) -> Sums:
    whole = Sums()
    for part in parts:
        whole.add(part)
    return whole


def _periods(months: Mapping[str, Sums]) -> Mapping[str, Sums]:
    """By quarter if there are many months."""
    if len(months) <= _MOST_MONTHS:
        return dict(sorted(months.items()))
    quarters: dict[str, Sums] = {}
    for month, sums in sorted(months.items()):
        year, number = month.split("-")
        quarters.setdefault(f"{year}-Q{(int(number) + 2) // 3}", Sums()).add(sums)
    return quarters


def _correct(found: list[Groups]) -> None:
    """Holm's correction: https://en.wikipedia.org/wiki/Holm%E2%80%93Bonferroni_method"""
    tested = sorted((each for each in found if each.chance is not None), key=lambda each: (each.chance, each.label))
    highest = 0.0
    for place, each in enumerate(tested):
        assert each.chance is not None
        highest = max(highest, min(1.0, each.chance * (len(tested) - place)))
        each.chance = float(f"{highest:.4g}")
        each.differs = highest < LEVEL
        each.farthest = each.farthest if each.differs else ""


def chi_square_tail(value: float, freedom: int) -> float:
    """The chance that a chi-square variable is at least so large (Abramowitz and Stegun 1964, 26.4.4 and 26.4.5)."""
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
