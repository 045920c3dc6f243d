"""Train one pipeline for all labels, and tune on the dev texts how readily each label is found."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (what the config names is registered)
from scripts.building.splits import read_split
from scripts.core.errors import UserError, run_step
from scripts.core.settings import overrides
from scripts.model.provenance import BEST
from scripts.model.training import Job, is_transition_based, load_config, train, train_all, unknown_share
from scripts.reporting.console import plain_console


def main() -> None:
    """Read the config, warn, train, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="training config: configs/ner.cfg")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, help="gets seed-<n>/model-best: training/ner")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --seed on, a model each; default: 1")
    parser.add_argument("--gpu", type=int, default=-1, help="which, or -1 for none; default: %(default)s")
    parser.add_argument("--vectors", default="none", help="a pipeline with static vectors; default: %(default)s")
    args, rest = parser.parse_known_args()
    if args.seeds < 1:
        raise UserError(f"--seeds {args.seeds}: is less than one; it says how many models are trained")
    values, vectors = overrides(rest, "--training.max_steps 4000"), None if args.vectors == "none" else args.vectors
    config, values = load_config(args.config, values, vectors)
    split = read_split(args.corpus / "split.json")
    console = plain_console()
    if is_transition_based(config) and (share := unknown_share(split)):
        console.print(
            f"⚠ spaCy's ner wants texts that are annotated for all labels, and for {share:.1%} of the pairs of a text "
            "and a label nobody looked: configs/ner.cfg learns from what is known",
        )
    jobs = [
        Job(args.config, values | {"system.seed": seed}, args.corpus / "dev", args.output / f"seed-{seed}", args.gpu)
        for seed in range(args.seed, args.seed + args.seeds)
    ]
    trained = [train(*jobs[0])] if len(jobs) == 1 else train_all(jobs, f"Training {len(jobs)} seeds")
    for job, biases in zip(jobs, trained, strict=True):
        tuned = f", tuned on {split.texts.get('dev', 0):,} texts" if biases else ""
        said = f"✔ {job.folder / BEST}: trained on {split.texts.get('train', 0):,} texts{tuned}"
        console.print(said)


if __name__ == "__main__":
    run_step(main)
