"""metrics.json: scores from counts, by label and over all labels; and the columns that every table of them has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from scripts.core.files import Count
from scripts.scoring import bootstrap
from scripts.scoring.bootstrap import Floats
from scripts.scoring.reliability import JudgedSpans, Reliability, reliability
from scripts.scoring.seed_variance import seed_spread

if TYPE_CHECKING:  # whoever reads scores needs no spaCy
    from scripts.scoring.counts import Counts
    from scripts.scoring.evaluation import ErrorSums

_DIGITS = 6


class PartialScore(msgspec.Struct):
    """Precision, recall and F1 in which a boundary error counts half.

    As MUC-5 scores it (Chinchor and Sundheim 1993, https://aclanthology.org/M93-1007), and SemEval-2013 task 9.1:
    p = (hits + boundary / 2) / predicted, r = (hits + boundary / 2) / entities.
    """

    p: float | None
    r: float | None
    f: float | None


class PairedErrors(msgspec.Struct):
    """Errors of a label where an entity and a prediction overlap, by what differs: boundary, label (type) or both."""

    boundary: float
    type: float
    boundary_type: float


class FalseNegatives(PairedErrors):
    """False negatives of a label by kind, see `align`; they add up to fn. Missed: nothing is predicted there.

    Tokenizer: the entity is not on token boundaries, so that no prediction can be equal to it.
    """

    missed: float
    tokenizer: float = 0


class FalsePositives(PairedErrors):
    """False positives of a label by kind, see `align`; they add up to fp. Spurious: there is no entity.

    Tokenizer: predicted with the right label where an entity is not on token boundaries.
    """

    spurious: float
    tokenizer: float = 0


class Errors(msgspec.Struct):
    """Errors of a label by kind."""

    fn: FalseNegatives
    fp: FalsePositives


class Recall(msgspec.Struct):
    """Recall of some of the entities. r is None where there are none."""

    entities: float
    found: float
    r: float | None


class Score(msgspec.Struct, omit_defaults=True):
    """Strict precision, recall and F1, and their counts. Means over seeds where there are several."""

    p: float | None  # tp / (tp + fp); None where nothing is predicted
    r: float | None  # tp / (tp + fn); None where there is no entity
    f: float | None  # 2 tp / (2 tp + fp + fn), the harmonic mean of both; None where there is neither
    low: float | None  # of the 95 % interval of F, on other texts and, if there are several, other seeds
    high: float | None
    tp: float  # true positives, a whole number for one seed, as the next two
    fp: float  # false positives
    fn: float  # false negatives
    support: Count  # tp + fn
    texts: Count  # that are scored; for all labels together, those that are for any
    partial: PartialScore
    errors: Errors | None = None
    seen: Recall | None = None  # of entities whose surface form their label has in the training texts, if at hand
    unseen: Recall | None = None  # of the others
    sd: float | None = None  # of F over seeds; None for one
    reliability: Reliability | None = None  # of the probabilities of its predicted spans, if these are calibrated

    def __post_init__(self) -> None:
        """RAISES (ValueError): If the counts do not add up, or a score is none."""
        if min(self.tp, self.fp, self.fn) < 0 or abs(self.tp + self.fn - self.support) > 1:  # means are rounded
            raise ValueError(f"support is {self.support} and not {self.tp} + {self.fn}")
        if any(score is not None and not 0 <= score <= 1 for score in (self.p, self.r, self.f)):
            raise ValueError("a score is not from 0 to 1")

    @property
    def error_count(self) -> float:
        """False positives and false negatives."""
        return round(self.fp + self.fn, _DIGITS)


def most_errors_first(errors: Mapping[str, float]) -> list[str]:
    """Sort labels as every list of labels to work on does: by their number of errors, then by name."""
    return sorted(errors, key=lambda label: (-errors[label], label))


class Macro(msgspec.Struct, omit_defaults=True):
    """Mean F1 of the labels that have support, their number, its 95 % interval, and its SD over seeds."""

    f: float | None
    labels: Count
    low: float | None = None
    high: float | None = None
    sd: float | None = None


class Metrics(msgspec.Struct, omit_defaults=True):
    """metrics.json: nested objects whose leaves are numbers, or null where a score is undefined."""

    labels: dict[str, Score]  # sorted; also those that are scored on no text
    micro: Score  # of all entities, whatever their label
    macro: Macro
    seeds: dict[str, Metrics] = {}  # the same for each seed, if there are several


class MetricColumn(NamedTuple):
    """A column of all tables of metrics."""

    name: str  # in data frames, CSV and MLflow
    heading: str  # on the console, on the page, and in Markdown
    value: Callable[[Score], float | None]
    tables: str = ""  # that show it, of "console page csv card"; data frames and MLflow have all columns
    is_count: bool = False  # a number of things, not a score from 0 to 1

    def of(self, score: Score | Macro) -> float | None:
        """Return the number of a row; None where it is undefined, as most are for macro."""
        return self.value(score) if isinstance(score, Score) else getattr(score, self.name, None)


COLUMNS = (
    MetricColumn("p", "P", lambda score: score.p, "console page csv card"),
    MetricColumn("r", "R", lambda score: score.r, "console page csv card"),
    MetricColumn("f", "F", lambda score: score.f, "console page csv card"),
    MetricColumn("low", "low", lambda score: score.low, "csv"),
    MetricColumn("high", "high", lambda score: score.high, "csv"),
    MetricColumn("partial_f", "partial F", lambda score: score.partial.f, "page"),
    MetricColumn("seen_r", "R seen", lambda score: score.seen.r if score.seen else None),
    MetricColumn("unseen_r", "R unseen", lambda score: score.unseen.r if score.unseen else None),
    MetricColumn("sd", "SD", lambda score: score.sd),
    MetricColumn("ece", "ECE", lambda score: score.reliability.ece if score.reliability else None),
    MetricColumn("support", "entities", lambda score: score.support, "console page csv card", is_count=True),
    MetricColumn("tp", "TP", lambda score: score.tp, "console page csv", is_count=True),
    MetricColumn("fp", "FP", lambda score: score.fp, "console page csv", is_count=True),
    MetricColumn("fn", "FN", lambda score: score.fn, "console page csv", is_count=True),
    MetricColumn("texts", "texts", lambda score: score.texts, "console page csv", is_count=True),
)


def columns_of(table: str) -> list[MetricColumn]:
    """Columns of a table, in order: "console", "page", "csv" or "card"."""
    return [column for column in COLUMNS if table in column.tables.split()]


def score(counts: Iterable[int], texts: int) -> Score:
    """Precision, recall and F1, see https://en.wikipedia.org/wiki/F-score, rounded to six digits, without interval.

    counts (Iterable[int]): True positives, false positives, false negatives, and those of these that are partial.
    """
    tp, fp, fn, partial = map(int, counts)
    half = tp + partial / 2
    return Score(
        p=_ratio(tp, tp + fp), r=_ratio(tp, tp + fn), f=_ratio(2 * tp, 2 * tp + fp + fn), low=None, high=None,
        tp=tp, fp=fp, fn=fn, support=tp + fn, texts=int(texts),
        partial=PartialScore(_ratio(half, tp + fp), _ratio(half, tp + fn), _ratio(2 * half, 2 * tp + fp + fn)),
    )  # fmt: skip


def _ratio(numerator: float, denominator: float) -> float | None:
    return round(numerator / denominator, _DIGITS) if denominator else None


def metrics(
    counts: Counts, errors: Sequence[ErrorSums] | None = None, judged: Sequence[JudgedSpans] | None = None
) -> Metrics:
    """Scores of a run: of its one seed, or means over its seeds, and each seed's. Errors are those of each seed.

    judged (Sequence[JudgedSpans] | None): Predicted spans of each seed; none if they have no calibrated probabilities.
    """
    seeds = [
        _metrics_of_seed(counts, row, errors[row] if errors else None, judged[row] if judged else None)
        for row in range(len(counts.seeds))
    ]
    result = seeds[0] if len(seeds) == 1 else _over_seeds(counts.seeds, seeds)
    low, high = _intervals(counts)
    rows: list[Score | Macro] = [*result.labels.values(), result.micro, result.macro]
    for row, *limits in zip(rows, low, high, strict=True):
        if row.f is not None:
            row.low, row.high = (bootstrap.rounded(limit) for limit in np.clip(limits, 0.0, 1.0))
    return result


def _metrics_of_seed(counts: Counts, row: int, errors: ErrorSums | None, judged: JudgedSpans | None) -> Metrics:
    sums, texts = counts.values[row].sum(0), counts.is_scored.sum(0)
    labels = {label: score(sums[column], texts[column]) for column, label in enumerate(counts.labels)}
    micro = score(sums.sum(0), counts.is_scored.any(1).sum())
    if errors:
        _add_errors([*labels.values(), micro], errors)
    if judged:
        for row_of, number in zip([*labels.values(), micro], [*range(len(labels)), None], strict=True):
            row_of.reliability = reliability(*judged.of(number))
    defined = [score.f for score in labels.values() if score.support]
    return Metrics(labels, micro, Macro(_mean(defined), len(defined)))


def _add_errors(scores: Sequence[Score], errors: ErrorSums) -> None:
    """Add errors by kind, and recall of seen and unseen surface forms, to the scores of all labels and micro."""
    for row, fn, fp in zip(scores, _with_sum(errors.fn), _with_sum(errors.fp), strict=True):
        row.errors = Errors(FalseNegatives(*fn[1:]), FalsePositives(*fp[1:]))  # the first of each are the hits
    if errors.seen is not None:
        for row, (entities, found) in zip(scores, _with_sum(errors.seen), strict=True):
            others, others_found = row.support - entities, int(row.tp) - found
            row.seen = Recall(entities, found, _ratio(found, entities))
            row.unseen = Recall(others, others_found, _ratio(others_found, others))


def _with_sum(numbers: NDArray[np.int64]) -> Any:
    return np.vstack([numbers, numbers.sum(0)]).tolist()


def _over_seeds(numbers: Sequence[int], seeds: Sequence[Metrics]) -> Metrics:
    """Means over seeds; a score that is undefined for some seeds is averaged over the others."""
    means = msgspec.convert(_average(msgspec.to_builtins(seeds)), Metrics)
    for label, row in means.labels.items():
        row.sd = _sd([seed.labels[label].f for seed in seeds])
    means.micro.sd = _sd([seed.micro.f for seed in seeds])
    means.macro.sd = _sd([seed.macro.f for seed in seeds])
    means.seeds = dict(zip(map(str, numbers), seeds, strict=True))
    return means


def _average(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: _average([each.get(name) for each in values]) for name in values[0]}
    return values[0] if len(set(values)) == 1 else _mean(values)  # equal whole numbers stay whole


def _sd(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return round(float(np.std(defined, ddof=1)), _DIGITS) if len(defined) > 1 else None


def _mean(values: Iterable[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return round(math.fsum(defined) / len(defined), _DIGITS) if defined else None


def _intervals(counts: Counts) -> tuple[Floats, Floats]:
    """Limits of F by label, then of micro and macro, by bootstrap over texts; see `bootstrap.widened` too.

    With several seeds, seed variance is added: three seeds are too few to be drawn from.
    """
    has_support = counts.support > 0
    samples = [bootstrap.all_f1(bootstrap.resampled(values), has_support) for values in counts.values]
    means = bootstrap.mean(np.stack(samples), 0)
    seeds = len(counts.seeds)
    if seeds > 1:
        scores = bootstrap.all_f1(counts.values.sum(1), has_support)
        found = seed_spread([scores], counts.labels, counts.support, bootstrap.mean(scores, 0), None)
        draws = np.random.default_rng(seeds).standard_t(found.freedom, (len(means), len(found.sd)))
        means = means + draws * found.sd / math.sqrt(seeds)
    low, high = bootstrap.interval(means)
    sums = counts.values.sum(1).mean(0)
    low[:-1], high[:-1] = bootstrap.widened(low[:-1], high[:-1], np.vstack([sums, sums.sum(0)]))
    return low, high
