"""Texts contained in longer ones, as `ner.teach` makes them, which asks about one sentence of a document at a time.

A contained text neither begins nor ends inside a word of its container. To find them, each position of each text at
which the beginning of another text has the same rolling hash is checked for every length of texts that begin so. Of
nearly all positions the first 16 characters show that no text begins there. The time is proportional to the length of
all texts; the table in memory holds some of the texts at a time.

`moved` moves answers about them to the container, where a dataset is made of contained texts.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.workers import Workers
from scripts.merging.duplicates import write_duplicates
from scripts.merging.survey import (
    LEVELS,
    Block,
    Fingerprints,
    Hashes,
    Numbers,
    TextRows,
    blocks,
    keys,
    looked_up,
    survey,
    text_at,
    texts,
    with_lengths,
)

SHORTEST = LEVELS[0]  # in code points; what is shorter can stand in a longer text by chance
MOST_CONTAINERS = 100  # that are listed
_AT_A_TIME = 2**20  # texts in the table, of some 60 bytes each; and positions that are checked together
_BLOCK = 2**18  # bytes of gold whose arrays stay in a processor's cache; with larger blocks it takes half as long again
_NEAR = 200  # code points around a contained text that show whether it is a sentence
_SENTENCE_ENDS = frozenset(".!?…:;。！？；।۔؟\"'”’»)]}")
_MOST_BITS = 25  # of the hashes in the sieve, which has a byte for each value
_MATCH = np.dtype([("contained", "i8"), ("container", "i8"), ("start", "i8")])
_PAIR = np.dtype([("contained", "i8"), ("container", "i8")])
_CONTAINMENT = np.dtype([*_MATCH.descr, ("occurrences", "i8")])
Containments = np.ndarray[Any, np.dtype[np.void]]
Pairs = np.ndarray[Any, np.dtype[np.void]]


class Container(msgspec.Struct):
    """The text that another is contained in, and from where to where in code points."""

    input_hash: int = msgspec.field(name="_input_hash")
    start: int
    end: int
    sources: list[str]


class ContainedText(msgspec.Struct):
    """A text contained in a longer one; a line of `corpus/contained.jsonl`.

    occurrences (int): In texts that are not contained themselves.
    containers (list[int]): Input hashes of these texts, the first `MOST_CONTAINERS` of them.
    container (Container): The first of them.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    sources: list[str]
    occurrences: int
    containers: list[int]
    container: Container


class ComparedTexts(NamedTuple):
    """Contained texts and duplicates.

    counts (dict[str, int]): Numbers of texts in contained.jsonl and duplicates.jsonl.
    rows (TextRows), containments (Containments): All texts; those that are contained in longer ones.
    sentences (Counter[str]): By dataset, its texts that are sentences of a text of another dataset, in one place.
    """

    counts: dict[str, int]
    rows: TextRows
    containments: Containments
    sentences: Counter[str]


class Containment(NamedTuple):
    """Row numbers of a contained text and of its first container, its start there, and all its occurrences."""

    contained: int
    container: int
    start: int
    occurrences: int


def compare_texts(folder: Path, work: Path, workers: Workers) -> ComparedTexts:
    """Write contained.jsonl and duplicates.jsonl beside gold.jsonl.

    work (Path): A folder to be made, for temporary files; the rows are in it.
    RETURNS (ComparedTexts): What was found.
    """
    work.mkdir()
    gold = folder / "gold.jsonl"
    parts = blocks(gold, _BLOCK)
    rows, firsts = survey(parts, work / "rows", workers)
    containments, containers = _find_contained(parts, rows, firsts, work, workers)
    sentences: Counter[str] = Counter()
    counts = {
        "contained": _write_contained(gold, rows, containments, containers, folder / "contained.jsonl", sentences),
        "duplicates": write_duplicates(gold, rows, folder / "duplicates.jsonl"),
    }
    return ComparedTexts(counts, rows, containments, sentences)


def _find_contained(
    gold: Sequence[Block], rows: TextRows, firsts: Sequence[int], work: Path, workers: Workers
) -> tuple[Containments, Pairs]:
    """The texts contained in longer ones, in the order of the gold, to be unpacked as `Containment`; and the containers
    of each.
    """
    path = work / "matches"
    with path.open("wb") as file:
        for number in range(0, len(rows), _AT_A_TIME):
            table = _write_table(rows[number : number + _AT_A_TIME], work)
            jobs = [SearchJob(block, first, table, number) for block, first in zip(gold, firsts, strict=True)]
            for matches in workers.spread(_search_block, jobs, "Finding contained texts"):
                file.write(matches.tobytes())
    return _outermost_containers(path, len(rows))


