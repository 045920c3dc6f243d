"""Training data of spaCy 2 and its kin: JSON, JSONL or Python with texts and the offsets of their spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from msgspec.structs import replace

from scripts.core.settings import registry
from scripts.core.texts import is_inside_word
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files
from scripts.sources.offsets import UNITS, Mark, Offsets, Unit, UnitEvidence, differs
from scripts.sources.source import Intake
from scripts.sources.training_rows import PRODIGY, SPANS, RowSpan, TrainingRow, training_rows

_MIN_CUT, _MAX_CUT = 5, 0.25  # spans that end inside a word, and their share

_MAX_SPECIAL = 20_000  # rows that tell the unit of the offsets
_NOTHING = "row without spans, not even an empty list of them: not annotated yet"


class _Evidence(NamedTuple):
    """What all rows tell: spans by key; labels of spans by the keys of their row, and by their own; the ends; and the
    rows with characters that are one or several, by the unit.
    """

    keys: Counter[str]
    labels: dict[tuple[str, ...], dict[str, Counter[str]]]
    ends: _Ends
    special: list[TrainingRow]

    def beside(self, chosen: str) -> dict[str, Counter[str]]:
        """Return the labels of spans that are not taken, by key. A row without the chosen key has its first taken."""
        found: dict[str, Counter[str]] = {}
        for keys, by_key in self.labels.items():
            taken = chosen if chosen in keys else keys[0]
            for key in by_key.keys() - {taken}:
                found.setdefault(key, Counter()).update(by_key[key])
        return dict(sorted(found.items()))


@registry.readers("labelwise.TrainingData.v1")
class TrainingData(Files, frozen=True):
    """Read spaCy's old training data, and other JSON with texts and offsets, whatever its keys are called.
    Predictions and suggestions are not read. A span that a review rejected is known to be wrong. Tokens with tags are
    taken in their text, where the row has it too. Who annotated is what a row has under `annotator`.

    path (str): A file, or a folder with files *.json, *.jsonl, *.manifest or *.py. Of Python, only lists that are
        written out are read; nothing is run.
    offsets (str): Their unit: "codepoints", as Python counts, "utf16", "codepoints_crlf", "utf16_crlf", "graphemes",
        "bytes", or "auto": as quoted texts or the boundaries of words tell.
    ends (str): An end is the position after the last character ("exclusive"), or that of it ("inclusive", as of
        Dataturks); "auto": as quoted texts or the boundaries of words tell.
    key (str): The key of the spans, where a row has several such lists; if not given, that with the most spans.
    """

    endings: ClassVar[tuple[str, ...]] = (".json", ".jsonl", ".manifest", ".py")
    is_fallback: ClassVar[bool] = True
    offsets: Offsets = "auto"
    ends: Literal["auto", "exclusive", "inclusive"] = "auto"
    key: str = ""

    def offset_units(self) -> tuple[Offsets, Unit]:
        """As set; spaCy itself counts code points."""
        return self.offsets, "codepoints"

    def are_ends_set(self) -> bool:
        """Whether it is set that ends are exclusive, or inclusive."""
        return self.ends != "auto"

    def recognizes(self) -> bool:
        """Whether a row has spans."""
        is_found = False
        for path, name in self.files():
            for _, row in training_rows(path, name):
                if row == PRODIGY:
                    return False
                is_found |= isinstance(row, TrainingRow) and _has_spans(row)
        return is_found

    def first_look(self, intake: Intake) -> tuple[TrainingData, UnitEvidence]:
        """Return the source with the key that has most spans and the ends that fit, and what tells the unit."""
        found = self._all_rows()
        ends = self.ends if self.ends != "auto" else found.ends.chosen()
        if self.ends == "auto" and ends != found.ends.usual():
            intake.note(f"ends taken as {ends}, as the spans tell")
        elif ends == "inclusive":
            intake.note("ends taken as inclusive, as usual in this format")
        keys = [key for key, _ in found.keys.most_common()]
        chosen = self.key or (keys[0] if keys else "")
        for key, labels in found.beside(chosen).items():
            intake.note(f"spans under {key} are not taken: set key", labels.total())
        source = replace(self, ends=ends, key=chosen)
        evidence = UnitEvidence()
        for row in found.special:
            evidence.add(row.text, source._document(row).marks)
        return source, evidence

    def findings(self) -> list[str]:
        """Tell the other keys that have spans, and how ends are read."""
        found = self._all_rows()
        chosen = self.key or next((key for key, _ in found.keys.most_common(1)), "")
        told = [
            f'{labels.total():,} spans under {key} too ({", ".join(sorted(labels)[:5])}): key = "{key}"'
            for key, labels in found.beside(chosen).items()
        ]
        if self.ends == "auto" and (ends := found.ends.chosen()) != found.ends.usual():
            other = "exclusive" if ends == "inclusive" else "inclusive"
            told.append(f'the ends of spans are taken as {ends}, since they fit so: ends = "{other}" if they are not')
        return told + Files.findings(self)

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the rows."""
        for place, row in training_rows(path, name):
            if row is None:
                yield Record(place)
            elif isinstance(row, str):
                yield Record(place, fault=row)
            else:
                yield Record(place, [self._document(row)])

    def _document(self, row: TrainingRow) -> Document:
        key = self.key if self.key in row.spans else next(iter(row.spans), "")
        right, wrong = (
            [
                _mark(row.text, span, self.ends == "inclusive")
                for span in row.spans.get(key, ())
                if span.is_wrong == is_wrong
            ]
            for is_wrong in (False, True)
        )
        return Document(
            row.text,
            right,
            wrong,
            complete=None if row.is_complete else (),
            answer=row.answer,
            annotator=row.annotator or self.annotator,
            meta=row.meta or {},
            no_answer="" if self._is_annotated(row) else _NOTHING,
        )

    def _is_annotated(self, row: TrainingRow) -> bool:
        """Whether a row has spans, or an empty list under the key that is taken or a usual one."""
        keys = {self.key, *SPANS}
        return any(spans or key in keys or key.rpartition(".")[2] in SPANS for key, spans in row.spans.items())

    def _all_rows(self) -> _Evidence:
        keys: Counter[str] = Counter()
        labels: dict[tuple[str, ...], dict[str, Counter[str]]] = {}
        ends = _Ends()
        special: list[TrainingRow] = []
        for path, name in self.files():
            for _, row in training_rows(path, name):
                if not isinstance(row, TrainingRow):
                    continue
                if len(special) < _MAX_SPECIAL and _is_special(row.text):
                    special.append(row)
                filled = [key for key, spans in row.spans.items() if spans]
                for key in filled:
                    keys[key] += len(row.spans[key])
                    ends.add(row.text, row.spans[key], row.is_inclusive)
                    by_key = labels.setdefault(tuple(row.spans), {})
                    by_key.setdefault(key, Counter()).update(span.label for span in row.spans[key])
        return _Evidence(keys, labels, ends, special)


