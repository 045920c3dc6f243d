"""Where every answer and every span went, by dataset and label."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

# Fates of an answer. "kept": it took part in at least one decision. "replaced": the same annotator answered later,
# or a review decided otherwise.
ANSWERS = ("kept", "ignored", "rejected", "duplicates", "replaced", "skipped")

# Fates of a span. "gold": an entity of a covered label. "known": knowledge of a label that is not covered
# (accepted or rejected on its own, or agreed on by all). "confirming": a binary answer that repeats gold. The rest
# is not in the gold: its answer fared so, or the others decided otherwise.
SPANS = (
    "gold", "known", "confirming", "outvoted", "unresolved", "overlapping", "contradicting",
    "ignored", "rejected", "duplicates", "replaced",
)  # fmt: skip


class _Packed(msgspec.Struct):
    """JSON has no keys of several parts: each count stands after its key."""

    answers: list[tuple[tuple[str, str], int]]
    spans: list[tuple[tuple[str, str, str], int]]
    coverage: list[tuple[tuple[str, str, str], int]]
    totals: list[tuple[str, int]]


_decode = msgspec.json.Decoder(_Packed).decode


class Account(msgspec.Struct):
    """Counts of fates, summed over texts; accounts of parts add up to that of the whole.

    answers (Counter[tuple[dataset, fate]]): "read" and the fates in ANSWERS.
    spans (Counter[tuple[dataset, label, fate]]): "read" and the fates in SPANS.
    coverage (Counter[tuple[label, dataset, state]]): Texts with that state; dataset "" stands for all together.
    totals (Counter[str]): Texts, conflicts by kind, hashes.
    """

    answers: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    spans: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    coverage: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    totals: Counter[str] = msgspec.field(default_factory=Counter)
    _taken: defaultdict[tuple[str, str], list[int]] = msgspec.field(default_factory=lambda: defaultdict(list))

    def take(self, dataset: str, label: str, spans: int) -> None:
        """An answer about one label became the gold of a text, with so many spans. To be booked in the end: that is
        nearly all there is to count, and each of them is seven counts.
        """
        self._taken[dataset, label].append(spans)

    def book(self) -> None:
        """Count what was taken."""
        for (dataset, label), taken in self._taken.items():
            answers, spans = len(taken), sum(taken)
            self.answers[dataset, "read"] += answers
            self.answers[dataset, "kept"] += answers
            self.spans[dataset, label, "read"] += spans
            self.spans[dataset, label, "gold"] += spans
            self.coverage[label, "", "covered"] += answers
            self.coverage[label, dataset, "covered"] += answers
            self.coverage[label, "", "spans"] += spans
        self._taken.clear()

    def add(self, other: Account) -> None:
        """Add the counts of another part."""
        self.answers.update(other.answers)
        self.spans.update(other.spans)
        self.coverage.update(other.coverage)
        self.totals.update(other.totals)

    def packed(self) -> msgspec.Raw:
        """As JSON, sorted, for `unpacked`."""
        answers, totals = sorted(self.answers.items()), sorted(self.totals.items())
        counts = _Packed(answers, sorted(self.spans.items()), sorted(self.coverage.items()), totals)
        return msgspec.Raw(msgspec.json.encode(counts))

    @classmethod
    def unpacked(cls, packed: msgspec.Raw) -> Account:
        """What was `packed`. RAISES (msgspec.DecodeError): If it is something else."""
        found = _decode(packed)
        answers, totals = Counter(dict(found.answers)), Counter(dict(found.totals))
        return cls(answers, Counter(dict(found.spans)), Counter(dict(found.coverage)), totals)

    @classmethod
    def summed(cls, packed: Iterable[msgspec.Raw]) -> Account:
        """The sum of several that were `packed`."""
        account = cls()
        for each in packed:
            account.add(cls.unpacked(each))
        return account

    def settle(self) -> None:
        """RAISES (AssertionError): If an answer or a span went missing, naming where."""
        for dataset in self.datasets:
            counts = self.of_dataset(dataset)
            assert counts["read"] == sum(counts[fate] for fate in ANSWERS), (dataset, counts)
        for dataset, label in sorted({key[:2] for key in self.spans}):
            counts = self.of_label(dataset, label)
            assert counts["read"] == sum(counts[fate] for fate in SPANS), (dataset, label, counts)

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets, sorted."""
        return sorted({dataset for dataset, _ in self.answers})

    def labels(self, dataset: str | None = None) -> list[str]:
        """The labels met, in one dataset or anywhere, sorted."""
        return sorted({key[1] for key in self.spans if dataset in (None, key[0])})

    def of_dataset(self, dataset: str) -> dict[str, int]:
        """Fates of the answers of a dataset."""
        return {fate: self.answers[dataset, fate] for fate in ("read", *ANSWERS)}

    def of_label(self, dataset: str, label: str) -> dict[str, int]:
        """Fates of the spans of a label in a dataset."""
        return {fate: self.spans[dataset, label, fate] for fate in ("read", *SPANS)}

    def to_dict(self) -> dict[str, Any]:
        """Sorted and nested, for JSON."""
        return {
            "totals": dict(sorted(self.totals.items())),
            "answers": {dataset: self.of_dataset(dataset) for dataset in self.datasets},
            "spans": {
                dataset: {label: self.of_label(dataset, label) for label in self.labels(dataset)}
                for dataset in self.datasets
            },
        }
