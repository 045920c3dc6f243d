"""export-mlflow: runs in a local store; without MLflow, one line says what to install."""

from __future__ import annotations

import importlib.util
import json
import os

import pytest

from tests.runs import counted, made, write
from tests.scored import one_line, step

IS_THERE = importlib.util.find_spec("mlflow") is not None


@pytest.fixture
def project(tmp_path, monkeypatch):
    store = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    first, second = (made("ner", d, n, counted({"ORG": hits, "A&B": 5})) for d, n, hits in (("a", 1, 5), ("b", 2, 6)))
    write(tmp_path, first, second)
    return tmp_path


@pytest.mark.skipif(not IS_THERE, reason="MLflow is not installed: pip install -r requirements-mlflow.txt")
def test_runs_are_sent_once(project):
    done = step(project, "scripts.export_mlflow", "metrics", "--experiment", "bees")
    assert done.returncode == 0, done.stderr
    assert "✔ metrics/mlflow.json: 2 runs in the experiment bees" in done.stdout
    ids = json.loads((project / "metrics/mlflow.json").read_text())
    assert list(ids) == ["ner-aaaaaaaa", "ner-bbbbbbbb"]
    done = step(project, "scripts.export_mlflow", "metrics", "--experiment", "bees")
    assert json.loads((project / "metrics/mlflow.json").read_text()) == ids

    from mlflow.tracking import MlflowClient

    client = MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
    run = client.get_run(ids["ner-bbbbbbbb"])
    assert run.data.metrics["label/ORG/f"] == pytest.approx(0.666667)
    assert run.data.metrics["label/A_26_B/support"] == 10
    assert run.data.params["training.dropout"] == "0.1"
    assert run.info.start_time == 1767232800000  # when it was evaluated
    assert {"run.json", "metrics.json", "counts.csv.gz"} <= {
        file.path for file in client.list_artifacts(run.info.run_id)
    }


@pytest.mark.skipif(not IS_THERE, reason="MLflow is not installed: pip install -r requirements-mlflow.txt")
def test_a_store_that_is_none_is_explained_in_one_line(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "odd://nowhere")
    assert "MLFLOW_TRACKING_URI is odd://nowhere. MLflow: " in one_line(
        step(project, "scripts.export_mlflow", "metrics")
    )
    assert not (project / "metrics/mlflow.json").exists()


@pytest.mark.skipif(IS_THERE, reason="MLflow is installed")
def test_without_mlflow_the_error_names_what_to_install(project):
    done = step(project, "scripts.export_mlflow", "metrics")
    assert "MLflow is not installed: pip install -r requirements-mlflow.txt" in one_line(done)


def test_no_runs(tmp_path):
    assert "there is no run; evaluate a model first: weasel run evaluate" in one_line(
        step(tmp_path, "scripts.export_mlflow", "metrics")
    )
