"""True positives, false positives and false negatives by text and label; all scores follow from them.

Strict: a prediction is right if its label and both its boundaries are. Only what is covered counts: neither a
prediction where its label is not covered, nor a text for a label of which nothing but entities is annotated.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.errors import UserError
from scripts.core.files import as_cell, of_cell
from scripts.core.texts import input_hash
from scripts.scoring.alignment import BOUNDARY, HIT, LABEL, TEXT, TOKENIZER, Alignment, Rows, align, are_within

if TYPE_CHECKING:  # whoever reads counts needs no spaCy
    from scripts.model.label_heads import Covered, Range

TP, FP, FN, PARTIAL = range(4)
NOTHING = 0  # the gold of a label that is covered in all of a text, and is not there
_COLUMNS = ("text", "label", "gold", "seed", "tp", "fp", "fn", "partial")
_CHUNK = 2_000  # texts that are aligned at a time


class Counts(NamedTuple):
    """Counts of a run, of all its seeds.

    values (NDArray[int32]): seeds × texts × labels × (true positives, false positives, false negatives, partial);
        0 where a text is not scored for a label. Partial: the false negatives that are boundary errors, which are as
        many false positives.
    gold (NDArray[uint32]): texts × labels: digest of the entities and of where the label is covered; `NOTHING` where
        it is covered everywhere and not there. Counts can be paired where this is the same.
    """

    texts: list[str]  # names, see `text_id`; these three are sorted
    labels: list[str]
    seeds: list[int]
    values: NDArray[np.int32]
    is_scored: NDArray[np.bool_]  # texts × labels
    gold: NDArray[np.uint32]

    @property
    def support(self) -> NDArray[np.int64]:
        """Entities by label, which are the same for all seeds."""
        sums = self.values[0].sum(0, dtype=np.int64)
        return sums[:, TP] + sums[:, FN]


def text_id(text: str) -> str:
    """Name a text by its input hash, under which its annotations are found, and by a digest that does not collide."""
    return f"{input_hash(text)}:{_sha256(text.encode('utf-8', 'surrogatepass'))[:16]}"


def count(aligned: Alignment, texts: int, labels: int) -> NDArray[np.int32]:
    """Count aligned entities and predictions: texts × labels × (tp, fp, fn, partial)."""
    values = np.empty((texts, labels, 4), np.int32)

    def counted(rows: Rows) -> NDArray[np.int64]:
        cells = np.bincount(rows[:, TEXT] * labels + rows[:, LABEL], minlength=texts * labels)
        return cells.reshape(texts, labels)

    values[:, :, TP] = counted(aligned.gold[aligned.kind == HIT])
    values[:, :, FP] = counted(aligned.predicted) - values[:, :, TP]
    values[:, :, FN] = counted(aligned.gold) - values[:, :, TP]
    values[:, :, PARTIAL] = counted(aligned.gold[aligned.kind == BOUNDARY])
    return values


class AlignedChunk(NamedTuple):
    """Entities and predictions of some texts, aligned; labels are numbered as in the tally."""

    texts: list[str]
    aligned: Alignment
    not_covered: Rows  # predictions where their label is not covered
    misaligned: NDArray[np.bool_]  # by entity: whether it is not on token boundaries

    @property
    def entity_kinds(self) -> NDArray[np.int8]:
        """By entity, see `KINDS`: one that the tokenizer cannot represent is an error of the tokenizer."""
        kind = self.aligned.kind
        return np.where(self.misaligned & (kind != HIT), TOKENIZER, kind).astype(np.int8)

    @property
    def prediction_kinds(self) -> NDArray[np.int8]:
        """By entity, the kind of its prediction: another boundary than that of a misaligned entity is no choice."""
        kind = self.aligned.kind
        return np.where(self.misaligned & (kind == BOUNDARY), TOKENIZER, kind).astype(np.int8)


class Tally:
    """Collects counts text by text. It keeps no text longer than a chunk."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = sorted(labels)
        self._columns = {label: column for column, label in enumerate(self.labels)}
        self._texts: list[str] = []
        self._gold_rows: list[tuple[int, int, int, int]] = []
        self._misaligned: set[tuple[int, int, int, int]] = set()
        self._predicted_rows: list[tuple[int, int, int, int]] = []
        self._covered_rows: list[tuple[int, int, int, int]] = []
        self._names: list[str] = []
        self._values: list[NDArray[np.int32]] = []
        self._is_scored: list[NDArray[np.bool_]] = []
        self._gold: list[NDArray[np.uint32]] = []

    def add(
        self, text: str, gold: Mapping[str, Covered], predicted: Mapping[str, Collection[Range]]
    ) -> AlignedChunk | None:
        """Count one text. Labels that the tally does not have are ignored.

        RETURNS (AlignedChunk | None): A chunk whenever it is full; see `flush`.
        """
        number = len(self._texts)
        is_scored = np.zeros(len(self.labels), np.bool_)
        digests = np.zeros(len(self.labels), np.uint32)
        for label in gold.keys() & self._columns.keys():
            if gold[label].is_scored:
                column = self._columns[label]
                is_scored[column] = True
                digests[column] = _digest(text, gold[label])
                self._gold_rows += [(number, column, *span) for span in gold[label].gold]
                self._covered_rows += [(number, column, *covered) for covered in gold[label].covered]
                self._misaligned.update((number, column, *span) for span in gold[label].misaligned)
        for label in predicted.keys() & self._columns.keys():
            self._predicted_rows += [(number, self._columns[label], *span) for span in predicted[label]]
        self._texts.append(text)
        self._names.append(text_id(text))
        self._is_scored.append(is_scored)
        self._gold.append(digests)
        return self.flush() if len(self._texts) >= _CHUNK else None

    def flush(self) -> AlignedChunk:
        """Align what was added since the last chunk. To be called when all is added."""
        predicted = rows(self._predicted_rows)
        is_covered = are_within(predicted, rows(self._covered_rows))
        aligned = align(rows(self._gold_rows), predicted[is_covered])
        self._values.append(count(aligned, len(self._texts), len(self.labels)))
        misaligned = np.array([tuple(row) in self._misaligned for row in aligned.gold.tolist()], np.bool_)
        chunk = AlignedChunk(self._texts, aligned, predicted[~is_covered], misaligned)
        self._texts, self._gold_rows, self._predicted_rows, self._covered_rows = [], [], [], []
        self._misaligned = set()
        return chunk

    def counts(self, seed: int = 0) -> Counts:
        """Return all counts, sorted by text, as counts of one seed."""
        if self._texts:
            self.flush()
        order = sorted(range(len(self._names)), key=self._names.__getitem__)
        shape = len(order), len(self.labels)
        values = np.concatenate([np.zeros((0, len(self.labels), 4), np.int32), *self._values])[order]
        is_scored = np.array(self._is_scored, np.bool_).reshape(shape)[order]
        gold = np.array(self._gold, np.uint32).reshape(shape)[order]
        return Counts([self._names[row] for row in order], self.labels, [seed], values[None], is_scored, gold)


