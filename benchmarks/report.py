"""The report of many runs, beside comparing all of them anew.

    python -m benchmarks.report

Runs with invented entities and predictions, with all that the page can show. The obvious way is to read what every run
counted, and compare it with the baseline, when the page is made; the report leaves that to `compare`, which does it for
the last runs. It writes benchmarks/results/report.json.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from scripts.checking import consistency, coverage
from scripts.core.answers import Span, Task
from scripts.core.files import write_json
from scripts.core.hashing import input_hash
from scripts.core.manifest import Entry, Manifest
from scripts.merging.merge import Resources, merge
from scripts.model.label_heads import Known
from scripts.page.inputs import load
from scripts.page.page import render
from scripts.queueing import recommendation as deciding
from scripts.reporting.comparison import MOST_RUNS
from scripts.scoring import compared
from scripts.scoring import learning_curve as curve
from scripts.scoring.counts import Counts, Tally, digests
from scripts.scoring.evaluation import Findings
from scripts.scoring.examples import Examples
from scripts.scoring.metrics import metrics
from scripts.scoring.runs import Code, Confusion, Data, Evaluated, Run, Trained, TrainingConfig, load_all, save

OUTPUT = Path("benchmarks/results/report.json")
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
    baseline = compared.choose_baseline(scored, None)
    found = compared.compare_runs(folder / "metrics", scored[-MOST_RUNS:], baseline)
    write_json(folder / "metrics" / compared.NAME, found)
    shares = [0.25, 0.5, 1.0]
    counts = [_counted(9, corpus, gold, labels, 0.5 + share / 4)[0] for share in shares]
    parts = [curve.Part(share, int(900 * share), {}, each) for share, each in zip(shares, counts, strict=True)]
    write_json(folder / "metrics" / curve.NAME, curve.curve("ner", "d" * 64, parts, None))
    _review(folder, corpus, gold)
    _write_coverage(folder / "corpus", labels)


def _review(folder: Path, corpus: Sequence[str], gold: Sequence[Gold]) -> None:
    """Two annotators answered about these texts, of which one overlooked the first entity of every third."""
    tasks = []
    for number, (text, ranges) in enumerate(zip(corpus, gold, strict=True)):
        spans = sorted(Span(*each, label) for label, found in ranges.items() for each in found)
        for who, own in (("ana", spans), ("ben", spans[number % 3 == 0 :])):
            labels = sorted({span.label for span in spans})
            tasks.append(
                Task(
                    input_hash=input_hash(text), text=text, labels=labels, spans=own, answer="accept", kind="manual",
                    annotator=who, timestamp=1_700_000_000 + 86_400 * number + len(who) * number, dataset="both",
                    source=f"link:{2 * number + (who == 'ben')}", meta={},
                )
            )  # fmt: skip
    tasks.sort(key=lambda task: task.input_hash)
    content = msgspec.json.Encoder().encode_lines(tasks)
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations" / "both.jsonl").write_bytes(content)
    names = sorted({label for task in tasks for label in task.labels})
    spans_read = sum(len(task.spans) for task in tasks)
    counts = {"read": len(tasks), "kept": len(tasks), "other_labels": 0, "skipped": 0, "answers": len(tasks)}
    of_spans = {"read": spans_read, "kept": spans_read, "other_labels": 0, "skipped": 0}
    entry = Entry(
        file="both.jsonl", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), labels=names,
        records=counts, spans=of_spans, reasons={}, notes={},
    )  # fmt: skip
    manifest = Manifest({"both": entry})
    merge(manifest, folder / "annotations", folder / "corpus", "union", Resources(256, 1))
    consistency.check(folder / "corpus", folder / "annotations", manifest, 1)
    coverage.look(folder / "corpus", folder / "annotations", manifest, 1)
    deciding.decide(folder / "corpus", folder / "metrics")


def _spans(text: str, labels: Sequence[str], random_: random.Random) -> Gold:
    """About six of any labels; those of different labels may overlap."""
    starts = [0, *(place + 1 for place, c in enumerate(text) if c == " ")]
    found: Gold = {}
    for place in random_.sample(range(len(starts) - 3), 6):
        end = starts[place + random_.randrange(1, 4)] - 1
        taken = found.setdefault(random_.choice(labels), [])
        if all(end <= other[0] or other[1] <= starts[place] for other in taken):
            taken.append((starts[place], end))
    return found


def _counted(
    seed: int,
    corpus: Sequence[str],
    gold: Sequence[Gold],
    labels: Sequence[str],
    right: float,
) -> tuple[Counts, Findings, Examples]:
    """What a model scores that finds this share of the entities, and others besides."""
    random_ = random.Random(seed)
    tally, findings, examples = Tally(labels), Findings(len(labels), dict.fromkeys(labels, WORDS)), Examples()
    for text, spans in zip(corpus, gold, strict=True):
        known = {label: Known(frozenset(spans.get(label, ())), [(0, len(text))], True) for label in labels}
        predicted: Gold = {}
        for label, ranges in sorted(spans.items()):
            for start, end in ranges:
                if random_.random() < right:
                    predicted.setdefault(label, []).append((start, end))
                elif random_.random() < 0.7:
                    predicted.setdefault(random_.choice(labels), []).append((start, end - random_.randrange(2)))
        if random_.random() < 0.2:
            predicted.setdefault(random_.choice(labels), []).append((0, text.index(" ")))
        tally.add(text, known, {label: set(ranges) for label, ranges in predicted.items()})
    chunk = tally.flush()
    findings.add(chunk, tally.labels)
    examples.add(chunk, tally.labels)
    return tally.counts(), findings, examples


def _run(number: int, corpus: Sequence[str], gold: Sequence[Gold], labels: Sequence[str]) -> Evaluated:
    counts, findings, examples = _counted(number, corpus, gold, labels, 0.6 + number / 300)
    covered = {label: 400 + 31 * place for place, label in enumerate(counts.labels)}
    config = CONFIG.format(dropout=0.1 + number / 1000)
    run = Run(
        run="ner", digest=f"{number:08}" * 8, time=f"2026-01-{1 + number // 24:02}T{number % 24:02}:00:00Z", seeds=[0],
        data=Data("d" * 64, "d" * 64), code=Code("c" * 64, "c" * 64, "b" * 40, ["configs/ner.cfg"]), models={"0": "m"},
        model_bytes=4_000_000, versions={"training": {"python": "3.11", "spacy": "3.8.7"}}, tests=digests(counts),
        config=TrainingConfig(f"{number:064}", config), trained=Trained(1_000, covered, covered),
        words_per_second={"0": 9_000 + number},
    )  # fmt: skip
    confusion = Confusion(counts.labels, {"0": findings.confusion.tolist()})
    return Evaluated(run, metrics(counts, [findings]), counts, confusion, examples.all())


def _write_coverage(corpus: Path, labels: Sequence[str]) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    with (corpus / "coverage.csv").open("w", encoding="utf8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("label", "dataset", "texts", "covered", "partly_covered", "unresolved", "not_covered", "spans"))
        for place, label in enumerate(sorted(labels)):
            rows.writerow((label, "*", 2_000, 800 + 10 * place, 30, 10, 1_160 - 10 * place, 900))
            rows.writerow((label, f"set {label}", "", 800 + 10 * place, "", "", "", 900))


def main() -> None:
    """Generate, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--texts", type=int, default=1_000, help="to test with")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, args.runs, texts=args.texts)
        began = time.perf_counter()
        page = render(load(folder / "metrics", folder / "corpus", with_texts=True))
        inside = time.perf_counter() - began
        began = time.perf_counter()
        step = ["-m", "scripts.report", str(folder / "metrics"), "--corpus", str(folder / "corpus")]
        subprocess.run([sys.executable, *step], check=True, capture_output=True)
        whole = time.perf_counter() - began
        scored, _ = load_all(folder / "metrics")
        began = time.perf_counter()
        compared.compare_runs(folder / "metrics", scored, scored[-2])
        anew = time.perf_counter() - began
    result = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "runs": args.runs, "labels": len(LABELS), "texts": args.texts, "megabytes": round(len(page) / 1e6, 3),
        "reading_and_rendering_s": round(inside, 2), "step_s": round(whole, 2), "comparing_all_anew_s": round(anew, 2),
    }  # fmt: skip
    Console().print(
        f"the report of {args.runs} runs × {len(LABELS)} labels: {result['megabytes']} MB in {result['step_s']} s, "
        f"{result['reading_and_rendering_s']} s of it reading and rendering; comparing all runs anew would add "
        f"{result['comparing_all_anew_s']} s"
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n", "utf8")


if __name__ == "__main__":
    main()
