"""Cross-validation: each text is predicted by models that were trained on the other folds.

Texts which share rare surface forms are in the same fold. A model that judges a text should not have seen its entities
elsewhere: it would repeat how they are annotated there, right or wrong. Texts with a common surface form cannot all be
in one fold; texts with a rare one can.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch

from scripts.building.documents import DocMaker, tokenizer
from scripts.building.plan import nlp_block
from scripts.building.shards import DocWriter
from scripts.building.splits import Corpus, write_account
from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.files import (
    BUFFER,
    exclusive,
    read_json_if_there,
    remove,
    sha256,
    whole_file,
    work_folder,
    write_json,
)
from scripts.core.texts import normalized
from scripts.merging.duplicates import find_root
from scripts.merging.merged import read_gold
from scripts.model.label_heads import calibration_array, entity_probability, find_entities, log_odds, threshold_array
from scripts.model.models import BEST, load_model
from scripts.model.thresholds import LabelScorer, examples_with_layers, label_scorer
from scripts.model.training import TrainingJob, train_all

Integers = NDArray[np.int64]

DIGEST = "predictions.json"
_BATCH = 64  # texts
_DEV_SHARE = 10  # of each fold that is trained on, one text in ten is dev, on which thresholds are set
_SPLITS = ("train", "dev")


# Folds


class Folds(NamedTuple):
    """The fold of each text."""

    of_text: Integers  # the number of its fold, in the order of the gold
    groups: Integers  # the first text of its group. A group is in one fold
    unseen: float  # the share of entities whose surface form is in no other fold


def assign_folds(texts: Iterable[GoldText], folds: int) -> Folds:
    """Assign texts to folds of about the same size. It takes sixteen bytes an entity.

    Texts which share a surface form are grouped, the rarest forms first, unless the group became larger than half a
    fold; so are texts that are equal after normalization. The largest groups first, each goes to the smallest fold.

    texts (Iterable[GoldText]): In the order of the gold.
    RAISES (UserError): If there are not enough texts.
    """
    keys, owners, count = _hash_forms(texts)
    if count < 2 * folds:
        raise UserError(f"{count} texts are too few for {folds} folds: fewer folds, --suspects.folds 2, or more texts")
    groups = _group(keys, owners, count, largest=max(1, count // (2 * folds)))
    of_text = _fill_folds(groups, folds)
    is_form = keys > 0
    in_one_fold = pd.Series(of_text[owners[is_form]]).groupby(keys[is_form]).transform("nunique") == 1
    return Folds(of_text, groups, float(in_one_fold.mean()) if len(in_one_fold) else 0.0)


def _hash_forms(texts: Iterable[GoldText]) -> tuple[Integers, Integers, int]:
    """Hashes of surface forms and, negative, of whole texts; the text each is in; and the number of texts."""
    keys, owners, count = [], [], 0
    for count, text in enumerate(texts, 1):
        forms = {normalized(text.text[span.start : span.end]) for span in (*text.spans, *text.accepted)}
        keys += [*sorted(map(_hash, forms)), -_hash(normalized(text.text))]
        owners += [count - 1] * (len(forms) + 1)
    return np.array(keys, np.int64), np.array(owners, np.int64), count


def _hash(form: str) -> int:
    digest = hashlib.blake2b(form.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 2) + 1


def _group(keys: Integers, owners: Integers, count: int, largest: int) -> Integers:
    """The first text of each text's group."""
    first, size = list(range(count)), [1] * count
    order = np.argsort(keys, kind="stable")
    _, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    rarest_first = np.argsort(counts, kind="stable")[np.sum(counts == 1) :]  # without those in one text
    for form in rarest_first.tolist():
        texts = owners[order[starts[form] : starts[form] + counts[form]]]
        roots = sorted({find_root(first, text) for text in texts.tolist()})
        total = sum(size[root] for root in roots)
        if len(roots) > 1 and total <= largest:
            size[roots[0]] = total
            for root in roots[1:]:
                first[root] = roots[0]
    return np.array([find_root(first, text) for text in range(count)], np.int64)


def _fill_folds(groups: Integers, folds: int) -> Integers:
    """The fold of each text."""
    firsts, sizes = np.unique(groups, return_counts=True)
    filled = [0] * folds
    of_group = np.zeros(len(groups), np.int64)
    for number in np.argsort(-sizes, kind="stable").tolist():
        smallest = filled.index(min(filled))
        of_group[firsts[number]] = smallest
        filled[smallest] += int(sizes[number])
    return of_group[groups]


# Models


class PredictedEntity(msgspec.Struct, array_like=True, gc=False, order=True):
    """An entity that a model predicts: [start, end) in code points, and the probability of exactly it."""

    start: int
    end: int
    label: str
    probability: float


