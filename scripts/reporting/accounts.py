"""The account of every record and answer, on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scripts.merging.account import ANSWERS
from scripts.reporting.console import Console, new_table, plural, print_counts, print_sums

if TYPE_CHECKING:  # importing spaCy takes half a second
    from scripts.core.manifest import Entry, Manifest
    from scripts.merging.merged import Merged
    from scripts.sources.importing import Part
    from scripts.sources.source import Intake


def print_intake(console: Console, manifest: Manifest) -> None:
    """Per dataset: records read = kept + other labels + skipped, the same for spans; then the reasons and notes."""
    _print_outcomes(console, manifest.datasets)


def _print_outcomes(console: Console, accounts: Mapping[str, Entry | Intake]) -> None:
    outcomes = ("read", "kept", "other_labels", "skipped")
    rows = {}
    reasons: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for name, account in accounts.items():
        rows[name] = Counter({f"records {outcome}": account.records[outcome] for outcome in outcomes})
        rows[name].update({f"spans {outcome}": account.spans[outcome] for outcome in outcomes})
        reasons.update(account.reasons)
        notes.update(account.notes)
    print_sums(console, "dataset", rows, [f"{unit} {outcome}" for unit in ("records", "spans") for outcome in outcomes])
    print_counts(console, "Skipped", reasons)
    print_counts(console, "Noted", notes)


def print_found(console: Console, parts: Sequence[Part]) -> None:
    """Per part and label: its spans and the texts that have one; then the account of its records, as `print_intake`."""
    for name, found in Counter(part.reader for part in parts).items():
        console.print(f"Read with {name}: {plural(found, 'part')}\n")
    table = new_table("part", "label", "spans", "texts with it", text=("label",), gap=2)
    for part in parts:
        for label, spans in sorted(part.spans.items()):
            table.add_row(part.name, label, f"{spans:,}", f"{part.texts[label]:,}")
    console.print(table)
    console.print()
    _print_outcomes(console, {part.name: part.intake for part in parts})


def print_merge(console: Console, merged: Merged) -> None:
    """Per dataset: answers read = their fates; per label: texts by what is known of it; conflicts by kind."""
    rows = {
        name: Counter({f"answers {fate}": count for fate, count in fates.items()})
        for name, fates in merged.answers.items()
    }
    print_sums(console, "dataset", rows, [f"answers {fate}" for fate in ("read", *ANSWERS)])
    states = ("covered", "partly_covered", "unresolved", "not_covered")
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
