"""How long an answer takes: the time between one and the next of the same annotator in a dataset.

A gap longer than a few minutes is a pause. The median is taken, since some gaps within a few minutes are pauses too.
What is not known is not guessed: times that a program wrote, all alike or all at once, are no measure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.annotations.files import BUFFER
from scripts.annotations.manifest import Manifest
from scripts.annotations.parallel import spread
from scripts.annotations.records import Kind

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


_decode = msgspec.json.Decoder(_Answer).decode


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
        for answer in map(_decode, lines):
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
