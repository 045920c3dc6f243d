"""configs/datasets.cfg, in spaCy's config system: what is read, and by which rules it is merged and split.

https://spacy.io/api/data-formats#config has the format; `[datasets.*]` blocks name a reader each, and what a block
allows is in the docstring of its function.
"""

from __future__ import annotations

import configparser
import importlib
import inspect
import pkgutil
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
from confection import Config, ConfigValidationError

import scripts.sources
from scripts.core.errors import UserError
from scripts.core.overrides import overrides
from scripts.core.registry import registry
from scripts.core.workers import available_cores
from scripts.engines.engine import Engine, Local
from scripts.merging.decide import Parts, Policy
from scripts.sources.source import Source

for _module in pkgutil.iter_modules(scripts.sources.__path__, "scripts.sources."):
    importlib.import_module(_module.name)  # so that its reader is registered


class Pull(msgspec.Struct, frozen=True):
    """max_skipped (float): Share of a dataset's records, or of its spans, that may be unusable."""

    max_skipped: float


class Merge(msgspec.Struct, frozen=True):
    """between_annotators (Policy): See `decide`. parts (Parts): See `map_parts`. The rest: See `Resources`."""

    between_annotators: Policy
    parts: Parts
    memory_mb: int
    buckets: int


class HashSplit(msgspec.Struct, frozen=True):
    """dev, test (float): Shares. See `hash_split`."""

    dev: float
    test: float
    document: str
    dev_datasets: list[str]
    test_datasets: list[str]


class Docs(msgspec.Struct, frozen=True):
    """misaligned (str): See `docs`."""

    misaligned: Literal["snap", "refuse"]


@registry.misc("labelwise.Pull.v1")
def pull(max_skipped: float = 0.2) -> Pull:
    """Rules of `pull`.

    max_skipped (float): The step stops if more than this share of a dataset's records, or spans, cannot be used.
    """
    _demand(0 <= max_skipped <= 1, "max_skipped", max_skipped, "a number from 0 to 1")
    return Pull(max_skipped)


@registry.misc("labelwise.Merge.v1")
def merge(
    between_annotators: Policy = "majority", parts: Parts = "keep", memory_mb: int = 512, buckets: int = 0
) -> Merge:
    """Rules of `merge`.

    between_annotators (str): What counts where annotators differ: "majority", "union", "intersection" or "latest".
    parts (str): Texts that are parts of longer ones, such as the sentences that ner.teach asks about, are kept as texts
        of their own ("keep"), or binary answers about them are moved to the longer text ("map").
    memory_mb (int): What all processes together may take, in MB of 1024 * 1024 bytes.
    buckets (int): Into how many parts the texts are divided, 0 to choose by the size of the data and the memory.
    """
    policies = get_args(Policy)
    _demand(between_annotators in policies, "between_annotators", between_annotators, f"one of {', '.join(policies)}")
    _demand(parts in get_args(Parts), "parts", parts, f"one of {', '.join(get_args(Parts))}")
    _demand(memory_mb >= 128, "memory_mb", memory_mb, "at least 128")
    _demand(0 <= buckets <= 1024, "buckets", buckets, "from 0 (automatic) to 1024")
    return Merge(between_annotators, parts, memory_mb, buckets)


@registry.misc("labelwise.HashSplit.v1")
def hash_split(
    dev: float = 0.1,
    test: float = 0.2,
    document: str = "",
    dev_datasets: Sequence[str] = (),
    test_datasets: Sequence[str] = (),
) -> HashSplit:
    """How texts are divided into train, dev and test: by a hash, so that a text never changes sides.

    dev (float), test (float): Shares of the texts.
    document (str): A key of the tasks' meta that names the document. Texts of one document stay together; without
        it, texts do that are equal but for case, blanks and punctuation.
    dev_datasets (list[str]), test_datasets (list[str]): Datasets that are evaluation data: all their texts go there.
    """
    _demand(dev >= 0 and test >= 0 and dev + test < 1, "dev + test", dev + test, "shares that leave some to train")
    return HashSplit(dev, test, document, list(dev_datasets), list(test_datasets))


@registry.misc("labelwise.Docs.v1")
def docs(misaligned: Literal["snap", "refuse"] = "snap") -> Docs:
    """How texts become Docs.

    misaligned (str): A span whose borders are inside tokens is widened to whole tokens ("snap"), or left out, and
        these tokens count as not annotated for its label ("refuse").
    """
    _demand(misaligned in ("snap", "refuse"), "misaligned", misaligned, "snap or refuse")
    return Docs(misaligned)


class Settings(msgspec.Struct, frozen=True):
    """The whole of configs/datasets.cfg, resolved."""

    datasets: dict[str, Source]
    pull: Pull = msgspec.field(default_factory=pull)
    merge: Merge = msgspec.field(default_factory=merge)
    split: HashSplit = msgspec.field(default_factory=hash_split)
    docs: Docs = msgspec.field(default_factory=docs)
    engine: Engine = msgspec.field(default_factory=Local)
    processes: int = 1


_RULES: dict[str, type] = {"pull": Pull, "merge": Merge, "split": HashSplit, "docs": Docs, "engine": Engine}
_FUNCTIONS = {"engine": "labelwise.Local.v1"}  # what a section stands for that is left out, where names do not tell
_SECTIONS = ("paths", "datasets", *_RULES, "system")


