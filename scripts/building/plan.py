"""How texts are split and tokenized: what configs/datasets.cfg and a training config say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confection import Config

from scripts.building.splits import NAME, GoldRange, MisalignedPolicy, Placed, Splitter
from scripts.core.errors import UserError
from scripts.core.files import UNREADABLE
from scripts.core.settings import Settings


class CorpusPlan(NamedTuple):
    """How texts are split and tokenized.

    nlp (dict[str, Any]): The [nlp] block of the training config.
    dev (float), test (float), document (str): See `Splitter`.
    dev_datasets, test_datasets (list[str]): All their texts are in that split.
    misaligned (MisalignedPolicy): See `DocMaker`.
    """

    nlp: dict[str, Any]
    dev: float
    test: float
    document: str
    dev_datasets: list[str]
    test_datasets: list[str]
    misaligned: MisalignedPolicy

    def split(self) -> dict[str, Any]:
        """The keys of [split] with their values."""
        keys = ("dev", "test", "document", "dev_datasets", "test_datasets")
        return {key: getattr(self, key) for key in keys}


class ShardRules(NamedTuple):
    """What a shard depends on, apart from its gold. See `CorpusPlan`."""

    nlp: dict[str, Any]
    labels: frozenset[str]
    misaligned: MisalignedPolicy
    splitter: Splitter


class ShardJob(NamedTuple):
    """The making of a shard; its files go to the folder. Its `Splitter.placed` come with it."""

    range: GoldRange
    gold: Path
    rules: ShardRules
    folder: Path
    placed: Placed


def plan_of(config: Settings, training: Path) -> CorpusPlan:
    """The plan that configs/datasets.cfg and a training config make. RAISES (UserError): See `nlp_block`."""
    split, nlp = config.split, nlp_block(training)
    return CorpusPlan(
        nlp, split.dev, split.test, split.document, split.dev_datasets, split.test_datasets, config.docs.misaligned
    )


def nlp_block(path: Path) -> dict[str, Any]:
    """The [nlp] block of a training config. RAISES (UserError): If it has none, or cannot be read."""
    path = training_config(path)
    try:
        return dict(Config().from_disk(path, interpolate=True)["nlp"])
    except (OSError, KeyError, ValueError) as err:
        reason = str(err) if isinstance(err, OSError) else f"has no [nlp] that can be read: {err}"
        raise UserError(f"{path}: {reason}") from err


def other_split(folder: Path, plan: CorpusPlan) -> list[str]:
    """Keys of [split] that were others when a folder's corpus was made, as far as its split.json says."""
    try:
        made = msgspec.json.decode((folder / NAME).read_bytes(), type=_MadeBy).split
    except UNREADABLE:
        return []
    return [key for key, value in plan.split().items() if key in made and made[key] != value]


class _MadeBy(msgspec.Struct):
    """Of corpus/split.json: the keys of [split]."""

    split: dict[str, Any] = {}


def training_config(path: Path) -> Path:
    """The training config of a run: `configs/<run>.cfg`; of a run of `train-label` that of its model.

    RAISES (UserError): If there is neither.
    """
    if path.exists():
        return path
    models = (path.parent.parent / "training" / path.stem).glob("seed-*/model-best/config.cfg")
    found = min(models, default=None)
    if found is None:
        others = sorted(other.stem for other in path.parent.glob("*.cfg") if other.stem not in ("datasets", "gate"))
        raise UserError(f"{path}: no such file; --vars.run is one of {', '.join(others)}, or a run of train-label")
    return found
