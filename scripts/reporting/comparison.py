"""What a reader of a comparison should know, a sentence each.

The comparison for other programs, and for a merge request.

Runs side by side on one screen: all of them in short, and the newest beside its baseline in full.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from scripts.reporting.console import escape_markdown, listed, plural, ratio
from scripts.scoring.compared import Changed, Compared, Comparisons, Differences
from scripts.scoring.comparison import BETTER, BEYOND, NOT_COMPARABLE, WORSE, Change
from scripts.scoring.metrics import Score
from scripts.scoring.runs import Scored

_MOST = 12  # values of a config


def differs(compared: Compared) -> Iterator[str]:
    """What the run is made of that the baseline is not."""
    found = compared.differences
    lines = [*_data(found), *_labels(found), *_made_by(found)]
    yield from lines or ["Nothing differs: the same data, config, code, versions and seeds."]


def _data(found: Differences) -> Iterator[str]:
    if found.data is None:
        yield "Data: one of the models does not say what it was trained on."
    elif found.data:
        more = [f"{found.texts:+,} texts to train on"] if found.texts else []
        more += [f"known in {_signed(found.covered)} texts"] if found.covered else []
        more += [f"{_signed(found.entities)} entities"] if found.entities else []
        yield f"Data: {'; '.join(more) or 'another corpus, of as many texts and entities'}."


def _signed(numbers: Mapping[str, int]) -> str:
    ordered = sorted(numbers.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    return listed(f"{label} {more:+,}" for label, more in ordered)


def _labels(found: Differences) -> Iterator[str]:
    parts = (
        (found.added, "new"), (found.removed, "no longer there"),
        (found.test, "scored on other texts, or with other gold"),
    )  # fmt: skip
    for labels, what in parts:
        if labels:
            yield f"Labels: {plural(len(labels), 'label')} {what} ({listed(labels)})."


def _made_by(found: Differences) -> Iterator[str]:
    if found.config:
        yield f"Config: {_values(found.config)}."
    if found.code:
        yield "Code: what trains is another."
    if found.versions:
        yield f"Versions: {_values(found.versions)}."
    if found.seeds:
        before, after = (", ".join(map(str, seeds)) for seeds in found.seeds)
        yield f"Seeds: {before} → {after}."


def _values(changed: Sequence[Changed]) -> str:
    return listed((f"{one.name} {_value(one.before)} → {_value(one.after)}" for one in changed), _MOST)


def _value(value: str | None) -> str:
    return "(none)" if value is None else value


def notes(compared: Compared, found: Comparisons) -> Iterator[str]:
    """On what it was compared, and how sure that is."""
    changes = compared.changes
    if not changes.is_whole:
        shared = f"{plural(changes.micro.texts, 'text')} and {plural(changes.micro.support, 'entity', 'entities')}"
        yield f"The runs were not scored on all the same texts with the same gold: compared are {shared} they share."
    missing = [label for label, change in changes.labels.items() if change.verdict == NOT_COMPARABLE]
    if missing:
        yield f"Not comparable: {plural(len(missing), 'label')} without a common text ({listed(missing)})."
    worked_on = sorted({*compared.differences.covered, *compared.differences.entities})
    if worked_on and len(worked_on) < len(changes.labels):
        whose = "its annotations are" if len(worked_on) == 1 else "their annotations are"
        yield f"Tested apart from the others, since {whose} not the same: {listed(worked_on)}."
    single = [seeds for seeds in (compared.seeds, compared.baseline_seeds) if seeds == 1]
    if single:
        who = "Both runs have" if len(single) == 2 else "One of the runs has"
        yield f"{who} one seed: a change can be larger than seed noise, but to be sure takes more: --vars.seeds 3."
    if found.noise_seeds:
        yield f"Seed noise was measured with {found.noise_seeds} seeds (metrics/noise.json)."
    elif single:
        yield "Seed noise is taken to be what is usual; to measure yours, once: weasel run noise-floor."


_SCORES = ("p", "r", "f", "low", "high", "support", "tp", "fp", "fn", "texts")
_CHANGE = ("before", "delta", "low", "high", "chance", "verdict", "support", "texts")
_HEAD = [
    "run", "time", "seeds", "row", "name", *_SCORES, "known_in", "baseline",
    *(f"compared_{name}" if name in _SCORES else name for name in _CHANGE),
]  # fmt: skip


def mark(change: Change | None) -> str:
    """▲ or ▼ where a change is more than noise."""
    if change is None or change.delta is None or change.verdict not in (BETTER, WORSE, BEYOND):
        return ""
    return "▲" if change.delta > 0 else "▼"


def to_csv(runs: Sequence[Scored], found: Comparisons) -> bytes:
    """All runs by time, a line for each run and row; empty where a value is undefined, or a run was not compared."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_HEAD)
    for scored in runs:
        lines.writerows(_lines(scored, found.baseline, found.of(scored)))
    return text.getvalue().encode()


def _lines(scored: Scored, baseline: str | None, compared: Compared | None) -> Iterator[list[object]]:
    run, metrics = scored.run, scored.metrics
    changes = compared.changes if compared else None
    known = run.trained.covered if run.trained else {}
    head = [run.folder, run.time, len(run.seeds)]
    for label, score in metrics.labels.items():
        change = changes.labels.get(label) if changes else None
        yield [*head, "label", label, *_scores(score), known.get(label), *_change(baseline, change)]
    yield [*head, "micro", "", *_scores(metrics.micro), None, *_change(baseline, changes.micro if changes else None)]
    macro = [None, None, metrics.macro.f, metrics.macro.low, metrics.macro.high, *[None] * 5]
    yield [*head, "macro", "", *macro, None, *_change(baseline, changes.macro if changes else None)]


