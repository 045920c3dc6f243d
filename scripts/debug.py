"""Check the corpus before a model is trained on it, with spaCy's checks and ours."""

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (registers what the config names)
from scripts.building.checks import check_corpus, debug_data
from scripts.building.splits import read_corpus
from scripts.core.errors import UserError, plain_console, run_step
from scripts.core.files import write_json
from scripts.reporting.corpus import print_warnings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("configs/ner_transition.cfg"), help="with spaCy's ner")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("corpus/debug.json"), help="default: %(default)s")
    parser.add_argument(
        "--limit", type=int, default=10_000, help="texts of each split that spaCy checks; default: %(default)s"
    )
    parser.add_argument("--fail-on-warnings", action="store_true", help="exit 1 if one of our checks warns")
    args = parser.parse_args()
    corpus = read_corpus(args.corpus / "split.json")
    console = plain_console()
    console.print("spaCy's checks, of the entities as its ner would learn them", style="bold")
    if reason := debug_data(args.config, args.corpus, args.limit):
        console.print(f"⚠ spaCy's checks stopped: {reason}")
    found = check_corpus(args.corpus, corpus)
    write_json(args.output, found)
    print_warnings(console, found)
    console.print(f"✔ {args.output}")
    if args.fail_on_warnings and (found.not_in_train or found.near_duplicates or found.boundaries):
        raise UserError(f"{args.corpus}: has warnings; {args.output} lists them")


if __name__ == "__main__":
    run_step(main)
