"""A place with the words around it, for people to look at."""

from __future__ import annotations

import msgspec

from scripts.reviewing.passages import Known
from scripts.reviewing.records import Suspect

_AROUND = 60  # code points to each side
_LONGEST = 200  # of the place itself


class Context(msgspec.Struct):
    """A place: which text, what is before it, what it says, and what comes after; cut where it is long."""

    input_hash: int
    before: str
    said: str
    after: str


def context(known: Known | Suspect, start: int, end: int) -> Context:
    """The context of a place, without the parts of words at its far ends."""
    before, after = known.text[max(0, start - _AROUND) : start], known.text[end : end + _AROUND]
    if start > _AROUND:
        before = "…" + before.partition(" ")[2]
    if end + _AROUND < len(known.text):
        after = after.rpartition(" ")[0] + "…"
    said = known.text[start:end]
    return Context(known.input_hash, before, said if len(said) <= _LONGEST else said[:_LONGEST] + "…", after)
