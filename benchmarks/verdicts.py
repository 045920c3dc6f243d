"""False alarms and detected changes of `compare`: between runs that differ in the seed alone, and in annotations.

    python -m benchmarks.verdicts --data ../shared/data      # some fifty trainings, on one core

Predictions on the test texts are cached in benchmarks/data/verdicts. Seeds 0, 1, 2, …
are trained on the same texts: all pairs of them, and all pairs of three seeds each, should be "within noise". Seeds
100, 101, 102 are trained on texts in which a share of the annotations of one label was removed, as if they had been
overlooked. It writes benchmarks/results/verdicts.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from benchmarks.corpora import CORPORA, text
from benchmarks.measure import write_results
from benchmarks.partial import HEADS, Job, train, tune
from scripts.core.answers import GoldText
from scripts.core.texts import fraction
from scripts.scoring.alignment import align
from scripts.scoring.changes import NO_SUPPORT, WITHIN, Change, compare_counts
from scripts.scoring.counts import Counts, count, rows
from scripts.scoring.seed_variance import measure
from tests.runs import made

STEPS = 400
SEEDS = {"addresses": 8, "posts": 8, "protocols": 6}
CHANGED = (100, 101, 102)
CHANGES = [
    ("protocols", "Action", 0.2), ("protocols", "Reagent", 0.2), ("addresses", "AddressNumber", 0.2),
    ("addresses", "PlaceName", 0.2), ("addresses", "StreetNamePostType", 0.2), ("addresses", "StreetName", 0.2),
    ("addresses", "PlaceName", 0.5), ("addresses", "StreetNamePostType", 0.5),
]  # fmt: skip
_VARIANCE_SEEDS = 4  # for measuring the seed variance; none of them is compared


class Model(NamedTuple):
    """One training: the label, and the share of its annotations that were removed, or none."""

    corpus: str
    seed: int
    label: str = ""
    share: float = 0.0

    @property
    def file(self) -> str:
        return f"{self.corpus}-{STEPS}-{self.seed}-{self.label}-{self.share}-{'missed' if self.label else ''}.json"


def models(seeds: Sequence[int]) -> Iterator[Model]:
    """All models: those with complete annotations first."""
    yield from (Model(corpus, seed) for corpus, number in SEEDS.items() for seed in range(number))
    yield from (Model(corpus, seed, label, share) for seed in seeds for corpus, label, share in CHANGES)


@lru_cache(maxsize=3)
def _splits(data: Path, corpus: str) -> tuple[Any, list[str]]:
    splits = CORPORA[corpus](data)
    return splits, sorted({label for each in splits["train"] for label in each.covered})


def overlooked(gold: Iterable[GoldText], label: str, share: float) -> list[GoldText]:
    """Texts in which a share of a label's entities is not annotated, though the label is covered."""
    return [
        text(each.text, (s for s in each.spans if s.label != label or _fraction(each, s.start) >= share), each.covered)
        for each in gold
    ]


def _fraction(each: GoldText, start: int) -> float:
    return fraction(f"{start} {each.text}")


def predict(data: Path, folder: Path, model: Model) -> None:
    """Train, tune and test a model; write its predictions, unless they are cached."""
    path = folder / model.file
    if path.exists():
        return
    splits, labels = _splits(data, model.corpus)
    gold = overlooked(splits["train"], model.label, model.share) if model.label else splits["train"]
    nlp = train(Job(data, model.corpus, HEADS, 1.0, model.seed, STEPS), gold, labels)
    tune(nlp, splits["dev"], labels)
    docs = nlp.pipe([each.text for each in splits["test"]])
    found = [[(span.start_char, span.end_char, span.label_) for span in doc.ents] for doc in docs]
    path.write_text(json.dumps(found), "utf8")


def counted(data: Path, folder: Path, group: Sequence[Model]) -> Counts:
    """Counts of models that differ in the seed alone."""
    splits, labels = _splits(data, group[0].corpus)
    column = {label: number for number, label in enumerate(labels)}
    test: list[GoldText] = splits["test"]
    gold = rows([(n, column[s.label], s.start, s.end) for n, each in enumerate(test) for s in each.spans])
    values = [_values(folder / model.file, gold, column, len(test)) for model in group]
    shape = len(test), len(labels)
    names = [f"{number:06}" for number in range(len(test))]
    return Counts(names, labels, [m.seed for m in group], np.stack(values), np.ones(shape, bool), np.zeros(shape, "u4"))


