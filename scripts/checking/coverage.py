"""How long an answer takes: the time between one and the next of the same annotator in a dataset.

A gap longer than a few minutes is a pause. The median is taken, since some gaps within a few minutes are pauses too.
What is not known is not guessed: times that a program wrote, all alike or all at once, are no measure.

Which texts a label still lacks, what completing it would cost, and what of that would be done twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from scripts.checking.review import FOLDER, load_current
from scripts.core.answers import Kind
from scripts.core.files import BUFFER, exclusive, whole_file, write_json
from scripts.core.manifest import Manifest
from scripts.core.workers import spread
from scripts.merging.duplicates import BANDS, group_near_duplicates, shingles, signature
from scripts.merging.merged import gold_as_merged, known_labels
from scripts.merging.survey import Block, blocks, lines, text_at

PAUSE = 300  # seconds
_FEWEST = 20  # gaps


class Speed(msgspec.Struct):
    """How long an answer about a label takes.

    gaps (int): Between answers, without pauses.
    seconds (float | None): Their median; None if it is no measure.
    why (str): Why it is none.
    together (int): How many labels are annotated at once, at most, in the datasets that were measured.
    """

    gaps: int
    seconds: float | None
    why: str = ""
    together: int = 1


class _Answer(msgspec.Struct, gc=False):
    kind: Kind
    annotator: str
    timestamp: int | None


_decode_answer = msgspec.json.Decoder(_Answer).decode


class _Measured(NamedTuple):
    answers: int
    gaps: Counter[int]  # by seconds


def speeds(folder: Path, manifest: Manifest, processes: int) -> dict[str, Speed]:
    """How long an answer takes, by label, from all datasets in which it is annotated.

    folder (Path), manifest (Manifest): What was pulled.
    """
    entries = list(manifest.datasets.values())
    gaps: dict[str, Counter[int]] = defaultdict(Counter)
    together: Counter[str] = Counter()
    timed = spread(_gaps, [folder / entry.file for entry in entries], processes, "Timing")
    for entry, found in zip(entries, timed, strict=True):
        for label in entry.labels:
            gaps[label].update(found)
            if found:
                together[label] = max(together[label], len(entry.labels))
    return {label: _speed(gaps[label], together[label] or 1) for label in sorted(gaps)}


def _gaps(path: Path) -> Counter[int]:
    """Seconds between answers, up to a pause."""
    times: dict[str, list[int]] = defaultdict(list)
    with path.open("rb", BUFFER) as lines:
        for answer in map(_decode_answer, lines):
            if answer.kind == "manual" and answer.timestamp:
                times[answer.annotator].append(answer.timestamp)
    gaps = (after - before for own in times.values() for before, after in pairwise(sorted(own)))
    return Counter(gap for gap in gaps if gap <= PAUSE)


def _speed(gaps: Counter[int], together: int) -> Speed:
    number = gaps.total()
    if number < _FEWEST:
        return Speed(number, None, "too few answers have a time" if number else "answers have no time", together)
    first, middle, last = (_quantile(gaps, share) for share in (0.25, 0.5, 0.75))
    if first == last or not middle:
        return Speed(number, None, "times are all alike, as a program writes them", together)
    return Speed(number, float(middle), "", together)


def _quantile(gaps: Counter[int], share: float) -> int:
    """The least gap that so many are not longer than."""
    left = share * gaps.total()
    for gap in sorted(gaps):
        left -= gaps[gap]
        if left <= 0:
            return gap
    raise AssertionError("there are no gaps")


NAME = "coverage.json"
LIST = "coverage.jsonl"
_MEND = "look at it again: weasel run coverage"


class Lacking(msgspec.Struct, kw_only=True):
    """A text in which labels are not annotated; a line of `corpus/review/coverage.jsonl`.

    labels (list[str]): Those that are not covered.
    like (int | None): The hash of the first text of the gold that is much like it, or like one that is.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    labels: list[str]
    like: int | None = None


class Known(msgspec.Struct, kw_only=True):
    """What is annotated of a label. Texts are those covered, partly known, unresolved and unknown.

    lacking (int): Texts that are not covered. words (int): In these, by blanks.
    twins (int): Of these, texts much like another of them: they would be annotated twice.
    like_covered (int): Of these, texts much like one that is covered.
    speed (Speed): How long an answer took.
    hours (float | None): For all that are lacking, at that speed; None if it is not known.
    """

    texts: int
    covered: int
    partly: int
    unresolved: int
    unknown: int
    lacking: int
    words: int
    twins: int
    like_covered: int
    speed: Speed
    hours: float | None


class Coverage(msgspec.Struct, kw_only=True):
    """corpus/review/coverage.json.

    gold (str): Digest of the gold that was looked at.
    texts (int): Of it. complete (int): Of these, those in which all labels are covered.
    labels (dict[str, Known]): Sorted.
    similar (int): Texts that are much like an earlier one.
    """

    gold: str
    texts: int
    complete: int
    labels: dict[str, Known]
    similar: int


