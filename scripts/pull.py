"""Pull the annotations of every dataset into one format, and account for every record and span."""

import argparse
from pathlib import Path

from scripts.core import settings
from scripts.core.errors import plain_console, run_step
from scripts.engines.engine import Dask
from scripts.merging.pull import pull
from scripts.reporting.accounts import print_pulled
from scripts.reporting.console import plural
from scripts.sources.names import name_warnings, read_twice, untaken_labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="names the datasets: configs/datasets.cfg")
    parser.add_argument("output", type=Path, help="folder for the annotations: assets/annotations")
    parser.add_argument("--fresh", action="store_true", help="read unchanged sources too")
    args, config = settings.parse(parser)
    limit = config.pull.max_skipped
    if isinstance(config.engine, Dask):
        from scripts.engines.pull import pull_on  # takes a second, and is for clusters alone

        manifest, unchanged = pull_on(
            config.engine, config.datasets, args.output, limit, args.fresh, config.options, config.pull.max_record_mb
        )
    else:
        manifest, unchanged = pull(
            config.datasets, args.output, limit, config.processes, args.fresh,
            options=config.options, max_record_mb=config.pull.max_record_mb,
        )  # fmt: skip
    console = plain_console()
    warnings = [*name_warnings(config.datasets, manifest.datasets), *read_twice(config.datasets, config.options)]
    print_pulled(console, manifest.datasets, untaken_labels(config.datasets, manifest.datasets), warnings)
    if any(entry.reasons for entry in manifest.datasets.values()):
        console.print(f"{args.output}/skipped/ lists all that was skipped")
    note = f", {len(unchanged)} unchanged" if unchanged else ""
    console.print(f"✔ {args.output}: {plural(len(manifest.datasets), 'dataset')}{note}")


if __name__ == "__main__":
    run_step(main)
