"""The change of each label's F between two runs on the same texts, and whether it is more than noise.

A change is tested by a bootstrap over texts and seeds together. Texts are drawn with replacement, the same for both
runs, so that what is hard for both does not matter. Seeds are too few to be drawn from (three of them understate their
variance by a third), so theirs is drawn from a t-distribution with the measured spread, see seed_variance.py.

With many labels some would stand out by chance. Benjamini and Hochberg's procedure
(https://doi.org/10.1111/j.2517-6161.1995.tb02031.x) keeps the share of false ones among the changes found at 5 %: they
are a list to look into, for which Holm's procedure, after which hardly ever one of them would be false, finds too
little. Labels whose training annotations differ are expected to change, and are few: they are tested apart from the
others, so that the labels somebody worked on are not drowned by those nobody did. Which they are follows from the data,
not from the scores; so the share of false ones is 5 % in either class (https://doi.org/10.1214/07-AOAS158).
"""

import math
from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats, adjusted_p_values, p_values, rounded
from scripts.scoring.counts import Counts
from scripts.scoring.seed_variance import SeedVariance, seed_spread, with_other_seeds

FALSE_DISCOVERIES = 0.05  # share of false ones among the changes
WITHIN, BEYOND, BETTER, WORSE = "within noise", "beyond noise", "better", "worse"
NO_SUPPORT, NOT_COMPARABLE = "no support", "not comparable"


class Change(msgspec.Struct):
    """The change of one label, or of all together.

    f (float | None), before (float | None): Of the run and of the baseline, on the compared texts.
    delta (float | None): f - before.
    low (float | None), high (float | None): 95 % interval of delta, over seeds and texts.
    p_value (float | None): For labels, adjusted for the number of those that are tested together.
    verdict (str): "within noise"; "beyond noise", if one of the runs has one seed; "better" or "worse", if both
        have several; "no support" if there is no entity; "not comparable" if there is no text to compare on.
    """

    f: float | None
    before: float | None
    delta: float | None
    low: float | None
    high: float | None
    p_value: float | None
    verdict: str
    support: int  # entities in the compared texts
    texts: int  # that both are scored on, with the same gold

    @property
    def is_clear(self) -> bool:
        """Whether the change is more than noise."""
        return self.verdict in (BETTER, WORSE, BEYOND)


class Changes(msgspec.Struct):
    """The changes of all labels between two runs."""

    labels: dict[str, Change]  # of either run, sorted
    micro: Change  # of the labels that can be compared
    macro: Change  # likewise
    is_whole: bool  # both runs are scored on the same texts, with the same gold

    def rows(self) -> Iterator[tuple[str, str, Change]]:
        """Yield kind ("label", "micro" or "macro"), name and change of all rows of a table."""
        yield from (("label", label, change) for label, change in self.labels.items())
        yield "micro", "micro", self.micro
        yield "macro", "macro", self.macro


class _PairedCounts(NamedTuple):
    """Counts of two runs where both have the same gold: seeds × texts × labels × (tp, fp, fn)."""

    labels: list[str]
    run: NDArray[np.int32]
    baseline: NDArray[np.int32]
    texts: NDArray[np.int64]
    is_whole: bool

    @property
    def support(self) -> NDArray[np.int64]:
        """Entities by label, which are the same in both."""
        sums = self.run[0].sum(0, dtype=np.int64)
        return sums[:, 0] + sums[:, 2]


def compare_counts(
    run: Counts, baseline: Counts, stored: SeedVariance | None = None, annotated: Collection[str] = frozenset()
) -> Changes:
    """Compare a run with a baseline where they were scored on the same texts with the same gold.

    stored (SeedVariance | None): Seed variance that was measured before, see `seed_spread`.
    annotated (Collection[str]): Labels whose training annotations differ.
    """
    paired = _pair(run, baseline)
    scores = [bootstrap.all_f1(values.sum(1), paired.support > 0) for values in (paired.run, paired.baseline)]
    f, before = (bootstrap.mean(each, 0) for each in scores)
    found = seed_spread(scores, paired.labels, paired.support, (f + before) / 2, stored)
    factor = sum(1 / len(each) for each in scores)  # variance of the difference of two means
    samples = with_other_seeds(_resampled_changes(paired), found, factor, len(run.seeds))
    rows = _changes(f, before, samples, paired, annotated)
    by_label = dict(zip(paired.labels, rows[:-2], strict=True))
    missing = Change(None, None, None, None, None, None, NOT_COMPARABLE, 0, 0)
    labels = {label: by_label.get(label, missing) for label in sorted({*run.labels, *baseline.labels})}
    return Changes(labels, rows[-2], rows[-1], paired.is_whole)


