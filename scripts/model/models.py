"""The models of a run: one for each seed, alike in all else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import spacy
from confection import Config, ConfigValidationError
from spacy.language import Language

from scripts.core.errors import UserError
from scripts.core.files import sha256
from scripts.model.provenance import BEST, Provenance, provenance

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
    told: Provenance | None


class Found(NamedTuple):
    """The models of a run, by seed, and why others were left out."""

    models: list[Trained]
    left_out: list[str]


def find(folder: Path, corpus: str, wanted: Sequence[int] = ()) -> Found:
    """The models `seed-<n>/model-best` of a run.

    folder (Path): The run's models, for example training/ner.
    corpus (str): Digest of the corpus as it is. If some of the models were trained on it, those are the run; others
        were left by an earlier one.
    wanted (Sequence[int]): These seeds; none for all there are.
    RAISES (UserError): If there is no model, one cannot be read or is of another seed than its folder says, or they
        differ in more than their seeds.
    """
    seeds = {int(match[1]): path for path in folder.glob("seed-*") if (match := re.fullmatch(r"seed-(\d+)", path.name))}
    if wanted:
        missing = [seed for seed in wanted if seed not in seeds or not (seeds[seed] / BEST).is_dir()]
        if missing:
            raise UserError(f"{folder}: has no seed-{missing[0]}/{BEST}; train it first: weasel run train")
        seeds = {seed: seeds[seed] for seed in wanted}
    whole = [_trained(seeds[seed] / BEST, seed) for seed in sorted(seeds) if (seeds[seed] / BEST).is_dir()]
    if not whole:
        raise UserError(f"{folder}: has no seed-<n>/{BEST}; train a model first: weasel run train")
    left_out = [f"{seeds[seed]}: has no {BEST}" for seed in sorted(seeds) if not (seeds[seed] / BEST).is_dir()]
    current = [model for model in whole if model.told and model.told.corpus == corpus] or whole
    left_out += [f"{model.path.parent}: was trained on other data" for model in whole if model not in current]
    for model in current[1:]:
        _demand_alike(current[0], model)
    return Found(current, left_out)


def _demand_alike(first: Trained, other: Trained) -> None:
    """RAISES (UserError): If two models of a run differ in more than their seeds."""
    mine, theirs = first.told, other.told
    differs = {
        "configs": first.config != other.config,
        "data": (mine and mine.corpus) != (theirs and theirs.corpus),
        "code": (mine and mine.code) != (theirs and theirs.code),
    }
    what = " and ".join(name for name, is_so in differs.items() if is_so)
    if what:
        raise UserError(
            f"{first.path} and {other.path}: were trained with different {what}, so they are not one run; "
            "train the older one again, or remove it"
        )


def _trained(path: Path, seed: int) -> Trained:
    try:
        config = Config().from_disk(path / "config.cfg", interpolate=False)
        used = config.interpolate().get("training", {}).get("seed")
        meta = msgspec.json.decode((path / "meta.json").read_bytes(), type=dict[str, Any])
    except (OSError, ValueError, ConfigValidationError, msgspec.DecodeError) as err:
        raise UserError(f"{path}: its config or meta cannot be read ({err}); train it again") from err
    if used != seed:
        raise UserError(f"{path}: was trained with seed {used}, not {seed}; name its folder seed-{used}")
    return Trained(path, seed, _without_paths(config), provenance(meta))


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
