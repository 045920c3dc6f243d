"""What annotators answered, text by text: how far they agree, and how often each of them annotates."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
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
from scripts.reviewing.groups import Groups, Sums, groups

_BYTES = 4 * 2**20  # of answers that are looked at together


class Said(msgspec.Struct, gc=False):
    """What of an answer is needed, see `Task`."""

    text: str
    labels: list[str]
    spans: list[Span]
    answer: Answer
    kind: Kind
    annotator: str
    timestamp: int | None
    dataset: str
    source: str


class Part(NamedTuple):
    """Hashes, of the answers in some files."""

    paths: tuple[Path, ...]
    hashes: Range


class Counts(NamedTuple):
    """tallies (dict): By label. sums (dict): See `groups`."""

    tallies: dict[str, Tally]
    sums: dict[tuple[str, tuple[str, ...]], Sums]


_decode = msgspec.json.Decoder(Said).decode


def look_at_answers(folder: Path, manifest: Manifest, processes: int) -> tuple[dict[str, Agreement], list[Groups]]:
    """Look at all complete answers that accept a text; of an annotator's answers about one, at the latest.

    folder (Path), manifest (Manifest): What was pulled, and merged.
    RETURNS (tuple[dict[str, Agreement], list[Groups]]): By label: how far annotators agree, where several answered
        about the same texts; and how often datasets, annotators and periods annotate, where there are several.
    """
    size = sum(entry.bytes for entry in manifest.datasets.values())
    paths = tuple(folder / entry.file for entry in manifest.datasets.values())
    ranges = ALL.split(min(MOST_BUCKETS, max(1, math.ceil(size / _BYTES))))  # whatever the number of processes
    tallies: dict[str, Tally] = defaultdict(Tally)
    sums: dict[tuple[str, tuple[str, ...]], Sums] = defaultdict(Sums)
    for part in spread(_counts, [Part(paths, hashes) for hashes in ranges], processes, "Reading answers"):
        for label, tally in part.tallies.items():
            tallies[label].add(tally)
        for key, some in part.sums.items():
            sums[key].add(some)
    return {label: tallies[label].agreement() for label in sorted(tallies)}, groups(sums)


def _counts(part: Part) -> Counts:
    counts = Counts(defaultdict(Tally), defaultdict(Sums))
    for lines in same_hash(part.paths, part.hashes, _BYTES * 16):
        for answers in _texts(lines):
            _count(answers, counts)
    return Counts(dict(counts.tallies), dict(counts.sums))


def _texts(lines: Iterable[bytes]) -> Iterator[list[Said]]:
    """The answers that count, by text."""
    texts: dict[str, list[Said]] = defaultdict(list)
    for said in map(_decode, lines):
        if said.answer == "accept" and said.kind == "manual" and said.text:
            texts[said.text].append(said)
    for text in sorted(texts):
        yield texts[text]


def _count(answers: list[Said], counts: Counts) -> None:
    latest: dict[str, dict[tuple[str, str], Said]] = defaultdict(dict)  # by label and annotator
    for said in sorted(answers, key=_when) if len(answers) > 1 else answers:
        for label in said.labels:
            latest[label][_annotator(said)] = said
    words = None
    for label, by_annotator in latest.items():
        spans = {who: _ranges(said, label) for who, said in by_annotator.items()}
        for who, said in by_annotator.items():
            names = (said.dataset, said.annotator, _month(said.timestamp))
            counts.sums[label, names].count(len(spans[who]), len(said.text))
        if len(spans) > 1:
            words = words or words_of(answers[0].text)
            counts.tallies[label].count({_name(who): ranges for who, ranges in spans.items()}, words)


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
