"""How much a score moves when nothing but the seed changes.

A few seeds say little of a label's own spread: the SD of three is off by half as often as not. So it is shrunk, as is
usual for many small samples (Smyth 2004, https://doi.org/10.2202/1544-6115.1027): what the seeds show of a label counts
for as much as they are, and what is to be expected of a label of its F and support counts for `_PRIOR` seeds more.
Expected is a share of the binomial variance F (1 - F) / support. `SHARE` is what was measured on three corpora, see
benchmarks/verdicts.py; with seeds at hand it is their own, over all labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.annotations.errors import UserError
from scripts.scoring.bootstrap import Floats

NAME = "noise.json"
SHARE = 0.3  # of the binomial variance
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


class Spread(NamedTuple):
    """SDs by label, then of micro and macro, and how sure they are.

    sd (Floats): Of the F of one seed; NaN where it is undefined.
    freedom (int): Degrees of freedom, see https://en.wikipedia.org/wiki/Student%27s_t-distribution
    seeds (int): How many it was measured with; 0 if none.
    """

    sd: Floats
    freedom: int
    seeds: int


def spread(samples: Sequence[Floats], support: NDArray[np.integer], f: Floats) -> Spread:
    """The seed noise of scores.

    samples (Sequence[Floats]): Of each group of seeds that differ in nothing else: seeds × (labels + 2).
    support (NDArray[int]): Entities by label.
    f (Floats): Typical scores: labels + 2.
    """
    seeds = sum(len(group) for group in samples if len(group) > 1)
    freedom = sum(len(group) - 1 for group in samples)
    squares = sum((_squares(group) for group in samples), np.zeros(len(support) + 2))
    expected = _expected(f, support)
    share = SHARE
    if freedom:
        is_sure = np.isfinite(squares[:-1]) & (expected[:-1] > 0)
        weights = np.append(support, support.sum())[is_sure]
        ratios = squares[:-1][is_sure] / freedom / expected[:-1][is_sure]
        share = float(np.average(ratios, weights=weights)) if weights.sum() else SHARE
    known = np.where(np.isfinite(squares), squares, 0.0)
    variance = (_PRIOR * share * expected + known) / (_PRIOR + freedom)
    return Spread(np.where(np.isfinite(f), np.sqrt(variance), np.nan), _PRIOR + freedom, seeds)


def _squares(group: Floats) -> Floats:
    return ((group - group.mean(0)) ** 2).sum(0)


def _expected(f: Floats, support: NDArray[np.integer]) -> Floats:
    """The binomial variance of each F. For macro it is that of a mean of independent labels."""
    sizes = np.append(support, support.sum())
    smooth = (np.nan_to_num(f[:-1]) * sizes + 1) / (sizes + 2)  # so that an F of 0 or 1 is not taken for certain
    variances = smooth * (1 - smooth) / np.maximum(sizes, 1)
    found = variances[:-1][support > 0]
    return np.append(variances, found.sum() / max(1, len(found)) ** 2)


def load(folder: Path) -> Noise | None:
    """Read metrics/noise.json, if there is one. RAISES (UserError): If it is damaged."""
    path = folder / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Noise)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise UserError(f"{path}: is damaged ({err}); measure again: weasel run noise-floor") from err
