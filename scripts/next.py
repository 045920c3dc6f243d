"""Say which label to work on next and why, by rules that are printed with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.core.errors import run_step
from scripts.queueing.recommendation import DO, NAME, decide, print_next
from scripts.reporting.console import plain_console


def main() -> None:
    """Bring together, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="what was merged, and what was found in it: corpus")
    parser.add_argument("metrics", type=Path, help="holds the runs: metrics")
    args = parser.parse_args()
    found = decide(args.corpus, args.metrics)
    console = plain_console()
    print_next(console, found)
    said = "leave all labels as they are"
    for label, row in found.labels.items():
        if row.advice.do != "leave":
            said = f"begin with {label}: {DO[row.advice.do]}"
            break
    console.print(f"✔ {args.metrics / NAME}: {said}")


if __name__ == "__main__":
    run_step(main)
