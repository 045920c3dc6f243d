"""Answers about a part of a text become answers about the whole text, where they say the same of it.

A binary answer does: that a span is an entity, or is not, is as true of it in the whole text. A complete answer about
a part says nothing of the rest, so it stays an answer about a text of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from scripts.annotations.files import BUFFER
from scripts.annotations.records import Span, Task, hash_of_line
from scripts.annotations.sorting import sorted_blocks
from scripts.merging.parts import Place, places
from scripts.merging.resemblance import Resemblance
from scripts.merging.survey import text_at

_decode = msgspec.json.Decoder(Task).decode
_encode = msgspec.json.Encoder().encode


def map_parts(paths: Sequence[Path], gold: Path, found: Resemblance, work: Path) -> tuple[list[Path], int]:
    """Move binary answers about parts to the texts they are parts of, if there is but one place where they can be.

    paths (Sequence[Path]): Files of answers, sorted by hash. They stay as they are.
    gold (Path), found (Resemblance): The texts.
    work (Path): A folder for new files.
    RETURNS (tuple[list[Path], int]): The files to read instead, sorted too, and how many answers were moved.
    """
    mapped, moved = [], 0
    with gold.open("rb") as texts:
        for number, path in enumerate(paths):
            lines = _Lines(path, texts, found)
            new = work / f"{number}.jsonl"
            with new.open("wb") as out:
                for block in sorted_blocks(iter(lines), work / f"{number}.runs"):
                    out.write(block)
            mapped.append(new if lines.moved else path)
            moved += lines.moved
    return mapped, moved


class _Lines(msgspec.Struct):
    """The lines of a file with their hashes, and how many are about another text now."""

    path: Path
    texts: Any
    found: Resemblance
    moved: int = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        parts = self._parts()
        input_hash, here = next(parts)
        with self.path.open("rb", BUFFER) as lines:
            for line in lines:
                own = hash_of_line(line)
                while input_hash < own:
                    input_hash, here = next(parts)
                if here and input_hash == own and (task := self._at_home(_decode(line), here)):
                    self.moved += 1
                    own, line = task.input_hash, _encode(task) + b"\n"
                yield own, line

    def _parts(self) -> Iterator[tuple[int, list[Place]]]:
        """The parts with each hash, in the order of hashes, as the gold is; then one that is never reached."""
        same: list[Place] = []
        last = -(2**31)
        for place in places(self.found.parts[self.found.parts["places"] == 1]):
            self.texts.seek(int(self.found.rows["place"][place.part]))
            input_hash = hash_of_line(self.texts.readline())
            if input_hash != last:
                yield last, same
                last, same = input_hash, []
            same.append(place)
        yield last, same
        yield 2**31, []

    def _at_home(self, task: Task, here: list[Place]) -> Task | None:
        """The answer in the text that its text is a part of, if it is one that can be moved."""
        if task.kind != "binary":
            return None
        rows = self.found.rows["place"]
        place = next((one for one in here if text_at(self.texts, int(rows[one.part])).text == task.text), None)
        if place is None:
            return None
        whole = text_at(self.texts, int(rows[place.whole]))
        if whole.text[place.start : place.start + len(task.text)] != task.text:
            return None
        spans = [Span(span.start + place.start, span.end + place.start, span.label) for span in task.spans]
        # Its meta is about the part: its place, the model's score.
        return msgspec.structs.replace(task, input_hash=whole.input_hash, text=whole.text, spans=spans, meta={})
