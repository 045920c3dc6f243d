"""From models and a corpus to a run and its scores."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.annotations.errors import UserError
from scripts.annotations.files import code_digest
from scripts.model.labels import read_labels
from scripts.model.provenance import Split, read_split, versions
from scripts.scoring import models, runs
from scripts.scoring.counts import Counts, Tally
from scripts.scoring.evaluation import evaluate
from scripts.scoring.metrics import Metrics, metrics, over_seeds
from scripts.scoring.models import Trained
from scripts.scoring.runs import Run

_SCORING = Path(__file__).parent


class Evaluated(NamedTuple):
    """A run, its scores, the counts they are made of by seed, and which models were left out."""

    run: Run
    metrics: Metrics
    counts: dict[int, Counts]
    left_out: list[str]


def evaluate_run(name: str, folder: Path, corpus: Path) -> Evaluated:
    """Evaluate the models of a run on the test texts of a corpus.

    name (str): The run's name; its folder begins with it.
    folder (Path): Its models, see `find`.
    corpus (Path): The folder with labels.json, split.json and test.
    RAISES (UserError): If the name is none for a folder, there is no corpus, no text to test with or no model, or one
        cannot be loaded.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"{name!r}: is no name for a run; use letters, digits, '.', '_' and '-'")
    split, labels = read_split(corpus / "split.json"), read_labels(corpus / "labels.json")
    if not split.texts.get("test"):
        raise UserError(f"{corpus}/test: no text to evaluate with; raise test in [split] and make the corpus again")
    found, left_out = models.find(folder, split.digest)
    tallies = {
        model.seed: evaluate(
            models.load(model.path), corpus / "test", labels, split.texts["test"], f"Evaluating seed {model.seed}"
        )
        for model in found
    }
    counts = {seed: tally.counts() for seed, tally in tallies.items()}
    scores = over_seeds({seed: metrics(found) for seed, found in counts.items()})
    return Evaluated(_run(name, found, split, tallies[found[0].seed]), scores, counts, left_out)


def _run(name: str, found: Sequence[Trained], split: Split, tally: Tally) -> Run:
    told = found[0].told
    data = runs.Data(told.corpus if told else None, split.digest)
    code = runs.Code(told.code if told else None, code_digest(_SCORING))
    files = {str(model.seed): models.weights(model.path) for model in found}
    digests = {seed: digest for seed, (digest, _) in files.items()}
    config = runs.TrainingConfig(hashlib.sha256(found[0].config.encode()).hexdigest(), found[0].config)
    seeds = [model.seed for model in found]
    return Run(
        run=name,
        digest=runs.identity(data, config.digest, seeds, code.training, digests),
        time=runs.now(),
        seeds=seeds,
        data=data,
        code=code,
        models=digests,
        model_bytes=files[str(seeds[0])][1],
        versions={"training": told.versions if told else {}, "evaluation": versions()},
        tests=tally.digests(),
        config=config,
    )
