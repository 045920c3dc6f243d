"""Two runs on the same texts: what changed, label by label, and whether that is more than noise.

A change is judged by a bootstrap over texts and seeds together. Texts are drawn with replacement, the same for both
runs, so that what is hard for both does not matter. Seeds are too few to be drawn from (three of them understate their
variance by a third), so their noise is drawn from a t-distribution with the spread that was measured, see `spread`.
Both contain what is particular to one model on one text; it is counted once: of the variance of seeds, what exceeds
that of texts is added. So a change of nothing but the seed has at least the variance that was measured for seeds.

With many labels some would stand out by chance. Benjamini and Hochberg's procedure
(https://doi.org/10.1111/j.2517-6161.1995.tb02031.x) keeps the share of false ones among those that are said to have
changed at 5 %: it is a list to look into, for which Holm's, after which hardly ever one of them would be false, finds
too little. Labels whose annotations in the training texts are not the same are expected to change, and are few: they
are tested apart from the others, so that what was worked on is not drowned by what was not. Which they are follows from
the data, not from the scores; so the share of false ones is 5 % among them and 5 % among the rest
(https://doi.org/10.1214/07-AOAS158: separate analysis of classes of hypotheses).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats
from scripts.scoring.counts import Counts
from scripts.scoring.seed_variance import Measured, Noise, measured, of_noise, spread

FALSE = 0.05  # share of false ones among the changes
WITHIN, BEYOND, BETTER, WORSE = "within noise", "larger than seed noise", "better", "worse"
NO_SUPPORT, NOT_COMPARABLE = "no support", "not comparable"
_DRAWS = 8  # of seed noise, for each resample
_DIGITS = 6


class Change(msgspec.Struct):
    """What became of one label, or of all.

    f (float | None), before (float | None): Of the run and of the baseline, on the texts that are compared.
    delta (float | None): f - before.
    low (float | None), high (float | None): Where delta lies with a confidence of 95 %, seeds and texts considered.
    chance (float | None): Adjusted for the number of labels that are tested together: of the changes that are at
        least as clear, at most this share is noise. Not adjusted for all labels together.
    verdict (str): "within noise"; "larger than seed noise", if one of the runs has one seed; "better" or "worse", if
        both have several; "no support" if there is no entity; "not comparable" if there is no text to compare on.
    support (int): Entities in the texts that are compared.
    texts (int): Texts that both are scored on, with the same gold.
    """

    f: float | None
    before: float | None
    delta: float | None
    low: float | None
    high: float | None
    chance: float | None
    verdict: str
    support: int
    texts: int


class Changes(msgspec.Struct):
    """What became of all labels of two runs.

    labels (dict[str, Change]): Of either run, sorted.
    micro (Change), macro (Change): Of the labels that can be compared.
    is_whole (bool): Whether both runs are scored on the same texts, with the same gold.
    """

    labels: dict[str, Change]
    micro: Change
    macro: Change
    is_whole: bool


class _Paired(NamedTuple):
    """Counts of two runs where both have the same gold: seeds × texts × labels × (tp, fp, fn)."""

    labels: list[str]
    mine: NDArray[np.int32]
    theirs: NDArray[np.int32]
    texts: NDArray[np.int64]
    is_whole: bool


def compare(
    run: Counts, baseline: Counts, noise: Noise | None = None, annotated: Collection[str] = frozenset()
) -> Changes:
    """Compare a run with a baseline where they were scored on the same texts with the same gold.

    noise (Noise | None): Seed noise that was measured once; without it, and without several seeds, what is usual.
    annotated (Collection[str]): Labels whose annotations to train on are not the same in both.
    """
    paired = _pair(run, baseline)
    mine, theirs = paired.mine.sum(1), paired.theirs.sum(1)
    support = mine[0, :, 0] + mine[0, :, 2]
    scores = [bootstrap.all_f1(sums, support > 0) for sums in (mine, theirs)]
    f, before = (bootstrap.mean(found, 0) for found in scores)
    samples = _samples(paired, support)
    samples = samples + _noise(scores, paired.labels, support, (f + before) / 2, noise, samples[0].var(0))
    is_single = min(len(run.seeds), len(baseline.seeds)) == 1
    is_annotated = np.array([label in annotated for label in paired.labels], bool)
    changes = _changes(f, before, samples, support, paired.texts, is_annotated, is_single)
    found = dict(zip(paired.labels, changes[:-2], strict=True))
    missing = Change(None, None, None, None, None, None, NOT_COMPARABLE, 0, 0)
    labels = {label: found.get(label, missing) for label in sorted({*run.labels, *baseline.labels})}
    return Changes(labels, changes[-2], changes[-1], paired.is_whole)


def _pair(run: Counts, baseline: Counts) -> _Paired:
    labels = sorted(set(run.labels) & set(baseline.labels))
    texts = sorted(set(run.texts) & set(baseline.texts))
    (mine, gold, scored), (theirs, other, also) = (_selected(counts, texts, labels) for counts in (run, baseline))
    same = scored & also & (gold == other)
    cells = [int(counts.is_scored.sum()) for counts in (run, baseline)]
    is_whole = cells == [int(same.sum())] * 2
    return _Paired(labels, mine * same[..., None], theirs * same[..., None], same.sum(0), is_whole)


def _selected(
    counts: Counts, texts: list[str], labels: list[str]
) -> tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.bool_]]:
    rows, columns = ({name: at for at, name in enumerate(names)} for names in (counts.texts, counts.labels))
    cells = np.ix_([rows[text] for text in texts], [columns[label] for label in labels])
    return counts.values[:, cells[0], cells[1], :3], counts.gold[cells], counts.is_scored[cells]


def _samples(paired: _Paired, support: NDArray[np.integer]) -> Floats:
    """Changes on resampled texts: 1 × resamples × (labels + 2)."""
    seeds = len(paired.mine)
    values = np.concatenate([paired.mine, paired.theirs]).swapaxes(0, 1)
    scores = bootstrap.all_f1(bootstrap.resampled(values), support > 0)
    return (bootstrap.mean(scores[:, :seeds], 1) - bootstrap.mean(scores[:, seeds:], 1))[None]


def _noise(
    scores: list[Floats],
    labels: list[str],
    support: NDArray[np.integer],
    f: Floats,
    noise: Noise | None,
    variance: Floats,
) -> Floats:
    """What other seeds would add to the change of the means, beyond a variance: draws × resamples × (labels + 2)."""
    groups: list[Measured] = [measured(found) for found in scores if len(found) > 1]
    if noise:
        groups.append(of_noise(noise, labels, support, f))
    found = spread(groups, support, f)
    generator = np.random.default_rng(len(scores[0]))
    draws = generator.standard_t(found.freedom, (_DRAWS, bootstrap.RESAMPLES, len(f)))
    beyond = found.sd**2 * sum(1 / len(each) for each in scores) - np.nan_to_num(variance)
    return draws * np.sqrt(np.maximum(0.0, beyond))


def _changes(
    f: Floats,
    before: Floats,
    samples: Floats,
    support: NDArray[np.integer],
    texts: NDArray[np.int64],
    is_annotated: NDArray[np.bool_],
    is_single: bool,
) -> list[Change]:
    delta = f - before
    flat = samples.reshape(-1, samples.shape[-1])
    low, high = bootstrap.interval(flat)
    chance = chances(flat)
    raw = np.where(np.isfinite(delta[:-2]) & (support > 0), chance[:-2], np.nan)
    families = [adjusted(np.where(family, raw, np.nan)) for family in (is_annotated, ~is_annotated)]
    chance[:-2] = np.where(is_annotated, *families)
    sizes = [*support.tolist(), *[int(support.sum())] * 2]
    compared = [*texts.tolist(), *[int(texts.max(initial=0))] * 2]
    rows = zip(f, before, delta, low, high, chance, sizes, compared, strict=True)
    return [_change(row, size, count, is_single) for *row, size, count in rows]


def _change(row: Sequence[float], support: int, texts: int, is_single: bool) -> Change:
    f, before, delta, low, high, chance = map(_rounded, row)
    return Change(
        f, before, delta, low, high, chance, _verdict(row[2], row[5], support, texts, is_single), support, texts
    )


def chances(samples: Floats) -> Floats:
    """How often a change that is none would look like this, to either side; from samples × anything."""
    sides = [(side(samples, 0).sum(0) + 1) / (len(samples) + 1) for side in (np.less_equal, np.greater_equal)]
    return np.where(np.isfinite(samples).any(0), np.minimum(1.0, 2 * np.minimum(*sides)), np.nan)


def adjusted(chance: Floats) -> Floats:
    """P-values after Benjamini and Hochberg; what is NaN takes no part."""
    result = chance.copy()
    tested = np.flatnonzero(np.isfinite(chance))
    order = tested[np.argsort(chance[tested], kind="stable")]
    scaled = chance[order] * len(order) / np.arange(1, len(order) + 1)
    result[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return result


def _verdict(delta: float, chance: float, support: int, texts: int, is_single: bool) -> str:
    if not texts:
        return NOT_COMPARABLE
    if not support or math.isnan(delta):
        return NO_SUPPORT
    if math.isnan(chance) or chance > FALSE:
        return WITHIN
    return BEYOND if is_single else BETTER if delta > 0 else WORSE


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), _DIGITS)
