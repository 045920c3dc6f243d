"""From models and a corpus to a run and its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.annotations.errors import UserError
from scripts.annotations.files import code_digest
from scripts.model.labels import read_labels
from scripts.model.provenance import Provenance, Split, provenance, read_split, versions
from scripts.scoring import models, runs
from scripts.scoring.counts import Counts, Tally
from scripts.scoring.evaluation import evaluate
from scripts.scoring.metrics import Metrics, metrics, over_seeds
from scripts.scoring.models import Trained
from scripts.scoring.runs import Run

_SCORING = Path(__file__).parent


class Evaluated(NamedTuple):
    """A run, its scores, and the counts they are made of, by seed."""

    run: Run
    metrics: Metrics
    counts: dict[int, Counts]


def evaluate_run(name: str, found: Sequence[Trained], corpus: Path) -> Evaluated:
    """Evaluate the models of a run on the test texts of a corpus.

    name (str): The run's name.
    found (Sequence[Trained]): Its models, at least one.
    corpus (Path): The folder with labels.json, split.json and test.
    RAISES (UserError): If there is no corpus or no text to test with, a model cannot be loaded, or the models
        differ in more than their seeds.
    """
    split, labels = read_split(corpus / "split.json"), read_labels(corpus / "labels.json")
    if not split.texts.get("test"):
        raise UserError(f"{corpus}/test: no text to evaluate with; raise test in [split] and make the corpus again")
    tallies, told = {}, []
    for model in found:
        nlp = models.load(model.path)
        told.append(provenance(nlp))
        _demand_alike(found[0], told[0], model, told[-1])
        title = f"Evaluating {model.path.parent.name}"
        tallies[model.seed] = evaluate(nlp, corpus / "test", labels, split.texts["test"], title)
    counts = {seed: tally.counts() for seed, tally in tallies.items()}
    scores = over_seeds({seed: metrics(found) for seed, found in counts.items()})
    return Evaluated(_run(name, found, told[0], split, tallies[found[0].seed]), scores, counts)


def _demand_alike(first: Trained, known: Provenance | None, other: Trained, told: Provenance | None) -> None:
    """RAISES (UserError): If two models of a run differ in more than their seeds."""
    differs = {
        "configs": first.config != other.config,
        "data": (known and known.corpus) != (told and told.corpus),
        "code": (known and known.code) != (told and told.code),
    }
    what = " and ".join(name for name, is_so in differs.items() if is_so)
    if what:
        raise UserError(
            f"{first.path} and {other.path}: were trained with different {what}, so they are not one run; "
            "train the older one again, or remove it"
        )


def _run(name: str, found: Sequence[Trained], told: Provenance | None, split: Split, tally: Tally) -> Run:
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
