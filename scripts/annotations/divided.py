"""Sources that can be read in parts, by several machines at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from scripts.annotations.intake import Source


@runtime_checkable
class Divisible(Protocol):
    """A Source that can be divided."""

    def parts(self, size: int) -> Sequence[Source]:
        """Sources of about so many bytes each that, one after the other, give what it gives; itself if that is less.

        It looks at sizes and keys alone. Parts may be Numbered.
        """


@runtime_checkable
class Numbered(Protocol):
    """A part whose records say the how many'th they are."""

    def records_inside(self) -> int:
        """How many records it has."""

    def after(self, records: int) -> Source:
        """The part, if so many records come before it."""
