"""Look for what is odd in the corpus, with spaCy's own checks and ours, before a model learns it."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (what the config names is registered)
from scripts.building.checks import check, debug_data
from scripts.building.splits import read_corpus
from scripts.core.errors import UserError, run_step
from scripts.core.files import write_json
from scripts.reporting.console import plain_console
from scripts.reporting.corpus import print_findings


def main() -> None:
    """Run spaCy's checks, then ours; write, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("configs/ner_transition.cfg"), help="with spaCy's ner")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("corpus/debug.json"), help="default: %(default)s")
    parser.add_argument(
        "--limit", type=int, default=10_000, help="texts that spaCy's checks read; default: %(default)s"
    )
    parser.add_argument("--fail-on-findings", action="store_true", help="exit 1 if our checks find anything")
    args = parser.parse_args()
    split = read_corpus(args.corpus / "split.json")
    console = plain_console()
    console.print("spaCy's checks, of the entities as its ner would learn them", style="bold")
    if said := debug_data(args.config, args.corpus, args.limit):
        console.print(f"⚠ spaCy's checks stopped: {said}")
    found = check(args.corpus, split)
    write_json(args.output, found)
    print_findings(console, found)
    console.print(f"✔ {args.output}")
    if args.fail_on_findings and (found.unlearned or found.twins or found.edges):
        raise UserError(f"{args.corpus}: has what should be looked at; {args.output} lists it")


if __name__ == "__main__":
    run_step(main)
