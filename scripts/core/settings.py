"""configs/datasets.cfg: the sections and keys that it may have, and the registries of the functions that it names.

The format is spaCy's, https://spacy.io/api/data-formats#config. Each `[datasets.*]` block names its reader with
`@readers`, `[engine]` a function with `@misc`; the docstrings of these functions have the keys of their blocks.
"""

from __future__ import annotations

import configparser
import importlib
import inspect
import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import catalogue
import confection
from confection import Config, ConfigValidationError
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from scripts.core.errors import UserError
from scripts.core.workers import available_cores

if TYPE_CHECKING:
    from scripts.engines.engine import Engine
    from scripts.sources.source import Source
else:  # the functions that return them are found by name, see `_discover`
    Engine = Source = Any


class registry(confection.registry):  # noqa: N801 (as spaCy's)
    """spaCy's registries that configs/datasets.cfg uses, see https://spacy.io/api/top-level#registry.

    Without spaCy, since importing it costs each step, and each of its processes, 60 MB and half a second. catalogue
    finds functions by namespace: what is registered here is in `spacy.registry` too, and the other way round.
    """

    misc = catalogue.create("spacy", "misc")
    readers = catalogue.create("spacy", "readers")

    @classmethod
    def has(cls, registry_name: str, func_name: str) -> bool:
        """Check whether a function is available, and register it if it is an entry point of another package."""
        if super().has(registry_name, func_name):
            return True
        # Only now, since each search goes through all packages that are installed: with twenty datasets that would be
        # a tenth of a step's start.
        packages = catalogue.create("spacy", registry_name, entry_points=True)
        if function := packages.get_entry_point(func_name):
            packages.register(func_name, func=function)
        return function is not None