class SpanProbability(msgspec.Struct, array_like=True, gc=False):
    """The probability that a model gives to an annotated span."""

    start: int  # of its tokens, in code points
    end: int
    exact: float  # of exactly it
    outside: float  # that none of its tokens is in an entity of its label


class TextPrediction(msgspec.Struct, gc=False):
    """The prediction of one model for one text."""

    input_hash: int
    entities: list[PredictedEntity]  # of labels that are covered there
    annotated: list[SpanProbability]  # of each of the gold's covered spans, in their order
    is_too_long: bool = False  # the pipeline does not take the text, so there is no prediction


_decode = msgspec.json.Decoder(TextPrediction).decode
_encode = msgspec.json.Encoder().encode_lines


class Ensemble(NamedTuple):
    """The models."""

    config: Path  # this and the next two: see `TrainingJob`
    values: Mapping[str, Any]
    gpu: int
    folds: int
    seeds: list[int]  # a model each, for each fold


class CrossValidation(NamedTuple):
    """The models of a cross-validation, and their data."""

    ensemble: Ensemble
    gold: Path  # gold.jsonl
    labels: list[str]  # all labels of the gold
    folds: Folds  # of the texts
    digest: str  # of all that predictions depend on

    def texts(self) -> Iterator[tuple[GoldText, int]]:
        """Each text of the gold, with its fold."""
        yield from zip(read_gold(self.gold), self.folds.of_text.tolist(), strict=True)


def cross_validate(plan: CrossValidation, folder: Path) -> int:
    """Train a model for each fold and seed on the other folds, and write its predictions for the fold.

    folder (Path): Gets the predictions, a file for each model, so that an interrupted run continues. Those of another
        digest are removed.
    RETURNS (int): The number of models trained now; the predictions of the others existed.
    """
    with exclusive(folder):
        stored = _stored(plan.digest, folder)
        models = product(range(plan.ensemble.folds), plan.ensemble.seeds)
        pending = [model for model in models if not _is_whole(_path(folder, *model), stored)]
        if pending:
            with work_folder(folder) as work:
                words = write_folds(plan, work)
                jobs = [_training_job(plan, work, words, *model) for model in pending]
                trained = train_all(jobs, f"Training {len(jobs)} models")
                for job, (fold, seed), _ in zip(jobs, pending, trained, strict=True):
                    held_out = (text for text, number in plan.texts() if number == fold)
                    with whole_file(_path(folder, fold, seed)) as file:
                        for prediction in predict(load_model(job.folder / BEST), held_out):
                            file.write(_encode([prediction]))
                    stored[_path(folder, fold, seed).name] = sha256(_path(folder, fold, seed))
                    write_json(folder / DIGEST, stored)
                    shutil.rmtree(job.folder)
    return len(pending)


def read_predictions(plan: CrossValidation, folder: Path) -> Iterator[tuple[GoldText, list[TextPrediction]]]:
    """Each text of the gold, with the predictions of the models that were not trained on it: in bounded memory."""
    models = product(range(plan.ensemble.folds), plan.ensemble.seeds)
    files = {model: _path(folder, *model).open("rb", BUFFER) for model in models}
    try:
        for text, fold in plan.texts():
            predictions = [_decode(files[fold, seed].readline()) for seed in plan.ensemble.seeds]
            assert {prediction.input_hash for prediction in predictions} == {text.input_hash}
            yield text, predictions
    finally:
        for file in files.values():
            file.close()


def _path(folder: Path, fold: int, seed: int) -> Path:
    return folder / f"fold-{fold}-seed-{seed}.jsonl"


def _stored(digest: str, folder: Path) -> dict[str, str]:
    """Digests of the predictions that are there, by file name, and that of what they depend on, as "digest".

    Predictions of another digest, or without one, since the account is damaged, are removed.
    """
    try:
        stored = read_json_if_there(folder / DIGEST, dict[str, str], "") or {}
    except UserError:
        stored = {}
    if stored.get("digest") == digest:
        return stored
    for path in folder.glob("fold-*.jsonl"):
        remove(path)
    write_json(folder / DIGEST, {"digest": digest})
    return {"digest": digest}


def _is_whole(path: Path, stored: Mapping[str, str]) -> bool:
    return path.is_file() and sha256(path) == stored.get(path.name)


# Training


