"""Entities as a tag a token: IOB1, IOB2, BILUO (and BIOES), IO; which of them it is, and what breaks its rules.

Only prefixes tell: IOB2 begins every entity with B-, IOB1 only those right after another of the same label, IO none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from scripts.sources.offsets import Mark

Scheme = Literal["iob1", "iob2", "biluo", "io"]
SchemeSetting = Literal["auto", "iob1", "iob2", "biluo", "io"]
SCHEMES = get_args(SchemeSetting)

_PREFIXED = re.compile(r"([BILUESM])-(.+)", re.DOTALL)
_SAME = {"E": "L", "S": "U", "M": "I"}  # as BIOES and BMES call what BILUO calls L, U and I
_OUTSIDE = "O"


class Tagged(NamedTuple):
    """An entity: tokens [start, end), its label, and what is wrong with its tags."""

    start: int
    end: int
    label: str
    fault: str = ""


class Evidence:
    """What tags were seen, to tell their scheme."""

    def __init__(self) -> None:
        self.bare = self.prefixed = self.closed = self.begun = 0
        self.unbegun = 0  # I- where an entity starts: not as in IOB2
        self.needless = 0  # B- not after the same label: not as in IOB1

    def add(self, tags: Sequence[str]) -> None:
        """Look at a sentence."""
        before = ""
        for tag in tags:
            prefix, label = split(tag)
            if label:
                self.bare += not prefix
                self.prefixed += bool(prefix)
                self.closed += prefix in ("L", "U")
                self.begun += prefix == "B"
                self.unbegun += prefix == "I" and label != before
                self.needless += prefix == "B" and label != before
            before = label

    def scheme(self) -> Scheme:
        """The scheme that most of the tags keep to."""
        if self.closed:
            return "biluo"
        if not self.begun:
            return "io"
        return "iob2" if self.needless >= self.unbegun else "iob1"


def split(tag: str) -> tuple[str, str]:
    """Prefix (B, I, L, U or none) and label of a tag; "O" has neither."""
    if tag == _OUTSIDE or not tag:
        return "", ""
    match = _PREFIXED.fullmatch(tag)
    return (_SAME.get(match[1], match[1]), match[2]) if match else ("", tag)


def entities(tags: Iterable[str], scheme: Scheme) -> Iterator[Tagged]:
    """The entities in a sentence. What breaks the rules of its scheme is one with a fault.

    tags (Iterable[str]): A tag a token.
    scheme (Scheme): Which.
    """
    entity: Tagged | None = None
    for number, tag in enumerate([*tags, _OUTSIDE]):
        prefix, label = split(tag)
        if entity and not _goes_on(entity, prefix, label, scheme):
            yield _ended(entity, scheme)
            entity = None
        if not label:
            continue
        if entity:
            entity = entity._replace(end=number + 1)
        else:
            entity = Tagged(number, number + 1, label, _wrong_start(prefix, scheme))
        if prefix in ("L", "U"):
            yield entity
            entity = None


def tagged_text(sentences: Sequence[tuple[Sequence[str], Sequence[str]]], scheme: Scheme) -> tuple[str, list[Mark]]:
    """The text, with a blank between tokens and a line for each sentence, and the spans in it.

    sentences (Sequence[tuple]): Tokens and tags, as many.
    """
    pieces: list[str] = []
    marks = []
    at = 0
    for tokens, tags in sentences:
        borders = []
        for token in tokens:
            borders.append((at, at + len(token)))
            at += len(token) + 1
        pieces.append(" ".join(tokens))
        for start, end, label, fault in entities(tags, scheme):
            marks.append(Mark(borders[start][0], borders[end - 1][1], label, fault=fault))
    return "\n".join(pieces), marks


def _goes_on(entity: Tagged, prefix: str, label: str, scheme: Scheme) -> bool:
    return label == entity.label and prefix in (
        ("I", "L") if scheme == "biluo" else ("I", "") if scheme == "io" else "I"
    )


def _ended(entity: Tagged, scheme: Scheme) -> Tagged:
    """An entity that ended without a tag that says so."""
    return entity._replace(fault=entity.fault or "entity without its last token, L-") if scheme == "biluo" else entity


def _wrong_start(prefix: str, scheme: Scheme) -> str:
    """What is wrong about an entity that starts with a prefix; nothing if it may."""
    allowed = {"iob1": "BI", "iob2": "B", "biluo": "BU", "io": "I"}[scheme]
    if not prefix:
        return "" if scheme == "io" else f"tag without a prefix in {scheme}"
    if prefix in allowed:
        return ""
    return f"{prefix}- where an entity starts, in {scheme}"
