"""errors.jsonl.gz: examples of errors of each label and kind, with the text around them."""

import gzip
import heapq
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scripts.core.answers import Span
from scripts.core.files import UNREADABLE, damaged
from scripts.core.texts import fraction
from scripts.scoring.alignment import END, KINDS, START, TEXT, Rows
from scripts.scoring.counts import AlignedChunk, text_id

NAME = "errors.jsonl.gz"
ERROR_KINDS = (*KINDS[1:], "spurious")
LIMIT = 20  # of each label and kind
_CONTEXT = 160  # characters before and after an error, where the text is that long


class ErrorExample(msgspec.Struct, kw_only=True):
    """A line of errors.jsonl.gz: one error. Offsets are those in `text`."""

    label: str  # of the entity; of a spurious prediction, its own
    kind: str  # one of `ERROR_KINDS`
    text_id: str  # names the whole text
    text: str  # the error and its context
    offset: int  # of `text` in the whole text
    entity: Span | None  # None if the prediction is spurious
    prediction: Span | None  # None if the entity is missed
    gold: list[Span]  # all entities in the text, this one included
    predicted: list[Span]  # all predictions in the text, this one included
    not_covered: list[Span]  # predictions where their label is not covered


class _Error(NamedTuple):
    """An error by numbers. Those with the lowest hash are kept."""

    hash: float
    text: int  # in the chunk
    entity: int  # row of the alignment; -1 if there is none
    prediction: int  # likewise


class ErrorExamples:
    """Collects errors chunk by chunk, some of each label and kind: those with the lowest hash, whatever the order."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._found: dict[tuple[str, str], list[tuple[float, ErrorExample]]] = defaultdict(list)

    def add(self, chunk: AlignedChunk, labels: list[str]) -> None:
        """Keep the errors of a chunk whose hashes are among the lowest."""
        found: dict[tuple[str, str], list[_Error]] = defaultdict(list)
        for number, kind, error in _errors(chunk):
            found[labels[number], kind].append(error)
        for key, errors in found.items():
            lowest = heapq.nsmallest(self._limit, errors)
            kept = [*self._found[key], *((error.hash, _example(chunk, labels, *key, error)) for error in lowest)]
            self._found[key] = heapq.nsmallest(self._limit, kept, key=lambda pair: (pair[0], pair[1].text_id))

    def all(self) -> list[ErrorExample]:
        """Return the examples by label, then kind, then hash."""
        ordered = sorted(self._found, key=lambda pair: (pair[0], ERROR_KINDS.index(pair[1])))
        return [example for key in ordered for _, example in self._found[key]]


def _errors(chunk: AlignedChunk) -> Iterable[tuple[int, str, _Error]]:
    gold, predicted, partner, _, is_spurious = chunk.aligned
    kinds = chunk.entity_kinds
    found = [(gold[row], KINDS[kinds[row]], row, int(partner[row])) for row in np.flatnonzero(kinds).tolist()]
    found += [(predicted[row], "spurious", -1, row) for row in np.flatnonzero(is_spurious).tolist()]
    for place, kind_of_error, entity, prediction in found:
        text, label, start, end = place.tolist()
        key = fraction(f"{start} {end} {chunk.texts[text]}")
        yield label, kind_of_error, _Error(key, text, entity, prediction)


def _example(chunk: AlignedChunk, labels: list[str], label: str, kind: str, error: _Error) -> ErrorExample:
    gold, predicted = chunk.aligned.gold, chunk.aligned.predicted
    own = [rows[row] for rows, row in ((gold, error.entity), (predicted, error.prediction)) if row >= 0]
    text = chunk.texts[error.text]
    inside = [rows[rows[:, TEXT] == error.text] for rows in (gold, predicted, chunk.not_covered)]
    first, last = _context_range(text, np.array(own), np.concatenate(inside))

    def spans(rows: Rows) -> list[Span]:
        shown = rows[(rows[:, START] >= first) & (rows[:, END] <= last)].tolist()
        return sorted(Span(start - first, end - first, labels[number]) for _, number, start, end in shown)

    return ErrorExample(
        label=label, kind=kind, text_id=text_id(text), text=text[first:last], offset=first,
        entity=spans(gold[[error.entity]])[0] if error.entity >= 0 else None,
        prediction=spans(predicted[[error.prediction]])[0] if error.prediction >= 0 else None,
        gold=spans(inside[0]), predicted=spans(inside[1]), not_covered=spans(inside[2]),
    )  # fmt: skip


def _context_range(text: str, own: Rows, spans: Rows) -> tuple[int, int]:
    """Range of the text to show: the error and some characters around it, with whole words and spans."""
    first, last = max(0, own[:, START].min() - _CONTEXT), min(len(text), own[:, END].max() + _CONTEXT)
    first = int(min([first, *spans[(spans[:, START] < first) & (spans[:, END] > first), START]]))
    last = int(max([last, *spans[(spans[:, START] < last) & (spans[:, END] > last), END]]))
    while first and not text[first - 1].isspace() and own[:, START].min() - first < 2 * _CONTEXT:
        first -= 1
    while last < len(text) and not text[last].isspace() and last - own[:, END].max() < 2 * _CONTEXT:
        last += 1
    return first, last


def pack(examples: Iterable[ErrorExample]) -> bytes:
    """Encode errors.jsonl.gz."""
    return gzip.compress(msgspec.json.Encoder().encode_lines(list(examples)), mtime=0)


def load(path: Path) -> list[ErrorExample]:
    """Read errors.jsonl.gz, which holds texts and is not kept in git, if it exists. RAISES (UserError): If damaged."""
    try:
        return msgspec.json.Decoder(ErrorExample).decode_lines(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        return []
    except (*UNREADABLE, zlib.error) as err:
        raise damaged(path, err, "evaluate again: weasel run evaluate") from err
