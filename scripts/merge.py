"""Merge the answers about each text, chunkwise by hash, into what is known of it, label by label."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.core import manifest, settings
from scripts.core.errors import run_step
from scripts.engines.engine import Dask
from scripts.merging.merge import Resources, merge
from scripts.reporting.accounts import print_merge
from scripts.reporting.console import plain_console, plural


def main() -> None:
    """Read the config, merge, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="says how answers are merged: configs/datasets.cfg")
    parser.add_argument("annotations", type=Path, help="folder of what was pulled: assets/annotations")
    parser.add_argument("output", type=Path, help="folder for the result: corpus")
    args, config = settings.parse(parser)
    resources = Resources(config.merge.memory_mb, config.processes, config.merge.buckets)
    pulled = manifest.load(args.annotations)
    policy, parts = config.merge.between_annotators, config.merge.contained
    asked = (pulled, args.annotations, args.output, policy)
    if isinstance(config.engine, Dask):
        from scripts.engines.merge import merge_on  # which needs what else nobody needs

        merged, is_new = merge_on(config.engine, *asked, parts, resources)
    else:
        merged, is_new = merge(*asked, resources, parts)
    console = plain_console()
    print_merge(console, merged)
    said = f"{plural(merged.totals['texts'], 'text')}, {plural(merged.totals['spans'], 'span')}"
    where = "gold.jsonl" if "gold.jsonl" in merged.outputs else "shards.json"
    console.print(f"✔ {args.output}/{where}: {said}{'' if is_new else ', as before'}")


if __name__ == "__main__":
    run_step(main)
