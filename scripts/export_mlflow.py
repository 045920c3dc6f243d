"""Send all runs to MLflow, each once, with their scores and files."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.core.errors import UserError, run_step
from scripts.core.files import write_json
from scripts.exporting.mlflow import export
from scripts.reporting.console import plain_console, plural
from scripts.scoring.runs import load_all


def main() -> None:
    """Read the runs, send, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", type=Path, help="holds the runs: metrics")
    parser.add_argument("--experiment", default="labelwise", help="its name in MLflow; default: %(default)s")
    parser.add_argument("--output", type=Path, help="gets the ids in MLflow; default: mlflow.json with the runs")
    args = parser.parse_args()
    console = plain_console()
    runs, left_out = load_all(args.metrics)
    for reason in left_out:
        console.print(f"⚠ left out: {reason}")
    if not runs:
        raise UserError(f"{args.metrics}: there is no run; evaluate a model first: weasel run evaluate")
    output = args.output or args.metrics / "mlflow.json"
    write_json(output, export(args.metrics, runs, args.experiment))
    console.print(f"✔ {output}: {plural(len(runs), 'run')} in the experiment {args.experiment}")


if __name__ == "__main__":
    run_step(main)
