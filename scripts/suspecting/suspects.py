"""corpus/review/suspects.json and suspects.jsonl: annotations that models contradict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec

from scripts.checking.review import FOLDER, Suspect, SuspectKind, load_current, stream_suspects
from scripts.core.files import Count
from scripts.reporting.console import Console, plural, print_sums

NAME, SUSPECTS = "suspects.json", "suspects.jsonl"
TIERS = {
    1: "suspected by surface forms too",
    2: "all models are certain of an entity where nothing is annotated",
    3: "all models are certain of another label or boundary",
    4: "at least half of the models predict an entity that is not annotated, less certainly",
    5: "at least half of the models predict nothing where an entity is annotated",
}
_ADVICE = "find them again: weasel run suspects"


class Suspects(msgspec.Struct, kw_only=True):
    """corpus/review/suspects.json."""

    gold: str  # digest of the gold
    predictions: str  # digest of what predictions depend on: the gold, config, code and folds
    consistency: str | None  # digest of consistency.jsonl; None if there was none
    run: str  # the name of the config
    label: str | None  # the only label of the suspects; None for all labels
    folds: Count
    seeds: list[int]  # a model each, for each fold
    texts: Count  # of the gold, in all folds
    too_long: Count = 0  # of these, texts that the pipeline does not take
    unseen: float = 0.0  # the share of entities whose surface form is in no other fold
    suspects: Count = 0  # lines of suspects.jsonl
    listed: str = ""  # digest of suspects.jsonl
    labels: dict[str, dict[SuspectKind, dict[Count, Count]]] = {}  # suspects by label, kind and tier

    def count(self, numbers: Counter[tuple[str, SuspectKind, int]]) -> None:
        """Set the counts, from those by label, kind and tier."""
        self.suspects = numbers.total()
        for (label, kind, tier), number in sorted(numbers.items()):
            self.labels.setdefault(label, {}).setdefault(kind, {})[tier] = number

    def number(self, label: str, tier: int | None = None) -> int:
        """The number of suspects of a label, of one tier or of all."""
        tiers = self.labels[label].values()
        return sum(number for counts in tiers for key, number in counts.items() if tier in (None, key))


def load(corpus: Path) -> Suspects | None:
    """Read suspects.json; None if there is none. RAISES (UserError): See `load_current`."""
    return load_current(corpus / FOLDER / NAME, Suspects, corpus, _ADVICE)


def read_suspects(corpus: Path) -> Iterator[Suspect]:
    """The suspects, the most certain first. RAISES (UserError): See `stream_suspects`."""
    return stream_suspects(corpus / FOLDER / SUSPECTS, _ADVICE)


def print_suspects(console: Console, found: Suspects, trained: int) -> None:
    """The models; suspects by label and kind; suspects by tier."""
    models = found.folds * len(found.seeds)
    cached = f", {models - trained} of them in an earlier run" if trained < models else ""
    judges = plural(len(found.seeds), "model")
    console.print(
        f"{plural(found.texts, 'text')} of train, dev and test in {found.folds} folds; {plural(models, 'model')} "
        f"trained{cached}. Each text is judged by the {judges} not trained on its fold; {found.unseen:.0%} of the "
        "entities have surface forms that are in no other fold."
    )
    if found.too_long:
        console.print(f"{plural(found.too_long, 'text')} skipped: too long for the pipeline")
    rows = {
        label: {"suspects": {"read": found.number(label)} | {kind: sum(by_kind[kind].values()) for kind in by_kind}}
        for label, by_kind in found.labels.items()
    }
    print_sums(console, "label", rows, {"suspects": get_args(SuspectKind)})
    for tier, meaning in TIERS.items():
        number = sum(found.number(label, tier) for label in found.labels)
        console.print(f"Tier {tier} ({plural(number, 'suspect')}): {meaning}")
    if found.consistency is None:
        console.print("⚠ tier 1 needs surface forms: weasel run consistency, then this again")
