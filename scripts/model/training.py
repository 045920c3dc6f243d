"""A pipeline is trained, its heads are tuned, and it appears in its folder when it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import spacy
from spacy.cli.train import train as spacy_train
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from scripts.annotations.files import exclusive, work_folder
from scripts.annotations.parallel import available_cores, available_mb, spread
from scripts.model.label_heads import LabelHeads
from scripts.model.provenance import BEST
from scripts.model.reading import Reader
from scripts.model.summary import Split
from scripts.model.training_config import demand_gpu
from scripts.model.tuning import tune

_BATCH = 64
_MB = 1500  # that one training may take; the corpus is streamed


def unknown_share(split: Split) -> float:
    """Of all pairs of a text to train on and a label, the share of which nobody looked for the label in all of it."""
    pairs = split.texts.get("train", 0) * len(split.covered)
    return 1 - sum(sides.get("train", 0) for sides in split.covered.values()) / pairs if pairs else 0.0


def train(config: Path, values: Mapping[str, Any], dev: Path, folder: Path, gpu: int) -> dict[str, float]:
    """Train with `spacy train`, tune on the dev texts, and put `model-best` into a folder.

    config (Path): The training config.
    values (Mapping[str, Any]): Set on the command line, by dotted key.
    dev (Path): The texts to tune on, shards of Docs.
    folder (Path): For example training/ner/seed-0. The model there is replaced when the new one is whole.
    gpu (int): Which, or -1.
    RETURNS (dict[str, float]): The biases by label, see `tune`; none if there are no label heads.
    RAISES (UserError): If the GPU cannot be used, or there is none and the config demands it.
    """
    demand_gpu(config, values, gpu)
    with publishing(folder) as work:
        spacy_train(config, work / "trained", use_gpu=gpu, overrides=dict(values))
        nlp = spacy.load(work / "trained" / BEST)
        biases = tune_on(nlp, dev)
        nlp.to_disk(work / BEST)
    return biases


class Job(NamedTuple):
    """One training, see `train`."""

    config: Path
    values: Mapping[str, Any]
    dev: Path
    folder: Path
    gpu: int


def train_all(jobs: Sequence[Job], title: str) -> Iterator[dict[str, float]]:
    """Train several pipelines, as many at a time as memory and cores allow; on a GPU one after the other.

    title (str): Of the progress bar, which is shown where somebody watches. What spaCy says meanwhile goes to
        train.log in each folder.
    RETURNS (Iterator[dict[str, float]]): The biases of each.
    """
    yield from spread(_train_quietly, jobs, at_a_time(any(job.gpu >= 0 for job in jobs)), title)


def at_a_time(on_gpu: bool) -> int:
    """How many trainings fit this machine now."""
    return 1 if on_gpu else int(max(1, min(available_cores(), available_mb() // _MB)))


def _train_quietly(job: Job) -> dict[str, float]:
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "train.log").open("w", encoding="utf8") as log, redirect_stdout(log):
        return train(*job)


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """Give a folder to make `model-best` in; when the block ends well, it takes the place of the one there was."""
    with exclusive(folder), work_folder(folder) as work:
        yield work
        if (folder / BEST).exists():
            (folder / BEST).rename(work / "before")
        (work / BEST).rename(folder / BEST)


def tune_on(nlp: Language, dev: Path) -> dict[str, float]:
    """Tune the heads of a pipeline on a folder of Docs, see `tune`. A pipeline without is left as it is."""
    found = heads(nlp)
    return tune(found, prepared(nlp, Reader(dev)(nlp))) if found else {}


def heads(nlp: Language) -> LabelHeads | None:
    """The component of a pipeline that has the heads, if there is one."""
    return next((pipe for _, pipe in nlp.pipeline if isinstance(pipe, LabelHeads)), None)


def prepared(nlp: Language, examples: Iterable[Example]) -> Iterator[Example]:
    """Run what comes before the heads on the Docs of examples: layers below them may be there."""
    names = nlp.pipe_names[: [isinstance(pipe, LabelHeads) for _, pipe in nlp.pipeline].index(True)]
    if not names:
        yield from examples
        return
    below: list[Any] = [nlp.get_pipe(name) for name in names]
    for batch in minibatch(examples, _BATCH):
        docs: Iterable[Doc] = [example.predicted.copy() for example in batch]
        for pipe in below:
            docs = pipe.pipe(docs)
        yield from (Example(doc, example.reference) for doc, example in zip(docs, batch, strict=True))
