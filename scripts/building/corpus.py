"""The corpus that is trained on: gold texts split, tokenized and written in shards."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from scripts.building import splits
from scripts.building.plan import CorpusPlan, ShardJob, ShardRules
from scripts.building.splits import (
    SPLITS,
    Corpus,
    CorpusShard,
    Placed,
    Splitter,
    digest_of_placed,
)  # fmt: skip
from scripts.core.errors import UserError, committing
from scripts.core.files import (
    UNREADABLE,
    code_digest,
    exclusive,
    has_digest,
    put,
    remove,
    remove_state,
    work_folder,
    write_json,
)
from scripts.core.workers import Workers, spread
from scripts.merging.buckets import ALL
from scripts.merging.merged import MergeRecord, annotated_labels, gold_as_merged, load, read_gold

if TYPE_CHECKING:
    from scripts.building.containers import Placements

_SCRIPTS = Path(__file__).parent.parent
_LABELS_NAMED = 5
_KEYS_NAMED = 8
_LISTS = ("contained.jsonl", "duplicates.jsonl")  # beside the gold
_MOST_BEFORE_WORKERS = 32  # shards, some 4 MB of gold
_CODE = (_SCRIPTS / "building", _SCRIPTS / "core", _SCRIPTS / "functions.py")


def build(folder: Path, plan: CorpusPlan, processes: int, max_misaligned: float = 1.0) -> tuple[Corpus, int]:
    """Make `{train,dev,test}/*.spacy`, `misaligned/*.jsonl`, labels.json and split.json of a folder's gold.jsonl, once
    all shards are made. Shards whose gold, rules and files have not changed are kept.

    max_misaligned (float): See `demand_aligned`.
    RETURNS (tuple[Corpus, int]): The account, and the number of shards that were kept.
    RAISES (UserError): If the gold is missing or not as it was merged, the train or dev split is empty, no label has
        an entity in train, the [nlp] block is invalid, or too many spans are not on token boundaries. The previous
        corpus stays as it is.
    """
    with exclusive(folder):
        merged, gold = gold_as_merged(folder)
        labels = annotated_labels(merged)
        rules, made_by = shard_rules(plan, labels, gold)
        if previous := _previous(folder, made_by, merged):
            demand_aligned(previous, plan, max_misaligned)
            return previous, len(previous.shards)
        bits = splits.hash_bits(gold.stat().st_size)
        ranges = list(splits.gold_ranges(gold, bits))
        placements = placements_of(gold, rules.splitter, processes)
        placed = {name: placed_within(placements, hashes) for name, hashes in splits.shards_within(*ALL, bits).items()}
        kept = _unchanged_shards(folder, made_by, ranges, placed)
        with work_folder(folder) as work:
            jobs = [ShardJob(part, gold, rules, work, placed[part.name]) for part in ranges if part.name not in kept]
            shards = kept | _make_shards(jobs, processes)
            corpus = account_for(shards, plan, labels, made_by, placements)
            demand_documents(corpus, plan.document, gold)
            demand_aligned(corpus, plan, max_misaligned)
            corpus.made_of = made_of(merged)
            commit(corpus, labels, work, folder)
    return corpus, len(kept)


def _previous(folder: Path, made_by: str, merged: MergeRecord) -> Corpus | None:
    """The previous corpus if it is intact and was made by the same rules of the same files. These are not read but for
    their digests, since that takes NumPy, and longer than all else of a step with nothing to do.

    RAISES (UserError): See `placements_of`.
    """
    try:
        found = splits.read_corpus(folder / splits.NAME)
    except UserError:
        return None
    if (found.made_by, found.made_of) != (made_by, made_of(merged)):
        return None
    for name in _LISTS:
        merged.validate(folder / name)
    return found


def made_of(merged: MergeRecord) -> dict[str, str]:
    """Digests of the files of a merge that a corpus is made of, see `Corpus`."""
    return {name: merged.outputs[name] for name in ("gold.jsonl", *_LISTS) if name in merged.outputs}


def _make_shards(jobs: Sequence[ShardJob], processes: int) -> dict[str, CorpusShard]:
    if not jobs:
        return {}
    from scripts.building.shards import make_shard, pipeline  # spaCy takes a second, and often nothing has changed

    pipeline(msgspec.json.encode(jobs[0].rules.nlp))  # before the fork, so that each process need not make it
    # spaCy takes ten times as long for a word that it meets for the first time: the workers share those met here.
    first = min(_MOST_BEFORE_WORKERS, len(jobs) // (4 * processes)) if processes > 1 else 0
    made = chain(map(make_shard, jobs[:first]), spread(make_shard, jobs[first:], processes, "Tokenizing"))
    return {job.range.name: shard for job, shard in zip(jobs, made, strict=True)}


def shard_rules(plan: CorpusPlan, labels: list[str], gold: Path) -> tuple[ShardRules, str]:
    """The rules by which all shards are made, and the digest of all that a shard depends on but its gold."""
    rules = ShardRules(plan.nlp, frozenset(labels), plan.misaligned, splitter(plan, gold))
    keys = [[key.hex() for key in sorted(keys)] for keys in (rules.splitter.reserved_dev, rules.splitter.reserved_test)]
    return rules, _digest([sorted(labels), plan, keys, code_digest(*_CODE), version("spacy")])


def whole_splitter(plan: CorpusPlan, gold: Path) -> Splitter:
    """The splitter of a plan that knows the splits of contained texts too."""
    own = splitter(plan, gold)
    return msgspec.structs.replace(own, placed=placed_within(placements_of(gold, own, 1)))


def placements_of(gold: Path, splitter: Splitter, processes: int) -> Placements | None:
    """The texts that are not in the split of their hash, see `place_texts`.

    RAISES (UserError): If the lists of contained texts and of duplicates are not as they were merged.
    """
    from scripts.building.containers import place_texts  # NumPy takes longer than a corpus that has not changed

    merged = load(gold.parent)
    for name in _LISTS:
        merged.validate(gold.with_name(name))
    with Workers(processes) as workers:
        return place_texts(gold, splitter, workers)


def placed_within(placements: Placements | None, hashes: tuple[int, int] = ALL) -> Placed:
    """The splits of texts with hashes from one to before another, by wording. See `Placements`."""
    return placements.within(*hashes) if placements else {}


def splitter(plan: CorpusPlan, gold: Path) -> Splitter:
    """The splitter of a plan, without contained texts. The gold is read only if datasets are evaluation data."""
    dev, test = (
        splits.reserved(read_gold(gold), datasets, plan.document) if datasets else frozenset[bytes]()
        for datasets in (plan.dev_datasets, plan.test_datasets)
    )
    return Splitter(plan.dev, plan.test, plan.document, dev, test)


def _digest(data: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()


def _unchanged_shards(
    folder: Path, made_by: str, ranges: Sequence[splits.GoldRange], placed: Mapping[str, Placed]
) -> dict[str, CorpusShard]:
    """The shards of the previous build with the same rules, gold, placed texts and files."""
    try:
        previous = msgspec.json.decode((folder / splits.NAME).read_bytes(), type=Corpus)
    except UNREADABLE:
        return {}
    return {
        part.name: shard
        for part in ranges
        if previous.made_by == made_by
        and (shard := previous.shards.get(part.name))
        and (shard.gold, shard.placed) == (part.sha256, digest_of_placed(placed[part.name]))
        and all(has_digest(folder / name, digest) for name, digest in shard.files.items())
    }


def account_for(
    shards: Mapping[str, CorpusShard], plan: CorpusPlan, labels: list[str], made_by: str, placements: Placements | None
) -> Corpus:
    """The account of a corpus of these shards. RAISES (UserError): If nothing can be trained on it."""
    shards = dict(sorted(shards.items()))
    digest = _digest([[shard.gold + shard.placed for shard in shards.values()], labels, plan])
    corpus = Corpus(
        digest=digest,
        texts={split: sum(shard.texts.get(split, 0) for shard in shards.values()) for split in SPLITS},
        tokens={split: sum(shard.tokens.get(split, 0) for shard in shards.values()) for split in SPLITS},
        spans=_by_label([shard.spans for shard in shards.values()], labels),
        covered=_by_label([shard.covered for shard in shards.values()], labels),
        read=_sum(shard.read for shard in shards.values()),
        rejected=sum(shard.rejected for shard in shards.values()),
        outcomes=_sum(counts for shard in shards.values() for counts in shard.outcomes.values()),
        outcomes_by_label={
            label: _sum(shard.outcomes.get(label, {}) for shard in shards.values())
            for label in sorted({label for shard in shards.values() for label in shard.outcomes})
        },
        too_long=sum(shard.too_long for shard in shards.values()),
        no_split=sum(shard.no_split for shard in shards.values()),
        without_document=sum(shard.without_document for shard in shards.values()),
        placed=placements.counts if placements else None,
        split=plan.split(),
        nlp=splits.tokenizing(plan.nlp),
        made_by=made_by,
        shards=shards,
    )
    _demand_learnable(corpus, plan)
    return corpus


def _demand_learnable(corpus: Corpus, plan: CorpusPlan) -> None:
    """RAISES (UserError): If the train or dev split is empty, or no label has an entity in train."""
    for split in ("train", "dev"):
        if not corpus.texts[split]:
            counts = ", ".join(f"{count} {name}" for name, count in corpus.texts.items())
            key = json.dumps(plan.document, ensure_ascii=False)
            whole = f", or its document = {key}, which keeps the texts of one together" if plan.document else ""
            raise UserError(
                f"no text is left for {split} ({counts}): annotate more, or change the shares of [split] "
                f"(dev = {plan.dev}, test = {plan.test}) or its dev_datasets and test_datasets{whole}"
            )
    if not any(counts["train"] for counts in corpus.spans.values()):
        read = ", ".join(f"{count:,} {kind}" for kind, count in corpus.read.items())
        raise UserError(
            f"no label has an entity in the {corpus.texts['train']:,} texts of train, so nothing can be learned (gold: "
            f"{read}): accept answers with entities; weasel run merge shows what became of each"
        )


def demand_documents(corpus: Corpus, document: str, gold: Path) -> None:
    """Check that texts name their documents, if these are to be kept together: else each would go its own way.

    gold (Path): If it is on this machine, the error names the keys that there are.
    RAISES (UserError): If no text has the key in its meta.
    """
    texts = corpus.all_texts()
    if not document or corpus.without_document < texts:
        return
    counts = Counter(key for text in read_gold(gold) for key in text.meta) if gold.exists() else Counter[str]()
    keys = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    there = ", ".join(f"{key} ({count:,})" for key, count in keys[:_KEYS_NAMED])
    raise UserError(
        f"[split] document = {json.dumps(document, ensure_ascii=False)}: none of {texts:,} texts has that key in its "
        f'meta; {f"keys there are: {there}" if there else "no key is known"}. Set one that names documents, or ""'
    )


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))


def demand_aligned(corpus: Corpus, plan: CorpusPlan, limit: float) -> None:
    """Check that the tokenizer can represent the spans.

    A few are always off: "Main" in "Main/Elm". Where one in ten is, the texts are of another language than the
    tokenizer, or the offsets are wrong, and neither training nor scores would mean much.

    limit (float): Share of the spans that may be off the token boundaries, those of skipped texts apart.
    RAISES (UserError): If there are more. It has counts by label, and no text.
    """
    total, off = misaligned(corpus.outcomes)
    if off <= limit * total:
        return
    by_label = {label: misaligned(counts) for label, counts in corpus.outcomes_by_label.items()}
    most = sorted((pair for pair in by_label.items() if pair[1].off), key=lambda pair: (-pair[1].off, pair[0]))
    named = ", ".join(f"{label} {counts.off:,} of {counts.total:,}" for label, counts in most[:_LABELS_NAMED])
    more = f" and {len(most) - _LABELS_NAMED} more labels" if len(most) > _LABELS_NAMED else ""
    raise UserError(
        f"{off:,} of {total:,} spans ({off / total:.1%}) are not on token boundaries ({named}{more}), more than [docs] "
        f"max_misaligned = {limit:g}. {_pinned_tokenizer(plan.nlp)}"
        "If the texts are not in the language of the tokenizer, set [nlp] lang in the "
        f'training config (it is "{plan.nlp.get("lang")}"; "zh" and "ja" need no whitespace, "xx" is for any language '
        "that has it); if the offsets are wrong, mend them in the datasets; if both are right, raise max_misaligned"
    )


def _pinned_tokenizer(nlp: Mapping[str, Any]) -> str:
    """Say that a config sets another tokenizer than that of its language, if it does."""
    if not nlp.get("tokenizer"):
        return ""
    usual = splits.usual_tokenizer(nlp)["@tokenizers"]
    pinned = nlp["tokenizer"].get("@tokenizers")
    return "" if pinned == usual else f"[nlp] tokenizer is {pinned}; without that line it is {usual}. "


class MisalignedCount(NamedTuple):
    """Spans of texts that were not skipped, and those of them that are not on token boundaries."""

    total: int
    off: int


def misaligned(outcomes: Mapping[str, int]) -> MisalignedCount:
    """Count the spans that are not on token boundaries. See `Corpus` for the outcomes."""
    off = sum(outcomes.get(outcome, 0) for outcome in ("snapped", "skipped", "overlapping"))
    return MisalignedCount(off + outcomes.get("exact", 0), off)


def _by_label(shards: Sequence[Mapping[Any, Mapping[str, int]]], labels: list[str]) -> dict[str, dict[Any, int]]:
    """Sums over shards, label before split."""
    return {
        label: {split: sum(shard.get(split, {}).get(label, 0) for shard in shards) for split in SPLITS}
        for label in labels
    }


def commit(
    corpus: Corpus, labels: list[str], work: Path, folder: Path, stored: splits.StoredShards | None = None
) -> None:
    """Put the shards in place, with labels.json, and remove those of the previous build. split.json, which has all
    digests, goes first and comes last. If nothing was made and nothing changes, nothing is written.

    work (Path): A folder on the disk of `folder` that has the files of new shards.
    stored (StoredShards | None): Where the shards are if they stay elsewhere; then none are kept here.
    """
    wanted = set() if stored else {name for shard in corpus.shards.values() for name in shard.files}
    made = [name for name in sorted(wanted) if (work / name).exists()]
    if not made and not stored and _is_in_place(corpus, folder):
        return
    with committing():
        remove_state(folder / splits.NAME)
        if stored:
            write_json(folder / splits.STORED, stored)
        for name in made:
            (folder / name).parent.mkdir(exist_ok=True)
            put(work / name, folder / name)
        others = (path for place in (*SPLITS, "misaligned") for path in folder.glob(f"{place}/*"))
        for path in list(others):
            if f"{path.parent.name}/{path.name}" not in wanted and not path.is_dir():
                remove(path)
        if not stored and (folder / splits.STORED).exists():
            remove(folder / splits.STORED)
        splits.write_account(folder, labels, corpus)


def _is_in_place(corpus: Corpus, folder: Path) -> bool:
    """Whether the folder holds this corpus, and all its files."""
    try:
        found = splits.read_corpus(folder / splits.NAME)
    except UserError:
        return False
    return msgspec.structs.replace(found, files={}) == corpus
