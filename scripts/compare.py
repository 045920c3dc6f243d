"""Compare runs label by label with a baseline, on the texts that both were scored on."""

import argparse
from pathlib import Path

from scripts.core.errors import UserError, plain_console, run_step
from scripts.core.files import whole_file, write_json
from scripts.reporting.comparison import MAX_RUNS, print_comparison, to_csv, to_markdown
from scripts.reporting.console import plural, print_skipped
from scripts.scoring.comparison import choose_baseline, choose_runs, compare_runs, load_gate, pass_gate
from scripts.scoring.runs import load_comparable, load_some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", type=Path, help="folder of the runs: metrics")
    parser.add_argument("--baseline", help="a run, or the beginning of its name; default: the one before the newest")
    parser.add_argument("--runs", nargs="+", default=[], help="runs to compare with it; default: the last ones")
    parser.add_argument("--output", type=Path, help="folder for compare.csv, .json and .md; default: that of the runs")
    parser.add_argument(
        "--gate",
        type=Path,
        nargs="?",
        const=Path("configs/gate.cfg"),
        help="exit 1 if a label of the newest run fails these floors and drops; default: %(const)s",
    )
    args = parser.parse_args()
    output = args.output or args.metrics
    console = plain_console()
    runs, skipped = (load_some if args.baseline or args.runs else load_comparable)(args.metrics)
    print_skipped(console, skipped)
    baseline = choose_baseline(runs, args.baseline)
    shown = choose_runs(runs, args.runs, baseline, MAX_RUNS)
    found = compare_runs(args.metrics, shown, baseline)
    print_comparison(console, shown, found)
    gated = pass_gate(load_gate(args.gate), shown, found) if args.gate else None
    markdown = to_markdown(runs, found, gated).encode()
    for name, content in (("compare.csv", to_csv(runs, found)), ("compare.md", markdown)):
        with whole_file(output / name) as file:
            file.write(content)
    write_json(output / "compare.json", found)
    console.print(f"✔ {output}/compare.csv, .json, .md: {plural(len(runs), 'run')}")
    if gated:
        for name, reason in gated.failures.items():
            console.print(f"✘ {name}: {reason}", soft_wrap=True)
        if gated.failures:
            raise UserError(f"{gated.run}: {len(gated.failures)} of {gated.rows} rows do not pass {args.gate}")
        console.print(f"✔ {gated.run} passes {args.gate}")


if __name__ == "__main__":
    run_step(main)