def _scores(score: Score) -> list[object]:
    return [getattr(score, name) for name in _SCORES]


def _change(baseline: str | None, change: Change | None) -> list[object]:
    return [baseline, *(getattr(change, name) for name in _CHANGE)] if change else [None] * (len(_CHANGE) + 1)


def to_markdown(runs: Sequence[Scored], found: Comparisons) -> str:
    """The newest of the compared runs beside the baseline, as a comment to a merge request."""
    if not found.runs:
        return "There is one run, and nothing to compare it with yet.\n"
    compared = found.runs[-1]
    scored = next(each for each in runs if each.run.folder == compared.run)
    known = scored.run.trained.covered if scored.run.trained else {}
    changes = compared.changes
    lines = [
        f"### `{compared.run}` compared with `{found.baseline}`",
        "",
        "| label | F before | F | change | 95 % interval | verdict | entities | known in |",
        "|---|---:|---:|---:|---:|---|---:|---:|",
        *(_row(escape_markdown(label), change, known.get(label)) for label, change in changes.labels.items()),
        _row("**micro**", changes.micro, None),
        _row("**macro**", changes.macro, None),
        "",
        *(f"- {escape_markdown(line)}" for line in [*differs(compared), *notes(compared, found)]),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, change: Change, known: int | None) -> str:
    cells = [
        name, ratio(change.before), ratio(change.f), ratio(change.delta, sign=True), span(change),
        f"{mark(change)} {change.verdict}".strip(), f"{change.support:,}", f"{known:,}" if known is not None else "",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def span(change: Change) -> str:
    """`-.021 … +.043`, or a dash."""
    return "–" if change.low is None else f"{ratio(change.low, sign=True)} … {ratio(change.high, sign=True)}"


MOST_RUNS = 4  # that fit 80 columns
_WIDE = 92  # columns, from which there is room for more


def print_comparison(console: Console, shown: Sequence[Scored], found: Comparisons) -> None:
    """F of the runs, then what changed in the newest of those that were compared, and why."""
    if len(shown) != 2 or not found.runs:
        _print_runs(console, shown, found)
    if not found.runs:
        console.print("There is one run, and nothing to compare it with yet: annotate more, and run again.")
        return
    compared = found.runs[-1]
    scored = next(each for each in shown if each.run.folder == compared.run)
    console.print(f"{compared.run}, compared with {found.baseline}:\n")
    _print_changes(console, compared, scored)
    for title, lines in (("What differs", differs(compared)), ("To bear in mind", notes(compared, found))):
        sentences = list(lines)
        if sentences:
            console.print(f"\n{title}", style="bold")
        for line in sentences:
            console.print(f"- {line}")
    console.print()


def _print_runs(console: Console, shown: Sequence[Scored], found: Comparisons) -> None:
    table = Table("F", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for scored in shown:
        table.add_column(_heading(scored, found), justify="right", no_wrap=len(scored.run.folder) <= 14)
    for label in sorted({label for scored in shown for label in scored.metrics.labels}):
        table.add_row(label, *(_cell_of(scored, found, label) for scored in shown))
    for name in ("micro", "macro"):
        table.add_row(name, *(_cell_of_all(scored, found, name) for scored in shown), style="bold")
    console.print(table)
    if any(mark(change) for one in found.runs for change in one.changes.labels.values()):
        console.print("▲ ▼ more than noise, compared with the baseline on the texts both are scored on")
    console.print()


def _heading(scored: Scored, found: Comparisons) -> str:
    time = scored.run.time[5:16].replace("T", " ")
    return f"{scored.run.folder}\n{time}\n{'baseline' if scored.run.folder == found.baseline else ''}"


def _cell_of(scored: Scored, found: Comparisons, label: str) -> str:
    score, compared = scored.metrics.labels.get(label), found.of(scored)
    return _cell(score.f if score else None, compared.changes.labels.get(label) if compared else None)


def _cell_of_all(scored: Scored, found: Comparisons, name: str) -> str:
    compared = found.of(scored)
    return _cell(getattr(scored.metrics, name).f, getattr(compared.changes, name) if compared else None)


def _cell(f: float | None, change: Change | None) -> str:
    return f"{mark(change)} {ratio(f)}".strip()


def _print_changes(console: Console, compared: Compared, scored: Scored) -> None:
    wide = console.width >= _WIDE
    heads = ("label", "before", "F", "change", "95 % interval", "verdict")
    table = Table(*heads, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("support", "known in") if wide else ("support",):
        table.add_column(name)
    table.columns[0].overflow = "fold"
    for column in (*table.columns[1:5], *table.columns[6:]):
        column.justify, column.no_wrap = "right", True
    known = scored.run.trained.covered if scored.run.trained else {}
    for label, change in compared.changes.labels.items():
        cells = _cells(change, f"{known[label]:,}" if label in known else "–")
        table.add_row(label, *cells[: len(table.columns) - 1], style="bold" if mark(change) else "")
    for name, change in (("micro", compared.changes.micro), ("macro", compared.changes.macro)):
        table.add_row(name, *_cells(change, "")[: len(table.columns) - 1], style="bold")
    console.print(table)


def _cells(change: Change, known: str) -> list[str]:
    return [
        ratio(change.before), ratio(change.f), ratio(change.delta, sign=True), span(change), change.verdict,
        f"{change.support:,}", known,
    ]  # fmt: skip
