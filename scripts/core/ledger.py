"""Counts of outcomes that add up to what was read."""

from collections import Counter


class Ledger(Counter[str]):
    """Texts, spans or others by outcome: "read" is the sum of all other counts, most of which are reasons to skip."""

    def fill(self, outcome: str) -> None:
        """Count under an outcome what has none yet."""
        self[outcome] = 2 * self["read"] - self.total()

    def to_dict(self, done: str) -> dict[str, int]:
        """Return "read", then the outcome that is the aim, then those that occurred, by name.

        RAISES (AssertionError): If something that was read has no outcome, or two.
        """
        assert 2 * self["read"] == self.total(), dict(self)
        reasons = sorted(outcome for outcome in self if outcome not in ("read", done) and self[outcome])
        return {outcome: self[outcome] for outcome in ("read", done, *reasons)}