def _is_special(text: str) -> bool:
    """Whether a text has characters that are one or several, by the unit."""
    return not (text.isascii() and "\r" not in text) and any(differs(text, unit) for unit in UNITS)


def _has_spans(row: TrainingRow) -> bool:
    return any(not span.fault for spans in row.spans.values() for span in spans)


# ---- Ends


class _Ends:
    """Counts spans by whether they fit with an exclusive and with an inclusive end."""

    def __init__(self) -> None:
        self._inclusive_rows = self._rows = 0
        self._quoted: Counter[bool] = Counter()  # quotes that fit, by whether ends are inclusive
        self._spans = 0
        self._cut: Counter[bool] = Counter()  # ends inside a word

    def add(self, text: str, spans: Sequence[RowSpan], is_inclusive: bool) -> None:
        """Take the evidence of a row."""
        self._rows += 1
        self._inclusive_rows += is_inclusive
        for span in spans:
            if span.fault or not 0 <= span.start <= span.end <= len(text):
                continue
            self._spans += 1
            for inclusive in (False, True):
                end = span.end + inclusive
                if span.quote is not None:
                    self._quoted[inclusive] += Mark(span.start, end, span.label, span.quote).quotes(text)
                self._cut[inclusive] += is_inside_word(text, end)

    def usual(self) -> Literal["exclusive", "inclusive"]:
        """Return how most of the rows have them by their format."""
        return "inclusive" if 2 * self._inclusive_rows > self._rows else "exclusive"

    def chosen(self) -> Literal["exclusive", "inclusive"]:
        """Return the ends with which the quotes fit, or, without quotes, those that are not inside words."""
        usual = self.usual() == "inclusive"
        if self._quoted.total():
            better = usual if self._quoted[usual] >= self._quoted[not usual] else not usual
        else:
            is_implausible = self._cut[usual] >= _MIN_CUT and self._cut[usual] > _MAX_CUT * self._spans
            better = usual ^ (is_implausible and self._cut[not usual] * 10 < self._cut[usual])
        return "inclusive" if better else "exclusive"


def _mark(text: str, span: RowSpan, is_inclusive: bool) -> Mark:
    """Return a span with an exclusive end; where its quote fits with the other reading of the end alone, with that."""
    start, end, label, quote, is_quote, fault, _ = span
    if quote is None:
        return Mark(start, end + is_inclusive, label, fault=fault)
    marks = [Mark(start, end + inclusive, label, quote, fault) for inclusive in (is_inclusive, not is_inclusive)]
    fitting = next((mark for mark in marks if mark.quotes(text)), None)
    return fitting or (marks[0] if is_quote else marks[0]._replace(quote=None))
