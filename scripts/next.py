"""Recommend which label to work on next, by rules that are printed with the reasons."""

import argparse
from pathlib import Path

from scripts.core.errors import plain_console, run_step
from scripts.queueing.recommendation import NAME, decide, print_next
from scripts.queueing.rules import ACTIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="gold, and the results of coverage, consistency, suspects: corpus")
    parser.add_argument("metrics", type=Path, help="runs: metrics")
    args = parser.parse_args()
    found = decide(args.corpus, args.metrics)
    console = plain_console()
    print_next(console, found)
    label, row = next(iter(found.labels.items()))
    first = f"begin with {label}: {ACTIONS[row.recommendation.action]}"
    leave_all = row.recommendation.action == "leave"
    console.print(f"✔ {args.metrics / NAME}: {'leave all labels as they are' if leave_all else first}")


if __name__ == "__main__":
    run_step(main)