class ConfigSection(BaseModel):
    """A section of the config: other keys and other types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Repeats = Literal["auto", "unite", "replace"]


class DatasetOptions(ConfigSection):
    """The keys that every `[datasets.*]` block can have, whatever its reader, which does not get them.

    annotators (list[str]): Only these annotators' answers are taken; none: those of all.
    rename (dict[str, str]): Our name of a label by its name in the source. Several of the source's can be one of ours.
    corrects (list[str]): Datasets that this one corrects: for the texts and labels that it answers, it replaces what
        they say, whoever annotated, and what those say that they correct.
    repeats (str): Several complete answers of one annotator about a text "unite", for they are about other labels, or
        the later one "replace"s the earlier; "auto": as the answers of the dataset show.
    """

    annotators: list[str] = []
    rename: dict[str, Annotated[str, Field(min_length=1)]] = {}
    corrects: list[str] = []
    repeats: Repeats = "auto"

    def our_labels(self, labels: Iterable[str]) -> list[str]:
        """Return labels of the source under our names, sorted, each once."""
        return sorted({self.rename.get(label, label) for label in labels})


class PullSection(ConfigSection):
    """[pull] max_skipped (float): The step stops if more of a dataset's records, or spans, cannot be used.
    max_record_mb (int): A record that is larger is skipped; in MB of 1024 * 1024 bytes.
    """

    max_skipped: float = Field(default=0.2, ge=0, le=1)
    max_record_mb: int = Field(default=64, ge=1)


class MergeSection(ConfigSection):
    """[merge] between_annotators (str): The policy where annotators disagree, see `decide`.
    contained (str): "auto": where a dataset is made of texts that are contained in others, as the sentences that
        ner.teach and ner.correct make, its answers move to the container. "keep": such texts are texts of their own.
    memory_mb (int): For all processes together, in MB of 1024 * 1024 bytes.
    buckets (int): Number of parts in which the texts are merged; 0: by the size of the data and the memory.
    """

    between_annotators: Literal["majority", "union", "intersection", "latest"] = "majority"
    contained: Literal["auto", "keep"] = "auto"
    memory_mb: int = Field(default=512, ge=128)
    buckets: int = Field(default=0, ge=0, le=1024)


class SplitSection(ConfigSection):
    """[split]: texts are divided by a hash, so that a text never changes its split.

    dev (float), test (float): Shares of the texts; train gets the rest.
    document (str): A key of the tasks' meta that names the document. Texts of one document stay together; without
        it, texts do that are equal but for case, whitespace and punctuation.
    dev_datasets (list[str]), test_datasets (list[str]): Datasets that are evaluation data: all their texts go there.
    """

    dev: float = Field(default=0.1, ge=0)
    test: float = Field(default=0.2, ge=0)
    document: str = ""
    dev_datasets: list[str] = []
    test_datasets: list[str] = []

    @model_validator(mode="after")
    def _check_shares(self) -> SplitSection:
        if self.dev + self.test >= 1:
            raise ValueError(f"dev + test = {self.dev + self.test:g}: must be less than 1, the rest is to train on")
        return self


class DocsSection(ConfigSection):
    """[docs]

    misaligned (str): A span whose boundaries are inside tokens is widened to whole tokens ("snap"), or skipped, and
        these tokens count as not annotated for its label ("skip").
    max_misaligned (float): The step stops if more of the spans are such.
    """

    misaligned: Literal["snap", "skip"] = "snap"
    max_misaligned: float = Field(default=0.1, ge=0, le=1)


class SuspectsSection(ConfigSection):
    """[suspects]

    folds (int): Parts of the texts; the models that judge one are trained on the others.
    models (int): Number of models that judge each text.
    steps (str | int): Training steps of each model; "half": of those in the training config.
    """

    folds: int = Field(default=5, ge=2)
    models: int = Field(default=2, ge=1)
    steps: Literal["half"] | PositiveInt = "half"


class QueueSection(ConfigSection):
    """[queue]

    order (str): The most informative texts first, or at random, for which no model is needed.
    push (str): The tool on a server that tasks go to by its API; empty: they are files alone.
    connection (str): As in its reader; empty: the default of that.
    project (str | int): The name or number of a project that there is; empty: that with the name of the label.
    """

    order: Literal["informative", "random"] = "informative"
    push: Literal["", "label_studio", "doccano"] = ""
    connection: str = ""
    project: str | int = ""


class SystemSection(ConfigSection):
    """[system] processes (int): Of this machine; 0: as many as it has cores."""

    processes: int = Field(default=0, ge=0)


class Settings(ConfigSection):
    """The whole of configs/datasets.cfg, with its datasets and its engine resolved.

    options (dict[str, DatasetOptions]): Of each dataset. It is no section: the keys are in the blocks of the datasets.
    """

    paths: dict[str, Any] = {}
    datasets: dict[str, Source] = Field(min_length=1)
    options: dict[str, DatasetOptions] = Field(default={}, alias="@options")
    pull: PullSection = PullSection()
    merge: MergeSection = MergeSection()
    split: SplitSection = SplitSection()
    docs: DocsSection = DocsSection()
    suspects: SuspectsSection = SuspectsSection()
    queue: QueueSection = QueueSection()
    engine: Engine
    system: SystemSection = SystemSection()

    @property
    def processes(self) -> int:
        """Number of processes on this machine."""
        return self.system.processes or available_cores()

    @model_validator(mode="after")
    def _check_names(self) -> Settings:
        by_folded: dict[str, str] = {}
        for name in self.datasets:
            other = by_folded.setdefault(name.casefold(), name)
            if other != name:  # their files would be one where file names have no case
                raise ValueError(f"[datasets.{other}] and [datasets.{name}] differ only in case; rename one")
        for key in ("dev_datasets", "test_datasets"):
            for name in getattr(self.split, key):
                if name not in self.datasets:
                    raise ValueError(f"[split] {key}: no dataset {name!r}; there are {', '.join(self.datasets)}")
        return self

    @model_validator(mode="after")
    def _check_options(self) -> Settings:
        for name, source in self.datasets.items():
            options = self.options.setdefault(name, DatasetOptions())
            for label in options.rename:
                if label not in source.labels:
                    there = ", ".join(source.labels)
                    raise ValueError(f"[datasets.{name}] rename: {label!r} is not among its labels; there are {there}")
            for other in options.corrects:
                if other not in self.datasets:
                    there = ", ".join(self.datasets)
                    raise ValueError(f"[datasets.{name}] corrects: no dataset {other!r}; there are {there}")
        try:
            TopologicalSorter({name: options.corrects for name, options in self.options.items()}).prepare()
        except CycleError as err:
            circle = err.args[1][::-1]  # each is corrected by the one before
            raise ValueError(f"[datasets.{circle[0]}] corrects goes in a circle: {' corrects '.join(circle)}") from None
        return self


def overrides(args: Sequence[str], example: str) -> dict[str, Any]:
    """Read `--section.key value` or `--section.key=value` from a command line; values are JSON, or else text.

    example (str): A right one, for the message.
    RAISES (UserError): If an argument is no such value.
    """
    values: dict[str, Any] = {}
    pending = list(args)
    while pending:
        name, equals, value = pending.pop(0).partition("=")
        if not name.startswith("--") or "." not in name or not (equals or pending):
            raise UserError(f"{name}: not an option. Values of the config are set like {example}")
        value = value if equals else pending.pop(0)
        try:
            values[name[2:]] = json.loads(value)
        except ValueError:
            values[name[2:]] = value
    return values


def parse(parser: ArgumentParser, args: Sequence[str] | None = None) -> tuple[Namespace, Settings]:
    """Read the command line of a step whose argument `config` is configs/datasets.cfg, with overrides of its values."""
    parser.epilog = "Values of the config can be set for this call: --merge.memory_mb 1024"
    known, rest = parser.parse_known_args(args)
    return known, load(known.config, overrides(rest, "--merge.memory_mb 1024"))


def load(path: Path, values: dict[str, Any] | None = None) -> Settings:
    """Read configs/datasets.cfg, with its datasets and its engine resolved.

    values (dict[str, Any] | None): Overrides by "section.key".
    RAISES (UserError): In one line: the section and key, what is wrong with it, and what is allowed.
    """
    try:
        config = _parse_config(path.read_text("utf-8-sig"), values or {})
        if not (blocks := config.get("datasets")):
            raise UserError("names no dataset; add a [datasets.<name>] block for each")
        _discover(str(isinstance(block, dict) and block.get("@readers")) for block in blocks.values())
        options = {name: _take_options(name, block) for name, block in blocks.items()}
        datasets = {name: _resolve(f"datasets.{name}", block, "readers") for name, block in blocks.items()}
        engine = _resolve("engine", config.get("engine", {"@misc": _LOCAL}), "misc")
        return Settings.model_validate({**config, "datasets": datasets, "@options": options, "engine": engine})
    except FileNotFoundError as err:
        raise UserError(f"{path}: no such file") from err
    except UnicodeDecodeError as err:
        raise UserError(f"{path}: is not UTF-8") from err
    except ValidationError as err:
        raise UserError(f"{path}: {explain(err)}") from err
    except (UserError, ConfigValidationError, configparser.Error, ValueError) as err:
        raise UserError(f"{path}: {_first_problem(err)}") from err


def readers() -> dict[str, Callable[..., Any]]:
    """Return the project's readers by their registered names."""
    _discover()
    return {name: registry.get("readers", name) for name in _registered("readers")}


