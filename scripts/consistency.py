"""Look where annotations disagree with each other, label by label, and list what is probably wrong."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.checking.consistency import LIST, look
from scripts.checking.consistency_views import print_consistency
from scripts.checking.findings import FOLDER
from scripts.core import manifest
from scripts.core.errors import run_step
from scripts.core.workers import available_cores
from scripts.reporting.console import plain_console


def main() -> None:
    """Look, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path, help="folder of what was pulled: assets/annotations")
    parser.add_argument("corpus", type=Path, help="folder of what was merged: corpus")
    parser.add_argument("--processes", type=int, default=available_cores(), help="default: as many as there are cores")
    args = parser.parse_args()
    found = look(args.corpus, args.annotations, manifest.load(args.annotations), args.processes)
    console = plain_console()
    print_consistency(console, found)
    console.print(f"✔ {args.corpus / FOLDER / LIST}: {found.suspects:,} findings, the surest first")


if __name__ == "__main__":
    run_step(main)
