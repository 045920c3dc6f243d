"""Variants of the label heads beside the shipped ones: other losses, widths, learning rates, schedules.

    python -m benchmarks.variants --data ../shared/data                    # half an hour on two cores
    python -m benchmarks.variants --data ../shared/data --only shipped crf --corpora posts --seeds 2

Each variant differs from `configs/ner.cfg` in one thing; all are trained on the same texts with half of the label
annotations, and tested on complete texts. A variant wins on a corpus if it is ahead of the shipped heads by more than
twice the standard error of the difference over the seeds. It writes benchmarks/results/variants.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import spacy
from rich.console import Console
from rich.table import Table
from thinc.api import Linear, Maxout, Model, chain, list2array

from benchmarks.corpora import CORPORA
from benchmarks.measure import RESULTS, use_one_thread, write_results
from benchmarks.partial import ALONE, Job, Result, run
from scripts.model import label_heads
from scripts.model.label_heads import BEGIN, IN, LAST, OUT, TAGS, UNIT, LabelHeads, log_softmax, read_gold

KEPT = 0.5
SHIPPED = "shipped"
_HEADS = "components.label_heads.model"
_RATE = "training.optimizer.learn_rate.initial_rate"


class Variant(NamedTuple):
    """Differences from the shipped heads: values of the config, the loss, and a factor for the steps."""

    settings: Mapping[str, Any] = MappingProxyType({})
    loss: str = ""
    longer: int = 1


VARIANTS = {
    SHIPPED: Variant(),
    "conditional random field": Variant(loss="crf"),
    "focal loss, gamma 1": Variant(loss="focal"),
    "tags of entities count twice": Variant(loss="weighted"),
    "one hidden layer for all labels": Variant({f"{_HEADS}.@architectures": "benchmarks.TiedHeads.v1"}),
    "hidden layers of 128": Variant({f"{_HEADS}.hidden_width": 128}),
    "tok2vec of width 128": Variant({f"{_HEADS}.tok2vec.embed.width": 128}),
    "learning rate .002": Variant({_RATE: 0.002}),
    "learning rate .01": Variant({_RATE: 0.01}),
    "dropout .1": Variant({"training.dropout": 0.1}),
    "twice the steps": Variant(longer=2),
    "conditional random field, twice the steps": Variant(loss="crf", longer=2),
}


@spacy.registry.architectures("benchmarks.TiedHeads.v1")
def tied_heads(tok2vec: Model, hidden_width: int, maxout_pieces: int) -> Model:
    """One hidden layer for all labels, and five scores a label of it: `label_heads_model` with fewer parameters."""
    hidden = Maxout(hidden_width, nP=maxout_pieces)
    scores: Model = Linear(nI=hidden_width)
    inner = chain(hidden, scores)

    def init(model: Model, X: Any = None, Y: Any = None) -> None:
        scores.set_dim("nO", model.attrs["labels"] * TAGS)
        inner.initialize(X=X)

    heads: Model = Model(
        "tied_heads", lambda model, X, is_train: inner(X, is_train), init=init, layers=[inner], attrs={"labels": 0}
    )
    model = chain(tok2vec, list2array(), heads)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("heads", heads)
    return model


# Other losses: (component, examples, scores) -> the sum over a batch, and its gradient


def focal(pipe: LabelHeads, examples: Sequence[Any], scores: Any, gamma: float = 1.0) -> tuple[float, Any]:
    """-(1 - p)^gamma log p: https://arxiv.org/abs/1708.02002."""
    logs, gold, onehot = _covered(pipe, examples, scores)
    log_p = (logs * onehot).sum(2)
    p = np.exp(log_p)
    rest = np.maximum(1 - p, 1e-6)
    factor = (rest**gamma - gamma * rest ** (gamma - 1) * p * log_p) * gold.covered
    return -float((rest**gamma * log_p * gold.covered).sum()), _flat(
        (np.exp(logs) - onehot) * factor[:, :, None], scores
    )