_LOCAL = "labelwise.Local.v1"


def _discover(names: Iterable[str] = ("",)) -> None:
    """Import the modules that register some readers; all modules of scripts/sources if one is in none of them."""
    # All take a tenth of a second where no bytecode is kept, and a step needs one or two.
    paths = (Path(__file__).parents[1] / "sources").glob("[!_]*.py")
    texts = {path.stem: path.read_text("utf-8") for path in sorted(paths)}
    found = [next((module for module in texts if f'readers("{name}")' in texts[module]), "") for name in set(names)]
    for module in found if all(found) else texts:
        importlib.import_module(f"scripts.sources.{module}")
    importlib.import_module("scripts.engines.engine")


# Text that confection would take for a variable or a section. In UTF-8, these characters do not occur.
_TEXT = re.compile(r"(?<!\\)((?:\\\\)*)\\u0024|\$(?!\{)|(__SECTION__:)")
_DOLLAR, _NO_SECTION = "\udc24", "\udc5f"


def _parse_config(text: str, values: dict[str, Any]) -> dict[str, Any]:
    text = _TEXT.sub(lambda m: f"_{_NO_SECTION}_SECTION__:" if m[2] else f"{m[1] or ''}{_DOLLAR}", text)
    written = Config().from_str(text, interpolate=False)
    for block in written.get("datasets", {}).values():
        if isinstance(block, dict) and isinstance(block.get("rename"), dict):
            # confection would write a section, of which a label such as "a=b" cannot be a key.
            block["rename"] = json.dumps(block["rename"], ensure_ascii=False).replace("$", _DOLLAR)  # no variable
    # Overrides of a section that is not written are overrides of its defaults; confection knows none.
    for section in {key.partition(".")[0] for key in values} - set(written):
        written[section] = {"@misc": _LOCAL} if section == "engine" else {}
    return cast("dict[str, Any]", _restore(Config().from_str(written.to_str(), overrides=values)))


