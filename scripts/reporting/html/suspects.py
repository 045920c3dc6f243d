"""What models suspect, as a page shows it: by label and tier, and the first of each label."""

from __future__ import annotations

from typing import NamedTuple

from scripts.reporting.html.consistency import Finding, finding
from scripts.reviewing.records import Doubt, Suspect
from scripts.reviewing.suspects import Suspects


class Judged(NamedTuple):
    """A label. tiers (list[int]): Suspects of each tier. findings: The first of them; None if texts are not wanted."""

    name: str
    tiers: list[int]
    number: int
    findings: list[Finding] | None


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
    name: str, doubts: dict[Doubt, dict[int, int]], first: dict[str, list[Suspect]] | None, tiers: dict[int, str]
) -> Judged:
    counts = [sum(own.get(tier, 0) for own in doubts.values()) for tier in tiers]
    findings = None if first is None else [finding(one) for one in first.get(name, ())]
    return Judged(name, counts, sum(counts), findings)
