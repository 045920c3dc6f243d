"""What was found odd in the corpus, on one screen."""

from __future__ import annotations

from rich.console import Console

from scripts.merging.likeness import SIMILAR
from scripts.model.checks import Findings, Twin, count_edges
from scripts.reporting.accounts import listed, plural, print_counts

_SHOWN = 3  # twins
_LENGTH = 70  # characters of each


def print_findings(console: Console, found: Findings) -> None:
    """Each check, how often it found something, and the first of it."""
    console.print("\nOur checks", style="bold")
    if found.unlearned:
        sides = (f"{label} (in {' and '.join(where)})" for label, where in found.unlearned.items())
        what = plural(len(found.unlearned), "label")
        console.print(f"⚠ {what} without an entity to learn from: {listed(sides)}", markup=False, highlight=False)
    else:
        console.print("✔ every label of dev and test has entities in train")
    if found.twins:
        what = plural(len(found.twins), "text")
        console.print(f"⚠ {what} to evaluate on, much like one of another side:", highlight=False)
        for twin in sorted(found.twins, key=lambda twin: -twin.similarity)[:_SHOWN]:
            console.print(_twin(twin), markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"✔ no text to evaluate on is like one of another side (by {SIMILAR:.0%})", highlight=False)
    if found.edges:
        what = plural(len(found.edges), "entity", "entities")
        console.print(f"⚠ {what} begin or end in a blank or a mark:", highlight=False)
        print_counts(console, "Borders", count_edges(found.edges))
    else:
        console.print("✔ no entity begins or ends in a blank or a mark")


def _twin(twin: Twin) -> str:
    one, other = (" ".join(text.split())[:_LENGTH] for text in (twin.text, twin.twin))
    return f"  {twin.similarity:.0%} {twin.side}: {one}\n      {twin.twin_side}: {other}"
