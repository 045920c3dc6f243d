"""Evaluation of a run: its models predict the test texts from scratch, as they will predict any text."""

import hashlib
import re
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc, SpanGroup

from scripts.building.reading import read_docs, read_labels
from scripts.building.splits import Corpus, read_corpus, shard_files
from scripts.core.errors import UserError
from scripts.core.files import code_digest
from scripts.core.workers import with_progress
from scripts.model.label_heads import GOLD, MISALIGNED, Covered, count_spans, covered_of, predictions
from scripts.model.models import (
    TrainedModel,
    blas,
    demand_finished,
    find_models,
    load_model,
    model_digest,
    versions,
)
from scripts.model.thresholds import label_scorer
from scripts.scoring import runs
from scripts.scoring.alignment import HIT, KINDS, LABEL, MISSED, SPURIOUS
from scripts.scoring.counts import AlignedChunk, Counts, Tally, digests, together
from scripts.scoring.examples import ErrorExample, ErrorExamples
from scripts.scoring.metrics import metrics
from scripts.scoring.reliability import JudgedSpans, ReliabilityDiagrams
from scripts.scoring.runs import Confusion, EvaluatedRun, Run

SurfaceForms = Mapping[str, Collection[str]]  # by label


class ErrorSums:
    """Errors of one model by kind, label confusion, and recall of seen surface forms, summed over chunks.

    fn (NDArray[int64]), fp (NDArray[int64]): labels × kinds, see `align`: entities, and predictions; the first kind are
        the hits.
    confusion (NDArray[int64]): (labels + 1) × (labels + 1): entities of a label (row) that are predicted as another
        (column), whatever the boundaries; the last column has missed entities, the last row spurious predictions.
    seen (NDArray[int64] | None): labels × (entities, found) of those whose surface form is one of their label in the
        training texts; None if these are not at hand.
    """

    def __init__(self, labels: int, forms: SurfaceForms | None) -> None:
        self.fn, self.fp = (np.zeros((labels, len(KINDS)), np.int64) for _ in range(2))
        self.confusion = np.zeros((labels + 1, labels + 1), np.int64)
        self.seen: NDArray[np.int64] | None = None if forms is None else np.zeros((labels, 2), np.int64)
        self._forms = forms or {}

    def add(self, chunk: AlignedChunk, labels: list[str]) -> None:
        """Add a chunk."""
        gold, predicted, partner, kind, is_spurious = chunk.aligned
        of_predictions = chunk.prediction_kinds
        nothing = len(labels)
        is_paired = kind != MISSED
        predicted_label = np.full(len(gold), nothing)
        predicted_label[is_paired] = predicted[partner[is_paired], LABEL]
        np.add.at(self.fn, (gold[:, LABEL], chunk.entity_kinds), 1)
        np.add.at(self.fp, (predicted_label[is_paired], of_predictions[is_paired]), 1)
        np.add.at(self.fp, (predicted[is_spurious, LABEL], SPURIOUS), 1)
        np.add.at(self.confusion, (gold[:, LABEL], predicted_label), 1)
        np.add.at(self.confusion, (nothing, predicted[is_spurious, LABEL]), 1)
        if self.seen is not None:
            for (text, label, start, end), is_hit in zip(gold.tolist(), kind == HIT, strict=True):
                if chunk.texts[text][start:end] in self._forms.get(labels[label], ()):
                    self.seen[label] += 1, is_hit


def surface_forms(docs: Iterable[Doc]) -> dict[str, set[str]]:
    """Surface forms of each label's entities, as they are written: misaligned ones as annotated, and as trained on."""
    forms: dict[str, set[str]] = {}
    for doc in docs:
        for span in doc.spans[GOLD]:
            forms.setdefault(span.label_, set()).add(span.text)
        if MISALIGNED in doc.spans:
            group = doc.spans[MISALIGNED]
            for span, (start, end, _) in zip(group, group.attrs["annotated"], strict=True):
                forms.setdefault(span.label_, set()).add(doc.text[start:end])
    return forms


class ModelEvaluation(NamedTuple):
    """Counts and errors of one model."""

    counts: Counts
    errors: ErrorSums
    examples: list[ErrorExample]
    judged: JudgedSpans | None  # None if its spans have no calibrated probabilities
    words_per_second: int  # tokens, from raw text to entities


