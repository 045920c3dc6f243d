"""The report of many runs, beside comparing all of them.

    python -m benchmarks.report

Runs with synthetic entities and predictions, and all sections of the page. The usual way is to compare the counts of
every run with the baseline when the page is made; the report takes the comparison of the last runs from `compare`. It
writes benchmarks/results/report.json.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.measure import machine, measure, write_results
from scripts.checking import consistency, coverage
from scripts.core.files import sha256, write_json
from scripts.merging.merge import Resources, merge
from scripts.merging.merged import load as merged_record
from scripts.model.label_heads import Covered
from scripts.page.contents import load
from scripts.page.page import render
from scripts.queueing import recommendation as deciding
from scripts.reporting.comparison import MAX_RUNS
from scripts.scoring import comparison
from scripts.scoring import learning_curve as curve
from scripts.scoring.alignment import HIT
from scripts.scoring.counts import Counts, Tally, digests
from scripts.scoring.evaluation import ErrorSums
from scripts.scoring.examples import ErrorExamples
from scripts.scoring.metrics import metrics
from scripts.scoring.reliability import JudgedSpans, ReliabilityDiagrams
from scripts.scoring.runs import (
    Confusion,
    EvaluatedRun,
    Run,
    RunCode,
    RunData,
    TrainingConfig,
    TrainingData,
    load_all,
    save,
)
from tests.annotated import task, write

LABELS = [f"LABEL_{number:02}" for number in range(20)]
WORDS = ["Berlin", "is", "the", "capital", "of", "Germany", "and", "seat", "its", "government", "since", "1999"]
CONFIG = '[nlp]\nlang = "en"\n\n[training]\ndropout = {dropout}\nmax_steps = 900\n'
Gold = dict[str, list[tuple[int, int]]]


def generate(
    folder: Path, runs: int, labels: Sequence[str] = LABELS, texts: int = 150, words: Sequence[str] = WORDS
) -> None:
    """Write metrics/ and corpus/coverage.csv: the same for the same arguments.

    folder (Path): Gets both.
    runs (int), texts (int): How many.
    labels (Sequence[str]): Their names. The last one has no entities.
    words (Sequence[str]): What the texts are made of.
    """
    random_ = random.Random(0)
    corpus = [" ".join(random_.choices(words, k=30)) + f" {number}" for number in range(texts)]
    gold = [_spans(text, labels[:-1], random_) for text in corpus]
    for number in range(runs):
        save(_run(number, corpus, gold, labels), folder / "metrics")
    scored, _ = load_all(folder / "metrics")
    baseline = comparison.choose_baseline(scored, None)
    found = comparison.compare_runs(folder / "metrics", scored[-MAX_RUNS:], baseline)
    write_json(folder / "metrics" / comparison.NAME, found)
    shares = [0.25, 0.5, 1.0]
    counts = [_counted(9, corpus, gold, labels, 0.5 + share / 4)[0] for share in shares]
    parts = [curve.CurvePart(share, int(900 * share), {}, each) for share, each in zip(shares, counts, strict=True)]
    write_json(folder / "metrics" / curve.NAME, curve.curve("ner", "d" * 64, parts, None))
    _review(folder, corpus, gold)
    _write_coverage(folder / "corpus", labels)


def _review(folder: Path, corpus: Sequence[str], gold: Sequence[Gold]) -> None:
    """Answers of two annotators about these texts; one of them missed the first entity of every third text."""
    tasks = []
    for number, (text, ranges) in enumerate(zip(corpus, gold, strict=True)):
        spans = sorted((*each, label) for label, found in ranges.items() for each in found)
        for annotator, own in (("ana", spans), ("ben", spans[number % 3 == 0 :])):
            day = 86_400 * number + len(annotator) * number
            tasks.append(
                task(text, *own, labels={label for *_, label in spans}, annotator=annotator, dataset="both",
                     timestamp=1_700_000_000 + day, source=f"link:{2 * number + (annotator == 'ben')}")
            )  # fmt: skip
    manifest = write(folder / "annotations", tasks)
    merge(manifest, folder / "annotations", folder / "corpus", "union", Resources(256, 1))
    consistency.check(folder / "corpus", folder / "annotations", manifest, 1)
    coverage.check(folder / "corpus", folder / "annotations", manifest, 1)
    deciding.decide(folder / "corpus", folder / "metrics")


def _spans(text: str, labels: Sequence[str], random_: random.Random) -> Gold:
    """About six of any labels; those of different labels may overlap."""
    starts = [0, *(position + 1 for position, c in enumerate(text) if c == " ")]
    found: Gold = {}
    for position in random_.sample(range(len(starts) - 3), 6):
        end = starts[position + random_.randrange(1, 4)] - 1
        taken = found.setdefault(random_.choice(labels), [])
        if all(end <= other[0] or other[1] <= starts[position] for other in taken):
            taken.append((starts[position], end))
    return found


def _counted(
    seed: int,
    corpus: Sequence[str],
    gold: Sequence[Gold],
    labels: Sequence[str],
    right: float,
) -> tuple[Counts, ErrorSums, ErrorExamples, JudgedSpans]:
    """Counts of a model that finds a share of the entities, and spurious ones."""
    random_ = random.Random(seed)
    tally, findings, examples = Tally(labels), ErrorSums(len(labels), dict.fromkeys(labels, WORDS)), ErrorExamples()
    for text, spans in zip(corpus, gold, strict=True):
        covered = {label: Covered(frozenset(spans.get(label, ())), [(0, len(text))], frozenset()) for label in labels}
        predicted: Gold = {}
        for label, ranges in sorted(spans.items()):
            for start, end in ranges:
                if random_.random() < right:
                    predicted.setdefault(label, []).append((start, end))
                elif random_.random() < 0.7:
                    predicted.setdefault(random_.choice(labels), []).append((start, end - random_.randrange(2)))
        if random_.random() < 0.2:
            predicted.setdefault(random_.choice(labels), []).append((0, text.index(" ")))
        tally.add(text, covered, {label: set(ranges) for label, ranges in predicted.items()})
    chunk = tally.flush()
    findings.add(chunk, tally.labels)
    examples.add(chunk, tally.labels)
    is_hit = np.zeros(len(chunk.aligned.predicted), bool)
    is_hit[chunk.aligned.partner[chunk.aligned.kind == HIT]] = True
    judged = JudgedSpans()
    for (_, label, *_), is_right in zip(chunk.aligned.predicted.tolist(), is_hit.tolist(), strict=True):
        judged.add(label, random_.betavariate(6 if is_right else 3, 2), is_right)
    return tally.counts(), findings, examples, judged


def _run(number: int, corpus: Sequence[str], gold: Sequence[Gold], labels: Sequence[str]) -> EvaluatedRun:
    counts, findings, examples, judged = _counted(number, corpus, gold, labels, 0.6 + number / 300)
    covered = {label: 400 + 31 * position for position, label in enumerate(counts.labels)}
    config = CONFIG.format(dropout=0.1 + number / 1000)
    run = Run(
        run="ner", digest=f"{number:08}" * 8, time=f"2026-01-{1 + number // 24:02}T{number % 24:02}:00:00Z", seeds=[0],
        data=RunData("d" * 64, "d" * 64), code=RunCode("c" * 64, "c" * 64, "b" * 40, ["configs/ner.cfg"]),
        models={"0": "m"}, model_bytes=4_000_000, versions={"training": {"python": "3.11", "spacy": "3.8.7"}},
        tests=digests(counts), config=TrainingConfig(f"{number:064}", config),
        trained=TrainingData(1_000, covered, covered),
        words_per_second={"0": 9_000 + number},
    )  # fmt: skip
    confusion = Confusion(counts.labels, {"0": findings.confusion.tolist()})
    diagrams = ReliabilityDiagrams({"0": judged.diagrams(counts.labels)})
    return EvaluatedRun(run, metrics(counts, [findings], [judged]), counts, confusion, examples.all(), diagrams)


def _write_coverage(corpus: Path, labels: Sequence[str]) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    with (corpus / "coverage.csv").open("w", encoding="utf8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("label", "dataset", "texts", "covered", "partly_covered", "unresolved", "not_covered", "spans"))
        for position, label in enumerate(sorted(labels)):
            rows.writerow((label, "*", 2_000, 800 + 10 * position, 30, 10, 1_160 - 10 * position, 900))
            rows.writerow((label, f"set {label}", "", 800 + 10 * position, "", "", "", 900))
    merged = merged_record(corpus)
    merged.outputs["coverage.csv"] = sha256(corpus / "coverage.csv")
    write_json(corpus / "merge.json", merged)


def main() -> None:
    """Generate, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--texts", type=int, default=1_000, help="to test with")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, args.runs, texts=args.texts)
        began = time.perf_counter()
        page = render(load(folder / "metrics", folder / "corpus", with_texts=True))
        inside = time.perf_counter() - began
        step = measure(["python", "-m", "scripts.report", f"{folder}/metrics", "--corpus", f"{folder}/corpus"])
        scored, _ = load_all(folder / "metrics")
        began = time.perf_counter()
        comparison.compare_runs(folder / "metrics", scored, scored[-2])
        comparing = time.perf_counter() - began
    result = {
        "machine": machine(),
        "runs": args.runs, "labels": len(LABELS), "texts": args.texts, "megabytes": round(len(page) / 1e6, 3),
        "reading_and_rendering_s": round(inside, 2), "step_s": round(step.seconds, 2),
        "comparing_all_s": round(comparing, 2),
    }  # fmt: skip
    Console().print(
        f"the report of {args.runs} runs × {len(LABELS)} labels: {result['megabytes']} MB in {result['step_s']} s, "
        f"{result['reading_and_rendering_s']} s of it reading and rendering; comparing all runs would add "
        f"{result['comparing_all_s']} s"
    )
    write_results("report", result)


if __name__ == "__main__":
    main()
