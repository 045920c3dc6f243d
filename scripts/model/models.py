"""Trained models on disk: the record of their training in meta.json, and the models that make a run."""

import hashlib
import platform
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy
import spacy
import thinc
from confection import Config, ConfigValidationError
from spacy.language import DEFAULT_CONFIG_PRETRAIN_PATH, Language
from spacy.pipeline import TrainablePipe
from spacy.strings import StringStore
from spacy.util import get_package_path, is_package, walk_dict
from thinc.api import NumpyOps, get_current_ops, set_current_ops
from threadpoolctl import threadpool_info, threadpool_limits

from scripts.building.splits import SplitName, read_corpus
from scripts.core.errors import UserError, train_command
from scripts.core.files import UNREADABLE, Count, code_digest, sha256

KEY = "labelwise"  # in meta.json
BEST = "model-best"  # spaCy's name for the folder of the model with the best score on the dev texts
UNFINISHED = "unfinished.txt"  # beside it, from the start of a training until its model is in place
_SCRIPTS = Path(__file__).parent.parent
_CODE = (_SCRIPTS / "functions.py", _SCRIPTS / "building", _SCRIPTS / "model")
# Systems and processors on which NumPy's OpenBLAS multiplies matrices faster than BLIS, thinc's own choice; measured in
# docs/performance.md. Never by a stopwatch: the two differ in the last bits, and models with them.
_OPENBLAS = {("Linux", "x86_64")}
_PATHS_OF_WEIGHTS = ("vectors", "init_tok2vec")  # entries of [paths] that change the model


class Provenance(msgspec.Struct, kw_only=True):
    """The record of a model's training; `nlp.meta["labelwise"]`.

    corpus (str), texts (dict[SplitName, int]): See `Corpus`.
    code (str), versions (dict[str, str]): See `training_code` and `versions`; "blas" as in `blas`.
    covered (dict[str, int]): By label: training texts that are covered for it.
    relearned (dict[str, str]): By label that was trained again alone: its corpus. `corpus` is a digest of all then.
    others (str): The corpus of the other labels, if some were trained again alone.
    steps (list[tuple[str, int]]): Labels that were trained again alone, in this order, and the batches of each.
    start (list[str]): Digests of what it started from, see `weights_digests`, sorted.
    """

    corpus: str
    texts: dict[SplitName, Count]
    code: str
    versions: dict[str, str]
    covered: dict[str, Count] = {}
    relearned: dict[str, str] = {}
    others: str = ""
    steps: list[tuple[str, Count]] = []
    start: list[str] = []

    def outdated(self, labels: Iterable[str], corpus: str) -> list[str]:
        """Return those of some labels that were trained on another corpus."""
        return [label for label in labels if self.relearned.get(label, self.others or self.corpus) != corpus]

    def knows(self, corpus: str) -> bool:
        """Whether the model, or one of its labels, was trained on a corpus."""
        return corpus in (self.corpus, *self.relearned.values())


@spacy.registry.callbacks("labelwise.RecordData.v1")
def record_data(split: str) -> Callable[[Language], Language]:
    """For [training.before_to_disk]: write into each saved model's meta what it is trained on.

    split (str): Path to corpus/split.json. It is read when training starts, since it may have changed at the end.
    RAISES (ConfigValidationError): If there is no corpus; `spacy train` shows it without a traceback.
    """
    try:
        corpus = read_corpus(Path(split))
    except UserError as err:
        raise ConfigValidationError(title="No corpus", desc=str(err), show_config=False) from err
    found = Provenance(
        corpus=corpus.digest,
        texts=corpus.texts,
        code=training_code(),
        versions=versions(),
        covered={label: counts.get("train", 0) for label, counts in corpus.covered.items()},
    )

    def record(nlp: Language) -> Language:
        found.versions["blas"] = blas(nlp)
        found.start = found.start or sorted(weights_digests(nlp.config).values())  # once, at the first checkpoint
        nlp.meta[KEY] = msgspec.to_builtins(found)
        return nlp

    return record


