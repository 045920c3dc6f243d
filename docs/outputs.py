"""Regenerate the blocks of output in README.md and docs/, or check that they are current.

    python -m docs.outputs                       run the demo in a copy of the project, replace the blocks
    python -m docs.outputs --check               exit 1 where a block is not what its command prints now
    python -m docs.outputs --project FOLDER      use a copy in which `weasel run all` was run

A block is a fenced block below a comment that names its command. A comment of several lines runs all of them, and
shows the output of the last:

    <!-- output of: weasel run consistency -->
    ```
    ...
    ```

Scores differ slightly from one processor to another: of commands that train or use a model, --check compares only the
first line, which has the names of the columns. Times and digests are masked in all of them. The last line of each step,
with its duration and memory, is left out of the blocks.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(<!-- output of:\s*(.*?)\s*-->\n```\n)(.*?)(```\n)", re.DOTALL)
TRAINED = re.compile(r"\b(evaluate|compare|next|queue|suspects|seed-variance|learning-curve|train-label)\b")
MASKS = (
    (re.compile(r"\b[\d,.]+ s\b"), "… s"),
    (re.compile(r"\b[\d,]+ words/s"), "… words/s"),
    (re.compile(r"-[0-9a-f]{8}\b"), "-…"),
)
USAGE = re.compile(r"^(?:[\d.]+ s|\d+ min \d+ s|\d+ h \d+ min)(?:, [\d,]+ MB(?: in \d+ processes)?)?\n", re.MULTILINE)
COLOR = re.compile(r"\x1b\[[\d;]*m")
WEASEL = re.compile(r"=+ .* =+|Running command: .*|ℹ .*")  # what weasel itself prints around a step


def pages() -> list[Path]:
    """README.md and the pages of docs/. comparing.md is last: it trains another run, which `next` would go by."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return sorted(found, key=lambda page: page.name == "comparing.md")


def commands(page: Path) -> list[str]:
    """The commands, by line, of a page's blocks of output."""
    return [command for _, command, _, _ in BLOCK.findall(page.read_text("utf8"))]


def main() -> None:
    """Run the commands of all blocks in one project, replace the blocks or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a block is not current")
    parser.add_argument("--project", type=Path, help="a copy of the project in which `weasel run all` was run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = args.project.resolve() if args.project else run_demo(copy_project(Path(folder, "labelwise")))
        printed = {command: output(command, project) for page in pages() for command in commands(page)}
    differing = list(differences(printed))
    if not args.check:
        for page in pages():
            page.write_text(updated(page, printed), "utf8")
        print(f"✔ {len(differing)} blocks changed")
    elif differing:
        print(*differing, sep="\n\n")
        sys.exit(f"✘ {len(differing)} blocks are not current; run: python -m docs.outputs")


def copy_project(folder: Path) -> Path:
    """Copy the files that git knows, as they are in the working tree, into a new folder."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf8", check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def run_demo(project: Path) -> Path:
    """Run everything once in a copy of the project."""
    shell("weasel run all", project)
    return project


def updated(page: Path, printed: dict[str, str]) -> str:
    """The text of a page, with what each command printed."""
    return BLOCK.sub(lambda block: block[1] + printed[block[2]] + block[4], page.read_text("utf8"))


def output(command: str, project: Path) -> str:
    """Run the lines of a command one after the other. RETURNS (str): What the last one prints."""
    printed = ""
    for line in command.splitlines():
        printed = without_usage(shell(line, project) + "\n")
    return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines()) + "\n"


def without_usage(printed: str) -> str:
    """Leave out the last line of each step: how long it took, and its peak memory."""
    return USAGE.sub("", printed)


def shell(command: str, folder: Path) -> str:
    """Run one command as in a terminal of 80 columns; of weasel, a step that it would skip too.

    RETURNS (str): What it prints, without weasel's own lines.
    """
    is_weasel = command.startswith("weasel run")
    forced = f"{command} --force" if is_weasel and command != "weasel run all" else command
    done = subprocess.run(
        ["bash", "-c", forced], cwd=folder, encoding="utf8", capture_output=True,
        env=os.environ | {"COLUMNS": "80", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"✘ {command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    lines = COLOR.sub("", done.stdout).splitlines()
    return "\n".join(line for line in lines if not (is_weasel and WEASEL.fullmatch(line)))


def differences(printed: dict[str, str]) -> Iterator[str]:
    """Name each block that differs from what its command printed, with both versions."""
    for page in pages():
        for _, command, old, _ in BLOCK.findall(page.read_text("utf8")):
            if comparable(command, old) != comparable(command, printed[command]):
                yield f"{page.relative_to(ROOT)}: {command}\n--- in the page\n{old}--- now\n{printed[command]}"


def comparable(command: str, printed: str) -> str:
    """A block with its times and digests masked; of a command that needs a model, the first line without numbers."""
    for pattern, mask in MASKS:
        printed = pattern.sub(mask, printed)
    if TRAINED.search(command):
        first = printed.lstrip("\n").partition("\n")[0]
        return " ".join(re.sub(r"[\d.,]+", "0", first).split())
    return printed


if __name__ == "__main__":
    main()
