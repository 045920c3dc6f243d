"""What one model did right and wrong, summed over texts: kinds of errors, confusion, and forms it had seen before.

A model is run on the texts of a corpus as it will run on any text, and what it found is counted.

From models and a corpus to a run and its scores.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc

from scripts.building.reading import read_docs, read_labels
from scripts.building.splits import Corpus, read_corpus
from scripts.core.errors import UserError
from scripts.core.files import code_digest
from scripts.core.workers import watched
from scripts.model.label_heads import GOLD, covered_of, predictions
from scripts.model.models import Provenance, TrainedModel, find_models, load_model, model_digest, versions
from scripts.scoring import runs
from scripts.scoring.alignment import HIT, KINDS, LABEL, MISSED
from scripts.scoring.counts import Chunk, Counts, Tally, digests, together
from scripts.scoring.examples import Example, Examples
from scripts.scoring.metrics import metrics
from scripts.scoring.runs import Confusion, Evaluated, Run

Forms = Mapping[str, Collection[str]]


class Findings:
    """Sums over chunks.

    kinds (NDArray[int64]): labels × `KINDS`: entities by what became of them.
    confusion (NDArray[int64]): (labels + 1) × (labels + 1): entities of a label (row) that were found as another
        (column), with whatever borders; the last column has those that were missed, the last row what was found
        where there is nothing.
    seen (NDArray[int64] | None): labels × (entities, found) of those whose form is an entity of their label in
        the texts that were trained on; None if these are not known.
    """

    def __init__(self, labels: int, forms: Forms | None) -> None:
        self.kinds = np.zeros((labels, len(KINDS)), np.int64)
        self.confusion = np.zeros((labels + 1, labels + 1), np.int64)
        self.seen: NDArray[np.int64] | None = None if forms is None else np.zeros((labels, 2), np.int64)
        self._forms = forms

    def add(self, chunk: Chunk, labels: list[str]) -> None:
        """Add what was aligned."""
        gold, predicted, partner, kind, is_spurious = chunk.aligned
        np.add.at(self.kinds, (gold[:, LABEL], kind), 1)
        none = np.full(len(gold), len(labels))
        if len(predicted):
            none = np.where(kind == MISSED, none, predicted[partner, LABEL])
        np.add.at(self.confusion, (gold[:, LABEL], none), 1)
        np.add.at(self.confusion, (len(labels), predicted[is_spurious, LABEL]), 1)
        if self.seen is not None:
            self._add_seen(chunk, labels)

    def _add_seen(self, chunk: Chunk, labels: list[str]) -> None:
        assert self._forms is not None
        assert self.seen is not None
        for (text, label, start, end), kind in zip(
            chunk.aligned.gold.tolist(), chunk.aligned.kind.tolist(), strict=True
        ):
            if chunk.texts[text][start:end] in self._forms.get(labels[label], ()):
                self.seen[label] += 1, kind == HIT


def forms(docs: Iterable[Doc]) -> dict[str, set[str]]:
    """The surface forms of each label's entities, as they are written."""
    found: dict[str, set[str]] = {}
    for doc in docs:
        for span in doc.spans[GOLD]:
            found.setdefault(span.label_, set()).add(span.text)
    return found


class Seen(NamedTuple):
    """What was seen of one model.

    words_per_second (int): Tokens, from raw text to entities.
    """

    counts: Counts
    findings: Findings
    errors: list[Example]
    words_per_second: int


def evaluate(
    nlp: Language,
    folder: Path,
    labels: Sequence[str],
    texts: int,
    title: str,
    seed: int = 0,
    forms: Forms | None = None,
) -> Seen:
    """Count what a pipeline finds in a folder of DocBins, a shard at a time.

    The pipeline gets the raw texts: on the Docs of the corpus it would predict otherwise, since its tokenizer sets
    more than where the tokens are.

    nlp (Language): The pipeline.
    folder (Path): For example corpus/test.
    labels (Sequence[str]): What is counted.
    texts (int): How many there are, for the progress bar, which is shown only where somebody watches.
    title (str): What the bar says.
    seed (int): What the model was trained with.
    forms (Forms | None): The forms of each label that it has seen, if they are known.
    RAISES (UserError): If a shard cannot be read.
    """
    tally = Tally(labels)
    findings, errors = Findings(len(labels), forms), Examples()
    clock = _Clock()
    docs = _with_predictions(nlp, folder, clock)

    def add(chunk: Chunk) -> None:
        findings.add(chunk, tally.labels)
        errors.add(chunk, tally.labels)

    for gold, predicted in watched(docs, texts, title):
        if chunk := tally.add(gold.text, covered_of(gold), predictions(predicted)):
            add(chunk)
    add(tally.flush())
    return Seen(tally.counts(seed), findings, errors.all(), clock.words_per_second)


