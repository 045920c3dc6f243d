"""Runs that scored what a test wants, without a model."""

from __future__ import annotations

import numpy as np

from scripts.scoring.counts import Counts, digests
from scripts.scoring.metrics import metrics
from scripts.scoring.runs import Confusion, EvaluatedRun, Run, RunCode, RunData, TrainingConfig, TrainingData, save

CONFIG = "[training]\ndropout = 0.1\nmax_steps = 900\n"


def counted(hits, seeds=(0,), texts=20, entities=10, other_gold=()):
    """Counts with one entity a text: by label, true positives, and two false positives.

    hits: by label, the true positives, of all seeds or of each. other_gold: labels whose gold differs from other runs'.
    """
    labels = sorted(hits)
    values = np.zeros((len(seeds), texts, len(labels), 4), np.int32)
    gold = np.zeros((texts, len(labels)), np.uint32)
    for column, label in enumerate(labels):
        gold[:entities, column] = 7 if label in other_gold else 1
        for row, _ in enumerate(seeds):
            found = hits[label] if isinstance(hits[label], int) else hits[label][row]
            values[row, :found, column, 0] = 1
            values[row, found:entities, column, 2] = 1
            values[row, entities : entities + 2, column, 1] = 1
    names = [f"text {number:05}" for number in range(texts)]
    return Counts(names, labels, list(seeds), values, np.ones((texts, len(labels)), bool), gold)


def made(name, digest, hour, counts, config=CONFIG, **fields):
    """A run with these counts."""
    fields = {
        "data": RunData("a", "a"),
        "code": RunCode("a", "a"),
        "versions": {"training": {"spacy": "3.8.7"}},
    } | fields
    fields = {
        "trained": TrainingData(100, dict.fromkeys(counts.labels, 100), dict.fromkeys(counts.labels, 50))
    } | fields
    run = Run(
        run=name, digest=digest * 8, time=f"2026-01-01T{hour:02}:00:00Z", seeds=counts.seeds, models={},
        model_bytes=1, config=TrainingConfig(config, config), tests=digests(counts), **fields,
    )  # fmt: skip
    return EvaluatedRun(run, metrics(counts), counts, Confusion(counts.labels, {}), [])


def write(folder, *runs):
    """Their folders in `metrics`."""
    for found in runs:
        save(found, folder / "metrics")