def _write_contained(
    gold: Path, rows: TextRows, containments: Containments, containers: Pairs, path: Path, sentences: Counter[str]
) -> int:
    """Write contained.jsonl. RETURNS (int): The number of contained texts; `sentences` are counted."""
    encode = msgspec.json.Encoder().encode_lines
    count = 0
    edges = np.searchsorted(containers["contained"], [*containments["contained"], len(rows)])
    with gold.open("rb") as file, path.open("wb") as out:
        for found, first, stop in zip(unpacked(containments), edges[:-1], edges[1:], strict=True):
            text = text_at(file, int(rows["offset"][found.contained]))
            container = text_at(file, int(rows["offset"][found.container]))
            end = found.start + len(text.text)
            if container.text[found.start : end] == text.text:  # the hashes alone could collide
                where = Container(container.input_hash, found.start, end, container.sources)
                hashes = rows["hash"][containers["container"][first : min(stop, first + MOST_CONTAINERS)]].tolist()
                line = ContainedText(text.input_hash, text.text, text.sources, found.occurrences, hashes, where)
                out.write(encode([line]))
                count += 1
                if found.occurrences == 1 and _is_sentence(container.text, found.start, end):
                    others = set(container.datasets())
                    sentences.update(dataset for dataset in text.datasets() if others != {dataset})
    return count


def _is_sentence(text: str, start: int, end: int) -> bool:
    """Whether a part of a text is one sentence of it or several: these begin and end at punctuation or a new line."""
    before, after = text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
    gap = before[len(before.rstrip()) :]
    begins = not before.rstrip() or "\n" in gap or before.rstrip()[-1] in _SENTENCE_ENDS
    gap = after[: len(after) - len(after.lstrip())]
    return begins and (not after.lstrip() or "\n" in gap or text[start:end].rstrip()[-1:] in _SENTENCE_ENDS)


def unpacked(containments: Containments) -> Iterator[Containment]:
    return (Containment(*row.item()) for row in containments)


# ---- Search in a block


class SearchJob(NamedTuple):
    """A block, the number of its first row; the file of the texts to search for, and the number of their first row."""

    block: Block
    first: int
    table: Path
    offset: int


class LevelTable(msgspec.Struct):
    """Texts at least as long as a beginning, and shorter than the next longer beginning.

    size (int): Length of the beginnings.
    beginnings (Hashes): Their hashes, sorted, each once.
    edges (Numbers), lengths (Numbers): The lengths of texts with beginning `n`: `lengths[edges[n]:edges[n + 1]]`.
    keys (Hashes), rows (Numbers): The texts, sorted by key.
    """

    size: int
    beginnings: Hashes
    edges: Numbers
    lengths: Numbers
    keys: Hashes
    rows: Numbers


def _write_table(rows: TextRows, folder: Path) -> Path:
    """Write some rows to a file named by its content, so that a process reads each table once."""
    path = folder / f"{hashlib.blake2b(rows.data, digest_size=16).hexdigest()}.npy"
    np.save(path, rows)
    return path


@lru_cache(maxsize=1)
def _read_table(path: Path) -> tuple[Hashes, NDArray[np.bool_], np.uint64, list[LevelTable]]:
    """The hashes of the texts' first characters, sorted, each once; by the first bits of a hash, whether it may be one
    of them, and the number of the other bits; and the texts.
    """
    rows = np.load(path)
    firsts = np.unique(rows["first"][rows["level"] > 0])
    bits = min(max(10, (64 * len(firsts)).bit_length()), _MOST_BITS)
    shift = np.uint64(64 - bits)
    sieve = np.zeros(1 << bits, np.bool_)
    sieve[firsts >> shift] = True
    numbers = (int(level) for level in np.unique(rows["level"]) if level)
    levels = [_level_table(rows, np.flatnonzero(rows["level"] == level), LEVELS[level - 1]) for level in numbers]
    return firsts, sieve, shift, levels


def _level_table(rows: TextRows, own: Numbers, size: int) -> LevelTable:
    pairs = np.unique(rows[["beginning", "length"]][own])
    beginnings, edges = np.unique(pairs["beginning"], return_index=True)
    by_key = own[np.argsort(rows["key"][own], kind="stable")]
    lengths = np.ascontiguousarray(pairs["length"])
    return LevelTable(size, beginnings, np.append(edges, len(pairs)), lengths, rows["key"][by_key], by_key)


