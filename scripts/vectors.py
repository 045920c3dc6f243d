"""Build word vectors to train with: fetched for the language, or of a text file or pipeline."""

import argparse
from pathlib import Path

from scripts.building.plan import nlp_block
from scripts.core.errors import plain_console, run_step
from scripts.model.vectors import BUILT, ROWS, build
from scripts.reporting.console import plural


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="training config, whose [nlp] names the language: configs/ner.cfg")
    parser.add_argument("--vectors", default="", help="en_core_web_md, glove, a text file or a pipeline")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="its words are kept; default: %(default)s")
    parser.add_argument("--output", type=Path, default=BUILT, help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=ROWS, help="frequent vectors to keep; default: %(default)s")
    args = parser.parse_args()
    made = build(args.vectors, nlp_block(args.config)["lang"], args.corpus, args.output, args.rows)
    console = plain_console()
    if made.skipped:
        console.print(f"⚠ {plural(made.skipped, 'line')} without a word and its numbers: skipped")
    words = "all words" if made.words is None else plural(made.words, "word")
    size = sum(path.stat().st_size for path in args.output.rglob("*") if path.is_file())
    console.print(
        f"✔ {args.output}: {plural(made.rows, 'vector')} of {made.width} dimensions for {words}, "
        f"{size / 1e6:,.0f} MB{', with layers to start from' if made.has_layers else ''}. "
        "weasel run train uses them from now on"
    )


if __name__ == "__main__":
    run_step(main)
