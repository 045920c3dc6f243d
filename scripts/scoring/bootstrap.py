"""F1 on resampled texts: how much a score would vary on other texts of the kind.

Texts are drawn with replacement (https://en.wikipedia.org/wiki/Bootstrapping_(statistics)). Counts add up, so a
resample is the number of times each text was drawn times its counts, and all labels, seeds and runs are resampled
together: they stay paired.
"""

import math
import warnings

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1_000
LEVEL = 0.95  # of intervals
_Z = 1.959964  # quantile of the normal distribution for this level
_SEED = 20_260_101  # any, but always the same
_DRAWS_AT_A_TIME = 2**20  # bounds memory, and changes no draw
_DIGITS = 6  # of scores in files

Floats = NDArray[np.float64]


def resampled(values: NDArray[np.int32], resamples: int = RESAMPLES) -> Floats:
    """Sum counts, texts × any shape, over resampled texts: resamples × that shape. The same for the same counts."""
    texts, shape = len(values), values.shape[1:]
    flat = values.reshape(texts, math.prod(shape))
    used = np.flatnonzero(flat.any(1))  # the others add nothing, however often they are drawn
    columns = np.flatnonzero(flat.any(0))
    counts = flat[np.ix_(used, columns)].astype(np.float64)
    sums = np.zeros((resamples, flat.shape[1]))
    generator = np.random.default_rng(_SEED)
    step = max(1, _DRAWS_AT_A_TIME // max(1, texts))
    for start in range(0, resamples if texts else 0, step):
        rows = min(step, resamples - start)
        draws = generator.integers(0, texts, (rows, texts), dtype=np.int32)
        draws += np.arange(rows, dtype=np.int32)[:, None] * texts
        weights = np.bincount(draws.ravel(), minlength=rows * texts).reshape(rows, texts)
        sums[start : start + rows, columns] = weights[:, used].astype(np.float64) @ counts
    return sums.reshape(resamples, *shape)


def all_f1(sums: NDArray[np.generic], has_support: NDArray[np.bool_]) -> Floats:
    """F1 by label, then micro and macro; NaN where there is neither an entity nor a prediction.

    sums (NDArray): … × labels × (tp, fp, fn, …).
    has_support (NDArray[bool]): The labels that macro is the mean of.
    RETURNS (Floats): … × (labels + 2).
    """
    labels, micro = _f1(sums), _f1(sums.sum(-2))
    return np.concatenate([labels, micro[..., None], mean(labels[..., has_support])[..., None]], -1)


def _f1(sums: NDArray[np.generic]) -> Floats:
    tp, fp, fn = (sums[..., column].astype(np.float64) for column in range(3))
    total = 2 * tp + fp + fn
    return np.divide(2 * tp, total, out=np.full(total.shape, np.nan), where=total > 0)


def mean(values: Floats, axis: int = -1) -> Floats:
    """Mean of the defined values; NaN where none is defined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis)


def interval(samples: Floats) -> tuple[Floats, Floats]:
    """Limits between which the central `LEVEL` of the samples (first axis) lie; NaN where none is defined."""
    tail = 100 * (1 - LEVEL) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanpercentile(samples, [tail, 100 - tail], axis=0)
    return low, high


def widened(low: Floats, high: Floats, sums: NDArray[np.generic]) -> tuple[Floats, Floats]:
    """Widen intervals of F1 in which no resample differs, since all is right or nothing is.

    Of the true positives among all entities and predictions, tp / (tp + fp + fn) = J, Wilson's score interval is taken
    (1927, https://doi.org/10.1080/01621459.1927.10502953); F1 = 2 J / (1 + J).

    sums (NDArray): For each interval (tp, fp, fn, …), means over seeds.
    """
    tp, errors = sums[:, 0].astype(np.float64), sums[:, 1:3].sum(1).astype(np.float64)
    is_extreme = (tp + errors > 0) & ((tp == 0) | (errors == 0))
    total = np.where(is_extreme, tp + errors, 1)
    limit = _Z**2 / (total + _Z**2)  # the limit of J that is not 0 if nothing is right; if all is, 1 minus that
    least, most = (2 * share / (1 + share) for share in (1 - limit, limit))
    return (
        np.where(is_extreme & (errors == 0), np.fmin(low, least), low),
        np.where(is_extreme & (tp == 0), np.fmax(high, most), high),
    )


def p_values(samples: Floats) -> Floats:
    """Two-sided p-values of samples × statistics: the share of samples on the other side of 0, doubled."""
    tails = [(compare(samples, 0).sum(0) + 1) / (len(samples) + 1) for compare in (np.less_equal, np.greater_equal)]
    return np.where(np.isfinite(samples).any(0), np.minimum(1.0, 2 * np.minimum(*tails)), np.nan)


def adjusted_p_values(p_values: Floats) -> Floats:
    """P-values adjusted after Benjamini and Hochberg; NaN takes no part."""
    result = p_values.copy()
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    scaled = p_values[order] * len(order) / np.arange(1, len(order) + 1)
    result[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return result


def rounded(value: float) -> float | None:
    """Round as files have it; None for NaN."""
    return None if math.isnan(value) else round(float(value), _DIGITS)
