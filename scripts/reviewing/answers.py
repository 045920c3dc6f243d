"""What annotators answered, text by text: how far they agree, how often each of them annotates, and who did what."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.annotations.manifest import Manifest
from scripts.annotations.parallel import spread
from scripts.annotations.records import Answer, Kind, Span
from scripts.merging.buckets import ALL, MOST_BUCKETS, Range
from scripts.merging.buckets import groups as same_hash
from scripts.reviewing.agreement import Agreement, Ranges, Tally, words_of
from scripts.reviewing.authors import Answered, Authors, Packed, pack, write
from scripts.reviewing.groups import Groups, Sums, groups

_BYTES = 4 * 2**20  # of answers that are looked at together


class Said(msgspec.Struct, gc=False):
    """What of an answer is needed, see `Task`."""

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


class Job(NamedTuple):
    """Hashes, of the answers in some files; and all labels."""

    paths: tuple[Path, ...]
    hashes: Range
    labels: tuple[str, ...]


class Counts(NamedTuple):
    """tallies (dict): By label. sums (dict): See `groups`. answered (list): What just one annotator answered for."""

    tallies: dict[str, Tally]
    sums: dict[tuple[str, tuple[str, ...]], Sums]
    answered: list[Answered]


class Part(NamedTuple):
    """What was found in some answers."""

    tallies: dict[str, Tally]
    sums: dict[tuple[str, tuple[str, ...]], Sums]
    answered: Packed


class Found(NamedTuple):
    """By label: how far annotators agree, where several answered about the same texts; how often datasets, annotators
    and periods annotate, where there are several; and who answered.
    """

    agreement: dict[str, Agreement]
    groups: list[Groups]
    authors: Authors


_decode = msgspec.json.Decoder(Said).decode


def look_at_answers(folder: Path, manifest: Manifest, labels: tuple[str, ...], work: Path, processes: int) -> Found:
    """Look at all complete answers that accept a text; of an annotator's answers about one, at the latest.

    folder (Path), manifest (Manifest): What was pulled, and merged.
    labels (tuple[str, ...]): All that are known. work (Path): A folder, for who answered.
    """
    size = sum(entry.bytes for entry in manifest.datasets.values())
    paths = tuple(folder / entry.file for entry in manifest.datasets.values())
    ranges = ALL.split(min(MOST_BUCKETS, max(1, math.ceil(size / _BYTES))))  # whatever the number of processes
    jobs = [Job(paths, hashes, labels) for hashes in ranges]
    tallies: dict[str, Tally] = defaultdict(Tally)
    sums: dict[tuple[str, tuple[str, ...]], Sums] = defaultdict(Sums)

    def added() -> Iterator[Packed]:
        for part in spread(_counts, jobs, processes, "Reading answers"):
            for label, tally in part.tallies.items():
                tallies[label].add(tally)
            for key, some in part.sums.items():
                sums[key].add(some)
            yield part.answered

    authors = write(added(), work)
    return Found({label: tallies[label].agreement() for label in sorted(tallies)}, groups(sums), authors)


def _counts(job: Job) -> Part:
    counts = Counts(defaultdict(Tally), defaultdict(Sums), [])
    numbers = {label: number for number, label in enumerate(job.labels)}
    for lines in same_hash(job.paths, job.hashes, _BYTES * 16):
        for answers in _texts(lines):
            _count(answers, counts, numbers)
    return Part(dict(counts.tallies), dict(counts.sums), pack(counts.answered))


def _texts(lines: Iterable[bytes]) -> Iterator[list[Said]]:
    """The answers that count, by text."""
    texts: dict[str, list[Said]] = defaultdict(list)
    for said in map(_decode, lines):
        if said.answer == "accept" and said.kind == "manual" and said.text:
            texts[said.text].append(said)
    for text in sorted(texts):
        yield texts[text]


def _count(answers: list[Said], counts: Counts, numbers: Mapping[str, int]) -> None:
    if len(answers) == 1:
        _count_one(answers[0], counts, numbers)
        return
    latest: dict[str, dict[tuple[str, str], Said]] = defaultdict(dict)  # by label and annotator
    for said in sorted(answers, key=_when):
        for label in said.labels:
            latest[label][_annotator(said)] = said
    words = None
    for label, by_annotator in latest.items():
        spans = {who: _ranges(said, label) for who, said in by_annotator.items()}
        for who, said in by_annotator.items():
            names = (said.dataset, said.annotator, _month(said.timestamp))
            counts.sums[label, names].count(len(spans[who]), len(said.text))
        if len(spans) == 1 and label in numbers:
            text = answers[0]
            counts.answered.append(Answered(text.input_hash, len(text.text), numbers[label], _name(*by_annotator)))
        if len(spans) > 1:
            words = words or words_of(answers[0].text)
            counts.tallies[label].count({_name(who): ranges for who, ranges in spans.items()}, words)


def _count_one(said: Said, counts: Counts, numbers: Mapping[str, int]) -> None:
    """What `_count` comes to where there is one answer, as there is for nearly all texts."""
    times = Counter(span.label for span in said.spans)
    names = (said.dataset, said.annotator, _month(said.timestamp))
    who, length = _name(_annotator(said)), len(said.text)
    for label in said.labels:
        counts.sums[label, names].count(times[label], length)
        if label in numbers:
            counts.answered.append(Answered(said.input_hash, length, numbers[label], who))


def _month(timestamp: int | None) -> str:
    """`2026-01`; empty if there is no time."""
    return _month_of(timestamp // 86_400) if timestamp and timestamp > 0 else ""


@lru_cache(maxsize=4096)
def _month_of(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, timezone.utc).strftime("%Y-%m")


def _ranges(said: Said, label: str) -> Ranges:
    return frozenset((span.start, span.end) for span in said.spans if span.label == label)


def _annotator(said: Said) -> tuple[str, str]:
    """As in merging: a dataset that does not say who answered counts as one annotator."""
    return (said.annotator, "") if said.annotator else ("", said.dataset)


def _name(who: tuple[str, str]) -> str:
    return who[0] or f"{who[1]} (dataset)"


def _when(said: Said) -> tuple[int, str, int]:
    return (-1 if said.timestamp is None else said.timestamp, said.dataset, int(said.source.rpartition(":")[2]))
