"""Measure how much each label's score moves when nothing but the seed changes, and keep it for all comparisons."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.table import Table

from scripts import functions  # noqa: F401 (what the models are made of is registered)
from scripts.core.errors import run_step
from scripts.core.files import write_json
from scripts.reporting.console import plain_console, plural, ratio
from scripts.scoring.evaluation import evaluate_run
from scripts.scoring.seed_variance import measure


def main() -> None:
    """Evaluate the seeds, write, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="what was trained: ner")
    parser.add_argument("--models", type=Path, required=True, help="folder with seed-<n>/model-best")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("metrics/noise.json"), help="default: %(default)s")
    args = parser.parse_args()
    console = plain_console()
    found, left_out = evaluate_run(args.run, args.models, args.corpus)
    noise = measure(found)
    write_json(args.output, noise)
    table = Table("label", "mean F", "SD over seeds", "support", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, one in [*noise.labels.items(), ("micro", noise.micro), ("macro", noise.macro)]:
        table.add_row(label, ratio(one.f), ratio(one.sd), f"{one.support:,}")
    console.print(table)
    for reason in left_out:
        console.print(f"⚠ left out: {reason}")
    console.print(f"✔ {args.output}: {plural(len(noise.seeds), 'seed')}")


if __name__ == "__main__":
    run_step(main)
