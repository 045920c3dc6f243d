"""Compares the answers of annotators about the same texts, and records who alone answered for a label in a text.

Which answers count, and for which labels, goes by the rules of the merge: passes for one label after the other are no
second opinions, nor is the dataset that corrects another.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from time import gmtime, strftime
from typing import NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.checking.groups import (
    Agreement,
    AgreementCounts,
    GroupComparison,
    Names,
    RateSums,
    compare_groups,
    find_words,
)
from scripts.checking.passages import CoveredText
from scripts.core.answers import Answer, Kind, Span, Task, annotator_of, recency
from scripts.core.manifest import Manifest
from scripts.core.workers import spread
from scripts.merging.buckets import ALL, MOST_BUCKETS, Range
from scripts.merging.buckets import groups as same_hash
from scripts.merging.merged import MergeRecord
from scripts.merging.rules import MergeRules, Numbered, corrected, current_answer
from scripts.merging.survey import Numbers, looked_up

UNATTRIBUTED = 0  # instead of an annotator's number: nobody, or several
_MOST_ANNOTATORS = 2**15 - 1  # more than that are unattributed
_SOLE_ANSWER = np.dtype([("hash", "i4"), ("length", "i4"), ("label", "i2"), ("annotator", "i2")])
_BYTES = 4 * 2**20  # of answers that are compared together


class PulledAnswer(msgspec.Struct, gc=False):
    """The fields of a Task that are compared, and those that the rules of the merge go by."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    labels: list[str]
    spans: list[Span]
    answer: Answer
    kind: Kind
    annotator: str
    timestamp: int | None
    dataset: str
    source: str
    other_labels: list[str] = msgspec.field(default_factory=list)
    other_places: list[tuple[int, int]] = msgspec.field(default_factory=list)


_decode = msgspec.json.Decoder(PulledAnswer).decode


class SoleAnswers(NamedTuple):
    """Who alone answered for a label in a text: rows in the order of hashes, and the names of their annotators."""

    rows: NDArray[np.void]
    names: list[str]


AnswerJob = tuple[tuple[Path, ...], Range, tuple[str, ...], MergeRules]  # files of answers, their hashes, all labels
AnswerCounts = tuple[dict[str, AgreementCounts], dict[tuple[str, Names], RateSums], SoleAnswers]  # see `_count`


def compare_answers(
    folder: Path, manifest: Manifest, merged: MergeRecord, labels: tuple[str, ...], work: Path, processes: int
) -> tuple[dict[str, Agreement], list[GroupComparison], Path]:
    """Compare all complete answers that accept a text; of an annotator's answers about one, the latest.

    folder (Path), manifest (Manifest), merged (MergeRecord): The answers that were merged, and by which rules.
    labels (tuple[str, ...]): All labels of the gold. work (Path): A folder for the file of annotators.
    RETURNS: Agreement by label that several annotators answered for in a text; comparisons of datasets, annotators and
        periods, where there are several; and a file of who alone answered, see `annotators_of`.
    """
    size = sum(entry.bytes for entry in manifest.datasets.values())
    paths = tuple(folder / entry.file for entry in manifest.datasets.values())
    # Not by the number of processes, so that sums of floats are the same whatever it is.
    ranges = ALL.split(min(MOST_BUCKETS, max(1, math.ceil(size / _BYTES))))
    agreement: dict[str, AgreementCounts] = defaultdict(AgreementCounts)
    rates: dict[tuple[str, Names], RateSums] = defaultdict(RateSums)
    rules = merged.rules(manifest)

    def added() -> Iterator[SoleAnswers]:
        jobs: list[AnswerJob] = [(paths, hashes, labels, rules) for hashes in ranges]
        for agreement_counts, rate_sums, sole in spread(_count, jobs, processes, "Comparing answers"):
            for label, counts in agreement_counts.items():
                agreement[label].add(counts)
            for key, sums in rate_sums.items():
                rates[key] += sums
            yield sole

    annotators = _write_index(added(), work / "annotators")
    agreements = {label: agreement[label].agreement() for label in sorted(agreement)}
    return agreements, compare_groups(rates), annotators


