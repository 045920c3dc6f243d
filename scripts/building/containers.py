"""Texts that stand in longer ones are in the split of these, so that nothing is trained on that is evaluated on.

Texts of one wording, that is equal but for case, whitespace, punctuation and HTML entities, have one split. In this
order:

1. Texts of `dev_datasets` and `test_datasets` are in these splits, and so are the texts that they stand in.
2. A text that stands in longer ones is in the split of these. If they are in several, it is in none.
3. All others are in the split of their document or of their hash. If a wording comes from documents in several splits,
   it is in none.

Short texts (`SHORTEST`) can stand in a longer text by chance: they follow it, but stay where they are if there are
several.
"""

from array import array
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.building.splits import SPLITS, Placed, SplitName, Splitter, wording
from scripts.core.workers import Workers
from scripts.merging.contained import MOST_CONTAINERS, ContainedText
from scripts.merging.merged import read_gold
from scripts.merging.survey import Block, blocks

SHORTEST = 20  # code points from which a text in two splits is a leak
_BITS: dict[SplitName, int] = {split: 1 << number for number, split in enumerate(SPLITS)}
_SPLIT_OF: dict[int, SplitName] = {bit: split for split, bit in _BITS.items()}
_EVALUATION = _BITS["dev"] | _BITS["test"]
_ALL = _EVALUATION | _BITS["train"]
_COUNTS = ("followed", "evaluated", "no split", "short", "leaks")
_BLOCK = 2**22  # bytes of gold that a process reads at a time
_ROW = np.dtype([("hash", "i4"), ("wording", "u8"), ("length", "i4"), ("own", "u1"), ("reserved", "?")])
_decode = msgspec.json.Decoder(ContainedText).decode
Bits = NDArray[np.uint8]
Indexes = NDArray[np.intp]


class Placements(NamedTuple):
    """The texts that are not in the split of their own hash or document.

    hashes (NDArray[int32]), wordings (NDArray[uint64]): Of these texts, in the order of the gold.
    splits (Bits): The bit of their split; 0 for none.
    counts (dict[str, int]): Texts that "followed" their containers; containers that are "evaluated" since a text to
        evaluate on stands in them; texts in "no split"; wordings that are both in train and in dev or test, themselves
        or in longer texts: "leaks", of which there must be none, and "short" ones.
    """

    hashes: NDArray[np.int32]
    wordings: NDArray[np.uint64]
    splits: Bits
    counts: dict[str, int]

    def within(self, start: int, stop: int) -> Placed:
        """The splits of texts with hashes from start to before stop, by wording."""
        first, last = np.searchsorted(self.hashes, [start, stop]).tolist()
        found = zip(self.wordings[first:last].tolist(), self.splits[first:last].tolist(), strict=True)
        return {word: _SPLIT_OF.get(split) for word, split in found}


def place_texts(gold: Path, splitter: Splitter, workers: Workers) -> Placements | None:
    """Find the texts that are not in the split of their own hash or document.

    gold (Path): gold.jsonl, with contained.jsonl and duplicates.jsonl beside it.
    RETURNS (Placements | None): None if contained texts were not looked for: the other files are not there.
    """
    contained, duplicates = gold.with_name("contained.jsonl"), gold.with_name("duplicates.jsonl")
    if not contained.exists():
        return None
    if not contained.stat().st_size and not (splitter.document and duplicates.stat().st_size):
        return Placements(
            np.zeros(0, np.int32), np.zeros(0, np.uint64), np.zeros(0, np.uint8), dict.fromkeys(_COUNTS, 0)
        )
    jobs = [RowsJob(block, splitter) for block in blocks(gold, _BLOCK)]
    rows = np.concatenate(list(workers.spread(_rows_of_block, jobs, "Placing texts")))
    wordings, of_row = np.unique(rows["wording"], return_inverse=True)
    classes = _Classes(rows, of_row, len(wordings), _read_pairs(contained, rows, wordings, of_row))
    final = np.where(classes.stays[of_row], rows["own"], classes.final[of_row])
    moved = np.flatnonzero(final != rows["own"])
    counts = classes.counts() | {
        name: int(np.count_nonzero(chosen[of_row[moved]] & (final[moved] > 0)))
        for name, chosen in (("followed", ~classes.pulled), ("evaluated", classes.pulled))
    }
    counts["no split"] = int(np.count_nonzero(final == 0))
    return Placements(
        rows["hash"][moved], rows["wording"][moved], final[moved], {name: counts[name] for name in _COUNTS}
    )


class RowsJob(NamedTuple):
    """Some lines of gold.jsonl, and the splitter that knows nothing of containers."""

    block: Block
    splitter: Splitter


