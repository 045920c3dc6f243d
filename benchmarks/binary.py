"""What is learned from binary answers: a span was accepted or rejected, and the rest of its text is unknown.

    python -m benchmarks.binary --data ../shared/data                      # a quarter of an hour on one core
    python -m benchmarks.binary --data ../shared/data --corpora addresses --seeds 1 --assumed 0 1 10

Every second label has binary answers only, as `ner.teach` makes them; the others are covered in half of the texts. A
model of a few complete texts, which are not trained on, proposes spans, the uncertain ones first, and each is accepted
if exactly it is an entity. Heads are trained with several values of `assumed_outside`, and tested on complete texts.
Thresholds are set on dev texts, half of which are covered for each label. It writes benchmarks/results/binary.json.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from math import log
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.corpora import CORPORA, Splits, text
from benchmarks.measure import use_one_thread, write_results
from benchmarks.partial import HEADS, Job, fraction, micro, test, thin, train, tune
from scripts.core.answers import GoldText, Span

HALF = 0.5
ANSWERS = {"protocols": 400, "addresses": 200}  # to each label
FIRST = {"protocols": 40, "addresses": 60}  # complete texts that the proposing model is trained on
_FIRST_STEPS = 300
_BIASES = (1.0, 0.0, -1.0, -2.0, -3.0, -4.0)  # on the score of O: what is found with any of them can be proposed
_KEY = "components.label_heads.assumed_outside"


class Proposal(NamedTuple):
    """A span of a text, the number of the text, its probability, and whether it is an entity."""

    text: int
    span: Span
    probability: float
    is_right: bool


def propose(splits: Splits, labels: list[str], job: Job) -> tuple[list[GoldText], list[Proposal]]:
    """Train on a few texts, and propose spans in the others. RETURNS: The other texts, and all proposals."""
    import numpy as np

    from scripts.model.label_heads import find_entities

    order = sorted(splits["train"], key=lambda gold: fraction(f"start {job.seed} {gold.text}"))
    first, texts = order[: FIRST[job.corpus]], sorted(order[FIRST[job.corpus] :], key=lambda gold: gold.text)
    nlp = train(job._replace(steps=_FIRST_STEPS), first, labels)
    pipe = nlp.get_pipe("label_heads")
    found: dict[tuple[int, Span], Proposal] = {}
    for number, gold in enumerate(texts):
        doc = nlp.make_doc(gold.text)
        scores = pipe.scores([doc])
        for bias in _BIASES:
            for start, end, label, p, _ in zip(
                *find_entities(scores, [len(doc)], np.full(len(labels), bias, "f")), strict=True
            ):
                span = Span(doc[int(start)].idx, doc[: int(end)].end_char, pipe.labels[label])
                found.setdefault((number, span), Proposal(number, span, float(p), span in gold.spans))
    return texts, list(found.values())


def answer(texts: list[GoldText], proposals: list[Proposal], labels: list[str], job: Job) -> list[GoldText]:
    """Texts in which some labels have binary answers only, and the others are covered in half of the texts."""
    decided: dict[tuple[int, bool], list[Span]] = defaultdict(list)
    for label in labels:
        own = (proposal for proposal in proposals if proposal.span.label == label)
        for chosen in sorted(own, key=lambda proposal: _turn(proposal, texts, job.seed))[: ANSWERS[job.corpus]]:
            decided[chosen.text, chosen.is_right].append(chosen.span)
    result = []
    for number, (gold, half) in enumerate(zip(texts, thin(texts, HALF, job.seed), strict=True)):
        covered = [label for label in half.covered if label not in labels]
        accepted, rejected = (sorted(decided[number, is_right]) for is_right in (True, False))
        if covered or accepted or rejected:
            known = text(gold.text, (span for span in gold.spans if span.label in covered), covered)
            result.append(msgspec.structs.replace(known, accepted=accepted, rejected=rejected))
    return result


def _turn(proposal: Proposal, texts: list[GoldText], seed: int) -> float:
    """When a proposal is asked about: at random, the uncertain ones earlier."""
    chance = max(fraction(f"pick {seed} {proposal.span} {texts[proposal.text].text}"), 1e-9)
    return -log(chance) / (1.02 - abs(2 * proposal.probability - 1))


def compare(data: Path, corpus: str, seed: int, steps: int, assumed: list[float]) -> list[dict[str, Any]]:
    """A row for each value of `assumed_outside`: micro F1 of the labels with binary answers only, before and after
    thresholds are set, and of the other labels.
    """
    splits, job = CORPORA[corpus](data), Job(data, corpus, HEADS, HALF, seed, steps)
    labels = sorted({label for gold in splits["train"] for label in gold.covered})
    binary = labels[seed % 2 :: 2]
    texts = answer(*propose(splits, labels, job), binary, job)
    rows = []
    for value in assumed:
        nlp = train(job._replace(settings=((_KEY, value),)), texts, labels)
        before = test(nlp, splits["test"], labels)
        after = test(tune(nlp, thin(splits["dev"], HALF, seed), labels), splits["test"], labels)
        rows.append({
            "corpus": corpus, "seed": seed, "assumed_outside": value,
            "accepted": sum(len(gold.accepted) for gold in texts),
            "rejected": sum(len(gold.rejected) for gold in texts),
            "not_tuned": round(micro({label: before[label] for label in binary}), 4),
            "f": round(micro({label: after[label] for label in binary}), 4),
            "others": round(micro({label: after[label] for label in set(labels) - set(binary)}), 4),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def show(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print means over seeds, with standard deviations."""
    names = ("not_tuned", "f", "others")
    table = Table("corpus", "assumed_outside", *names, box=None)
    for corpus, value in dict.fromkeys((row["corpus"], row["assumed_outside"]) for row in rows):
        own = [row for row in rows if (row["corpus"], row["assumed_outside"]) == (corpus, value)]
        values = ([row[name] for row in own] for name in names)
        cells = (f"{fmean(each):.3f}" + (f" ± {stdev(each):.3f}" if len(each) > 1 else "") for each in values)
        table.add_row(corpus, f"{value:g}", *cells)
    console.print(table)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--corpora", nargs="+", default=list(ANSWERS), choices=list(ANSWERS))
    parser.add_argument("--assumed", nargs="+", type=float, default=[0.0, 1.0], help="values of assumed_outside")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500)
    args = parser.parse_args()
    use_one_thread()
    rows: list[dict[str, Any]] = []
    for seed, corpus in itertools.product(range(args.seeds), args.corpora):
        rows += compare(args.data, corpus, seed, args.steps, args.assumed)
        write_results("binary", {"steps": args.steps, "rows": sorted(rows, key=lambda row: row["corpus"])})
    show(Console(), rows)


if __name__ == "__main__":
    main()
