"""Write all results of the runs as one HTML page."""

import argparse
from pathlib import Path

from scripts.core.errors import plain_console, run_step
from scripts.core.files import whole_file
from scripts.page.contents import load
from scripts.page.page import render
from scripts.reporting.console import plural


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", type=Path, help="folder of the runs: metrics")
    parser.add_argument("--corpus", type=Path, default=Path("corpus"), help="for coverage.csv; default: %(default)s")
    parser.add_argument("--output", type=Path, help="default: report.html in the folder of the runs")
    parser.add_argument("--without-texts", action="store_true", help="for readers who may not see the texts")
    args = parser.parse_args()
    output = args.output or args.metrics / "report.html"
    found = load(args.metrics, args.corpus, with_texts=not args.without_texts)
    page = render(found)
    with whole_file(output) as file:
        file.write(page)
    size = f"{len(page) / 1e6:.2f} MB"
    plain_console().print(f"✔ {output}: {plural(len(found.runs), 'run')}, {size}; open it in a browser")


if __name__ == "__main__":
    run_step(main)
