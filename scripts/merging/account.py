"""Outcomes of all that was read: counts that add up, and those of answers and spans by dataset and label."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

# Outcomes of an answer. "kept": it took part in at least one decision. "replaced": the same annotator answered later, a
# dataset corrects it, or a review decided otherwise. "other_labels": it is about labels that are not taken.
ANSWERS = ("kept", "ignored", "rejected", "duplicates", "replaced", "other_labels", "skipped")

# Outcomes of a span. "gold": an entity of a covered label. "partial": accepted or rejected where its label is not
# covered. "confirming": a binary answer that agrees with the gold. The others are not in the gold: their answer has
# that outcome, or other answers decided so.
SPANS = (
    "gold", "partial", "confirming", "outvoted", "unresolved", "overlapping", "contradicting",
    "ignored", "rejected", "duplicates", "replaced",
)  # fmt: skip


_Triples = dict[tuple[str, str, str], int]
_Pairs = dict[tuple[str, str], int]
_decode = msgspec.msgpack.Decoder(tuple[_Pairs, _Triples, _Triples, dict[str, int], _Pairs]).decode


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


class Account(msgspec.Struct):
    """Counts of outcomes over texts. The accounts of buckets add up to the account of the merge.

    answers (Counter[tuple[dataset, outcome]]): "read" and the outcomes in ANSWERS.
    spans (Counter[tuple[dataset, label, outcome]]): "read" and the outcomes in SPANS.
    coverage (Counter[tuple[label, dataset, state]]): Texts in that state; dataset "" stands for all together.
    totals (Counter[str]): Texts; spans of the gold, also accepted and rejected ones; conflicts by kind; "said again":
        spans of answers that are in the gold because of another answer already.
    repeats (Counter[tuple[dataset, kind]]): Texts with several complete answers, see `rules.evidence_of_passes`; and
        "untold": texts and labels of which it cannot be told whether an answer is about them.
    """

    answers: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    spans: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    coverage: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    totals: Counter[str] = msgspec.field(default_factory=Counter)
    repeats: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)

    def add(self, other: Account) -> None:
        """Add the counts of another account."""
        for own, added in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True):
            own.update(added)

    def packed(self) -> bytes:
        """The account in MessagePack, which unlike JSON has tuples as keys."""
        return msgspec.msgpack.encode(msgspec.structs.astuple(self))

    @classmethod
    def unpacked(cls, packed: bytes) -> Account:
        """Read an account that was `packed`. RAISES (msgspec.DecodeError): If it is none."""
        answers, spans, coverage, totals, repeats = _decode(packed)
        return cls(Counter(answers), Counter(spans), Counter(coverage), Counter(totals), Counter(repeats))

    def assert_adds_up(self) -> None:
        """RAISES (AssertionError): If an answer or a span is missing, naming its dataset."""
        for dataset, counts in self._by_dataset().items():
            assert counts["read"] == sum(counts[outcome] for outcome in ANSWERS), (dataset, counts)
        for dataset, label in sorted({key[:2] for key in self.spans}):
            counts = self.of_label(dataset, label)
            assert counts["read"] == sum(counts[outcome] for outcome in SPANS), (dataset, label, counts)

    def count_said_again(self) -> None:
        """Count the spans of answers that are in the gold, but say what another one says: the gold has them once.

        RAISES (AssertionError): If the gold has a span that no answer has.
        """
        outcomes: Counter[str] = Counter()
        for (_, _, outcome), number in self.spans.items():
            outcomes[outcome] += number
        in_gold = sum(self.totals[kind] for kind in ("spans", "accepted", "rejected"))
        self.totals["said again"] = outcomes["gold"] + outcomes["partial"] - in_gold
        assert self.totals["said again"] >= 0, (outcomes, self.totals)

    def of_dataset(self, dataset: str) -> dict[str, int]:
        """Outcomes of the answers of a dataset."""
        return {outcome: self.answers[dataset, outcome] for outcome in ("read", *ANSWERS)}

    def of_label(self, dataset: str, label: str) -> dict[str, int]:
        """Outcomes of the spans of a label in a dataset."""
        return {outcome: self.spans[dataset, label, outcome] for outcome in ("read", *SPANS)}

    def to_dict(self) -> dict[str, Any]:
        """Sorted and nested, for JSON."""
        answers = self._by_dataset()
        spans: dict[str, dict[str, dict[str, int]]] = {dataset: {} for dataset in answers}
        for dataset, label in sorted({key[:2] for key in self.spans}):
            spans[dataset][label] = self.of_label(dataset, label)
        repeated: dict[str, dict[str, int]] = {}
        for (dataset, kind), texts in sorted(self.repeats.items()):
            repeated.setdefault(dataset, {})[kind] = texts
        totals = dict(sorted(self.totals.items()))
        return {"totals": totals, "answers": answers, "spans": spans, "repeated": repeated}

    def _by_dataset(self) -> dict[str, dict[str, int]]:
        return {dataset: self.of_dataset(dataset) for dataset in sorted({dataset for dataset, _ in self.answers})}