class _Clock:
    """How long the pipeline was at work, and on how many tokens."""

    seconds = 0.0
    words = 0

    @property
    def words_per_second(self) -> int:
        return round(self.words / self.seconds) if self.seconds else 0


def _with_predictions(nlp: Language, folder: Path, clock: _Clock) -> Iterator[tuple[Doc, Doc]]:
    for path in sorted(folder.glob("*.spacy")):
        docs = list(read_docs([path], nlp.vocab))
        began = time.perf_counter()
        found = list(nlp.pipe([doc.text for doc in docs]))
        clock.seconds += time.perf_counter() - began
        clock.words += sum(map(len, found))
        yield from zip(docs, found, strict=True)


_SCORING = Path(__file__).parent
_ROOT = _SCORING.parent.parent
_MATTERS = ("scripts", "configs", "project.yml", "requirements.txt")  # of a repository, to a score


def evaluate_run(name: str, folder: Path, corpus: Path, seeds: Sequence[int] = ()) -> tuple[Evaluated, list[str]]:
    """Evaluate the models of a run on the test texts of a corpus.

    name (str): The run's name; its folder begins with it.
    folder (Path), seeds (Sequence[int]): Its models, see `find`.
    corpus (Path): The folder with labels.json, split.json and test.
    RETURNS (tuple[Evaluated, list[str]]): The run, and which models were left out, and why.
    RAISES (UserError): If the name is none for a folder, there is no corpus, no text to test with or no model, or one
        cannot be loaded.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"{name!r}: is no name for a run; use letters, digits, '.', '_' and '-'")
    split, labels = read_corpus(corpus / "split.json"), sorted(read_labels(corpus / "labels.json"))
    if not split.texts.get("test"):
        raise UserError(f"{corpus}/test: no text to evaluate with; raise test in [split] and make the corpus again")
    found, left_out = find_models(folder, split.digest, seeds)
    told = found[0].provenance
    seen = forms_of(corpus) if told and told.corpus == split.digest else None
    results = [_evaluate(model, corpus, labels, split, seen) for model in found]
    counts = together([result.counts for result in results])
    confusion = {str(model.seed): seen.findings.confusion.tolist() for model, seen in zip(found, results, strict=True)}
    speed = {str(model.seed): seen.words_per_second for model, seen in zip(found, results, strict=True)}
    scores = metrics(counts, [result.findings for result in results])
    run = _run(name, found, split, counts, speed)
    return Evaluated(run, scores, counts, Confusion(labels, confusion), results[0].errors), left_out


def _evaluate(model: TrainedModel, corpus: Path, labels: Sequence[str], split: Corpus, seen: Forms | None) -> Seen:
    title = f"Evaluating seed {model.seed}"
    nlp = load_model(model.path)
    return evaluate(nlp, corpus / "test", labels, split.texts["test"], title, model.seed, seen)


def forms_of(corpus: Path) -> dict[str, set[str]]:
    """The surface forms of each label in the texts to train on."""
    return forms(read_docs(sorted((corpus / "train").glob("*.spacy")), spacy.blank("xx").vocab))


def _run(name: str, found: Sequence[TrainedModel], split: Corpus, counts: Counts, speed: Mapping[str, int]) -> Run:
    told = found[0].provenance
    data = runs.Data(told.corpus if told else None, split.digest)
    code = runs.Code(told.code if told else None, code_digest(_SCORING), *_git())
    files = {str(model.seed): model_digest(model.path) for model in found}
    weights = {seed: digest for seed, (digest, _) in files.items()}
    config = runs.TrainingConfig(hashlib.sha256(found[0].config.encode()).hexdigest(), found[0].config)
    seeds = [model.seed for model in found]
    return Run(
        run=name,
        digest=runs.identity(data, config.digest, seeds, code.training, weights),
        time=runs.now(),
        seeds=seeds,
        data=data,
        code=code,
        models=weights,
        model_bytes=files[str(seeds[0])][1],
        versions={"training": told.versions if told else {}, "evaluation": versions()},
        tests=digests(counts),
        config=config,
        trained=_trained(told, split) if told else None,
        words_per_second=dict(speed),
    )


def _trained(told: Provenance, split: Corpus) -> runs.Trained:
    is_there = told.corpus == split.digest
    entities = {label: sides.get("train", 0) for label, sides in split.spans.items()} if is_there else {}
    return runs.Trained(told.texts.get("train", 0), told.covered, entities)


def _git() -> tuple[str | None, list[str]]:
    """The commit of the project, and which of its files are not as committed."""
    try:
        commit = _run_git("rev-parse", "HEAD").strip()
        status = _run_git("status", "--porcelain", "--no-renames", "-z", "--", *_MATTERS)
    except (OSError, subprocess.CalledProcessError):
        return None, []
    return commit, sorted(line[3:] for line in status.split("\0") if line)


def _run_git(*args: str) -> str:
    command = ["git", "-C", str(_ROOT), *args]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf8", errors="replace").stdout
