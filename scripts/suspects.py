"""Look for wrong annotations with models that did not learn from the text they judge, and rank what they suspect."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (what the config names is registered)
from scripts.checking.review import FOLDER
from scripts.core.errors import UserError, run_step
from scripts.core.settings import overrides
from scripts.model.training import load_config
from scripts.reporting.console import plain_console
from scripts.suspecting.ensemble import Committee, look, shorter
from scripts.suspecting.suspects import LINES
from scripts.suspecting.suspects_views import print_suspects


def main() -> None:
    """Train, let vote, write, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="training config: configs/ner.cfg")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--models", type=Path, required=True, help="keeps what models said: training/ner-suspects")
    parser.add_argument("--folds", type=int, default=5, help="of all texts; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=2, help="models for each fold; default: %(default)s")
    parser.add_argument("--steps", default="half", help="of each training; default: half of the config's")
    parser.add_argument("--label", default="none", help="suspects of this one alone; default: all")
    parser.add_argument("--gpu", type=int, default=-1, help="which, or -1 for none; default: %(default)s")
    parser.add_argument("--vectors", default="none", help="a pipeline with static vectors; default: %(default)s")
    args, rest = parser.parse_known_args()
    if args.folds < 2 or args.seeds < 1:
        raise UserError("--folds takes at least 2, --seeds at least 1")
    vectors = None if args.vectors == "none" else args.vectors
    config, values = load_config(args.config, overrides(rest, "--training.dropout 0.1"), vectors)
    committee = Committee(
        args.config, {**values, **shorter(config, args.steps)}, args.gpu, args.folds,
        list(range(args.seed, args.seed + args.seeds)),
    )  # fmt: skip
    label = None if args.label in ("none", "all") else args.label
    found, trained = look(args.corpus, committee, args.models, label)
    console = plain_console()
    print_suspects(console, found, trained)
    console.print(f"✔ {args.corpus / FOLDER / LINES}")


if __name__ == "__main__":
    run_step(main)
