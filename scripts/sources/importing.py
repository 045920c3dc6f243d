"""Import: read all annotations at a path, whatever their format, and add a block for each label to the config."""

import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from scripts.core import settings
from scripts.core.errors import UserError
from scripts.core.files import whole_path
from scripts.sources.source import Intake

# A registered function. What it returns can be imported if it has `labels_found()`, the number of spans of each label,
# and, with a path, `recognizes()`. A source of several datasets has `datasets()`, their names.
Reader = Callable[..., Any]

_HEADER = re.compile(r"\s*\[([^\]]+)\]")
_DATASET = re.compile(r"^\s*\[datasets\.([^\].]+)", re.MULTILINE)


@dataclass
class FoundDataset:
    """A file, folder or dataset with annotations.

    reader (str), options (dict[str, Any]): Its reader, with all options but the labels.
    intake (Intake): The account of reading it.
    spans (Counter[str]), texts (Counter[str]): Of each label, the number of its spans and of texts that have one.
    """

    name: str
    reader: str
    options: dict[str, Any]
    intake: Intake = field(default_factory=lambda: Intake(lambda _: None))
    spans: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class DatasetBlock:
    """A `[datasets.*]` block of the config; `str` gives its lines."""

    name: str
    reader: str
    options: dict[str, Any]

    def __str__(self) -> str:
        # A "$" would be a variable of the config.
        values = {key: json.dumps(value, ensure_ascii=False) for key, value in self.options.items()}
        lines = [f"{key} = {value}".replace("$", "\\u0024") for key, value in values.items()]
        return "\n".join([f"[datasets.{self.name}]", f'@readers = "{self.reader}"', *lines]) + "\n"


def find_datasets(format_name: str, path: str, options: Mapping[str, Any]) -> list[FoundDataset]:
    """Read all annotations at a path.

    format_name (str): The name of a reader, or the middle of it; empty to recognize it.
    path (str): A file or folder; for a database server, its `connection`.
    options (Mapping[str, Any]): Further options of the reader.
    RAISES (UserError): If there is nothing, its format is not known, or no span is in it.
    """
    readers = settings.readers()
    formats = {name.split(".")[1].lower(): name for name in readers}
    full_names = {name.lower(): short for short, name in formats.items()}
    format_name = full_names.get(format_name.lower(), format_name.lower())
    format_name = format_name or _recognize({name: readers[formats[name]] for name in sorted(formats)}, path)
    if format_name not in formats:
        there = ", ".join(sorted(formats))
        raise UserError(f"--vars.format {format_name}: there is no such format; there is {there}")
    reader_name = formats[format_name]
    reader = readers[reader_name]
    where: dict[str, Any] = {_path_option(reader): path}
    list_datasets = getattr(_make_source(reader, [], {**where, **options}), "datasets", None)
    if list_datasets is None or "dataset" in options:
        name = options.get("dataset") or Path(path).expanduser().resolve().name.split(".")[0]
        found = [FoundDataset(name, reader_name, {**where, **options})]
    else:
        found = [FoundDataset(name, reader_name, {**where, "dataset": name, **options}) for name in list_datasets()]
    for dataset in found:
        _read(reader, dataset)
    if not any(dataset.spans.total() for dataset in found):
        raise UserError(f"{path}: no span that can be used is in it, read as {format_name}: there is nothing to import")
    return found


def make_blocks(datasets: Iterable[FoundDataset], taken: Iterable[str], prefix: str = "") -> list[DatasetBlock]:
    """Make a block for each label of each dataset.

    taken (Iterable[str]): The names of other blocks.
    prefix (str): Begins all names, instead of the name of the dataset.
    RAISES (UserError): If a name is taken.
    """
    blocks: dict[str, DatasetBlock] = {}
    for dataset in datasets:
        labels = sorted(label for label, spans in dataset.spans.items() if spans)
        for label in labels:
            words = [prefix or dataset.name] + ([label] if len(labels) > 1 else [])
            name = _unique(slug("_".join(words)), blocks)
            first = {key: value for key, value in dataset.options.items() if key in ("path", "connection", "dataset")}
            blocks[name] = DatasetBlock(name, dataset.reader, first | {"labels": [label]} | dataset.options)
    folded = {name.casefold() for name in taken}
    if twice := [name for name in blocks if name in folded]:
        instead = "--vars.write replace takes it out, python -m scripts.import --name gives these other names"
        raise UserError(f"there is a [datasets.{twice[0]}] already: {instead}")
    return list(blocks.values())


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


def _recognize(readers: Mapping[str, Reader], path: str) -> str:
    """Return the format of what is at a path. RAISES (UserError): If it looks like none, or like several."""
    if not Path(path).expanduser().exists():
        raise UserError(f"{path}: no such file or folder; say with --vars.path where the annotations are")
    found = []
    for name, reader in readers.items():
        if _path_option(reader) != "path":
            continue
        try:
            found += [name] if _make_source(reader, [], {"path": path}).recognizes() else []
        except (OSError, UserError):  # a folder where a file is expected, bytes where text is
            continue
    found = [name for name in found if not getattr(readers[name], "is_fallback", False)] or found
    if len(found) == 1:
        return found[0]
    what = f"looks like {' and like '.join(found)}" if found else "looks like no format that can be read"
    raise UserError(f"{path}: {what}; say which it is with --vars.format, one of {', '.join(readers)}")


def _path_option(reader: Reader) -> str:
    return "path" if "path" in inspect.signature(reader).parameters else "connection"


def _make_source(reader: Reader, labels: list[str], options: Mapping[str, Any]) -> Any:
    """RAISES (UserError): If the reader has no such option."""
    allowed = inspect.signature(reader).parameters
    unknown = [key for key in options if key not in allowed]
    if unknown:
        raise UserError(f"--reader.{unknown[0]}: there is no such setting; there is {', '.join(allowed)}")
    given = {"labels": labels, **options}
    return reader(**{"dataset": "", **given} if "dataset" in allowed else given)


def _read(reader: Reader, dataset: FoundDataset) -> None:
    labels = sorted(_make_source(reader, [], dataset.options).labels_found())
    if not labels:
        return
    dataset.spans.update(dict.fromkeys(labels, 0))
    source = _make_source(reader, labels, dataset.options)
    source.check()
    for tasks in source.read(dataset.name, dataset.intake):
        spans = Counter(span.label for task in tasks for span in task.spans)
        dataset.intake.keep(len(tasks), spans.total())
        dataset.spans.update(spans)
        dataset.texts.update(spans.keys())
    dataset.intake.assert_adds_up()


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    names = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(unique for unique in names if unique not in taken)