def weighted(pipe: LabelHeads, examples: Sequence[Any], scores: Any, weight: float = 2.0) -> tuple[float, Any]:
    """Cross entropy in which the tokens of entities count more than the others."""
    logs, gold, onehot = _covered(pipe, examples, scores)
    weights = np.where(gold.tags == OUT, 1.0, weight) * gold.covered
    return -float(((logs * onehot).sum(2) * weights).sum()), _flat(
        (np.exp(logs) - onehot) * weights[:, :, None], scores
    )


def crf(pipe: LabelHeads, examples: Sequence[Any], scores: Any) -> tuple[float, Any]:
    """-log of the probability of all valid sequences that agree with the covered tags, among all valid sequences."""
    shaped = scores.reshape(len(scores), -1, TAGS).astype(np.float64)
    gold = read_gold(list(examples), pipe.labels)
    allowed = np.where(gold.covered[:, :, None], np.eye(TAGS, dtype=bool)[gold.tags], True)
    lengths = [len(example.predicted) for example in examples if len(example.predicted)]
    free, marginals = sum_over_sequences(shaped, lengths)
    agreeing, wanted = sum_over_sequences(np.where(allowed, shaped, -1e4), lengths)
    return float((free - agreeing).sum()), _flat(marginals - wanted, scores)


