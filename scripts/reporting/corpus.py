"""The screens of `corpus` and `debug`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.building.corpus import misaligned
from scripts.building.splits import SPLITS, Corpus, SplitName
from scripts.reporting.console import Console, as_sum, decided_apart, listed, new_table, plural, print_counts

if TYPE_CHECKING:  # importing spaCy takes half a second
    from scripts.building.checks import CorpusWarnings

_PAIRS_SHOWN = 3
_WIDTH = 70  # characters of each text


def print_corpus(console: Console, corpus: Corpus, folder: Path, max_misaligned: float = 1.0) -> None:
    """Print spans by label and split, tokens and texts by split, and the outcomes of misaligned spans.

    folder (Path): Of the corpus. An example of a snapped span is shown on a terminal: elsewhere, output may be kept.
    max_misaligned (float): As a share; the step has stopped if all labels together have more, so a label is warned of.
    """
    table = new_table("label", *SPLITS, gap=2)
    for label, spans in corpus.spans.items():
        table.add_row(label, *(f"{spans[split]:,}" for split in SPLITS))
    for name, counts in (("tokens", corpus.tokens), ("texts", corpus.texts)):
        table.add_row(name, *(f"{counts[split]:,}" for split in SPLITS), style="bold")
    console.print(table)
    _print_spans(console, corpus, folder, max_misaligned)
    if corpus.too_long:
        console.print(f"⚠ {plural(corpus.too_long, 'text')} skipped: too long for the pipeline")
    if count := corpus.without_document:
        key = json.dumps(corpus.split["document"], ensure_ascii=False)
        said = f"{count:,} of {plural(corpus.all_texts(), 'text')} without {key} in the meta"
        console.print(f"⚠ {said}, [split] document: each is in the split of its own hash")
    _print_placed(console, corpus.placed)
    if not corpus.texts["test"]:
        console.print("⚠ no text in test: nothing can be evaluated")
    for split in _NEED_COMPLETE:
        none = [label for label in corpus.covered if corpus.uncovered(label, split) == corpus.texts[split]]
        if none and corpus.texts[split]:
            print_uncovered(console, none, split)


_NEED_COMPLETE: dict[SplitName, str] = {"dev": "thresholds and probabilities", "test": "scores"}


def print_uncovered(console: Console, labels: Sequence[str], split: SplitName) -> None:
    """Warn of labels that are covered in no text of dev or test, and print the command that queues some."""
    label = shlex.quote(shlex.quote(labels[0]))  # weasel divides the command once more
    console.print(
        f"⚠ {split}: no text is covered as a whole for {plural(len(labels), 'label')} ({listed(labels)}); "
        f"{_NEED_COMPLETE[split]} need complete answers, beside accepted and rejected spans. By ner.manual:"
    )
    console.print(f"  weasel run queue . --vars.label {label} --vars.texts {split}", soft_wrap=True)


def _print_spans(console: Console, corpus: Corpus, folder: Path, max_misaligned: float) -> None:
    """Spans of the gold and what became of them: those that are not on token boundaries by label."""
    if binary := decided_apart(corpus.read):
        console.print(binary)
    if corpus.read.get("accepted"):
        console.print("The table counts accepted spans too; those in test are not scored")
    if not set(corpus.outcomes) - {"read", "exact"} and not corpus.too_long:
        return
    console.print(f"Spans: {as_sum(corpus.outcomes)}; corpus/misaligned/ lists them")
    off = {label: misaligned(counts) for label, counts in corpus.outcomes_by_label.items()}
    most = sorted((pair for pair in off.items() if pair[1].off), key=lambda pair: (-pair[1].off, pair[0]))
    if most:
        shares = (f"{label} {found.off:,} of {found.total:,}" for label, found in most)
        console.print(f"Not on token boundaries: {listed(shares, 8)}")
    if above := [label for label, found in most if found.off > max_misaligned * found.total]:
        console.print(f"⚠ more than {max_misaligned:.0%} of the spans of {listed(above)} are not: check their offsets")
    if example := _snapped_example(folder) if console.is_terminal else "":
        console.print(f"For example {example}")


def _snapped_example(folder: Path) -> str:
    """The first span that was snapped and its label, or nothing."""
    for path in sorted(folder.glob("misaligned/*.jsonl")):
        for line in path.read_bytes().splitlines():
            found = json.loads(line)
            if found["outcome"] == "snapped":
                return f"{found['label']}: {found['span'][:_WIDTH]!r} became {found['became'][:_WIDTH]!r}"
    return ""


def _print_placed(console: Console, placed: Mapping[str, int] | None) -> None:
    """Texts that are not in the split of their own hash, since they stand in longer ones. See `Placements`."""
    if placed is None:
        console.print("⚠ contained texts are looked for only in a gold.jsonl on this machine: [engine] fetch = true")
        return
    lines = {
        "followed": "{} in the split of the longer text that contains it",
        "evaluated": "{} in dev or test: a text of dev_datasets or test_datasets stands in it",
        "no split": "⚠ {} in no split, since it stands in texts of several: corpus/misaligned/ lists it",
        "short": "{} of less than 20 characters in train and, alone or in a longer text, in dev or test",
        "leaks": "⚠ {} in train and, alone or in a longer text, in dev or test",
    }
    for name, line in lines.items():
        if count := placed.get(name):
            console.print(line.format(plural(count, "text")))


def print_other_split(console: Console, keys: Sequence[str]) -> None:
    """Warn where splits go by other settings than those that the corpus was made with."""
    for key in keys:
        console.print(f"⚠ [split] {key} was another when the corpus was made; make it again: weasel run corpus")


def print_gaps(console: Console, corpus: Corpus, labels: Iterable[str]) -> None:
    """Print which labels cannot be learned, and what to do about it.

    labels (Iterable[str]): All labels of the datasets.
    """
    if unused := [label for label in labels if label not in corpus.spans]:
        console.print(f"⚠ no answer about {listed(unused)} was kept; weasel run merge shows what became of each")
    if unlearned := [label for label, counts in corpus.spans.items() if not counts["train"]]:
        console.print(f"⚠ no entity in train, so never predicted: {listed(unlearned)}. Annotate more texts")
    if not any(counts["dev"] for counts in corpus.spans.values()):
        console.print(
            "⚠ no entity in dev, by which thresholds and probabilities are set: annotate more texts, or raise dev in "
            "[split]"
        )


def print_warnings(console: Console, found: CorpusWarnings) -> None:
    """Print for each check whether it passed, the number of warnings and the first of them."""
    from scripts.merging.duplicates import NEAR_DUPLICATE  # NumPy takes longer than a corpus that has not changed

    console.print("\nOur checks", style="bold")
    if found.not_in_train:
        labels = (f"{label} (in {' and '.join(splits)})" for label, splits in found.not_in_train.items())
        console.print(f"⚠ {plural(len(found.not_in_train), 'label')} without an entity in train: {listed(labels)}")
    else:
        console.print("✔ every label of dev and test has entities in train")
    if found.near_duplicates:
        texts = plural(len(found.near_duplicates), "text")
        console.print(f"⚠ {texts} of dev or test with a near-duplicate in another split:")
        for pair in sorted(found.near_duplicates, key=lambda pair: -pair.similarity)[:_PAIRS_SHOWN]:
            text, other = (" ".join(text.split())[:_WIDTH] for text in (pair.text, pair.other_text))
            console.print(
                f"  {pair.similarity:.0%} {pair.split}: {text}\n      {pair.other_split}: {other}", soft_wrap=True
            )
    else:
        console.print(f"✔ no text of dev or test has a near-duplicate ({NEAR_DUPLICATE:.0%}) in another split")
    if found.boundaries:
        boundaries = plural(len(found.boundaries), "boundary", "boundaries")
        console.print(f"⚠ {boundaries} of entities at whitespace or punctuation:")
        print_counts(console, "Boundaries", found.boundary_counts())
    else:
        console.print("✔ no entity begins or ends with whitespace or punctuation")
