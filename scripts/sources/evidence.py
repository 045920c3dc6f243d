"""What the answers of a dataset tell beside their labels: which texts are answered, by whom, when, and how often.

It is bounded: texts are sampled by their hash, the same ones in every dataset, so that two samples can be compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

import msgspec

from scripts.core.answers import AGAIN, OTHER, UNCLEAR, Range, Task, place, relation
from scripts.core.texts import input_hash

MAX_TEXTS = 10_000
_MAX_READ = 2000  # texts whose characters are counted
_PIECE = re.compile(r"(?<=[.!?。!?])\s+|(?<=[。!?])|\n+")

# https://www.unicode.org/Public/UCD/latest/ucd/Scripts.txt, in short
_SCRIPTS = {
    name: re.compile(f"[{characters}]")
    for name, characters in {
        "Latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff", "Greek": "\u0370-\u03ff\u1f00-\u1fff",
        "Cyrillic": "\u0400-\u052f", "Armenian": "\u0530-\u058f", "Hebrew": "\u0590-\u05ff",
        "Arabic": "\u0600-\u06ff\u0750-\u077f", "Devanagari": "\u0900-\u097f", "Bengali": "\u0980-\u09ff",
        "Gurmukhi": "\u0a00-\u0a7f", "Gujarati": "\u0a80-\u0aff", "Tamil": "\u0b80-\u0bff", "Telugu": "\u0c00-\u0c7f",
        "Kannada": "\u0c80-\u0cff", "Malayalam": "\u0d00-\u0d7f", "Sinhala": "\u0d80-\u0dff", "Thai": "\u0e00-\u0e7f",
        "Tibetan": "\u0f00-\u0fff", "Ethiopic": "\u1200-\u139f", "Kana": "\u3040-\u30ff",
        "Hangul": "\u1100-\u11ff\uac00-\ud7af", "Han": "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff",
    }.items()
}  # fmt: skip
_T = TypeVar("_T")
_Place = tuple[int, int, str]  # of a span: start, end, label


class Sampled(NamedTuple):
    """An answer about a sampled text; order: by time, then place; labels: of all its spans, taken or
    not; about: what it is complete for.
    """

    annotator: str
    order: tuple[int, str, int]
    kind: str
    labels: frozenset[str]
    spans: frozenset[_Place]
    about: frozenset[str]


class Sample(Generic[_T]):
    """Lists by hash, as far as the hash is among the smallest."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.limit = 2**31  # hashes from here on are not sampled
        self.items: dict[int, list[_T]] = {}

    def takes(self, key: int) -> bool:
        """Whether a hash is sampled."""
        return key < self.limit

    def add(self, key: int, item: _T) -> None:
        """Add an item under a hash, if it is sampled."""
        if key < self.limit:
            self.items.setdefault(key, []).append(item)
            if len(self.items) > 2 * self.size:
                self.limit = sorted(self.items)[self.size]
                self.items = {key: items for key, items in self.items.items() if key < self.limit}

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.limit == 2**31

    def below(self, limit: int) -> set[int]:
        """The sampled hashes below a limit."""
        return {key for key in self.items if key < limit}


