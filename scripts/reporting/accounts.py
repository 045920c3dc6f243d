"""What a step did with every record, on one screen.

What was found odd in the corpus, on one screen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scripts.building.checks import Findings, Twin, count_edges
from scripts.building.splits import SIDES
from scripts.core.manifest import Entry, Manifest
from scripts.merging.account import ANSWERS
from scripts.merging.duplicates import SIMILAR
from scripts.reporting.console import Console, listed, new_table, plural, print_counts, print_sums
from scripts.sources.source import Intake

if TYPE_CHECKING:  # a step imports no more than it needs
    from scripts.building.corpus import Corpus
    from scripts.exporting.exporting import Exported
    from scripts.merging.merged import Merged
    from scripts.sources.importing import Part


def print_intake(console: Console, manifest: Manifest) -> None:
    """Per dataset: records read = kept + left out + refused, the same for spans; then why."""
    _print_fates(console, manifest.datasets)


def _print_fates(console: Console, accounts: Mapping[str, Entry | Intake]) -> None:
    fates = ("read", "kept", "left_out", "refused")
    rows = {}
    reasons: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for name, found in accounts.items():
        rows[name] = Counter({f"records {fate}": found.records[fate] for fate in fates})
        rows[name].update({f"spans {fate}": found.spans[fate] for fate in fates})
        reasons.update(found.reasons)
        notes.update(found.notes)
    columns = [f"{what} {fate}" for what in ("records", "spans") for fate in fates]
    print_sums(console, "dataset", rows, columns)
    print_counts(console, "Refused", reasons)
    print_counts(console, "Noted", notes)


def print_found(console: Console, parts: Sequence[Part]) -> None:
    """Per part and label: spans, and texts with one; the records with their fates; then what was odd."""
    for name, found in Counter(part.reader for part in parts).items():
        console.print(f"Read with {name}: {plural(found, 'part')}\n")
    table = new_table("part", "label", "spans", "texts with it", text=("label",), gap=2)
    for part in parts:
        for label, spans in sorted(part.spans.items()):
            table.add_row(part.name, label, f"{spans:,}", f"{part.texts[label]:,}")
    console.print(table)
    console.print()
    _print_fates(console, {part.name: part.intake for part in parts})


def print_merge(console: Console, merged: Merged) -> None:
    """Per dataset: answers read = their fates; per label: texts by what is known of it; conflicts by kind."""
    rows = {
        name: Counter({f"answers {fate}": count for fate, count in fates.items()})
        for name, fates in merged.answers.items()
    }
    print_sums(console, "dataset", rows, [f"answers {fate}" for fate in ("read", *ANSWERS)])
    states = ("covered", "partly", "unresolved", "unknown")
    rows = {
        label: Counter({"texts read": counts["texts"], "spans read": counts["spans"]})
        + Counter({f"texts {state}": counts[state] for state in states})
        for label, counts in merged.coverage.items()
    }
    console.print()
    columns = ["texts read", *(f"texts {state}" for state in states), "spans read"]
    print_sums(console, "label", rows, columns, add_up=False)
    console.print()
    pairs = sum(counts["texts"] for counts in merged.coverage.values())
    covered = sum(counts["covered"] for counts in merged.coverage.values())
    known = f"{covered:,} of {pairs:,} text × label pairs are covered ({covered / max(pairs, 1):.1%})"
    console.print(known)
    conflicts = {what.removeprefix("conflicts: "): n for what, n in merged.totals.items() if what.startswith("conf")}
    if conflicts:
        console.print()
        print_counts(console, "Conflicts", conflicts)
    _print_resemblance(console, merged.totals)


def _print_resemblance(console: Console, totals: Mapping[str, int]) -> None:
    """Texts whose annotations do not meet those of others although they may be about the same."""
    if "parts" not in totals:
        console.print("Texts that resemble others are looked for where the gold is one file: [engine] fetch = true")
        return
    parts, lookalikes = totals["parts"], totals["lookalikes"]
    if "answers moved" in totals:
        console.print(f"{plural(totals['answers moved'], 'binary answer')} about parts moved to the longer text")
    if parts:
        said = "is a part of a longer one" if parts == 1 else "are parts of longer ones"
        console.print(f"⚠ {plural(parts, 'text')} {said}: parts.jsonl lists them")
    if lookalikes:
        said = f"⚠ {lookalikes:,} texts are equal to others but for blanks or Unicode form"
        console.print(f"{said}: lookalikes.jsonl lists them")


def print_corpus(console: Console, corpus: Corpus) -> None:
    """Per label: its spans on each side; texts and tokens; then what became of spans that are off the tokens."""
    table = new_table("label", *SIDES, gap=2)
    for label, spans in corpus.spans.items():
        table.add_row(label, *(f"{spans[side]:,}" for side in SIDES))
    for name, counts in (("tokens", corpus.tokens), ("texts", corpus.texts)):
        table.add_row(name, *(f"{counts[side]:,}" for side in SIDES), style="bold")
    console.print(table)
    odd = {fate: times for fate, times in corpus.fates.items() if fate not in ("read", "exact")}
    if odd or corpus.too_long:
        total = " + ".join(f"{corpus.fates[fate]:,} {fate}" for fate in corpus.fates if fate != "read")
        console.print(f"Spans: {corpus.fates['read']:,} = {total}; corpus/misaligned/ lists them")
    if corpus.too_long:
        console.print(f"⚠ {plural(corpus.too_long, 'text')} left out: longer than the pipeline takes")
    if not corpus.texts["test"]:
        console.print("⚠ no text for test: nothing can be evaluated")


def print_export(console: Console, exported: Exported) -> None:
    """Texts and spans: read = written + not carried, by reason; then what the files do not say."""
    for what, counts in (("Texts", exported.texts), ("Spans", exported.spans)):
        fates = " + ".join(f"{times:,} {fate}" for fate, times in counts.items() if fate != "read")
        console.print(f"{what}: {counts['read']:,} = {fates}")
    print_counts(console, "Noted", exported.notes)


_SHOWN = 3  # twins
_LENGTH = 70  # characters of each


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
