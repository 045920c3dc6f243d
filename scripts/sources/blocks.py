"""The `[datasets.*]` blocks that `import` writes into the config, with what it proposes for them."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count, groupby, takewhile
from pathlib import Path
from shutil import copymode
from typing import Any, Literal, NamedTuple
from unicodedata import combining, is_normalized, normalize

from scripts.core import settings
from scripts.core.errors import UserError, visible
from scripts.core.files import whole_path

_HEADER = re.compile(r"\[([^\]]+)\]")
PLACE = ("path", "connection", "dataset", "project")  # the keys that say where a source is
_DATASETS = "datasets."
_MAX_NAME = 80


class Proposal(NamedTuple):
    """A key that a block could have, the evidence for it, and whether that is enough to write it, or only a comment."""

    key: str
    value: Any
    evidence: str
    is_active: bool

    def __str__(self) -> str:
        return f"{self.key} = {as_value(self.value)}"


@dataclass(frozen=True)
class DatasetBlock:
    """A `[datasets.*]` block of the config; `str` gives its lines.

    doubt (str): Why it is commented out, if it is.
    state (str): Beside the blocks of the config, it is "new"; or one is the "same", reads the same but "differs", or
        has its name, which is "taken".
    difference (str): Of the block that there is: its values, where they differ.
    """

    name: str
    reader: str
    options: dict[str, Any]
    proposals: tuple[Proposal, ...] = ()
    doubt: str = ""
    state: Literal["new", "same", "differs", "taken"] = "new"
    difference: str = ""

    def __str__(self) -> str:
        lines = [f"[datasets.{self.name}]", f'@readers = "{self.reader}"']
        lines += [f"{key} = {as_value(value)}" for key, value in self.options.items()]
        for proposal in self.proposals:
            lines += [_comment(proposal.evidence), str(proposal) if proposal.is_active else f"# {proposal}"]
        if self.doubt:
            lines = [_comment(self.doubt), *(line if line.startswith("#") else f"# {line}" for line in lines)]
        return "\n".join(lines) + "\n"

    @property
    def is_written(self) -> bool:
        """Whether it becomes a part of the config, and not a comment."""
        return self.state == "new" and not self.doubt


class _Line(NamedTuple):
    """A line of a config, with its section, and the key whose value it has, or goes on with; else the key is empty."""

    section: str
    key: str
    text: str

    @property
    def is_filled(self) -> bool:
        """Whether it is neither blank nor a comment."""
        return self.text.strip()[:1] not in ("", "#", ";")


def _lines(config: str) -> Iterator[_Line]:
    """Yield the lines as ConfigParser reads them: what is indented more than a key belongs to its value."""
    section = key = ""
    indent = 0
    for text in re.findall(r"[^\n]*\n|[^\n]+", config):
        content = text.strip()
        if not content or content[0] in "#;":
            yield _Line(section, "", text)
            continue
        here = len(text) - len(text.lstrip())
        if not key or here <= indent:
            header, indent = _HEADER.match(content), here
            section, key = (header[1], "") if header else (section, re.split("[=:]", content, maxsplit=1)[0].strip())
        yield _Line(section, key, text)


def block_names(config: str) -> list[str]:
    """Return the names of the `[datasets.*]` blocks in a config."""
    blocks = (line.section.split(".")[1] for line in _lines(config) if line.section.startswith(_DATASETS))
    return list(dict.fromkeys(blocks))


def add_blocks(config: str, blocks: Iterable[DatasetBlock]) -> str:
    """Return the config with more blocks at its end; all that it has stays as it is."""
    pieces = [config.rstrip("\n") + "\n"] if config.strip() else []
    if all(line.section != "datasets" for line in _lines(config)):
        pieces.append("[datasets]\n")
    return "\n".join([*pieces, *map(str, blocks)])


def remove_blocks(config: str) -> str:
    """Return the config without its `[datasets.*]` blocks. Comments above another section stay with it."""
    kept: list[str] = []
    held: list[str] = []  # comments and blank lines inside a block, which may belong to the next section
    for section, lines in groupby(_lines(config), key=lambda line: line.section):
        inside = list(lines)
        if section.startswith(_DATASETS):
            held = [line.text for line in takewhile(lambda line: not line.is_filled, reversed(inside))][::-1]
        else:
            kept += [*held, *(line.text for line in inside)]
            held = []
    return "".join(kept)


def set_split(config: str, values: Mapping[str, list[str]]) -> str:
    """Return the config with names added to lists in `[split]`. RAISES (UserError): If one is no list."""
    for key, names in values.items():
        config += "" if not config or config.endswith("\n") else "\n"
        lines = list(_lines(config))
        own = [n for n, line in enumerate(lines) if (line.section, line.key) == ("split", key)]
        others = _names("".join(lines[n].text for n in own), key) if own else []
        added = f"{key} = {as_value([*others, *(name for name in names if name not in others)])}\n"
        filled = [n for n, line in enumerate(lines) if line.section == "split" and line.is_filled]
        texts = [line.text for line in lines]
        if own:
            texts[own[0] : own[-1] + 1] = [added]
        elif filled:
            texts.insert(filled[-1] + 1, added)
        else:
            texts += ["\n", "[split]\n", added]
        config = "".join(texts)
    return config


def _names(lines: str, key: str) -> list[str]:
    """Return the list of names that is the value of a key. RAISES (UserError): If it is another value."""
    with suppress(ValueError):
        names = json.loads(re.split("[=:]", lines, maxsplit=1)[1])
        if isinstance(names, list):
            return names
    raise UserError(f'[split] {key}: make it a list of names, ["name", "other"], so that others can be added')


def read_config(config: Path) -> str:
    """Return the content of a config, nothing if there is none. RAISES (UserError): If it is not UTF-8."""
    try:
        return config.read_text("utf-8-sig") if config.exists() else ""
    except UnicodeDecodeError as err:
        raise UserError(f"{config}: is not UTF-8") from err


def write_config(config: Path, content: str) -> None:
    """Write a config that can be loaded, with the line ends, the mark of UTF-8 and the mode that it had.

    RAISES (UserError): If it cannot be loaded; the previous one stays.
    """
    before = config.read_bytes() if config.exists() else b""
    encoding = "utf-8-sig" if before.startswith(BOM_UTF8) else "utf-8"
    with whole_path(config.resolve()) as path:  # which may be a link
        # A name of a file that is not UTF-8 stands in comments alone as it is; values are escaped.
        path.write_text(content, encoding, "backslashreplace", newline="\r\n" if b"\r\n" in before else "\n")
        if before:
            copymode(config, path)
        try:
            settings.load(path)
        except UserError as err:
            raise UserError(str(err).replace(str(path), str(config))) from err


def slug(name: str) -> str:
    """Return a name for a block: letters, digits and underscores."""
    letters = re.sub(r"\W+", "_", normalize("NFC", normalize("NFC", name).lower()))
    return letters.strip("_")[:_MAX_NAME].strip("_") or "dataset"


def unique(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken, in any case: itself, or with a number."""
    others = {other.casefold() for other in taken}
    names = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(unique for unique in names if unique.casefold() not in others)


def as_value(value: Any) -> str:
    """Format a value so that it is read back equal: what a console would obey or a config take for a variable or line
    end is escaped, and an accent that is a character of its own, since an é with it looks like any other.
    """
    characters = json.dumps(value, ensure_ascii=False).replace("$", "\\u0024")
    accents = {*filter(combining, characters)} if not is_normalized("NFC", characters) else ()
    return "".join(c if c.isprintable() and c not in accents else json.dumps(c)[1:-1] for c in characters)


def _comment(line: str) -> str:
    return f"# {visible(' '.join(line.split()))}"
