"""A training config is read and checked before anything is trained with it.

A pipeline is trained, its heads are tuned, and it appears in its folder when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import spacy
from confection import Config, ConfigValidationError
from spacy.cli._util import setup_gpu
from spacy.cli.train import train as spacy_train
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch, walk_dict

from scripts.building.reading import Reader
from scripts.building.splits import Split
from scripts.core.errors import UserError
from scripts.core.files import exclusive, work_folder
from scripts.core.workers import available_cores, available_mb, spread
from scripts.model.label_heads import LabelHeads
from scripts.model.provenance import BEST
from scripts.model.thresholds import tune

STATIC, MIXED = "include_static_vectors", "mixed_precision"  # keys of layers
_LEARNS_FROM_PARTS = "label_heads"
_TRANSITION = ("ner", "beam_ner")


def load_config(path: Path, values: Mapping[str, Any], vectors: str | None) -> tuple[Config, dict[str, Any]]:
    """Read a training config.

    path (Path): The file.
    values (Mapping[str, Any]): Set on the command line, by dotted key.
    vectors (Optional[str]): A pipeline with static vectors, by path or package, which all layers that can then use.
    RETURNS (tuple[Config, dict[str, Any]]): The config, and all that was set.
    RAISES (UserError): If it cannot be read, has no such value, no layer can use vectors, or a component is not
        installed.
    """
    values = dict(values)
    written = _read(path, {})
    _demand_keys(path, written, values)
    if vectors:
        layers = [".".join(keys) for keys, _ in walk_dict(written) if keys[-1] == STATIC]
        if not layers:
            raise UserError(f"{path}: has no {STATIC}: none of its layers can use the vectors of {vectors}")
        values |= dict.fromkeys(layers, True) | {"paths.vectors": vectors}
    config = _read(path, values)
    _demand_factories(path, config)
    return config, values


def _read(path: Path, values: dict[str, Any]) -> Config:
    try:
        return spacy.util.load_config(path, overrides=values)
    except ConfigValidationError as err:
        raise UserError(f"{path}: {' '.join(str(err).split())}") from err
    except (OSError, ValueError) as err:
        raise UserError(f"{path}: {err}") from err


def _demand_keys(path: Path, config: Config, values: Iterable[str]) -> None:
    """RAISES (UserError): If a value that is set is none of the config, which spaCy would take and never use."""
    for key in values:
        *sections, name = key.split(".")
        block: Any = config
        for section in sections:
            block = block.get(section) if isinstance(block, dict) else None
        if not isinstance(block, dict) or name not in block:
            inside = f"; [{'.'.join(sections)}] has {', '.join(block)}" if isinstance(block, dict) else ""
            raise UserError(f"{path}: has no {key}{inside}")


def _demand_factories(path: Path, config: Config) -> None:
    """RAISES (UserError): If the pipeline has a component that is not installed."""
    nlp = spacy.blank(config["nlp"]["lang"])
    for name, block in config.get("components", {}).items():
        factory = block.get("factory")
        if factory and not nlp.has_factory(factory):
            hint = "; pip install -r requirements-trf.txt" if factory == "transformer" else ""
            raise UserError(f"{path}: [components.{name}]: there is no component {factory!r} installed{hint}")


def is_transition_based(config: Config) -> bool:
    """Whether what finds entities is spaCy's `ner`, which knows of a token that it is unknown, but not for whom."""
    factories = [block.get("factory") for block in config.get("components", {}).values()]
    return any(factory in _TRANSITION for factory in factories) and _LEARNS_FROM_PARTS not in factories


def demand_gpu(config: Path, values: Mapping[str, Any], gpu: int) -> None:
    """RAISES (UserError): If a GPU cannot be used, or there is none and the config demands it."""
    if gpu < 0:
        mixed = [
            ".".join(keys) for keys, value in walk_dict(_read(config, dict(values))) if keys[-1] == MIXED and value
        ]
        if mixed:
            raise UserError(f"{config}: mixed precision needs a GPU: --vars.gpu 0; without one, --{mixed[0]} false")
        return
    try:
        setup_gpu(gpu, silent=True)
    except ValueError as err:
        raise UserError(f"GPU {gpu}: {err}; without one it is --vars.gpu -1") from err


