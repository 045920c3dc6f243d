"""The training loop: as long as the corpus asks for, ended by a plateau, its weights averaged at the end.

`spacy.training.loop` makes the steps. This module sets their number, and chooses the weights to keep.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from math import ceil, isfinite
from pathlib import Path
from statistics import fmean
from typing import IO, Annotated, Any

import msgspec
import spacy
from confection import Config
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training.loop import (
    create_before_to_disk_callback,
    create_evaluation_callback,
    create_train_batches,
    train_while_improving,
    update_meta,
)
from spacy.util import fix_random_seed, registry, resolve_dot_names
from thinc.api import Model, set_gpu_allocator
from wasabi import row

from scripts.core.errors import UserError, plain_console
from scripts.core.files import Count

MACRO = "ents_macro_f"  # in [training.score_weights]
_SMOOTHED = 3  # evaluations whose mean is the score of the last of them
_EVAL_STEPS, _FEWEST_EVALUATIONS = 150, 6
_MEASURED = 10  # steps, after the first, by which the time of all is estimated

Weights = dict[tuple[int, str], Any]  # by the id of a layer, and the name of its parameter


# Numbers in the config


class _Training(msgspec.Struct, kw_only=True):
    """The numbers in [training] and their bounds; what is 0 may be set by [length]."""

    max_steps: Count = 0
    max_epochs: Annotated[int, msgspec.Meta(ge=-1)] = 0
    eval_frequency: Count = 0
    patience: Count = 0
    accumulate_gradient: Annotated[int, msgspec.Meta(ge=1)] = 1
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] | dict[str, Any] = 0.0
    score_weights: dict[str, float | None] = {}


class _Texts(msgspec.Struct):
    """The numbers in a block of [corpora]."""

    limit: Count = 0
    max_length: Count = 0
    buffer: Annotated[int, msgspec.Meta(ge=1)] = 1


class _Batcher(msgspec.Struct):
    """The number in [training.batcher]."""

    size: Annotated[int, msgspec.Meta(ge=1)] | dict[str, Any] = 1


def demand_training_numbers(path: Path, config: Config) -> None:
    """RAISES (UserError): If a number of the training loop, of a batch or of the texts is none, or out of bounds."""
    config = config.interpolate()
    training = config.get("training", {})
    blocks: list[tuple[str, Any, Any]] = [
        ("training", training, _Training),
        ("training.batcher", training.get("batcher", {}), _Batcher),
        *((f"corpora.{name}", block, _Texts) for name, block in config.get("corpora", {}).items()),
    ]
    for name, block, bounds in blocks:
        try:
            msgspec.convert(dict(block), bounds)
        except msgspec.ValidationError as err:
            raise UserError(f"{path}: [{name}] {err}") from err


# Length


class Length(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """[length] of a training config.

    epochs (float): Of the training texts: sets the steps, from least_steps to most_steps.
    evaluations (int): The most.
    plateau (float): The share of the steps without a better score on the dev texts after which training ends; 0: never.
    teacher (float): Where labels are not covered, the model learns what a first one predicts. That one is trained for
        as many epochs, and for this share of least_steps at least; 0: there is none.
    """

    epochs: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
    least_steps: Annotated[int, msgspec.Meta(ge=1)]
    most_steps: Annotated[int, msgspec.Meta(ge=1)]
    evaluations: Annotated[int, msgspec.Meta(ge=1)]
    plateau: Annotated[float, msgspec.Meta(ge=0, le=1)]
    teacher: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


def length(config: Config, words: int) -> dict[str, int]:
    """What [length] sets of [training], by dotted key: what is 0 there. Empty if the config has no [length].

    words (int): Tokens of the training texts.
    RAISES (UserError): If [length] is wrong, or the words of a batch are not known.
    """
    config = config.interpolate()
    if "length" not in config:
        return {}
    rules, training = read_length(config), config["training"]
    steps = training["max_steps"] or _steps(rules, training, words)
    evaluations = min(max(steps // _EVAL_STEPS, _FEWEST_EVALUATIONS), rules.evaluations)
    frequency = max(1, steps // evaluations)
    by_epochs = training["max_epochs"] > 0  # they alone end it, and the steps are known if the words are
    values = {
        "max_steps": 0 if by_epochs and not words else steps - steps % frequency,  # so that the last one is evaluated
        "eval_frequency": frequency,
        "patience": 0 if by_epochs else ceil(rules.plateau * steps),
    }
    return {f"training.{key}": value for key, value in values.items() if not training[key]}


def read_length(config: Config) -> Length:
    """[length] of a config. RAISES (UserError): If it is wrong."""
    try:
        rules = msgspec.convert(dict(config["length"]), Length)
    except msgspec.ValidationError as err:
        raise UserError(f"[length]: {err}") from err
    if rules.least_steps > rules.most_steps:
        raise UserError(f"[length] least_steps {rules.least_steps:,}: is above most_steps {rules.most_steps:,}")
    return rules


def _steps(rules: Length, training: Mapping[str, Any], words: int) -> int:
    """Steps of the epochs of a number of words: [training] max_epochs, or those of [length]."""
    steps = steps_of_epochs(rules, training, words)
    if steps is None:
        size, name = (training["batcher"].get(key) for key in ("size", "@batchers"))
        unit = "with a schedule" if type(size) is not int else f"{name} counts texts, not words"
        raise UserError(f"[training.batcher] size = {size}: {unit}; set the number of steps: [training] max_steps")
    return max(1, steps) if training["max_epochs"] > 0 else min(max(steps, rules.least_steps), rules.most_steps)


def steps_of_epochs(rules: Length, training: Mapping[str, Any], words: int) -> int | None:
    """Steps of the epochs of a number of words, without bounds; None if a batch has no fixed number of words."""
    batcher = training["batcher"]
    if type(batcher.get("size")) is not int or "sequence" in batcher["@batchers"]:
        return None
    epochs = training["max_epochs"] if training["max_epochs"] > 0 else rules.epochs
    return ceil(epochs * words / batcher["size"])


def halved(config: Config) -> dict[str, float]:
    """Values for a training half as long, with two evaluations; of a config whose length follows the corpus."""
    rules, epochs = read_length(config), config["training"]["max_epochs"]
    if epochs > 0:  # without bounds
        found = {"epochs": epochs / 2, "least_steps": 2, "most_steps": sys.maxsize}
    else:
        found = {
            "epochs": rules.epochs / 2,
            "least_steps": max(2, rules.least_steps // 2),
            "most_steps": max(2, rules.most_steps // 2),
        }
    values = {f"length.{key}": value for key, value in {**found, "evaluations": 2}.items()}
    return values | ({"training.max_epochs": -1} if epochs > 0 else {})


# Weights


class LastHalf:
    """The mean of weights in the last half of a training.

    One evaluation may find a model good by chance; the mean over many steps needs no choice, and varies less with the
    seed. The optimizer's own average (use_averages) is over about the last tenth. Means of weights:
    https://arxiv.org/abs/1803.05407
    """

    def __init__(self, models: Sequence[Model[Any, Any]]) -> None:
        self._models = models
        self._kept: list[tuple[int, Weights]] = []

    def add(self, step: int) -> None:
        """Keep the current weights of a step, and forget those of the first half of the steps so far."""
        current = {(node.id, name): node.get_param(name).copy() for node, name in self._params()}
        self._kept = [(kept, weights) for kept, weights in self._kept if 2 * kept >= step] + [(step, current)]

    def put(self) -> list[int]:
        """Put the mean into the models. RETURNS (list[int]): The steps that it is of."""
        for node, name in self._params():
            values = [weights[node.id, name] for _, weights in self._kept]
            node.set_param(name, sum(values[1:], values[0].copy()) / len(values))
        return [step for step, _ in self._kept]

    def _params(self) -> Iterator[tuple[Model[Any, Any], str]]:
        for model in self._models:
            yield from ((node, name) for node in model.walk() for name in node.param_names if node.has_param(name))


# The loop


def fit(nlp: Language, folder: Path, words: int, gpu: int) -> None:
    """Train an initialized pipeline by its config, and write it.

    It gets the mean of the weights of the last half. Where some are not thinc's, as in a transformer, it is as it was
    at its best smoothed score instead.

    folder (Path): Gets the pipeline.
    words (int): Tokens of the training texts, to say how many epochs it trains for.
    gpu (int): Its number, or -1 for the CPU.
    """
    config = nlp.config.interpolate()
    if config["training"]["seed"] is not None:
        fix_random_seed(config["training"]["seed"])
    if gpu >= 0 and config["training"]["gpu_allocator"]:
        set_gpu_allocator(config["training"]["gpu_allocator"])
    settings: dict[str, Any] = registry.resolve(config["training"], schema=ConfigSchemaTraining)
    if isinstance(settings["dropout"], int):
        settings["dropout"] = float(settings["dropout"])  # else spaCy takes it for a schedule
    train_corpus, dev_corpus = resolve_dot_names(config, [settings["train_corpus"], settings["dev_corpus"]])
    evaluate = _evaluation(nlp, dev_corpus, settings["score_weights"])
    batches = create_train_batches(nlp, train_corpus, settings["batcher"], settings["max_epochs"])
    kept = _Kept(nlp, folder, settings)
    steps = train_while_improving(
        nlp, settings["optimizer"], batches, evaluate, patience=0, exclude=settings["frozen_components"],
        **{name: settings[name] for name in _OF_LOOP},
    )  # fmt: skip
    last = _log(nlp, settings, _until_plateau(steps, settings, kept), words)
    kept.finish(last, evaluate)


_OF_LOOP = ("dropout", "accumulate_gradient", "max_steps", "eval_frequency", "annotating_components", "before_update")

Info = dict[str, Any]  # of a step, as `train_while_improving` gives it, and "left": seconds
Evaluate = Callable[[], tuple[float, dict[str, Any]]]


def _evaluation(nlp: Language, dev: Callable[[Language], Any], weights: Mapping[str, float | None]) -> Evaluate:
    """As spaCy's, with macro F, the mean over the labels that have support."""
    scores_of = create_evaluation_callback(nlp, dev, {})

    def evaluate() -> tuple[float, dict[str, Any]]:
        _, scores = scores_of()
        per_type: Any = scores.get("ents_per_type", {})
        of_labels = [found["f"] or 0.0 for found in per_type.values() if found["r"] is not None]
        scores[MACRO] = fmean(of_labels) if of_labels else 0.0
        return sum(weight * (scores.get(name) or 0.0) for name, weight in weights.items() if weight), scores

    return evaluate


