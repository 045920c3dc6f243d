"""Scoring and comparing, beside nervaluate.

    python -m benchmarks.scoring

Synthetic entities and predictions, complete. Both are given the same entities, each in the form it takes; the time of
making that form is not counted, that of reading it is. It writes benchmarks/results/scoring.json.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from nervaluate.evaluator import Evaluator
from rich.console import Console

from benchmarks.measure import machine, write_results
from scripts.scoring.alignment import align
from scripts.scoring.changes import compare_counts
from scripts.scoring.counts import Counts, count, rows

LABELS = 20
_POSITIONS = 30  # of a text, four characters each
Spans = list[tuple[int, int, int]]


def generate(texts: int, seed: int) -> tuple[list[Spans], list[Spans]]:
    """Entities and predictions (label, start, end) of texts: about five each, a quarter of them wrong somehow."""
    random_ = random.Random(seed)
    gold, predicted = [], []
    for _ in range(texts):
        positions = sorted(random_.sample(range(_POSITIONS), random_.randrange(3, 8)))
        spans = [(random_.randrange(LABELS), 4 * position, 4 * position + 3) for position in positions]
        gold.append(spans)
        predicted.append([found for span in spans if (found := _prediction(span, random_)) is not None])
    return gold, predicted


def _prediction(span: tuple[int, int, int], random_: random.Random) -> tuple[int, int, int] | None:
    label, start, end = span
    draw = random_.random()
    if draw < 0.75:
        return span
    if draw < 0.83:
        return None
    return (label, start, end - 1) if draw < 0.92 else ((label + 1) % LABELS, start, end)


def ours(gold: list[Spans], predicted: list[Spans]) -> Any:
    """Counts of texts × labels, and kinds of errors."""
    one, other = (rows([(n, *span) for n, spans in enumerate(some) for span in spans]) for some in (gold, predicted))
    return count(align(one, other), len(gold), LABELS)


def timed(work: Callable[[], Any], times: int) -> tuple[Any, float]:
    """The result, and the seconds of the quickest of some calls."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return result, min(seconds)


def scoring(texts: int) -> dict[str, Any]:
    """Both on the same texts; their strict counts must be equal."""
    gold, predicted = generate(texts, 0)
    names = [f"L{number:02}" for number in range(LABELS)]
    dicts = [
        [[{"label": names[label], "start": start, "end": end - 1} for label, start, end in spans] for spans in some]
        for some in (gold, predicted)
    ]
    values, mine = timed(lambda: ours(gold, predicted), 3)
    found, theirs = timed(lambda: Evaluator(*dicts, names, loader="dict").evaluate(), 1)
    for number, name in enumerate(names):
        tp, fp, fn, _ = values.sum(0)[number].tolist()
        strict = found["entities"][name]["strict"]
        assert (tp, tp + fp, tp + fn) == (strict.correct, strict.actual, strict.possible), name
    return {
        "texts": texts, "labels": LABELS, "entities": sum(map(len, gold)), "ours_s": round(mine, 3),
        "nervaluate_s": round(theirs, 3), "times_as_fast": round(theirs / mine, 1),
    }  # fmt: skip


def comparing(texts: int) -> dict[str, Any]:
    """Two runs over the same texts: 1,000 resamples of all labels, paired."""
    values = [ours(*generate(texts, seed)) for seed in (1, 2)]
    names, labels = [f"{number:06}" for number in range(texts)], [f"L{number:02}" for number in range(LABELS)]
    shape = texts, LABELS
    mine, theirs = (
        Counts(names, labels, [0], found[None], np.ones(shape, bool), np.zeros(shape, np.uint32)) for found in values
    )
    _, seconds = timed(lambda: compare_counts(mine, theirs), 3)
    return {"texts": texts, "labels": LABELS, "resamples": 1000, "seconds": round(seconds, 3)}


def main() -> None:
    """Measure both, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=50_000, help="to score")
    parser.add_argument("--compared", type=int, default=10_000, help="to compare on")
    args = parser.parse_args()
    result = {"machine": machine(), "scoring": scoring(args.texts), "comparing": comparing(args.compared)}
    console = Console()
    one, two = result["scoring"], result["comparing"]
    console.print(
        f"scoring {one['texts']:,} texts × {LABELS} labels: {one['ours_s']} s, nervaluate {one['nervaluate_s']} s, "
        f"{one['times_as_fast']} times as fast"
    )
    console.print(f"comparing two runs over {two['texts']:,} texts × {LABELS} labels: {two['seconds']} s")
    write_results("scoring", result)


if __name__ == "__main__":
    main()
