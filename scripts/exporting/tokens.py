"""Texts as tokens, cut so that every span is made of whole ones."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from spacy.language import Language

from scripts.building.shards import pipeline
from scripts.core.answers import Span

_start = attrgetter("start")
_MOST_STRINGS = 1_000_000  # a vocabulary grows with all it reads and never shrinks: then it is made anew


class Token(NamedTuple):
    """[start, end) in code points, and whether a blank follows that is no part of a token."""

    start: int
    end: int
    blank: bool


class Tokens:
    """Tokenizes texts.

    nlp (dict[str, Any]): The [nlp] block of a training config.
    """

    def __init__(self, nlp: dict[str, Any]) -> None:
        self._block = msgspec.json.encode(nlp)
        self._generation = 0

    @property
    def nlp(self) -> Language:
        """The pipeline, which is another one once it has seen too much."""
        found = pipeline(self._block, self._generation)
        if len(found.vocab.strings) > _MOST_STRINGS:
            self._generation += 1
            found = pipeline(self._block, self._generation)
        return found

    def of(self, text: str) -> list[Token]:
        """The tokens of a text, those of blanks too."""
        doc = self.nlp.tokenizer(text)
        return [Token(token.idx, token.idx + len(token), bool(token.whitespace_)) for token in doc]


def cut(tokens: list[Token], spans: Iterable[Span]) -> list[Token]:
    """Cut the tokens inside which a span begins or ends. Where there are none, these tokens are returned."""
    inside: dict[int, list[int]] = defaultdict(list)  # by number of a token
    for border in sorted({border for span in spans for border in (span.start, span.end)}):
        number = bisect_right(tokens, border, key=_start) - 1
        if number >= 0 and tokens[number].start < border < tokens[number].end:
            inside[number].append(border)
    pieces = []
    done = 0
    for number, borders in inside.items():
        token = tokens[number]
        edges = [token.start, *borders, token.end]
        pieces += tokens[done:number]
        pieces += [Token(start, end, token.blank and end == token.end) for start, end in pairwise(edges)]
        done = number + 1
    return pieces + tokens[done:] if inside else tokens
