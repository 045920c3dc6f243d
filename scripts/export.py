"""Export what was merged, or one label of it, to where people annotate, and say what the format cannot carry."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (what the tokenizer is made of is registered)
from scripts.building.corpus import nlp_block
from scripts.core.errors import run_step
from scripts.exporting.exporting import FORMATS, export
from scripts.reporting.accounts import print_export
from scripts.reporting.console import plain_console, plural


def main() -> None:
    """Export, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training", type=Path, help="training config, whose [nlp] tokenizes: configs/ner.cfg")
    parser.add_argument("corpus", type=Path, help="holds what was merged: corpus")
    parser.add_argument("output", type=Path, help="folder for <format>/<label>: exports")
    parser.add_argument("--format", required=True, help=", ".join(FORMATS))
    parser.add_argument("--label", default="all", help="export this one alone")
    args = parser.parse_args()
    folder, exported = export(args.corpus, args.output, args.format, args.label, nlp_block(args.training))
    console = plain_console()
    print_export(console, exported)
    said = f"{plural(exported.texts['written'], 'text')}, {plural(exported.spans['written'], 'span')}"
    console.print(f"✔ {folder}: {said}")


if __name__ == "__main__":
    run_step(main)