def provenance(meta: Mapping[str, Any]) -> Provenance | None:
    """The record in a model's meta; None if it was trained without `labelwise.RecordData.v1`.

    RAISES (UserError): If it is damaged.
    """
    try:
        return msgspec.convert(meta[KEY], Provenance) if KEY in meta else None
    except msgspec.ValidationError as err:
        raise UserError(f"meta.json of the model: {KEY} is damaged ({err}); train again: weasel run train") from err


def labels_of(meta: Mapping[str, Any]) -> frozenset[str]:
    """All labels that are in a model's meta."""
    by_pipe = meta.get("labels")
    return (
        frozenset(label for of_pipe in by_pipe.values() for label in of_pipe)
        if isinstance(by_pipe, dict)
        else frozenset()
    )


def training_code() -> str:
    """Digest of the code that makes and trains models: scripts/functions.py and the rooms building and model."""
    return code_digest(*_CODE)


def versions() -> dict[str, str]:
    """Versions of Python and the packages that a model's scores depend on."""
    packages = (spacy, thinc, numpy)
    return {"python": platform.python_version()} | {package.__name__: package.__version__ for package in packages}


class FastOps(NumpyOps):
    """thinc's operations on the CPU, with masks of dropout in a sixth of the time: they took a seventh of training."""

    def get_dropout_mask(self, shape: tuple[int, ...], drop: float | None) -> Any:
        """As in thinc, but 16 random bits decide on each unit, not a float of 64. They come from numpy.random, too.

        shape (Tuple[int, ...]): Of the mask.
        drop (float | None): The share of zeros, to 1/65,536. The other values are 1 / their share.
        RETURNS (FloatsXd): The mask.
        """
        kept = round((1 - (drop or 0)) * 2**16)
        if not 0 < kept < 2**16:
            return super().get_dropout_mask(shape, drop)
        bits = numpy.frombuffer(numpy.random.bytes(2 * prod(shape)), "<u2").reshape(shape)
        return (bits < kept) * numpy.float32(2**16 / kept)


@contextmanager
def fast_ops(config: Mapping[str, Any]) -> Iterator[None]:
    """Pipelines that are made in this block multiply matrices as fast as this platform can, if they run on the CPU, and
    draw dropout as in `FastOps`.

    config (Mapping[str, Any]): Its [system] threads are the threads of BLAS in this process from now on.
    RAISES (UserError): See `blas_threads`.
    """
    threadpool_limits(blas_threads(config), "blas")
    build = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    is_faster = (platform.system(), platform.machine()) in _OPENBLAS and "openblas" in build
    before = get_current_ops()
    if before.name == "numpy":
        set_current_ops(FastOps(use_blis=not is_faster))
    try:
        yield
    finally:
        set_current_ops(before)


def demand_known_keys(path: Path, config: Config) -> None:
    """RAISES (UserError): If a section of spaCy's own has a key that spaCy does not know: it would drop the key."""
    defaults = {**Language.default_config, **Config().from_disk(DEFAULT_CONFIG_PRETRAIN_PATH, interpolate=False)}
    for section in ("nlp", "training", "initialize", "pretraining"):  # elsewhere, functions refuse other keys
        known = defaults[section]
        if unknown := [key for key in config.get(section, {}) if key not in known]:
            raise UserError(
                f"{path}: [{section}] {unknown[0]}: there is no such key; there is {', '.join(sorted(known))}"
            )


def blas_threads(config: Mapping[str, Any]) -> int:
    """[system] threads of a config, 1 if it has none. RAISES (UserError): If it is not a number of threads."""
    threads = config.get("system", {}).get("threads", 1)
    if type(threads) is not int or threads < 1:
        raise UserError(f"[system] threads = {threads!r}: must be a whole number, 1 or more")
    return threads


def blas(nlp: Language) -> str:
    """The library that multiplies the matrices of a pipeline, and its threads: "openblas, threads: 1"."""
    found = [pipe.model.ops for _, pipe in nlp.pipeline if isinstance(pipe, TrainablePipe)]
    names = {("blis" if ops.use_blis else "openblas") if ops.name == "numpy" else ops.name for ops in found}
    threads = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    return ", ".join([*sorted(names), f"threads: {threads}"])


