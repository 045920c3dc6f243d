"""Models are trained on nested parts of the texts and tested on all test texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc

from scripts.annotations.files import exclusive, work_folder
from scripts.annotations.hashing import fraction, normalized
from scripts.model.label_heads import GOLD
from scripts.model.provenance import BEST
from scripts.model.reading import read_docs
from scripts.model.shards import DocWriter, encoders_looked_up
from scripts.model.summary import Split
from scripts.model.training import Job, train_all
from scripts.scoring import models
from scripts.scoring.counts import together
from scripts.scoring.curve import Part
from scripts.scoring.evaluation import evaluate


def learn(
    config: Path, values: Mapping[str, Any], corpus: Path, shares: Sequence[float], seeds: Sequence[int],
    labels: Sequence[str], split: Split, folder: Path, gpu: int,
) -> list[Part]:  # fmt: skip
    """Train with each share of the texts and each seed, and count on the test texts.

    config (Path), values (Mapping[str, Any]): The training config, and what was set on the command line.
    corpus (Path): With train, dev and test.
    shares (Sequence[float]): Ascending; the texts of a share are among those of the next.
    seeds (Sequence[int]): A model each.
    labels (Sequence[str]): All of the corpus.
    folder (Path): Where the models are kept while they are needed.
    """
    with exclusive(folder), work_folder(folder) as work:
        sizes = [write_part(corpus / "train", work / f"part-{share}", share, labels) for share in shares]
        jobs = {
            (share, seed): Job(
                config,
                {**values, "system.seed": seed, "paths.train": str(work / f"part-{share}")},
                corpus / "dev",
                work / f"model-{share}-{seed}",
                gpu,
            )
            for share in shares
            for seed in seeds
        }
        for _ in train_all(list(jobs.values()), f"Training {len(jobs)} models"):
            pass
        found = {
            (share, seed): evaluate(
                models.load(job.folder / BEST), corpus / "test", labels, split.texts["test"], "Evaluating", seed
            ).counts
            for (share, seed), job in jobs.items()
        }
    return [
        Part(share, texts, entities, together([found[share, seed] for seed in seeds]))
        for share, (texts, entities) in zip(shares, sizes, strict=True)
    ]


def write_part(source: Path, folder: Path, share: float, labels: Iterable[str]) -> tuple[int, dict[str, int]]:
    """Write a share of the texts, by hash: those of a smaller share are among them.

    labels (Iterable[str]): All that spans may have.
    RETURNS (tuple[int, dict[str, int]]): How many texts they are, and how many entities each label has in them.
    """
    writer, texts, entities = DocWriter(folder, labels), 0, Counter[str]()
    with encoders_looked_up():
        for doc in _share(source, share):
            texts += 1
            entities.update(span.label_ for span in doc.spans[GOLD])
            writer.add(doc)
        writer.close()
    return texts, dict(sorted(entities.items()))


def _share(source: Path, share: float) -> Iterator[Doc]:
    for doc in read_docs(sorted(source.glob("*.spacy")), spacy.blank("xx").vocab):
        if fraction(f"learning curve: {normalized(doc.text)}") < share:
            yield doc