class Evidence(msgspec.Struct):
    """What the answers of a dataset tell.

    texts (Sample[Sampled]): Answers by input hash, without those that ignore or reject the text.
    pieces (Sample[None]): Hashes of the sentences and lines of texts that have several.
    answers (Counter[str]): Complete answers by annotator.
    spans (Counter[tuple[str, str]]): Of complete answers, by annotator and label.
    times (list[int]): The first and the last time; empty if no answer has one.
    untimed (int): Answers without a time.
    numbers (list[int]): The first and the last number in the places of answers.
    scripts (Counter[str]): Characters by script.
    reviews (int): Answers that decide between others.
    """

    texts: Sample[Sampled] = msgspec.field(default_factory=lambda: Sample(MAX_TEXTS))
    pieces: Sample[None] = msgspec.field(default_factory=lambda: Sample(MAX_TEXTS))
    answers: Counter[str] = msgspec.field(default_factory=Counter)
    spans: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    times: list[int] = []
    untimed: int = 0
    numbers: list[int] = []
    scripts: Counter[str] = msgspec.field(default_factory=Counter)
    reviews: int = 0
    read: int = 0  # answers

    def add(self, tasks: Iterable[Task]) -> None:
        """Take the evidence of the answers of one record."""
        for task in tasks:
            self.read += 1
            _, number = place(task)
            self.numbers = [min([number, *self.numbers[:1]]), max([number, *self.numbers[1:]])]
            if task.timestamp is None:
                self.untimed += 1
            else:
                self.times = [min([task.timestamp, *self.times[:1]]), max([task.timestamp, *self.times[1:]])]
            if self.read <= _MAX_READ:
                self._count_scripts(task.text)
            if task.answer == "accept" or (task.answer == "reject" and task.kind == "binary"):
                self._add_answer(task)

    def _add_answer(self, task: Task) -> None:
        self.reviews += task.kind == "review"
        if task.kind != "binary":
            self.answers[task.annotator] += 1
            self.spans.update((task.annotator, span.label) for span in task.spans)
        if self.texts.takes(task.input_hash):
            found = task.spans if task.answer == "accept" else ()
            spans = frozenset((span.start, span.end, span.label) for span in found)
            labels = frozenset({span.label for span in task.spans}.union(task.other_labels))
            about = frozenset(task.labels)
            answer = Sampled(task.annotator, (task.timestamp or 0, *place(task)), task.kind, labels, spans, about)
            self.texts.add(task.input_hash, answer)
        for piece in pieces_of(task.text):
            self.pieces.add(input_hash(piece), None)

    def _count_scripts(self, text: str) -> None:
        for name, characters in _SCRIPTS.items():
            if found := len(characters.findall(text)):
                self.scripts[name] += found


class Known(NamedTuple):
    """A block with what its answers tell, already in the config or to be written.

    dataset (str): The name of the dataset that it reads.
    labels (frozenset[str]): Our names of them.
    place (str): What numbers the answers, so that those of two blocks can be compared.
    found (str): How its answers call its only label, if not as we do.
    origin (int): The same number for blocks that read the same dataset.
    """

    block: str
    dataset: str
    labels: frozenset[str]
    evidence: Evidence
    place: str = ""
    found: str = ""
    origin: int = 0


def simple_name(name: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return re.sub(r"[\W_]", "", name.casefold())


def pieces_of(text: str) -> Iterator[str]:
    """Yield the sentences and lines of a text, if it has several."""
    pieces = [piece.strip() for piece in _PIECE.split(text)]
    if len(pieces) > 1:
        yield from filter(None, pieces)


class Repeats(NamedTuple):
    """Sampled texts with several complete answers of one annotator in a dataset that differ: the next is about other
    labels, about the same again, or one of them is without spans, so that it cannot be told. `merge` decides so too.
    """

    other: int = 0
    again: int = 0
    unclear: int = 0

    @property
    def are_passes(self) -> bool:
        """Whether the dataset was made in passes, one a label: by the rule of `merge`."""
        return self.other > self.again


def _places(answer: Sampled) -> set[Range]:
    return {(start, end) for start, end, _ in answer.spans}


def find_repeats(evidence: Evidence) -> Repeats:
    """Count the texts with several complete answers; equal ones say nothing."""
    found: Counter[str] = Counter()
    for answers in evidence.texts.items.values():
        complete = sorted((answer for answer in answers if answer.kind == "manual"), key=lambda answer: answer[:2])
        kinds = {
            relation(one.labels, _places(one), other.labels, _places(other))
            for one, other in pairwise(complete)
            if one.annotator == other.annotator and one.about & other.about and one[2:] != other[2:]
        }
        found.update([kind for kind in (AGAIN, OTHER, UNCLEAR) if kind in kinds][:1])
    return Repeats(found[OTHER], found[AGAIN], found[UNCLEAR])
