"""Send all runs to MLflow, each once, with their scores and files."""

import argparse
from pathlib import Path

from scripts.core.errors import plain_console, run_step
from scripts.core.files import write_json
from scripts.exporting.mlflow import export
from scripts.reporting.console import plural, print_skipped
from scripts.scoring.runs import load_some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", type=Path, help="folder of the runs: metrics")
    parser.add_argument("--experiment", default="labelwise", help="its name in MLflow; default: %(default)s")
    parser.add_argument("--output", type=Path, help="gets MLflow's ids; default: mlflow.json in the folder of the runs")
    args = parser.parse_args()
    console = plain_console()
    runs, skipped = load_some(args.metrics)
    print_skipped(console, skipped)
    output = args.output or args.metrics / "mlflow.json"
    write_json(output, export(args.metrics, runs, args.experiment))
    console.print(f"✔ {output}: {plural(len(runs), 'run')} in the experiment {args.experiment}")


if __name__ == "__main__":
    run_step(main)
