"""Texts that are parts of longer ones, as `ner.teach` makes them, which asks about a sentence at a time. A part neither
begins nor ends inside a word.

For each text the hash of its beginning is kept: as much of it as a power of 4 allows, so at least a fourth. Each place
of each text at which something begins that has such a hash is then looked at for every length in which there are
texts that begin so: what is read once need not be compared with each of them. Of nearly all places the first 16
characters tell that nothing begins there. That takes time in proportion to what there is to read, but for texts that
begin alike, and a table in memory for some of the texts at a time.

Answers about a part of a text become answers about the whole text, where they say the same of it.

A binary answer does: that a span is an entity, or is not, is as true of it in the whole text. A complete answer about
a part says nothing of the rest, so it stays an answer about a text of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.answers import Span, Task, hash_of_line
from scripts.core.files import BUFFER
from scripts.core.workers import Workers
from scripts.merging.duplicates import write_lookalikes
from scripts.merging.fingerprints import Fingerprints, Hashes, Numbers, keys, looked_up, with_lengths
from scripts.merging.sorting import sorted_blocks
from scripts.merging.survey import LEVELS, Block, Rows, blocks, survey, text_at, texts

_BLOCK = 2**18  # bytes of gold: the arrays made of it stay in the cache of a processor; more take half as long again


class Resemblance(NamedTuple):
    """What was found.

    rows (Rows), parts (Places): The texts, and which of them are parts of which.
    counts (dict[str, int]): "parts" and "lookalikes": how many texts.
    """

    rows: Rows
    parts: Places
    counts: dict[str, int]


def find_resemblance(folder: Path, work: Path, workers: Workers) -> Resemblance:
    """Write parts.jsonl and lookalikes.jsonl of a folder's gold.jsonl.

    folder (Path): Has the gold, and gets the results.
    work (Path): A folder for what is found on the way, of no use to anybody but for the rows.
    """
    work.mkdir()
    gold = folder / "gold.jsonl"
    parts = blocks(gold, _BLOCK)
    rows, firsts = survey(parts, work / "rows", workers)
    found = find_parts(parts, rows, firsts, work, workers)
    counts = {
        "parts": write_parts(gold, rows, found, folder / "parts.jsonl"),
        "lookalikes": write_lookalikes(gold, rows, folder / "lookalikes.jsonl"),
    }
    return Resemblance(rows, found, counts)


SHORTEST = LEVELS[0]  # in code points; what is shorter can be part of a longer text by chance
_AT_A_TIME = 2**20  # texts in the table, of some 60 bytes each; and places that are looked at together
_MOST_BITS = 25  # of the hashes by which places are sifted, a byte for each value
_MATCH = np.dtype([("part", "i8"), ("whole", "i8"), ("start", "i8")])
_PLACE = np.dtype([*_MATCH.descr, ("places", "i8")])
Places = np.ndarray[Any, np.dtype[np.void]]


class Whole(msgspec.Struct):
    """Where a part is: in which text, and from where to where in code points."""

    input_hash: int = msgspec.field(name="_input_hash")
    start: int
    end: int
    sources: list[str]


class Part(msgspec.Struct):
    """A text that is a part of a longer one; a line of `corpus/parts.jsonl`.

    places (int): How often it occurs in texts that are no parts themselves.
    whole (Whole): The first of them.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    sources: list[str]
    places: int
    whole: Whole


class Place(NamedTuple):
    """Where a part is: the number of its row, the row of the whole text, and the start there; in how many places."""

    part: int
    whole: int
    start: int
    places: int


def find_parts(parts: Sequence[Block], rows: Rows, firsts: Sequence[int], work: Path, workers: Workers) -> Places:
    """Find the texts that are parts of longer ones, in the order of the gold.

    parts (Sequence[Block]), rows (Rows), firsts (Sequence[int]): All texts, as surveyed.
    work (Path): A folder for what is found on the way.
    RETURNS (Places): To be unpacked by `places`.
    """
    path = work / "matches"
    with path.open("wb") as file:
        for number in range(0, len(rows), _AT_A_TIME):
            table = _write_table(rows[number : number + _AT_A_TIME], work)
            jobs = [_Job(block, first, table, number) for block, first in zip(parts, firsts, strict=True)]
            for found in workers.spread(_matches, jobs, "Looking for parts"):
                file.write(found.tobytes())
    return _first_places(path, len(rows))


def places(found: Places) -> Iterator[Place]:
    """The parts one by one."""
    return (Place(*row.item()) for row in found)


def write_parts(gold: Path, rows: Rows, found: Places, path: Path) -> int:
    """Write the parts. Returns how many there are."""
    encode = msgspec.json.Encoder().encode_lines
    count = 0
    with gold.open("rb") as file, path.open("wb") as out:
        for place in places(found):
            text = text_at(file, int(rows["place"][place.part]))
            whole = text_at(file, int(rows["place"][place.whole]))
            end = place.start + len(text.text)
            if whole.text[place.start : end] == text.text:
                where = Whole(whole.input_hash, place.start, end, whole.sources)
                out.write(encode([Part(text.input_hash, text.text, text.sources, place.places, where)]))
                count += 1
    return count


# Looking for parts in a block


class _Job(NamedTuple):
    """block, and the number of its first row; the table of the texts to look for, and the number of its first row."""

    block: Block
    first: int
    table: Path
    offset: int


def _write_table(rows: Rows, folder: Path) -> Path:
    """The file is named by what is in it, so that a process that has read it need not read it again."""
    path = folder / f"{hashlib.blake2b(rows.data, digest_size=16).hexdigest()}.npy"
    np.save(path, rows)
    return path


