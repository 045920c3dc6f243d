"""The `[datasets.*]` blocks that `import` writes into the config, with what it proposes for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from scripts.core import settings
from scripts.core.errors import UserError, visible
from scripts.core.files import whole_path

_HEADER = re.compile(r"\s*\[([^\]]+)\]")
_DATASET = re.compile(r"^\s*\[datasets\.([^\].]+)", re.MULTILINE)


class Proposal(NamedTuple):
    """A key that a block could have, the evidence for it, and whether that is enough to write it, or only a comment."""

    key: str
    value: Any
    evidence: str
    is_active: bool

    def __str__(self) -> str:
        return f"{self.key} = {_as_value(self.value)}"


@dataclass(frozen=True)
class DatasetBlock:
    """A `[datasets.*]` block of the config; `str` gives its lines.

    doubt (str): Why it is commented out, if it is.
    """

    name: str
    reader: str
    options: dict[str, Any]
    proposals: tuple[Proposal, ...] = ()
    doubt: str = ""

    def __str__(self) -> str:
        lines = [f"[datasets.{self.name}]", f'@readers = "{self.reader}"']
        lines += [f"{key} = {_as_value(value)}" for key, value in self.options.items()]
        for proposal in self.proposals:
            lines += [_comment(proposal.evidence), str(proposal) if proposal.is_active else _comment(str(proposal))]
        if self.doubt:
            lines = [_comment(self.doubt), *(line if line.startswith("#") else _comment(line) for line in lines)]
        return "\n".join(lines) + "\n"


def block_names(config: str) -> list[str]:
    """Return the names of the `[datasets.*]` blocks in a config."""
    return _DATASET.findall(config)


def add_blocks(config: str, blocks: Iterable[DatasetBlock]) -> str:
    """Return the config with more blocks at its end; all that it has stays as it is."""
    pieces = [config.rstrip("\n") + "\n"] if config.strip() else []
    if not re.search(r"^\s*\[datasets\]", config, re.MULTILINE):
        pieces.append("[datasets]\n")
    return "\n".join([*pieces, *map(str, blocks)])


def remove_blocks(config: str) -> str:
    """Return the config without its `[datasets.*]` blocks. Comments above another section stay with it."""
    kept: list[str] = []
    held: list[str] = []  # comments and blank lines inside a block, which may belong to the next section
    inside = False
    for line in config.splitlines(keepends=True):
        header = _HEADER.match(line)
        if header:
            inside = header[1].startswith("datasets.")
            kept += [] if inside else held
            held = []
        if not inside:
            kept.append(line)
        elif not line.strip() or line.lstrip().startswith("#"):
            held.append(line)
        else:
            held = []
    return "".join(kept)


def set_split(config: str, values: Mapping[str, list[str]]) -> str:
    """Return the config with names added to lists in `[split]`."""
    lines = config.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if line.strip() == "[split]"), None)
    if start is None:
        lines += ["\n", "[split]\n"]
        start = len(lines) - 1
    for key, names in values.items():
        end = next((n for n in range(start + 1, len(lines)) if _HEADER.match(lines[n])), len(lines))
        there = next((n for n in range(start, end) if lines[n].partition("=")[0].strip() == key), None)
        if there is None:
            there = max(n for n in range(start, end) if lines[n].strip() and not lines[n].lstrip().startswith("#"))
            lines.insert(there + 1, f"{key} = {_as_value(names)}\n")
            continue
        with suppress(ValueError, TypeError):  # a value over several lines stays as it is
            others = json.loads(lines[there].partition("=")[2])
            lines[there] = f"{key} = {_as_value([*others, *(name for name in names if name not in others)])}\n"
    return "".join(lines)


def write_config(config: Path, content: str) -> None:
    """Write a config that can be loaded. RAISES (UserError): If it cannot; the previous one stays."""
    with whole_path(config) as path:
        path.write_text(content, "utf8")
        try:
            settings.load(path)
        except UserError as err:
            raise UserError(str(err).replace(str(path), str(config))) from err


def slug(name: str) -> str:
    """Return a name for a block: letters, digits and underscores."""
    return re.sub(r"\W+", "_", name).strip("_").lower() or "dataset"


def unique(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken: itself, or with a number."""
    others = set(taken)
    names = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(unique for unique in names if unique not in others)


def _as_value(value: Any) -> str:
    # A "$" would be a variable of the config.
    return json.dumps(value, ensure_ascii=False).replace("$", "\\u0024")


def _comment(line: str) -> str:
    return f"# {visible(' '.join(line.split()))}"
