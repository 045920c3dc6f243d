"""Everything that is known about one text: who answered what, what was merged of it and why, where it went."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from spacy.tokens import Doc

from scripts.core.answers import GoldText, Span, Task
from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.core.manifest import Manifest
from scripts.merging.contained import ContainedText
from scripts.merging.duplicates import Duplicates
from scripts.merging.merge import validate_answers
from scripts.merging.merge_text import outcomes_of
from scripts.merging.merged import MergeRecord, read_gold
from scripts.merging.text_record import Conflict
from scripts.model.models import demand_finished, demand_labels, labels_of, load_model
from scripts.reporting.console import Console, listed, new_table, plural, ratio

MOST_FOUND = 10  # texts that are listed where several have what was asked for
_EXCERPT = 60  # characters of each
T = TypeVar("T")


class KnownText(NamedTuple):
    """One text of the gold, and all that the files have about it.

    answers (list[tuple[Task, str]]): Each with its outcome, see `account.ANSWERS`; those of contained texts that were
        merged with it are not among them.
    contained (list[ContainedText]): Itself in longer texts, and others in it.
    """

    gold: GoldText
    answers: list[tuple[Task, str]]
    conflicts: list[Conflict]
    contained: list[ContainedText]
    duplicates: list[Duplicates]


def find_texts(gold: Path, wanted: str) -> list[GoldText]:
    """Find texts by their input hash, or else those that have a piece of text in them; at most `MOST_FOUND` + 1."""
    if wanted.strip().lstrip("-").isdecimal():
        found = list(_lines_of_hash(gold, int(wanted), GoldText))
        if found:
            return found
    texts = (text for text in read_gold(gold) if wanted in text.text)
    return [text for text, _ in zip(texts, range(MOST_FOUND + 1), strict=False)]


def known_text(text: GoldText, merged: MergeRecord, manifest: Manifest, annotations: Path, corpus: Path) -> KnownText:
    """Gather what the files of `pull` and `merge` have about a text. RAISES (UserError): If one of them has changed."""
    validate_answers(annotations, manifest, merged)
    answers = [
        task
        for entry in manifest.datasets.values()
        for task in _lines_of_hash(annotations / entry.file, text.input_hash, Task)
        if task.text == text.text
    ]
    contained = [
        each
        for each in _lines(merged.validate(corpus / "contained.jsonl"), ContainedText)
        if each.text == text.text or text.input_hash in each.containers
    ]
    conflicts = _lines_of_hash(merged.validate(corpus / "conflicts.jsonl"), text.input_hash, Conflict)
    duplicates = _lines(merged.validate(corpus / "duplicates.jsonl"), Duplicates)
    return KnownText(
        text,
        outcomes_of(answers, merged.rules(manifest)) if answers else [],
        [each for each in conflicts if each.text == text.text],
        contained,
        [each for each in duplicates if any(one.text == text.text for one in each.texts)],
    )  # fmt: skip


def _lines_of_hash(path: Path, input_hash: int, of: type[T]) -> Iterator[T]:
    """Decode the lines of a file that begin with a hash. None if there is no such file, or it is empty."""
    with (
        suppress(FileNotFoundError, ValueError),
        path.open("rb") as file,
        mmap(file.fileno(), 0, access=ACCESS_READ) as lines,
    ):
        beginning = b'{"_input_hash":%d,' % input_hash
        start = lines.find(beginning)
        while start >= 0:
            end = lines.find(b"\n", start) + 1 or len(lines)
            if start == 0 or lines[start - 1 : start] == b"\n":
                yield msgspec.json.decode(lines[start:end], type=of)
            start = lines.find(beginning, end)


def _lines(path: Path, of: type[T]) -> Iterator[T]:
    with suppress(FileNotFoundError), path.open("rb", BUFFER) as lines:
        yield from map(msgspec.json.Decoder(of).decode, lines)


def print_found(console: Console, texts: list[GoldText]) -> None:
    """List several texts that have what was asked for."""
    table = new_table("hash", "text", text=["text"])
    for text in texts[:MOST_FOUND]:
        table.add_row(str(text.input_hash), _excerpt(text.text))
    console.print(table)
    if len(texts) > MOST_FOUND:
        console.print(f"and more than these {MOST_FOUND}: give more of the text")


def _excerpt(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _EXCERPT else f"{words[:_EXCERPT]}…"


def print_known(console: Console, known: KnownText, labels: Iterable[str], split: str) -> None:
    """Print a text, its answers with their outcomes, its labels, and what is listed about it."""
    gold = known.gold
    console.print(gold.text)
    console.print(f"\nhash {gold.input_hash}, {plural(len(gold.text), 'character')}, split {split}")
    console.print("\nAnswers")
    for task, outcome in known.answers:
        answer = task.answer if task.kind == "manual" else f"{task.kind} {task.answer}"
        who = (task.dataset, task.annotator, _time(task.timestamp), task.source)
        console.print(f"{', '.join(filter(None, who))}: {answer}, {outcome.replace('_', ' ')}", soft_wrap=True)
        console.print(f"    {_spans(gold.text, task.spans)}", soft_wrap=True)
    console.print("\nLabels")
    table = new_table("label", "state", "spans", text=["state", "spans"])
    for label in labels:
        spans = (span for span in (*gold.spans, *gold.accepted) if span.label == label)
        said = ", ".join(f"{gold.text[span.start : span.end]} {span.start}–{span.end}" for span in spans)
        table.add_row(label, _state(gold, label), said or "–")
    console.print(table)
    if gold.rejected:
        console.print(f"Rejected: {_spans(gold.text, gold.rejected)}")
    for conflict in known.conflicts:
        said = "; ".join(
            f"{each.source} ({each.dataset}): {_spans(gold.text, each.spans)}" for each in conflict.answers
        )
        console.print(f"\nConflict: {conflict.kind}, {listed(conflict.labels)}: {conflict.decision}. {said}")
    _print_others(console, known)


def _print_others(console: Console, known: KnownText) -> None:
    """Print the texts that stand in it or in which it stands, and its duplicates."""
    for each in known.contained:
        if each.text == known.gold.text:
            console.print(f"\nStands in {plural(each.occurrences, 'longer text')}: {listed(map(str, each.containers))}")
        else:
            console.print(f"\nHas in it {each.input_hash}: {_excerpt(each.text)}")
    for group in known.duplicates:
        others = (str(each.input_hash) for each in group.texts if each.text != known.gold.text)
        console.print(f"\nEqual but for {group.differ}: {listed(others)}")


def predictions(doc: Doc) -> Iterator[tuple[Span, float | None]]:
    """Yield the spans that a pipeline has predicted in a text, with their probabilities if it has any."""
    group = doc.spans.get("predicted", doc.ents)
    scores = getattr(group, "attrs", {}).get("scores", [None] * len(group))
    for span, score in zip(group, scores, strict=True):
        yield Span(span.start_char, span.end_char, span.label_), None if score is None else float(score)


def print_predictions(console: Console, model: Path, text: str, labels: Collection[str]) -> None:
    """Print what a model predicts, with probabilities; those below the threshold are not predicted.

    labels (Collection[str]): Of the gold. A model that knows none of them, or is not of the last training, is said.
    """
    nlp = load_model(model)
    console.print(f"\nPredictions of {model}")
    for demand in (partial(demand_finished, model), partial(demand_labels, model, labels_of(nlp.meta), labels)):
        try:
            demand()
        except UserError as err:
            console.print(f"⚠ {err}", soft_wrap=True)
    table = new_table("label", "probability", "span", text=["span"])
    for span, probability in predictions(nlp(text)):
        table.add_row(span.label, ratio(probability), _spans(text, [span]))
    console.print(table)


def _state(gold: GoldText, label: str) -> str:
    if label in gold.covered:
        return "covered"
    if label in gold.unresolved:
        return "unresolved"
    if ranges := gold.covered_ranges.get(label):
        return "covered in " + ", ".join(f"{start}–{end}" for start, end in ranges)
    decided = any(span.label == label for span in (*gold.accepted, *gold.rejected))
    return "partly covered" if decided else "not covered"


def _spans(text: str, spans: Iterable[Span]) -> str:
    return ", ".join(f"{text[span.start : span.end]} ({span.label} {span.start}–{span.end})" for span in spans) or "–"


def _time(timestamp: int | None) -> str:
    return "" if timestamp is None else datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def demand_found(texts: list[GoldText], wanted: str) -> None:
    """RAISES (UserError): If no text was found. It does not repeat what was asked for, which is text."""
    if not texts:
        what = f"the hash {wanted}" if wanted.strip().lstrip("-").isdecimal() else "that piece of text"
        raise UserError(f"no text of the gold has {what}; whitespace and case must be the same")
