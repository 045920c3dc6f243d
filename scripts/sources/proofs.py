"""Proofs that a source is as it was when it was read: by its state, else by a digest of its content."""

from __future__ import annotations

import msgspec

from scripts.core.errors import UserError
from scripts.sources.source import Source
from scripts.sources.states import State


class Proof(msgspec.Struct, frozen=True):
    """What tells later on that a source is as it was when it was read.

    reading (str): A digest of the settings and the code by which it was read.
    state (str): The value of its `State`; empty if a change might not show in it.
    content (str): Its `digest`; empty where the state told enough, so that it was not taken.
    """

    reading: str
    state: str
    content: str

    @property
    def identity(self) -> str:
        """A name of what was read."""
        return f"{self.reading} {self.content or self.state}"

    def holds(self, reading: str, state: State | None) -> bool:
        """Whether the source is as it was, as far as its state tells."""
        return self.reading == reading and state is not None and state.is_settled and state.value == self.state

    def equals(self, other: Proof | None) -> bool:
        """Whether the contents of a source are known to be equal."""
        if other is None or not self.content:
            return False
        return (self.reading, self.content) == (other.reading, other.content)


def prove(source: Source, state: State | None, reading: str, known: Proof | None) -> Proof:
    """Take a proof of what a source holds. Its content is read where the state is none, or is another than before."""
    if known and known.holds(reading, state):
        return known
    told = state.value if state and state.is_settled else ""
    return Proof(reading, told, source.digest() if known or not told else "")


def is_changed(source: Source, before: State | None) -> bool:
    """Whether a source is no longer in a state, or is gone; not known of one that has no state."""
    try:
        after = source.state()
    except (UserError, OSError):
        return True
    return before is not None and (after is None or after.value != before.value)
