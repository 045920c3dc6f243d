"""Package a model as a wheel that needs nothing but spaCy, with a model card of its data and scores."""

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (registers the parts of the model)
from scripts.building.reading import read_labels
from scripts.core.errors import plain_console, run_step
from scripts.exporting.package import build
from scripts.scoring.runs import MAY_KNOW_TESTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="training/ner/seed-0/model-best")
    parser.add_argument(
        "--metrics", type=Path, default=Path("metrics"), help="folder of the runs; default: %(default)s"
    )
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="its labels, if it is there: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("packages"), help="default: %(default)s")
    parser.add_argument(
        "--name", required=True, help="of the package, without the language, which is put before it: ner"
    )
    parser.add_argument("--version", default="0.1.0", help="default: %(default)s")
    args = parser.parse_args()
    path = args.corpus / "labels.json"
    labels = read_labels(path) if path.exists() else []
    wheel, run = build(args.model, args.metrics, args.output, args.name, args.version, labels)
    console = plain_console()
    if run.is_outdated:
        console.print(f"⚠ {run.folder} {MAY_KNOW_TESTS}; the card says so")
    console.print(f"✔ {wheel}: pip install it where the model is to run")


if __name__ == "__main__":
    run_step(main)
