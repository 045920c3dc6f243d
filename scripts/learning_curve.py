"""Train on nested shares of the texts, and find the labels for which more texts would help."""

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (registers the parts of the models)
from scripts.building.plan import training_config
from scripts.building.reading import read_labels
from scripts.building.splits import read_corpus
from scripts.core.errors import UserError, plain_console, run_step
from scripts.core.files import write_json
from scripts.core.settings import overrides
from scripts.model.training import load_config, seed_range
from scripts.reporting.scores import print_curve
from scripts.scoring import seed_variance
from scripts.scoring.learning_curve import NAME, curve, learn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="training config: configs/ner.cfg")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument(
        "--models", type=Path, required=True, help="gets the models while they are needed: training/ner-curve"
    )
    parser.add_argument("--metrics", type=Path, default=Path("metrics"), help=f"gets {NAME}, default: %(default)s")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 0.75, 1.0], help="of the texts")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=1, help="models for each share; default: %(default)s")
    parser.add_argument("--gpu", type=int, default=-1, help="number of the GPU, or -1 for none; default: %(default)s")
    parser.add_argument("--vectors", default="", help="a pipeline with vectors, or none; default: those built")
    args, rest = parser.parse_known_args()
    shares = sorted(set(args.shares))
    if len(shares) < 2 or not shares[0] > 0 or shares[-1] > 1:
        raise UserError("--shares takes at least two numbers above 0 and up to 1")
    seeds = seed_range(args.seed, args.seeds)
    split, labels = read_corpus(args.corpus / "split.json"), read_labels(args.corpus / "labels.json")
    if not split.texts.get("test"):
        raise UserError(f"{args.corpus}/test: no text to evaluate with; raise test in [split]")
    config = training_config(args.config)
    _, values = load_config(config, overrides(rest, "--training.max_steps 4000"), args.vectors)
    parts = learn(config, values, args.corpus, shares, seeds, labels, split, args.models, args.gpu)
    found = curve(args.config.stem, split.digest, parts, seed_variance.load(args.metrics))
    write_json(args.metrics / NAME, found)
    console = plain_console()
    print_curve(console, found)
    console.print(f"✔ {args.metrics / NAME}")


if __name__ == "__main__":
    run_step(main)
