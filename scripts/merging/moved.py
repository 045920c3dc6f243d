"""Answers about contained texts, moved to the container, for datasets that are made of such texts.

`ner.teach` and `ner.correct` split documents into sentences, so that a dataset is full of texts that nobody else has.
That a span is an entity, or is not, is as true in the document. A complete answer is complete in the range of its
sentence there, and says nothing of the rest: it gets a `range`.

A dataset is made of contained texts if most of its texts are sentences of texts of other datasets, in one place each.
Then its shortest texts too, which `contained` does not look for, are found among the sentences of all texts. What other
datasets say about the same texts and labels moves with it: one of these answers may replace another.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scripts.core.answers import Span, Task, hash_of_line
from scripts.core.files import BUFFER
from scripts.core.workers import Workers
from scripts.merging.contained import SHORTEST, ComparedTexts, Containment, Containments, unpacked
from scripts.merging.sorting import sorted_blocks
from scripts.merging.survey import Block, SourcedText, blocks, sourced_texts, text_at

_SENTENCE = re.compile(r"[^.!?…。！？\n]*(?:[.!?…。！？\"'”’»)\]]+|\n|$)")  # with what ends it
_MOST_TOGETHER = 4  # of them that a short text may have: "Dr. A. Ho left."
_decode = msgspec.json.Decoder(Task).decode
_encode = msgspec.json.Encoder().encode
TextOfRow = Callable[[int], SourcedText]
Moved = dict[str, dict[str, int]]


def made_of_contained(gold: Path, found: ComparedTexts, workers: Workers) -> Moved:
    """The datasets that are made of contained texts.

    RETURNS (Moved): By dataset: the number of its "texts", and of those that are "sentences" of texts of others. Texts
        of less than `SHORTEST` code points do not count: they are not looked for.
    """
    if not found.sentences:
        return {}
    texts: Counter[str] = Counter()
    for some in workers.spread(_texts_by_dataset, blocks(gold), "Counting"):
        texts.update(some)
    return {
        dataset: {"texts": texts[dataset], "sentences": sentences}
        for dataset, sentences in sorted(found.sentences.items())
        if 2 * sentences > texts[dataset]
    }


def _texts_by_dataset(block: Block) -> Counter[str]:
    long = (text for text in sourced_texts(block) if len(text.text) >= SHORTEST)
    return Counter(dataset for text in long for dataset in text.datasets())


def move_answers(
    paths: Mapping[str, Path],
    labels: Mapping[str, Collection[str]],
    chosen: Moved,
    gold: Path,
    found: ComparedTexts,
    work: Path,
    workers: Workers,
) -> dict[str, Path]:
    """Move the answers of some datasets about contained texts to their containers, where a text occurs only once, with
    those of others about the same texts and labels.

    paths (Mapping[str, Path]): Files of answers by dataset, sorted by hash. They stay as they are.
    labels (Mapping[str, Collection[str]]): Labels by dataset.
    chosen (Moved): The datasets; gets the number of their answers that were "moved", and the others with theirs.
    work (Path): A folder for new files.
    RETURNS (dict[str, Path]): The files to read instead, sorted too.
    """
    result = dict(paths)
    single = found.containments[found.containments["occurrences"] == 1]
    single = np.sort(np.concatenate([single, _short_sentences(gold, found, set(chosen), workers)]), order="contained")
    with gold.open("rb") as file:

        def text_of(row: int) -> SourcedText:
            return text_at(file, int(found.rows["offset"][row]))

        moving = _moving_together(single, text_of, chosen, labels)
        for number, dataset in enumerate([*chosen, *sorted(moving.keys() - chosen)]):
            counts = chosen.setdefault(dataset, {})
            counts["moved"] = 0
            new = work / f"moved-{number}.jsonl"
            lines = _moved_lines(paths[dataset], text_of, single[moving[dataset]], counts)
            with new.open("wb") as out:
                for block in sorted_blocks(lines, work / f"moved-{number}.sorted"):
                    out.write(block)
            result[dataset] = new
    return result


def _moving_together(
    single: Containments, text_of: TextOfRow, chosen: Collection[str], labels: Mapping[str, Collection[str]]
) -> dict[str, array[int]]:
    """By dataset, the numbers of the containments whose texts it has answers about that move: those of chosen datasets,
    and of others with a label of these. One that is corrected does not move without what corrects it.
    """
    moving = {dataset: array("q") for dataset in chosen}
    for number, found in enumerate(unpacked(single)):
        datasets = text_of(found.contained).datasets()
        moving_labels = {label for dataset in datasets if dataset in chosen for label in labels[dataset]}
        for dataset in datasets:
            if dataset in chosen or not moving_labels.isdisjoint(labels[dataset]):
                moving.setdefault(dataset, array("q")).append(number)
    return moving


# ---- Short sentences


class ShortJob(NamedTuple):
    """A block, the number of its first row, and the texts that are looked for, each with its row."""

    block: Block
    first: int
    wanted: dict[str, int]


def _short_sentences(gold: Path, found: ComparedTexts, chosen: set[str], workers: Workers) -> Containments:
    """Texts of some datasets, shorter than `SHORTEST`, that are one sentence or several in one place of all texts."""
    wanted = {}
    with gold.open("rb") as file:
        for row in np.flatnonzero(found.rows["length"] < SHORTEST).tolist():
            text = text_at(file, int(found.rows["offset"][row]))
            if not chosen.isdisjoint(text.datasets()):
                wanted[text.text] = row
    if not wanted:
        return found.containments[:0]
    parts = blocks(gold)
    firsts = np.searchsorted(found.rows["offset"], [part.start for part in parts]).tolist()
    jobs = [ShortJob(part, first, wanted) for part, first in zip(parts, firsts, strict=True)]
    places = [place for some in workers.spread(_find_short, jobs, "Finding short texts") for place in some]
    contained = set(found.containments["contained"].tolist())
    places = [place for place in places if place[1] not in contained]
    times = Counter(row for row, *_ in places)
    return np.array([place for place in places if times[place[0]] == 1], found.containments.dtype)


def _find_short(job: ShortJob) -> set[tuple[int, int, int, int]]:
    """Wanted texts among the sentences of a block: rows of the text and of its container, start, and 1."""
    places = set()
    for row, text in enumerate(sourced_texts(job.block), job.first):
        if len(text.text) < SHORTEST:
            continue
        ends = [match.end() for match in _SENTENCE.finditer(text.text)]
        starts = [0, *ends[:-1]]
        for number, start in enumerate(starts):
            for end in ends[number : number + _MOST_TOGETHER]:
                piece = text.text[start:end]
                if len(piece) > 2 * SHORTEST:
                    break
                if (contained := job.wanted.get(piece.strip())) is not None:
                    places.add((contained, row, start + len(piece) - len(piece.lstrip()), 1))
    return places


# ---- Moving


def _moved_lines(
    path: Path, text_of: TextOfRow, single: Containments, counts: dict[str, int]
) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their hashes, after answers were moved; these are counted."""
    never: tuple[int, list[Containment]] = (2**31, [])  # larger than all hashes
    hashed = groupby(unpacked(single), lambda found: text_of(found.contained).input_hash)  # texts can share one
    by_hash = ((input_hash, list(group)) for input_hash, group in hashed)
    contained_hash, containments = next(by_hash, never)
    with path.open("rb", BUFFER) as lines:
        for line in lines:
            input_hash = hash_of_line(line)
            while contained_hash < input_hash:  # both are sorted by hash
                contained_hash, containments = next(by_hash, never)
            if contained_hash == input_hash and (task := _in_container(_decode(line), containments, text_of)):
                counts["moved"] += 1
                input_hash, line = task.input_hash, _encode(task) + b"\n"
            yield input_hash, line


def _in_container(task: Task, containments: Sequence[Containment], text_of: TextOfRow) -> Task | None:
    """The answer about the container of its text; None if it is contained in none."""
    found = next((each for each in containments if text_of(each.contained).text == task.text), None)
    if found is None:
        return None
    container, end = text_of(found.container), found.start + len(task.text)
    if container.text[found.start : end] != task.text:
        return None
    spans, *versions = (
        [Span(span.start + found.start, span.end + found.start, span.label) for span in each]
        for each in (task.spans, *task.versions)
    )
    other_places = [(start + found.start, stop + found.start) for start, stop in task.other_places]
    place = None if task.kind == "binary" else (found.start, end)
    # Its meta is about the contained text: where it was, the model's score.
    return msgspec.structs.replace(
        task, input_hash=container.input_hash, text=container.text, spans=spans, versions=versions, range=place,
        other_places=other_places, meta={},
    )  # fmt: skip
