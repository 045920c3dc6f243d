"""metrics/seed_variance.json: how much the F of each label varies when nothing but the seed changes.

A few seeds say little about a label's own variance: the SD of three seeds is off by half as often as not. So it is
shrunk, as is usual for many small samples (Smyth 2004, https://doi.org/10.2202/1544-6115.1027): the seeds of a label
count as they are, and the variance expected of a label of its F and support counts for `_PRIOR` seeds more. Expected
is a share of the binomial variance F (1 - F) / support: the share that the labels have together, where there are seeds;
else `TYPICAL`, which is more than most labels had where it was measured, see benchmarks/verdicts.py. Labels err
together, so micro and macro have a larger share.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.errors import UserError
from scripts.core.files import Count, read_json_if_there
from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats, rounded

if TYPE_CHECKING:
    from scripts.scoring.runs import EvaluatedRun

NAME = "seed_variance.json"
MIN_SEEDS = 3  # of which a variance can be measured
TYPICAL, TYPICAL_OF_ALL = 0.5, 2.0  # of the binomial variance: of a label, of micro and macro
_PRIOR = 4  # degrees of freedom
_DRAWS = 8  # of other seeds, for each resample of texts
Integers = NDArray[np.integer]


class LabelVariance(msgspec.Struct):
    """Standard deviation and mean of the F of one label over seeds; None where F is undefined."""

    sd: float | None
    f: float | None
    support: Count  # entities in the test texts


class SeedVariance(msgspec.Struct, kw_only=True):
    """metrics/seed_variance.json: measured once, and used to compare runs that have one seed.

    data (str), config (str), tests (dict[str, str]): Digests of the corpus, of the config, and of each label's test.
    """

    run: str  # the config it was measured with
    seeds: list[int]
    data: str
    config: str
    tests: dict[str, str]
    labels: dict[str, LabelVariance]
    micro: LabelVariance
    macro: LabelVariance


class Spread(NamedTuple):
    """SDs of the F of one seed by label, then of micro and macro, and their degrees of freedom."""

    sd: Floats  # NaN where F is undefined
    freedom: Floats  # of Student's t-distribution


def seed_spread(
    scores: Sequence[Floats], labels: Sequence[str], support: Integers, f: Floats, stored: SeedVariance | None
) -> Spread:
    """Estimate how F varies with the seed: pool all variances, and shrink them to what is expected of F and support.

    scores (Sequence[Floats]): Of each run: seeds × (labels + 2).
    f (Floats): Typical scores: labels + 2.
    stored (SeedVariance | None): What was measured before; without it, and without several seeds, `TYPICAL` is used.
    """
    samples = [(found.var(0, ddof=1), len(found) - 1) for found in scores if len(found) > 1]
    if stored:
        samples.append((_scaled_variance(stored, labels, support, f), len(stored.seeds) - 1))
    expected = _binomial_variance(f, support)
    freedom, squares = np.zeros(len(f)), np.zeros(len(f))
    for variance, degrees in samples:
        is_defined = np.isfinite(variance)
        freedom += np.where(is_defined, degrees, 0)
        squares += np.where(is_defined, variance * degrees, 0)
    share = np.full(len(f), _share_of_binomial(squares, freedom, expected, support))
    share[-2:] = TYPICAL_OF_ALL
    variance = (_PRIOR * share * expected + squares) / (_PRIOR + freedom)
    return Spread(np.where(np.isfinite(f), np.sqrt(variance), np.nan), _PRIOR + freedom)


def _share_of_binomial(squares: Floats, freedom: Floats, expected: Floats, support: Integers) -> float:
    """Share of the binomial variance that the labels have on average; those with more entities weigh more."""
    labels = np.flatnonzero((freedom[:-2] > 0) & (support > 0))
    if not len(labels):
        return TYPICAL
    ratios = squares[labels] / freedom[labels] / expected[labels]
    return float(np.average(ratios, weights=np.sqrt(support[labels])))


def _scaled_variance(stored: SeedVariance, labels: Sequence[str], support: Integers, f: Floats) -> Floats:
    """Scale stored variances to another F and support: the same share of the binomial variance."""
    rows = [*(stored.labels.get(label) for label in labels), stored.micro, stored.macro]
    stored_f = np.array([np.nan if row is None or row.f is None else row.f for row in rows])
    sizes = np.array([row.support if row else 0 for row in rows[:-2]])
    sd = np.array([np.nan if row is None or row.sd is None else row.sd for row in rows])
    return sd**2 * _binomial_variance(f, support) / _binomial_variance(stored_f, sizes)


def _binomial_variance(f: Floats, support: Integers) -> Floats:
    """Binomial variance of each F. For macro it is that of a mean of independent labels."""
    sizes = np.append(support, support.sum())
    smooth = (np.nan_to_num(f[:-1]) * sizes + 1) / (sizes + 2)  # an F of 0 or 1 is not certain
    variances = smooth * (1 - smooth) / np.maximum(sizes, 1)
    of_labels = variances[:-1][support > 0]
    return np.append(variances, of_labels.sum() / max(1, len(of_labels)) ** 2)


def with_other_seeds(samples: Floats, found: Spread, factor: float, rng_seed: int) -> Floats:
    """Add to a statistic on resampled texts what other seeds would change.

    Resampled texts vary in part for the same reason as seeds do, which would count twice: added is only the variance by
    which that of seeds exceeds that of texts. So the sum has at least the variance measured for seeds.

    samples (Floats): resamples × (labels + 2).
    factor (float): Variance of the statistic as a multiple of the variance of F of one seed.
    RETURNS (Floats): (draws × resamples) × (labels + 2).
    """
    beyond = found.sd**2 * factor - np.nan_to_num(samples.var(0))
    draws = np.random.default_rng(rng_seed).standard_t(found.freedom, (_DRAWS, *samples.shape))
    return (samples + draws * np.sqrt(np.maximum(0.0, beyond))).reshape(-1, samples.shape[1])


def measure(found: EvaluatedRun) -> SeedVariance:
    """Measure the seed variance of a run. RAISES (UserError): If it has fewer than `MIN_SEEDS` seeds."""
    run, counts = found.run, found.counts
    if len(counts.seeds) < MIN_SEEDS:
        raise UserError(f"{run.run}: has {len(counts.seeds)} seeds; to measure seed variance takes {MIN_SEEDS}")
    scores = bootstrap.all_f1(counts.values.sum(1), counts.support > 0)
    sizes = [*counts.support.tolist(), *[int(counts.support.sum())] * 2]
    rows = [
        LabelVariance(rounded(sd), rounded(f), size)
        for sd, f, size in zip(scores.std(0, ddof=1), bootstrap.mean(scores, 0), sizes, strict=True)
    ]
    return SeedVariance(
        run=run.run, seeds=counts.seeds, data=run.data.evaluated, config=run.config.digest, tests=run.tests,
        labels=dict(zip(counts.labels, rows, strict=False)), micro=rows[-2], macro=rows[-1],
    )  # fmt: skip


def load(folder: Path) -> SeedVariance | None:
    """Read metrics/seed_variance.json, if there is one. RAISES (UserError): If it is damaged."""
    return read_json_if_there(folder / NAME, SeedVariance, "measure again: weasel run seed-variance")
