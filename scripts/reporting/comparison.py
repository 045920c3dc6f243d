"""Comparison of runs: on the console, as compare.csv, and as compare.md for a merge request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from scripts.core.files import as_cell
from scripts.reporting.console import Name, escape_markdown, listed, new_table, plural, ratio
from scripts.scoring.changes import NOT_COMPARABLE, Change
from scripts.scoring.comparison import Comparisons, Differences, Gated, RunComparison, ValueChange
from scripts.scoring.metrics import COLUMNS, columns_of
from scripts.scoring.runs import MAY_KNOW_TESTS, ScoredRun, to_frame

if TYPE_CHECKING:
    from scripts.scoring.learning_curve import Trend  # with spaCy

MAX_RUNS = 4  # that fit 80 columns
_MAX_VALUES = 12  # of a config
_WIDE = 92  # columns, from which there is room for the last one


def list_differences(compared: RunComparison) -> list[str]:
    """Say how a run differs from its baseline in what it was made of, a sentence each."""
    found = compared.differences
    lines = [*_data_differences(found), *_label_differences(found), *_training_differences(found)]
    return lines or ["Nothing differs: the same data, config, code, versions and seeds."]


def _data_differences(found: Differences) -> Iterator[str]:
    if found.data is None:
        yield "Data: one of the models has no record of its training data."
    elif found.data:
        more = [f"{found.texts:+,} training texts"] if found.texts else []
        more += [f"covered in {_signed(found.covered)} texts"] if found.covered else []
        more += [f"{_signed(found.entities)} entities"] if found.entities else []
        yield f"Data: {'; '.join(more) or 'another corpus, of as many texts and entities'}."


def _signed(numbers: Mapping[str, int]) -> str:
    ordered = sorted(numbers.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    return listed(f"{label} {number:+,}" for label, number in ordered)


def _label_differences(found: Differences) -> Iterator[str]:
    changes = {"added": found.added, "removed": found.removed, "scored on other texts, or with other gold": found.test}
    for change, labels in changes.items():
        if labels:
            yield f"Labels: {plural(len(labels), 'label')} {change} ({listed(labels)})."


def _training_differences(found: Differences) -> Iterator[str]:
    if found.config:
        yield f"Config: {_value_changes(_whole_blocks(found.config))}."
    if found.code:
        yield "Training code changed."
    if found.scoring:
        yield "Scoring code changed, by which alone scores can differ."
    if found.versions:
        yield f"Versions: {_value_changes(found.versions)}."
    if found.seeds:
        before, after = (", ".join(map(str, seeds)) for seeds in found.seeds)
        yield f"Seeds: {before} → {after}."


def _whole_blocks(changes: Sequence[ValueChange]) -> list[ValueChange]:
    """Put one change in place of all those of a block that only one run has, as a component: that of what makes it."""
    sides = [(f"{change.name}.", change.before is None, change.after is None) for change in changes]
    made: dict[str, ValueChange] = {}
    for change in sorted(changes, key=lambda change: change.name.count(".")):
        block, _, key = change.name.rpartition(".")
        is_maker = key == "factory" or key.startswith("@")
        is_new, is_gone = (all(side[n] for side in sides if side[0].startswith(f"{block}.")) for n in (1, 2))
        if is_maker and (is_new or is_gone) and not any(map(f"{block}.".startswith, made)):
            made[f"{block}."] = ValueChange(block, change.before, change.after)
    rest = [change for change in changes if not any(map(change.name.startswith, made))]
    return [*made.values(), *rest]


def _value_changes(changes: Sequence[ValueChange]) -> str:
    values = (
        f"{change.name} {'(none)' if change.before is None else change.before}"
        f" → {'(none)' if change.after is None else change.after}"
        for change in changes
    )
    return listed(values, _MAX_VALUES)


def list_notes(compared: RunComparison, variance_seeds: int) -> Iterator[str]:
    """Say which texts the runs were compared on, and how certain the verdicts are, a sentence each."""
    changes = compared.changes
    if not changes.is_whole:
        texts, entities = changes.micro.texts, changes.micro.support
        shared = f"{plural(texts, 'text')} and {plural(entities, 'entity', 'entities')}"
        yield f"The runs were not scored on the same texts and gold; compared are the {shared} they share."
    for folder in compared.differences.outdated:
        yield f"{folder} {MAY_KNOW_TESTS}."
    missing = [label for label, change in changes.labels.items() if change.verdict == NOT_COMPARABLE]
    if missing:
        yield f"Not comparable: {plural(len(missing), 'label')} without a shared text ({listed(missing)})."
    annotated = sorted({*compared.differences.covered, *compared.differences.entities})
    if annotated and len(annotated) < len(changes.labels):
        yield f"Tested apart from the other labels, since the training annotations changed: {listed(annotated)}."
    single = [seeds for seeds in (compared.seeds, compared.baseline_seeds) if seeds == 1]
    if single:
        runs = "Both runs have" if len(single) == 2 else "One of the runs has"
        yield f"{runs} one seed, so no verdict is better or worse; to be sure, train several: --vars.seeds 3."
    if variance_seeds:
        yield f"Seed variance was measured with {variance_seeds} seeds (metrics/seed_variance.json)."
    elif single:
        yield "Seed variance is a typical value; to measure yours, once: weasel run seed-variance."


def mark(change: Change | None) -> str:
    """▲ or ▼ where a change is more than noise."""
    if change is None or change.delta is None or not change.is_clear:
        return ""
    return "▲" if change.delta > 0 else "▼"


def interval(change: Change | Trend) -> str:
    """Format the interval of a change: `-.021 … +.043`, or a dash."""
    if change.low is None or (isinstance(change, Change) and not change.support):
        return ratio(None)
    return f"{ratio(change.low, sign=True)} … {ratio(change.high, sign=True)}"


# compare.csv

_SCORES = [column.name for column in columns_of("csv")]
_CHANGE = ["before", "delta", "low", "high", "p_value", "verdict", "support", "texts"]
_CHANGE_COLUMNS = [f"compared_{name}" if name in _SCORES else name for name in _CHANGE]


def to_csv(runs: Sequence[ScoredRun], found: Comparisons) -> bytes:
    """Encode compare.csv: all runs by time, a line for each run and label, then micro and macro.

    A field is empty where a value is undefined, or the run was not compared.
    """
    import pandas as pd

    frame = to_frame(runs).drop(columns=[column.name for column in COLUMNS if column.name not in _SCORES])
    rows = [
        (compared.run, row, label, found.baseline, *(getattr(change, name) for name in _CHANGE))
        for compared in found.runs
        for row, label, change in compared.changes.rows()
    ]
    changes = pd.DataFrame(rows, columns=["run", "row", "label", "baseline", *_CHANGE_COLUMNS])
    changes = changes.astype({"compared_support": "Int64", "compared_texts": "Int64"})
    table = frame.merge(changes, how="left", on=["run", "row", "label"])
    table = table.map(lambda value: as_cell(value) if isinstance(value, str) else value)
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text.encode()


# The newest run beside the baseline, on the console and in compare.md

_HEADINGS = ("label", "before", "F", "change", "95 % interval", "verdict", "entities", "covered")


def to_markdown(runs: Sequence[ScoredRun], found: Comparisons, gated: Gated | None = None) -> str:
    """Format the newest compared run beside the baseline, as a comment to a merge request.

    gated (Gated | None): The outcome at the gate, if it was asked for; it comes first.
    """
    outcome = _gate_lines(gated) if gated else []
    if not found.runs:
        return "\n".join([*outcome, "There is one run, and nothing to compare it with yet.", ""])
    compared = found.runs[-1]
    lines = [
        f"### `{compared.run}` compared with `{found.baseline}`",
        "",
        *outcome,
        markdown_row(_HEADINGS),
        "|---|---:|---:|---:|---:|---|---:|---:|",
        *(
            markdown_row([escape_markdown(name) if row == "label" else f"**{name}**", *cells])
            for row, name, cells, _ in _table_rows(compared, runs, with_marks=True)
        ),
        "",
        *(f"- {escape_markdown(line)}" for line in list_differences(compared)),
        *(f"- {escape_markdown(line)}" for line in list_notes(compared, found.variance_seeds)),
    ]
    return "\n".join(lines) + "\n"


def _gate_lines(gated: Gated) -> list[str]:
    if not gated.failures:
        return ["✔ It passes the gate.", ""]
    failures = (f"- **{escape_markdown(name)}**: {reason}" for name, reason in gated.failures.items())
    return [f"✘ {len(gated.failures)} of {gated.rows} rows do not pass the gate:", "", *failures, ""]


def markdown_row(cells: Sequence[str]) -> str:
    """Format a row of a Markdown table, of escaped cells."""
    return f"| {' | '.join(cells)} |"


def _table_rows(
    compared: RunComparison, runs: Sequence[ScoredRun], with_marks: bool = False
) -> Iterator[tuple[str, str, list[str], Change]]:
    """Yield kind, name, cells (without the name) and change of each row.

    with_marks (bool): Mark verdicts: Markdown has no bold rows, as the console has.
    """
    run = next(scored.run for scored in runs if scored.run.folder == compared.run)
    covered = run.trained.covered if run.trained else {}
    for row, name, change in compared.changes.rows():
        verdict = f"{mark(change)} {change.verdict}".strip() if with_marks else change.verdict
        cells = [
            ratio(change.before), ratio(change.f), ratio(change.delta, sign=True), interval(change), verdict,
            f"{change.support:,}", f"{covered[name]:,}" if row == "label" and name in covered else "",
        ]  # fmt: skip
        yield row, name, cells, change


def print_comparison(console: Console, shown: Sequence[ScoredRun], found: Comparisons) -> None:
    """Print F of the runs, then the changes of the newest compared run, and the reasons for them."""
    if len(shown) != 2 or not found.runs:
        _print_runs(console, shown, found)
    if not found.runs:
        console.print("There is one run, and nothing to compare it with yet: annotate more, and run again.")
        return
    compared = found.runs[-1]
    console.print(f"{compared.run}, compared with {found.baseline}:\n")
    headings = _HEADINGS if console.width >= _WIDE else _HEADINGS[:-1]
    table = new_table(*headings, text=("verdict",))
    for row, name, cells, change in _table_rows(compared, shown):
        is_bold = row != "label" or change.is_clear
        table.add_row(name, *cells[: len(headings) - 1], style="bold" if is_bold else "")
    console.print(table)
    sections = {"Differences": list_differences(compared), "Notes": list(list_notes(compared, found.variance_seeds))}
    for title, sentences in sections.items():
        if sentences:
            console.print(f"\n{title}", style="bold")
        for sentence in sentences:
            console.print(f"- {sentence}")
    console.print()


def _print_runs(console: Console, shown: Sequence[ScoredRun], found: Comparisons) -> None:
    table = new_table("F")
    for scored in shown:
        time = scored.run.time[5:16].replace("T", " ")
        is_baseline = scored.run.folder == found.baseline
        heading = f"{scored.run.folder}\n{time}\n{'baseline' if is_baseline else ''}"
        table.add_column(Name(heading), justify="right", no_wrap=len(scored.run.folder) <= 14)
    for kind, name in rows_of(shown):
        cells = (f_cell(scored, found, kind, name) for scored in shown)
        table.add_row(name, *cells, style="" if kind == "label" else "bold")
    console.print(table)
    if any(mark(change) for compared in found.runs for change in compared.changes.labels.values()):
        console.print("▲ ▼ more than noise, compared with the baseline on the texts both are scored on")
    console.print()


def rows_of(runs: Sequence[ScoredRun]) -> list[tuple[str, str]]:
    """Kinds and names of the rows of several runs: all labels, sorted, then micro and macro."""
    labels = sorted({label for scored in runs for label in scored.metrics.labels})
    return [*(("label", label) for label in labels), ("micro", "micro"), ("macro", "macro")]


def f_cell(scored: ScoredRun, found: Comparisons | None, kind: str, name: str) -> str:
    """Format F of a row of a run, marked where it changed by more than noise since the baseline: `▲ .912`."""
    scores = scored.scores(kind, name)
    compared = found.of(scored) if found else None
    changes = {(kind, name): change for kind, name, change in compared.changes.rows()} if compared else {}
    return f"{mark(changes.get((kind, name)))} {ratio(scores.f if scores else None)}".strip()