class _Level(msgspec.Struct):
    """Texts that are at least as long as a beginning, and shorter than four times that.

    beginnings (Hashes): Their hashes, sorted, each once.
    edges (Numbers): Where in `lengths` those of each beginning start; one more says where all end.
    lengths (Numbers): The lengths that texts with a beginning have, each once.
    keys (Hashes), rows (Numbers): The texts, sorted by key.
    """

    size: int
    beginnings: Hashes
    edges: Numbers
    lengths: Numbers
    keys: Hashes
    rows: Numbers


class _Table(msgspec.Struct):
    """The texts to look for.

    firsts (Hashes): Of their first characters, sorted, each once.
    sieve (NDArray[bool]): By the first bits of a hash, whether it may be one of these.
    """

    firsts: Hashes
    sieve: NDArray[np.bool_]
    shift: np.uint64
    levels: list[_Level]


@lru_cache(maxsize=1)
def _read_table(path: Path) -> _Table:
    rows = np.load(path)
    firsts = np.unique(rows["first"][rows["level"] > 0])
    bits = min(max(10, (64 * len(firsts)).bit_length()), _MOST_BITS)
    shift = np.uint64(64 - bits)
    sieve = np.zeros(1 << bits, np.bool_)
    sieve[firsts >> shift] = True
    numbers = (int(level) for level in np.unique(rows["level"]) if level)
    levels = [_level(rows, np.flatnonzero(rows["level"] == level), LEVELS[level - 1]) for level in numbers]
    return _Table(firsts, sieve, shift, levels)


def _level(rows: Rows, own: Numbers, size: int) -> _Level:
    pairs = np.unique(rows[["beginning", "length"]][own])
    beginnings, edges = np.unique(pairs["beginning"], return_index=True)
    by_key = own[np.argsort(rows["key"][own], kind="stable")]
    lengths = np.ascontiguousarray(pairs["length"])
    return _Level(size, beginnings, np.append(edges, len(pairs)), lengths, rows["key"][by_key], by_key)


def _matches(job: _Job) -> Any:
    """The places in a block's texts where a text of the table is, as rows of _MATCH, sorted by place."""
    prints = Fingerprints(texts(job.block))
    table = _read_table(job.table)
    found = [np.zeros(0, _MATCH)]
    begun = _begun(prints, table)
    for level in table.levels:
        places = begun[begun + level.size <= len(prints)]
        which, same = looked_up(level.beginnings, prints.of(places, np.full(len(places), level.size)))
        for chosen, lengths in with_lengths(places[same], which[same], level.edges, level.lengths, _AT_A_TIME):
            found.append(_compare(prints, chosen, lengths, level, job))
    joined = np.concatenate(found)
    return joined[np.lexsort((joined["part"], joined["start"], joined["whole"]))]


def _begun(prints: Fingerprints, table: _Table) -> Numbers:
    """The places at which some text of the table may begin."""
    hashes = prints.all_of(SHORTEST)
    sifted = table.sieve[(hashes >> table.shift).view(np.int64)]  # by unsigned numbers it takes three times as long
    places = np.flatnonzero(sifted)
    return places[looked_up(table.firsts, hashes[places])[1]]


def _compare(prints: Fingerprints, places: Numbers, lengths: Numbers, level: _Level, job: _Job) -> Any:
    text = prints.text_at(places)
    inside = places + lengths <= prints.ends[text]
    proper = lengths < (prints.ends - prints.starts)[text]
    places, lengths, text = (values[inside & proper] for values in (places, lengths, text))
    which, same = looked_up(level.keys, keys(prints.of(places, lengths), lengths))
    which, places, lengths, text = which[same], places[same], lengths[same], text[same]
    ends = places + lengths
    begins = (places == prints.starts[text]) | _apart(prints, places)
    chosen = np.flatnonzero(begins & ((ends == prints.ends[text]) | _apart(prints, ends)))
    found = np.zeros(len(chosen), _MATCH)
    found["part"] = level.rows[which[chosen]] + job.offset
    found["whole"] = text[chosen] + job.first
    found["start"] = places[chosen] - prints.starts[text[chosen]]
    return found


def _apart(prints: Fingerprints, places: Numbers) -> NDArray[np.bool_]:
    return np.fromiter((prints.is_apart(place) for place in places.tolist()), np.bool_, len(places))


# From matches to places


def _first_places(path: Path, number: int) -> Places:
    """The first place of each part in a text that is no part itself; there is one, since parts of parts are parts."""
    if not path.stat().st_size:
        return np.zeros(0, _PLACE)
    matches = np.memmap(path, _MATCH, "r")
    is_part = np.zeros(number, np.bool_)
    for begin in range(0, len(matches), _AT_A_TIME):
        is_part[matches["part"][begin : begin + _AT_A_TIME]] = True
    numbers = np.flatnonzero(is_part)
    first = np.zeros(len(numbers), _PLACE)
    for begin in range(0, len(matches), _AT_A_TIME):
        some = np.array(matches[begin : begin + _AT_A_TIME])
        some = some[~is_part[some["whole"]]]
        which, at, times = np.unique(np.searchsorted(numbers, some["part"]), return_index=True, return_counts=True)
        new = first["places"][which] == 0
        for name in _MATCH.names or ():
            first[name][which[new]] = some[name][at[new]]
        first["places"][which] += times
    return first[first["places"] > 0]


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
