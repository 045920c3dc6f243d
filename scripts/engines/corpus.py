"""`corpus` on a cluster: workers tokenize the gold where it is; the shards are brought here, or stay there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import msgspec
import spacy

from scripts.building.corpus import CorpusPlan, account_for, commit, has_digest, rules_digest, shard_rules
from scripts.building.documents import tokenizer
from scripts.building.shards import ShardJob, ShardRules, gold_ranges, hash_bits, make_shard
from scripts.building.splits import Corpus, CorpusShard, StoredShards
from scripts.core.errors import UserError
from scripts.core.files import exclusive, sha256, work_folder
from scripts.engines.cluster import connected, in_order
from scripts.engines.engine import Dask
from scripts.engines.merge import StoredShard, bring, merged_shards
from scripts.engines.storage import Storage, scratch
from scripts.merging.merged import gold_as_merged, known_labels

LEAST_MB = 512  # Python with Dask and spaCy takes 120 of it, and 300 where there is PyTorch too
_FOLDER = "docbins"
_alone = Lock()  # a vocabulary is for one thread at a time


class Piece(NamedTuple):
    """Some of the gold: one shard of the corpus, or all those that are in one shard of the gold.

    gold (list[StoredShard]): Where it is.
    bits (int): See `hash_bits`.
    rules (str): Name of the file that has the `ShardRules`.
    folder (str): On the storage, for what is made of it.
    spacy (str): The version that all must have.
    """

    storage: Storage
    gold: list[StoredShard]
    bits: int
    rules: str
    folder: str
    spacy: str


class Made(NamedTuple):
    """Shards by their names, and whether there was nothing to do."""

    shards: dict[str, CorpusShard]
    were_there: bool


def build_on(engine: Dask, folder: Path, plan: CorpusPlan) -> tuple[Corpus, int]:
    """Make the shards of what was merged to the engine's storage. See `corpus.build`.

    RETURNS (tuple[Corpus, int]): The account, and how many shards were on the storage.
    RAISES (UserError): If the gold is not there as it was merged, or what is asked for cannot be done there.
    """
    if engine.memory_mb < LEAST_MB:
        raise UserError(f"[engine] memory_mb = {engine.memory_mb}: for corpus it must be at least {LEAST_MB}")
    tokenizer(plan.nlp)  # if it cannot be made, this is the place to say so
    storage = Storage(engine.storage)
    storage.check()
    with exclusive(folder):
        merged, gold = merged_shards(engine, folder)
        labels = known_labels(merged)
        rules = shard_rules(plan, labels, _gold_here(engine, folder, plan))
        made_by = rules_digest(plan, rules)
        place = f"{_FOLDER}/{made_by[:32]}"
        pieces = list(_pieces(storage, gold, place))
        with connected(engine) as client:
            storage.write_json(f"{place}/rules.json", rules)
            made = in_order(client, make_shards, pieces, "Tokenizing")
        corpus = account_for({name: shard for one in made for name, shard in one.shards.items()}, plan, labels, made_by)
        folders = {name: piece.folder for piece, one in zip(pieces, made, strict=True) for name in one.shards}
        with work_folder(folder) as work:
            if engine.fetch:
                _fetch(storage, corpus, folders, folder, work)
            commit(corpus, labels, work, folder, None if engine.fetch else StoredShards(engine.storage, folders))
        storage.sweep(_FOLDER, {f"{place}/rules.json", *folders.values()})
    return corpus, sum(len(one.shards) for one in made if one.were_there)


def make_shards(piece: Piece) -> Made:
    """Make the shards of a piece: the files that `make_shard` makes, and last the receipt, which vouches for them.
    Whoever does it again writes the same.
    """
    receipt = f"{piece.folder}/made.json"
    if (found := piece.storage.read_if_there(receipt, dict[str, CorpusShard])) is not None:
        return Made(found, True)
    if spacy.__version__ != piece.spacy:
        raise UserError(f"a worker has spaCy {spacy.__version__}, and here it is {piece.spacy}: install the same")
    rules = _rules(piece.storage, piece.rules)
    with scratch() as folder, _alone:
        gold = folder / "gold.jsonl"
        bring(piece.storage, piece.gold, gold)
        made = {one.name: make_shard(ShardJob(one, gold, rules, folder)) for one in gold_ranges(gold, piece.bits)}
        for name in (name for shard in made.values() for name in shard.files):
            piece.storage.put(folder / name, f"{piece.folder}/{name}")
    piece.storage.write_json(receipt, made)
    return Made(made, False)


@lru_cache(maxsize=1)
def _rules(storage: Storage, name: str) -> ShardRules:
    return msgspec.json.decode(storage.read(name), type=ShardRules)


def _gold_here(engine: Dask, folder: Path, plan: CorpusPlan) -> Path:
    """Path to gold.jsonl. RAISES (UserError): If datasets are reserved, for which it is read, and it is not here."""
    if plan.dev_datasets or plan.test_datasets:
        if not engine.fetch:
            raise UserError(
                "[split] dev_datasets and test_datasets: their texts are looked up in the gold, which stays on the "
                "storage; set [engine] fetch = true, or leave both empty"
            )
        return gold_as_merged(folder)[1]
    return folder / "gold.jsonl"


def _pieces(storage: Storage, gold: Sequence[StoredShard], place: str) -> Iterator[Piece]:
    """Divide the gold; both its shards and those of the corpus are ranges of hashes, a power of 2 of each."""
    bits = hash_bits(sum(shard.bytes for shard in gold))
    together = max(1, len(gold) >> bits)
    for start in range(0, len(gold), together):
        own = list(gold[start : start + together])
        digest = hashlib.sha256(" ".join([str(bits), *(shard.sha256 for shard in own)]).encode()).hexdigest()[:32]
        yield Piece(storage, own, bits, f"{place}/rules.json", f"{place}/{digest}", spacy.__version__)


def _fetch(storage: Storage, corpus: Corpus, folders: Mapping[str, str], folder: Path, work: Path) -> None:
    """Bring the files that are not here. RAISES (UserError): If one is not as it was made."""
    files = [
        (name, sha, f"{folders[shard]}/{name}")
        for shard, made in corpus.shards.items()
        for name, sha in made.files.items()
        if not has_digest(folder / name, sha)
    ]
    storage.fetch([stored for _, _, stored in files], [work / name for name, _, _ in files])
    for name, sha, stored in files:
        if sha256(work / name) != sha:
            raise UserError(f"{storage.url}/{stored}: is not as it was made; delete {storage.url}/{_FOLDER}, run again")
