"""Write the next annotation tasks of a label, the most informative texts first, and say how the answers come back."""

import argparse
from pathlib import Path

from msgspec.structs import replace

from scripts import functions  # noqa: F401 (registers what models are made of)
from scripts.building.plan import plan_of
from scripts.core import settings
from scripts.core.errors import plain_console, run_step
from scripts.exporting.push import reading_block, target_of
from scripts.queueing.queue import print_pushed, print_queue, queue, usual_prefill
from scripts.queueing.tasks import Request, print_way_back
from scripts.reporting.console import plural
from scripts.sources.blocks import add_blocks, read_config, write_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="splits, order, where answers go: configs/datasets.cfg")
    parser.add_argument("training", type=Path, help="training config, whose [nlp] tokenizes: configs/ner.cfg")
    parser.add_argument("--label", required=True, help="label to annotate")
    parser.add_argument("--models", type=Path, required=True, help="folder with seed-<n>/model-best: training/ner")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("queues"), help="for <label>/<number>: %(default)s")
    parser.add_argument("--kind", default="uncovered", help="uncovered (the default), suspects or conflicts")
    parser.add_argument("--format", default="", help="prodigy (default without [queue] push), label_studio or doccano")
    parser.add_argument("--texts", default="train", help="train (the default), or a random sample of dev or test")
    parser.add_argument("--prefill", default="", help="spans in the tasks: gold, model (also those it predicts), none")
    parser.add_argument("--limit", type=int, default=100, help="number of tasks, default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of random samples, default: %(default)s")
    args, config = settings.parse(parser)
    plan = plan_of(config, args.training)
    request = Request(
        label=args.label, kind=args.kind, format=args.format or config.queue.push or "prodigy", texts=args.texts,
        order=config.queue.order, prefill=args.prefill or "gold", limit=args.limit, seed=args.seed,
    )  # fmt: skip
    target = target_of(config.queue, args.label) if request.format == config.queue.push else None
    if target and not args.prefill:
        request = replace(request, prefill=usual_prefill(target, request))
    queued = queue(request, args.corpus, args.models, args.output, plan, target)
    console = plain_console()
    print_queue(console, queued, args.config)
    if queued.folder is None:
        console.print("✔ nothing is left to ask")
        return
    if target and queued.pushed:
        block = reading_block(target, args.label, config.datasets, config.options)
        if block:
            write_config(args.config, add_blocks(read_config(args.config), [block]))
        print_pushed(console, target, queued.pushed, block)
    else:
        lang = plan.nlp["lang"]
        print_way_back(console, queued.queue, queued.folder, config.datasets, config.options, lang, queued.covering)
    console.print(f"✔ {queued.folder}: {plural(queued.queue.tasks, 'task')}")


if __name__ == "__main__":
    run_step(main)
