"""Train one pipeline for all labels, and set a threshold for each label on the dev texts."""

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (registers what the config names)
from scripts.building.plan import training_config
from scripts.building.splits import corpus_doubt, read_corpus
from scripts.core.errors import UserError, plain_console, run_step
from scripts.core.settings import overrides
from scripts.model.models import BEST
from scripts.model.training import TrainingJob, load_config, seed_range, step_doubts, train, train_all, uncovered_share
from scripts.model.vectors import known_words


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="training config: configs/ner.cfg")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, required=True, help="gets seed-<n>/model-best: training/ner")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, a model each; default: %(default)s")
    parser.add_argument("--gpu", type=int, default=-1, help="a GPU's number, or -1 for the CPU; default: %(default)s")
    parser.add_argument("--vectors", default="", help="a pipeline with vectors, or none; default: those built")
    args, rest = parser.parse_known_args()
    seeds = seed_range(args.seed, args.seeds)
    path = training_config(args.config)
    if args.output.resolve() in path.resolve().parents:
        raise UserError(f"{args.output}: is a run of train-label; to train all labels, take the run it was made from")
    config, values = load_config(path, overrides(rest, "--training.max_steps 4000"), args.vectors)
    corpus = read_corpus(args.corpus / "split.json")
    words = corpus.tokens.get("train", 0)
    console = plain_console()
    if share := uncovered_share(config, corpus, "train"):
        console.print(
            f"⚠ spaCy's ner needs texts that are covered for all labels; {share:.1%} of the text × label pairs are not "
            "covered. configs/ner.cfg learns from partially annotated texts",
        )
    if share := uncovered_share(config, corpus, "dev"):
        console.print(f"⚠ dev: {share:.1%} of the pairs are not covered; the others set thresholds and probabilities")
    doubts = filter(None, [*step_doubts(config, words), corpus_doubt(args.corpus, config["nlp"])])
    for line in (*(f"⚠ {doubt}" for doubt in doubts), *known_words(config, args.corpus / "train")):
        console.print(line)
    jobs = [
        TrainingJob(
            path, values | {"system.seed": seed}, words, corpus.is_partial("train"), args.corpus / "dev",
            args.output / f"seed-{seed}", args.gpu,
        )
        for seed in seeds
    ]  # fmt: skip
    trained = [train(jobs[0])] if len(jobs) == 1 else train_all(jobs, f"Training {len(jobs)} seeds")
    for job, result in zip(jobs, trained, strict=True):
        for doubt in result.doubts():
            console.print(f"⚠ {job.folder.name}: {doubt}", soft_wrap=True)
        more = f", thresholds set on {corpus.texts.get('dev', 0):,} texts" if result.thresholds else ""
        console.print(f"✔ {job.folder / BEST}: trained on {corpus.texts.get('train', 0):,} texts{more}", soft_wrap=True)


if __name__ == "__main__":
    run_step(main)
