"""Simulated weeks of annotation: the queue beside random sampling, a new model each week.

    python -m benchmarks.weeks --data ../shared/data              # three seeds, two corpora: an hour on one core

It starts from complete corpora of which a tenth of each label's annotations is kept. Each week so many texts are
annotated for each label, as the corpus has them; a model is trained on all covered labels, and tested on texts that
are annotated completely. Simulations of the same code are cached in benchmarks/data/weeks.jsonl. It writes
benchmarks/results/weeks.json.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import partial
from benchmarks.corpora import CORPORA, Splits, text
from benchmarks.measure import machine, use_one_thread, write_results
from scripts.core.answers import GoldText, Span
from scripts.core.files import code_digest
from scripts.core.texts import fraction

CACHE = Path("benchmarks/data/weeks.jsonl")
_CODE = (Path("scripts/model/label_heads.py"), Path("scripts/model/thresholds.py"), Path("configs/ner.cfg"))
_RANKING = Path("scripts/queueing/candidates.py")
RANDOM, QUEUE = "random", "queue"
MORE = "more"
START = 0.1
WEEKS = 5


class Schedule(NamedTuple):
    """Of a corpus: texts a label that are annotated in a week, and texts to choose from."""

    a_week: int
    texts: int


PLANS = {"addresses": Schedule(40, 2**30), "lines": Schedule(80, 2400)}


class Job(NamedTuple):
    """All weeks of one way to choose texts."""

    data: Path
    corpus: str
    way: str
    seed: int
    steps: int
    weeks: int = WEEKS


class Point(NamedTuple):
    """After a week, by label: annotated texts and words since the start, and F1 on the test texts."""

    texts: dict[str, int]
    words: dict[str, int]
    f: dict[str, float]
    micro: float


def lines(data: Path) -> Splits:
    """The wet lab protocols, a text a line."""
    return {
        split: [part for gold in found for part in _lines(gold)] for split, found in CORPORA["protocols"](data).items()
    }


def _lines(gold: GoldText) -> Iterable[GoldText]:
    start = 0
    for line in gold.text.splitlines(keepends=True):
        words, end = line.rstrip(), start + len(line.rstrip())
        inside = (span for span in gold.spans if start <= span.start and span.end <= end)
        spans = [Span(span.start - start, span.end - start, span.label) for span in inside]
        if words.strip():
            yield text(words, spans, gold.covered)
        start += len(line)


def corpus(job: Job) -> Splits:
    """Texts without repeats; of the training texts, as many as the schedule says, by hash."""
    splits = {"lines": lines, **CORPORA}[job.corpus](job.data)
    splits = {split: list({gold.text: gold for gold in found}.values()) for split, found in splits.items()}
    rest = {gold.text for split in ("dev", "test") for gold in splits[split]}
    pool = sorted((gold for gold in splits["train"] if gold.text not in rest), key=lambda gold: fraction(gold.text))
    return {**splits, "train": pool[: PLANS[job.corpus].texts], "dev": splits["dev"][:300]}


def simulate(job: Job, started: dict[str, Any]) -> list[Point]:
    """Run one simulation: the start, and each week.

    started (dict): The first model and its scores, which all ways share; filled by the first.
    """
    splits = corpus(job)
    complete = splits["train"]
    labels = sorted({label for gold in complete for label in gold.covered if _support(complete, label) >= 20})
    covered = [set(gold.covered) & set(labels) for gold in partial.thin(complete, START, job.seed)]
    dev = [_about(gold, set(labels)) for gold in partial.thin(splits["dev"], 0.5, job.seed)]
    test = [_about(gold, set(labels)) for gold in splits["test"]]
    spent = {what: dict.fromkeys(labels, 0) for what in ("texts", "words")}
    points: list[Point] = []
    nlp: Any = None
    for week in range(job.weeks + 1):
        if nlp:
            for label, numbers in _ask(job, nlp, complete, covered, labels, week).items():
                for number in numbers:
                    covered[number].add(label)
                spent["texts"][label] += len(numbers)
                spent["words"][label] += sum(len(complete[number].text.split()) for number in numbers)
        if not week and started:
            nlp, f, micro = started["nlp"], started["f"], started["micro"]
        else:
            nlp, f, micro = _learn(job, complete, covered, labels, dev, test)
            if not week:
                started.update(nlp=nlp, f=f, micro=micro)
        points.append(Point(dict(spent["texts"]), dict(spent["words"]), f, micro))
        print(f"{job.corpus}, {job.way}, seed {job.seed}, week {week}: {micro:.3f}", flush=True)
    return points


def _support(gold: Iterable[GoldText], label: str) -> int:
    return sum(span.label == label for each in gold for span in each.spans)


def _about(gold: GoldText, labels: set[str]) -> GoldText:
    covered = labels & set(gold.covered)
    return text(gold.text, (span for span in gold.spans if span.label in covered), covered)


def _learn(
    job: Job,
    complete: list[GoldText],
    covered: list[set[str]],
    labels: list[str],
    dev: list[GoldText],
    test: list[GoldText],
) -> tuple[Any, dict[str, float], float]:
    """Train a new model on what is covered, tune, and test."""
    from scripts.model.label_heads import prf

    gold = [_about(gold, own) for gold, own in zip(complete, covered, strict=True) if own]
    nlp = partial.train(partial.Job(job.data, job.corpus, partial.HEADS, 1.0, job.seed, job.steps), gold, labels)
    counts = partial.test(partial.tune(nlp, dev, labels), test, labels)
    f = {label: prf(*counts[label])["f"] or 0.0 for label in labels if label in counts}
    return nlp, f, prf(*(sum(column) for column in zip(*counts.values(), strict=True)))["f"] or 0.0


def _ask(
    job: Job, nlp: Any, complete: list[GoldText], covered: list[set[str]], labels: list[str], week: int
) -> dict[str, list[int]]:
    """Numbers of the texts to annotate this week, by label."""
    a_week = PLANS[job.corpus].a_week
    order = list(range(len(complete)))
    random.Random(f"{job.seed} {week}").shuffle(order)
    free = {label: [number for number in order if label not in covered[number]] for label in labels}
    if job.way == RANDOM:
        return {label: numbers[:a_week] for label, numbers in free.items()}
    return _most_informative(nlp, complete, free, a_week)


def _most_informative(
    nlp: Any, complete: list[GoldText], free: dict[str, list[int]], a_week: int
) -> dict[str, list[int]]:
    from scripts.model.label_heads import calibration_array, tag_probabilities
    from scripts.queueing import candidates

    pipe = nlp.get_pipe("label_heads")
    calibration = calibration_array(pipe.labels, pipe.calibration)
    docs = [nlp.make_doc(gold.text) for gold in complete]
    entropies = []
    for start in range(0, len(docs), 256):
        batch = docs[start : start + 256]
        found = candidates.entropy(tag_probabilities(pipe.scores(batch).astype("float64"), calibration))
        ends = list(itertools.accumulate(map(len, batch), initial=0))
        entropies += [found[first:last] for first, last in itertools.pairwise(ends)]
    chosen = {}
    for column, label in enumerate(pipe.labels):
        words = [
            candidates.by_word([token.text for token in docs[number]], entropies[number][:, column].tolist())
            for number in free[label]
        ]
        chosen[label] = [free[label][number] for number, _ in itertools.islice(candidates.choose(words), a_week)]
    return chosen


def monotone(values: Sequence[float]) -> list[float]:
    """The nearest rising curve: values fall by noise alone.

    Pool adjacent violators: https://en.wikipedia.org/wiki/Isotonic_regression
    """
    blocks: list[list[float]] = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    return [fmean(block) for block in blocks for _ in block]


def needed(spent: Sequence[float], f: Sequence[float], target: float) -> float:
    """Annotation that reached an F1, interpolated between the weeks; infinite if it was never reached."""
    for number, reached in enumerate(f):
        if reached >= target:
            if not number:
                return spent[0]
            share = (target - f[number - 1]) / (reached - f[number - 1])
            return spent[number - 1] + share * (spent[number] - spent[number - 1])
    return float("inf")


def compare(found: dict[str, list[list[Point]]]) -> list[dict[str, Any]]:
    """Texts and words that the queue needs for the final F1 of random sampling, as shares of what that needed.

    By label, and for all labels together. Curves are means over seeds, made monotone. "more": the queue does not reach
    that F1. None: F1 did not rise with one of them.
    """
    labels = sorted(found[RANDOM][0][0].f)
    return [_compare(found, label) for label in [*labels, "micro"]]


def _compare(found: dict[str, list[list[Point]]], label: str) -> dict[str, Any]:
    curves, spent = {}, {}
    for way, runs in found.items():
        weeks = list(zip(*runs, strict=True))
        curves[way] = monotone([fmean(p.micro if label == "micro" else p.f[label] for p in week) for week in weeks])
        for what in ("texts", "words"):
            spent[way, what] = [fmean(_spent(getattr(p, what), label) for p in week) for week in weeks]
    target = curves[RANDOM][-1]
    row: dict[str, Any] = {"label": label, "start": round(curves[RANDOM][0], 4)}
    row |= {f"{way} f": round(curve[-1], 4) for way, curve in curves.items()}
    for what in ("texts", "words"):
        mine, theirs = (needed(spent[way, what], curves[way], target) for way in (QUEUE, RANDOM))
        row[what] = None if not theirs or not mine else round(mine / theirs, 3) if mine < float("inf") else MORE
    return row


def _spent(by_label: dict[str, int], label: str) -> int:
    return sum(by_label.values()) if label == "micro" else by_label[label]


def show(console: Console, name: str, rows: list[dict[str, Any]]) -> None:
    """Print a table."""
    table = Table(name, *list(rows[0])[1:], box=None)
    for row in rows:
        table.add_row(
            row["label"], *("–" if v is None else v if v == MORE else f"{v:.3f}" for v in list(row.values())[1:])
        )
    console.print(table)


def _key(job: Job) -> str:
    code = _CODE if job.way == RANDOM else (*_CODE, _RANKING)
    what = [*job._replace(data=Path()), PLANS[job.corpus], code_digest(*code)]
    return hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()


def _cached() -> dict[str, list[Point]]:
    found = (json.loads(line) for line in (CACHE.read_text("utf8").splitlines() if CACHE.exists() else []))
    return {each["key"]: [Point(*point) for point in each["points"]] for each in found}


def run(jobs: Iterable[Job]) -> dict[Job, list[Point]]:
    """Run simulations that are not cached, in turn. All ways of a corpus and seed start from one model."""
    done, cached = {}, _cached()
    started: dict[tuple[str, int], dict[str, Any]] = defaultdict(dict)
    for job in jobs:
        if _key(job) not in cached:
            cached[_key(job)] = simulate(job, started[job.corpus, job.seed])
            CACHE.parent.mkdir(exist_ok=True)
            with CACHE.open("a", encoding="utf8") as file:
                file.write(json.dumps({"key": _key(job), "job": job, "points": cached[_key(job)]}, default=str) + "\n")
        done[job] = cached[_key(job)]
    return done


def main() -> None:
    """Run all simulations, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--corpora", nargs="+", default=list(PLANS), choices=list(PLANS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=250)
    args = parser.parse_args()
    use_one_thread()
    jobs = [
        Job(args.data, corpus, way, seed, args.steps)
        for corpus in args.corpora
        for seed in range(args.seeds)
        for way in (RANDOM, QUEUE)
    ]
    done = run(jobs)
    console = Console()
    tables = {}
    for name in args.corpora:
        own = {way: [done[job] for job in jobs if job.corpus == name and job.way == way] for way in (RANDOM, QUEUE)}
        tables[name] = compare(own)
        show(console, name, tables[name])
    plans = {name: PLANS[name]._asdict() for name in args.corpora}
    result = {"steps": args.steps, "seeds": args.seeds, "weeks": WEEKS, "start": START, "plans": plans}
    write_results("weeks", result | {"machine": machine(), "needed": tables})


if __name__ == "__main__":
    main()