def _count(job: AnswerJob) -> AnswerCounts:
    """Counts of agreement by label, sums of rates by label and names, and who alone answered."""
    paths, hashes, labels, rules = job
    agreement: dict[str, AgreementCounts] = defaultdict(AgreementCounts)
    columns = AnswerColumns(labels)
    for lines in same_hash(paths, hashes, _BYTES * 16):
        texts: dict[str, list[PulledAnswer]] = defaultdict(list)
        for answer in map(_decode, lines):
            if answer.answer == "accept" and answer.kind == "manual" and answer.text:
                texts[answer.text].append(answer)
        for _, answers in sorted(texts.items()):
            _count_text(answers, rules, agreement, columns)
    return dict(agreement), columns.sums(), columns.sole_answers()


def _count_text(
    answers: list[PulledAnswer], rules: MergeRules, agreement: dict[str, AgreementCounts], columns: AnswerColumns
) -> None:
    if len(answers) == 1 and answers[0].dataset not in rules.passes:  # the usual case
        columns.add(answers[0], answers[0].labels, is_sole=True)
        return
    words = None  # found only if needed: often, each label has one annotator
    for label, by_annotator in _current_answers(answers, rules).items():
        for answer in by_annotator.values():
            columns.add(answer, [label], is_sole=len(by_annotator) == 1)
        if len(by_annotator) > 1:
            words = words or find_words(answers[0].text)
            ranges = {
                _name(annotator): frozenset((span.start, span.end) for span in answer.spans if span.label == label)
                for annotator, answer in by_annotator.items()
            }
            agreement[label].count(ranges, words)


def _current_answers(answers: list[PulledAnswer], rules: MergeRules) -> dict[str, dict[tuple[str, str], PulledAnswer]]:
    """By label and annotator, the answer that counts."""
    own: dict[tuple[str, tuple[str, str], str], list[Numbered]] = defaultdict(list)
    for number, answer in enumerate(sorted(answers, key=recency)):
        for label in answer.labels:
            numbered = Numbered(number, cast(Task, answer))  # it has the fields that the rules read
            own[label, annotator_of(answer), answer.dataset].append(numbered)
    by_label: dict[str, list[Numbered]] = defaultdict(list)
    for (label, _, dataset), same in own.items():
        mode = rules.mode(dataset)
        current = same[0] if len(same) == 1 and mode != "passes" else current_answer(same, label, mode)
        if current is not None:
            by_label[label].append(current)
    latest: dict[str, dict[tuple[str, str], PulledAnswer]] = defaultdict(dict)
    for label, found in by_label.items():
        dropped = corrected(found, rules.corrects) if rules.corrects else ()
        for number, task in sorted(found):
            if number not in dropped:
                latest[label][annotator_of(task)] = cast(PulledAnswer, task)
    return latest


def _name(annotator: tuple[str, str]) -> str:
    name, dataset = annotator
    return name or f"{dataset} (dataset)"


