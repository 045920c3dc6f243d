"""What is learned from partial annotations: those of complete corpora are removed at random, by label and text.

    python -m benchmarks.partial --data ../shared/data                      # three seeds: an hour on two cores
    python -m benchmarks.partial --data ../shared/data --corpora addresses --seeds 1 --steps 300

Results of the same config and code are cached in benchmarks/data/partial.jsonl.

Each text keeps the annotation of each label with probability p, by hash. All systems are trained for as many steps,
with the shipped configs and on the same texts, and are tested on texts that are annotated completely. It writes
benchmarks/results/partial.json.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.corpora import CORPORA, text
from benchmarks.measure import machine, use_one_thread, write_results
from scripts.core.answers import GoldText
from scripts.core.files import code_digest

HEADS, ALONE, NER = "heads", "heads without a teacher", "ner, not covered is no entity"
COMPLETE, SINGLE = "ner, complete texts only", "one ner a label"
SYSTEMS = (HEADS, ALONE, NER, COMPLETE, SINGLE)
KEPT = (1.0, 0.5, 0.25)
# What the heads' results depend on; imported once threads are limited
_CODE = tuple(
    Path(f"scripts/model/{name}.py")
    for name in ("label_heads", "fitting", "models", "teacher", "thresholds", "vectors")
)
CACHE = Path("benchmarks/data/partial.jsonl")
_OF_HEADS = dict.fromkeys((HEADS, ALONE), Path("configs/ner.cfg"))
_OF_NER = Path("configs/ner_transition.cfg")
_LOOP = ("optimizer", "batcher", "dropout")


class Job(NamedTuple):
    """One training: of a system, on a corpus of which a share of the annotations is kept."""

    data: Path
    corpus: str
    system: str
    kept: float
    seed: int
    steps: int
    settings: tuple[tuple[str, Any], ...] = ()  # other values of the config


class Result(NamedTuple):
    """F1 on the test texts.

    not_tuned (float): Micro F1 before thresholds are set on the dev texts. All others are with them, where a system has
        some.
    f (float), macro (float): Micro and macro F1 over all entities.
    represented (float), represented_macro (float): The same over those that are on token boundaries.
    """

    not_tuned: float
    f: float
    macro: float
    represented: float
    represented_macro: float


def thin(gold: Iterable[GoldText], kept: float, seed: int) -> list[GoldText]:
    """Keep the annotation of each label in each text with a probability; a hash decides."""
    result = []
    for each in gold:
        covered = [label for label in each.covered if fraction(f"{seed} {label} {each.text}") < kept]
        result.append(text(each.text, (span for span in each.spans if span.label in covered), covered))
    return result


def fraction(key: str) -> float:
    """A number from 0 to below 1, by the hash of a key."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") / 2**48


def run(job: Job) -> Result | None:
    """Train one system and test it; None if no text is left to train on."""
    splits = CORPORA[job.corpus](job.data)
    labels = sorted({label for each in splits["train"] for label in each.covered})
    partial = thin(splits["train"], job.kept, job.seed)
    examples: list[Any] = []
    if job.system == SINGLE:
        for label in labels:
            own = [_only(each, label) for each in partial if label in each.covered]
            examples += predict(train(job, own, [label]), [_only(each, label) for each in splits["test"]], [label])
        return _result(examples, examples)
    if job.system == COMPLETE:
        partial = [each for each in partial if len(each.covered) == len(labels)]
    elif job.system == NER:
        partial = [text(each.text, each.spans, labels) for each in partial]
    if not partial:
        return None
    dev = thin(splits["dev"], job.kept, job.seed)
    nlp = train(job, partial, labels, dev)
    examples = predict(nlp, splits["test"], labels)
    if job.system not in _OF_HEADS:
        return _result(examples, examples)
    tune(nlp, dev, labels)
    return _result(examples, predict(nlp, splits["test"], labels))


def _result(not_tuned: list[Any], tuned: list[Any]) -> Result:
    from scripts.model.label_heads import count_covered

    every, represented = count_covered(tuned), count_represented(tuned)
    return Result(micro(count_covered(not_tuned)), micro(every), _macro(every), micro(represented), _macro(represented))


def _only(gold: GoldText, label: str) -> GoldText:
    return text(gold.text, (span for span in gold.spans if span.label == label), [label])


def micro(counts: dict[str, list[int]]) -> float:
    """Micro F1 of counts by label."""
    from scripts.model.label_heads import prf

    return prf(*(sum(column) for column in zip(*counts.values(), strict=True)))["f"] or 0.0


def _macro(counts: dict[str, list[int]]) -> float:
    from scripts.model.label_heads import prf

    return fmean(prf(*found)["f"] or 0.0 for found in counts.values() if found[0] + found[2])


