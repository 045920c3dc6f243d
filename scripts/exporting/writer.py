"""The base of all export formats: the files of an export, and the outcome of every text and span."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Literal

from scripts.core.answers import GoldText, Span
from scripts.exporting.tokens import Token, Tokens, cut
from scripts.merging.account import Ledger


class Writer(ABC):
    """Writes texts, one after the other, into files of a format.

    A format opens its files in `start`. Its `add` calls `count` once for each text, counts spans that the format has no
    place for in `spans`, by reason, and other differences between the files and the gold in `notes`.

    folder (Path), labels (list[str]): An empty folder for the files; the labels that are exported, sorted.
    """

    suffix = ""  # of the files for complete and for incomplete texts, which `start` opens unless a format has others

    def __init__(self, folder: Path, labels: list[str], tokens: Tokens) -> None:
        self.folder, self.labels, self.tokens = folder, labels, tokens
        self.texts, self.spans, self.notes = Ledger(), Ledger(), Counter[str]()
        self._files = ExitStack()
        self.start()

    def start(self) -> None:
        """Open the files."""
        self.parts = {name: self.open(f"{name}{self.suffix}") for name in ("complete", "incomplete")}

    @abstractmethod
    def add(self, text: GoldText) -> None:
        """Write a text, of which only the annotations of the exported labels are left."""

    def close(self) -> None:
        """Complete and close the files."""
        self._files.close()

    def open(self, name: str) -> BinaryIO:
        """Open a file of the folder, to be closed by `close`."""
        return self._files.enter_context((self.folder / name).open("wb"))

    def count(self, outcome: str, spans: int = 0) -> None:
        """Count a text and its spans, but for those counted before, as "written" or as skipped for a reason."""
        self.texts[outcome] += 1
        self.spans[outcome] += spans

    def cut(self, tokens: list[Token], spans: Iterable[Span]) -> list[Token]:
        """Cut tokens at the boundaries of spans."""
        pieces = cut(tokens, spans)
        self.notes["tokens cut at the boundary of a span"] += len(pieces) - len(tokens)
        return pieces

    def note_unresolved(self, text: GoldText) -> None:
        """Note unresolved labels: in the files they look like labels that nobody was asked about."""
        self.notes["unresolved labels, written as not covered"] += len(text.unresolved)

    def completeness(self, text: GoldText) -> Literal["complete", "incomplete"]:
        """Name of the file or folder for a text: where all labels are covered, other tools need no coverage."""
        return "complete" if len(text.covered) == len(self.labels) else "incomplete"

    def entities(self, text: GoldText, keeps_meta: bool) -> list[Span]:
        """Return the entities, sorted: all that a format has a place for that holds texts and spans only.

        Rejected spans are skipped; incomplete coverage, and meta unless the format keeps it, are noted.
        """
        self.spans["rejected spans"] += len(text.rejected)
        if self.completeness(text) == "incomplete":
            self.notes["incomplete texts, without saying which of their labels are covered"] += 1
        self.notes["ranges in which a label is covered, written as not covered"] += sum(
            map(len, text.covered_ranges.values())
        )
        self.note_unresolved(text)
        if not keeps_meta:
            self.notes["texts without their meta"] += bool(text.meta)
        return sorted([*text.spans, *text.accepted])


def span_count(text: GoldText) -> int:
    """Count the entities and rejected spans of a text."""
    return len(text.spans) + len(text.accepted) + len(text.rejected)
