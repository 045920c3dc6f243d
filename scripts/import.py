"""Find the annotations in a file or folder of any format, and add a block for each label to the config."""

import argparse
from pathlib import Path

from scripts.core.errors import UserError, plain_console, run_step
from scripts.core.settings import overrides
from scripts.reporting.accounts import print_found, said_of_blocks
from scripts.reporting.console import plural
from scripts.sources.blocks import write_config
from scripts.sources.importing import find_datasets, find_path, path_and_options, unread_files
from scripts.sources.planning import plan_import


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", default="", help="a file or folder; of a server, its `connection`")
    parser.add_argument("--format", default="", help="of the annotations; default: recognized by their content")
    parser.add_argument("--config", type=Path, default=Path("configs/datasets.cfg"), help="default: %(default)s")
    parser.add_argument("--write", choices=("add", "replace", "nothing"), default="add",
                        help="add blocks, replace all others, or only show them; default: %(default)s")  # fmt: skip
    parser.add_argument("--name", default="", help="beginning of the blocks' names; default: the path's last part")
    args, rest = parser.parse_known_args()
    words, rest = path_and_options(args.path, rest)
    if not words:
        raise UserError("a path is needed, to a file or folder with annotations: weasel run import . --vars.path PATH")
    path = find_path(words)
    options = overrides(rest, "--reader.without_spans annotated")
    found = find_datasets(args.format, path, {key.removeprefix("reader."): options[key] for key in options})
    plan = plan_import(found, args.config, args.write, args.name)
    console = plain_console()
    print_found(console, found, [*plan.said, *unread_files(path, found)])
    if args.write == "nothing":
        console.print("\n" + "\n".join(map(str, plan.blocks)))
        return
    if any(block.state == "new" for block in plan.blocks):
        write_config(args.config, plan.config)
    if plan.others:
        console.print(f"{plural(len(plan.others), 'other block')} unchanged; --vars.write replace takes them out.")
    done = f"{args.config}: {said_of_blocks(plan.blocks)}"
    if taken := [block for block in plan.blocks if block.state == "taken"]:
        said = f"[datasets.{taken[0].name}] reads another source ({taken[0].difference})"
        raise UserError(
            f"{done}; {plural(len(taken), 'block')} not added, since their names are taken: {said}. "
            "python -m scripts.import --name gives other names, --vars.write replace takes all blocks out"
        )
    console.print(f"✔ {done}")


if __name__ == "__main__":
    run_step(main)
