"""Where every text and every span went on the way out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from scripts.core.answers import GoldText


@dataclass
class Account:
    """Counts of what was read: texts read = written + not carried, by reason, and the same for spans.

    texts (Counter[str]), spans (Counter[str]): "read", "written", and the reasons.
    notes (Counter[str]): What the files do not say although the text is in them, in texts unless it says otherwise.
    """

    texts: Counter[str] = field(default_factory=Counter)
    spans: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def read(self, text: GoldText) -> None:
        """Met a text with all its spans."""
        self.texts["read"] += 1
        self.spans["read"] += len(text.spans) + len(text.accepted) + len(text.rejected)

    def write(self, spans: int) -> None:
        """The text is in the files, with so many spans."""
        self.texts["written"] += 1
        self.spans["written"] += spans

    def leave_out(self, reason: str, spans: int) -> None:
        """The text is not in the files, nor are so many spans of it."""
        self.texts[reason] += 1
        self.leave_out_spans(reason, spans)

    def leave_out_spans(self, reason: str, spans: int) -> None:
        """So many spans are not in the files."""
        if spans:
            self.spans[reason] += spans

    def note(self, what: str, times: int = 1) -> None:
        """Something of the text is not in the files, or changed."""
        if times:
            self.notes[what] += times

    def settle(self) -> None:
        """RAISES (AssertionError): If a text or a span went missing."""
        for counts in (self.texts, self.spans):
            assert 2 * counts["read"] == counts.total(), dict(counts)
