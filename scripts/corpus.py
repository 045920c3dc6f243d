"""Split the gold texts into train, dev and test, tokenize them as the pipeline will, and write them in shards."""

import argparse
from pathlib import Path

from scripts.building.corpus import build
from scripts.building.plan import plan_of
from scripts.core import settings
from scripts.core.errors import plain_console, run_step
from scripts.engines.engine import Dask
from scripts.merging.merged import load
from scripts.merging.pull import changed_since
from scripts.reporting.console import plural
from scripts.reporting.corpus import print_corpus, print_gaps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="[split] and [docs]: configs/datasets.cfg")
    parser.add_argument("training", type=Path, help="training config, whose [nlp] tokenizes: configs/ner.cfg")
    parser.add_argument("folder", type=Path, help="has gold.jsonl and gets the shards: corpus")
    parser.add_argument("--annotations", type=Path, default=Path("assets/annotations"), help="default: %(default)s")
    args, config = settings.parse(parser)
    plan = plan_of(config, args.training)
    merged = load(args.folder)
    changed = merged.other_rules(config.merge, config.options)
    pulled_otherwise = changed_since(merged.manifest, args.annotations, config)
    where = args.folder
    if isinstance(config.engine, Dask):
        from scripts.engines.corpus import build_on  # Dask is not installed everywhere

        corpus, kept = build_on(config.engine, args.folder, plan, config.docs.max_misaligned)
        where = args.folder if config.engine.fetch else config.engine.storage
    else:
        corpus, kept = build(args.folder, plan, config.processes, config.docs.max_misaligned)
    console = plain_console()
    print_corpus(console, corpus, args.folder, config.docs.max_misaligned)
    print_gaps(console, corpus, merged.labels)
    for key in changed:
        console.print(f"⚠ {key} was another when the answers were merged; merge again: weasel run merge")
    for name in pulled_otherwise:
        console.print(f"⚠ [datasets.{name}] was pulled with other settings, or by other code: weasel run data")
    unchanged = f", {kept} of them unchanged" if kept else ""
    console.print(f"✔ {where}: {plural(len(corpus.shards), 'shard')}{unchanged}")


if __name__ == "__main__":
    run_step(main)
