"""Texts as tokens, cut at the boundaries of spans."""

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

_MAX_STRINGS = 1_000_000


class Token(NamedTuple):
    """[start, end) in code points; space: whether a space follows that is not part of a token."""

    start: int
    end: int
    space: bool


class Tokens:
    """Tokenizes texts as the [nlp] block of a training config says."""

    def __init__(self, nlp: dict[str, Any]) -> None:
        self._block = msgspec.json.encode(nlp)
        self._generation = 0

    @property
    def nlp(self) -> Language:
        """The pipeline. It is replaced now and then: a vocabulary grows with every text and never shrinks."""
        nlp = pipeline(self._block, self._generation)
        if len(nlp.vocab.strings) > _MAX_STRINGS:
            self._generation += 1
            nlp = pipeline(self._block, self._generation)
        return nlp

    def of(self, text: str) -> list[Token]:
        """Return the tokens of a text, those of whitespace included."""
        doc = self.nlp.tokenizer(text)
        return [Token(token.idx, token.idx + len(token), bool(token.whitespace_)) for token in doc]


def cut(tokens: list[Token], spans: Iterable[Span]) -> list[Token]:
    """Cut tokens at the boundaries of spans. If no boundary is inside a token, `tokens` itself is returned."""
    boundaries: dict[int, list[int]] = defaultdict(list)  # inside a token, by its number
    for boundary in sorted({boundary for span in spans for boundary in (span.start, span.end)}):
        number = bisect_right(tokens, boundary, key=attrgetter("start")) - 1
        if number >= 0 and tokens[number].start < boundary < tokens[number].end:
            boundaries[number].append(boundary)
    pieces = []
    done = 0
    for number, inside in boundaries.items():
        token = tokens[number]
        edges = [token.start, *inside, token.end]
        pieces += tokens[done:number]
        pieces += [Token(start, end, token.space and end == token.end) for start, end in pairwise(edges)]
        done = number + 1
    return pieces + tokens[done:] if boundaries else tokens
