"""Coverage: the texts that are not covered for a label, what it would take to annotate them, and coverage.csv.

`coverage` writes corpus/review/coverage.json, and coverage.jsonl with the texts. `merge` writes corpus/coverage.csv.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scripts.checking.passages import Flags, covered_labels, decode_text
from scripts.checking.review import FOLDER, load_current
from scripts.core.answers import Kind
from scripts.core.files import BUFFER, Count, demand_sum, exclusive, of_cell, whole_file, write_json
from scripts.core.manifest import Manifest
from scripts.core.workers import spread
from scripts.merging.duplicates import BANDS, group_near_duplicates, shingles, signature
from scripts.merging.merge import validate_answers
from scripts.merging.merged import annotated_labels, gold_as_merged
from scripts.merging.merged import load as load_merged
from scripts.merging.survey import Block, Hashes, Numbers, blocks, lines, text_at
from scripts.reporting.console import Console, amount, count, listed, new_table, plural

NAME = "coverage.json"
TEXTS = "coverage.jsonl"
MATRIX = "coverage.csv"
STATES = ("covered", "partly_covered", "unresolved", "not_covered")
_ADVICE = "check again: weasel run coverage"


class Speed(msgspec.Struct):
    """The time that an answer about a label takes."""

    gaps: Count  # between an annotator's consecutive answers, without pauses
    seconds: float | None  # their median; None if they are no measure
    reason: str = ""  # why they are none
    labels_at_once: Count = 1  # that are annotated together, at most, in the datasets that were measured


class LabelCoverage(msgspec.Struct, kw_only=True):
    """The coverage of a label."""

    texts: Count  # the sum of those covered, partly_covered, unresolved and not_covered
    covered: Count
    partly_covered: Count
    unresolved: Count
    not_covered: Count
    to_annotate: Count  # texts that are not completely covered
    words: Count  # in these, see `count_words`
    near_duplicates: Count  # of these, texts after the first of a group of near-duplicates, none of which is covered
    near_duplicates_of_covered: Count  # of these, near-duplicates of a covered text
    speed: Speed  # of answers so far
    hours: float | None  # for all of these, at that speed

    def __post_init__(self) -> None:
        """RAISES (ValueError): If the counts do not add up."""
        states = ("covered", "partly_covered", "unresolved", "not_covered")
        demand_sum({name: getattr(self, name) for name in ("texts", *states)}, "texts", states)


class Coverage(msgspec.Struct, kw_only=True):
    """corpus/review/coverage.json."""

    gold: str  # digest of the gold
    texts: Count  # of it
    complete: Count  # of these, covered for all labels
    labels: dict[str, LabelCoverage]  # sorted
    near_duplicates: Count  # texts after the first of a group of near-duplicates


class TextToAnnotate(msgspec.Struct, kw_only=True):
    """A text that is not covered for all labels; a line of `corpus/review/coverage.jsonl`."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    labels: list[str]  # those that are not covered
    near_duplicate_of: int | None = None  # the hash of the first text of its group of near-duplicates


def load(corpus: Path) -> Coverage | None:
    """Read coverage.json; None if there is none. RAISES (UserError): See `load_current`."""
    return load_current(corpus / FOLDER / NAME, Coverage, corpus, _ADVICE)


def check(corpus: Path, annotations: Path, manifest: Manifest, processes: int) -> Coverage:
    """Check all of the gold, and the times of all answers, and write coverage.json and coverage.jsonl.

    corpus (Path): Has the gold, and gets the results.
    annotations (Path), manifest (Manifest): The answers it was made of.
    processes (int): At a time; the result does not depend on it.
    RAISES (UserError): If the gold is missing or has changed.
    """
    merged, gold = gold_as_merged(corpus)
    validate_answers(annotations, manifest, merged)
    labels = annotated_labels(merged)
    with exclusive(corpus / FOLDER):
        texts = _survey(gold, tuple(labels), processes)
        with gold.open("rb") as file:
            groups = group_near_duplicates(texts.signatures, lambda row: text_at(file, int(texts.offsets[row])).text)
        _write_texts(gold, labels, texts, groups, corpus / FOLDER / TEXTS)
        speeds = _measure_speeds(annotations, manifest, processes)
        result = Coverage(
            gold=merged.outputs[gold.name], texts=len(texts.offsets), complete=int(texts.covered.all(1).sum()),
            labels={
                label: _label_coverage(merged.coverage[label], texts, number, groups, speeds.get(label))
                for number, label in enumerate(labels)
            },
            near_duplicates=len(groups) - len(np.unique(groups)),
        )  # fmt: skip
        write_json(corpus / FOLDER / NAME, result)
    return result


