"""Look into annotations of whatever format, say what is in them, and name them in the config, a block a label."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.core import settings
from scripts.core.errors import UserError, run_step
from scripts.core.files import whole_path
from scripts.core.settings import overrides
from scripts.reporting.accounts import print_found
from scripts.reporting.console import plain_console, plural
from scripts.sources.importing import added, blocks, look, names_in, without_datasets


def main() -> None:
    """Look, report, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", default="", help="a file or folder; the `connection` of a database server")
    parser.add_argument("--format", default="", help="of the annotations; default: recognized by their content")
    parser.add_argument("--config", type=Path, default=Path("configs/datasets.cfg"), help="default: %(default)s")
    parser.add_argument("--write", choices=("add", "replace", "nothing"), default="add",
                        help="add blocks, replace all others, or only look; default: %(default)s")  # fmt: skip
    parser.add_argument("--name", default="", help="what the blocks' names begin with, not the path's last part")
    args, rest = parser.parse_known_args()
    if not args.path:
        raise UserError("a path is needed, to a file or folder with annotations: weasel run import . --vars.path PATH")
    given = overrides(rest, "--reader.without_spans annotated")
    parts = look(settings.readers(), args.format, args.path, {key.removeprefix("reader."): given[key] for key in given})
    console = plain_console()
    print_found(console, parts)
    before = args.config.read_text("utf-8-sig") if args.config.exists() else ""
    kept = without_datasets(before) if args.write == "replace" else before
    new = blocks(parts, names_in(kept) if args.write != "nothing" else (), args.name)
    if args.write == "nothing":
        console.print("\n" + "\n".join(map(str, new)))
        return
    write(args.config, added(kept, new))
    if names_in(kept):
        others = plural(len(names_in(kept)), "other block")
        console.print(f"The {others} in it are as they were; --vars.write replace takes them out.")
    console.print(f"✔ {args.config}: {plural(len(new), 'block')}, {new[0].name} to {new[-1].name}")


def write(config: Path, content: str) -> None:
    """Write a config that can be read. RAISES (UserError): If this one could not; the one before stays."""
    with whole_path(config) as path:
        path.write_text(content, "utf8")
        try:
            settings.load(path)
        except UserError as err:
            raise UserError(str(err).replace(str(path), str(config))) from err


if __name__ == "__main__":
    run_step(main)
