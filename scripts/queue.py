"""Make the tasks for what to annotate next of a label, the most useful first, and say how the answers come back."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts import functions  # noqa: F401 (what the models are made of is registered)
from scripts.building.corpus import Plan, nlp_block
from scripts.core import settings
from scripts.core.errors import run_step
from scripts.queueing.queue import queue
from scripts.queueing.request import Request
from scripts.queueing.tasks import print_queue, print_way_back
from scripts.reporting.console import plain_console, plural


def main() -> None:
    """Choose, write, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="how texts are split, where answers go: configs/datasets.cfg")
    parser.add_argument("training", type=Path, help="training config, whose [nlp] tokenizes: configs/ner.cfg")
    parser.add_argument("--label", required=True, help="what to annotate")
    parser.add_argument("--models", type=Path, required=True, help="folder with seed-<n>/model-best: training/ner")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("queues"), help="for <label>/<number>: %(default)s")
    parser.add_argument("--kind", default="uncovered", help="uncovered texts, suspects or conflicts")
    parser.add_argument("--format", default="auto", help="prodigy, label_studio or doccano; auto is prodigy")
    parser.add_argument("--texts", default="train", help="of which side; dev and test are always drawn at random")
    parser.add_argument("--order", default="useful", help="useful, or random, which needs no model")
    parser.add_argument("--prefill", default="known", help="known: spans that are known; model: also those it finds")
    parser.add_argument("--limit", type=int, default=100, help="how many tasks, default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn at random, default: %(default)s")
    args, config = settings.parse(parser)
    split, nlp = config.split, nlp_block(args.training)
    plan = Plan(
        nlp, split.dev, split.test, split.document, split.dev_datasets, split.test_datasets, config.docs.misaligned
    )
    request = Request(
        label=args.label, kind=args.kind, format="prodigy" if args.format == "auto" else args.format, texts=args.texts,
        order=args.order, prefill=args.prefill, limit=args.limit, seed=args.seed,
    )  # fmt: skip
    found = queue(request, args.corpus, args.models, args.output, plan)
    console = plain_console()
    print_queue(console, found)
    print_way_back(console, found, config.datasets, nlp["lang"])
    tasks = plural(found.queue.tasks, "task")
    console.print(f"✔ {found.folder}: {tasks}" if found.folder else "✔ nothing is left to ask")


if __name__ == "__main__":
    run_step(main)