def write_folds(plan: CrossValidation, folder: Path) -> list[int]:
    """Write the training data of each fold's models, which is the other folds: `for-<fold>/{train,dev}`.

    RETURNS (list[int]): By fold, the tokens in its models' train.
    """
    maker = DocMaker(tokenizer(nlp_block(plan.ensemble.config)), frozenset(plan.labels), "snap")
    folds = range(plan.ensemble.folds)
    parts = product(folds, _SPLITS)
    writers = {(fold, split): DocWriter(folder / str(fold) / split, plan.labels) for fold, split in parts}
    written, words = [0] * len(folds), [0] * len(folds)
    for text, fold in plan.texts():
        doc = maker.make(text)
        if doc is not None:
            split = "train" if written[fold] % _DEV_SHARE else "dev"
            writers[fold, split].add(doc)
            written[fold] += 1
            words[fold] += len(doc) if split == "train" else 0
    for writer in writers.values():
        writer.close()
    for fold, other, split in product(folds, folds, _SPLITS):
        if fold != other:
            target = folder / f"for-{fold}" / split
            target.mkdir(parents=True, exist_ok=True)
            for shard in (folder / str(other) / split).glob("*.spacy"):
                shutil.copyfile(shard, target / f"{other}-{shard.name}")
    write_account(folder, plan.labels, Corpus(digest=plan.digest, texts={"train": sum(written)}))
    return [sum(words) - own for own in words]


def _training_job(plan: CrossValidation, work: Path, words: Sequence[int], fold: int, seed: int) -> TrainingJob:
    data = work / f"for-{fold}"
    paths = {"train": data / "train", "dev": data / "dev", "labels": work / "labels.json", "split": work / "split.json"}
    values = {**plan.ensemble.values, "system.seed": seed}
    values |= {f"paths.{name}": str(path) for name, path in paths.items()}
    ensemble = plan.ensemble
    folder = work / f"model-{fold}-{seed}"
    return TrainingJob(ensemble.config, values, words[fold], False, data / "dev", folder, ensemble.gpu)


# Prediction


def predict(nlp: Language, texts: Iterable[GoldText]) -> Iterator[TextPrediction]:
    """Predict texts.

    RAISES (UserError): If the pipeline has no label heads, without which entities have no probability.
    """
    heads = label_scorer(nlp)
    if heads is None:
        raise UserError("the config has no label_heads, so entities have no probability: --vars.run ner")
    for batch in minibatch(texts, _BATCH):
        made = [nlp.make_doc(text.text if len(text.text) <= nlp.max_length else "") for text in batch]
        docs = [example.predicted for example in examples_with_layers(nlp, (Example(doc, doc.copy()) for doc in made))]
        yield from _predict_batch(heads, batch, docs)


def _predict_batch(heads: LabelScorer, texts: Sequence[GoldText], docs: Sequence[Doc]) -> Iterator[TextPrediction]:
    calibration = calibration_array(heads.labels, heads.calibration)
    scores, lengths = heads.scores(docs), list(map(len, docs))
    found = find_entities(scores, lengths, threshold_array(heads.labels, heads.thresholds), calibration)
    offsets = np.cumsum([0, *lengths])
    doc_of_entity = np.searchsorted(offsets, found.start, "right") - 1
    for number, (text, doc) in enumerate(zip(texts, docs, strict=True)):
        if text.text and not len(doc):
            yield TextPrediction(text.input_hash, [], [], is_too_long=True)
            continue
        first, in_doc = offsets[number], np.flatnonzero(doc_of_entity == number)
        rows = zip(*(column[in_doc].tolist() for column in found[:4]), strict=True)
        predicted = (
            PredictedEntity(
                doc[start - first].idx, doc[: end - first].end_char, heads.labels[label], round(probability, 4)
            )
            for start, end, label, probability in rows
        )
        entities = [entity for entity in predicted if text.covers(entity.label, entity.start, entity.end)]
        annotated = _annotated(heads.labels, text, doc, scores[first : offsets[number + 1]], calibration)
        yield TextPrediction(text.input_hash, sorted(entities), annotated)


def _annotated(
    labels: Sequence[str], text: GoldText, doc: Doc, scores: NDArray[np.float32], calibration: NDArray[np.float64]
) -> list[SpanProbability]:
    spans = []
    for span in text.covered_spans():
        tokens = doc.char_span(span.start, span.end, alignment_mode="expand")
        assert tokens is not None  # the span is inside the text
        spans.append((tokens.start, tokens.end, labels.index(span.label)))
    if not spans:
        return []
    start, end, label = (np.array(column) for column in zip(*spans, strict=True))
    odds = log_odds(scores, [len(doc)], start, end, label)
    exact = entity_probability(odds, label, calibration)
    # Mapped as the log odds of an entity somewhere in it, so that both add up to at most 1.
    outside = entity_probability(-log_odds(scores, [len(doc)], start, end, label, is_entity=False), label, calibration)
    return [
        SpanProbability(doc[first].idx, doc[:last].end_char, round(one, 4), round(1 - other, 4))
        for (first, last, _), one, other in zip(spans, exact.tolist(), outside.tolist(), strict=True)
    ]