def sum_over_sequences(scores: np.ndarray, lengths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The forward-backward algorithm over the valid sequences of each Doc and label.

    scores (np.ndarray): (tokens, labels, 5).
    RETURNS (tuple[np.ndarray, np.ndarray]): Log of the sums, (Docs, labels); marginals, (tokens, labels, 5).
    """
    rows = np.repeat(np.cumsum(lengths) - lengths, lengths)
    position = np.repeat(np.arange(len(lengths)), lengths), np.arange(len(scores)) - rows
    padded = np.full((len(lengths), max(lengths), *scores.shape[1:]), -1e9)
    padded[..., OUT] = 0
    padded[position] = scores
    s = padded.transpose(1, 0, 2, 3)  # (tokens of a Doc, Docs, labels, 5)
    stay = np.logaddexp(s[..., OUT], s[..., UNIT])
    ahead, behind = (np.full((len(s) + 1, *s.shape[1:3], 2), -1e9) for _ in range(2))  # outside, inside
    ahead[0, ..., 0] = behind[-1, ..., 0] = 0
    for t in range(len(s)):
        o, i = ahead[t, ..., 0], ahead[t, ..., 1]
        ahead[t + 1, ..., 0] = np.logaddexp(o + stay[t], i + s[t, ..., LAST])
        ahead[t + 1, ..., 1] = np.logaddexp(o + s[t, ..., BEGIN], i + s[t, ..., IN])
    for t in reversed(range(len(s))):
        o, i = behind[t + 1, ..., 0], behind[t + 1, ..., 1]
        behind[t, ..., 0] = np.logaddexp(o + stay[t], i + s[t, ..., BEGIN])
        behind[t, ..., 1] = np.logaddexp(o + s[t, ..., LAST], i + s[t, ..., IN])
    total = ahead[-1, ..., 0]
    marginals = np.empty_like(s)
    for tag, (here, there) in {OUT: (0, 0), UNIT: (0, 0), BEGIN: (0, 1), IN: (1, 1), LAST: (1, 0)}.items():
        marginals[..., tag] = np.exp(ahead[:-1, ..., here] + s[..., tag] + behind[1:, ..., there] - total)
    return total, marginals.transpose(1, 0, 2, 3)[position]


def _covered(pipe: LabelHeads, examples: Sequence[Any], scores: Any) -> tuple[Any, Any, Any]:
    gold = read_gold(list(examples), pipe.labels)
    return log_softmax(scores.reshape(len(scores), -1, TAGS)), gold, np.eye(TAGS, dtype="f")[gold.tags]


def _flat(gradient: Any, scores: Any) -> Any:
    return gradient.reshape(scores.shape).astype("f")


LOSSES: dict[str, Callable[..., tuple[float, Any]]] = {"crf": crf, "focal": focal, "weighted": weighted}
_SHIPPED_LOSS = LabelHeads.get_loss


# Running


class Trial(NamedTuple):
    """One training of one variant."""

    variant: str
    job: Job


def attempt(trial: Trial) -> Result | None:
    """Train and test a variant."""
    variant = VARIANTS[trial.variant]
    label_heads.LabelHeads.get_loss = LOSSES.get(variant.loss, _SHIPPED_LOSS)  # type: ignore[method-assign]
    return run(trial.job)


def trials(data: Path, names: Sequence[str], corpora: Sequence[str], seeds: int, steps: int) -> list[Trial]:
    """All trainings, seed by seed, so that a run that is stopped early has results of all variants."""
    found = []
    for seed, corpus, name in itertools.product(range(seeds), corpora, names):
        variant = VARIANTS[name]
        settings = tuple(variant.settings.items())
        found.append(Trial(name, Job(data, corpus, ALONE, KEPT, seed, steps * variant.longer, settings)))
    return found


def summarise(done: Sequence[tuple[Trial, Result]]) -> list[dict[str, Any]]:
    """A row a corpus and variant: mean F1, and the difference from the shipped heads, paired by seed."""
    scores = {(trial.job.corpus, trial.variant, trial.job.seed): result.f for trial, result in done}
    rows = []
    for corpus, name in dict.fromkeys((trial.job.corpus, trial.variant) for trial, _ in done):
        own = {seed: f for (c, v, seed), f in scores.items() if (c, v) == (corpus, name)}
        ahead = [f - scores[corpus, SHIPPED, seed] for seed, f in own.items() if (corpus, SHIPPED, seed) in scores]
        error = stdev(ahead) / math.sqrt(len(ahead)) if len(ahead) > 1 else None
        rows.append({
            "corpus": corpus, "variant": name, "seeds": len(own), "f": round(fmean(own.values()), 4),
            "ahead": round(fmean(ahead), 4) if ahead else None,
            "standard_error": None if error is None else round(error, 4),
            "wins": bool(ahead) and error is not None and fmean(ahead) > 2 * error,
        })  # fmt: skip
    return rows


def show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """A table a corpus."""
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        table = Table(corpus, "F", "ahead", "± standard error", "", box=None)
        for row in (row for row in rows if row["corpus"] == corpus):
            cells = [
                f"{row['f']:.3f}",
                *("" if row[k] is None else f"{row[k]:+.3f}" for k in ("ahead", "standard_error")),
            ]
            table.add_row(row["variant"], *cells, "wins" if row["wins"] else "")
        console.print(table)


def write(rows: list[dict[str, Any]], steps: int) -> None:
    """Write the results; those of other corpora with as many steps stay."""
    path = RESULTS / "variants.json"
    before = json.loads(path.read_text("utf8")) if path.exists() else {"steps": steps, "scores": []}
    new = {row["corpus"] for row in rows}
    kept = [row for row in before["scores"] if row["corpus"] not in new and before["steps"] == steps]
    scores = sorted([*kept, *rows], key=lambda row: row["corpus"])
    write_results("variants", {"kept": KEPT, "steps": steps, "scores": scores})


def main() -> None:
    """Train all variants, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--corpora", nargs="+", default=["protocols", "posts"], choices=list(CORPORA))
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    use_one_thread()
    todo = trials(args.data, args.only, args.corpora, args.seeds, args.steps)
    console, done = Console(), []
    with ProcessPoolExecutor(args.processes) as pool:
        for trial, result in zip(todo, pool.map(attempt, todo), strict=True):
            assert result is not None
            done.append((trial, result))
            line = f"{trial.job.corpus}: {trial.variant}, seed {trial.job.seed}: {result.f:.3f}"
            print(f"{len(done)}/{len(todo)} {line}", flush=True)
            rows = summarise(done)
            write(rows, args.steps)
    show(console, rows)


if __name__ == "__main__":
    main()
