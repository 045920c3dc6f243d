"""Training: a config is checked, a pipeline is trained, its thresholds are set, and it is committed to its folder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import spacy
from confection import Config, ConfigValidationError
from spacy.cli._util import setup_gpu
from spacy.cli.train import train as spacy_train
from spacy.util import walk_dict

from scripts.building.documents import missing_language
from scripts.building.reading import CorpusReader
from scripts.building.splits import Corpus
from scripts.core.errors import UserError, note_new
from scripts.core.files import exclusive, replace_folder, work_folder
from scripts.core.workers import available_cores, available_mb, spread
from scripts.model.models import BEST, blas_threads, fast_products, save_model
from scripts.model.thresholds import examples_with_layers, label_scorer, set_thresholds

STATIC, MIXED = "include_static_vectors", "mixed_precision"  # keys of layers
_TRANSITION_BASED = ("ner", "beam_ner")  # spaCy's factories
_TRAINING_MB = 1500  # memory of one training; the corpus is streamed


def load_config(path: Path, values: Mapping[str, Any], vectors: str | None) -> tuple[Config, dict[str, Any]]:
    """Read and check a training config.

    values (Mapping[str, Any]): Set on the command line, by dotted key.
    vectors (str | None): A pipeline with static vectors, as a path or package, for all layers that can use them.
    RETURNS (tuple[Config, dict[str, Any]]): The config, and all values that were set.
    RAISES (UserError): If the config cannot be read, has no such key or no layer that can use vectors, or names a
        component that is not installed.
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
    blas_threads(config)
    _demand_factories(path, config)
    return config, values


def _read(path: Path, values: Mapping[str, Any]) -> Config:
    try:
        return spacy.util.load_config(path, overrides=dict(values))
    except ConfigValidationError as err:
        raise UserError(f"{path}: {' '.join(str(err).split())}") from err
    except (OSError, ValueError) as err:
        raise UserError(f"{path}: {err}") from err


def _demand_keys(path: Path, config: Config, values: Iterable[str]) -> None:
    """RAISES (UserError): If a key that is set is not in the config: spaCy would accept and ignore it."""
    for key in values:
        *sections, name = key.split(".")
        block: Any = config
        for section in sections:
            block = block.get(section) if isinstance(block, dict) else None
        if not isinstance(block, dict) or name not in block:
            inside = f"; [{'.'.join(sections)}] has {', '.join(block)}" if isinstance(block, dict) else ""
            raise UserError(f"{path}: has no {key}{inside}")


def _demand_factories(path: Path, config: Config) -> None:
    """RAISES (UserError): If the pipeline has a component, or is of a language, that is not installed."""
    try:
        nlp = spacy.blank(config["nlp"]["lang"])
    except ImportError as err:
        raise missing_language(config["nlp"]["lang"], err) from err
    for name, block in config.get("components", {}).items():
        factory = block.get("factory")
        if factory and not nlp.has_factory(factory):
            hint = "; pip install -r requirements-trf.txt" if factory == "transformer" else ""
            raise UserError(f"{path}: [components.{name}]: there is no component {factory!r} installed{hint}")


def _demand_gpu(config: Path, values: Mapping[str, Any], gpu: int) -> None:
    """RAISES (UserError): If the GPU cannot be used, or none is used and the config needs one."""
    if gpu < 0:
        for keys, value in walk_dict(_read(config, values)):
            if keys[-1] == MIXED and value:
                key = ".".join(keys)
                raise UserError(f"{config}: mixed precision needs a GPU: --vars.gpu 0; without one, --{key} false")
        return
    try:
        setup_gpu(gpu, silent=True)
    except ValueError as err:
        raise UserError(f"GPU {gpu}: {err}; without one it is --vars.gpu -1") from err


def uncovered_share(config: Config, corpus: Corpus) -> float:
    """The share of text × label pairs of the train split that are not covered, if entities are found by spaCy's `ner`.

    It learns from a text as a whole: to it, a label is missing in a text or it is not. Else 0.
    """
    factories = [block.get("factory") for block in config.get("components", {}).values()]
    pairs = corpus.texts.get("train", 0) * len(corpus.covered)
    if "label_heads" in factories or not pairs or not any(name in _TRANSITION_BASED for name in factories):
        return 0.0
    return 1 - sum(counts.get("train", 0) for counts in corpus.covered.values()) / pairs


class TrainingJob(NamedTuple):
    """One training.

    config (Path), values (Mapping[str, Any]): See `load_config`.
    dev (Path): A folder of DocBins on which thresholds are set.
    folder (Path): For example training/ner/seed-0. A model that is there is replaced once the new one is whole.
    gpu (int): Its number, or -1 for the CPU.
    """

    config: Path
    values: Mapping[str, Any]
    dev: Path
    folder: Path
    gpu: int


def train(job: TrainingJob) -> dict[str, float]:
    """Train with `spacy train`, set the thresholds, and put `model-best` into the folder.

    RETURNS (dict[str, float]): The thresholds by label; empty if no component has any.
    RAISES (UserError): If the GPU cannot be used, or none is used and the config needs one.
    """
    _demand_gpu(job.config, job.values, job.gpu)
    with replacing_model(job.folder) as work:
        with fast_products(_read(job.config, job.values)):
            spacy_train(job.config, work / "trained", use_gpu=job.gpu, overrides=dict(job.values))
            nlp = spacy.load(work / "trained" / BEST)
        examples = CorpusReader(job.dev)(nlp)
        scorer = label_scorer(nlp)
        thresholds = set_thresholds(scorer, examples_with_layers(nlp, examples)) if scorer else {}
        save_model(nlp, work / BEST)
    return thresholds


def train_all(jobs: Sequence[TrainingJob], title: str) -> Iterator[dict[str, float]]:
    """Train several pipelines at a time, as memory and cores allow; on a GPU one after the other.

    title (str): Of the progress bar. spaCy's output goes to train.log in each folder.
    RETURNS (Iterator[dict[str, float]]): The thresholds of each.
    """
    threads = max((blas_threads(_read(job.config, job.values)) for job in jobs), default=1)
    processes = at_a_time(any(job.gpu >= 0 for job in jobs), threads)
    note_new(jobs[0].folder.parent / f"*/{BEST} of what was trained to the end")
    try:
        yield from spread(_train_quietly, jobs, processes, title)
    except BaseException:
        for job in jobs:
            if job.folder.exists():
                with exclusive(job.folder):  # which removes what workers left that were killed
                    pass
        raise


def at_a_time(on_gpu: bool, threads: int = 1) -> int:
    """The number of trainings, each with a number of threads, that this machine can run at a time."""
    return 1 if on_gpu else int(max(1, min(available_cores() // threads, available_mb() // _TRAINING_MB)))


def _train_quietly(job: TrainingJob) -> dict[str, float]:
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "train.log").open("w", encoding="utf8") as log, redirect_stdout(log):
        return train(job)


@contextmanager
def replacing_model(folder: Path) -> Iterator[Path]:
    """Give a folder to make `model-best` in; it replaces the previous one when the block ends without an error."""
    with exclusive(folder), work_folder(folder) as work:
        yield work
        replace_folder(work / BEST, folder / BEST)
