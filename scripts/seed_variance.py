"""Measure how much each label's F varies when nothing but the seed changes, for all later comparisons."""

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (registers the parts of the models)
from scripts.core.errors import plain_console, run_step
from scripts.core.files import write_json
from scripts.reporting.console import plural, print_skipped
from scripts.reporting.scores import print_seed_variance
from scripts.scoring.evaluation import evaluate_run, read_inputs
from scripts.scoring.seed_variance import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="name of the config: ner")
    parser.add_argument("--models", type=Path, required=True, help="folder with seed-<n>/model-best")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("metrics/seed_variance.json"), help="default: %(default)s")
    args = parser.parse_args()
    console = plain_console()
    inputs = read_inputs(args.run, args.models, args.corpus)
    found = measure(evaluate_run(inputs))
    write_json(args.output, found)
    print_seed_variance(console, found)
    print_skipped(console, inputs.skipped)
    console.print(f"✔ {args.output}: {plural(len(found.seeds), 'seed')}")


if __name__ == "__main__":
    run_step(main)
