"""Names that are probably meant to be the same: of labels, and of annotators."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_PREFIX = re.compile(r"[BILUES]-(?=\w)")  # of tags
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\WA-Z_]+")  # of a name such as HOME_TEAM, homeTeam, "home team"
_LONG = 5  # letters of a name in which one may be a typing error
_SYNONYMS = (
    {"per", "pers", "person", "people"},
    {"loc", "location"},
    {"org", "organization", "organisation"},
    {"misc", "miscellaneous"},
)


def same_names(name: str, others: Iterable[str]) -> list[str]:
    """Return the names that are equal but for case, punctuation, whitespace, accents, a plural, or the prefix of a tag;
    sorted.
    """
    folded = _folded(name)
    return sorted(other for other in others if other != name and _folded(other) == folded)


def synonyms(name: str, others: Iterable[str]) -> list[str]:
    """Return the names that usually mean the same, as PER and PERSON; sorted."""
    own = next((group for group in map(_folded_all, _SYNONYMS) if _folded(name) in group), set())
    return sorted(other for other in others if other != name and _folded(other) in own)


def misspelled(name: str, others: Iterable[str]) -> list[str]:
    """Return the names that differ in one letter, or two that are swapped; sorted. Numbers differ on purpose, and so do
    words of one letter, as in LEVEL_A.
    """
    return sorted(other for other in others if other != name and _is_typing_error(name, other))


def _folded_all(names: Iterable[str]) -> set[str]:
    return {*map(_folded, names)}


def _folded(name: str) -> str:
    name = _PREFIX.sub("", name.strip(), count=1)
    decomposed = unicodedata.normalize("NFKD", name)
    letters = "".join(char for char in decomposed if char.isalnum()).casefold()
    if len(letters) > 3 and letters.endswith("ies"):
        return f"{letters[:-3]}y"
    is_plural = len(letters) > 3 and letters.endswith("s") and not letters.endswith("ss")
    return letters[:-1] if is_plural else letters


def _is_typing_error(name: str, other: str) -> bool:
    first, second = sorted((_folded(name), _folded(other)), key=len)
    if len(first) < _LONG or not _is_one_edit(first, second):
        return False
    digits = [[char for char in letters if char.isdigit()] for letters in (first, second)]
    single = [[word for word in _WORDS.findall(one) if len(word) == 1] for one in (name, other)]
    return digits[0] == digits[1] and single[0] == single[1]


def _is_one_edit(first: str, second: str) -> bool:
    """Whether a letter more, another letter, or two swapped ones make a word of another that is not longer."""
    at = next((place for place, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), len(first))
    if len(second) == len(first) + 1:
        return first[at:] == second[at + 1 :]
    swapped = first[at + 1 : at + 2] + first[at : at + 1] + first[at + 2 :]
    return len(first) == len(second) and second[at:] in (second[at : at + 1] + first[at + 1 :], swapped)