_BATCH = 64
_MB = 1500  # that one training may take; the corpus is streamed


def unknown_share(split: Split) -> float:
    """Of all pairs of a text to train on and a label, the share of which nobody looked for the label in all of it."""
    pairs = split.texts.get("train", 0) * len(split.covered)
    return 1 - sum(sides.get("train", 0) for sides in split.covered.values()) / pairs if pairs else 0.0


def train(config: Path, values: Mapping[str, Any], dev: Path, folder: Path, gpu: int) -> dict[str, float]:
    """Train with `spacy train`, tune on the dev texts, and put `model-best` into a folder.

    config (Path): The training config.
    values (Mapping[str, Any]): Set on the command line, by dotted key.
    dev (Path): The texts to tune on, shards of Docs.
    folder (Path): For example training/ner/seed-0. The model there is replaced when the new one is whole.
    gpu (int): Which, or -1.
    RETURNS (dict[str, float]): The biases by label, see `tune`; none if there are no label heads.
    RAISES (UserError): If the GPU cannot be used, or there is none and the config demands it.
    """
    demand_gpu(config, values, gpu)
    with publishing(folder) as work:
        spacy_train(config, work / "trained", use_gpu=gpu, overrides=dict(values))
        nlp = spacy.load(work / "trained" / BEST)
        biases = tune_on(nlp, dev)
        nlp.to_disk(work / BEST)
    return biases


class Job(NamedTuple):
    """One training, see `train`."""

    config: Path
    values: Mapping[str, Any]
    dev: Path
    folder: Path
    gpu: int


def train_all(jobs: Sequence[Job], title: str) -> Iterator[dict[str, float]]:
    """Train several pipelines, as many at a time as memory and cores allow; on a GPU one after the other.

    title (str): Of the progress bar, which is shown where somebody watches. What spaCy says meanwhile goes to
        train.log in each folder.
    RETURNS (Iterator[dict[str, float]]): The biases of each.
    """
    yield from spread(_train_quietly, jobs, at_a_time(any(job.gpu >= 0 for job in jobs)), title)


def at_a_time(on_gpu: bool) -> int:
    """How many trainings fit this machine now."""
    return 1 if on_gpu else int(max(1, min(available_cores(), available_mb() // _MB)))


def _train_quietly(job: Job) -> dict[str, float]:
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "train.log").open("w", encoding="utf8") as log, redirect_stdout(log):
        return train(*job)


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """Give a folder to make `model-best` in; when the block ends well, it takes the place of the one there was."""
    with exclusive(folder), work_folder(folder) as work:
        yield work
        if (folder / BEST).exists():
            (folder / BEST).rename(work / "before")
        (work / BEST).rename(folder / BEST)


def tune_on(nlp: Language, dev: Path) -> dict[str, float]:
    """Tune the heads of a pipeline on a folder of Docs, see `tune`. A pipeline without is left as it is."""
    found = heads(nlp)
    return tune(found, prepared(nlp, Reader(dev)(nlp))) if found else {}


def heads(nlp: Language) -> LabelHeads | None:
    """The component of a pipeline that has the heads, if there is one."""
    return next((pipe for _, pipe in nlp.pipeline if isinstance(pipe, LabelHeads)), None)


def prepared(nlp: Language, examples: Iterable[Example]) -> Iterator[Example]:
    """Run what comes before the heads on the Docs of examples: layers below them may be there."""
    names = nlp.pipe_names[: [isinstance(pipe, LabelHeads) for _, pipe in nlp.pipeline].index(True)]
    if not names:
        yield from examples
        return
    below: list[Any] = [nlp.get_pipe(name) for name in names]
    for batch in minibatch(examples, _BATCH):
        docs: Iterable[Doc] = [example.predicted.copy() for example in batch]
        for pipe in below:
            docs = pipe.pipe(docs)
        yield from (Example(doc, example.reference) for doc, example in zip(docs, batch, strict=True))
