"""Train the head of one label on the current annotations, and leave all other heads as they are."""

import argparse
from pathlib import Path

from spacy.util import load_config

from scripts import functions  # noqa: F401 (registers the model's functions)
from scripts.building.reading import read_labels
from scripts.building.splits import corpus_doubt
from scripts.core.errors import UserError, plain_console, run_step
from scripts.model.models import BEST
from scripts.model.relearning import relearn
from scripts.model.training import UNLEARNED_F
from scripts.reporting.console import plural, ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--label", required=True, help="a label of the corpus: ORG")
    parser.add_argument("--model", type=Path, required=True, help="to start from: training/ner/seed-0/model-best")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, help="gets model-best: training/ner-ORG/seed-0")
    parser.add_argument("--steps", type=int, help="number of batches; default: as the model was trained")
    args = parser.parse_args()
    if args.steps is not None and args.steps < 1:
        raise UserError(f"--steps {args.steps}: must be 1 or more")
    labels = read_labels(args.corpus / "labels.json")
    if args.label not in labels:
        raise UserError(f"{args.label!r}: is no label of {args.corpus}; --vars.label is one of {', '.join(labels)}")
    done = relearn(args.model, args.label, args.corpus, args.output, args.steps)
    console = plain_console()
    before = "new label" if done.is_new else f"was {ratio(done.before)}"
    console.print(
        f"{args.label}: {plural(done.texts, 'text')}, {done.steps:,} steps; F on the dev texts {ratio(done.after)} "
        f"({before}). Other heads are unchanged; overlaps in doc.ents are settled anew.",
    )
    if done.after is not None and done.after < UNLEARNED_F:
        console.print(f"⚠ {args.label} was not learned: raise --steps, or annotate more texts for it")
    if doubt := corpus_doubt(args.corpus, load_config(args.model / "config.cfg")["nlp"]):
        console.print(f"⚠ {doubt}")
    console.print(f"✔ {args.output / BEST}")


if __name__ == "__main__":
    run_step(main)
