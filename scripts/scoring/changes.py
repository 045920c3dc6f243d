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

import msgspec
import numpy as np

from scripts.core.files import Count
from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats, adjusted_p_values, p_values, rounded
from scripts.scoring.counts import Counts
from scripts.scoring.seed_variance import SeedVariance, seed_spread, with_other_seeds

FALSE_DISCOVERIES = 0.05  # share of false ones among the changes
WITHIN, BEYOND, BETTER, WORSE = "within noise", "beyond noise", "better", "worse"
NO_SUPPORT, NOT_COMPARABLE = "no support", "not comparable"


class Change(msgspec.Struct):
    """The change of one label, or of all together.

    verdict (str): "within noise"; "beyond noise", if one of the runs has one seed; "better" or "worse", if both
        have several; "no support" if there is no entity; "not comparable" if there is no text to compare on.
    """

    f: float | None  # of the run, on the compared texts
    before: float | None  # of the baseline, on the compared texts
    delta: float | None  # f - before
    low: float | None  # of the 95 % interval of delta, over seeds and texts
    high: float | None
    p_value: float | None  # for labels, adjusted for the number of those that are tested together
    verdict: str
    support: Count  # entities in the compared texts
    texts: Count  # that both are scored on, with the same gold

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


def compare_counts(
    run: Counts, baseline: Counts, stored: SeedVariance | None = None, annotated: Collection[str] = frozenset()
) -> Changes:
    """Compare a run with a baseline where they were scored on the same texts with the same gold.

    stored (SeedVariance | None): Seed variance that was measured before, see `seed_spread`.
    annotated (Collection[str]): Labels whose training annotations differ.
    """
    pair = _paired(run, baseline)
    labels, support, seeds = pair[0].labels, pair[0].support, len(run.seeds)
    scores = [bootstrap.all_f1(counts.values.sum(1), support > 0) for counts in pair]
    f, before = (bootstrap.mean(each, 0) for each in scores)
    found = seed_spread(scores, labels, support, (f + before) / 2, stored)
    factor = sum(1 / len(each) for each in scores)  # variance of the difference of two means
    values = np.concatenate([counts.values[..., :3] for counts in pair]).swapaxes(0, 1)
    resampled = bootstrap.all_f1(bootstrap.resampled(values), support > 0)
    changes = bootstrap.mean(resampled[:, :seeds], 1) - bootstrap.mean(resampled[:, seeds:], 1)
    is_single = min(seeds, len(baseline.seeds)) == 1
    rows = _changes(f, before, with_other_seeds(changes, found, factor, seeds), pair[0], annotated, is_single)
    by_label = dict(zip(labels, rows[:-2], strict=True))
    missing = Change(None, None, None, None, None, None, NOT_COMPARABLE, 0, 0)
    all_labels = {label: by_label.get(label, missing) for label in sorted({*run.labels, *baseline.labels})}
    compared = int(pair[0].is_scored.sum())
    is_whole = all(int(counts.is_scored.sum()) == compared for counts in (run, baseline))
    return Changes(all_labels, rows[-2], rows[-1], is_whole)


def _paired(run: Counts, baseline: Counts) -> list[Counts]:
    """Counts of two runs where both are scored with the same gold."""
    texts, labels = sorted({*run.texts} & {*baseline.texts}), sorted({*run.labels} & {*baseline.labels})
    pair = []
    for counts in (run, baseline):
        rows, columns = ({name: at for at, name in enumerate(names)} for names in (counts.texts, counts.labels))
        cells = np.ix_([rows[text] for text in texts], [columns[label] for label in labels])
        values = counts.values[:, cells[0], cells[1]]
        pair.append(Counts(texts, labels, counts.seeds, values, counts.is_scored[cells], counts.gold[cells]))
    same = pair[0].is_scored & pair[1].is_scored & (pair[0].gold == pair[1].gold)
    return [counts._replace(values=counts.values * same[..., None], is_scored=same) for counts in pair]


def _changes(
    f: Floats, before: Floats, samples: Floats, paired: Counts, annotated: Collection[str], is_single: bool
) -> list[Change]:
    delta, support, texts = f - before, paired.support, paired.is_scored.sum(0)
    is_annotated = np.array([label in annotated for label in paired.labels], bool)
    low, high = np.clip(bootstrap.interval(samples), -1, 1)
    p = p_values(samples)
    raw = np.where(np.isfinite(delta[:-2]) & (support > 0), p[:-2], np.nan)
    families = [adjusted_p_values(np.where(family, raw, np.nan)) for family in (is_annotated, ~is_annotated)]
    p[:-2] = np.where(is_annotated, *families)
    sizes = [*support.tolist(), *[int(support.sum())] * 2]
    numbers = [*texts.tolist(), *[int(paired.is_scored.any(1).sum())] * 2]
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
