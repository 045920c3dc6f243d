"""Export the gold, or one label of it, to annotation tools and libraries, and say what the format cannot hold."""

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (registers what the tokenizer is made of)
from scripts.building.plan import nlp_block
from scripts.core.errors import plain_console, run_step
from scripts.exporting.exporting import FORMATS, export, print_export
from scripts.reporting.console import plural


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training", type=Path, help="training config, whose [nlp] tokenizes: configs/ner.cfg")
    parser.add_argument("corpus", type=Path, help="folder of the gold: corpus")
    parser.add_argument("output", type=Path, help="folder for <format>/<label>: exports")
    parser.add_argument("--format", required=True, help=", ".join(FORMATS))
    parser.add_argument("--label", default="", help="export only this label")
    args = parser.parse_args()
    folder, exported = export(args.corpus, args.output, args.format, args.label, nlp_block(args.training))
    console = plain_console()
    print_export(console, exported)
    texts, spans = exported.texts["written"], exported.spans["written"]
    console.print(f"✔ {folder}: {plural(texts, 'text')}, {plural(spans, 'span')}")


if __name__ == "__main__":
    run_step(main)
