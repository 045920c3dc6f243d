"""Train one pipeline for all labels, and tune on the dev texts how readily each label is found."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from scripts import functions  # noqa: F401 (what the config names is registered)
from scripts.annotations.errors import run_step
from scripts.model.provenance import BEST, read_split
from scripts.model.training import is_transition_based, load_config, train, unknown_share
from scripts.overrides import overrides


def main() -> None:
    """Read the config, warn, train, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="training config: configs/ner.cfg")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, help="gets seed-<n>/model-best: training/ner")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--gpu", type=int, default=-1, help="which, or -1 for none; default: %(default)s")
    parser.add_argument("--vectors", default="none", help="a pipeline with static vectors; default: %(default)s")
    args, rest = parser.parse_known_args()
    values = overrides(rest, "--training.max_steps 4000") | {"system.seed": args.seed}
    config, values = load_config(args.config, values, None if args.vectors == "none" else args.vectors)
    split = read_split(args.corpus / "split.json")
    console = Console()
    if is_transition_based(config) and (share := unknown_share(split)):
        console.print(
            f"⚠ spaCy's ner wants texts that are annotated for all labels, and for {share:.1%} of the pairs of a text "
            "and a label nobody looked: configs/ner.cfg learns from what is known",
            highlight=False,
        )
    folder = args.output / f"seed-{args.seed}"
    biases = train(args.config, values, args.corpus / "dev", folder, args.gpu)
    tuned = f", tuned on {split.texts.get('dev', 0):,} texts" if biases else ""
    console.print(f"✔ {folder / BEST}: trained on {split.texts.get('train', 0):,} texts{tuned}", highlight=False)


if __name__ == "__main__":
    run_step(main)
