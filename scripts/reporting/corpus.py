"""The corpus on one screen, and what was found odd in it."""

from __future__ import annotations

from scripts.building.checks import Findings, Twin, count_edges
from scripts.building.splits import SPLITS, Corpus
from scripts.merging.duplicates import SIMILAR
from scripts.reporting.console import Console, listed, new_table, plural, print_counts

_SHOWN = 3  # twins
_LENGTH = 70  # characters of each


def print_corpus(console: Console, corpus: Corpus) -> None:
    """Per label: its spans on each side; texts and tokens; then what became of spans that are off the tokens."""
    table = new_table("label", *SPLITS, gap=2)
    for label, spans in corpus.spans.items():
        table.add_row(label, *(f"{spans[side]:,}" for side in SPLITS))
    for name, counts in (("tokens", corpus.tokens), ("texts", corpus.texts)):
        table.add_row(name, *(f"{counts[side]:,}" for side in SPLITS), style="bold")
    console.print(table)
    odd = {fate: times for fate, times in corpus.outcomes.items() if fate not in ("read", "exact")}
    if odd or corpus.too_long:
        total = " + ".join(f"{corpus.outcomes[fate]:,} {fate}" for fate in corpus.outcomes if fate != "read")
        console.print(f"Spans: {corpus.outcomes['read']:,} = {total}; corpus/misaligned/ lists them")
    if corpus.too_long:
        console.print(f"⚠ {plural(corpus.too_long, 'text')} left out: longer than the pipeline takes")
    if not corpus.texts["test"]:
        console.print("⚠ no text for test: nothing can be evaluated")


def print_findings(console: Console, found: Findings) -> None:
    """Each check, how often it found something, and the first of it."""
    console.print("\nOur checks", style="bold")
    if found.unlearned:
        sides = (f"{label} (in {' and '.join(where)})" for label, where in found.unlearned.items())
        what = plural(len(found.unlearned), "label")
        console.print(f"⚠ {what} without an entity to learn from: {listed(sides)}")
    else:
        console.print("✔ every label of dev and test has entities in train")
    if found.twins:
        what = plural(len(found.twins), "text")
        console.print(f"⚠ {what} to evaluate on, much like one of another side:")
        for twin in sorted(found.twins, key=lambda twin: -twin.similarity)[:_SHOWN]:
            console.print(_twin(twin), soft_wrap=True)
    else:
        console.print(f"✔ no text to evaluate on is like one of another side (by {SIMILAR:.0%})")
    if found.edges:
        what = plural(len(found.edges), "entity", "entities")
        console.print(f"⚠ {what} begin or end in a blank or a mark:")
        print_counts(console, "Borders", count_edges(found.edges))
    else:
        console.print("✔ no entity begins or ends in a blank or a mark")


def _twin(twin: Twin) -> str:
    one, other = (" ".join(text.split())[:_LENGTH] for text in (twin.text, twin.twin))
    return f"  {twin.similarity:.0%} {twin.side}: {one}\n      {twin.twin_side}: {other}"
