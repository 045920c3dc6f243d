"""Runs in MLflow: scores, config and files of each, once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from confection import Config

from scripts.core.errors import UserError
from scripts.scoring.compared import flat
from scripts.scoring.metrics import Score
from scripts.scoring.runs import CONFUSION, COUNTS, METRICS, RUN, Scored

_TAG = "labelwise.run"
_FILES = (RUN, METRICS, COUNTS, CONFUSION)  # not the examples of errors: they hold texts
_LONGEST = 250  # characters of a value
_SCORES = ("p", "r", "f", "support")


def export(metrics: Path, runs: Sequence[Scored], experiment: str) -> dict[str, str]:
    """Send runs to where MLFLOW_TRACKING_URI says. Those that are there already stay as they are.

    metrics (Path): Holds the runs.
    experiment (str): Its name; it is made if it is not there.
    RETURNS (dict[str, str]): MLflow's id of each run, by folder.
    RAISES (UserError): If MLflow is not installed, or refuses.
    """
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as err:
        raise UserError("MLflow is not installed: pip install -r requirements-mlflow.txt") from err
    try:
        client = MlflowClient()
        found = client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else client.create_experiment(experiment)
        return {scored.run.folder: _export(client, number, metrics, scored) for scored in runs}
    except MlflowException as err:
        where = (
            os.environ.get("MLFLOW_TRACKING_URI") or "not set; it says where your MLflow is: https://mlflow.example.org"
        )
        raise UserError(f"MLFLOW_TRACKING_URI is {where}. MLflow: {' '.join(str(err).split())[:200]}") from err


def _export(client: Any, experiment: str, metrics: Path, scored: Scored) -> str:
    folder = scored.run.folder
    there = client.search_runs([experiment], f"tags.`{_TAG}` = '{folder}'", max_results=1)
    if there:
        return str(there[0].info.run_id)
    time = datetime.strptime(scored.run.time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    stamp = int(time.timestamp() * 1000)
    made = client.create_run(experiment, start_time=stamp, run_name=folder).info.run_id
    for name, value in _params(scored):
        client.log_param(made, _name(name), value[:_LONGEST])
    for name, number in _metrics(scored):
        client.log_metric(made, _name(name), number, timestamp=stamp)
    for name in _FILES:
        client.log_artifact(made, str(metrics / folder / name))
    client.set_tag(made, _TAG, folder)  # at last: what was sent in part is sent again
    client.set_terminated(made, end_time=stamp)
    return str(made)


def _params(scored: Scored) -> Iterator[tuple[str, str]]:
    run = scored.run
    yield "seeds", ", ".join(map(str, run.seeds))
    yield "data", str(run.data.trained)
    yield "code", str(run.code.training)
    yield "commit", str(run.code.commit)
    yield from flat(Config().from_str(run.config.text, interpolate=False)).items()


def _metrics(scored: Scored) -> Iterator[tuple[str, float]]:
    metrics = scored.metrics
    scores: dict[str, Score] = {
        "micro": metrics.micro,
        **{f"label/{name}": one for name, one in metrics.labels.items()},
    }
    for row, score in scores.items():
        for name in _SCORES:
            if (value := getattr(score, name)) is not None:
                yield f"{row}/{name}", value
    if metrics.macro.f is not None:
        yield "macro/f", metrics.macro.f


def _name(name: str) -> str:
    """With what MLflow allows in a name."""
    return re.sub(r"[^\w\-./ ]", "_", name)
