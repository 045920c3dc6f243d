"""Check where annotations contradict each other, label by label, and list those that are probably wrong."""

import argparse
from pathlib import Path

from scripts.checking.consistency import SUSPECTS, check, print_consistency
from scripts.checking.review import FOLDER
from scripts.core import manifest
from scripts.core.errors import plain_console, run_step
from scripts.core.workers import available_cores
from scripts.reporting.console import plural


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path, help="folder of the pulled annotations: assets/annotations")
    parser.add_argument("corpus", type=Path, help="folder of the merged annotations: corpus")
    parser.add_argument("--processes", type=int, default=available_cores(), help="default: all available cores")
    args = parser.parse_args()
    found = check(args.corpus, args.annotations, manifest.load(args.annotations), args.processes)
    console = plain_console()
    print_consistency(console, found)
    suspects = plural(found.suspects, "suspect")
    console.print(f"✔ {args.corpus / FOLDER / SUSPECTS}: {suspects}, the most certain first")


if __name__ == "__main__":
    run_step(main)