class AnswerColumns:
    """Answers as columns, a row an answer and label."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._gold_labels = len(labels)
        self._labels = {label: number for number, label in enumerate(labels)}  # and others that are met
        self._names: dict[Names, int] = {}
        self._annotators: dict[str, int] = {}
        self._label: list[int] = []
        self._spans: list[int] = []
        # Of each answer: hash, length, names, annotator, is_sole, and the number of its rows.
        self._answers: list[tuple[int, int, int, int, bool, int]] = []

    def add(self, answer: PulledAnswer, labels: list[str], is_sole: bool) -> None:
        """Add an answer for some of its labels. is_sole (bool): Whether nobody else answered for them."""
        time = answer.timestamp if answer.timestamp and answer.timestamp > 0 else None
        names = (answer.dataset, answer.annotator, strftime("%Y-%m", gmtime(time)) if time else "")
        number = self._names.setdefault(names, len(self._names))
        annotator = self._annotators.setdefault(_name(annotator_of(answer)), len(self._annotators))
        counts = dict.fromkeys(labels, 0)
        for span in answer.spans:
            if span.label in counts:
                counts[span.label] += 1
        self._label += [self._labels.setdefault(label, len(self._labels)) for label in counts]
        self._spans += counts.values()
        self._answers.append((answer.input_hash, len(answer.text), number, annotator, is_sole, len(counts)))

    @cached_property
    def _columns(self) -> NDArray[np.int64]:
        """Fields × rows."""
        answers = np.array(self._answers, np.int64).reshape(-1, 6)
        return np.repeat(answers, answers[:, -1], axis=0).T

    def sums(self) -> dict[tuple[str, Names], RateSums]:
        """The sums of rates by label and names."""
        _, lengths, names, *_ = self._columns
        spans = np.array(self._spans, np.int64)
        key, which = np.unique(names * len(self._labels) + np.array(self._label, np.int64), return_inverse=True)
        values = np.zeros((len(key), 6), np.int64)
        terms = (np.ones_like(spans), spans, lengths, spans * spans, lengths * lengths, spans * lengths)
        np.add.at(values, which, np.stack(terms, 1))
        all_labels, all_names = list(self._labels), list(self._names)
        return {
            (all_labels[number % len(all_labels)], all_names[number // len(all_labels)]): RateSums(*row)
            for number, row in zip(key.tolist(), values.tolist(), strict=True)
        }

    def sole_answers(self) -> SoleAnswers:
        """Who alone answered, for labels of the gold."""
        hashes, lengths, _, annotators, is_sole, _ = self._columns
        labels = np.array(self._label, np.int64)
        chosen = (is_sole > 0) & (labels < self._gold_labels)
        rows = np.zeros(int(chosen.sum()), _SOLE_ANSWER)
        rows["hash"], rows["length"], rows["label"] = hashes[chosen], lengths[chosen], labels[chosen]
        rows["annotator"] = np.minimum(annotators[chosen], _MOST_ANNOTATORS)
        return SoleAnswers(rows, list(self._annotators))


def _write_index(parts: Iterable[SoleAnswers], path: Path) -> Path:
    """Write who alone answered, to be looked up in bounded memory. parts: In the order of hashes."""
    numbers: dict[str, int] = {}
    with path.open("wb") as file:
        for part in parts:
            found = np.array([numbers.setdefault(name, len(numbers) + 1) for name in part.names], np.int64)
            if len(part.rows):
                found[found > _MOST_ANNOTATORS] = UNATTRIBUTED
                part.rows["annotator"] = found[np.minimum(part.rows["annotator"], len(found) - 1)]
            file.write(part.rows.tobytes())
    return path


def annotators_of(texts: Sequence[CoveredText], labels: int, index: Path) -> NDArray[np.int16]:
    """The number of the annotator, texts × labels. texts (Sequence[CoveredText]): In the order of their hashes."""
    found = np.full((len(texts), labels), UNATTRIBUTED, np.int16)
    if not texts or not index.stat().st_size:
        return found
    all_rows = np.memmap(index, _SOLE_ANSWER, "r")
    start = bisect_left(all_rows, texts[0].input_hash, key=itemgetter("hash"))
    stop = bisect_right(all_rows, texts[-1].input_hash, lo=start, key=itemgetter("hash"))
    rows = np.array(all_rows[start:stop])
    wanted = _text_keys(rows["hash"].astype(np.int64), rows["length"])
    text_keys = _text_keys(np.array([text.input_hash for text in texts]), np.array([len(text.text) for text in texts]))
    order = np.argsort(text_keys, kind="stable")
    at, is_text = looked_up(text_keys[order], wanted)
    found[order[at[is_text]], rows["label"][is_text]] = rows["annotator"][is_text]
    return found


def _text_keys(hashes: Numbers, lengths: NDArray[np.int32] | Numbers) -> Numbers:
    """Hash and length as one number: texts that share an input hash differ in length, but for very few."""
    return (hashes << 32) + lengths.astype(np.int64)