@lru_cache(maxsize=1)
def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf8"))


def _values(path: Path, gold: Any, column: dict[str, int], texts: int) -> Any:
    found = [(n, column[label], start, end) for n, spans in enumerate(_read(path)) for start, end, label in spans]
    return count(align(gold, rows(found)), texts, len(column))


def picked(counts: Counts, seeds: Sequence[int]) -> Counts:
    """Some of the seeds, by position."""
    return counts._replace(seeds=list(seeds), values=counts.values[list(seeds)])


def alarms(counts: Counts, size: int, is_measured: bool) -> dict[str, Any]:
    """Labels reported as changed between groups of seeds, where nothing but the seeds differs."""
    every = range(len(counts.seeds))
    pairs = [
        (one, other)
        for one in itertools.combinations(every, size)
        for other in itertools.combinations(every, size)
        if one < other and not set(one) & set(other)
    ][:60]
    labels = beyond = 0
    for one, other in pairs:
        rest = [seed for seed in every if seed not in (*one, *other)][:_VARIANCE_SEEDS]
        measured = measure(made("seeds", "0", 0, picked(counts, rest))) if is_measured else None
        found = compare_counts(picked(counts, one), picked(counts, other), measured).labels.values()
        labels += sum(change.verdict != NO_SUPPORT for change in found)
        beyond += sum(_is_beyond(change) for change in found)
    return {
        "seeds": size, "seed_variance": "measured" if is_measured else "usual", "pairs": len(pairs), "labels": labels,
        "beyond": beyond, "share": round(beyond / labels, 4),
    }  # fmt: skip


def _is_beyond(change: Change) -> bool:
    return change.verdict not in (WITHIN, NO_SUPPORT)


def effect(base: Counts, changed: Counts, label: str) -> dict[str, Any]:
    """Whether a true change of a label is detected, with one seed and with several. Its number of training entities
    shows that its annotations changed, as in runs of the project.
    """
    others = picked(base, range(3, 3 + _VARIANCE_SEEDS)[: len(base.seeds) - 3])
    measured = measure(made("seeds", "0", 0, others))
    single = [
        compare_counts(picked(changed, [one]), picked(base, [other]), measured, {label}).labels[label]
        for one in range(len(changed.seeds))
        for other in range(3)
    ]
    several = compare_counts(changed, picked(base, range(3)), measured, {label}).labels[label]
    return {
        "delta": round(fmean(change.delta or 0.0 for change in single), 4), "support": several.support,
        "one_seed_found": sum(map(_is_beyond, single)), "one_seed_pairs": len(single),
        "seeds": len(changed.seeds), "several_verdict": several.verdict, "several_p_value": several.p_value,
    }  # fmt: skip


def analyse(data: Path, folder: Path) -> dict[str, Any]:
    """False alarms and detected changes, of all models that were trained."""
    bases = {corpus: counted(data, folder, [Model(corpus, s) for s in range(n)]) for corpus, n in SEEDS.items()}
    found: dict[str, Any] = {"steps": STEPS, "alarms": [], "changes": []}
    for corpus, counts in bases.items():
        for size, is_measured in ((1, False), (1, True), (3, False)):
            found["alarms"].append({"corpus": corpus, **alarms(counts, size, is_measured)})
    for corpus, label, share in CHANGES:
        group = [Model(corpus, seed, label, share) for seed in CHANGED]
        group = [model for model in group if (folder / model.file).exists()]
        if group:
            row = effect(bases[corpus], counted(data, folder, group), label)
            found["changes"].append({"corpus": corpus, "label": label, "removed": share, **row})
    return found


def main() -> None:
    """Train what is missing, then compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data/verdicts"), help="for cached predictions")
    parser.add_argument("--changed", type=int, nargs="*", default=list(CHANGED), help="seeds with annotations removed")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    for model in models(args.changed):
        predict(args.data, args.folder, model)
        console.print(model.file, highlight=False)
    found = analyse(args.data, args.folder)
    for row in [*found["alarms"], *found["changes"]]:
        console.print(", ".join(f"{name} {value}" for name, value in row.items()), highlight=False)
    write_results("verdicts", found)


if __name__ == "__main__":
    main()
