"""The comparison for other programs, and for a merge request."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from scripts.reporting.scores import markdown, ratio
from scripts.reporting.sentences import differs, notes
from scripts.scoring.compared import Compared, Comparisons
from scripts.scoring.comparison import BETTER, BEYOND, WORSE, Change
from scripts.scoring.metrics import Score
from scripts.scoring.runs import Scored

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
        *(_row(markdown(label), change, known.get(label)) for label, change in changes.labels.items()),
        _row("**micro**", changes.micro, None),
        _row("**macro**", changes.macro, None),
        "",
        *(f"- {markdown(line)}" for line in [*differs(compared), *notes(compared, found)]),
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