def _pair(run: Counts, baseline: Counts) -> _PairedCounts:
    labels = sorted(set(run.labels) & set(baseline.labels))
    texts = sorted(set(run.texts) & set(baseline.texts))
    (values, gold, is_scored), (values_before, gold_before, was_scored) = (
        _select(counts, texts, labels) for counts in (run, baseline)
    )
    same = is_scored & was_scored & (gold == gold_before)
    is_whole = all(int(counts.is_scored.sum()) == int(same.sum()) for counts in (run, baseline))
    return _PairedCounts(labels, values * same[..., None], values_before * same[..., None], same.sum(0), is_whole)


def _select(
    counts: Counts, texts: list[str], labels: list[str]
) -> tuple[NDArray[np.int32], NDArray[np.uint32], NDArray[np.bool_]]:
    rows, columns = ({name: at for at, name in enumerate(names)} for names in (counts.texts, counts.labels))
    cells = np.ix_([rows[text] for text in texts], [columns[label] for label in labels])
    return counts.values[:, cells[0], cells[1], :3], counts.gold[cells], counts.is_scored[cells]


def _resampled_changes(paired: _PairedCounts) -> Floats:
    """Changes on resampled texts: resamples × (labels + 2)."""
    seeds = len(paired.run)
    values = np.concatenate([paired.run, paired.baseline]).swapaxes(0, 1)
    scores = bootstrap.all_f1(bootstrap.resampled(values), paired.support > 0)
    return bootstrap.mean(scores[:, :seeds], 1) - bootstrap.mean(scores[:, seeds:], 1)


def _changes(
    f: Floats, before: Floats, samples: Floats, paired: _PairedCounts, annotated: Collection[str]
) -> list[Change]:
    delta, support, texts = f - before, paired.support, paired.texts
    is_annotated = np.array([label in annotated for label in paired.labels], bool)
    is_single = min(len(paired.run), len(paired.baseline)) == 1
    low, high = bootstrap.interval(samples)
    p = p_values(samples)
    raw = np.where(np.isfinite(delta[:-2]) & (support > 0), p[:-2], np.nan)
    families = [adjusted_p_values(np.where(family, raw, np.nan)) for family in (is_annotated, ~is_annotated)]
    p[:-2] = np.where(is_annotated, *families)
    sizes = [*support.tolist(), *[int(support.sum())] * 2]
    numbers = [*texts.tolist(), *[int(texts.max(initial=0))] * 2]
    verdicts = [_verdict(*row, is_single) for row in zip(delta, p, sizes, numbers, strict=True)]
    columns = (map(rounded, column) for column in (f, before, delta, low, high, p))
    return [Change(*row) for row in zip(*columns, verdicts, sizes, numbers, strict=True)]


def _verdict(delta: float, p_value: float, support: int, texts: int, is_single: bool) -> str:
    if not texts:
        return NOT_COMPARABLE
    if not support or math.isnan(delta):
        return NO_SUPPORT
    if math.isnan(p_value) or p_value > FALSE_DISCOVERIES:
        return WITHIN
    return BEYOND if is_single else BETTER if delta > 0 else WORSE


def drops(changes: Changes, threshold: float) -> list[str]:
    """List labels, micro and macro whose F fell by more than a threshold, and by more than noise: `ORG -0.031`."""
    clear = {name: change.delta or 0.0 for _, name, change in changes.rows() if change.is_clear}
    return [f"{name} {delta:+.3f}" for name, delta in clear.items() if delta < -threshold]
