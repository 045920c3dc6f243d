"""What is in files of whatever format, and the blocks of a config that name it."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from scripts.core.errors import UserError
from scripts.sources.source import Intake, Source

Reader = Callable[..., Any]

_HEADER = re.compile(r"\s*\[([^\]]+)\]")
_DATASET = re.compile(r"^\s*\[datasets\.([^\].]+)", re.MULTILINE)


@runtime_checkable
class Importable(Source, Protocol):
    """A Source that can tell what is in it. One that holds several datasets has `datasets` too, and one with a path
    `recognizes`, whether what is there is of its format.
    """

    def labels_found(self) -> Counter[str]:
        """How many spans each label has. All of it is read."""


@dataclass
class Part:
    """One file, folder or dataset, and what is in it.

    name (str): What it is called.
    reader (str), settings (dict[str, Any]): What reads it, with all settings but the labels.
    intake (Intake): The account of reading it.
    spans (Counter[str]), texts (Counter[str]): Of each label, how many spans, and how many texts that have one.
    """

    name: str
    reader: str
    settings: dict[str, Any]
    intake: Intake = field(default_factory=lambda: Intake(lambda _: None))
    spans: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Block:
    """A `[datasets.*]` block of a config."""

    name: str
    reader: str
    settings: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"[datasets.{self.name}]", f'@readers = "{self.reader}"']
        return "\n".join(lines + [f"{key} = {_value(value)}" for key, value in self.settings.items()]) + "\n"


def look(readers: Mapping[str, Reader], kind: str, path: str, settings: Mapping[str, Any]) -> list[Part]:
    """Read all that is at a path.

    readers (Mapping[str, Reader]): The registered functions by their names.
    kind (str): A format, which is the middle of the name of its reader in lower case; empty to recognize it.
    path (str): Where; for a database server, its `connection`.
    settings (Mapping[str, Any]): Further settings of the reader.
    RAISES (UserError): If there is nothing, or it cannot be told what it is, or no span is in it.
    """
    formats = {name.split(".")[1].lower(): name for name in readers}
    if not kind:
        kind = _recognised(formats, readers, path)
    if kind not in formats:
        raise UserError(f"--vars.format {kind}: there is no such format; there is {', '.join(sorted(formats))}")
    name = formats[kind]
    parts = [_read(readers[name], part) for part in _parts(name, readers[name], path, dict(settings))]
    if not any(part.spans.total() for part in parts):
        raise UserError(f"{path}: no span that can be used is in it, read as {kind}, so there is nothing to import")
    return parts


def blocks(parts: Iterable[Part], taken: Iterable[str], name: str = "") -> list[Block]:
    """A block for each label of each part.

    taken (Iterable[str]): The names that are there already.
    name (str): What the names begin with, instead of the name of the part.
    RAISES (UserError): If a name would be there twice.
    """
    found: dict[str, Block] = {}
    for part in parts:
        labels = sorted(label for label, spans in part.spans.items() if spans)
        for label in labels:
            words = [name or part.name] if len(labels) == 1 else [name or part.name, label]
            block = _unique(slug("_".join(words)), found)
            found[block] = Block(block, part.reader, _settings(part.settings, label))
    twice = [block for block in found if block in {one.casefold() for one in taken}]
    if twice:
        instead = "--vars.write replace takes it out, python -m scripts.import --name gives these other names"
        raise UserError(f"there is a [datasets.{twice[0]}] already: {instead}")
    return list(found.values())


def names_in(config: str) -> list[str]:
    """The names of the `[datasets.*]` blocks in a config."""
    return _DATASET.findall(config)


def added(config: str, new: Iterable[Block]) -> str:
    """The config with more blocks at its end; all that it has stays as it is."""
    pieces = [config.rstrip("\n") + "\n"] if config.strip() else []
    if not re.search(r"^\s*\[datasets\]", config, re.MULTILINE):
        pieces.append("[datasets]\n")
    return "\n".join([*pieces, *map(str, new)])


def without_datasets(config: str) -> str:
    """The config without its `[datasets.*]` blocks. Comments above another section stay with it."""
    kept: list[str] = []
    held: list[str] = []  # comments and blank lines inside a block, which may belong to what follows
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


def slug(name: str) -> str:
    """A name for a block: letters, digits and underscores."""
    return re.sub(r"\W+", "_", name).strip("_").lower() or "dataset"


def _recognised(formats: Mapping[str, str], readers: Mapping[str, Reader], path: str) -> str:
    """RAISES (UserError): If what is at a path looks like no format, or like several."""
    if not Path(path).expanduser().exists():
        raise UserError(f"{path}: no such file or folder; say with --vars.path where the annotations are")
    found = []
    for kind, name in sorted(formats.items()):
        if _place(readers[name]) != "path":
            continue
        try:
            found += [kind] if _source(readers[name], path, [], {}).recognizes() else []
        except (OSError, UserError):  # a folder for what reads files, a file for what reads text
            continue
    if len(found) == 1:
        return found[0]
    what = f"looks like {' and like '.join(found)}" if found else "looks like no format that can be read"
    raise UserError(f"{path}: {what}; say which it is with --vars.format, one of {', '.join(sorted(formats))}")


def _source(reader: Reader, path: str, labels: list[str], settings: Mapping[str, Any]) -> Any:
    """RAISES (UserError): If the reader does not take the settings."""
    takes = inspect.signature(reader).parameters
    unknown = [key for key in settings if key not in takes]
    if unknown:
        raise UserError(f"--reader.{unknown[0]}: there is no such setting; there is {', '.join(takes)}")
    given = {_place(reader): path, "labels": labels, **settings}
    return reader(**{"dataset": ""} | given if "dataset" in takes else given)


def _place(reader: Reader) -> str:
    """What the setting is called that says where to read."""
    return "path" if "path" in inspect.signature(reader).parameters else "connection"


def _parts(name: str, reader: Reader, path: str, settings: dict[str, Any]) -> list[Part]:
    where = {_place(reader): path}
    datasets = getattr(_source(reader, path, [], settings), "datasets", None)
    if datasets is None or "dataset" in settings:
        called = settings.get("dataset") or Path(path).expanduser().resolve().name.split(".")[0]
        return [Part(called, name, where | settings)]
    return [Part(dataset, name, where | {"dataset": dataset} | settings) for dataset in datasets()]


def _read(reader: Reader, part: Part) -> Part:
    """Read a part with all labels that are in it."""
    settings = {key: value for key, value in part.settings.items() if key != _place(reader)}
    path = part.settings[_place(reader)]
    labels = sorted(_source(reader, path, [], settings).labels_found())
    if not labels:
        return part
    part.spans.update(dict.fromkeys(labels, 0))
    source = _source(reader, path, labels, settings)
    source.check()
    for tasks in source.read(part.name, part.intake):
        found = Counter(span.label for task in tasks for span in task.spans)
        part.intake.keep(len(tasks), found.total())
        part.spans.update(found)
        part.texts.update(found.keys())
    part.intake.assert_adds_up()
    return part


def _settings(settings: dict[str, Any], label: str) -> dict[str, Any]:
    """Those of a block: where, then which label, then the rest."""
    first = {key: value for key, value in settings.items() if key in ("path", "connection", "dataset")}
    return first | {"labels": [label]} | {key: value for key, value in settings.items() if key not in first}


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    number = 2
    found = name
    while found in taken:
        found = f"{name}_{number}"
        number += 1
    return found


def _value(value: Any) -> str:
    """JSON; with what would be a variable of the config written so that it is none."""
    return json.dumps(value, ensure_ascii=False).replace("$", "\\u0024")
