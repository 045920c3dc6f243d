"""Find wrong annotations by models that were not trained on the text they judge, and rank them."""

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (what the config names is registered)
from scripts.building.plan import training_config
from scripts.checking.review import FOLDER, SUSPECTS, print_suspects
from scripts.core import settings
from scripts.core.errors import plain_console, run_step
from scripts.core.settings import overrides
from scripts.model.training import load_config
from scripts.suspecting.cross_validation import Ensemble
from scripts.suspecting.ensemble import find_suspects, shorten


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="has [suspects]: configs/datasets.cfg")
    parser.add_argument("training", type=Path, help="training config: configs/ner.cfg")
    parser.add_argument("corpus", type=Path, help="folder of the merged annotations: corpus")
    parser.add_argument("predictions", type=Path, help="keeps the predictions: training/ner-suspects")
    parser.add_argument("--seed", type=int, default=0, help="of the first model of each fold; default: %(default)s")
    parser.add_argument("--label", default="", help="the only label of the suspects; default: all labels")
    parser.add_argument("--gpu", type=int, default=-1, help="number of the GPU, -1 for none; default: %(default)s")
    parser.add_argument("--vectors", default="", help="a pipeline with vectors, or none; default: those built")
    args, rest = parser.parse_known_args()
    values = overrides(rest, "--suspects.folds 3")
    own = {key: value for key, value in values.items() if key.startswith("suspects.")}
    rules = settings.load(args.config, own).suspects
    training_values = {key: value for key, value in values.items() if key not in own}
    path = training_config(args.training)
    config, training_values = load_config(path, training_values, args.vectors)
    ensemble = Ensemble(
        path, {**training_values, **shorten(config, rules.steps)}, args.gpu, rules.folds,
        list(range(args.seed, args.seed + rules.models)),
    )  # fmt: skip
    found, trained = find_suspects(args.corpus, args.training.stem, ensemble, args.predictions, args.label or None)
    console = plain_console()
    print_suspects(console, found, trained)
    console.print(f"✔ {args.corpus / FOLDER / SUSPECTS}")


if __name__ == "__main__":
    run_step(main)