def train(job: Job, gold: list[GoldText], labels: list[str], dev: list[GoldText] | None = None) -> Any:
    """Train with a shipped config, to the last step, and take the mean of the weights of the last half.

    dev (list[GoldText] | None): On which a teacher is tuned, if the config has one, and labels are not covered in some
        texts; None: there is none.
    RETURNS (Language): The pipeline.
    """
    import spacy
    from spacy.util import fix_random_seed, registry

    from scripts import functions  # noqa: F401 (registers)
    from scripts.model.fitting import LastHalf
    from scripts.model.models import fast_ops
    from scripts.model.teacher import OTHER_SEED, Teacher, teacher_values
    from scripts.model.vectors import start_from

    config, words = _config(job, gold)
    is_partial = any(len(each.covered) < len(labels) for each in gold)
    teacher = None
    if dev and is_partial and job.system == HEADS and (shorter := teacher_values(config, words)):
        of_teacher = job._replace(steps=shorter["training.max_steps"], seed=job.seed + OTHER_SEED)
        first = train(of_teacher, gold, labels)
        teacher = Teacher(tune(first, dev, labels))
    steps, frequency = config["training"]["max_steps"], config["training"]["eval_frequency"]
    fix_random_seed(job.seed)
    with fast_ops(config):  # as in the steps
        nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    loop = registry.resolve({name: config["training"][name] for name in _LOOP})
    examples = _examples(nlp, gold, labels)
    nlp.config["initialize"]["components"] = {}
    nlp.initialize(lambda: examples)
    if weights := config["paths"]["init_tok2vec"]:
        start_from(Path(weights), nlp, "label_heads")
    if teacher:
        nlp.get_pipe("label_heads").learn_from(teacher)
    optimizer = loop["optimizer"]
    mean = LastHalf([pipe.model for _, pipe in nlp.pipeline])
    batches = _batches(examples, loop["batcher"], random.Random(job.seed))
    for step, batch in enumerate(itertools.islice(batches, steps), 1):
        nlp.update(batch, sgd=optimizer, drop=loop["dropout"], losses={})
        optimizer.step_schedules()
        if step % frequency == 0:
            with nlp.use_params(optimizer.averages):
                mean.add(step)
    mean.put()
    return nlp


def _config(job: Job, gold: list[GoldText]) -> tuple[Any, int]:
    """The config of a training, with its length; and the number of words of the texts."""
    import spacy

    from scripts.model.fitting import length

    path = _OF_HEADS.get(job.system, _OF_NER)
    values = {"training.max_steps": job.steps, **dict(job.settings)}
    config = spacy.util.load_config(path, values)
    tokenize = spacy.blank(config["nlp"]["lang"]).make_doc
    words = sum(len(tokenize(each.text)) for each in gold)
    values |= length(config, words)
    return spacy.util.load_config(path, values, interpolate=True), words


def _batches(examples: list[Any], batcher: Any, order: random.Random) -> Iterable[Any]:
    while True:
        order.shuffle(examples)
        yield from batcher(examples)


def _examples(nlp: Any, gold: list[GoldText], labels: list[str]) -> list[Any]:
    from spacy.training import Example

    from scripts.building.documents import DocMaker

    maker = DocMaker(nlp, frozenset(labels), "snap")
    docs = [doc for doc in map(maker.make, gold) if doc is not None]
    return [Example(nlp.make_doc(doc.text), doc) for doc in docs if len(doc)]


def tune(nlp: Any, gold: list[GoldText], labels: list[str]) -> Any:
    """Tune the heads of a pipeline as the training step does."""
    from scripts.model.thresholds import set_thresholds

    set_thresholds(nlp.get_pipe("label_heads"), _examples(nlp, gold, labels))
    return nlp


def test(nlp: Any, gold: list[GoldText], labels: list[str]) -> dict[str, list[int]]:
    """Run a pipeline on raw texts. RETURNS: True positives, false positives and false negatives by label."""
    from scripts.model.label_heads import count_covered

    return count_covered(predict(nlp, gold, labels))


def predict(nlp: Any, gold: list[GoldText], labels: list[str]) -> list[Any]:
    """Run a pipeline on raw texts. RETURNS: Examples of what it predicted, and the gold."""
    examples = _examples(nlp, gold, labels)
    for example, doc in zip(examples, nlp.pipe([example.text for example in examples]), strict=True):
        example.predicted = doc
    return examples


def count_represented(examples: Iterable[Any]) -> dict[str, list[int]]:
    """As `count_covered`, of entities on token boundaries: a prediction of all tokens of another one does not count."""
    from scripts.model.label_heads import MISALIGNED, count_spans, covered_of, predictions

    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for example in examples:
        predicted = predictions(example.predicted)
        widened = {(span.start_char, span.end_char) for span in example.reference.spans.get(MISALIGNED, ())}
        for label, covered in covered_of(example.reference).items():
            covered = covered._replace(gold=covered.gold - covered.misaligned)
            for i, number in enumerate(count_spans(covered, predicted.get(label, set()) - widened)):
                counts[label][i] += number
    return counts


