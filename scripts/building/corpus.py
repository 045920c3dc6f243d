"""The training corpus: what was merged, split, tokenized and in shards."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confection import Config

from scripts.building.shards import Cut, Job, Misaligned, Rules, Shard, cut, fineness, read_gold
from scripts.building.splits import SIDES, STORED, Side, Splitter, reserved
from scripts.core.errors import UserError
from scripts.core.files import code_digest, exclusive, sha256, work_folder, write_json
from scripts.core.workers import spread
from scripts.merging.merged import gold_as_merged, known_labels

NAME = "split.json"
_SCRIPTS = Path(__file__).parent.parent
_CODE = (Path(__file__).parent, _SCRIPTS / "core", _SCRIPTS / "functions.py")


class Plan(NamedTuple):
    """How texts are split and tokenized.

    nlp (dict[str, Any]): The [nlp] block of the training config.
    dev (float), test (float), document (str): See `Splitter`.
    dev_datasets, test_datasets (list[str]): All their texts are evaluation data.
    misaligned (Misaligned): What happens to spans whose borders are inside tokens.
    """

    nlp: dict[str, Any]
    dev: float
    test: float
    document: str
    dev_datasets: list[str]
    test_datasets: list[str]
    misaligned: Misaligned


def nlp_block(path: Path) -> dict[str, Any]:
    """The [nlp] block of a training config. RAISES (UserError): If there is none."""
    try:
        return dict(Config().from_disk(path, interpolate=True)["nlp"])
    except (OSError, KeyError, ValueError) as err:
        reason = str(err) if isinstance(err, OSError) else f"has no [nlp] that can be read: {err}"
        raise UserError(f"{path}: {reason}") from err


class Corpus(msgspec.Struct, kw_only=True):
    """corpus/split.json.

    digest (str): Of the texts, what is known of them, how they are split and tokenized; whatever made it.
    made_by (str): Digest of that, and of the code and the version of spaCy.
    texts (dict[Side, int]), tokens (dict[Side, int]): How many on each side.
    spans (dict[str, dict[Side, int]]): Gold spans by label and side.
    covered (dict[str, dict[Side, int]]): Texts in which a label is known everywhere, by label and side.
    fates (dict[str, int]): What became of all spans: "read" is the sum of the others, see `DocMaker`.
    too_long (int): Texts left out since the pipeline does not take them.
    shards (dict[str, Shard]): What was made of each part.
    """

    digest: str
    made_by: str
    texts: dict[Side, int] = {}
    tokens: dict[Side, int] = {}
    spans: dict[str, dict[Side, int]] = {}
    covered: dict[str, dict[Side, int]] = {}
    fates: dict[str, int] = {}
    too_long: int = 0
    shards: dict[str, Shard] = {}


class Stored(msgspec.Struct):
    """corpus/docbins.json, where the shards are not beside it.

    storage (str): URL of the storage they are on.
    folders (dict[str, str]): By shard, the folder there that has its files.
    """

    storage: str
    folders: dict[str, str]


def build(folder: Path, plan: Plan, processes: int) -> tuple[Corpus, int]:
    """Make `{train,dev,test}/*.spacy`, `misaligned/*.jsonl`, labels.json and split.json of a folder's gold.jsonl.

    folder (Path): The corpus. What is there changes when everything is made.
    plan (Plan): How.
    processes (int): How many shards are made at a time.
    RETURNS (tuple[Corpus, int]): The account, and how many shards were as before.
    RAISES (UserError): If there is no gold, it is not as it was merged, or none is left to train or to evaluate with;
        or if no tokenizer can be made.
    """
    with exclusive(folder):
        merged, gold = gold_as_merged(folder)
        labels = known_labels(merged)
        rules = rules_for(plan, labels, gold)
        made_by = digest_of(plan, rules)
        cuts = list(cut(gold, fineness(gold.stat().st_size)))
        kept = _unchanged(folder, made_by, cuts)
        with work_folder(folder) as work:
            jobs = [Job(piece, gold, rules, work) for piece in cuts if piece.name not in kept]
            shards = kept | (_make(jobs, plan, processes) if jobs else {})
            corpus = account_for(shards, plan, labels, made_by)
            publish(corpus, labels, work, folder)
    return corpus, len(kept)


def _make(jobs: list[Job], plan: Plan, processes: int) -> dict[str, Shard]:
    from scripts.building.shards import (  # which need spaCy
        make_shard,
        pipeline,
    )

    pipeline(msgspec.json.encode(plan.nlp))  # here, so that the processes need not each make it
    made = spread(make_shard, jobs, processes, "Tokenizing")
    return {job.cut.name: shard for job, shard in zip(jobs, made, strict=True)}


def rules_for(plan: Plan, labels: list[str], gold: Path) -> Rules:
    """What all shards are made by. The gold is read only if datasets are reserved for evaluation."""
    return Rules(plan.nlp, frozenset(labels), plan.misaligned, splitter(plan, gold))


def digest_of(plan: Plan, rules: Rules) -> str:
    """Of all that a shard depends on but its gold: see `Corpus.made_by`."""
    what = [sorted(rules.labels), plan, _reserved(rules.splitter), code_digest(*_CODE), version("spacy")]
    return _digest(what)


def splitter(plan: Plan, gold: Path) -> Splitter:
    """What decides on which side of the corpus a text of the gold is."""
    sides = {}
    for side, datasets in (("dev", plan.dev_datasets), ("test", plan.test_datasets)):
        sides[side] = reserved(read_gold(gold), datasets, plan.document) if datasets else frozenset()
    return Splitter(plan.dev, plan.test, plan.document, sides["dev"], sides["test"])


def _reserved(splitter: Splitter) -> list[str]:
    return [_digest([key.hex() for key in sorted(keys)]) for keys in (splitter.reserved_dev, splitter.reserved_test)]


def _digest(data: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()


def _unchanged(folder: Path, made_by: str, cuts: list[Cut]) -> dict[str, Shard]:
    """The shards of an earlier build whose gold, rules and files are the same."""
    try:
        before = msgspec.json.decode((folder / NAME).read_bytes(), type=Corpus)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    if before.made_by != made_by:
        return {}
    found = ((piece, before.shards.get(piece.name)) for piece in cuts)
    return {
        piece.name: shard
        for piece, shard in found
        if shard
        and shard.gold == piece.sha256
        and all(is_as_made(folder / name, sha) for name, sha in shard.files.items())
    }


def is_as_made(path: Path, digest: str) -> bool:
    """Whether a file is there, and has this digest."""
    return path.is_file() and sha256(path) == digest


def account_for(made: Mapping[str, Shard], plan: Plan, labels: list[str], made_by: str) -> Corpus:
    """The account of a corpus of these shards. RAISES (UserError): If a side that is needed has no text."""
    corpus = Corpus(digest="", made_by=made_by, shards=dict(sorted(made.items())))
    corpus.digest = _digest([[shard.gold for shard in corpus.shards.values()], labels, plan])
    _sum_up(corpus, labels)
    _demand_sides(corpus, plan)
    return corpus


def _sum_up(corpus: Corpus, labels: list[str]) -> None:
    shards = corpus.shards.values()
    corpus.texts = {side: sum(shard.texts.get(side, 0) for shard in shards) for side in SIDES}
    corpus.tokens = {side: sum(shard.tokens.get(side, 0) for shard in shards) for side in SIDES}
    for name in ("spans", "covered"):
        parts = [getattr(shard, name) for shard in shards]
        sums = {label: {s: sum(part.get(s, {}).get(label, 0) for part in parts) for s in SIDES} for label in labels}
        setattr(corpus, name, sums)
    fates = sum((Counter(shard.fates) for shard in shards), Counter[str]())
    corpus.fates = dict(sorted(fates.items()))
    corpus.too_long = sum(shard.too_long for shard in shards)


def _demand_sides(corpus: Corpus, plan: Plan) -> None:
    """RAISES (UserError): If there is nothing to train with, or nothing to evaluate with while training."""
    for side in ("train", "dev"):
        if not corpus.texts[side]:
            counts = ", ".join(f"{count} {name}" for name, count in corpus.texts.items())
            raise UserError(
                f"no text is left for {side} ({counts}): annotate more, or change the shares of [split] "
                f"(dev = {plan.dev}, test = {plan.test}) or its dev_datasets and test_datasets"
            )


def publish(corpus: Corpus, labels: list[str], work: Path, folder: Path, stored: Stored | None = None) -> None:
    """Put what was made into its place, with labels.json and split.json.

    work (Path): A folder on the disk of `folder` that has the shards' files which are new.
    stored (Stored | None): Where the shards are if they stay elsewhere; then none are left here.
    """
    wanted = set() if stored else {name for shard in corpus.shards.values() for name in shard.files}
    if stored:
        write_json(folder / STORED, stored)
    for name in sorted(wanted):
        if (work / name).exists():
            (folder / name).parent.mkdir(exist_ok=True)
            (work / name).replace(folder / name)
    for place in (*SIDES, "misaligned"):
        for path in folder.glob(f"{place}/*"):
            if f"{place}/{path.name}" not in wanted:
                path.unlink()
    write_json(folder / "labels.json", labels)
    write_json(folder / NAME, corpus)
    if not stored:
        (folder / STORED).unlink(missing_ok=True)