def _restore(value: Any) -> Any:
    """Return a value of a config with the characters that `_TEXT` stands for."""
    if isinstance(value, dict):
        return {_restore(key): _restore(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_restore(inner) for inner in value]
    return value.replace(_DOLLAR, "$").replace(_NO_SECTION, "") if isinstance(value, str) else value


def _take_options(name: str, block: Any) -> DatasetOptions:
    """Take the keys out of a block that are not its reader's. RAISES (UserError)."""
    keys = DatasetOptions.model_fields.keys()
    given = {key: block.pop(key) for key in keys & block.keys()} if isinstance(block, dict) else {}
    if isinstance(given.get("rename"), str):
        with suppress(ValueError):
            given["rename"] = json.loads(given["rename"])
    try:
        return DatasetOptions.model_validate(given)
    except ValidationError as err:
        raise UserError(explain(err, f"datasets.{name}")) from err


def _resolve(section: str, block: Any, kind: str) -> Any:
    """Call the function that a block names with the rest of the block. RAISES (UserError)."""
    ours = _registered(kind)
    name = block.get(f"@{kind}") if isinstance(block, dict) else None
    if name is None:
        raise UserError(f'[{section}]: needs a line like @{kind} = "{ours[0]}"')
    # Readers may be of other packages; of what else is registered as "misc", nothing is an engine.
    if not isinstance(name, str) or not (name in ours or (kind == "readers" and registry.has(kind, name))):
        raise UserError(f"[{section}]: there is no {name!r}; there is {', '.join(ours)}")
    try:
        resolved = registry.resolve({"block": block})["block"]
    except (ConfigValidationError, UserError) as err:
        keys = ", ".join(inspect.signature(registry.get(kind, name)).parameters)
        common = f", and every dataset {', '.join(DatasetOptions.model_fields)}" if kind == "readers" else ""
        raise UserError(f"[{section}]: {_first_problem(err)}; {name} takes {keys}{common}") from err
    if kind == "readers" and not hasattr(resolved, "digest"):  # as spaCy's own readers
        raise UserError(f"[{section}]: {name} is no reader of annotations; there is {', '.join(ours)}")
    return resolved


def _registered(kind: str) -> list[str]:
    """Names of the project's own functions, sorted."""
    room = "scripts.sources." if kind == "readers" else "scripts.engines."
    functions = getattr(registry, kind).get_all()
    return sorted(name for name, function in functions.items() if function.__module__.startswith(room))


def _first_problem(err: Exception) -> str:
    if not isinstance(err, ConfigValidationError) or not err.errors:
        return str(err)
    problem = err.errors[0]
    key = ".".join(str(part) for part in problem.get("loc", ()) if part != "block")
    said = str(problem["msg"]).removeprefix("at root: ")
    return f"{key}: {said}" if key else said


def explain(err: ValidationError, where: str = "", schema: Any = Settings) -> str:
    """Describe the first problem: section and key, its value, and the values that are allowed.

    where (str): The section, if the error is about one alone, with its schema.
    """
    first = err.errors()[0]
    section, key = (*([where] if where else []), *map(str, first["loc"]), "", "")[:2]
    if first["type"] == "value_error":
        return f"[{section}] {first['ctx']['error']}" if section else str(first["ctx"]["error"])
    if first["type"] == "extra_forbidden":
        schema = schema.model_fields[section].annotation if key and not where else schema
        what = f"[{section}] {key}: no such key" if key else f"[{section}]: no such section"
        return f"{what}; there are {', '.join(name for name in schema.model_fields if name != 'options')}"
    # A key of several types has a problem for each of them.
    problems = [problem["msg"] for problem in err.errors() if problem["loc"][:2] == first["loc"][:2]]
    allowed = " or ".join(problem.removeprefix("Input should be ") for problem in problems)
    return f"[{section}] {key} = {first['input']!r}: must be {allowed}"