class TrainedModel(NamedTuple):
    """A model on disk.

    config (str): Its config without seeds and without paths, since models of one run may be trained on the same data
        in different folders. With the digests of what it started from, and the steps of labels that were trained again
        alone.
    """

    path: Path
    seed: int
    config: str
    labels: frozenset[str]
    provenance: Provenance | None

    @property
    def is_unfinished(self) -> bool:
        """Whether a later training of it began and did not end."""
        return self.path.with_name(UNFINISHED).exists()


def announce(folders: Iterable[Path]) -> None:
    """Note in folders `seed-<n>` that a training begins, so that no other model in them is taken for its result."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / UNFINISHED).write_text(
            f"A training began whose {BEST} is not here yet: it runs, or was stopped. A {BEST} in this folder is of "
            "the training before. To use that one all the same, remove this file.\n",
            "utf8",
        )  # no output of its own: that it is there is all that counts


def demand_finished(best: Path) -> None:
    """RAISES (UserError): If a later training of a model began and did not end."""
    note = best.with_name(UNFINISHED)
    if note.exists():
        seeds = [int(seed) for seed in re.findall(r"^seed-(\d+)$", note.parent.name)]
        raise UserError(
            f"{best}: is of the training before; the last one was stopped, or still runs. Train again: "
            f"{train_command(note.parent.parent.name, seeds, True)}; to use this model all the same, remove {note}"
        )


def demand_labels(place: Path, known: Collection[str], labels: Collection[str]) -> None:
    """RAISES (UserError): If models know no label of the corpus: they are of another project, as the demo's."""
    if labels and known and set(known).isdisjoint(labels):  # a component need not say what it knows
        some = ", ".join(sorted(labels)[:3])
        run = place.parent.parent if place.name == BEST else place
        there = f"{some}{', …' * (len(labels) > 3)}"
        raise UserError(f"{place}: knows no label of the corpus ({there}): {train_command(run.name)}")


def find_models(
    folder: Path, corpus: str, labels: Collection[str], seeds: Sequence[int] = ()
) -> tuple[list[TrainedModel], list[str]]:
    """Find the models `seed-<n>/model-best` of a run.

    folder (Path): The run's models, for example training/ner.
    corpus (str): Digest of the corpus. If some of the models were trained on it, those are the run.
    labels (Collection[str]): Of the corpus, see `demand_labels`.
    seeds (Sequence[int]): Seeds that must be there; none for all that are.
    RETURNS (tuple[list[TrainedModel], list[str]]): By seed; and folders that are not part of the run, with the reason.
    RAISES (UserError): If a model is missing, cannot be read or has another seed than its folder, or if models differ
        in more than their seeds.
    """
    found = {int(path.name[5:]): path for path in folder.glob("seed-*") if re.fullmatch(r"seed-\d+", path.name)}
    for seed in seeds:
        if seed not in found or not (found[seed] / BEST).is_dir():
            raise UserError(
                f"{folder}: has no seed-{seed}/{BEST}; train it first: {train_command(folder.name, seeds, True)}"
            )
    chosen = {seed: found[seed] for seed in sorted(seeds or found)}
    models = [_read_model(path / BEST, seed) for seed, path in chosen.items() if (path / BEST).is_dir()]
    if not models:
        raise UserError(
            f"{folder}: has no seed-<n>/{BEST}; train a model first: {train_command(folder.name, is_forced=True)}"
        )
    demand_labels(folder, frozenset().union(*(model.labels for model in models)), labels)
    skipped = [f"{path}: has no {BEST}" for path in chosen.values() if not (path / BEST).is_dir()]
    # Models of another corpus are of an earlier run, unless there are no others.
    current = [model for model in models if model.provenance and model.provenance.knows(corpus)] or models
    skipped += [f"{model.path.parent}: was trained on other data" for model in models if model not in current]
    for model in current[1:]:
        _demand_same_run(current[0], model)
    return current, skipped


