"""A model is run on the texts of a corpus as it will run on any text, and what it found is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from spacy.language import Language
from spacy.tokens import Doc

from scripts.model.label_heads import known, predictions
from scripts.model.reading import read_docs
from scripts.scoring.counts import Tally


def evaluate(nlp: Language, folder: Path, labels: Sequence[str], texts: int, title: str) -> Tally:
    """Count what a pipeline finds in a folder of DocBins, a shard at a time.

    The pipeline gets the raw texts: on the Docs of the corpus it would predict otherwise, since its tokenizer sets
    more than where the tokens are.

    nlp (Language): The pipeline.
    folder (Path): For example corpus/test.
    labels (Sequence[str]): What is counted.
    texts (int): How many there are, for the progress bar, which is shown only where somebody watches.
    title (str): What the bar says.
    RAISES (UserError): If a shard cannot be read.
    """
    console = Console(stderr=True)
    tally = Tally(labels)
    docs = _with_predictions(nlp, folder)
    for gold, predicted in track(docs, title, texts, console=console, transient=True, disable=not console.is_terminal):
        tally.add(gold.text, known(gold), predictions(predicted))
    return tally


def _with_predictions(nlp: Language, folder: Path) -> Iterator[tuple[Doc, Doc]]:
    for path in sorted(folder.glob("*.spacy")):
        docs = list(read_docs([path], nlp.vocab))
        yield from zip(docs, nlp.pipe([doc.text for doc in docs]), strict=True)