def evaluate(
    nlp: Language, folder: Path, labels: Sequence[str], texts: int, title: str, seed: int = 0,
    forms: SurfaceForms | None = None,
) -> ModelEvaluation:  # fmt: skip
    """Evaluate a pipeline on a folder of DocBins, a shard at a time.

    nlp (Language): Gets the raw texts: on the Docs of the corpus it would predict otherwise, since its tokenizer sets
        more attributes than those of the shards.
    texts (int), title (str): For the progress bar, which is shown only on a terminal.
    forms (SurfaceForms | None): Surface forms in its training texts, if these are at hand.
    RAISES (UserError): If a shard cannot be read.
    """
    tally = Tally(labels)
    errors, examples = ErrorSums(len(labels), forms), ErrorExamples()
    spans_key, judged = calibrated_spans(nlp), JudgedSpans()
    speed = [0, 0.0]  # words, and the seconds they took

    def add(chunk: AlignedChunk) -> None:
        errors.add(chunk, tally.labels)
        examples.add(chunk, tally.labels)

    for gold, predicted in with_progress(_with_predictions(nlp, folder, speed), texts, title):
        covered = covered_of(gold)
        if chunk := tally.add(gold.text, covered, predictions(predicted)):
            add(chunk)
        if spans_key in predicted.spans:
            judge_spans(predicted.spans[spans_key], covered, tally.labels, judged)
    add(tally.flush())
    words_per_second = round(speed[0] / speed[1]) if speed[1] else 0
    return ModelEvaluation(tally.counts(seed), errors, examples.all(), judged if spans_key else None, words_per_second)


def calibrated_spans(nlp: Language) -> str:
    """The key in `doc.spans` of predicted spans with calibrated probabilities; empty if there are none."""
    scorer = label_scorer(nlp)
    return getattr(scorer, "spans_key", "") if scorer and scorer.calibration else ""


def judge_spans(
    predicted: SpanGroup, covered: Mapping[str, Covered], labels: Sequence[str], judged: JudgedSpans
) -> None:
    """Judge the spans of a text that are predicted where their label is covered, overlapping ones too.

    predicted (SpanGroup): Probabilities are its `attrs["scores"]`.
    """
    for span, probability in zip(predicted, predicted.attrs["scores"], strict=True):
        of_label = covered.get(span.label_)
        if of_label and of_label.is_scored and span.label_ in labels:
            right, wrong, _ = count_spans(of_label, [(span.start_char, span.end_char)])
            if right or wrong:
                judged.add(labels.index(span.label_), float(probability), bool(right))


def _with_predictions(nlp: Language, folder: Path, speed: list[float]) -> Iterator[tuple[Doc, Doc]]:
    for shard in shard_files(folder):
        with nlp.memory_zone():  # else the vocabulary keeps all words of all shards
            docs = list(read_docs([shard], nlp.vocab))
            start = time.perf_counter()
            predicted = list(nlp.pipe([doc.text for doc in docs]))
            speed[0] += sum(map(len, predicted))
            speed[1] += time.perf_counter() - start
            yield from zip(docs, predicted, strict=True)


_SCORING = Path(__file__).parent
_ROOT = _SCORING.parent.parent
_SCRIPTS = _SCORING.parent
_CODE = (_SCRIPTS / "functions.py", *(_SCRIPTS / room for room in ("core", "building", "model", "scoring")))
_VERSIONED = ("scripts", "configs", "project.yml", "requirements.txt")  # what a score depends on


class RunInputs(NamedTuple):
    """What is evaluated, and the record of the run without what the evaluation finds."""

    run: Run
    models: list[TrainedModel]
    skipped: list[str]  # the reason for each model that is not part of the run
    corpus: Path
    split: Corpus
    labels: list[str]


