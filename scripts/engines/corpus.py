"""`corpus` on a cluster: workers make the shards of Docs from the shards of the gold on the storage."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import spacy

from scripts.building.containers import Placements
from scripts.building.corpus import (
    account_for,
    commit,
    demand_aligned,
    demand_documents,
    made_of,
    placed_within,
    placements_of,
    shard_rules,
)  # fmt: skip
from scripts.building.documents import tokenizer
from scripts.building.plan import CorpusPlan, ShardJob, ShardRules
from scripts.building.shards import make_shard
from scripts.building.splits import (
    Corpus,
    CorpusShard,
    Placed,
    StoredShards,
    digest_of_placed,
    gold_ranges,
    hash_bits,
    shards_within,
)  # fmt: skip
from scripts.core.errors import UserError
from scripts.core.files import exclusive, has_digest, sha256, work_folder
from scripts.engines.cluster import connected, in_order
from scripts.engines.engine import Dask
from scripts.engines.merge import bring, merged_shards
from scripts.engines.pull import StoredFile
from scripts.engines.storage import Storage, read_cached, scratch
from scripts.merging.buckets import ALL
from scripts.merging.merged import MergeRecord, annotated_labels, gold_as_merged

LEAST_MB = 512  # Python with Dask and spaCy takes 120 of it, and 300 where there is PyTorch too
_FOLDER = "docbins"
_one_thread = Lock()  # a vocabulary is for one thread at a time


class CorpusJob(NamedTuple):
    """The work of making one shard of the corpus, or all shards that lie within one shard of the gold.

    rules (str): Name of the file that has the `ShardRules`.
    folder (str): For the results, on the storage.
    spacy (str): The version that all workers must have.
    placed (dict[str, Placed]): Of these shards by name, see `Splitter`.
    """

    storage: Storage
    gold: list[StoredFile]
    bits: int
    rules: str
    folder: str
    spacy: str
    placed: dict[str, Placed]


def build_on(engine: Dask, folder: Path, plan: CorpusPlan, max_misaligned: float = 1.0) -> tuple[Corpus, int]:
    """Build the corpus from the gold on the engine's storage. See `scripts.building.corpus.build`.

    RAISES (UserError): If the gold on the storage is not as it was merged, or cannot be split there as configured.
    """
    if engine.memory_mb < LEAST_MB:
        raise UserError(f"[engine] memory_mb = {engine.memory_mb}: for corpus it must be at least {LEAST_MB}")
    tokenizer(plan.nlp)  # fails here rather than on every worker
    storage = Storage(engine.storage)
    storage.check()
    with exclusive(folder):
        merged, gold = merged_shards(engine, folder)
        labels = annotated_labels(merged)
        here = _gold_here(merged, folder, plan)
        rules, made_by = shard_rules(plan, labels, here)
        placements = placements_of(here, rules.splitter, 1)
        place = f"{_FOLDER}/{made_by[:32]}"
        jobs = list(_jobs(storage, gold, place, placements))
        with connected(engine) as client:
            storage.write_json(f"{place}/rules.json", rules)
            made = in_order(client, make_shards, jobs, "Tokenizing")
        all_shards = {name: shard for shards, _ in made for name, shard in shards.items()}
        corpus = account_for(all_shards, plan, labels, made_by, placements)
        demand_documents(corpus, plan.document, here)
        demand_aligned(corpus, plan, max_misaligned)
        corpus.made_of = made_of(merged)
        folders = {name: job.folder for job, (shards, _) in zip(jobs, made, strict=True) for name in shards}
        with work_folder(folder) as work:
            if engine.fetch:
                _fetch(storage, corpus, folders, folder, work)
            commit(corpus, labels, work, folder, None if engine.fetch else StoredShards(engine.storage, folders))
        storage.sweep(_FOLDER, {f"{place}/rules.json", *folders.values()})
    return corpus, sum(len(shards) for shards, were_there in made if were_there)


def make_shards(job: CorpusJob) -> tuple[dict[str, CorpusShard], bool]:
    """Make shards on a worker. Their list, made.json, comes last: where it is, all files are complete.

    RETURNS (tuple[dict[str, CorpusShard], bool]): The shards by name, and whether they were there already.
    """
    listed = f"{job.folder}/made.json"
    if (found := job.storage.read_if_there(listed, dict[str, CorpusShard])) is not None:
        return found, True
    if spacy.__version__ != job.spacy:
        raise UserError(f"a worker has spaCy {spacy.__version__}, and here it is {job.spacy}: install the same")
    rules = read_cached(job.storage, job.rules, ShardRules)
    with scratch() as folder, _one_thread:
        gold = folder / "gold.jsonl"
        bring(job.storage, job.gold, gold)
        made = {
            part.name: make_shard(ShardJob(part, gold, rules, folder, job.placed[part.name]))
            for part in gold_ranges(gold, job.bits)
        }
        for name in (name for shard in made.values() for name in shard.files):
            job.storage.put(folder / name, f"{job.folder}/{name}")
    job.storage.write_json(listed, made)
    return made, False


def _gold_here(merged: MergeRecord, folder: Path, plan: CorpusPlan) -> Path:
    """Path of gold.jsonl, read for reserved datasets and contained texts. RAISES (UserError): If it is needed and not
    here.
    """
    gold = folder / "gold.jsonl"
    if gold.name in merged.outputs:
        return gold_as_merged(folder)[1]
    if plan.dev_datasets or plan.test_datasets:
        raise UserError(
            "[split] dev_datasets and test_datasets: their texts are looked up in the gold, which stays on the "
            "storage; set [engine] fetch = true, or leave both empty"
        )
    return gold


def _jobs(
    storage: Storage, gold: Sequence[StoredFile], place: str, placements: Placements | None
) -> Iterator[CorpusJob]:
    """Divide the gold. The numbers of its shards and of the corpus's, all ranges of hashes, are powers of 2."""
    hashes = ALL.split(len(gold))
    bits = hash_bits(sum(shard.bytes for shard in gold))
    together = max(1, len(gold) >> bits)
    for start in range(0, len(gold), together):
        own = list(gold[start : start + together])
        shards = shards_within(hashes[start].start, hashes[start + len(own) - 1].stop, bits)
        placed = {name: placed_within(placements, own_hashes) for name, own_hashes in shards.items()}
        depends = [str(bits), *(shard.sha256 for shard in own), *map(digest_of_placed, placed.values())]
        digest = hashlib.sha256(" ".join(depends).encode()).hexdigest()[:32]
        yield CorpusJob(storage, own, bits, f"{place}/rules.json", f"{place}/{digest}", spacy.__version__, placed)


def _fetch(storage: Storage, corpus: Corpus, folders: Mapping[str, str], folder: Path, work: Path) -> None:
    """Copy missing files to this machine. RAISES (UserError): If one has changed on the storage."""
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
