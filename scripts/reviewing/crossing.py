"""Cross-validation of annotations: each text is judged by models that learned from other texts alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from scripts.annotations.files import BUFFER, exclusive, read_json_if_there, whole_file, work_folder, write_json
from scripts.annotations.records import GoldText
from scripts.model.corpus import nlp_block
from scripts.model.cuts import read_gold
from scripts.model.documents import DocMaker
from scripts.model.pipeline import tokenizer
from scripts.model.provenance import BEST
from scripts.model.shards import DocWriter, encoders_looked_up
from scripts.model.summary import Split
from scripts.model.training import Job, train_all
from scripts.reviewing.folds import Folds
from scripts.reviewing.votes import Vote, votes
from scripts.scoring import models

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
    config (Path), values (Mapping[str, Any]), gpu (int): See `Job`.
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
                    said = votes(models.load(job.folder / BEST), _held_out(plan, which[0]))
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
    with encoders_looked_up():
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
    write_json(folder / "split.json", Split(plan.digest, {"train": sum(seen)}))


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


def _job(plan: Plan, work: Path, fold: int, seed: int) -> Job:
    own = work / f"for-{fold}"
    paths = {"train": own / "train", "dev": own / "dev", "labels": work / "labels.json", "split": work / "split.json"}
    values = {**plan.values, "system.seed": seed, **{f"paths.{name}": str(path) for name, path in paths.items()}}
    return Job(plan.config, values, own / "dev", work / f"model-{fold}-{seed}", plan.gpu)


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
