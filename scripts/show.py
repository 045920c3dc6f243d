"""Show all about one text: its answers, what was merged of them and why, its split, and what a model predicts."""

import argparse
import sys
from pathlib import Path

from scripts import functions  # noqa: F401 (registers what models are made of)
from scripts.building.corpus import whole_splitter
from scripts.building.plan import other_split, plan_of
from scripts.core import manifest, settings
from scripts.core.errors import UserError, plain_console, run_step
from scripts.merging.merged import annotated_labels, gold_as_merged
from scripts.model.models import BEST
from scripts.reporting.corpus import print_other_split
from scripts.reporting.one_text import (
    demand_found,
    find_texts,
    known_text,
    print_found,
    print_known,
    print_predictions,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", default="", help="hash or a piece of the text; default: standard input")
    parser.add_argument("--config", type=Path, default=Path("configs/datasets.cfg"), help="default: %(default)s")
    parser.add_argument("--training", type=Path, default=Path("configs/ner.cfg"), help="default: %(default)s")
    parser.add_argument("--annotations", type=Path, default=Path("assets/annotations"), help="default: %(default)s")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--models", type=Path, default=Path("training/ner"), help="default: %(default)s")
    args, config = settings.parse(parser)
    wanted = args.text or sys.stdin.read().rstrip("\n")
    if not wanted:
        raise UserError("say which text: its hash, or a piece of it")
    merged, gold = gold_as_merged(args.corpus)
    found = find_texts(gold, wanted)
    demand_found(found, wanted)
    console = plain_console()
    exact = [text for text in found if text.text == wanted] or found
    if len(exact) > 1:
        print_found(console, exact)
        return
    text = exact[0]
    plan = plan_of(config, args.training)
    splitter = whole_splitter(plan, gold)
    known = known_text(text, merged, manifest.load(args.annotations), args.annotations, args.corpus)
    print_known(console, known, annotated_labels(merged), splitter.split_of(text) or "none")
    print_other_split(console, other_split(args.corpus, plan))
    for path in sorted(args.models.glob(f"seed-*/{BEST}")):
        print_predictions(console, path, text.text, annotated_labels(merged))


if __name__ == "__main__":
    run_step(main)
