"""Seed noise, measured once: some seeds of one config on one corpus."""

from __future__ import annotations

import numpy as np

from scripts.annotations.errors import UserError
from scripts.scoring import bootstrap
from scripts.scoring.noise import LabelNoise, Noise
from scripts.scoring.runs import Evaluated

LEAST = 3  # seeds, of which a spread can be told


def measure(found: Evaluated) -> Noise:
    """The noise of a run with several seeds. RAISES (UserError): If they are too few."""
    run, counts = found.run, found.counts
    if len(counts.seeds) < LEAST:
        raise UserError(f"{run.run}: has {len(counts.seeds)} seeds, and to tell their noise takes {LEAST}")
    sums = counts.values.sum(1)
    support = sums[0, :, 0] + sums[0, :, 2]
    scores = bootstrap.all_f1(sums, support > 0)
    sizes = [*support.tolist(), *[int(support.sum())] * 2]
    noise = [
        LabelNoise(_number(sd), _number(f), size)
        for sd, f, size in zip(scores.std(0, ddof=1), bootstrap.mean(scores, 0), sizes, strict=True)
    ]
    return Noise(
        run=run.run, seeds=counts.seeds, data=run.data.evaluated, config=run.config.digest, tests=run.tests,
        labels=dict(zip(counts.labels, noise, strict=False)), micro=noise[-2], macro=noise[-1],
    )  # fmt: skip


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