def jobs(data: Path, corpora: list[str], seeds: int, steps: int, single_seeds: int) -> list[Job]:
    """All trainings. "one ner a label" trains each label for all steps, so it runs for fewer seeds, and at p = .5."""
    found = []
    for corpus, seed in itertools.product(corpora, range(seeds)):
        found += [Job(data, corpus, system, 1.0, seed, steps) for system in (HEADS, NER)]
        found += [Job(data, corpus, s, kept, seed, steps) for kept in KEPT[1:] for s in (HEADS, ALONE, NER, COMPLETE)]
        if seed < single_seeds:
            found.append(Job(data, corpus, SINGLE, 0.5, seed, steps))
    return sorted(found, key=lambda job: job.system != SINGLE)  # the longest first


def summarise(done: list[tuple[Job, Result | None]]) -> list[dict[str, Any]]:
    """A row a corpus, system and share: means and standard deviations over seeds."""
    groups: dict[tuple[str, str, float], list[Result]] = defaultdict(list)
    for job, result in done:
        groups[job.corpus, job.system, job.kept] += [result] if result else []
    return [
        {
            "corpus": corpus, "system": system, "kept": kept, "seeds": len(found),
            **{
                name: round(fmean(getattr(each, name) for each in found), 4) if found else None
                for name in Result._fields
            },
            "sd": round(stdev(each.f for each in found), 4) if len(found) > 1 else None,
        }
        for (corpus, system, kept), found in groups.items()
    ]  # fmt: skip


def show(console: Console, rows: list[dict[str, Any]]) -> None:
    """Print F1 in tables, a corpus each."""
    for corpus, found in itertools.groupby(rows, key=lambda row: row["corpus"]):
        table = Table(corpus, *(f"p = {kept}" for kept in KEPT), box=None)
        own = list(found)
        for system in dict.fromkeys(row["system"] for row in own):
            cells = {row["kept"]: row for row in own if row["system"] == system}
            for name in ("f", "macro"):
                table.add_row(f"{system}: {name}", *(_cell(cells.get(kept), name) for kept in KEPT))
        console.print(table)


def _cell(row: dict[str, Any] | None, name: str) -> str:
    if row is None or row[name] is None:
        return "–"
    return f"{row[name]:.3f}" + (f" ± {row['sd']:.3f}" if name == "f" and row["sd"] is not None else "")


def _key(job: Job) -> str:
    """Digest of all that a result depends on; the folder of the data is not part of it."""
    config = _OF_HEADS.get(job.system, _OF_NER).read_text("utf8")
    code = code_digest(*_CODE) if job.system in _OF_HEADS else ""
    what = [*job._replace(data=Path()), hashlib.sha256(config.encode()).hexdigest(), code]
    return hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()


def _cached() -> dict[str, Result | None]:
    lines = CACHE.read_text("utf8").splitlines() if CACHE.exists() else []
    found = (json.loads(line) for line in lines)
    return {each["key"]: Result(*each["result"]) if each["result"] else None for each in found}


def _cache(job: Job, result: Result | None) -> None:
    CACHE.parent.mkdir(exist_ok=True)
    with CACHE.open("a", encoding="utf8") as file:
        file.write(json.dumps({"key": _key(job), "result": result}) + "\n")


def main() -> None:
    """Run all trainings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real corpora")
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), choices=list(CORPORA))
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--single-seeds", type=int, default=1, help="seeds of one ner a label")
    parser.add_argument("--steps", type=int, default=0, help="0: as [length] of the config says")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    use_one_thread()  # trainings run side by side
    todo = jobs(args.data, args.corpora, args.seeds, args.steps, args.single_seeds)
    cached = _cached()
    done = [(job, cached[_key(job)]) for job in todo if _key(job) in cached]
    todo = [job for job in todo if _key(job) not in cached and job.system in args.systems]
    console = Console()
    with ProcessPoolExecutor(args.processes) as pool:
        for job, result in zip(todo, pool.map(run, todo), strict=True):
            done.append((job, result))
            _cache(job, result)
            f = f"{result.f:.3f}" if result else "–"
            print(f"{job.corpus}: {job.system}, p = {job.kept}, seed {job.seed}: {f}", flush=True)
    order = {job: number for number, job in enumerate(jobs(args.data, args.corpora, args.seeds, args.steps, 0))}
    done.sort(key=lambda pair: (args.corpora.index(pair[0].corpus), order.get(pair[0], len(order))))
    rows = summarise(done)
    show(console, rows)
    result = {"steps": args.steps, "seeds": args.seeds, "machine": machine(), "scores": rows}
    write_results("partial", result)


if __name__ == "__main__":
    main()
