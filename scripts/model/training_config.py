"""A training config is read and checked before anything is trained with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import spacy
from confection import Config, ConfigValidationError
from spacy.cli._util import setup_gpu
from spacy.util import walk_dict

from scripts.annotations.errors import UserError

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