class _Kept:
    """The weights to end with."""

    def __init__(self, nlp: Language, folder: Path, settings: dict[str, Any]) -> None:
        self._nlp, self._folder, self._settings = nlp, folder, settings
        trained: Iterator[Any] = (pipe for name, pipe in nlp.pipeline if name not in settings["frozen_components"])
        models = [pipe.model for pipe in trained if isinstance(getattr(pipe, "model", None), Model)]
        is_foreign = any(node.shims for model in models for node in model.walk())
        self._mean = None if is_foreign else LastHalf(models)

    def add(self, info: Info, is_best: bool) -> None:
        """Take the averaged weights of an evaluation. is_best (bool): By its smoothed score."""
        with self._nlp.use_params(self._settings["optimizer"].averages or {}):
            if self._mean:
                self._mean.add(info["step"])
            elif is_best:
                self._save(info)

    def finish(self, info: Info, evaluate: Evaluate) -> None:
        """Write the pipeline, with the scores of its mean weights."""
        if self._mean:
            steps = self._mean.put()
            score, others = evaluate()
            evaluations = f"{len(steps)} evaluation{'s' * (len(steps) > 1)}"
            _say(f"Mean of the weights at {evaluations}, from step {steps[0]:,}: score {100 * score:.2f}")
            self._save({**info, "other_scores": others})

    def _save(self, info: Info) -> None:
        with self._nlp.select_pipes(disable=self._settings["frozen_components"]):
            update_meta(self._settings, self._nlp, info)
        create_before_to_disk_callback(self._settings["before_to_disk"])(self._nlp).to_disk(self._folder)


