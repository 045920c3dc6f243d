"""Whether probabilities are right, and what word vectors bring, with half of the annotations removed at random.

    python -m scripts.vectors configs/ner.cfg --corpus none --output /tmp/vectors
    python -m benchmarks.calibration --data ../shared/data --vectors /tmp/vectors      # an hour on one core

The heads are trained as in `benchmarks.partial`. Thresholds and calibration are set on the dev texts, of which the same
share is annotated; all else is measured on test texts that are annotated completely. "Before" is the product of the
tags' probabilities with the threshold in them, which `doc.spans["predicted"]` would have without calibration. It writes
benchmarks/results/calibration.json.
"""

from __future__ import annotations

import argparse
import itertools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.corpora import CORPORA
from benchmarks.measure import machine, use_one_thread, write_results
from benchmarks.partial import HEADS, Job, _examples, count_represented, micro, thin, train, tune
from scripts.model.vectors import LAYERS

_STATIC = "components.label_heads.model.tok2vec.embed.include_static_vectors"
_BATCH = 64


class Result(NamedTuple):
    """Micro F1 on the test texts, over all entities and over those that the tokenizer can represent; ECE before and
    after; and what it would be if all probabilities were exact, with as many spans.
    """

    f: float
    represented: float
    spans: float
    before: float | None
    after: float | None
    exact: float | None


def run(job: Job) -> Result:
    """Train the heads, tune them and test them."""
    from scripts.model.label_heads import count_covered
    from scripts.scoring.reliability import JudgedSpans, reliability

    splits = CORPORA[job.corpus](job.data)
    labels = sorted({label for each in splits["train"] for label in each.covered})
    dev = thin(splits["dev"], job.kept, job.seed)
    nlp = tune(train(job, thin(splits["train"], job.kept, job.seed), labels, dev), dev, labels)
    examples = _examples(nlp, splits["test"], labels)
    before, after = JudgedSpans(), JudgedSpans()
    for start in range(0, len(examples), _BATCH):
        _judge(nlp, examples[start : start + _BATCH], labels, before, after)
    found = reliability(*after.of())
    f, represented = micro(count_covered(examples)), micro(count_represented(examples))
    return Result(f, represented, found.spans, reliability(*before.of()).ece, found.ece, found.exact_ece)


def _judge(nlp: Any, examples: list[Any], labels: list[str], before: Any, after: Any) -> None:
    """Predict some texts and judge their spans, with the probabilities of before, and of now."""
    import numpy as np

    from scripts.model.label_heads import OUT, covered_of, tag_scores, threshold_array
    from scripts.scoring.evaluation import judge_spans

    pipe = nlp.get_pipe("label_heads")
    texts = [example.text for example in examples]
    for example, doc in zip(examples, map(nlp.make_doc, texts), strict=True):
        example.predicted = doc
    docs, others = [example.predicted for example in examples], [nlp.make_doc(text) for text in texts]
    found, scores = pipe.predict(docs), pipe.scores(docs)
    scores[:, :, OUT] += threshold_array(pipe.labels, pipe.thresholds)
    pipe.set_annotations(docs, found)
    pipe.set_annotations(others, found._replace(probability=np.exp(tag_scores(scores, *found[:3]))))
    for example, other in zip(examples, others, strict=True):
        covered = covered_of(example.reference)
        judge_spans(other.spans[pipe.spans_key], covered, labels, before)
        judge_spans(example.predicted.spans[pipe.spans_key], covered, labels, after)


def summarise(done: list[tuple[Job, Result]]) -> list[dict[str, Any]]:
    """A row a corpus, without and with vectors: means over seeds, and the standard deviation of F."""
    rows = []
    for (corpus, has_vectors), group in itertools.groupby(
        done, key=lambda pair: (pair[0].corpus, bool(pair[0].settings))
    ):
        found = [result for _, result in group]
        row = {"corpus": corpus, "vectors": has_vectors, "seeds": len(found)}
        for name in Result._fields:
            values = [value for result in found if (value := getattr(result, name)) is not None]
            row[name] = round(fmean(values), 4) if values else None
        row["sd"] = round(stdev(result.f for result in found), 4) if len(found) > 1 else None
        rows.append(row)
    return rows


def show(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print a row a corpus."""
    table = Table("corpus", "vectors", *Result._fields, "sd", box=None)
    for row in rows:
        cells = ((name, row[name]) for name in (*Result._fields, "sd"))
        numbers = (
            "–" if value is None else f"{value:,.0f}" if name == "spans" else f"{value:.3f}" for name, value in cells
        )
        table.add_row(row["corpus"], "yes" if row["vectors"] else "", *numbers)
    console.print(table)


def main() -> None:
    """Run all trainings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), choices=list(CORPORA))
    parser.add_argument("--vectors", type=Path, help="a pipeline with vectors, and layers to start from if it has some")
    parser.add_argument("--with-vectors", nargs="*", default=["posts", "articles"], help="corpora to train with them")
    parser.add_argument("--kept", type=float, default=0.5, help="share of the annotations that is kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0, help="0: as [length] of the config says")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    use_one_thread()
    layers = str(args.vectors / LAYERS) if args.vectors and (args.vectors / LAYERS).is_file() else None
    with_vectors = (("paths.vectors", str(args.vectors)), (_STATIC, True), ("paths.init_tok2vec", layers))
    todo = [
        Job(args.data, corpus, HEADS, args.kept, seed, args.steps, settings)
        for corpus in args.corpora
        for settings in ((), with_vectors)
        for seed in range(args.seeds)
        if not settings or (args.vectors and corpus in args.with_vectors)
    ]
    done = []
    with ProcessPoolExecutor(args.processes) as pool:
        for job, result in zip(todo, pool.map(run, todo), strict=True):
            done.append((job, result))
            print(job.corpus, "vectors" if job.settings else "", job.seed, result, flush=True)
    rows = summarise(done)
    show(Console(), rows)
    write_results(
        "calibration", {"steps": args.steps, "kept": args.kept, "seeds": args.seeds, "machine": machine(), "rows": rows}
    )


if __name__ == "__main__":
    main()
