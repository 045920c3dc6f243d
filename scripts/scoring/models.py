"""The models of a run: one for each seed, alike in all else."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import spacy
from confection import Config, ConfigValidationError
from spacy.language import Language

from scripts.annotations.errors import UserError
from scripts.annotations.files import sha256

BEST = "model-best"
_OF_THE_MODEL = ("vectors", "init_tok2vec")  # paths, or names of packages, that make the model another


class Trained(NamedTuple):
    """A model on disk.

    path (Path): Its folder.
    seed (int): What it was trained with.
    config (str): Its config without seeds and without paths (but for vectors and pretrained weights): where the data
        lie makes no run another.
    """

    path: Path
    seed: int
    config: str


def find(folder: Path) -> tuple[list[Trained], list[Path]]:
    """The models `seed-<n>/model-best` of a run, by seed, and the folders `seed-<n>` which have none.

    folder (Path): The run's models, for example training/ner.
    RAISES (UserError): If there is no model, or one's config cannot be read or tells another seed than its folder.
    """
    seeds = {int(match[1]): path for path in folder.glob("seed-*") if (match := re.fullmatch(r"seed-(\d+)", path.name))}
    found = [_trained(seeds[seed] / BEST, seed) for seed in sorted(seeds) if (seeds[seed] / BEST).is_dir()]
    if not found:
        raise UserError(f"{folder}: has no seed-<n>/{BEST}; train a model first: weasel run train")
    return found, [seeds[seed] for seed in sorted(seeds) if not (seeds[seed] / BEST).is_dir()]


def _trained(path: Path, seed: int) -> Trained:
    try:
        config = Config().from_disk(path / "config.cfg", interpolate=False)
        told = config.interpolate().get("training", {}).get("seed")
    except (OSError, ValueError, ConfigValidationError) as err:
        raise UserError(f"{path}: its config cannot be read ({err}); train it again") from err
    if told != seed:
        raise UserError(f"{path}: was trained with seed {told}, not {seed}; name its folder seed-{told}")
    return Trained(path, seed, _without_paths(config))


def _without_paths(config: Config) -> str:
    paths = config.get("paths", {})
    config["paths"] = {name: path if name in _OF_THE_MODEL else None for name, path in paths.items()}
    for section in ("system", "training"):
        if isinstance(config.get(section, {}).get("seed"), int):
            config[section]["seed"] = None
    return config.to_str(interpolate=False)


def load(path: Path) -> Language:
    """Load a model. RAISES (UserError): If it is damaged, or needs what is not installed."""
    try:
        return spacy.load(path)
    except Exception as err:  # whatever its components raise
        raise UserError(f"{path}: cannot be loaded ({type(err).__name__}: {err}); train it again") from err


def weights(path: Path) -> tuple[str, int]:
    """Digest of all files of a model, and their size in bytes."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()} {sha256(file)}\n".encode())
    return digest.hexdigest(), sum(file.stat().st_size for file in files)