def _until_plateau(
    steps: Iterator[tuple[Any, Info, bool | None]], settings: dict[str, Any], kept: _Kept
) -> Iterator[Info]:
    """Each step until the smoothed score has not risen for [training] patience steps."""
    scores: list[float] = []
    best, best_step, began = -1.0, 0, 0.0
    for _, info, is_best in steps:
        if not all(map(isfinite, info["losses"].values())):
            raise UserError(
                f"the loss is not a number at step {info['step']:,}: lower the rate in [training.optimizer], or build "
                "the vectors again: weasel run vectors"
            )
        if is_best is None:
            yield info
            continue
        step, now = info["step"], time.perf_counter()
        began = began or now
        scores.append(info["score"])
        smoothed = fmean(scores[-_SMOOTHED:])
        if smoothed > best:
            best, best_step = smoothed, step
        kept.add(info, best_step == step)
        left = (settings["max_steps"] - step) * (now - began) / step if step and settings["max_steps"] else None
        yield {**info, "left": left}
        if step != settings["max_steps"] and 0 < settings["patience"] <= step - best_step:
            _say(f"Ended at step {step:,}: no better score since step {best_step:,}, over {_SMOOTHED} evaluations")
            return


def _log(nlp: Language, settings: dict[str, Any], steps: Iterator[Info], words: int) -> Info:
    """Say how long it takes, from a few steps, and log all. RETURNS (Info): Of the last evaluation."""
    began = time.perf_counter()
    first = list(islice(steps, 1))
    evaluated = time.perf_counter()
    measured = list(islice(steps, _MEASURED))
    if measured and settings["max_steps"]:
        seconds = time.perf_counter() - evaluated
        seen = measured[-1]["words"] - first[0]["words"]
        evaluations = (evaluated - began) * settings["max_steps"] / settings["eval_frequency"]
        _say(_plan(settings["max_steps"], words, seen / len(measured), seen / seconds, evaluations))
    with nlp.select_pipes(disable=settings["frozen_components"]):
        log_step, finalize = settings["logger"](nlp, sys.stdout, sys.stderr)
    last: Info = {}
    try:
        for info in chain(first, measured, steps):
            last = info if "left" in info else last
            log_step(info if "left" in info else None)
    finally:
        finalize()
    return last


