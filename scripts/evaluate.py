"""Evaluate the models of a run on the test texts, label by label, and keep its scores."""

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (registers the parts of the models)
from scripts.building.splits import corpus_doubt
from scripts.core.errors import plain_console, run_step
from scripts.core.files import whole_file
from scripts.reporting.console import plural, print_skipped
from scripts.reporting.corpus import print_uncovered
from scripts.reporting.scores import print_errors, print_reliability, print_scores, print_training_data
from scripts.scoring import runs
from scripts.scoring.evaluation import evaluate_run, read_inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="name of the run: ner")
    parser.add_argument("--models", type=Path, required=True, help="folder with seed-<n>/model-best: training/ner")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("metrics"), help="folder of the runs, default: %(default)s")
    parser.add_argument("--latest", type=Path, default=Path("metrics.json"), help="copy of the scores: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="the first of --seeds; default: %(default)s")
    parser.add_argument("--seeds", type=int, default=0, help="number of models; default: all there are")
    parser.add_argument("--only-new", action="store_true", help="not what is stored, by the same code and packages")
    args = parser.parse_args()
    console = plain_console()
    inputs = read_inputs(args.run, args.models, args.corpus, range(args.seed, args.seed + args.seeds))
    found = runs.load_same(inputs.run, args.output) if args.only_new else None
    if found is None:
        evaluated = evaluate_run(inputs)
        runs.save(evaluated, args.output)
        found = runs.ScoredRun(evaluated.run, evaluated.metrics)
    run, metrics = found
    folder = args.output / run.folder
    with whole_file(args.latest) as file:
        file.write((folder / runs.METRICS).read_bytes())
    print_scores(console, metrics)
    console.print()
    print_errors(console, metrics, list(run.words_per_second.values()))
    print_reliability(console, metrics)
    print_skipped(console, inputs.skipped)
    if unscored := [label for label, score in metrics.labels.items() if not score.texts]:
        print_uncovered(console, unscored, "test")
    print_training_data(console, run, args.corpus)
    if doubt := corpus_doubt(args.corpus):
        console.print(f"⚠ {doubt}")
    newest = runs.load_comparable(args.output)[0][-1].run
    if newest.time > run.time:
        console.print(
            f"⚠ {newest.folder} has a later time, so compare and next take it for the newest run; to compare this one: "
            f"python -m scripts.compare {args.output} --baseline {newest.folder} --runs {folder.name}",
        )
    means = f", means over {plural(len(run.seeds), 'seed')}" if len(run.seeds) > 1 else ""
    console.print(f"✔ {folder}: {plural(metrics.micro.texts, 'text')}{means}; copied to {args.latest}")


if __name__ == "__main__":
    run_step(main)
