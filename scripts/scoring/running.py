"""From models and a corpus to a run and its scores."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import spacy

from scripts.annotations.errors import UserError
from scripts.annotations.files import code_digest
from scripts.model.labels import read_labels
from scripts.model.provenance import Provenance, versions
from scripts.model.reading import read_docs
from scripts.model.summary import Split, read_split
from scripts.scoring import models, runs
from scripts.scoring.counts import Counts, digests, together
from scripts.scoring.evaluation import Seen, evaluate
from scripts.scoring.findings import Forms, forms
from scripts.scoring.metrics import metrics
from scripts.scoring.models import Trained
from scripts.scoring.runs import Confusion, Evaluated, Run

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
    split, labels = read_split(corpus / "split.json"), sorted(read_labels(corpus / "labels.json"))
    if not split.texts.get("test"):
        raise UserError(f"{corpus}/test: no text to evaluate with; raise test in [split] and make the corpus again")
    found, left_out = models.find(folder, split.digest, seeds)
    told = found[0].told
    seen = forms_of(corpus) if told and told.corpus == split.digest else None
    results = [_evaluate(model, corpus, labels, split, seen) for model in found]
    counts = together([result.counts for result in results])
    confusion = {str(model.seed): seen.findings.confusion.tolist() for model, seen in zip(found, results, strict=True)}
    speed = {str(model.seed): seen.words_per_second for model, seen in zip(found, results, strict=True)}
    scores = metrics(counts, [result.findings for result in results])
    run = _run(name, found, split, counts, speed)
    return Evaluated(run, scores, counts, Confusion(labels, confusion), results[0].errors), left_out


def _evaluate(model: Trained, corpus: Path, labels: Sequence[str], split: Split, seen: Forms | None) -> Seen:
    title = f"Evaluating seed {model.seed}"
    nlp = models.load(model.path)
    return evaluate(nlp, corpus / "test", labels, split.texts["test"], title, model.seed, seen)


def forms_of(corpus: Path) -> dict[str, set[str]]:
    """The surface forms of each label in the texts to train on."""
    return forms(read_docs(sorted((corpus / "train").glob("*.spacy")), spacy.blank("xx").vocab))


def _run(name: str, found: Sequence[Trained], split: Split, counts: Counts, speed: Mapping[str, int]) -> Run:
    told = found[0].told
    data = runs.Data(told.corpus if told else None, split.digest)
    code = runs.Code(told.code if told else None, code_digest(_SCORING), *_git())
    files = {str(model.seed): models.weights(model.path) for model in found}
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


def _trained(told: Provenance, split: Split) -> runs.Trained:
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
