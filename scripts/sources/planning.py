"""The plan of an import: the blocks with what is proposed for them, the new config, and what there is to say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from scripts.core import settings
from scripts.core.errors import UserError
from scripts.core.settings import PullSection, Settings
from scripts.sources.blocks import (
    DatasetBlock,
    Proposal,
    add_blocks,
    block_names,
    read_config,
    remove_blocks,
    set_split,
)
from scripts.sources.existing import compare_blocks, mark_origins
from scripts.sources.files import PUBLISHED_SPLITS
from scripts.sources.importing import FoundDataset, make_blocks
from scripts.sources.proposals import in_config, propose, said_of_language, said_of_repeats
from scripts.sources.separate import said_of_separate

Write = Literal["add", "replace", "nothing"]
_LANG = re.compile(r'^\s*lang\s*=\s*"(\w+)"', re.MULTILINE)


class ImportPlan(NamedTuple):
    """What an import does.

    blocks (list[DatasetBlock]): Of all labels that were found. Those that are new are added; with a doubt, as comments.
    config (str): The new content of the config.
    others (list[str]): The names of the other blocks, which stay.
    said (list[str]): What to look at, a sentence each.
    """

    blocks: list[DatasetBlock]
    config: str
    others: list[str]
    said: list[str]


def plan_import(found: Sequence[FoundDataset], config: Path, write: Write, prefix: str = "") -> ImportPlan:
    """Plan what is written into a config for datasets.

    write (str): "add" the blocks that are missing to those that are there, "replace" these, or write "nothing".
    prefix (str): Begins the names of the blocks, instead of the name of the dataset.
    RAISES (UserError): If the config has blocks and cannot be read.
    """
    before = read_config(config)
    kept = remove_blocks(before) if write == "replace" else before
    names = block_names(kept)
    current = _load(config)
    staying = current if names else None
    blocks = make_blocks(found, prefix)
    if write == "add":
        if current is None and {block.name for block in blocks} & {*names}:
            settings.load(config)  # raises
        blocks = compare_blocks(blocks, staying, bool(prefix))
    blocks = propose(found, blocks, mark_origins(in_config(staying), found, staying))
    blocks = [replace(block, state="same") if _is_comment_of(block, kept) else block for block in blocks]
    new = [block for block in blocks if block.state == "new"]
    splits = _published_splits(found, blocks)
    others = [name for name in names if name not in {block.name for block in blocks}]
    content = add_blocks(set_split(kept, splits) if splits else kept, new) if new else kept
    said = [
        *(f"{dataset.name}: {finding}{_what_to_do(finding)}" for dataset in found for finding in dataset.findings),
        *_said_of_datasets(found, (current.pull if current else PullSection()).max_skipped),
        *_said_of_labels(found, blocks),
        *_said_of_blocks(new),
        *_said_of_splits(splits),
        *_said_of_existing(blocks),
        said_of_language(found, _languages(config.parent)),
    ]
    return ImportPlan(blocks, content, others, list(dict.fromkeys(filter(None, said))))


def _is_comment_of(block: DatasetBlock, config: str) -> bool:
    """Whether a block that is to be a comment is one already."""
    return bool(block.doubt) and f"# [datasets.{block.name}]" in config.splitlines()


def _load(config: Path) -> Settings | None:
    try:
        return settings.load(config)
    except UserError:  # whoever writes it says so
        return None


def _languages(folder: Path) -> dict[str, str]:
    """Return the languages of the training configs in a folder, by file name."""
    found = {path.name: _LANG.search(path.read_text("utf8", "replace")) for path in sorted(folder.glob("ner*.cfg"))}
    return {name: match[1] for name, match in found.items() if match}


def _published_splits(found: Iterable[FoundDataset], blocks: Iterable[DatasetBlock]) -> dict[str, list[str]]:
    """Return the names of the blocks of published dev and test splits, by the key of `[split]` that takes them."""
    of_blocks = [dataset.split for dataset in found for _ in dataset.labels]
    names: dict[str, list[str]] = {}
    for split, block in zip(of_blocks, blocks, strict=True):
        if split in ("dev", "test") and block.is_written:
            names.setdefault(f"{split}_datasets", []).append(block.name)
    return names


def _what_to_do(finding: str) -> str:
    is_about_splits = finding.startswith(PUBLISHED_SPLITS)
    return "; to keep them, import each by its own path, and [split] will name it" if is_about_splits else ""


def _said_of_datasets(found: Iterable[FoundDataset], max_skipped: float) -> Iterator[str]:
    for dataset in found:
        if repeats := said_of_repeats(dataset):
            yield f"{dataset.name}: {repeats}"
        for unit, counts in (("records", dataset.intake.records), ("spans", dataset.intake.spans)):
            if counts["skipped"] > max_skipped * counts["read"]:
                yield (
                    f"{dataset.name}: {counts['skipped']:,} of {counts['read']:,} {unit} cannot be used: pull will "
                    f"stop, since [pull] max_skipped = {max_skipped:g}"
                )
                break


def _said_of_labels(found: Iterable[FoundDataset], blocks: Iterable[DatasetBlock]) -> Iterator[str]:
    """Say which labels have no block, and which never stand in one text."""
    in_order = iter(blocks)
    for dataset in found:
        for label, reasons in dataset.lost.items():
            why = ", ".join(f"{number:,} × {what}" for what, number in reasons.most_common())
            yield f"{dataset.name}: {label} has no block: {why or 'none of its spans is taken'}"
        written = [label for label, block in zip(dataset.labels, in_order, strict=False) if not block.doubt]
        if separate := said_of_separate(dataset.evidence, written, dataset.files):
            yield f"{dataset.name}: {separate}"


def _said_of_blocks(blocks: Iterable[DatasetBlock]) -> Iterator[str]:
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for block in blocks:
        if block.doubt:
            yield f"{block.name} is a comment: {block.doubt}"
            continue
        for one in block.proposals:
            groups.setdefault((one.key, _how(one), one.evidence), []).append((block.name, str(one)))
    for (_, how, evidence), found in groups.items():
        name, proposal = found[0]
        more = f" (and so for {len(found) - 1} more of its labels)" if len(found) > 1 else ""
        yield f"{name}: {proposal} {how}{more}: {evidence}"


def _said_of_existing(blocks: Iterable[DatasetBlock]) -> Iterator[str]:
    for block in blocks:
        if block.state == "differs":
            yield f"{block.name} is there and stays as it is: {block.difference}"


def _how(proposal: Proposal) -> str:
    return "is written" if proposal.is_active else "is proposed, as a comment"


def _said_of_splits(splits: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for key, names in splits.items():
        split = key.partition("_")[0]
        some = f"{names[0]} to {names[-1]}" if len(names) > 1 else names[0]
        yield (
            f"[split] {key} has {some}, by the names of their files; set [split] {split} = 0 if no other texts are "
            f"to be {split} texts"
        )
