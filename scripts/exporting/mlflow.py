"""MLflow runs: config, scores and files of each run, sent once."""

import os
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from scripts.core.errors import UserError
from scripts.scoring.comparison import config_values
from scripts.scoring.metrics import COLUMNS
from scripts.scoring.runs import CONFUSION, COUNTS, METRICS, RUN, ScoredRun

_TAG = "labelwise.run"
_FILES = (RUN, METRICS, COUNTS, CONFUSION)  # not the examples of errors, which hold texts
_MAX_LENGTH = 250  # characters of a value
_MAX_LABEL = 200  # of the 250 characters of a metric's name


def export(metrics: Path, runs: Sequence[ScoredRun], experiment: str) -> dict[str, str]:
    """Send runs to MLFLOW_TRACKING_URI, to an experiment that is made if there is none. Those already there stay.

    RETURNS (dict[str, str]): MLflow's id of each run, by folder.
    RAISES (UserError): If MLflow is not installed, or fails.
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
        where = os.environ.get("MLFLOW_TRACKING_URI") or "not set; set it to your MLflow: https://mlflow.example.org"
        raise UserError(f"MLFLOW_TRACKING_URI is {where}. MLflow: {' '.join(str(err).split())[:200]}") from err


def _export(client: Any, experiment: str, metrics: Path, scored: ScoredRun) -> str:
    folder = scored.run.folder
    there = client.search_runs([experiment], f"tags.`{_TAG}` = '{folder}'", max_results=1)
    if there:
        return str(there[0].info.run_id)
    time = datetime.strptime(scored.run.time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    stamp = int(time.timestamp() * 1000)
    made = client.create_run(experiment, start_time=stamp, run_name=folder).info.run_id
    run = scored.run
    params = {
        "seeds": ", ".join(map(str, run.seeds)), "data": run.data.trained, "code": run.code.training,
        "commit": run.code.commit, **config_values(run),
    }  # fmt: skip
    for name, value in params.items():
        client.log_param(made, _name(name), str(value)[:_MAX_LENGTH])
    for row, name, score in scored.rows():
        prefix = f"label/{name_of(name)}" if row == "label" else row  # "label/ORG/f", "micro/f", "macro/f"
        for column in COLUMNS:
            if (number := column.of(score)) is not None:
                client.log_metric(made, _name(f"{prefix}/{column.name}"), number, timestamp=stamp)
    for name in _FILES:
        client.log_artifact(made, str(metrics / folder / name))
    client.set_tag(made, _TAG, folder)  # last: a run that was sent in part is sent again
    client.set_terminated(made, end_time=stamp)
    return str(made)


def name_of(label: str) -> str:
    """Return a label as a part of a metric's name; characters that MLflow does not allow there become their codes."""
    return re.sub(r"[^\w\- .]|^\.|\.$", lambda match: f"_{ord(match[0]):02x}_", label)[:_MAX_LABEL]


def _name(name: str) -> str:
    """Replace characters that MLflow does not allow in a name."""
    return re.sub(r"[^\w\-./ ]", "_", name)