def _search_block(job: SearchJob) -> Any:
    """Matches (rows of _MATCH) of the table's texts in a block's texts, sorted by container and start."""
    prints = Fingerprints(texts(job.block))
    firsts, sieve, shift, levels = _read_table(job.table)
    hashes = prints.all_of(SHORTEST)
    sifted = sieve[(hashes >> shift).view(np.int64)]  # indexing by unsigned numbers takes 3 × as long
    candidates = np.flatnonzero(sifted)
    candidates = candidates[looked_up(firsts, hashes[candidates])[1]]
    matches = [np.zeros(0, _MATCH)]
    for level in levels:
        starts = candidates[candidates + level.size <= len(prints)]
        which, same = looked_up(level.beginnings, prints.of(starts, np.full(len(starts), level.size)))
        for chosen, lengths in with_lengths(starts[same], which[same], level.edges, level.lengths, _AT_A_TIME):
            matches.append(_matches(prints, chosen, lengths, level, job))
    joined = np.concatenate(matches)
    return joined[np.lexsort((joined["contained"], joined["start"], joined["container"]))]


def _matches(prints: Fingerprints, starts: Numbers, lengths: Numbers, level: LevelTable, job: SearchJob) -> Any:
    """Texts of the table that are equal, by hash, to a proper part of a text with one of these starts and lengths."""
    text = prints.text_at(starts)
    inside = starts + lengths <= prints.ends[text]
    proper = lengths < (prints.ends - prints.starts)[text]
    starts, lengths, text = (values[inside & proper] for values in (starts, lengths, text))
    which, same = looked_up(level.keys, keys(prints.of(starts, lengths), lengths))
    which, starts, lengths, text = which[same], starts[same], lengths[same], text[same]
    ends = starts + lengths
    begins_apart = (starts == prints.starts[text]) | prints.are_apart(starts)
    ends_apart = (ends == prints.ends[text]) | prints.are_apart(ends)
    chosen = np.flatnonzero(begins_apart & ends_apart)
    found = np.zeros(len(chosen), _MATCH)
    found["contained"] = level.rows[which[chosen]] + job.offset
    found["container"] = text[chosen] + job.first
    found["start"] = starts[chosen] - prints.starts[text[chosen]]
    return found


def _outermost_containers(path: Path, number: int) -> tuple[Containments, Pairs]:
    """Of each contained text the first container that is not contained itself, and the first of all such containers.
    Each text has one, the outermost.
    """
    if not path.stat().st_size:
        return np.zeros(0, _CONTAINMENT), np.zeros(0, _PAIR)
    matches = np.memmap(path, _MATCH, "r")
    is_contained = np.zeros(number, np.bool_)
    for begin in range(0, len(matches), _AT_A_TIME):
        is_contained[matches["contained"][begin : begin + _AT_A_TIME]] = True
    numbers = np.flatnonzero(is_contained)
    found = np.zeros(len(numbers), _CONTAINMENT)
    pairs = [np.zeros(0, _PAIR)]
    listed = np.zeros(len(numbers), np.int64)
    for begin in range(0, len(matches), _AT_A_TIME):
        some = np.array(matches[begin : begin + _AT_A_TIME])
        some = some[~is_contained[some["container"]]]
        rows = np.searchsorted(numbers, some["contained"])
        which, at, times = np.unique(rows, return_index=True, return_counts=True)
        new = found["occurrences"][which] == 0
        for name in _MATCH.names or ():
            found[name][which[new]] = some[name][at[new]]
        found["occurrences"][which] += times
        pairs.append(_first_pairs(some, numbers, listed))
    return found[found["occurrences"] > 0], np.unique(np.concatenate(pairs))


def _first_pairs(matches: Any, numbers: Numbers, listed: Numbers) -> Pairs:
    """Pairs of a contained text and its container, each once, of each text at most a number.

    numbers (Numbers): The rows of all contained texts, sorted.
    listed (Numbers): For each of them the pairs that there are so far.
    """
    pairs = np.unique(matches[["contained", "container"]].astype(_PAIR))
    rows = np.searchsorted(numbers, pairs["contained"])
    which, first, times = np.unique(rows, return_index=True, return_counts=True)
    place = np.arange(len(rows)) - np.repeat(first, times) + listed[rows]
    listed[which] += times
    return pairs[place < 2 * MOST_CONTAINERS]  # some more, since a container can be in two parts of the matches
