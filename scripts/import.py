"""Find the annotations in a file or folder of any format, and add a block for each label to the config."""

import argparse
from pathlib import Path

from scripts.core.errors import UserError, run_step
from scripts.core.settings import overrides
from scripts.reporting.accounts import print_found
from scripts.reporting.console import plain_console, plural
from scripts.sources.importing import add_blocks, block_names, find_datasets, make_blocks, remove_blocks, write_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", default="", help="a file or folder; the `connection` of a database server")
    parser.add_argument("--format", default="", help="of the annotations; default: recognized by their content")
    parser.add_argument("--config", type=Path, default=Path("configs/datasets.cfg"), help="default: %(default)s")
    parser.add_argument("--write", choices=("add", "replace", "nothing"), default="add",
                        help="add blocks, replace all others, or only show them; default: %(default)s")  # fmt: skip
    parser.add_argument("--name", default="", help="beginning of the blocks' names; default: the path's last part")
    args, rest = parser.parse_known_args()
    if not args.path:
        raise UserError("a path is needed, to a file or folder with annotations: weasel run import . --vars.path PATH")
    options = overrides(rest, "--reader.without_spans annotated")
    found = find_datasets(args.format, args.path, {key.removeprefix("reader."): options[key] for key in options})
    console = plain_console()
    print_found(console, found)
    before = args.config.read_text("utf-8-sig") if args.config.exists() else ""
    kept = remove_blocks(before) if args.write == "replace" else before
    others = block_names(kept)
    blocks = make_blocks(found, () if args.write == "nothing" else others, args.name)
    if args.write == "nothing":
        console.print("\n" + "\n".join(map(str, blocks)))
        return
    write_config(args.config, add_blocks(kept, blocks))
    if others:
        console.print(f"{plural(len(others), 'other block')} unchanged; --vars.write replace takes them out.")
    console.print(f"✔ {args.config}: {plural(len(blocks), 'block')}, {blocks[0].name} to {blocks[-1].name}")


if __name__ == "__main__":
    run_step(main)
