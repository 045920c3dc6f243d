"""The account of every record and answer, on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from scripts.core.answers import AGAIN, OTHER, UNCLEAR
from scripts.core.manifest import OUTCOMES
from scripts.merging.account import ANSWERS
from scripts.merging.rules import UNTOLD
from scripts.reporting.console import Console, as_sum, listed, new_table, plural, print_counts, print_sums

if TYPE_CHECKING:  # importing spaCy takes half a second
    from scripts.core.manifest import Entry
    from scripts.merging.merged import MergeRecord
    from scripts.sources.blocks import DatasetBlock
    from scripts.sources.importing import FoundDataset
    from scripts.sources.source import Intake


def print_intake(console: Console, accounts: Mapping[str, Entry | Intake]) -> None:
    """Per dataset: records read and their outcomes, which add up, the same for spans; then the reasons and notes."""
    rows = {name: {"records": account.records, "spans": account.spans} for name, account in accounts.items()}
    print_sums(console, "dataset", rows, dict.fromkeys(("records", "spans"), OUTCOMES))
    print_counts(console, "Skipped", sum((Counter(account.reasons) for account in accounts.values()), Counter()))
    print_counts(console, "Noted", sum((Counter(account.notes) for account in accounts.values()), Counter()))


def print_pulled(
    console: Console, entries: Mapping[str, Entry], untaken: Mapping[str, int], warnings: Iterable[str]
) -> None:
    """The account of what was read, as `print_intake`; what the options of the datasets did; and warnings.

    untaken (Mapping[str, int]): The spans of labels that no block takes, by label.
    """
    print_intake(console, entries)
    print_counts(console, "In no block's labels", untaken)
    print_counts(console, "Renamed", sum((Counter(entry.renamed) for entry in entries.values()), Counter()))
    others = sum((Counter(entry.other_annotators) for entry in entries.values()), Counter[str]())
    named = {name or "an answer without a name": number for name, number in others.items()}
    print_counts(console, "Other annotators", named)
    empty = [name for name, entry in entries.items() if not entry.records["read"]]
    if empty:
        console.print(f"⚠ no records in {listed(empty)}")
    for warning in warnings:
        console.print(f"⚠ {warning}")


def print_found(console: Console, datasets: Sequence[FoundDataset], said: Iterable[str]) -> None:
    """Per dataset and label: its spans, and how many of the texts have one; then the account of records, as
    `print_intake`, and what there is to look at.
    """
    for reader, number in Counter(dataset.reader for dataset in datasets).items():
        console.print(f"Read with {reader}: {plural(number, 'dataset')}\n")
    table = new_table("dataset", "label", "spans", "texts with it", "of", text=("label",), gap=2)
    for dataset in datasets:
        records = dataset.intake.records["kept"]
        for label, spans in sorted(dataset.spans.items()):
            table.add_row(dataset.name, label, f"{spans:,}", f"{dataset.texts[label]:,}", f"{records:,}")
    console.print(table)
    console.print()
    print_intake(console, {dataset.name: dataset.intake for dataset in datasets})
    for sentence in said:
        console.print(f"⚠ {sentence}")


def said_of_blocks(blocks: Iterable[DatasetBlock]) -> str:
    """Say how many blocks are added, and how many are there."""
    blocks = list(blocks)
    added = [block.name for block in blocks if block.is_written]
    names = f", {added[0]} to {added[-1]}" if len(added) > 1 else f", {added[0]}" if added else ""
    states = Counter(block.state for block in blocks)
    said = [f"{plural(len(added), 'block')}{names}" if added else "no block added"]
    said += [f"{states['same']:,} there already"] if states["same"] else []
    said += [f"{states['differs']:,} there with other settings, left as they are"] if states["differs"] else []
    return "; ".join(said)


def print_merge(console: Console, merged: MergeRecord) -> None:
    """Outcomes of answers by dataset, texts by label and state, conflicts by kind, contained texts and duplicates."""
    datasets = {name: {"answers": outcomes} for name, outcomes in merged.answers.items()}
    print_sums(console, "dataset", datasets, {"answers": ANSWERS})
    labels = {
        label: {"texts": {**counts, "read": counts["texts"]}, "spans": {"read": counts["spans"]}}
        for label, counts in merged.coverage.items()
    }
    console.print()
    states = ("covered", "partly_covered", "unresolved", "not_covered")
    print_sums(console, "label", labels, {"texts": states, "spans": ()}, add_up=False)
    console.print()
    pairs = sum(counts["texts"] for counts in merged.coverage.values())
    covered = sum(counts["covered"] for counts in merged.coverage.values())
    console.print(f"{covered:,} of {pairs:,} text × label pairs are covered ({covered / max(pairs, 1):.1%})")
    _print_spans(console, merged)
    prefix = "conflicts: "
    conflicts = {key.removeprefix(prefix): n for key, n in merged.totals.items() if key.startswith(prefix)}
    if conflicts:
        console.print()
        print_counts(console, "Conflicts", conflicts)
    _print_repeated(console, merged)
    _print_longest(console, merged)
    _print_moved(console, merged)
    _print_compared_texts(console, merged.totals)


def _print_spans(console: Console, merged: MergeRecord) -> None:
    """The spans of all answers by outcome, and those of the gold, each of which one answer says, or several."""
    outcomes: Counter[str] = Counter()
    for labels in merged.spans.values():
        for counts in labels.values():
            outcomes.update(counts)
    console.print(f"\nSpans of the answers: {as_sum({name: n for name, n in outcomes.items() if n or name == 'read'})}")
    again = f"; {merged.totals['said again']:,} more say the same" if merged.totals["said again"] else ""
    kinds = " + ".join(f"{merged.totals[kind]:,} {kind}" for kind in ("accepted", "rejected") if merged.totals[kind])
    console.print(
        f"Spans of the gold: {merged.totals['spans']:,} of covered labels{' + ' if kinds else ''}{kinds}{again}"
    )


def _print_repeated(console: Console, merged: MergeRecord) -> None:
    """Datasets with several complete answers about a text, where these are not all about the same labels; those of
    which the same is to be said on one line.
    """
    kinds = {AGAIN: "about the same labels", OTHER: "about other labels", UNCLEAR: "not told, since one has no span"}
    said: dict[str, list[str]] = {}
    for dataset, counts in merged.repeated.items():
        texts = {kind: number for kind, number in counts.items() if kind in kinds}
        if texts.get(OTHER) or texts.get(UNCLEAR):
            found = ", ".join(f"{texts[kind]:,} {name}" for kind, name in kinds.items() if kind in texts)
            what = f"{plural(sum(texts.values()), 'text')} with several complete answers of one annotator: {found}"
            said.setdefault(f"{what}. {_taken(merged, dataset)}", []).append(dataset)
        if untold := counts.get(UNTOLD):
            pairs = plural(untold, "text × label pair")
            said.setdefault(f"{pairs} where no answer tells whether the label was looked for", []).append(dataset)
    for what, datasets in said.items():
        console.print(f"⚠ {listed(datasets, 2)}: {what}")


def _taken(merged: MergeRecord, dataset: str) -> str:
    """How several answers about a text were understood, and the key that sets it."""
    if dataset in merged.passes:
        return 'Taken for passes, each for its own labels (repeats = "unite")'
    if merged.repeats.get(dataset) == "replace":
        return 'The later one replaces the earlier (repeats = "replace")'
    if merged.repeated[dataset].get(UNCLEAR):
        return 'One without spans is taken for a correction; if each was for a label of its own: repeats = "unite"'
    return 'They unite; if the later one is a correction: repeats = "replace"'


def _print_longest(console: Console, merged: MergeRecord) -> None:
    """Spans of each label that are not in the gold, since a longer one of the label overlaps them."""
    lost: Counter[str] = Counter()
    for labels in merged.spans.values():
        for label, outcomes in labels.items():
            lost[label] += outcomes["overlapping"]
    if lost := +lost:
        by_label = ", ".join(f"{label} {number:,}" for label, number in sorted(lost.items()))
        console.print(f"⚠ Shorter spans that overlap one of their label, which stays: {by_label}")


def _print_moved(console: Console, merged: MergeRecord) -> None:
    """Datasets that are made of contained texts, and their spans that contradict answers about the containers."""
    for dataset, counts in merged.moved.items():
        moved = plural(counts["moved"], "answer")
        if "texts" not in counts:
            console.print(f"{dataset}: {moved} about the same sentences and labels moved with them")
            continue
        texts = f"{counts['sentences']:,} of {plural(counts['texts'], 'text')}"
        console.print(
            f'{dataset}: {texts} are sentences of longer ones; {moved} moved there ([merge] contained = "auto")'
        )
        if spans := sum(outcomes["unresolved"] for outcomes in merged.spans[dataset].values()):
            what = f"{plural(spans, 'span')} not decided against answers about the longer texts"
            console.print(f'⚠ {dataset}: {what}; if they correct these, name their dataset: corrects = ["…"]')


def _print_compared_texts(console: Console, totals: Mapping[str, int]) -> None:
    """Numbers of contained texts and duplicates: their annotations are not merged with those of the other texts."""
    if "contained" not in totals:
        console.print("Contained texts and duplicates are found only in a gold.jsonl on this machine: fetch = true")
        return
    if contained := totals["contained"]:
        verb = "is contained in a longer one" if contained == 1 else "are contained in longer ones"
        console.print(f"⚠ {plural(contained, 'text')} {verb}: contained.jsonl lists them")
    if duplicates := totals["duplicates"]:
        console.print(f"⚠ {duplicates:,} texts equal others after cleaning (whitespace, quotes, …): duplicates.jsonl")
