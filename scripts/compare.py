"""Compare the runs label by label with a baseline, as far as they were scored on the same texts."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from scripts.annotations.errors import UserError, run_step
from scripts.annotations.files import whole_file
from scripts.reporting.accounts import plural
from scripts.reporting.comparison import choose_baseline, print_comparison, to_csv
from scripts.scoring.runs import load_all


def main() -> None:
    """Read the runs, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", type=Path, help="holds the runs: metrics")
    parser.add_argument("--baseline", help="a run, or how its name begins; default: the one before the newest")
    parser.add_argument("--output", type=Path, help="default: compare.csv beside the runs")
    args = parser.parse_args()
    output = args.output or args.metrics / "compare.csv"
    console = Console()
    runs, left_out = load_all(args.metrics)
    for reason in left_out:
        console.print(f"⚠ left out: {reason}", markup=False)
    if not runs:
        raise UserError(f"{args.metrics}: there is no run; evaluate a model first: weasel run evaluate")
    baseline = choose_baseline(runs, args.baseline)
    print_comparison(console, runs, baseline)
    with whole_file(output) as file:
        file.write(to_csv(runs, baseline))
    console.print(f"✔ {output}: {plural(len(runs), 'run')}", markup=False)


if __name__ == "__main__":
    run_step(main)
