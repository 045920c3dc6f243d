"""Training: a config is checked, a pipeline is trained, its thresholds are set, and it is committed to its folder."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple

import numpy as np
import spacy
from confection import Config, ConfigValidationError
from spacy.cli._util import setup_gpu, show_validation_error
from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import minibatch, walk_dict

from scripts.building.documents import missing_language
from scripts.building.reading import CorpusReader
from scripts.building.splits import Corpus, SplitName
from scripts.core.errors import UserError, committing, note_new, plain_console
from scripts.core.files import exclusive, replace_folder, work_folder
from scripts.core.workers import available_cores, available_mb, spread
from scripts.model import label_heads
from scripts.model.fitting import demand_training_numbers, fit, length
from scripts.model.models import BEST, UNFINISHED, announce, blas_threads, demand_known_keys, fast_ops, save_model
from scripts.model.teacher import Teacher, demand_heads_to_teach, label_heads_of, teacher_values
from scripts.model.thresholds import (
    demand_numbers,
    examples_with_layers,
    label_scorer,
    least_precision,
    min_precision,
    set_thresholds,
)
from scripts.model.vectors import BUILT, STATIC, heads_of, layers_for, start_from

NO_VECTORS = "none"
MIXED = "mixed_precision"  # a key of layers
_TRANSITION_BASED = ("ner", "beam_ner")  # spaCy's factories
UNLEARNED_F = 0.1  # of all labels together: below, a model has not learned
_LOADS_TRANSFORMER = "huggingface_from_pretrained"  # a function of spacy-transformers
_BATCH = 64
_TRAINING_MB = 1500  # memory of one training; the corpus is streamed


def load_config(path: Path, values: Mapping[str, Any], vectors: str = "") -> tuple[Config, dict[str, Any]]:
    """Read and check a training config.

    values (Mapping[str, Any]): Set on the command line, by dotted key.
    vectors (str): A pipeline with static vectors, as a path or package, for all layers that can use them; "none" for no
        vectors; empty: those that `weasel run vectors` has built, if there are any and the config names no others.
    RETURNS (tuple[Config, dict[str, Any]]): The config, and all values that were set.
    RAISES (UserError): If the config cannot be read, has a key that spaCy does not know or lacks one that is set, or
        names a component that is not installed, or vectors, pretrained weights or a number that cannot be used.
    """
    values = dict(values)
    written = _read(path, {})
    _demand_keys(path, written, values)
    layers = [".".join(keys) for keys, _ in walk_dict(written) if keys[-1] == STATIC]
    named = values.get("paths.vectors") or written.get("paths", {}).get("vectors")
    if not vectors and layers and BUILT.is_dir() and not named:
        vectors = BUILT.as_posix()
    if vectors and vectors != NO_VECTORS:
        if not layers:
            raise UserError(f"{path}: has no {STATIC}: none of its layers can use the vectors of {vectors}")
        values |= dict.fromkeys(layers, True) | {"paths.vectors": vectors}
        is_set = "paths.init_tok2vec" in values or written.get("paths", {}).get("init_tok2vec")
        if vectors == BUILT.as_posix() and not is_set:
            start = layers_for(_read(path, values))
            values |= {"paths.init_tok2vec": start.as_posix()} if start else {}
    elif vectors and named:
        values |= dict.fromkeys(layers, False) | {"paths.vectors": None}
    config = _read(path, values)
    blas_threads(config)
    _demand_factories(path, config)
    demand_training_numbers(path, config)
    demand_numbers(path, config)
    demand_heads_to_teach(config)
    _demand_vectors(path, config)
    if _start(config) and heads_of(config) is None:
        raise UserError(
            f"{path}: init_tok2vec does nothing without label_heads or [pretraining], whose component and layer say "
            "where the weights go: https://spacy.io/api/data-formats#config-pretraining"
        )
    return config, values


def _start(config: Config) -> Path | None:
    """Weights that label heads start from; with [pretraining], spaCy itself puts them where that says."""
    weights = config.interpolate().get("initialize", {}).get("init_tok2vec")
    return Path(weights) if weights and not config.get("pretraining") else None


def _read(path: Path, values: Mapping[str, Any]) -> Config:
    try:
        config = spacy.util.load_config(path, overrides=dict(values))
        demand_known_keys(path, config)
        config.interpolate()  # says which variable does not exist
        return config
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
        if (factory := block.get("factory")) and not nlp.has_factory(factory):
            hint = "; pip install -r requirements-trf.txt" if factory == "transformer" else ""
            raise UserError(f"{path}: [components.{name}]: there is no component {factory!r} installed{hint}")


def _demand_vectors(path: Path, config: Config) -> None:
    """RAISES (UserError): If vectors are named that no layer uses, or a layer needs vectors and none are named."""
    vectors = config.interpolate().get("initialize", {}).get("vectors")
    switches = [bool(value) for keys, value in walk_dict(config) if keys[-1] == STATIC]
    if vectors and switches and not any(switches):
        raise UserError(
            f"{path}: the vectors of {vectors} do nothing, since no layer has {STATIC} = true; to use them: "
            f"--vars.vectors {vectors}"
        )
    if any(switches) and not vectors:
        raise UserError(f"{path}: {STATIC} = true needs vectors, and [paths] vectors names none: weasel run vectors")


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


def uncovered_share(config: Config, corpus: Corpus, split: SplitName) -> float:
    """The share of text × label pairs of a split that are not covered, if entities are found by spaCy's `ner`.

    It learns from a text as a whole, and is scored on it: to it, a label is missing in a text or it is not. Else 0.
    """
    factories = [block.get("factory") for block in config.get("components", {}).values()]
    pairs = corpus.texts.get(split, 0) * len(corpus.covered)
    if "label_heads" in factories or not pairs or not any(name in _TRANSITION_BASED for name in factories):
        return 0.0
    return sum(corpus.uncovered(label, split) for label in corpus.covered) / pairs


class TrainingJob(NamedTuple):
    """One training.

    config (Path), values (Mapping[str, Any]): See `load_config`.
    words (int): Tokens of the training texts, by which [length] goes; 0 if they are not known.
    is_partial (bool): Whether labels are not covered in some of these texts, so that there is something for a teacher.
    dev (Path): A folder of DocBins on which thresholds are set.
    folder (Path): For example training/ner/seed-0. A model that is there is replaced once the new one is whole.
    gpu (int): Its number, or -1 for the CPU.
    """

    config: Path
    values: Mapping[str, Any]
    words: int
    is_partial: bool
    dev: Path
    folder: Path
    gpu: int


class Trained(NamedTuple):
    """The result of a training.

    thresholds (dict[str, float]): By label; empty if no component has any.
    dev (dict[str, list[int]]): By label: true positives, false positives and false negatives on the dev texts.
    precision (float | None): What thresholds had to reach; None for the best F1.
    """

    thresholds: dict[str, float]
    dev: dict[str, list[int]]
    precision: float | None = None

    def doubts(self) -> list[str]:
        """Say in a sentence each how it has not learned, and what to do."""
        tp, fp, fn = map(sum, zip((0, 0, 0), *self.dev.values(), strict=True))
        f = label_heads.prf(tp, fp, fn)["f"]
        never = {label: tp + fn for label, (tp, fp, fn) in self.dev.items() if tp + fp == 0 and fn}
        sentences = []
        if not tp + fn:
            sentences.append(
                "the dev texts have no entity, by which the model and its thresholds could be judged: raise dev in "
                "[split], or annotate more texts"
            )
        elif f is not None and f < UNLEARNED_F:
            sentences.append(
                f"the model has not learned: F is {f:.3f} on the dev texts; raise [training] max_steps, or see "
                "whether the annotations are right: weasel run consistency"
            )
        if never:
            labels = ", ".join(f"{label} ({entities:,})" for label, entities in sorted(never.items()))
            sentences.append(
                f"never predicted on the dev texts, which have entities of them: {labels}; raise [training] "
                "max_steps, or annotate more texts for them"
            )
        if self.precision and (imprecise := self._imprecise()):
            sentences.append(
                f"a precision of {self.precision} is not certain on the dev texts, so that the threshold is the most "
                f"precise one, for {imprecise}; annotate more texts for them, or lower min_precision"
            )
        return sentences

    def _imprecise(self) -> str:
        """The labels that do not reach the precision, with what is right of what is predicted: "ORG (9 of 12)"."""
        counts = ((label, np.array(found)) for label, found in sorted(self.dev.items()) if found[0] + found[1])
        short = [(label, found) for label, found in counts if least_precision(found) < (self.precision or 0)]
        return ", ".join(f"{label} ({found[0]:,} of {found[:2].sum():,} right)" for label, found in short)


def seed_range(first: int, number: int) -> range:
    """The seeds of some models. RAISES (UserError): If there are none, or one is below 0."""
    if number < 1:
        raise UserError(f"--seeds {number}: must be 1 or more, the number of models to train")
    if first < 0:
        raise UserError(f"--seed {first}: must be 0 or more")
    return range(first, first + number)


def same_steps(path: Path, values: Mapping[str, Any], words: int) -> dict[str, Any]:
    """Values for trainings with as many steps as a number of words asks for, whatever each of them is trained on."""
    fixed = {**values, "training.patience": 0}
    if "length" in _read(path, values):
        fixed |= {"length.plateau": 0}  # else it would set the patience
    return fixed | length(_read(path, fixed), words)


def step_doubts(config: Config, words: int) -> list[str]:
    """Say if training ends before the second evaluation: the weights that are kept are those at evaluations.

    words (int): See `length`.
    """
    training, found = config.interpolate()["training"], length(config, words)
    steps, frequency = (found.get(f"training.{key}", training[key]) for key in ("max_steps", "eval_frequency"))
    if not 0 < steps < frequency:
        return []
    return [
        f"training.max_steps {steps:,} is below training.eval_frequency {frequency:,}, so that only the first step is "
        f"evaluated, and kept: lower eval_frequency, or raise max_steps"
    ]


def train(job: TrainingJob) -> Trained:
    """Train, set the thresholds, and put `model-best` into the folder.

    RAISES (UserError): If the GPU cannot be used, or none is used and the config needs one; if a transformer cannot be
        loaded, or is frozen and does not annotate; see `length`.
    """
    _demand_gpu(job.config, job.values, job.gpu)
    config = _config_for(job)
    shorter = teacher_values(config, job.words) if job.is_partial else {}
    with replacing_model(job.folder) as work, fast_ops(config):
        teacher = None
        if shorter:
            plain_console().print("A teacher first: what it predicts is learned where labels are not covered")
            teacher = Teacher(_fit(job._replace(values={**job.values, **shorter}), work / "teacher")[0])
            plain_console().print("Then the model")
        nlp, trained = _fit(job, work / "trained", teacher)
        save_model(nlp, work / BEST)
    return trained


def _config_for(job: TrainingJob) -> Config:
    """The config of a training, with its length."""
    return _read(job.config, {**job.values, **length(_read(job.config, job.values), job.words)})


def _fit(job: TrainingJob, folder: Path, teacher: Teacher | None = None) -> tuple[Language, Trained]:
    """Train a pipeline, write it, and then set the thresholds of the one that is returned."""
    nlp = _initialized(job, _config_for(job))
    if teacher:
        label_heads_of(nlp).learn_from(teacher)
    fit(nlp, folder, job.words, job.gpu)
    nlp = spacy.load(folder)
    examples = CorpusReader(job.dev)(nlp)
    scorer = label_scorer(nlp)
    if scorer is None:
        return nlp, Trained({}, dict(label_heads.count_covered(_predicted(nlp, examples))))
    chosen, dev = set_thresholds(scorer, examples_with_layers(nlp, examples))
    return nlp, Trained(chosen, dev, min_precision(scorer))


def _initialized(job: TrainingJob, config: Config) -> Language:
    """A pipeline to train. spaCy leaves frozen components out, also those that have nothing yet, as a transformer."""
    frozen, annotating = (config["training"].get(f"{key}_components", []) for key in ("frozen", "annotating"))
    sourced = [name for name in frozen if "source" in config["components"].get(name, {})]
    config["training"]["frozen_components"] = sourced
    try:
        with show_validation_error(job.config, hint_fill=False):
            nlp = init_nlp(config, use_gpu=job.gpu)
    except Exception as err:  # files of many formats are read there
        if "[E150]" in str(err):
            lang, vectors = config["nlp"]["lang"], config.interpolate()["initialize"]["vectors"]
            raise UserError(
                f'{vectors}: is of another language than [nlp] lang = "{lang}": build vectors for this one: weasel run '
                f"vectors; or train without: --vars.vectors {NO_VECTORS}"
            ) from err
        if any(frame.f_code.co_name == _LOADS_TRANSFORMER for frame, _ in walk_tb(err.__traceback__)):
            raise _no_transformer(job.config, config, err) from err
        raise
    nlp.config["training"]["frozen_components"] = frozen
    if (weights := _start(config)) and (heads := heads_of(config)):
        start_from(weights, nlp, heads)
    for name in set(frozen) - set(annotating):
        if set(getattr(nlp.get_pipe(name), "listening_components", ())) - set(frozen):
            wanted = ",".join(f'"{each}"' for each in [*annotating, name])
            raise UserError(
                f"{job.config}: {name} is frozen, and others learn from its output, so it must annotate the texts: "
                f"--training.annotating_components '[{wanted}]'"
            )
    return nlp


def _no_transformer(path: Path, config: Config, err: Exception) -> UserError:
    """An error for weights that the transformers library cannot load."""
    names = [(".".join(keys), value) for keys, value in walk_dict(config["components"]) if keys[-1] == "name"]
    said = ", ".join(f"--components.{key} {value}" for key, value in names)
    is_empty = any(Path(value).is_dir() and not Path(value, "config.json").is_file() for _, value in names)
    reason = "the folder has no config.json" if is_empty else next(iter(str(err).strip().splitlines()), "")
    return UserError(
        f"{path}: {said}: no transformer can be loaded ({reason}); give the name of a model on the Hugging Face hub, "
        "or a folder with config.json, model.safetensors and tokenizer.json"
    )


def _predicted(nlp: Language, examples: Iterable[Example]) -> Iterator[Example]:
    for batch in minibatch(examples, _BATCH):
        docs = nlp.pipe([example.predicted for example in batch])
        yield from (Example(doc, example.reference) for doc, example in zip(docs, batch, strict=True))


def train_all(jobs: Sequence[TrainingJob], title: str) -> Iterator[Trained]:
    """Train several pipelines at a time, as memory and cores allow; on a GPU one after the other.

    title (str): Of the progress bar. spaCy's output goes to train.log in each folder.
    """
    threads = max((blas_threads(_read(job.config, job.values)) for job in jobs), default=1)
    processes = at_a_time(any(job.gpu >= 0 for job in jobs), threads)
    announce(job.folder for job in jobs)  # also those that are trained after the others
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


def _train_quietly(job: TrainingJob) -> Trained:
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / "train.log").open("w", encoding="utf8") as log, redirect_stdout(log):
        return train(job)


@contextmanager
def replacing_model(folder: Path) -> Iterator[Path]:
    """Give a folder to make `model-best` in; it replaces the previous one when the block ends without an error.

    Until then a file says so, see `announce`.
    """
    with exclusive(folder), work_folder(folder) as work:
        announce([folder])
        yield work
        with committing():
            replace_folder(work / BEST, folder / BEST)
            (folder / UNFINISHED).unlink(missing_ok=True)
