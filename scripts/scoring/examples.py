"""errors.jsonl.gz: some errors of each kind and label with the text around them, to be looked at."""

from __future__ import annotations

import gzip
import heapq
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.core.hashing import fraction
from scripts.scoring.alignment import END, KINDS, LABEL, MISSED, START, TEXT, Rows
from scripts.scoring.counts import Chunk, text_id

MOST = 20  # of each label and kind
_AROUND = 160  # characters to each side, at least where the text is that long


class Example(msgspec.Struct, kw_only=True):
    """One error; a line of errors.jsonl.gz. Offsets are those in `text`; texts are no longer than need be.

    label (str): Of the entity; of a spurious prediction, its own.
    kind (str): "boundary", "type", "both", "missed" or "spurious".
    text_id (str): Names the whole text, see `text_id`.
    text (str): A part of it.
    offset (int): Where the part starts in the whole.
    entity (Span | None): What should have been found; None if spurious.
    prediction (Span | None): What was found instead; None if missed.
    gold (list[Span]), predicted (list[Span]): All entities and all predictions in the part, these two included.
    unjudged (list[Span]): Predictions where it is not known whether they are right.
    """

    label: str
    kind: str
    text_id: str
    text: str
    offset: int
    entity: Span | None
    prediction: Span | None
    gold: list[Span]
    predicted: list[Span]
    unjudged: list[Span]


class _Error(NamedTuple):
    """What makes an error one of those that are kept: the lowest are."""

    place: float
    text: int
    entity: int
    prediction: int


class Examples:
    """Collects errors chunk by chunk, `most` of each label and kind: those with the lowest hash, whatever the order."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._found: dict[tuple[str, str], list[tuple[float, Example]]] = defaultdict(list)

    def add(self, chunk: Chunk, labels: list[str]) -> None:
        """Keep of a chunk what is among the lowest."""
        found: dict[tuple[str, str], list[_Error]] = defaultdict(list)
        for number, kind, error in _errors(chunk):
            found[labels[number], kind].append(error)
        for key, errors in found.items():
            lowest = heapq.nsmallest(self._most, errors)
            kept = [*self._found[key], *((error.place, _example(chunk, labels, *key, error)) for error in lowest)]
            self._found[key] = heapq.nsmallest(self._most, kept, key=lambda pair: (pair[0], pair[1].text_id))

    def all(self) -> list[Example]:
        """By label, then kind, then chance."""
        kinds = (*KINDS[1:], "spurious")
        ordered = sorted(self._found, key=lambda pair: (pair[0], kinds.index(pair[1])))
        return [example for key in ordered for _, example in self._found[key]]


def _errors(chunk: Chunk) -> Iterable[tuple[int, str, _Error]]:
    gold, predicted, partner, kind, is_spurious = chunk.aligned
    for row in np.flatnonzero(kind).tolist():
        other = -1 if kind[row] == MISSED else int(partner[row])
        yield int(gold[row, LABEL]), KINDS[kind[row]], _error(chunk, gold[row], row, other)
    for row in np.flatnonzero(is_spurious).tolist():
        yield int(predicted[row, LABEL]), "spurious", _error(chunk, predicted[row], -1, row)


def _error(chunk: Chunk, row: Rows, entity: int, prediction: int) -> _Error:
    text, _, start, end = row.tolist()
    return _Error(fraction(f"{start} {end} {chunk.texts[text]}"), text, entity, prediction)


def _example(chunk: Chunk, labels: list[str], label: str, kind: str, error: _Error) -> Example:
    gold, predicted = chunk.aligned.gold, chunk.aligned.predicted
    own = [rows[row] for rows, row in ((gold, error.entity), (predicted, error.prediction)) if row >= 0]
    text = chunk.texts[error.text]
    inside = [rows[rows[:, TEXT] == error.text] for rows in (gold, predicted, chunk.unjudged)]
    first, last = _part(text, np.array(own), np.concatenate(inside))

    def spans(rows: Rows) -> list[Span]:
        shown = rows[(rows[:, START] >= first) & (rows[:, END] <= last)].tolist()
        return sorted(Span(start - first, end - first, labels[number]) for _, number, start, end in shown)

    return Example(
        label=label, kind=kind, text_id=text_id(text), text=text[first:last], offset=first,
        entity=spans(gold[[error.entity]])[0] if error.entity >= 0 else None,
        prediction=spans(predicted[[error.prediction]])[0] if error.prediction >= 0 else None,
        gold=spans(inside[0]), predicted=spans(inside[1]), unjudged=spans(inside[2]),
    )  # fmt: skip


def _part(text: str, own: Rows, spans: Rows) -> tuple[int, int]:
    """What is shown of a text: some characters to each side, and no word or span in two."""
    first, last = max(0, own[:, START].min() - _AROUND), min(len(text), own[:, END].max() + _AROUND)
    before = (spans[:, START] < first) & (spans[:, END] > first)
    after = (spans[:, START] < last) & (spans[:, END] > last)
    first = int(spans[before, START].min()) if before.any() else int(first)
    last = int(spans[after, END].max()) if after.any() else int(last)
    while first and not text[first - 1].isspace() and own[:, START].min() - first < 2 * _AROUND:
        first -= 1
    while last < len(text) and not text[last].isspace() and last - own[:, END].max() < 2 * _AROUND:
        last += 1
    return first, last


def pack(examples: Iterable[Example]) -> bytes:
    """The file."""
    return gzip.compress(msgspec.json.Encoder().encode_lines(list(examples)), mtime=0)


def load(path: Path) -> list[Example]:
    """Read the file; nothing if there is none: it is not kept in git, as texts are not. RAISES (UserError): If it is
    damaged.
    """
    try:
        return msgspec.json.Decoder(Example).decode_lines(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        return []
    except (OSError, EOFError, msgspec.DecodeError) as err:
        raise UserError(f"{path}: is damaged ({err}); evaluate again") from err