def load(corpus: Path) -> Coverage | None:
    """Read coverage.json; None if there is none.

    RAISES (UserError): If it is damaged; `Outdated` if it is of another gold than there is now.
    """
    return load_current(corpus / FOLDER / NAME, Coverage, corpus, _MEND)


def look(corpus: Path, annotations: Path, manifest: Manifest, processes: int) -> Coverage:
    """Look at all of the gold, and at the times of all answers, and write coverage.json and coverage.jsonl.

    corpus (Path): Has the gold, and gets the results.
    annotations (Path), manifest (Manifest): The answers it was made of.
    processes (int): How many at a time; the result does not depend on it.
    RETURNS (Coverage): What was written.
    RAISES (UserError): If the gold is not there, or not as it was merged.
    """
    merged, gold = gold_as_merged(corpus)
    labels = known_labels(merged)
    with exclusive(corpus / FOLDER):
        texts = _survey(gold, labels, processes)
        groups = _groups(gold, texts)
        _write_lacking(gold, labels, texts, groups, corpus / FOLDER / LIST)
        timed = speeds(annotations, manifest, processes)
        found = Coverage(
            gold=merged.outputs[gold.name], texts=len(texts.places), complete=int(texts.covered.all(1).sum()),
            labels={
                label: _known(merged.coverage[label], texts.covered[:, number], texts.words, groups, timed.get(label))
                for number, label in enumerate(labels)
            },
            similar=len(groups) - len(np.unique(groups)),
        )  # fmt: skip
        write_json(corpus / FOLDER / NAME, found)
    return found


class _Row(msgspec.Struct, gc=False):
    text: str
    covered: list[str]


_decode_row = msgspec.json.Decoder(_Row).decode


class _Job(NamedTuple):
    block: Block
    labels: tuple[str, ...]


class _Texts(NamedTuple):
    """By text, in the order of the gold: where its line begins, its words, which labels are covered in it, and its
    bands: some 150 bytes.
    """

    places: Any
    words: Any
    covered: Any
    bands: Any


def _survey(gold: Path, labels: Sequence[str], processes: int) -> _Texts:
    jobs = [_Job(block, tuple(labels)) for block in blocks(gold)]
    found = list(spread(_surveyed, jobs, processes, "Surveying")) or [_surveyed_rows([], tuple(labels))]
    return _Texts(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _surveyed(job: _Job) -> _Texts:
    return _surveyed_rows([(place, _decode_row(line)) for place, line in lines(job.block)], job.labels)


def _surveyed_rows(rows: list[tuple[int, _Row]], labels: tuple[str, ...]) -> _Texts:
    numbers = {label: number for number, label in enumerate(labels)}
    covered = np.zeros((len(rows), len(labels)), np.bool_)
    signatures = np.zeros((len(rows), BANDS), np.uint64)
    for number, (_, row) in enumerate(rows):
        covered[number, [numbers[label] for label in row.covered]] = True
        signatures[number] = signature(shingles(row.text))
    places = np.array([place for place, _ in rows], np.int64)
    words = np.array([len(row.text.split()) for _, row in rows], np.int64)
    return _Texts(places, words, covered, signatures)


# Texts that are much like others


def _groups(gold: Path, texts: _Texts) -> Any:
    """For each text the number of the first text of its group of near-duplicates."""
    with gold.open("rb") as file:
        return group_near_duplicates(texts.bands, lambda number: text_at(file, int(texts.places[number])).text)


# What it comes to


def _write_lacking(gold: Path, labels: Sequence[str], texts: _Texts, groups: Any, path: Path) -> None:
    """The texts that are not annotated for all labels, in the order of the gold."""
    encode = msgspec.json.Encoder().encode_lines
    with gold.open("rb") as file, whole_file(path) as out:
        for number in np.flatnonzero(~texts.covered.all(1)).tolist():
            text = text_at(file, int(texts.places[number]))
            like = int(groups[number])
            lacking = [label for label, known in zip(labels, texts.covered[number].tolist(), strict=True) if not known]
            hash_ = None if like == number else text_at(file, int(texts.places[like])).input_hash
            out.write(encode([Lacking(input_hash=text.input_hash, text=text.text, labels=lacking, like=hash_)]))


def _known(states: dict[str, int], covered: Any, words: Any, groups: Any, speed: Speed | None) -> Known:
    lacking = np.flatnonzero(~covered)
    have = np.zeros(len(groups), np.bool_)
    have[groups[covered]] = True
    in_groups = groups[lacking]
    like_covered = have[in_groups]
    open_groups = in_groups[~like_covered]
    speed = speed or Speed(0, None, "answers have no time")
    return Known(
        texts=states["texts"], covered=states["covered"], partly=states["partly_covered"],
        unresolved=states["unresolved"], unknown=states["not_covered"],
        lacking=len(lacking), words=int(words[lacking].sum()),
        twins=len(open_groups) - len(np.unique(open_groups)), like_covered=int(like_covered.sum()), speed=speed,
        hours=None if speed.seconds is None else round(len(lacking) * speed.seconds / 3600, 2),
    )  # fmt: skip
