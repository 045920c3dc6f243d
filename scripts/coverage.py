"""Say which texts each label still lacks, what completing it would cost, and what of that would be done twice."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.checking.coverage import LIST, look
from scripts.checking.coverage_views import print_coverage
from scripts.checking.review import FOLDER
from scripts.core import manifest
from scripts.core.errors import run_step
from scripts.core.workers import available_cores
from scripts.reporting.console import plain_console, plural


def main() -> None:
    """Look, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path, help="folder of what was pulled: assets/annotations")
    parser.add_argument("corpus", type=Path, help="folder of what was merged: corpus")
    parser.add_argument("--processes", type=int, default=available_cores(), help="default: as many as there are cores")
    args = parser.parse_args()
    found = look(args.corpus, args.annotations, manifest.load(args.annotations), args.processes)
    console = plain_console()
    print_coverage(console, found)
    said = f"{plural(found.texts - found.complete, 'text')} that a label lacks"
    console.print(f"✔ {args.corpus / FOLDER / LIST}: {said}")


if __name__ == "__main__":
    run_step(main)
