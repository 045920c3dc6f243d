"""corpus/review/suspects.jsonl: places where models contradict the annotation, and suspects.json, their account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from scripts.reviewing.found import load_current, stream_suspects
from scripts.reviewing.records import FOLDER, Doubt, Suspect

NAME, LINES = "suspects.json", "suspects.jsonl"
_MEND = "look again: weasel run suspects"
TIERS = {
    1: "that surface forms suspect too",
    2: "where all models are sure of an entity, and nothing is annotated",
    3: "where all models are sure of another label, or of other borders",
    4: "where a half of the models or more find what is not annotated, and are less sure",
    5: "where they find nothing, and something is annotated",
}


class Suspects(msgspec.Struct, kw_only=True):
    """corpus/review/suspects.json.

    gold (str): Digest of the gold.
    votes (str): Digest of what the models depend on: the gold, config, code and folds.
    forms (str | None): Digest of consistency.jsonl; None if it was not there.
    run (str): The name of the config.
    label (str | None): The one that was looked at; None for all.
    folds (int), seeds (list[int]): A model for each fold and seed.
    texts (int): Of the gold, in all folds together.
    unjudged (int): Of these, the texts that are too long for the pipeline.
    unseen (float): Of all entities, the share whose form is in no text that their models learned from.
    suspects (int): Lines of suspects.jsonl.
    labels (dict[str, dict[Doubt, dict[int, int]]]): How many, by label, doubt and tier.
    """

    gold: str
    votes: str
    forms: str | None
    run: str
    label: str | None
    folds: int
    seeds: list[int]
    texts: int
    unjudged: int = 0
    unseen: float = 0.0
    suspects: int = 0
    labels: dict[str, dict[Doubt, dict[int, int]]] = {}

    def count(self, suspect: Suspect) -> None:
        """Add a suspect."""
        self.suspects += 1
        tiers = self.labels.setdefault(suspect.label, {}).setdefault(suspect.doubt, {})
        tiers[suspect.tier] = tiers.get(suspect.tier, 0) + 1

    def sort(self) -> None:
        """Put the counts in order."""
        self.labels = {
            label: {doubt: dict(sorted(tiers.items())) for doubt, tiers in sorted(doubts.items())}
            for label, doubts in sorted(self.labels.items())
        }


def load(corpus: Path) -> Suspects | None:
    """Read suspects.json; None if there is none.

    RAISES (UserError): If it is damaged; `Outdated` if it is of another gold than there is now.
    """
    return load_current(corpus / FOLDER / NAME, Suspects, corpus, _MEND)


def read_suspects(corpus: Path) -> Iterator[Suspect]:
    """The suspects, the surest first. RAISES (UserError): If there are none, or they are damaged."""
    return stream_suspects(corpus / FOLDER / LINES, _MEND)
