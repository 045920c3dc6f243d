"""How much a score moves when nothing but the seed changes.

A few seeds say little of a label's own spread: the SD of three is off by half as often as not. So it is shrunk, as is
usual for many small samples (Smyth 2004, https://doi.org/10.2202/1544-6115.1027): what the seeds show of a label counts
for as much as they are, and what is to be expected of a label of its F and support counts for `_PRIOR` seeds more.
Expected is a share of the binomial variance F (1 - F) / support: with seeds at hand, what their labels have of it
together; else `USUAL`, which is more than most labels had where it was measured, see benchmarks/verdicts.py. Labels
err together, so micro and macro have more.

Seed noise, measured once: some seeds of one config on one corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.errors import UserError
from scripts.core.files import read_json_if_there
from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats

if TYPE_CHECKING:
    from scripts.scoring.runs import Evaluated

NAME = "noise.json"
USUAL, USUAL_OF_ALL = 0.5, 2.0  # of the binomial variance: of a label, of micro and macro
_PRIOR = 4  # degrees of freedom


class LabelNoise(msgspec.Struct):
    """The spread of one label's F over seeds. sd is None where there is no F.

    f (float | None): The mean.
    support (int): Entities in the test texts.
    """

    sd: float | None
    f: float | None
    support: int


class Noise(msgspec.Struct, kw_only=True):
    """metrics/noise.json: seed noise as it was measured once, for runs that have one seed.

    run (str): The config it was measured with.
    seeds (list[int]): The seeds.
    data (str), config (str), tests (dict[str, str]): Digests of the corpus, of the config, and of each label's test.
    labels (dict[str, LabelNoise]): By label.
    micro (LabelNoise), macro (LabelNoise): Of all labels together.
    """

    run: str
    seeds: list[int]
    data: str
    config: str
    tests: dict[str, str]
    labels: dict[str, LabelNoise]
    micro: LabelNoise
    macro: LabelNoise


class Measured(NamedTuple):
    """What some seeds that differ in nothing else show: variances by label, then of micro and macro, NaN where there
    is none, and their degrees of freedom.
    """

    variance: Floats
    freedom: int


class Spread(NamedTuple):
    """SDs of the F of one seed by label, then of micro and macro, and their degrees of freedom.

    sd (Floats): NaN where F is undefined.
    freedom (Floats): See https://en.wikipedia.org/wiki/Student%27s_t-distribution
    """

    sd: Floats
    freedom: Floats


def measured(f: Floats) -> Measured:
    """Of seeds × (labels + 2) scores."""
    variance = f.var(0, ddof=1) if len(f) > 1 else np.full(f.shape[1], np.nan)
    return Measured(variance, len(f) - 1)


def spread(groups: Sequence[Measured], support: NDArray[np.integer], f: Floats) -> Spread:
    """The seed noise of scores.

    groups (Sequence[Measured]): What is known of it; nothing if there is but one seed.
    support (NDArray[int]): Entities by label.
    f (Floats): Typical scores: labels + 2.
    """
    expected = _expected(f, support)
    freedom, squares = np.zeros(len(f)), np.zeros(len(f))
    for group in groups:
        is_known = np.isfinite(group.variance)
        freedom += np.where(is_known, group.freedom, 0)
        squares += np.where(is_known, group.variance * group.freedom, 0)
    share = np.full(len(f), _share(squares, freedom, expected, support))
    share[-2:] = USUAL_OF_ALL
    prior = share * expected
    variance = (_PRIOR * prior + squares) / (_PRIOR + freedom)
    return Spread(np.where(np.isfinite(f), np.sqrt(variance), np.nan), _PRIOR + freedom)


def _share(squares: Floats, freedom: Floats, expected: Floats, support: NDArray[np.integer]) -> float:
    """What share of the binomial variance the labels have, those with more entities counting for more."""
    labels = np.flatnonzero((freedom[:-2] > 0) & (support > 0))
    if not len(labels):
        return USUAL
    ratios = squares[labels] / freedom[labels] / expected[labels]
    return float(np.average(ratios, weights=np.sqrt(support[labels])))


def of_noise(noise: Noise, labels: Sequence[str], support: NDArray[np.integer], f: Floats) -> Measured:
    """What was measured once, for scores of another F and support: the same share of the binomial variance."""
    known = [*(noise.labels.get(label) for label in labels), noise.micro, noise.macro]
    then = np.array([np.nan if one is None or one.f is None else one.f for one in known])
    sizes = np.array([one.support if one else 0 for one in known[:-2]])
    sd = np.array([np.nan if one is None or one.sd is None else one.sd for one in known])
    return Measured(sd**2 * _expected(f, support) / _expected(then, sizes), len(noise.seeds) - 1)


def _expected(f: Floats, support: NDArray[np.integer]) -> Floats:
    """The binomial variance of each F. For macro it is that of a mean of independent labels."""
    sizes = np.append(support, support.sum())
    smooth = (np.nan_to_num(f[:-1]) * sizes + 1) / (sizes + 2)  # so that an F of 0 or 1 is not taken for certain
    variances = smooth * (1 - smooth) / np.maximum(sizes, 1)
    found = variances[:-1][support > 0]
    return np.append(variances, found.sum() / max(1, len(found)) ** 2)


def load(folder: Path) -> Noise | None:
    """Read metrics/noise.json, if there is one. RAISES (UserError): If it is damaged."""
    return read_json_if_there(folder / NAME, Noise, "measure again: weasel run noise-floor")


LEAST = 3  # seeds, of which a spread can be told


def measure(found: Evaluated) -> Noise:
    """The noise of a run with several seeds. RAISES (UserError): If they are too few."""
    run, counts = found.run, found.counts
    if len(counts.seeds) < LEAST:
        raise UserError(f"{run.run}: has {len(counts.seeds)} seeds, and to tell their noise takes {LEAST}")
    sums = counts.values.sum(1)
    support = sums[0, :, 0] + sums[0, :, 2]
    scores = bootstrap.all_f1(sums, support > 0)
    sizes = [*support.tolist(), *[int(support.sum())] * 2]
    noise = [
        LabelNoise(_number(sd), _number(f), size)
        for sd, f, size in zip(scores.std(0, ddof=1), bootstrap.mean(scores, 0), sizes, strict=True)
    ]
    return Noise(
        run=run.run, seeds=counts.seeds, data=run.data.evaluated, config=run.config.digest, tests=run.tests,
        labels=dict(zip(counts.labels, noise, strict=False)), micro=noise[-2], macro=noise[-1],
    )  # fmt: skip


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