def read_inputs(name: str, folder: Path, corpus: Path, seeds: Sequence[int] = ()) -> RunInputs:
    """Find the models of a run and the corpus to evaluate them on.

    folder (Path), seeds (Sequence[int]): Its models, see `find_models`.
    RAISES (UserError): If the name cannot be that of a folder, there is no corpus or test text, no model, or a later
        training of one did not end.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"{name!r}: is no name for a run; use letters, digits, '.', '_' and '-'")
    split, labels = read_corpus(corpus / "split.json"), sorted(read_labels(corpus / "labels.json"))
    if not split.texts.get("test"):
        raise UserError(f"{corpus}/test: no text to evaluate with; raise test in [split] and make the corpus again")
    found, skipped = find_models(folder, split.digest, labels, seeds)
    for model in found:
        demand_finished(model.path)
    return RunInputs(_run(name, found, split, labels), found, skipped, corpus, split, labels)


def evaluate_run(inputs: RunInputs) -> EvaluatedRun:
    """Evaluate the models of a run on the test texts of a corpus.

    RAISES (UserError): If no test text is covered for a label, or a model or a shard cannot be read.
    """
    run, found, _, corpus, split, labels = inputs
    record = found[0].provenance
    forms = None
    if record and not record.outdated(labels, split.digest):
        forms = surface_forms(read_docs(shard_files(corpus / "train"), spacy.blank("xx").vocab))
    results: dict[str, ModelEvaluation] = {}
    for model in found:
        nlp, title = load_model(model.path), f"Evaluating seed {model.seed}"
        run.versions["evaluation"]["blas"] = blas(nlp)
        results[str(model.seed)] = evaluate(nlp, corpus / "test", labels, split.texts["test"], title, model.seed, forms)
    counts = together([result.counts for result in results.values()])
    confusion = {seed: result.errors.confusion.tolist() for seed, result in results.items()}
    run.tests, run.time = digests(counts), datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    run.words_per_second = {seed: result.words_per_second for seed, result in results.items()}
    judged = {seed: result.judged for seed, result in results.items() if result.judged}
    judged = judged if len(judged) == len(results) else {}  # means over seeds need those of each
    scores = metrics(counts, [result.errors for result in results.values()], list(judged.values()))
    if not scores.micro.texts:
        raise UserError(
            f"{corpus}/test: no text is covered for a label, and scores need complete answers; to make tasks: "
            f"weasel run queue . --vars.texts test --vars.label {labels[0]}"
        )
    examples = next(iter(results.values())).examples
    diagrams = ReliabilityDiagrams({seed: spans.diagrams(labels) for seed, spans in judged.items()})
    return EvaluatedRun(run, scores, counts, Confusion(labels, confusion), examples, diagrams if judged else None)


def _run(name: str, found: Sequence[TrainedModel], split: Corpus, labels: Sequence[str]) -> Run:
    """The record of a run, as far as it is known before the evaluation."""
    record = found[0].provenance
    data = runs.RunData(record.corpus if record else None, split.digest)
    code = runs.RunCode(record.code if record else None, code_digest(_SCORING), *_git(), code_digest(*_CODE))
    files = {str(model.seed): model_digest(model.path) for model in found}
    weights = {seed: digest for seed, (digest, _) in files.items()}
    config = runs.TrainingConfig(hashlib.sha256(found[0].config.encode()).hexdigest(), found[0].config)
    seeds = [model.seed for model in found]
    trained_with = record.versions if record else {}
    trained = None
    if record:
        outdated = record.outdated(labels, split.digest)
        entities = {} if outdated else {label: splits.get("train", 0) for label, splits in split.spans.items()}
        trained = runs.TrainingData(record.texts.get("train", 0), record.covered, entities, outdated)
    return Run(
        run=name, digest=runs.identity(data, config.digest, seeds, code.training, trained_with.get("blas"), weights),
        time="", seeds=seeds, data=data, code=code,
        models=weights, model_bytes=files[str(seeds[0])][1], tests={}, config=config, trained=trained,
        versions={"training": trained_with, "evaluation": versions()},
    )  # fmt: skip


def _git() -> tuple[str | None, list[str]]:
    """The commit of the project, and its files that differ from it."""

    def git(*args: str) -> str:
        command = ["git", "-C", str(_ROOT), *args]
        return subprocess.run(command, check=True, capture_output=True, encoding="utf8", errors="replace").stdout

    try:
        commit = git("rev-parse", "HEAD").strip()
        status = git("status", "--porcelain", "--no-renames", "-z", "--", *_VERSIONED)
    except (OSError, subprocess.CalledProcessError):
        return None, []
    return commit, sorted(line[3:] for line in status.split("\0") if line)