def parse(parser: ArgumentParser, args: Sequence[str] | None = None) -> tuple[Namespace, Settings]:
    """Read the command line of a step whose first argument is the config.

    parser (ArgumentParser): With the other arguments of the step.
    RETURNS (tuple[Namespace, Settings]): The arguments, and the config with overrides like `--merge.memory_mb 1024`.
    """
    known, rest = parser.parse_known_args(args)
    return known, load(known.config, overrides(rest, "--merge.memory_mb 1024"))


def load(path: Path, values: dict[str, Any] | None = None) -> Settings:
    """Read and resolve a config.

    path (Path): The file.
    values (dict[str, Any]): Values by dotted key, as for any spaCy config.
    RAISES (UserError): In one line: which section and key, what is wrong with it, and what is allowed.
    """
    config = _read(path, values or {})
    unknown = [name for name in config if name not in _SECTIONS]
    if unknown:
        raise UserError(f"{path}: [{unknown[0]}] is no section; there are {', '.join(_SECTIONS)}")
    blocks = _blocks(path, config)
    datasets = {name: _resolve(path, f"datasets.{name}", block, "readers", Source) for name, block in blocks}
    _no_twins(path, datasets)
    rules = {name: _resolve(path, name, config[name], "misc", of) for name, of in _RULES.items() if name in config}
    settings = Settings(datasets, **rules, processes=_processes(path, config.get("system", {})))
    _known_datasets(path, settings)
    return settings


def readers() -> dict[str, Callable[..., Any]]:
    """The functions that `@readers` may name, by their names."""
    return {name: registry.get("readers", name) for name in _registered("readers")}


def _read(path: Path, values: dict[str, Any]) -> Config:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError as err:
        raise UserError(f"{path}: no such file") from err
    except UnicodeDecodeError as err:
        raise UserError(f"{path}: is not UTF-8") from err
    return _parsed(path, text, values)


def _parsed(path: Path, text: str, values: dict[str, Any]) -> Config:
    try:
        written = Config().from_str(text, interpolate=False)
        for section in {key.partition(".")[0] for key in values} - set(written):
            written[section] = {"@misc": _function(section)} if section in _RULES else {}
        return Config().from_str(written.to_str(), overrides=values)
    except ConfigValidationError as err:
        raise UserError(f"{path}: {_problem(err)}") from err
    except (configparser.Error, ValueError) as err:
        raise UserError(f"{path}: {err}") from err


def _function(section: str) -> str:
    return _FUNCTIONS.get(section) or f"labelwise.{_RULES[section].__name__}.v1"


def _blocks(path: Path, config: Config) -> list[tuple[str, Any]]:
    blocks = config.get("datasets", {})
    if not blocks:
        raise UserError(f"{path}: names no dataset; add a [datasets.<name>] block for each")
    return list(blocks.items())


def _no_twins(path: Path, names: dict[str, Source]) -> None:
    folded: dict[str, str] = {}
    for name in names:
        twin = folded.setdefault(name.casefold(), name)
        if twin != name:
            raise UserError(f"{path}: [datasets.{twin}] and [datasets.{name}] differ only in case; rename one")


def _known_datasets(path: Path, settings: Settings) -> None:
    for key in ("dev_datasets", "test_datasets"):
        for name in getattr(settings.split, key):
            if name not in settings.datasets:
                there = ", ".join(settings.datasets)
                raise UserError(f"{path}: [split] {key}: no dataset {name!r}; there are {there}")


def _processes(path: Path, system: dict[str, Any]) -> int:
    unknown = [key for key in system if key != "processes"]
    if unknown:
        raise UserError(f"{path}: [system] {unknown[0]}: unexpected; allowed: processes")
    processes = system.get("processes", 0)
    if not isinstance(processes, int) or isinstance(processes, bool) or processes < 0:
        raise UserError(f"{path}: [system] processes = {processes}: must be 0 (all cores) or more")
    return processes or available_cores()


def _resolve(path: Path, section: str, block: Any, kind: str, expected: type) -> Any:
    """Call the function that a block names with the rest of the block; it must return what is expected."""
    where = f"{path}: [{section}]"
    if not isinstance(block, dict) or f"@{kind}" not in block:
        raise UserError(f'{where}: needs a line like @{kind} = "{_registered(kind)[0]}"')
    name = block[f"@{kind}"]
    if not isinstance(name, str) or not registry.has(kind, name):
        raise UserError(f"{where}: there is no {name!r}; there is {', '.join(_registered(kind))}")
    try:
        resolved = registry.resolve({"block": block})["block"]
    except ConfigValidationError as err:
        allowed = ", ".join(inspect.signature(registry.get(kind, name)).parameters)
        raise UserError(f"{where}: {_problem(err)}; {name} takes {allowed}") from err
    except UserError as err:
        raise UserError(f"{where}: {err}") from err
    if not isinstance(resolved, expected):
        raise UserError(f"{where}: {name} is for something else; there is {', '.join(_registered(kind))}")
    return resolved


def _registered(kind: str) -> list[str]:
    """Names of the project's own functions: readers of training data are no sources of annotations."""
    found = getattr(registry, kind).get_all()
    place = "scripts.sources." if kind == "readers" else "scripts."
    return sorted(name for name, function in found.items() if function.__module__.startswith(place))


def _problem(err: ConfigValidationError) -> str:
    if not err.errors:
        return str(err)
    problem = err.errors[0]
    key = ".".join(str(part) for part in problem.get("loc", ()) if part != "block")
    message = str(problem["msg"])
    return f"{key}: {message}" if key else message


def _demand(valid: bool, key: str, value: object, allowed: str) -> None:
    if not valid:
        raise UserError(f"{key} = {value}: must be {allowed}")
