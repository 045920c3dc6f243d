"""Merge all answers about each text into gold.jsonl, and account for every answer and span."""

import argparse
from pathlib import Path

from scripts.core import manifest, settings
from scripts.core.errors import plain_console, run_step
from scripts.engines.engine import Dask
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import changed_blocks
from scripts.reporting.accounts import print_merge
from scripts.reporting.console import plural
from scripts.sources.limits import record_limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="rules of the merge: configs/datasets.cfg")
    parser.add_argument("annotations", type=Path, help="folder that pull has written: assets/annotations")
    parser.add_argument("output", type=Path, help="folder for the results: corpus")
    args, config = settings.parse(parser)
    resources = Resources(config.merge.memory_mb, config.processes, config.merge.buckets)
    rules = config.merge.between_annotators, resources, config.merge.contained
    pulled = manifest.load(args.annotations)
    with record_limit(config.pull.max_record_mb):
        changed = changed_blocks(pulled, args.annotations, config.datasets, config.options)
    request = (pulled, args.annotations, args.output, *rules)
    if isinstance(config.engine, Dask):
        from scripts.engines.merge import merge_on  # takes a second, and is for clusters alone

        merged, is_new = merge_on(config.engine, *request, config.options)
    else:
        merged, is_new = merge(*request, options=config.options)
    console = plain_console()
    print_merge(console, merged)
    for name in changed:
        console.print(f"⚠ [datasets.{name}] was pulled with other settings, or by other code: weasel run pull")
    texts, spans = plural(merged.totals["texts"], "text"), plural(merged.totals["spans"], "span")
    name = "gold.jsonl" if "gold.jsonl" in merged.outputs else "shards.json"
    console.print(f"✔ {args.output}/{name}: {texts}, {spans}{'' if is_new else ', as before'}")


if __name__ == "__main__":
    run_step(main)
