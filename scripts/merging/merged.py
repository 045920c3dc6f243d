"""corpus/merge.json: inputs, rules, outputs and account of a merge."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.core.files import Count, demand_sum, has_digest, read_json, restrict
from scripts.core.manifest import Manifest, demand_same_datasets
from scripts.core.settings import DatasetOptions, MergeSection, Repeats
from scripts.merging.decide import Policy
from scripts.merging.rules import MergeRules, all_corrected

NAME = "merge.json"
ContainedRule = Literal["auto", "keep"]  # for answers about contained texts: see `moved`
_decode = msgspec.json.Decoder(GoldText).decode


class MergeRecord(msgspec.Struct, kw_only=True):
    """corpus/merge.json.

    policy (str): How disagreements between annotators were decided.
    corrects (dict[str, list[str]]): By dataset: those that it corrects, see `DatasetOptions`.
    repeats (dict[str, Repeats]): By dataset, where the config sets it: see `DatasetOptions`.
    passes (list[str]): Datasets that were made in passes, by their answers or by `repeats`.
    contained (str): Whether answers about contained texts move to their containers.
    moved (dict[str, dict[str, int]]): By dataset that is made of contained texts: its "texts", those of them that are
        "sentences" of others, and its answers that were "moved"; by any other dataset, those "moved" with them.
    code (str): Digest of the modules that merged.
    manifest (str): Digest of the manifest.
    inputs (dict[str, str]): Digests of the datasets' files, by dataset.
    outputs (dict[str, str]): Digests of the files beside it.
    repeated (dict[str, dict[str, int]]): By dataset: texts with several complete answers, see `Account.repeats`.
    labels (list[str]): All labels of the datasets, sorted.
    totals (dict[str, int]): Texts, spans of the gold, conflicts by kind, contained texts, duplicates.
    answers (dict[str, dict[str, int]]): By dataset: "read" and its outcomes, see `account`.
    spans (dict[str, dict[str, dict[str, int]]]): By dataset and label: "read" and its outcomes.
    coverage (dict[str, dict[str, int]]): By label: texts by state, and spans of the gold.
    """

    policy: Policy
    contained: ContainedRule
    code: str
    manifest: str
    inputs: dict[str, str]
    outputs: dict[str, str] = {}
    corrects: dict[str, list[str]] = {}
    repeats: dict[str, Repeats] = {}
    passes: list[str] = []
    moved: dict[str, dict[str, Count]] = {}
    repeated: dict[str, dict[str, Count]] = {}
    labels: list[str] = []
    totals: dict[str, Count] = {}
    answers: dict[str, dict[str, Count]] = {}
    spans: dict[str, dict[str, dict[str, Count]]] = {}
    coverage: dict[str, dict[str, Count]] = {}

    def __post_init__(self) -> None:
        """RAISES (ValueError): If the counts do not add up."""
        of_labels = (counts for by_label in self.spans.values() for counts in by_label.values())
        for counts in (*self.answers.values(), *of_labels):
            demand_sum(counts, "read")
        for counts in self.coverage.values():
            demand_sum(counts, "texts", ("covered", "partly_covered", "unresolved", "not_covered"))

    def validate(self, path: Path) -> Path:
        """Return the path of an output once its bytes are those that were merged; none is there if none was made.

        RAISES (UserError): If it is missing, has changed or is of another merge.
        """
        digest = self.outputs.get(path.name)
        if path.exists() if digest is None else not has_digest(path, digest):
            raise UserError(f"{path}: is not as it was merged; merge again: weasel run merge")
        return path

    def other_rules(self, rules: MergeSection, options: Mapping[str, DatasetOptions]) -> list[str]:
        """Keys of a config that were others at the merge.

        RAISES (UserError): If other datasets were merged.
        """
        demand_same_datasets(options, self.inputs, "gold.jsonl: merged", "weasel run data makes all anew")
        keys: dict[str, tuple[Any, Any]] = {"[merge] between_annotators": (rules.between_annotators, self.policy)}
        keys["[merge] contained"] = rules.contained, self.contained
        for name, each in options.items():
            keys[f"[datasets.{name}] corrects"] = each.corrects, self.corrects.get(name, [])
            keys[f"[datasets.{name}] repeats"] = each.repeats, self.repeats.get(name, "auto")
        return [key for key, (now, then) in keys.items() if now != then]

    def rules(self, manifest: Manifest) -> MergeRules:
        """The rules that do not lie in the answers. Manifest is that of the answers."""
        passes = {
            name: frozenset([*entry.labels, *entry.other_labels])
            for name, entry in manifest.datasets.items()
            if name in self.passes
        }
        replaced = (name for name, repeats in self.repeats.items() if repeats == "replace")
        return MergeRules(self.policy, all_corrected(self.corrects), passes, frozenset(replaced))


def load(corpus: Path) -> MergeRecord:
    """Read merge.json, and let what is made of the gold be as private as it is.

    RAISES (UserError): If it is missing, or damaged.
    """
    restrict(corpus / NAME)
    make = "merge the annotations first: weasel run merge"
    return read_json(corpus / NAME, MergeRecord, make, "merge again: weasel run merge")


def gold_as_merged(corpus: Path) -> tuple[MergeRecord, Path]:
    """Load merge.json and check gold.jsonl against it. RAISES (UserError): If either is missing, or has changed."""
    merged = load(corpus)
    gold = corpus / "gold.jsonl"
    if gold.name not in merged.outputs:
        raise UserError(f"{gold}: stayed on the storage, in shards; bring it: [engine] fetch = true, weasel run merge")
    return merged, merged.validate(gold)


def annotated_labels(merged: MergeRecord) -> list[str]:
    """Labels that are covered, partly covered or unresolved in some text, sorted."""
    return [label for label, counts in merged.coverage.items() if counts["not_covered"] < counts["texts"]]


def read_gold(path: Path, start: int = 0, size: int = -1) -> Iterator[GoldText]:
    """Stream gold.jsonl, or a range of its bytes, which must be whole lines."""
    with path.open("rb") as lines:
        lines.seek(start)
        while size and (line := lines.readline()):
            size -= len(line)
            yield _decode(line)
