"""Console screens of scores: of a run, of its errors, of seed variance and of a learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from scripts.core.errors import train_command
from scripts.reporting.console import count, listed, new_table, plural, ratio
from scripts.scoring.learning_curve import HELPS, HURTS, NO_SUPPORT, LearningCurve
from scripts.scoring.metrics import Macro, MetricColumn, Metrics, Score, columns_of
from scripts.scoring.reliability import LEAST_SPANS
from scripts.scoring.runs import Run
from scripts.scoring.seed_variance import SeedVariance


def print_scores(console: Console, metrics: Metrics) -> None:
    """Print a row for each label: precision, recall, F1 and their counts; then rows for all labels."""
    columns = columns_of("console")
    table = new_table("label", *(column.heading for column in columns))
    for label, score in metrics.labels.items():
        table.add_row(label, *metric_cells(columns, score), style="" if score.texts else "dim")
    table.add_row("micro (all entities)", *metric_cells(columns, metrics.micro), style="bold")
    table.add_row(f"macro ({metrics.macro.labels} labels)", *metric_cells(columns, metrics.macro), style="bold")
    console.print(table)


def metric_cells(columns: Sequence[MetricColumn], score: Score | Macro) -> list[str]:
    """Format a row of scores; what macro does not have stays empty."""
    undefined = ratio(None) if isinstance(score, Score) else ""
    values = ((column.of(score), count if column.is_count else ratio) for column in columns)
    return [undefined if value is None else as_text(value) for value, as_text in values]


def print_errors(console: Console, metrics: Metrics, words_per_second: Sequence[int]) -> None:
    """Print errors by kind, recall of seen and unseen surface forms, and the speed: a sentence each."""
    errors, seen, unseen = metrics.micro.errors, metrics.micro.seen, metrics.micro.unseen
    if errors:
        fn = errors.fn
        kinds = {"boundary": fn.boundary, "type": fn.type, "boundary + type": fn.boundary_type, "missed": fn.missed}
        kinds |= {"tokenizer": fn.tokenizer} if fn.tokenizer else {}
        numbers = ", ".join(f"{count(number)} {kind}" for kind, number in kinds.items())
        console.print(f"False negatives: {numbers}. Spurious predictions: {count(errors.fp.spurious)}.")
        if fn.tokenizer:
            by_label = ((label, score.errors.fn.tokenizer) for label, score in metrics.labels.items() if score.errors)
            most = sorted(((number, label) for label, number in by_label if number), key=lambda row: (-row[0], row[1]))
            console.print(
                f"⚠ tokenizer: {count(fn.tokenizer)} of {count(metrics.micro.support)} entities are not on token "
                f"boundaries, so that no prediction can be equal to them: "
                f"{listed(f'{label} {count(number)}' for number, label in most)}; corpus/misaligned/ lists them"
            )
    if seen and unseen:
        console.print(
            f"Recall of surface forms seen in training: {ratio(seen.r)} of {count(seen.entities)} entities; "
            f"of unseen ones: {ratio(unseen.r)} of {count(unseen.entities)}."
        )
    if words_per_second:
        console.print(f"{sum(words_per_second) // len(words_per_second):,} words/s")


def print_reliability(console: Console, metrics: Metrics) -> None:
    """Print how reliable the probabilities of predicted spans are: over all labels, then by label."""
    found = metrics.micro.reliability
    if found is None:
        console.print("Probabilities: the predicted spans have none that are calibrated.")
        return
    spans = plural(found.spans, "predicted span") if found.spans == 1 else f"{count(found.spans)} predicted spans"
    if found.ece is None:
        console.print(f"Probabilities: {spans}; to tell how reliable they are takes {LEAST_SPANS}.")
        return
    console.print(
        f"Probabilities of {spans}: calibration error {ratio(found.ece)}; exact ones would have "
        f"{ratio(found.exact_ece)}. Precision of the most certain 30 %: {ratio(found.p30)}, 50 %: {ratio(found.p50)}, "
        f"80 %: {ratio(found.p80)}."
    )
    by_label = ((label, score.reliability) for label, score in metrics.labels.items() if score.reliability)
    errors = [(label, each.ece) for label, each in by_label if each.ece is not None]
    if errors:
        worst = sorted(errors, key=lambda row: (-row[1], row[0]))
        of_each = listed(f"{label} {ratio(error)}" for label, error in worst)
        console.print(f"Calibration error by label: {of_each}.")


def print_training_data(console: Console, run: Run, corpus: Path) -> None:
    """Print how the data that a run was trained on differ from those of the corpus, if they do."""
    if run.trained is None:
        console.print(f"⚠ the model has no record of its training data, which may not be those of {corpus}")
    elif run.relearned:
        console.print(
            f"Trained on what {corpus} holds now: {listed(run.relearned)}, alone; the other "
            f"{plural(len(run.trained.outdated), 'label')} on earlier data"
        )
    elif run.is_outdated:
        again = train_command(run.run, run.seeds)
        console.print(f"⚠ the model was trained on other data than {corpus} holds now; train again: {again}")


def print_seed_variance(console: Console, found: SeedVariance) -> None:
    """Print mean and standard deviation of F over seeds, by label and for all labels."""
    table = new_table("label", "mean F", "SD over seeds", "entities", gap=2)
    for label, row in [*found.labels.items(), ("micro", found.micro), ("macro", found.macro)]:
        table.add_row(label, ratio(row.f), ratio(row.sd), f"{row.support:,}")
    console.print(table)


_EFFECTS = {HELPS: "help", HURTS: "lower F: inspect them", NO_SUPPORT: NO_SUPPORT}  # of more texts, by verdict
_NOISE = "cannot tell: noise"


def print_curve(console: Console, found: LearningCurve) -> None:
    """Print F with each share of the texts, the gain by twice as many, and whether it is more than noise."""
    shares = [f"{point.share:.0%}\n{point.texts:,}" for point in found.points]
    table = new_table("label", *shares, "entities", "× 2", "more texts", text=("more texts",))
    for label, trend in found.labels.items():
        scores = [ratio(point.labels[label].f) for point in found.points]
        entities = f"{found.points[-1].entities.get(label, 0):,}"
        table.add_row(label, *scores, entities, ratio(trend.slope, sign=True), _EFFECTS.get(trend.verdict, _NOISE))
    for name, trend in (("micro", found.micro), ("macro", found.macro)):
        scores = [ratio(getattr(point, name).f) for point in found.points]
        effect = _EFFECTS.get(trend.verdict, _NOISE)
        table.add_row(name, *scores, "", ratio(trend.slope, sign=True), effect, style="bold")
    console.print(table)
    console.print(
        f"\n× 2: F gained by twice as many texts. Each point is {plural(len(found.seeds), 'seed')}; seed variance is "
        f"{variance_source(found.variance_seeds)}. All models were trained for the same number of steps."
    )


def variance_source(seeds: int) -> str:
    """Say where the seed variance in use comes from."""
    return f"measured with {seeds} seeds" if seeds else "a typical value"
