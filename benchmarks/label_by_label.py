"""Training one label alone beside training all labels again, after more was annotated for it: F1 and seconds.

    OMP_NUM_THREADS=1 python -m benchmarks.label_by_label --data ../shared/data --folder benchmarks/data  # half an hour

Three labels of a corpus are annotated in half of the texts, all others in all of them, and a model is trained. Then the
other half is annotated too: `train-label` starts from that model, once a label, and `train` from nothing. Both are run
as a user runs them, one after the other, on one core. It writes benchmarks/results/label_by_label.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import spacy
from rich.console import Console
from rich.table import Table
from spacy.tokens import DocBin

from benchmarks.corpora import CORPORA, Splits, text
from benchmarks.measure import measure, write_results
from benchmarks.partial import test, thin
from scripts import functions  # noqa: F401 (registers)
from scripts.building.documents import DocMaker
from scripts.building.splits import Corpus, CorpusShard, SplitName, write_account
from scripts.core.answers import GoldText
from scripts.core.files import sha256

LABELS = {"protocols": ("Reagent", "Time", "Device"), "addresses": ("StreetName", "PlaceName", "StateName")}
HALF = 0.5
SHARD = 100  # Docs


def halved(gold: list[GoldText], labels: tuple[str, ...], seed: int) -> list[GoldText]:
    """Texts in half of which these labels are covered, and the others in all of them."""
    result = []
    for full, half in zip(gold, thin(gold, HALF, seed), strict=True):
        covered = [label for label in full.covered if label not in labels or label in half.covered]
        result.append(text(full.text, (span for span in full.spans if span.label in covered), covered))
    return result


def write(folder: Path, splits: Splits, labels: list[str]) -> None:
    """Write a corpus as the step of that name does, in shards."""
    nlp = spacy.blank("en")
    maker = DocMaker(nlp, frozenset(labels), "snap")
    for split, gold in splits.items():
        docs = [doc for doc in map(maker.make, gold) if doc is not None and len(doc)]
        (folder / split).mkdir(parents=True, exist_ok=True)
        for start in range(0, len(docs), SHARD):
            DocBin(docs=docs[start : start + SHARD]).to_disk(folder / split / f"{start:06}.spacy")
    files = {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.glob("*/*.spacy"))}
    counts: dict[SplitName, int] = {split: len(gold) for split, gold in splits.items()}
    write_account(
        folder,
        labels,
        Corpus(digest=folder.name, texts=counts, shards={"0": CorpusShard("", files=files, texts=counts)}),
    )


def run(*words: str) -> float:
    """Run a step. RETURNS (float): Its seconds of CPU."""
    return measure(["python", "-m", *words], memory=False).cpu


def compare(data: Path, corpus: str, folder: Path, seed: int, steps: int) -> list[dict[str, Any]]:
    """A row a label: F1 before, trained alone and with all others, and the seconds of both."""
    splits, chosen = CORPORA[corpus](data), LABELS[corpus]
    labels = sorted({label for each in splits["train"] for label in each.covered})
    write(folder / "half", splits | {"train": halved(splits["train"], chosen, seed)}, labels)
    write(folder / "full", splits, labels)
    common = ("--seed", str(seed), "--training.max_steps", str(steps))
    train = ("scripts.train", "configs/ner.cfg", *common)
    for name in ("half", "full"):
        paths = [f"--paths.{key}={folder / name / key}" for key in ("train", "dev")]
        paths += [f"--paths.{key}={folder / name / key}.json" for key in ("labels", "split")]
        took = run(*train, "--corpus", str(folder / name), "--output", str(folder / f"model-{name}"), *paths)
    best = f"seed-{seed}/model-best"
    rows = []
    for label in chosen:
        alone = folder / f"model-{label}"
        quick = run("scripts.train_label", "--label", label, "--model", str(folder / "model-half" / best),
                    "--corpus", str(folder / "full"), "--output", str(alone))  # fmt: skip
        models = {
            "before": folder / "model-half" / best,
            "alone": alone / "model-best",
            "anew": folder / "model-full" / best,
        }
        f = {name: _f1(path, splits["test"], labels, label) for name, path in models.items()}
        rows.append({"corpus": corpus, "label": label, "seed": seed, **f, "alone_s": quick, "anew_s": took})
    return rows


def _f1(model: Path, gold: list[GoldText], labels: list[str], label: str) -> float:
    from scripts.model.label_heads import prf

    counts = test(spacy.load(model), gold, labels)
    return prf(*counts[label])["f"] or 0.0


def show(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print means over seeds, a row a label."""
    table = Table(
        "corpus", "label", "F before", "trained alone", "all again", "seconds alone", "all", "ratio", box=None
    )
    for corpus, label in dict.fromkeys((row["corpus"], row["label"]) for row in rows):
        own = [row for row in rows if (row["corpus"], row["label"]) == (corpus, label)]
        cells = [_cell([row[name] for row in own]) for name in ("before", "alone", "anew")]
        alone, anew = (fmean(row[name] for row in own) for name in ("alone_s", "anew_s"))
        table.add_row(corpus, label, *cells, f"{alone:.1f}", f"{anew:.1f}", f"{anew / alone:.1f}")
    console.print(table)


def _cell(values: list[float]) -> str:
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--folder", type=Path, required=True, help="for corpora and models")
    parser.add_argument("--corpora", nargs="+", default=list(LABELS), choices=list(LABELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=900)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for corpus in args.corpora:
        for seed in range(args.seeds):
            rows += compare(args.data, corpus, args.folder / f"{corpus}-{seed}", seed, args.steps)
            print(json.dumps(rows[-3:]), flush=True)
    show(Console(), rows)
    write_results("label_by_label", {"steps": args.steps, "rows": rows})


if __name__ == "__main__":
    main()
