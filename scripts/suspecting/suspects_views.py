"""What models suspect, on one screen.

What models suspect, as a page shows it: by label and tier, and the first of each label.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from rich.console import Console

from scripts.checking.consistency_views import ShownSuspect, shown_suspects
from scripts.checking.review import Suspect, SuspectKind
from scripts.reporting.console import plural, print_sums
from scripts.suspecting.suspects import TIERS, Suspects

_MOST = 20  # labels
_DOUBTS = ("missing", "spurious", "boundary", "type")


def print_suspects(console: Console, found: Suspects, trained: int) -> None:
    """Who judged what; how many suspects of each label and doubt; how many in each tier."""
    models = found.folds * len(found.seeds)
    before = f", {models - trained} of them before" if trained < models else ""
    judges = plural(len(found.seeds), "model")
    console.print(
        f"{plural(found.texts, 'text')} of train, dev and test in {found.folds} folds; {plural(models, 'model')} "
        f"trained{before}. Each text is judged by the {judges} that did not learn from its fold; "
        f"{found.unseen:.0%} of the entities have forms that occur in no other fold.",
    )
    if found.unjudged:
        console.print(f"{plural(found.unjudged, 'text')} too long for the pipeline: not judged")
    rows = _rows(found)
    print_sums(console, "label", rows, ["suspects read", *(f"suspects {doubt}" for doubt in _DOUBTS)])
    tiers = sum((Counter(own) for doubts in found.labels.values() for own in doubts.values()), Counter[int]())
    for tier, what in TIERS.items():
        console.print(f"Tier {tier}: {tiers[tier]:,} {what}")
    if found.forms is None:
        console.print("⚠ tier 1 needs what surface forms say: weasel run consistency, then this again")


def _rows(found: Suspects) -> dict[str, Counter[str]]:
    """The labels with most suspects, and the others together."""
    rows = {
        label: Counter({f"suspects {doubt}": sum(tiers.values()) for doubt, tiers in doubts.items()})
        for label, doubts in found.labels.items()
    }
    for counts in rows.values():
        counts["suspects read"] = counts.total()
    largest = sorted(rows, key=lambda label: -rows[label]["suspects read"])[:_MOST]
    shown = {label: counts for label, counts in rows.items() if label in largest}
    rest = sum((counts for label, counts in rows.items() if label not in largest), Counter[str]())
    return shown | ({f"{len(rows) - _MOST} others": rest} if rest else {})


class Judged(NamedTuple):
    """A label. tiers (list[int]): Suspects of each tier. findings: The first of them; None if texts are not wanted."""

    name: str
    tiers: list[int]
    number: int
    findings: list[ShownSuspect] | None


class Section(NamedTuple):
    """All of it. tiers (dict[int, str]): What they are, see `TIERS`."""

    found: Suspects
    tiers: dict[int, str]
    labels: list[Judged]


def section(found: Suspects, first: dict[str, list[Suspect]] | None, tiers: dict[int, str]) -> Section:
    """Choose what fits on a page.

    first (dict[str, list[Suspect]] | None): Of each label; None if no texts shall be shown.
    """
    return Section(found, tiers, [_label(name, doubts, first, tiers) for name, doubts in found.labels.items()])


def _label(
    name: str, doubts: dict[SuspectKind, dict[int, int]], first: dict[str, list[Suspect]] | None, tiers: dict[int, str]
) -> Judged:
    counts = [sum(own.get(tier, 0) for own in doubts.values()) for tier in tiers]
    findings = None if first is None else shown_suspects(first.get(name, ()))
    return Judged(name, counts, sum(counts), findings)
