"""Runs side by side, label by label; what was not measured on the same texts is not compared."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.annotations.errors import UserError
from scripts.reporting.accounts import listed, plural
from scripts.reporting.scores import ratio
from scripts.scoring.runs import Run, Scored

MOST_RUNS = 4  # that fit 80 columns
_COLUMNS = (
    "run", "time", "row", "name", "p", "r", "f", "support", "tp", "fp", "fn", "texts",
    "baseline", "same_test", "delta_f",
)  # fmt: skip
_SEED_NOISE = (
    "{runs} one seed. Another seed alone moves a label's F by .014 to .054 (SD): one seed cannot tell "
    "a change from chance."
)


class Row(NamedTuple):
    """One line of the comparison: a label, or all labels together ("micro", "macro").

    kind (str): "label", "micro" or "macro".
    name (str): Of the label; empty for the others.
    """

    kind: str
    name: str


def choose_baseline(runs: Sequence[Scored], wanted: str | None) -> Scored | None:
    """The run the others are compared with.

    runs (Sequence[Scored]): By time.
    wanted (str | None): Its name, its folder, or how that begins: the newest that fits, if possible not the newest
        of all. None: the run before the newest.
    RETURNS (Scored | None): None if there is but one run, and no other is wanted.
    RAISES (UserError): If none fits.
    """
    if wanted is None:
        return runs[-2] if len(runs) > 1 else None
    named = [scored for scored in runs if scored.run.run == wanted]
    fitting = named or [run for run in runs if run.run.folder.startswith(wanted.rstrip("/").rpartition("/")[2])]
    if not fitting:
        raise UserError(f"there is no run {wanted!r}; there are {', '.join(scored.run.folder for scored in runs)}")
    return fitting[-2] if len(fitting) > 1 and fitting[-1] is runs[-1] else fitting[-1]


def rows(runs: Iterable[Scored]) -> list[Row]:
    """All labels of any run, sorted, then micro and macro."""
    labels = {label for scored in runs for label in scored.metrics.labels}
    return [*(Row("label", label) for label in sorted(labels)), Row("micro", ""), Row("macro", "")]


def f1(scored: Scored, row: Row) -> float | None:
    """The F1 of a run in a row; None if it is undefined or the run does not know the label."""
    if row.kind == "label":
        score = scored.metrics.labels.get(row.name)
        return score.f if score else None
    return scored.metrics.micro.f if row.kind == "micro" else scored.metrics.macro.f


def is_same_test(run: Run, baseline: Run, row: Row) -> bool:
    """Whether two runs are scored on the same texts with the same gold; over all labels, if all of them are."""
    if row.kind == "label":
        return row.name in run.tests and run.tests[row.name] == baseline.tests.get(row.name)
    return run.tests == baseline.tests


def delta(scored: Scored, baseline: Scored, row: Row) -> float | None:
    """What a run is ahead in F1; None where that cannot be said."""
    mine, theirs = f1(scored, row), f1(baseline, row)
    if mine is None or theirs is None or not is_same_test(scored.run, baseline.run, row):
        return None
    return round(mine - theirs, 6)


# The file


def to_csv(runs: Sequence[Scored], baseline: Scored | None) -> bytes:
    """All runs by time, a line for each run and row; empty where a value is undefined."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_COLUMNS)
    wanted = rows(runs)
    for scored in runs:
        lines.writerows(_line(scored, baseline, row) for row in wanted if row.kind != "label" or _has(scored, row.name))
    return text.getvalue().encode()


def _has(scored: Scored, label: str) -> bool:
    return label in scored.metrics.labels


def _line(scored: Scored, baseline: Scored | None, row: Row) -> list[object]:
    score = scored.metrics.labels[row.name] if row.kind == "label" else scored.metrics.micro
    counts = [getattr(score, name) for name in ("p", "r", "f", "support", "tp", "fp", "fn", "texts")]
    if row.kind == "macro":
        counts = [None, None, f1(scored, row), *[None] * 5]
    compared: list[object] = ["", "", ""]
    if baseline:
        same = is_same_test(scored.run, baseline.run, row)
        compared = [baseline.run.folder, "yes" if same else "no", delta(scored, baseline, row)]
    return [scored.run.folder, scored.run.time, *row, *counts, *compared]


# The screen


def print_comparison(console: Console, runs: Sequence[Scored], baseline: Scored | None) -> None:
    """F1 of the last runs, and of the baseline; how far they are from it; what was not compared, and why."""
    shown = _shown(runs, baseline)
    table = Table("label", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for scored in shown:
        table.add_column(_heading(scored, baseline), justify="right", no_wrap=len(scored.run.folder) <= 14)
    for row in rows(shown):
        cells = (_cell(scored, baseline, row) for scored in shown)
        name = escape(row.name) if row.kind == "label" else row.kind
        table.add_row(name, *cells, style="" if row.kind == "label" else "bold")
    console.print(table)
    console.print()
    for note in notes(shown, runs, baseline):
        console.print(note, markup=False, highlight=False)


def _shown(runs: Sequence[Scored], baseline: Scored | None) -> list[Scored]:
    last = list(runs[-MOST_RUNS:])
    if baseline is None or baseline in last:
        return last
    return [baseline, *last[1:]]


def _heading(scored: Scored, baseline: Scored | None) -> str:
    time = scored.run.time[5:16].replace("T", " ")
    return f"{escape(scored.run.folder)}\n{time}\n{'baseline' if scored is baseline else ''}"


def _cell(scored: Scored, baseline: Scored | None, row: Row) -> str:
    value = ratio(f1(scored, row))
    if baseline is None or scored is baseline:
        return value
    if value != "–" and not is_same_test(scored.run, baseline.run, row):
        return f"{value}   n/c"
    ahead = delta(scored, baseline, row)
    return f"{value} {ratio(ahead, sign=True) if ahead is not None else '':>5}"


def notes(shown: Sequence[Scored], runs: Sequence[Scored], baseline: Scored | None) -> Iterator[str]:
    """What a reader of the table should know, a line each."""
    if len(shown) < len(runs):
        yield f"{plural(len(runs) - len(shown), 'earlier run')} not shown; all are in the file."
    if baseline is None:
        yield "There is one run, and nothing to compare it with yet: annotate more, and run again."
        return
    for scored in shown:
        yield from _not_compared(scored, baseline)
    single = [scored for scored in shown if len(scored.run.seeds) == 1]
    if single:
        yield _SEED_NOISE.format(runs="Each run has" if len(single) == len(shown) else _some(len(single)))


def _not_compared(scored: Scored, baseline: Scored) -> Iterator[str]:
    if scored.run.tests == baseline.run.tests:
        return
    labels = [row.name for row in rows([scored])[:-2] if not is_same_test(scored.run, baseline.run, row)]
    new = [label for label in labels if label not in baseline.run.tests]
    other = [label for label in labels if label in baseline.run.tests]
    gone = [label for label in baseline.run.tests if label not in scored.run.tests]
    parts = (
        (other, "scored on other texts, or with other gold, than in the baseline"),
        (new, "not in the baseline"),
        (gone, "of the baseline not in this run"),
    )
    said = "; ".join(f"{plural(len(found), 'label')} {why} ({listed(found)})" for found, why in parts if found)
    yield f"n/c: {scored.run.folder} cannot be compared in micro and macro: {said}."


def _some(number: int) -> str:
    return f"{number} of these runs {'has' if number == 1 else 'have'}"
