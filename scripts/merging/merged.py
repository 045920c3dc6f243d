"""corpus/merge.json: what was merged, by which rules, and where everything went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.files import read_json, sha256
from scripts.merging.decide import Parts, Policy

NAME = "merge.json"
_decode = msgspec.json.Decoder(GoldText).decode


class Merged(msgspec.Struct, kw_only=True):
    """corpus/merge.json: what was merged, by which rules, and where everything went.

    policy (str): How disagreements between annotators were decided.
    parts (str): What became of answers about texts that are parts of others.
    code (str): Digest of the modules that merged.
    manifest (str): Digest of all that is known of the datasets.
    inputs (dict[str, str]): The datasets and the digests of their files.
    outputs (dict[str, str]): The digests of the files beside it.
    labels (list[str]): All that were annotated, sorted.
    totals (dict[str, int]): Texts, spans in the gold, conflicts by kind, texts that resemble others, answers moved.
    answers (dict[str, dict[str, int]]): By dataset: read, and the fates that make it up, see `account`.
    spans (dict[str, dict[str, dict[str, int]]]): By dataset and label: the same for spans.
    coverage (dict[str, dict[str, int]]): By label: texts by what is known of it, and spans in the gold.
    """

    policy: Policy
    parts: Parts
    code: str
    manifest: str
    inputs: dict[str, str]
    outputs: dict[str, str] = {}
    labels: list[str] = []
    totals: dict[str, int] = {}
    answers: dict[str, dict[str, int]] = {}
    spans: dict[str, dict[str, dict[str, int]]] = {}
    coverage: dict[str, dict[str, int]] = {}


def load(corpus: Path) -> Merged:
    """Read merge.json. RAISES (UserError): If it is not there, or damaged."""
    return read_json(corpus / NAME, Merged, "merge the annotations first", "merge again")


def is_as_merged(merged: Merged, corpus: Path) -> bool:
    """Whether all that was made is still there. RAISES (OSError): If a file is not there, or cannot be read."""
    return all(sha256(corpus / name) == digest for name, digest in merged.outputs.items())


def gold_as_merged(corpus: Path) -> tuple[Merged, Path]:
    """What was merged, and gold.jsonl. RAISES (UserError): If the one is not there, or the other is another."""
    merged = load(corpus)
    gold = corpus / "gold.jsonl"
    if gold.name not in merged.outputs:
        raise UserError(f"{gold}: stayed on the storage, in shards; bring it: [engine] fetch = true, weasel run merge")
    if not gold.exists() or sha256(gold) != merged.outputs[gold.name]:
        raise UserError(f"{gold}: is not as it was merged; merge again")
    return merged, gold


def known_labels(merged: Merged) -> list[str]:
    """The labels of which something is known in some text, sorted."""
    return [label for label, counts in merged.coverage.items() if counts["not_covered"] < counts["texts"]]


def read_gold(path: Path, start: int = 0, size: int = -1) -> Iterator[GoldText]:
    """Stream gold.jsonl, or a range of its bytes, which must be whole lines."""
    with path.open("rb") as lines:
        lines.seek(start)
        while size and (line := lines.readline()):
            size -= len(line)
            yield _decode(line)