def rows(found: Sequence[tuple[int, int, int, int]]) -> Rows:
    """Convert tuples to `Rows`."""
    return np.fromiter(chain.from_iterable(found), np.int64, 4 * len(found)).reshape(-1, 4)


def together(counts: Sequence[Counts]) -> Counts:
    """Join counts of several seeds on the same texts."""
    ordered = sorted(counts, key=lambda each: each.seeds)
    seeds = [seed for each in ordered for seed in each.seeds]
    return ordered[0]._replace(seeds=seeds, values=np.concatenate([each.values for each in ordered]))


def digests(counts: Counts) -> dict[str, str]:
    """By label, the digest of its test: the texts it is scored on, with their gold."""
    return {
        label: _sha256("".join(f"{counts.texts[row]} {counts.gold[row, column]}\n" for row in scored).encode())
        for column, label in enumerate(counts.labels)
        for scored in [np.flatnonzero(counts.is_scored[:, column])]
    }


def _digest(text: str, label: Covered) -> int:
    """Digest of the gold of a label in a text; `NOTHING` only where it is covered everywhere, and not there."""
    if not label.gold and label.covered == [(0, len(text))]:
        return NOTHING
    content = msgspec.json.encode([sorted(label.gold), label.covered])
    return int.from_bytes(hashlib.blake2b(content, digest_size=4).digest(), "big") or 1


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# counts.csv.gz


def pack(counts: Counts) -> bytes:
    """Encode counts.csv.gz: a line for each text, label and seed that is scored, sorted.

    Gold is written in hexadecimal digits, and not at all where it is `NOTHING`.
    """
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_COLUMNS)
    for row, column in np.argwhere(counts.is_scored).tolist():
        gold = counts.gold[row, column]
        head = [counts.texts[row], as_cell(counts.labels[column]), f"{gold:x}" if gold != NOTHING else ""]
        for seed, values in zip(counts.seeds, counts.values[:, row, column].tolist(), strict=True):
            lines.writerow([*head, seed, *values])
    return gzip.compress(text.getvalue().encode(), mtime=0)


def load(path: Path) -> Counts:
    """Read counts.csv.gz. RAISES (UserError): If it is missing or damaged."""
    import pandas as pd  # not for those that only write

    try:
        types = dict.fromkeys(_COLUMNS, "int64") | {"text": "category", "label": "category", "gold": "str"}
        content = io.BytesIO(gzip.decompress(path.read_bytes()))
        table = pd.read_csv(content, dtype=types, usecols=list(_COLUMNS), keep_default_na=False)
        names = table["label"].cat.rename_categories(of_cell)
        table["label"] = names.cat.reorder_categories(sorted(names.cat.categories))
        text, label = (table[name].cat.codes.to_numpy(np.int64) for name in ("text", "label"))
        texts, labels = ([str(name) for name in table[key].cat.categories] for key in ("text", "label"))
        found, seed = np.unique(table["seed"].to_numpy(np.int64), return_inverse=True)
        values = np.zeros((len(found), len(texts), len(labels), 4), np.int32)
        values[seed, text, label] = table[["tp", "fp", "fn", "partial"]].to_numpy(np.int32)
        is_scored = np.zeros((len(texts), len(labels)), np.bool_)
        is_scored[text, label] = True
        if len(table) != is_scored.sum() * len(found) or (values < 0).any():
            raise ValueError("rows are missing, or a number is negative")
        gold = np.zeros(is_scored.shape, np.uint32)
        gold[text, label] = [int(digest, 16) if digest else NOTHING for digest in table["gold"]]
    except FileNotFoundError as err:
        raise UserError(f"{path}: {err.strerror}") from err
    except (OSError, EOFError, ValueError, KeyError, OverflowError) as err:
        raise UserError(f"{path}: is damaged ({err})") from err
    return Counts(texts, labels, found.tolist(), values, is_scored, gold)
