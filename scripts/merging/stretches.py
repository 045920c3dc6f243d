"""What was merged before, by stretches of the hashes: a stretch in which no answer changed need not be merged again.

`pull` says which hashes of a dataset changed since an earlier file of it; `merge` remembers of each stretch where its
answers went, and how long its gold and its conflicts are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.files import sha256, whole_file
from scripts.merging.buckets import ALL, Range
from scripts.merging.merged import NAME, Merged, is_as_merged, load
from scripts.merging.pulling import Seen

_NAME = ".stretches.json"  # it can always be deleted
_STRETCH_BYTES = 2**22  # of answers, at most, on average
_MOST_BITS = 8
RESEMBLING = ("parts", "lookalikes")  # the files of texts that resemble others


class Stretch(msgspec.Struct, array_like=True, frozen=True):
    """What was made of the answers in a range of hashes.

    account (msgspec.Raw): See `Account.packed`.
    gold (int), conflicts (int): Bytes of them.
    """

    account: msgspec.Raw
    gold: int
    conflicts: int


class Run(NamedTuple):
    """Stretches from one to before another: either all of them changed, or none."""

    start: int
    stop: int
    changed: bool


class _Remembered(msgspec.Struct):
    """.stretches.json: the digest of the merge.json that it belongs to, and the stretches in the order of hashes."""

    merged: str
    stretches: list[Stretch]


class Former(NamedTuple):
    """An earlier merge by the same rules, whose files are still there.

    stretches (list[Stretch]): In the order of hashes.
    changed (frozenset[int]): The numbers of those in which something is not the same now.
    """

    merged: Merged
    corpus: Path
    stretches: list[Stretch]
    changed: frozenset[int]


def number_of_stretches(size: int) -> int:
    """How many stretches answers of so many bytes are merged in, a power of two: it depends on nothing else."""
    return 1 << min((size // _STRETCH_BYTES).bit_length(), _MOST_BITS)


def stretch_of(input_hash: int, stretches: int) -> int:
    """The number of the stretch that has a hash, of so many."""
    return (input_hash - ALL.start) * stretches // (ALL.stop - ALL.start)


def hashes_of(run: Run, stretches: int) -> Range:
    """The hashes of a run, of so many stretches."""
    width = (ALL.stop - ALL.start) // stretches
    return Range(ALL.start + run.start * width, ALL.start + run.stop * width)


def runs(former: Former | None, stretches: int) -> list[Run]:
    """All stretches, in order."""
    if former is None:
        return [Run(0, stretches, True)]
    groups = (list(same) for _, same in groupby(range(stretches), former.changed.__contains__))
    return [Run(same[0], same[-1] + 1, same[0] in former.changed) for same in groups]


def bytes_before(stretches: Sequence[Stretch], number: int, what: Literal["gold", "conflicts"]) -> int:
    """Where a stretch begins in its file, or, if the number is that of none, where the file ends."""
    return sum(getattr(stretch, what) for stretch in stretches[:number])


def remember(corpus: Path, stretches: list[Stretch]) -> None:
    """Note what the merge.json of a corpus is made of."""
    with whole_file(corpus / _NAME) as file:
        file.write(msgspec.json.encode(_Remembered(sha256(corpus / NAME), stretches)))


def former_merge(asked: Merged, seen: Mapping[str, Seen], size: int, corpus: Path) -> Former | None:
    """An earlier merge into a corpus of which something can be taken over.

    asked (Merged): What is to be merged, and by which rules.
    seen (Mapping[str, Seen]): The datasets whose files are as `pull` left them, and what it knows of their changes.
    size (int): Bytes of all answers.
    """
    stretches = number_of_stretches(size)
    try:
        merged = load(corpus)
        found = msgspec.json.decode((corpus / _NAME).read_bytes(), type=_Remembered)
        if (
            (merged.policy, merged.parts, merged.code) != (asked.policy, asked.parts, asked.code)
            or merged.inputs.keys() != asked.inputs.keys()
            or len(found.stretches) != stretches
            or found.merged != sha256(corpus / NAME)
        ):
            return None
        hashes: set[int] = set()
        for name, digest in asked.inputs.items():
            if digest != merged.inputs[name]:
                hashes.update(seen[name].since[merged.inputs[name]])
        if not is_as_merged(merged, corpus):
            return None
    except (UserError, OSError, KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Former(merged, corpus, found.stretches, frozenset(stretch_of(each, stretches) for each in hashes))


def keeps_resemblance(former: Former, now: list[Stretch], gold: Path) -> bool:
    """Whether parts.jsonl and lookalikes.jsonl of an earlier merge are right for the new gold too: the texts are the
    same, and those whose sources are not do not resemble others.

    now (list[Stretch]): The stretches of the gold.
    """
    changed: set[int] = set()
    for number in former.changed:
        old, new = _texts(former.corpus / gold.name, former.stretches, number), _texts(gold, now, number)
        if old.keys() != new.keys():
            return False
        changed.update(key[0] for key in old if old[key] != new[key])
    return not changed or changed.isdisjoint(_resembling(former.corpus))


def _texts(gold: Path, stretches: list[Stretch], number: int) -> dict[tuple[int, str], list[str]]:
    """The texts of a stretch of the gold, by hash and text, each with its sources."""
    with gold.open("rb") as file:
        file.seek(bytes_before(stretches, number, "gold"))
        found = map(_decode_text, file.read(stretches[number].gold).splitlines())
        return {(text.input_hash, text.text): text.sources for text in found}


class _Hash(msgspec.Struct):
    input_hash: int = msgspec.field(name="_input_hash")


class _Resembling(msgspec.Struct):
    """What of a line of either file tells which texts it is about."""

    input_hash: int | None = msgspec.field(name="_input_hash", default=None)
    whole: _Hash | None = None
    texts: list[_Hash] = []


_decode_text = msgspec.json.Decoder(GoldText).decode
_decode_resembling = msgspec.json.Decoder(_Resembling).decode


def _resembling(corpus: Path) -> Iterator[int]:
    """The hashes of texts that resemble others."""
    for name in RESEMBLING:
        with (corpus / f"{name}.jsonl").open("rb") as lines:
            for found in map(_decode_resembling, lines):
                yield from (text.input_hash for text in (found.whole, *found.texts) if text)
                if found.input_hash is not None:
                    yield found.input_hash