class _TextColumns(NamedTuple):
    """By text, in the order of the gold, some 150 bytes each."""

    offsets: Numbers  # of its line
    words: Numbers
    covered: Flags  # texts × labels
    signatures: Hashes  # find near-duplicates


def _survey(gold: Path, labels: tuple[str, ...], processes: int) -> _TextColumns:
    jobs = [(block, labels) for block in blocks(gold) or [Block(gold, 0, 0)]]
    parts = list(spread(_survey_block, jobs, processes, "Surveying"))
    return _TextColumns(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _survey_block(job: tuple[Block, tuple[str, ...]]) -> _TextColumns:
    block, labels = job
    rows = [(offset, decode_text(line)) for offset, line in lines(block)]
    texts = [text for _, text in rows]
    signatures = np.array([signature(shingles(text.text)) for text in texts], np.uint64).reshape(-1, BANDS)
    offsets = np.array([offset for offset, _ in rows], np.int64)
    words = np.array([count_words(text.text) for text in texts], np.int64)
    return _TextColumns(offsets, words, covered_labels(texts, labels), signatures)


_CHARACTER = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def count_words(text: str) -> int:
    """Count words: what whitespace separates, and each Chinese and Japanese character."""
    if text.isascii():
        return len(text.split())
    rest, characters = _CHARACTER.subn(" ", text)
    return characters + sum(any(map(str.isalnum, word)) for word in rest.split()) if characters else len(text.split())


def _write_texts(gold: Path, labels: Sequence[str], texts: _TextColumns, groups: Numbers, path: Path) -> None:
    """Write the texts that are not covered for all labels, in the order of the gold."""
    encode = msgspec.json.Encoder().encode_lines
    with gold.open("rb") as file, whole_file(path) as out:
        for number in np.flatnonzero(~texts.covered.all(1)).tolist():
            text, first = text_at(file, int(texts.offsets[number])), int(groups[number])
            left = [label for label, covered in zip(labels, texts.covered[number], strict=True) if not covered]
            near = None if first == number else text_at(file, int(texts.offsets[first])).input_hash
            line = TextToAnnotate(input_hash=text.input_hash, text=text.text, labels=left, near_duplicate_of=near)
            out.write(encode([line]))


def _label_coverage(
    states: dict[str, int], texts: _TextColumns, label: int, groups: Numbers, speed: Speed | None
) -> LabelCoverage:
    covered = texts.covered[:, label]
    to_annotate = np.flatnonzero(~covered)
    group_is_covered = np.zeros(len(groups), np.bool_)
    group_is_covered[groups[covered]] = True
    of_covered = group_is_covered[groups[to_annotate]]
    others = groups[to_annotate][~of_covered]
    speed = speed or Speed(0, None, _NO_TIME)
    return LabelCoverage(
        texts=states["texts"], **{state: states[state] for state in STATES}, to_annotate=len(to_annotate),
        words=int(texts.words[to_annotate].sum()), near_duplicates=len(others) - len(np.unique(others)),
        near_duplicates_of_covered=int(of_covered.sum()), speed=speed,
        hours=None if speed.seconds is None else round(len(to_annotate) * speed.seconds / 3600, 2),
    )  # fmt: skip


# Speed: the median gap between an annotator's answers in a dataset. Longer gaps are pauses. Times that a program wrote,
# equal or at equal intervals, are no measure.

_PAUSE = 300  # seconds
_FEWEST = 20  # gaps
_NO_TIME = "answers have no time"


class _TimedAnswer(msgspec.Struct, gc=False):
    kind: Kind
    annotator: str
    timestamp: int | None


_decode_answer = msgspec.json.Decoder(_TimedAnswer).decode


def _measure_speeds(folder: Path, manifest: Manifest, processes: int) -> dict[str, Speed]:
    """The speed of each label, from all datasets in which it is annotated."""
    entries = list(manifest.datasets.values())
    gaps: dict[str, Counter[int]] = defaultdict(Counter)
    labels_at_once: Counter[str] = Counter()
    found = spread(_count_gaps, [folder / entry.file for entry in entries], processes, "Timing")
    for entry, of_dataset in zip(entries, found, strict=True):
        for label in entry.labels:
            gaps[label].update(of_dataset)
            if of_dataset:
                labels_at_once[label] = max(labels_at_once[label], len(entry.labels))
    return {label: _speed(gaps[label], labels_at_once[label] or 1) for label in sorted(gaps)}


def _count_gaps(path: Path) -> Counter[int]:
    """Gaps in the answers of a dataset, by seconds, without pauses."""
    times: dict[str, list[int]] = defaultdict(list)
    with path.open("rb", BUFFER) as answers:
        for answer in map(_decode_answer, answers):
            if answer.kind == "manual" and answer.timestamp:
                times[answer.annotator].append(answer.timestamp)
    gaps = (after - before for of_one in times.values() for before, after in pairwise(sorted(of_one)))
    return Counter(gap for gap in gaps if gap <= _PAUSE)


def _speed(gaps: Counter[int], labels_at_once: int) -> Speed:
    number = gaps.total()
    if number < _FEWEST:
        return Speed(number, None, "too few answers have a time" if number else _NO_TIME, labels_at_once)
    times = list(gaps.values())
    first, median, last = np.quantile(list(gaps), (0.25, 0.5, 0.75), weights=times, method="inverted_cdf")
    if first == last or not median:
        return Speed(number, None, "times are at equal intervals, as written by a program", labels_at_once)
    return Speed(number, float(median), "", labels_at_once)


# coverage.csv


class CoverageRow(NamedTuple):
    """The coverage of one label."""

    label: str
    texts: int
    spans: int
    states: dict[str, int]  # texts by state; together they are `texts`
    datasets: dict[str, int]  # by dataset, texts that it covers. Several can cover one text


class CoverageMatrix(NamedTuple):
    """Labels as they are in the file, and the datasets, sorted."""

    labels: list[CoverageRow]
    datasets: list[str]


def read_matrix(path: Path) -> CoverageMatrix | None:
    """Read coverage.csv; None if there is none. RAISES (UserError): If it is not as it was merged."""
    rows: dict[str, CoverageRow] = {}
    if not path.exists():
        return None
    load_merged(path.parent).validate(path)
    with path.open(encoding="utf8", newline="") as file:
        for row in csv.DictReader(file):
            label, dataset = of_cell(row["label"]), of_cell(row["dataset"])
            if dataset == "*":
                states = {state: int(row[state]) for state in STATES}
                rows[label] = CoverageRow(label, int(row["texts"]), int(row["spans"]), states, {})
            else:
                rows[label].datasets[dataset] = int(row["covered"])
    return CoverageMatrix(list(rows.values()), sorted({name for row in rows.values() for name in row.datasets}))


# Console and page

_COLUMNS = ("texts", "= covered", "+ to\nannotate", "words", "near-\ndup.", "of\ncovered", "s each", "hours")


def print_coverage(console: Console, found: Coverage) -> None:
    """Per label, the texts that are covered and those to annotate, and the time these would take."""
    table = new_table("label", *_COLUMNS)
    for label, one in found.labels.items():
        sums = (one.texts, one.covered, one.to_annotate, one.words)
        numbers = (*sums, one.near_duplicates, one.near_duplicates_of_covered)
        table.add_row(label, *map(count, numbers), amount(one.speed.seconds), amount(one.hours, 1))
    console.print(table)
    console.print()
    console.print(
        f"{found.complete:,} of {plural(found.texts, 'text')} are covered for all "
        f"{plural(len(found.labels), 'label')}; {plural(found.near_duplicates, 'near-duplicate')} of an earlier text."
    )
    console.print(
        "near-dup.: near-duplicates of another text to annotate; of covered: near-duplicates of a covered text"
    )
    for reason, names in unmeasured(found).items():
        console.print(f"Time not measured, {reason}: {listed(names)}")


def unmeasured(found: Coverage) -> dict[str, list[str]]:
    """Labels without a speed, by reason."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for label, one in found.labels.items():
        if one.speed.seconds is None:
            reasons[one.speed.reason].append(label)
    return dict(sorted(reasons.items()))