def _rows_of_block(job: RowsJob) -> Any:
    block, splitter = job
    found = []
    for text in read_gold(block.gold, block.start, block.stop - block.start):
        split, is_reserved = splitter.own_split(text)
        found.append((text.input_hash, wording(text.text), len(text.text), _BITS[split], is_reserved))
    return np.array(found, _ROW)


class _Pairs(NamedTuple):
    """Wordings of contained texts and of their containers, by their indexes."""

    contained: Indexes
    containers: Indexes


def _read_pairs(path: Path, rows: Any, wordings: NDArray[np.uint64], of_row: Indexes) -> tuple[_Pairs, Indexes]:
    """Read contained.jsonl. RETURNS: All pairs, and the contained ones that have more containers than are listed."""
    contained, sizes, containers = array("Q"), array("l"), array("i")
    with path.open("rb") as lines:
        for line in lines:
            text = _decode(line)
            contained.append(wording(text.text))
            sizes.append(len(text.containers))
            containers.extend(text.containers)
    of_contained = np.searchsorted(wordings, np.frombuffer(contained, np.uint64))
    hashes = np.frombuffer(containers, np.int32)
    first, last = (np.searchsorted(rows["hash"], hashes, side) for side in ("left", "right"))
    listed = np.repeat(of_contained, np.frombuffer(sizes, np.dtype("l")))
    repeats = last - first  # several, if texts share a hash
    within = np.arange(int(repeats.sum())) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    of_containers = of_row[np.repeat(first, repeats) + within]
    listed = np.repeat(listed, repeats)
    other = listed != of_containers  # else the texts are of one wording
    many = of_contained[np.frombuffer(sizes, np.dtype("l")) >= MOST_CONTAINERS]
    return _Pairs(listed[other], of_containers[other]), many


class _Classes:
    """The texts by wording, and the splits that each may be in, as bits.

    own (Bits): Of its texts. reserved (Bits): Of those among them that are evaluation data.
    pulled (NDArray[bool]): Whether a text to evaluate on stands in it.
    stays (NDArray[bool]): Whether it is short and could be in several: its texts stay where they are.
    final (Bits): The split; 0 for none, and several only where `stays`.
    """

    def __init__(self, rows: Any, of_row: Indexes, number: int, found: tuple[_Pairs, Indexes]) -> None:
        self.pairs, many = found
        self.own, self.reserved = np.zeros(number, np.uint8), np.zeros(number, np.uint8)
        lengths = np.zeros(number, np.int32)
        np.bitwise_or.at(self.own, of_row, rows["own"])
        chosen = np.flatnonzero(rows["reserved"])
        np.bitwise_or.at(self.reserved, of_row[chosen], rows["own"][chosen])
        np.maximum.at(lengths, of_row, rows["length"])
        self.is_short = lengths < SHORTEST
        self.is_contained = np.zeros(number, np.bool_)
        self.is_contained[self.pairs.contained] = True
        self.pulled = self._pull_containers()
        bits = self._spread(many)
        is_several = (bits & (bits - np.uint8(1))) > 0
        self.stays = is_several & self.is_short
        self.final: Bits = np.where(self.stays, self.own, np.where(is_several, 0, bits)).astype(np.uint8)

    def _pull_containers(self) -> NDArray[np.bool_]:
        """Reserve the containers of reserved texts. A text that is reserved for dev and test is in test."""
        contained, containers = self.pairs
        pulling = (self.reserved[contained] > 0) & ~self.is_short[contained] & (self.reserved[containers] == 0)
        pulled = np.zeros(len(self.own), np.uint8)
        np.bitwise_or.at(pulled, containers[pulling], self.reserved[contained[pulling]])
        self.reserved |= pulled
        self.reserved[self.reserved == _EVALUATION] = _BITS["test"]
        return pulled > 0

    def _spread(self, many: Indexes) -> Bits:
        """All splits that containers are in, theirs included if these stand, by their wording, in others."""
        contained, containers = self.pairs
        bits = np.where(self.reserved > 0, self.reserved, np.where(self.is_contained, 0, self.own)).astype(np.uint8)
        bits[many] = _ALL
        while True:
            before = bits.copy()
            np.bitwise_or.at(bits, contained, bits[containers])
            if (bits == before).all():
                return np.where(bits > 0, bits, self.own)

    def counts(self) -> dict[str, int]:
        """Numbers of wordings that stand, or are themselves, in train and in dev or test."""
        around = self.final.copy()
        contained, containers = self.pairs
        both = (self.final[contained] > 0) & (self.final[containers] > 0)
        np.bitwise_or.at(around, contained[both], self.final[containers[both]])
        is_leak = ((around & _BITS["train"]) > 0) & ((around & _EVALUATION) > 0)
        return {
            name: int(np.count_nonzero(is_leak & chosen))
            for name, chosen in (("leaks", ~self.is_short), ("short", self.is_short))
        }
