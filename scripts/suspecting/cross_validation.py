"""What a model says of texts: which entities it finds there, and what it thinks of those that are annotated.

Cross-validation of annotations: each text is judged by models that learned from other texts alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from scripts.building.corpus import nlp_block
from scripts.building.documents import DocMaker, tokenizer
from scripts.building.shards import DocWriter
from scripts.building.splits import Corpus
from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, exclusive, read_json_if_there, whole_file, work_folder, write_json
from scripts.merging.merged import read_gold
from scripts.model.label_heads import OUT, TAGS, find_entities, log_softmax, set_tags
from scripts.model.models import BEST, load_model
from scripts.model.thresholds import LabelScorer, examples_with_layers, label_scorer
from scripts.model.training import TrainingJob, train_all
from scripts.suspecting.folds import Folds

_BATCH = 64  # texts


class Guess(msgspec.Struct, array_like=True, gc=False):
    """An entity that a model finds: [start, end) in code points, and the probability of exactly it."""

    start: int
    end: int
    label: str
    probability: float


class Given(msgspec.Struct, array_like=True, gc=False):
    """What a model says of an annotated span.

    start (int), end (int): Of its tokens, in code points.
    probability (float): Of exactly it.
    nothing (float): That none of its tokens is in an entity of its label.
    """

    start: int
    end: int
    probability: float
    nothing: float


class Vote(msgspec.Struct, gc=False):
    """What one model says of one text.

    found (list[Guess]): The entities it finds, of labels that are covered in the text.
    given (list[Given]): Of each span of the gold, in its order.
    is_too_long (bool): The pipeline does not take the text, and so nothing is said of it.
    """

    input_hash: int
    found: list[Guess]
    given: list[Given]
    is_too_long: bool = False


def votes(nlp: Language, texts: Iterable[GoldText]) -> Iterator[Vote]:
    """What a pipeline says of texts, some at a time.

    RAISES (UserError): If it has no label heads, which alone say how probable an entity is.
    """
    pipe = label_scorer(nlp)
    if pipe is None:
        raise UserError("the config has no label_heads, which say how probable an entity is: --vars.run ner")
    for batch in minibatch(texts, _BATCH):
        made = [nlp.make_doc(text.text if len(text.text) <= nlp.max_length else "") for text in batch]
        docs = [example.predicted for example in examples_with_layers(nlp, (Example(doc, doc.copy()) for doc in made))]
        yield from _votes(pipe, batch, docs)


def _votes(pipe: LabelScorer, texts: Sequence[GoldText], docs: Sequence[Doc]) -> Iterator[Vote]:
    bias = np.array([pipe.thresholds.get(label, 0.0) for label in pipe.labels], "f")
    scores = pipe.scores(docs) + bias[:, None] * (np.arange(TAGS) == OUT)
    lengths = list(map(len, docs))
    found = find_entities(scores, lengths)
    first = np.cumsum([0, *lengths])
    document = np.searchsorted(first, found.start, "right") - 1
    for number, (text, doc) in enumerate(zip(texts, docs, strict=True)):
        if text.text and not len(doc):
            yield Vote(text.input_hash, [], [], is_too_long=True)
            continue
        own = np.flatnonzero(document == number)
        rows = zip(*(column[own].tolist() for column in found[:4]), strict=True)
        guesses = [
            Guess(doc[a - first[number]].idx, _end(doc, z - first[number]), pipe.labels[k], round(p, 4))
            for a, z, k, p in rows
            if pipe.labels[k] in text.covered
        ]
        part = scores[first[number] : first[number + 1]]
        yield Vote(text.input_hash, sorted(guesses, key=_place), list(_given(pipe, text, doc, part)))


def _place(guess: Guess) -> tuple[int, int, str]:
    return guess.start, guess.end, guess.label


def _end(doc: Doc, token: int) -> int:
    """Where the token before this one ends."""
    return doc[token - 1].idx + len(doc[token - 1])


def _given(pipe: LabelScorer, text: GoldText, doc: Doc, scores: np.ndarray) -> Iterator[Given]:
    column = {label: number for number, label in enumerate(pipe.labels)}
    for span in text.spans:
        on = doc.char_span(span.start, span.end, alignment_mode="expand")
        assert on is not None  # the span is inside the text
        logs = log_softmax(scores[on.start : on.end, column[span.label]].astype(np.float64))
        tags = np.zeros(len(on), np.int64)
        set_tags(tags, 0, len(on))
        exactly, nothing = np.exp(logs[np.arange(len(on)), tags].sum()), np.exp(logs[:, OUT].sum())
        yield Given(on.start_char, on.end_char, round(float(exactly), 4), round(float(nothing), 4))


NAME = "votes.json"
_TUNED_ON = 10  # one text of so many of a fold is kept for tuning by the models of the other folds
_SIDES = ("train", "dev")
_decode = msgspec.json.Decoder(Vote).decode
_encode = msgspec.json.Encoder().encode_lines


class Plan(NamedTuple):
    """Which models are trained, and of what.

    gold (Path): gold.jsonl.
    labels (list[str]): All that are known in it.
    digest (str): Of all that votes depend on.
    config (Path), values (Mapping[str, Any]), gpu (int): See `TrainingJob`.
    folds (Folds): Of the texts.
    seeds (Sequence[int]): A model each, for each fold.
    """

    gold: Path
    labels: list[str]
    digest: str
    config: Path
    values: Mapping[str, Any]
    gpu: int
    folds: Folds
    seeds: Sequence[int]


def vote(plan: Plan, folder: Path) -> int:
    """Train for each fold and seed a model on the other folds, and keep what it says of the texts of its own.

    folder (Path): Keeps the votes, a file a model, so that a run which was stopped goes on where it was. Those of
        another digest are removed.
    RETURNS (int): How many models were trained now; the others had voted before.
    """
    with exclusive(folder):
        _forget_others(plan.digest, folder)
        pending = [
            which for which in product(range(len(plan.folds.sizes)), plan.seeds) if not _file(folder, *which).exists()
        ]
        if pending:
            with work_folder(folder) as work:
                divide(plan, work)
                jobs = [_job(plan, work, *which) for which in pending]
                trained = train_all(jobs, f"Training {len(jobs)} models")
                for job, which, _ in zip(jobs, pending, trained, strict=True):
                    said = votes(load_model(job.folder / BEST), _held_out(plan, which[0]))
                    with whole_file(_file(folder, *which)) as file:
                        file.writelines(_encode([each]) for each in said)
                    shutil.rmtree(job.folder)
    return len(pending)


def read(plan: Plan, folder: Path) -> Iterator[tuple[GoldText, list[Vote]]]:
    """Each text of the gold, with what the models say of it that did not learn from it: in bounded memory."""
    files = [
        [_file(folder, fold, seed).open("rb", BUFFER) for seed in plan.seeds] for fold in range(len(plan.folds.sizes))
    ]
    try:
        for text, fold in zip(read_gold(plan.gold), plan.folds.number.tolist(), strict=True):
            said = [_decode(file.readline()) for file in files[fold]]
            assert {each.input_hash for each in said} == {text.input_hash}
            yield text, said
    finally:
        for file in (file for own in files for file in own):
            file.close()


def divide(plan: Plan, folder: Path) -> None:
    """Write what models need to learn, for each fold all but it: `for-<fold>/{train,dev}`, labels.json, split.json."""
    nlp = tokenizer(nlp_block(plan.config))
    maker = DocMaker(nlp, frozenset(plan.labels), "snap")
    number = range(len(plan.folds.sizes))
    writers = {key: DocWriter(folder / "/".join(map(str, key)), plan.labels) for key in product(number, _SIDES)}
    seen = [0] * len(number)
    for text, fold in zip(read_gold(plan.gold), plan.folds.number.tolist(), strict=True):
        made = maker.make(text)
        if made is not None:
            writers[fold, "train" if seen[fold] % _TUNED_ON else "dev"].add(made.doc)
            seen[fold] += 1
    for writer in writers.values():
        writer.close()
    for fold, side in product(number, _SIDES):
        for other in number:
            for shard in (folder / str(other) / side).glob("*.spacy") if other != fold else ():
                _copy(shard, folder / f"for-{fold}" / side / f"{other}-{shard.name}")
    write_json(folder / "labels.json", plan.labels)
    write_json(folder / "split.json", Corpus(digest=plan.digest, texts={"train": sum(seen)}))


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


def _job(plan: Plan, work: Path, fold: int, seed: int) -> TrainingJob:
    own = work / f"for-{fold}"
    paths = {"train": own / "train", "dev": own / "dev", "labels": work / "labels.json", "split": work / "split.json"}
    values = {**plan.values, "system.seed": seed, **{f"paths.{name}": str(path) for name, path in paths.items()}}
    return TrainingJob(plan.config, values, own / "dev", work / f"model-{fold}-{seed}", plan.gpu)


def _held_out(plan: Plan, fold: int) -> Iterable[GoldText]:
    pairs = zip(read_gold(plan.gold), plan.folds.number.tolist(), strict=True)
    return (text for text, number in pairs if number == fold)


def _file(folder: Path, fold: int, seed: int) -> Path:
    return folder / f"fold-{fold}-seed-{seed}.jsonl"


def _forget_others(digest: str, folder: Path) -> None:
    if read_json_if_there(folder / NAME, dict[str, str], f"remove {folder}") != {"digest": digest}:
        for path in folder.glob("fold-*.jsonl"):
            path.unlink()
        write_json(folder / NAME, {"digest": digest})
