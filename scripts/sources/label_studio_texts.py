"""Which text of Label Studio's tasks is annotated, and which spans are of which text: the exports do not say it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from scripts.sources.offsets import Mark, UnitEvidence, convert, has_boundary_inside_word, unit_of


class Region(NamedTuple):
    """A span and the name of its object; in JSON-MIN, which has no objects, of its control."""

    to_name: str
    mark: Mark


class TextsFound:
    """The texts in the data of the tasks, and how many spans of each object fit in each of them."""

    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()  # of each object
        self.fits: Counter[tuple[str, str]] = Counter()  # of each object and key
        self.keys: Counter[str] = Counter()
        self._evidence: dict[tuple[str, str], UnitEvidence] = defaultdict(UnitEvidence)

    def add(self, data: Mapping[str, Any], answers: Iterable[Iterable[Region]]) -> None:
        """Take the evidence of a task: its data, and the spans of each of its annotations."""
        texts = {key: value for key, value in data.items() if isinstance(value, str) and value.strip()}
        self.keys.update(texts.keys())
        for regions in answers:
            by_object: dict[str, list[Mark]] = defaultdict(list)
            for to_name, mark in regions:
                by_object[to_name].append(mark)
            for to_name, marks in by_object.items():
                self.spans[to_name] += len(marks)
                for key, text in texts.items():
                    self._evidence[to_name, key].add(text, marks)
                    self.fits[to_name, key] += _fitting(text, marks) if len(texts) > 1 else len(marks)

    def evidence(self, field: str, objects: Sequence[str]) -> UnitEvidence:
        """Return what the spans of some objects, or of all, tell of the unit of their offsets in a text."""
        found = UnitEvidence()
        for to_name in objects or self.spans:
            found.update(self._evidence[to_name, field])
        return found

    def spans_in(self) -> Counter[str]:
        """Count the spans in the text of each key; nothing is the key of those that fit in none."""
        spans: Counter[str] = Counter()
        for to_name, number in self.spans.items():
            spans[self._field_of(to_name)] += number
        return spans

    def field(self) -> str:
        """Return the key of the text in which most spans fit; where that does not tell, "text" or the only key."""
        spans = self.spans_in()
        best = max(filter(None, spans), key=lambda key: (spans[key], key == "text"), default="")
        return best or ("text" if "text" in self.keys or len(self.keys) != 1 else next(iter(self.keys)))

    def choice(self, field: str, is_set: bool) -> dict[str, int]:
        """Tell which text was chosen, if there was a choice, and how many spans others have."""
        spans = self.spans_in()
        others = {key: number for key, number in spans.items() if key not in ("", field)}
        told = {f"span in data.{key}, another text: set field to {key} to read it": n for key, n in others.items()}
        if not is_set and (others or (len(self.keys) > 1 and field != "text" and spans[field])):
            told[f"text taken from data.{field}, where most spans fit: set field for another"] = self.keys[field]
        return told

    def objects_of(self, field: str) -> list[str]:
        """Return the objects whose spans are of a text; none if those of all are, or of none."""
        own = sorted(to_name for to_name in self.spans if self._field_of(to_name) in ("", field))
        return own if len(own) < len(self.spans) else []

    def _field_of(self, to_name: str) -> str:
        """Return the key of an object's text: most of its spans fit there. Nothing, if none fits."""
        most = max((self.fits[to_name, key] for key in self.keys), default=0)
        best = [key for key in self.keys if most and self.fits[to_name, key] == most]
        return next((key for key in (to_name, "text", *best) if key in best), "")


def _fitting(text: str, marks: Sequence[Mark]) -> int:
    """Count the spans that fit in a text: their quote is there, or else they are whole words."""
    sound = [mark for mark in marks if not mark.fault and 0 <= mark.start < 4 * len(text)]
    return sum(_fits(text, mark) for mark in convert(text, sound, unit_of(text, sound, ("utf16",)) or "utf16"))


def _fits(text: str, mark: Mark) -> bool:
    if mark.fault or not 0 <= mark.start < mark.end <= len(text):
        return False
    if mark.quote is not None:
        return mark.fits(text)
    covered = text[mark.start : mark.end]
    return covered == covered.strip() and not has_boundary_inside_word(text, mark.start, mark.end)
