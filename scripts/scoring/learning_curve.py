"""metrics/learning-curve.json: scores with shares of the training texts, and whether more texts would help a label.

Models are trained on nested shares of the texts and scored on all test texts.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.building.splits import Corpus
from scripts.core.errors import UserError
from scripts.core.files import Count, exclusive, read_json_if_there, work_folder
from scripts.core.texts import fraction, normalized
from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats, adjusted_p_values, p_values, rounded
from scripts.scoring.changes import FALSE_DISCOVERIES, NO_SUPPORT, WITHIN
from scripts.scoring.counts import Counts, together
from scripts.scoring.metrics import Macro, Score, metrics
from scripts.scoring.seed_variance import SeedVariance, seed_spread, with_other_seeds

NAME = "learning-curve.json"
HELPS, HURTS = "more helps", "falls with more"


class CurvePoint(msgspec.Struct):
    """Scores with a share of the training texts, on all test texts; means over seeds."""

    share: float  # from 0 to 1
    texts: Count  # number of training texts
    entities: dict[str, Count]  # in them, by label
    labels: dict[str, Score]
    micro: Score
    macro: Macro


class Trend(msgspec.Struct):
    """Trend of F with the number of training texts."""

    slope: float | None  # F gained by twice as many texts, by least squares on the logarithm of their number
    low: float | None  # of the 95 % interval of the slope, over seeds and texts
    high: float | None
    verdict: str  # "more helps" or "falls with more", if that is more than noise; "within noise"; "no support"


class LearningCurve(msgspec.Struct, kw_only=True):
    """metrics/learning-curve.json."""

    run: str  # name of the config
    data: str  # digest of the corpus
    seeds: list[int]  # of the models of each point
    variance_seeds: int  # of metrics/seed_variance.json; 0 without it
    points: list[CurvePoint]  # from few texts to all
    labels: dict[str, Trend]
    micro: Trend
    macro: Trend


class CurvePart(NamedTuple):
    """A share of the training texts, and the counts of the models trained on it."""

    share: float
    texts: int
    entities: dict[str, int]
    counts: Counts


def curve(run: str, data: str, parts: Sequence[CurvePart], stored: SeedVariance | None) -> LearningCurve:
    """Make a learning curve of counts on the same test texts. RAISES (UserError): If no two parts differ in size."""
    if len({part.texts for part in parts}) < 2 or not all(part.texts for part in parts):
        raise UserError("a learning curve takes parts of at least two sizes; choose other shares, or annotate more")
    points = []
    for part in parts:
        found = metrics(part.counts)
        points.append(CurvePoint(*part[:3], found.labels, found.micro, found.macro))
    trends = _trends(parts, stored)
    first = parts[0].counts
    return LearningCurve(
        run=run, data=data, seeds=first.seeds, variance_seeds=len(stored.seeds) if stored else 0, points=points,
        labels=dict(zip(first.labels, trends, strict=False)), micro=trends[-2], macro=trends[-1],
    )  # fmt: skip


def _trends(parts: Sequence[CurvePart], stored: SeedVariance | None) -> list[Trend]:
    values = np.stack([part.counts.values for part in parts])  # parts × seeds × texts × labels × 4
    support = parts[0].counts.support
    scores = bootstrap.all_f1(values.sum(2), support > 0)
    f = bootstrap.mean(scores, 1)
    x = np.log2(np.array([part.texts for part in parts], np.float64))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()  # of each point's F in the slope over log2(texts)
    resampled = bootstrap.all_f1(bootstrap.resampled(np.moveaxis(values[..., :3], 2, 0)), support > 0)
    slopes = np.tensordot(weights, np.moveaxis(bootstrap.mean(resampled, 2), 1, 0), 1)
    found = seed_spread(list(scores), parts[0].counts.labels, support, f[-1], stored)
    factor = (weights**2).sum() / scores.shape[1]  # variance of the slope, from that of F of one seed
    samples = with_other_seeds(slopes, found, factor, len(parts))
    return _judged(np.tensordot(weights, f, 1), samples, support)


def _judged(slope: Floats, samples: Floats, support: NDArray[np.integer]) -> list[Trend]:
    sizes = np.array([*support, *[support.sum()] * 2])
    low, high = np.clip(bootstrap.interval(samples), -1, 1)
    p = p_values(samples)
    p[:-2] = adjusted_p_values(np.where(np.isfinite(slope[:-2]) & (support > 0), p[:-2], np.nan))
    result = []
    for gain, least, most, p_value, size in zip(slope, low, high, p, sizes, strict=True):
        if not size or math.isnan(gain):
            result.append(Trend(None, None, None, NO_SUPPORT))
        else:
            verdict = WITHIN if p_value > FALSE_DISCOVERIES else HELPS if gain > 0 else HURTS
            result.append(Trend(rounded(gain), rounded(least), rounded(most), verdict))
    return result


def load(folder: Path) -> LearningCurve | None:
    """Read metrics/learning-curve.json, if there is one. RAISES (UserError): If it is damaged."""
    return read_json_if_there(folder / NAME, LearningCurve, "measure again: weasel run learning-curve")


def learn(
    config: Path, values: Mapping[str, Any], corpus: Path, shares: Sequence[float], seeds: Sequence[int],
    labels: Sequence[str], split: Corpus, folder: Path, gpu: int,
) -> list[CurvePart]:  # fmt: skip
    """Train with each share of the texts and each seed, and count on the test texts.

    config (Path), values (Mapping[str, Any]): The training config, and the values that override it.
    shares (Sequence[float]): Ascending; the texts of a share are among those of the next.
    folder (Path): Gets the models while they are needed.
    """
    # Here, since `next` and `report` read the curve: spaCy takes a second to load.
    from scripts.model.models import BEST, load_model
    from scripts.model.training import TrainingJob, same_steps, train_all
    from scripts.scoring.evaluation import evaluate

    with exclusive(folder), work_folder(folder) as work:
        values = same_steps(config, values, split.tokens.get("train", 0))  # else the curve would be of steps, too
        sizes = [write_part(corpus / "train", work / f"part-{share}", share, labels) for share in shares]
        jobs = {
            (share, seed): TrainingJob(
                config, {**values, "system.seed": seed, "paths.train": str(work / f"part-{share}")}, words,
                split.is_partial("train"), corpus / "dev", work / f"model-{share}-{seed}", gpu,
            )
            for share, (*_, words) in zip(shares, sizes, strict=True)
            for seed in seeds
        }  # fmt: skip
        for _ in train_all(list(jobs.values()), f"Training {len(jobs)} models"):
            pass
        found: dict[float, list[Counts]] = {share: [] for share in shares}
        for (share, seed), job in jobs.items():
            best = job.folder / BEST
            tested = evaluate(load_model(best), corpus / "test", labels, split.texts["test"], "Evaluating", seed)
            found[share].append(tested.counts)
    return [CurvePart(share, *size[:2], together(found[share])) for share, size in zip(shares, sizes, strict=True)]


def write_part(source: Path, folder: Path, share: float, labels: Iterable[str]) -> tuple[int, dict[str, int], int]:
    """Write a share of the texts, chosen by hash: those of a smaller share are among them.

    RETURNS (tuple[int, dict[str, int], int]): Number of texts, of entities by label, and of tokens.
    """
    import spacy

    from scripts.building.documents import GOLD
    from scripts.building.reading import read_docs
    from scripts.building.shards import DocWriter
    from scripts.building.splits import shard_files

    writer, texts, entities, words = DocWriter(folder, labels), 0, Counter[str](), 0
    for doc in read_docs(shard_files(source), spacy.blank("xx").vocab):
        if fraction(f"learning curve: {normalized(doc.text)}") < share:
            texts, words = texts + 1, words + len(doc)
            entities.update(span.label_ for span in doc.spans[GOLD])
            writer.add(doc)
    writer.close()
    return texts, dict(sorted(entities.items())), words
