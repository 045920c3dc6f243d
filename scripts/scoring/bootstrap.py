"""What scores would be on other texts: sums of counts over resampled texts.

Of a label's F, what is seen on these texts is one draw; drawing texts out of them with replacement shows how it varies
(https://en.wikipedia.org/wiki/Bootstrapping_(statistics)). Counts add up, so a resample is a vector of how often each
text was drawn times the counts, and all labels, seeds and runs are resampled together: they stay paired.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1_000
LEVEL = 0.95  # of intervals
_SEED = 20_260_101  # any, but always the same
_AT_A_TIME = 2**22  # draws

Floats = NDArray[np.float64]


def resampled(values: NDArray[np.int32], resamples: int = RESAMPLES) -> Floats:
    """Sums over resampled texts, the same for the same counts.

    values (NDArray[int32]): texts × anything.
    RETURNS (Floats): resamples × anything.
    """
    texts, shape = len(values), values.shape[1:]
    flat = values.reshape(texts, math.prod(shape))
    used = np.flatnonzero(flat.any(1))  # the others add nothing, however often they are drawn
    columns = np.flatnonzero(flat.any(0))
    counts = flat[np.ix_(used, columns)].astype(np.float64)
    sums = np.zeros((resamples, flat.shape[1]))
    generator = np.random.default_rng(_SEED)
    step = max(1, _AT_A_TIME // max(1, texts))
    for start in range(0, resamples if texts else 0, step):
        rows = min(step, resamples - start)
        draws = generator.integers(0, texts, (rows, texts), dtype=np.int32)
        draws += np.arange(rows, dtype=np.int32)[:, None] * texts
        weights = np.bincount(draws.ravel(), minlength=rows * texts).reshape(rows, texts)
        sums[start : start + rows, columns] = weights[:, used].astype(np.float64) @ counts
    return sums.reshape(resamples, *shape)


def f1(sums: NDArray[np.generic]) -> Floats:
    """2 tp / (2 tp + fp + fn) of … × (tp, fp, fn, …); NaN where there is neither an entity nor a prediction."""
    tp, fp, fn = (sums[..., column].astype(np.float64) for column in range(3))
    whole = 2 * tp + fp + fn
    return np.divide(2 * tp, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def all_f1(sums: NDArray[np.generic], has_support: NDArray[np.bool_]) -> Floats:
    """F1 by label, then micro and macro.

    sums (NDArray): … × labels × (tp, fp, fn, …).
    has_support (NDArray[bool]): The labels that macro is the mean of.
    RETURNS (Floats): … × (labels + 2).
    """
    labels, micro = f1(sums), f1(sums.sum(-2))
    return np.concatenate([labels, micro[..., None], mean(labels[..., has_support])[..., None]], -1)


def mean(values: Floats, axis: int = -1) -> Floats:
    """The mean of what is defined; NaN where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, axis)


def interval(samples: Floats) -> tuple[Floats, Floats]:
    """The central part of samples × anything in which `LEVEL` of them lie; NaN where none is defined."""
    tail = 100 * (1 - LEVEL) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanpercentile(samples, [tail, 100 - tail], axis=0)
    return low, high
