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
    to_do = next(iter(found.to_do().items()), None)
    first = f"begin with {to_do[0]}: {ACTIONS[to_do[1].action]}" if to_do else "leave all labels as they are"
    console.print(f"✔ {args.metrics / NAME}: {first}")


if __name__ == "__main__":
    run_step(main)
