"""Texts as tokens, cut so that every span is made of whole ones."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from spacy.language import Language

from scripts.annotations.records import Span
from scripts.model.shards import pipeline

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
    """Cut the tokens inside which a span begins or ends."""
    borders = sorted({border for span in spans for border in (span.start, span.end)})
    pieces = []
    for token in tokens:
        inside = borders[bisect_right(borders, token.start) : bisect_left(borders, token.end)]
        edges = [token.start, *inside, token.end]
        pieces += [Token(start, end, token.blank and end == token.end) for start, end in pairwise(edges)]
    return pieces
