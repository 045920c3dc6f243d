"""Where surface forms occur in all of the gold: counted by annotator, then read back where they are worth showing.

Occurrences are kept on disk, 32 bytes each, so that the last pass decodes only the texts that it shows. In memory are
30 bytes a form and label, and six counts for each of its annotators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.checking.answers import annotators_of
from scripts.checking.passages import CoveredText, Passage, read_passage, read_texts
from scripts.checking.surface_forms import ANNOTATED, KINDS, UNSUMMED, FormFinder, FormTable, find_occurrences
from scripts.core.workers import spread
from scripts.merging.survey import Block, Hashes, Numbers, keys, looked_up

Counts = NDArray[np.int64]  # rows × kinds
SOME, ALL = 1, 2  # which occurrences of a form and kind are wanted
EXAMPLES = 3  # SOME is this many
_ANNOTATOR_BITS = 15
_TABLE, _WANTED = "table.npy", "wanted.npz"
# form: row of the table and annotator as one number. text: its number in the block. longer: see `Occurrence`.
_OCCURRENCE = np.dtype(
    [("form", "i8"), ("text", "i4"), ("start", "i4"), ("end", "i4"), ("longer", "i4"), ("kind", "i1")], align=True
)


class OccurrenceJob(NamedTuple):
    """A block of the gold whose occurrences are counted, then read."""

    block: Block
    labels: tuple[str, ...]  # all labels
    annotators: Path  # who annotated, see `annotators_of`
    folder: Path  # where `count_occurrences` leaves files for `read_occurrences`

    @property
    def path(self) -> Path:
        """The file of the occurrences in this block."""
        return self.folder / f"occurrences-{self.block.start}.npy"


class FormCounts(NamedTuple):
    """Occurrences of each form and label in the texts of each annotator, sorted by both."""

    rows: Numbers  # of the form table
    annotators: Numbers  # their numbers
    counts: Counts  # by kind


class Occurrence(NamedTuple):
    """An occurrence of a form."""

    row: int  # of the form table
    counted: int  # of `FormCounts`
    kind: int  # see `KINDS`
    text: CoveredText
    annotators: NDArray[np.int16]  # who annotated the text, by label
    start: int
    end: int
    longer: int  # how often the form of the label's span that it overlaps was annotated; 0 if there is none


def count_occurrences(jobs: Sequence[OccurrenceJob], folder: Path, table: FormTable, processes: int) -> FormCounts:
    """Second pass over the gold: find the forms of a table, write where they occur, and count them."""
    np.save(folder / _TABLE, table)
    parts = [np.zeros((2, 0), np.int64)]
    for part in spread(_find, jobs, processes, "Finding surface forms"):
        parts.append(part)
        if sum(part.shape[1] for part in parts) > 2 * parts[0].shape[1] + UNSUMMED:
            parts = [_sum_codes(parts)]
    codes, times = _sum_codes(parts)
    forms, which = np.unique(codes // len(KINDS), return_inverse=True)
    counts = np.zeros((len(forms), len(KINDS)), np.int64)
    counts[which, codes % len(KINDS)] = times
    return FormCounts(forms >> _ANNOTATOR_BITS, forms & ((1 << _ANNOTATOR_BITS) - 1), counts)


def read_occurrences(
    jobs: Sequence[OccurrenceJob], folder: Path, counted: FormCounts, wanted: NDArray[np.int8], processes: int
) -> Iterator[Occurrence]:
    """Third pass over the gold: read the occurrences that are wanted, in its order.

    wanted (NDArray[int8]): `counted` × kinds: 0, SOME or ALL. Of SOME, there may be more than EXAMPLES.
    """
    numbers = np.flatnonzero(wanted.any(1))
    forms = (counted.rows[numbers] << _ANNOTATOR_BITS) | counted.annotators[numbers]
    np.savez(folder / _WANTED, numbers=numbers, forms=forms, wanted=wanted[numbers])
    for found in spread(_read_wanted, jobs, processes, "Reading occurrences"):
        yield from found


def _sum_codes(parts: Sequence[Numbers]) -> Numbers:
    """Codes (form, annotator and kind as one number, ascending) and how often each occurs: 2 × codes."""
    codes, times = np.concatenate(parts, 1)
    unique, which = np.unique(codes, return_inverse=True)
    return np.stack([unique, np.bincount(which, times, len(unique)).astype(np.int64)])


def _find(job: OccurrenceJob) -> Numbers:
    passage = read_passage(job.block, job.labels)
    annotators = annotators_of(passage.texts, len(job.labels), job.annotators)
    table, finder = _load_table(job.folder / _TABLE)
    longer = np.append(_times_annotated(passage, table), 0)  # the last for occurrences that no span overlaps
    parts = [np.zeros(0, _OCCURRENCE)]
    for found in find_occurrences(passage, finder, table):
        part = np.zeros(len(found.rows), _OCCURRENCE)
        part["text"] = texts = passage.prints.text_at(found.starts)
        part["form"] = (found.rows << _ANNOTATOR_BITS) | annotators[texts, table["label"][found.rows]]
        part["kind"] = found.kinds
        part["start"] = found.starts - passage.prints.starts[texts]
        part["end"] = found.ends - passage.prints.starts[texts]
        part["longer"] = np.where(found.kinds == ANNOTATED, 0, longer[found.spans])
        parts.append(part)
    occurrences = np.concatenate(parts)
    np.save(job.path, occurrences)
    return np.stack(np.unique(occurrences["form"] * len(KINDS) + occurrences["kind"], return_counts=True))


def _times_annotated(passage: Passage, table: FormTable) -> Numbers:
    """How often the form of each span was annotated as its label."""
    spans = passage.spans
    lengths = spans.ends - spans.starts
    form_keys = np.ascontiguousarray(table["key"])
    wanted: Hashes = keys(passage.prints.of(spans.starts, lengths), lengths)
    first, last = (np.searchsorted(form_keys, wanted, side) for side in ("left", "right"))
    times = np.zeros(len(wanted), np.int64)
    for offset in range(int((last - first).max(initial=0))):  # as many as labels share a form
        at = np.minimum(first + offset, len(form_keys) - 1)
        same = (first + offset < last) & (table["label"][at] == spans.labels)
        times[same] = table["count"][at[same]]
    return times


@lru_cache(maxsize=1)
def _load_table(path: Path) -> tuple[FormTable, FormFinder]:
    table = np.load(path)
    return table, FormFinder(table)


def _read_wanted(job: OccurrenceJob) -> list[Occurrence]:
    numbers, forms, wanted = _load_wanted(job.folder / _WANTED)
    found = np.load(job.path)
    which, is_wanted = looked_up(forms, found["form"])
    degree = np.zeros(len(found), np.int8)
    degree[is_wanted] = wanted[which[is_wanted], found["kind"][is_wanted]]
    taken: Counter[tuple[int, int]] = Counter()
    picked = []
    for number in np.flatnonzero(degree).tolist():
        row, kind = int(found["form"][number]) >> _ANNOTATOR_BITS, int(found["kind"][number])
        taken[row, kind] += 1
        if degree[number] == ALL or taken[row, kind] <= EXAMPLES:
            picked.append((number, row, kind))
    texts = read_texts(job.block, set(found["text"][[number for number, _, _ in picked]].tolist()))
    annotators = dict(zip(texts, annotators_of(list(texts.values()), len(job.labels), job.annotators), strict=True))
    result = []
    for number, row, kind in picked:
        _, text, start, end, longer, _ = found[number].item()
        counted = int(numbers[which[number]])
        result.append(Occurrence(row, counted, kind, texts[text], annotators[text], start, end, longer))
    return result


@lru_cache(maxsize=1)
def _load_wanted(path: Path) -> tuple[Numbers, Numbers, NDArray[np.int8]]:
    with np.load(path) as arrays:
        return arrays["numbers"], arrays["forms"], arrays["wanted"]