def _say(line: str) -> None:
    plain_console().print(line, soft_wrap=True)


def _plan(steps: int, words: int, batch: float, speed: float, evaluations: float) -> str:
    """`28,800 steps: 4 epochs of 1.8 million words, about 25 minutes at 5,000 words/s`."""
    size = f"{words / 1e6:.1f} million" if words >= 1e6 else f"{words:,}"
    epochs = f"{steps * batch / words:.2g} epochs of {size} words, " if words else ""
    seconds = steps * batch / speed + evaluations
    unit, name = next((each for each in ((3600, "hours"), (60, "minutes")) if seconds >= 2 * each[0]), (1, "seconds"))
    return f"{steps:,} steps: {epochs}about {seconds / unit:.0f} {name} at {float(f'{speed:.2g}'):,.0f} words/s"


@spacy.registry.loggers("labelwise.Table.v1")
def table_logger() -> Callable[..., tuple[Callable[[Info | None], None], Callable[[], None]]]:
    """A table with a row an evaluation, as spaCy's, and the time left."""

    def set_up(nlp: Language, stdout: IO[str], _: IO[str]) -> tuple[Callable[[Info | None], None], Callable[[], None]]:
        pipes = [name for name, pipe in nlp.pipeline if getattr(pipe, "is_trainable", False)]
        weights = nlp.config["training"]["score_weights"]
        scores = [name for name, weight in weights.items() if weight is not None]
        head = [
            "E",
            "#",
            *(f"LOSS {name.upper()}" for name in pipes),
            *(name.upper() for name in scores),
            "SCORE",
            "LEFT",
        ]
        least = [3, 6, *(8 for _ in pipes), *(6 for _ in (*scores, "score")), 7]
        widths = [max(len(name), width) for name, width in zip(head, least, strict=True)]

        def write(cells: Sequence[Any]) -> None:
            stdout.write(f"{row(cells, widths=widths, aligns=['r'] * len(widths), spacing=2)}\n")
            stdout.flush()

        def log_step(info: Info | None) -> None:
            if info is not None:
                losses = [f"{info['losses'].get(name, 0.0):.2f}" for name in pipes]
                found = [f"{100 * (info['other_scores'].get(name) or 0.0):.2f}" for name in scores]
                left = info.get("left")
                write([info["epoch"], info["step"], *losses, *found, f"{100 * info['score']:.2f}", _clock(left)])

        write(head)
        write(["-" * width for width in widths])
        return log_step, lambda: None

    return set_up


def _clock(seconds: float | None) -> str:
    """`1:02:03`, or empty."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
