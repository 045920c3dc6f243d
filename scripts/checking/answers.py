"""Whose annotation it is: for each text and label the annotator, where just one answered.

Somebody who always does the same to a form is right by their own annotations: what others do tells that it is wrong.

What annotators answered, text by text: how far they agree, how often each of them annotates, and who did what.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.checking.agreement import Agreement, Ranges, Tally, words_of
from scripts.checking.passages import Known
from scripts.checking.rates import Groups, Sums, groups
from scripts.core.answers import Answer, Kind, Span
from scripts.core.manifest import Manifest
from scripts.core.workers import spread
from scripts.merging.buckets import ALL, MOST_BUCKETS, Range
from scripts.merging.buckets import groups as same_hash
from scripts.merging.fingerprints import Numbers, looked_up

UNKNOWN = 0  # or several
_MOST = 2**15 - 1
_ANSWER = np.dtype([("length", "i4"), ("label", "i2"), ("author", "i2")])


class Packed(NamedTuple):
    """Who answered for which label in which text: hashes; the rest, with numbers of names; and the names."""

    hashes: NDArray[np.int32]
    rest: NDArray[np.void]
    names: list[str]


class Authors(NamedTuple):
    """Files: of each answer the hash; and the rest, in the order of hashes."""

    hashes: Path
    rest: Path


def pack(hashes: Numbers, lengths: Numbers, labels: Numbers, who: Numbers, names: Sequence[str]) -> Packed:
    """Who answered, a row a label and text.

    hashes (Numbers), lengths (Numbers): Of the texts, in the order of hashes. labels (Numbers): Numbers of labels.
    who (Numbers): Which of the names.
    """
    authors = {name: number for number, name in enumerate(dict.fromkeys(names))}
    numbers = np.array([min(authors[name], _MOST) for name in names], np.int16)
    rest = np.zeros(len(hashes), _ANSWER)
    rest["length"], rest["label"], rest["author"] = lengths, labels, numbers[who]
    return Packed(hashes.astype(np.int32), rest, list(authors))


def write(parts: Iterable[Packed], folder: Path) -> Authors:
    """Write who answered, to be looked up in bounded memory.

    parts (Iterable[Packed]): In the order of hashes.
    """
    authors = Authors(folder / "hashes", folder / "authors")
    numbers: dict[str, int] = {}
    with authors.hashes.open("wb") as hashes, authors.rest.open("wb") as rest:
        for part in parts:
            found = [numbers.setdefault(name, len(numbers) + 1) for name in part.names]
            known = np.array([number if number <= _MOST else UNKNOWN for number in found], np.int16)
            if len(part.rest):
                part.rest["author"] = known[np.minimum(part.rest["author"], len(known) - 1)]
            hashes.write(part.hashes.tobytes())
            rest.write(part.rest.tobytes())
    return authors


def authors_of(texts: Sequence[Known], labels: int, authors: Authors) -> NDArray[np.int16]:
    """The number of the annotator, texts × labels.

    texts (Sequence[Known]): In the order of the gold, so of their hashes.
    """
    found = np.full((len(texts), labels), UNKNOWN, np.int16)
    if not texts or not authors.hashes.stat().st_size:
        return found
    hashes = np.memmap(authors.hashes, np.int32, "r")
    first, last = np.int32(texts[0].input_hash), np.int32(texts[-1].input_hash)
    part = slice(int(np.searchsorted(hashes, first)), int(np.searchsorted(hashes, last, side="right")))
    rows = np.array(np.memmap(authors.rest, _ANSWER, "r")[part])
    wanted = _key(np.array(hashes[part], np.int64), rows["length"])
    own = _key(np.array([text.input_hash for text in texts]), np.array([len(text.text) for text in texts]))
    order = np.argsort(own, kind="stable")
    at, same = looked_up(own[order], wanted)
    found[order[at[same]], rows["label"][same]] = rows["author"][same]
    return found


def _key(hashes: Numbers, lengths: NDArray[np.int32] | Numbers) -> Numbers:
    return (hashes << 32) + lengths.astype(np.int64)


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


class Part(NamedTuple):
    """What was found in some answers.

    tallies (dict): By label. sums (dict): See `groups`. answered (Packed): What just one annotator answered for.
    """

    tallies: dict[str, Tally]
    sums: dict[Named, Sums]
    answered: Packed


class Found(NamedTuple):
    """By label: how far annotators agree, where several answered about the same texts; how often datasets, annotators
    and periods annotate, where there are several; and who answered.
    """

    agreement: dict[str, Agreement]
    groups: list[Groups]
    authors: Authors


Named = tuple[str, tuple[str, ...]]  # a label, and names: see `groups`
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
    sums: dict[Named, Sums] = defaultdict(Sums)

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
    tallies: dict[str, Tally] = defaultdict(Tally)
    rows = Answers(job.labels)
    for lines in same_hash(job.paths, job.hashes, _BYTES * 16):
        for answers in _texts(lines):
            _count(answers, tallies, rows)
    return Part(dict(tallies), rows.sums(), rows.answered())


def _texts(lines: Iterable[bytes]) -> Iterator[list[Said]]:
    """The answers that count, by text."""
    texts: dict[str, list[Said]] = defaultdict(list)
    for said in map(_decode, lines):
        if said.answer == "accept" and said.kind == "manual" and said.text:
            texts[said.text].append(said)
    for text in sorted(texts):
        yield texts[text]


def _count(answers: list[Said], tallies: dict[str, Tally], rows: Answers) -> None:
    if len(answers) == 1:  # as for nearly all texts
        rows.add(answers[0], answers[0].labels, True)
        return
    latest: dict[str, dict[tuple[str, str], Said]] = defaultdict(dict)  # by label and annotator
    for said in sorted(answers, key=_when):
        for label in said.labels:
            latest[label][_annotator(said)] = said
    words = None
    for label, by_annotator in latest.items():
        for said in by_annotator.values():
            rows.add(said, [label], len(by_annotator) == 1)
        if len(by_annotator) > 1:
            words = words or words_of(answers[0].text)
            spans = {_name(who): _ranges(said, label) for who, said in by_annotator.items()}
            tallies[label].count(spans, words)


class Answers:
    """Answers as columns, a row an answer and label; each annotator's latest about a text."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._known = len(labels)
        self._labels = {label: number for number, label in enumerate(labels)}  # and what else is met
        self._names: dict[tuple[str, ...], int] = {}  # of a dataset, an annotator, a month
        self._label: list[int] = []  # of each row
        self._spans: list[int] = []
        # Of each answer: its hash, length, names, whether nobody else answered for these labels, and how many rows.
        self._answers: list[tuple[int, int, int, bool, int]] = []

    def add(self, said: Said, labels: list[str], alone: bool) -> None:
        """Add an answer for some of its labels.

        alone (bool): Whether nobody else answered for them.
        """
        names = (said.dataset, said.annotator, _month(said.timestamp))
        number = self._names.setdefault(names, len(self._names))
        numbers = self._labels
        times = dict.fromkeys(labels, 0)
        for span in said.spans:
            if span.label in times:
                times[span.label] += 1
        self._label += [numbers.setdefault(label, len(numbers)) for label in times]
        self._spans += times.values()
        self._answers.append((said.input_hash, len(said.text), number, alone, len(times)))

    def sums(self) -> dict[Named, Sums]:
        """By label and names."""
        answers, spans = self._columns, np.array(self._spans, np.int64)
        lengths = answers[1]
        key, which = np.unique(answers[2] * len(self._labels) + np.array(self._label, np.int64), return_inverse=True)
        values = np.zeros((len(key), 6), np.int64)
        terms = (np.ones_like(spans), spans, lengths, spans * spans, lengths * lengths, spans * lengths)
        np.add.at(values, which, np.stack(terms, 1))
        labels, names = list(self._labels), list(self._names)
        return {
            (labels[one % len(labels)], names[one // len(labels)]): Sums(*row)
            for one, row in zip(key.tolist(), values.tolist(), strict=True)
        }

    def answered(self) -> Packed:
        """Who answered, where just one did."""
        hashes, lengths, names, alone, _ = self._columns
        labels = np.array(self._label, np.int64)
        chosen = (alone > 0) & (labels < self._known)
        who = [_name(_who(dataset, annotator)) for dataset, annotator, _ in self._names]
        return pack(hashes[chosen], lengths[chosen], labels[chosen], names[chosen], who)

    @cached_property
    def _columns(self) -> NDArray[np.int64]:
        """What is known of each answer, columns × rows."""
        answers = np.array(self._answers, np.int64).reshape(-1, 5)
        return np.repeat(answers, answers[:, 4], axis=0).T


def _month(timestamp: int | None) -> str:
    """`2026-01`; empty if there is no time."""
    return _month_of(timestamp // 86_400) if timestamp and timestamp > 0 else ""


@lru_cache(maxsize=4096)
def _month_of(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, timezone.utc).strftime("%Y-%m")


def _ranges(said: Said, label: str) -> Ranges:
    return frozenset((span.start, span.end) for span in said.spans if span.label == label)


def _annotator(said: Said) -> tuple[str, str]:
    return _who(said.dataset, said.annotator)


def _who(dataset: str, annotator: str) -> tuple[str, str]:
    """As in merging: a dataset that does not say who answered counts as one annotator."""
    return (annotator, "") if annotator else ("", dataset)


def _name(who: tuple[str, str]) -> str:
    return who[0] or f"{who[1]} (dataset)"


def _when(said: Said) -> tuple[int, str, int]:
    return (-1 if said.timestamp is None else said.timestamp, said.dataset, int(said.source.rpartition(":")[2]))
