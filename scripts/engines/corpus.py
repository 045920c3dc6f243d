"""`corpus` on a cluster: workers make the shards of Docs from the shards of the gold on the storage."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import spacy

from scripts.building.corpus import CorpusPlan, account_for, commit, demand_aligned, has_digest, shard_rules
from scripts.building.documents import tokenizer
from scripts.building.shards import make_shard
from scripts.building.splits import Corpus, CorpusShard, ShardJob, ShardRules, StoredShards, gold_ranges, hash_bits
from scripts.core.errors import UserError
from scripts.core.files import exclusive, sha256, work_folder
from scripts.engines.cluster import connected, in_order
from scripts.engines.engine import Dask
from scripts.engines.merge import bring, merged_shards
from scripts.engines.pull import StoredFile
from scripts.engines.storage import Storage, read_cached, scratch
from scripts.merging.merged import annotated_labels, gold_as_merged

LEAST_MB = 512  # Python with Dask and spaCy takes 120 of it, and 300 where there is PyTorch too
_FOLDER = "docbins"
_one_thread = Lock()  # a vocabulary is for one thread at a time


class CorpusJob(NamedTuple):
    """The work of making one shard of the corpus, or all shards that lie within one shard of the gold.

    rules (str): Name of the file that has the `ShardRules`.
    folder (str): For the results, on the storage.
    spacy (str): The version that all workers must have.
    """

    storage: Storage
    gold: list[StoredFile]
    bits: int
    rules: str
    folder: str
    spacy: str


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
        rules, made_by = shard_rules(plan, labels, _gold_here(engine, folder, plan))
        place = f"{_FOLDER}/{made_by[:32]}"
        jobs = list(_jobs(storage, gold, place))
        with connected(engine) as client:
            storage.write_json(f"{place}/rules.json", rules)
            made = in_order(client, make_shards, jobs, "Tokenizing")
        all_shards = {name: shard for shards, _ in made for name, shard in shards.items()}
        corpus = account_for(all_shards, plan, labels, made_by)
        demand_aligned(corpus, plan, max_misaligned)
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
        made = {one.name: make_shard(ShardJob(one, gold, rules, folder)) for one in gold_ranges(gold, job.bits)}
        for name in (name for shard in made.values() for name in shard.files):
            job.storage.put(folder / name, f"{job.folder}/{name}")
    job.storage.write_json(listed, made)
    return made, False


def _gold_here(engine: Dask, folder: Path, plan: CorpusPlan) -> Path:
    """Path of gold.jsonl, read for reserved datasets alone. RAISES (UserError): If it is needed and not here."""
    if plan.dev_datasets or plan.test_datasets:
        if not engine.fetch:
            raise UserError(
                "[split] dev_datasets and test_datasets: their texts are looked up in the gold, which stays on the "
                "storage; set [engine] fetch = true, or leave both empty"
            )
        return gold_as_merged(folder)[1]
    return folder / "gold.jsonl"


def _jobs(storage: Storage, gold: Sequence[StoredFile], place: str) -> Iterator[CorpusJob]:
    """Divide the gold. The numbers of its shards and of the corpus's, all ranges of hashes, are powers of 2."""
    bits = hash_bits(sum(shard.bytes for shard in gold))
    together = max(1, len(gold) >> bits)
    for start in range(0, len(gold), together):
        own = list(gold[start : start + together])
        digest = hashlib.sha256(" ".join([str(bits), *(shard.sha256 for shard in own)]).encode()).hexdigest()[:32]
        yield CorpusJob(storage, own, bits, f"{place}/rules.json", f"{place}/{digest}", spacy.__version__)


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