def _demand_same_run(one: TrainedModel, other: TrainedModel) -> None:
    """RAISES (UserError): If two models differ in more than their seeds."""
    of_each = (
        (each.config, *((record.corpus, record.code, record.versions.get("blas")) if record else (None,) * 3))
        for each in (one, other)
        for record in (each.provenance,)
    )
    differ = [name for name, a, b in zip(("configs", "data", "code", "BLAS"), *of_each, strict=True) if a != b]
    if differ:
        raise UserError(
            f"{one.path} and {other.path}: were trained with different {' and '.join(differ)}, so they are not one "
            "run; train the older one again, or remove it"
        )


def _read_model(path: Path, seed: int) -> TrainedModel:
    try:
        config = Config().from_disk(path / "config.cfg", interpolate=False)
        used = config.interpolate().get("training", {}).get("seed")
        meta = msgspec.json.decode((path / "meta.json").read_bytes(), type=dict[str, Any])
    except (*UNREADABLE, ValueError, ConfigValidationError) as err:
        raise UserError(f"{path}: its config or meta cannot be read ({err}); train it again") from err
    if used != seed:
        raise UserError(f"{path}: was trained with seed {used}, not {seed}; name its folder seed-{used}")
    record = provenance(meta)
    own = _without_paths_and_seeds(config, record)
    return TrainedModel(path, seed, own, labels_of(meta), record)


def _without_paths_and_seeds(config: Config, record: Provenance | None) -> str:
    """See `TrainedModel`."""
    kept = () if record else _PATHS_OF_WEIGHTS  # without a record, their names are all that tells what it started from
    config["paths"] = {name: path if name in kept else None for name, path in config.get("paths", {}).items()}
    if record and record.start:
        config["started_from"] = {"digests": record.start}
    if record and record.steps:
        config["relearned"] = {"steps": [f"{label} {steps}" for label, steps in record.steps]}
    for section in ("system", "training"):
        if isinstance(config.get(section, {}).get("seed"), int):
            config[section]["seed"] = None
    return config.to_str(interpolate=False)


def weights_digests(config: Config) -> dict[str, str]:
    """Digests of the files that a training with a config starts from, by their name in it: vectors, weights of layers,
    and transformers in folders.
    """
    keys_of_places = (*_PATHS_OF_WEIGHTS, "name")  # `name` is a transformer's
    named = {value for keys, value in walk_dict(config.interpolate()) if keys[-1] in keys_of_places and value}
    places = {name: get_package_path(name) if is_package(name) else Path(name) for name in sorted(named)}
    return {
        name: model_digest(place)[0] if place.is_dir() else sha256(place)
        for name, place in places.items()
        if place.exists()
    }


def save_model(nlp: Language, folder: Path) -> None:
    """Write a pipeline without the words of the texts that it has seen, see `without_seen_words`."""
    nlp.to_disk(folder)
    without_seen_words(nlp, folder)


def without_seen_words(nlp: Language, folder: Path) -> None:
    """Write vocab/strings.json anew, in the folder of a pipeline, without the words of the texts that it has seen.

    spaCy keeps each word of the training texts there, though its layers go by hashes. What the pipeline needs stays:
    the strings of a new one (attributes, rules of the tokenizer), the labels, and the words that have a vector.
    """
    block = {**nlp.config["nlp"], "pipeline": [], "disabled": []}
    new = type(nlp).from_config({"nlp": block})
    labels = [label for of_pipe in nlp.pipe_labels.values() for label in of_pipe]
    vectors = (nlp.vocab.strings[key] for key in nlp.vocab.vectors if key in nlp.vocab.strings)
    StringStore([*new.vocab.strings, *nlp.pipe_names, *labels, *vectors]).to_disk(folder / "vocab" / "strings.json")


def load_model(path: Path) -> Language:
    """Load a model. RAISES (UserError): If it is missing or damaged, or a package it needs is not installed."""
    try:
        with fast_ops(Config().from_disk(path / "config.cfg")):
            return spacy.load(path)
    except UserError as err:
        raise UserError(f"{path}: {err}") from err
    except Exception as err:  # whatever its components raise
        raise UserError(f"{path}: cannot be loaded ({type(err).__name__}: {err}); train a model first") from err


def model_digest(path: Path) -> tuple[str, int]:
    """Digest of all files of a model, and their size in bytes."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()} {sha256(file)}\n".encode())
    return digest.hexdigest(), sum(file.stat().st_size for file in files)
