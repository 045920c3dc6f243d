"""metrics/learning-curve.json: scores with parts of the texts to train on, and whether more of them help a label.

Models are trained on nested parts of the texts and tested on all test texts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.tokens import Doc

from scripts.building.reading import read_docs
from scripts.building.shards import DocWriter
from scripts.building.splits import Corpus
from scripts.core.errors import UserError
from scripts.core.files import exclusive, read_json_if_there, work_folder
from scripts.core.hashing import fraction, normalized
from scripts.model.label_heads import GOLD
from scripts.model.models import BEST, load_model
from scripts.model.training import TrainingJob, train_all
from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats
from scripts.scoring.comparison import FALSE, adjusted, chances
from scripts.scoring.counts import Counts, together
from scripts.scoring.evaluation import evaluate
from scripts.scoring.metrics import Macro, Score, metrics
from scripts.scoring.seed_variance import Measured, Noise, measured, of_noise, spread

NAME = "learning-curve.json"
HELPS, HURTS, WITHIN, NO_SUPPORT = "more helps", "falls with more", "within noise", "no support"
_DRAWS = 8  # of seed noise, for each resample


class Point(msgspec.Struct):
    """Scores with a part of the texts.

    share (float): Of the texts.
    texts (int): How many.
    entities (dict[str, int]): Of each label in them.
    labels (dict[str, Score]), micro (Score), macro (Macro): On all test texts; means over seeds.
    """

    share: float
    texts: int
    entities: dict[str, int]
    labels: dict[str, Score]
    micro: Score
    macro: Macro


class Trend(msgspec.Struct):
    """How F went with the texts.

    slope (float | None): F that twice as many texts brought, by least squares on the logarithm of their number.
    low (float | None), high (float | None): Where it lies with a confidence of 95 %, seeds and texts considered.
    verdict (str): "more helps" or "falls with more", if that is more than noise; "within noise"; "no support".
    """

    slope: float | None
    low: float | None
    high: float | None
    verdict: str


class Curve(msgspec.Struct, kw_only=True):
    """metrics/learning-curve.json.

    run (str): The name of the config.
    data (str): Digest of the corpus.
    seeds (list[int]): With which each point was trained.
    noise_seeds (int): With how many seeds the noise was measured that is used; 0: what is usual.
    points (list[Point]): From few texts to all.
    labels (dict[str, Trend]), micro (Trend), macro (Trend): How F went.
    """

    run: str
    data: str
    seeds: list[int]
    noise_seeds: int
    points: list[Point]
    labels: dict[str, Trend]
    micro: Trend
    macro: Trend


class Part(NamedTuple):
    """A part of the texts, and what was counted with it."""

    share: float
    texts: int
    entities: dict[str, int]
    counts: Counts


def curve(run: str, data: str, parts: Sequence[Part], noise: Noise | None) -> Curve:
    """Make a curve of counts on the same test texts. RAISES (UserError): If there are no two sizes."""
    if len({part.texts for part in parts}) < 2 or not all(part.texts for part in parts):
        raise UserError("a learning curve takes parts of at least two sizes; choose other shares, or annotate more")
    points = []
    for part in parts:
        found = metrics(part.counts)
        points.append(Point(part.share, part.texts, part.entities, found.labels, found.micro, found.macro))
    trends = _trends(parts, noise)
    first = parts[0].counts
    return Curve(
        run=run, data=data, seeds=first.seeds, noise_seeds=len(noise.seeds) if noise else 0, points=points,
        labels=dict(zip(first.labels, trends, strict=False)), micro=trends[-2], macro=trends[-1],
    )  # fmt: skip


def _trends(parts: Sequence[Part], noise: Noise | None) -> list[Trend]:
    values = np.stack([part.counts.values for part in parts])  # parts × seeds × texts × labels × 4
    sums = values.sum(2)
    support = sums[0, 0, :, 0] + sums[0, 0, :, 2]
    scores = bootstrap.all_f1(sums, support > 0)
    f = bootstrap.mean(scores, 1)
    weights = _weights([part.texts for part in parts])
    slope = _sum(weights, f)
    resampled = bootstrap.all_f1(bootstrap.resampled(np.moveaxis(values[..., :3], 2, 0)), support > 0)
    samples = _sum(weights, np.moveaxis(bootstrap.mean(resampled, 2), 1, 0))
    groups: list[Measured] = [measured(found) for found in scores if len(found) > 1]
    if noise:
        groups.append(of_noise(noise, parts[0].counts.labels, support, f[-1]))
    found = spread(groups, support, f[-1])
    beyond = found.sd**2 * (weights**2).sum() / scores.shape[1] - np.nan_to_num(samples.var(0))
    draws = np.random.default_rng(len(parts)).standard_t(found.freedom, (_DRAWS, *samples.shape))
    flat = (samples + draws * np.sqrt(np.maximum(0.0, beyond))).reshape(-1, samples.shape[1])
    low, high = bootstrap.interval(flat)
    return _judged(slope, low, high, chances(flat), support)


def _weights(texts: Sequence[int]) -> Floats:
    """What each point's F counts in the slope over log2(texts)."""
    x = np.log2(np.array(texts, np.float64))
    return (x - x.mean()) / ((x - x.mean()) ** 2).sum()


def _sum(weights: Floats, f: Floats) -> Floats:
    """Over the first axis; where F is undefined anywhere, so is the sum."""
    return np.tensordot(weights, f, 1)


def _judged(slope: Floats, low: Floats, high: Floats, chance: Floats, support: NDArray[np.integer]) -> list[Trend]:
    sizes = [*support.tolist(), *[int(support.sum())] * 2]
    chance[:-2] = adjusted(np.where(np.isfinite(slope[:-2]) & (support > 0), chance[:-2], np.nan))
    result = []
    for each, least, most, p, size in zip(*(row.tolist() for row in (slope, low, high, chance)), sizes, strict=True):
        if not size or math.isnan(each):
            result.append(Trend(None, None, None, NO_SUPPORT))
        else:
            verdict = WITHIN if p > FALSE else HELPS if each > 0 else HURTS
            result.append(Trend(round(each, 6), round(least, 6), round(most, 6), verdict))
    return result


def load(folder: Path) -> Curve | None:
    """Read metrics/learning-curve.json, if there is one. RAISES (UserError): If it is damaged."""
    return read_json_if_there(folder / NAME, Curve, "measure again: weasel run learning-curve")


def learn(
    config: Path, values: Mapping[str, Any], corpus: Path, shares: Sequence[float], seeds: Sequence[int],
    labels: Sequence[str], split: Corpus, folder: Path, gpu: int,
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
            (share, seed): TrainingJob(
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
                load_model(job.folder / BEST), corpus / "test", labels, split.texts["test"], "Evaluating", seed
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
