"""A model is run on the texts of a corpus as it will run on any text, and what it found is counted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc

from scripts.annotations.parallel import watched
from scripts.model.label_heads import known, predictions
from scripts.model.reading import read_docs
from scripts.scoring.counts import Chunk, Counts, Tally
from scripts.scoring.examples import Example, Examples
from scripts.scoring.findings import Findings, Forms


class Seen(NamedTuple):
    """What was seen of one model.

    words_per_second (int): Tokens, from raw text to entities.
    """

    counts: Counts
    findings: Findings
    errors: list[Example]
    words_per_second: int


def evaluate(
    nlp: Language,
    folder: Path,
    labels: Sequence[str],
    texts: int,
    title: str,
    seed: int = 0,
    forms: Forms | None = None,
) -> Seen:
    """Count what a pipeline finds in a folder of DocBins, a shard at a time.

    The pipeline gets the raw texts: on the Docs of the corpus it would predict otherwise, since its tokenizer sets
    more than where the tokens are.

    nlp (Language): The pipeline.
    folder (Path): For example corpus/test.
    labels (Sequence[str]): What is counted.
    texts (int): How many there are, for the progress bar, which is shown only where somebody watches.
    title (str): What the bar says.
    seed (int): What the model was trained with.
    forms (Forms | None): The forms of each label that it has seen, if they are known.
    RAISES (UserError): If a shard cannot be read.
    """
    tally = Tally(labels)
    findings, errors = Findings(len(labels), forms), Examples()
    clock = _Clock()
    docs = _with_predictions(nlp, folder, clock)

    def add(chunk: Chunk) -> None:
        findings.add(chunk, tally.labels)
        errors.add(chunk, tally.labels)

    for gold, predicted in watched(docs, texts, title):
        if chunk := tally.add(gold.text, known(gold), predictions(predicted)):
            add(chunk)
    add(tally.flush())
    return Seen(tally.counts(seed), findings, errors.all(), clock.words_per_second)


class _Clock:
    """How long the pipeline was at work, and on how many tokens."""

    seconds = 0.0
    words = 0

    @property
    def words_per_second(self) -> int:
        return round(self.words / self.seconds) if self.seconds else 0


def _with_predictions(nlp: Language, folder: Path, clock: _Clock) -> Iterator[tuple[Doc, Doc]]:
    for path in sorted(folder.glob("*.spacy")):
        docs = list(read_docs([path], nlp.vocab))
        began = time.perf_counter()
        found = list(nlp.pipe([doc.text for doc in docs]))
        clock.seconds += time.perf_counter() - began
        clock.words += sum(map(len, found))
        yield from zip(docs, found, strict=True)
