"""Labels and annotators that a `[datasets.*]` block asks for, compared with those that there are, and with those that
other blocks take from the same place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

from scripts.core.errors import UserError
from scripts.core.manifest import Entry
from scripts.core.settings import DatasetOptions
from scripts.sources.blocks import as_value
from scripts.sources.similar import misspelled, same_names, synonyms
from scripts.sources.source import Source

_MAX_NAMES = 5  # in a message
_HOW = frozenset({"labels", "kind", "annotator", "offsets", "without_spans"})  # fields that do not tell which answers


def check_names(
    sources: Mapping[str, Source], options: Mapping[str, DatasetOptions], entries: Mapping[str, Entry]
) -> None:
    """RAISES (UserError): If a label or an annotator that is asked for never occurs while a similar one does, probably
    another spelling of the same. A label that is renamed to itself is meant as it is.
    """
    known = _known(sources, entries)
    for name, entry in sorted(entries.items()):
        if entry.records["read"]:
            _check_annotators(name, options[name], entry)
            _check_labels(name, sources[name].labels, options[name], entry, known)


def name_warnings(sources: Mapping[str, Source], entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yield a line for what never occurs in a dataset, and for labels of which another spelling is not taken."""
    known = _known(sources, entries)
    for name, entry in sorted(entries.items()):
        if not entry.records["read"]:
            continue
        if entry.missing_annotators:
            yield f"{name}: no answer of {', '.join(entry.missing_annotators)}"
        if entry.missing_labels:
            there = (
                f"; spans of labels that are not taken: {_counted(entry.other_labels)}" if entry.other_labels else ""
            )
            yield f"{name}: no answer has a span of {', '.join(entry.missing_labels)}{there}"
        for label in sorted({*sources[name].labels} - {*entry.missing_labels}):
            if alike := [other for other in same_names(label, entry.other_labels) if other not in known]:
                spans = _counted({other: entry.other_labels[other] for other in alike})
                yield f"{name}: {label} is taken, but not {spans}; labels and rename make them one"


def untaken_labels(sources: Mapping[str, Source], entries: Mapping[str, Entry]) -> dict[str, int]:
    """Return the numbers of spans whose label no block takes, by label and dataset: `AMOUNT (money)`; of several blocks
    that read one place, under the first. It may be meant so; after a label was renamed in the annotation tool, its
    texts would count as those without an entity.
    """
    known = _known(sources, entries)
    found: dict[str, int] = {}
    firsts: dict[str, str] = {}
    for name, entry in entries.items():
        if entry.missing_labels:  # a warning names them
            continue
        first = firsts.setdefault(str(_place(sources[name]) or name), name)
        for label, number in entry.other_labels.items():
            if label not in known and not any(same_names(taken, [label]) for taken in sources[name].labels):
                key = f"{label} ({first})"
                found[key] = max(found.get(key, 0), number)
    return found


def read_twice(sources: Mapping[str, Source], options: Mapping[str, DatasetOptions]) -> Iterator[str]:
    """Yield a line for two blocks that take the same labels of the same annotators from the same place, as when one was
    copied: the merge would take them for two annotators; or labels of there that become one, which belong in one block.
    A block for each label, other names of labels, and one that corrects the other are as they should be.
    """
    for (name, source), (other, other_source) in combinations(sources.items(), 2):
        own, others = options[name], options[other]
        taken = {*own.annotators}
        if taken and others.annotators and taken.isdisjoint(others.annotators):
            continue
        if other in own.corrects or name in others.corrects:
            continue
        if not (place := _place(source)) or place != _place(other_source):
            continue
        pairs = list(product(_named(source, own), _named(other_source, others)))
        if both := sorted({ours for (label, ours), found in pairs if found == (label, ours)}):
            yield (
                f"{name}, {other}: both read the answers about {', '.join(both)} from one place, so they can count "
                "twice, as those of two annotators; remove one of the blocks, or these labels from one"
            )
        if parts := {
            old: ours for (one, ours), (two, theirs) in pairs if ours == theirs and one != two for old in (one, two)
        }:
            yield (
                f"{name}, {other}: both give a part of {', '.join(sorted({*parts.values()}))}, from one place, so each "
                f"denies the spans of the other; take them in one block: labels = {as_value(sorted(parts))}, rename = "
                f"{as_value(dict(sorted(parts.items())))}"
            )


def _named(source: Source, options: DatasetOptions) -> Iterator[tuple[str, str]]:
    """Yield the labels that are taken, each with our name of it."""
    return ((label, options.rename.get(label, label)) for label in source.labels)


def _place(source: Source) -> dict[str, Any]:
    """Return what tells which answers a source has; nothing if it has no fields that say so."""
    fields = {name: getattr(source, name) for name in getattr(source, "__struct_fields__", ()) if name not in _HOW}
    if path := fields.get("path"):
        fields["path"] = Path(path).expanduser().resolve()
    return fields | {"reader": type(source)} if fields else {}


def _known(sources: Mapping[str, Source], entries: Mapping[str, Entry]) -> set[str]:
    """Return the labels that are taken from any of the datasets."""
    return {label for name, entry in entries.items() for label in {*sources[name].labels} - {*entry.missing_labels}}


def _check_annotators(dataset: str, options: DatasetOptions, entry: Entry) -> None:
    missing, others = entry.missing_annotators, entry.other_annotators
    alike = [other for name in missing for other in (*same_names(name, others), *misspelled(name, others))]
    if missing and (alike or len(missing) == len({*options.annotators})):
        there = f"there are {_counted(others)}" if any(others) else "its answers name no annotator"
        raise UserError(f"[datasets.{dataset}] annotators: no answer of {', '.join(missing)}; {there}")


def _check_labels(
    dataset: str, labels: Sequence[str], options: DatasetOptions, entry: Entry, known: Collection[str]
) -> None:
    others = entry.other_labels
    similar: dict[str, list[str]] = {}
    for label in entry.missing_labels:
        # Two labels that both occur are different ones, though their names be similar.
        distinct = known if label in known else ()
        less_sure = sorted({*synonyms(label, others), *misspelled(label, others)})
        found = same_names(label, others) or [other for other in less_sure if other not in distinct]
        if found and options.rename.get(label) != label:
            similar[label] = found
    if similar:
        said = "; ".join(
            f"no span of {one}, but of {_counted({o: others[o] for o in similar[one]})}" for one in similar
        )
        there = [new for label in labels for new in similar.get(label, [label])]
        ours = {new: options.rename.get(old, old) for old, found in similar.items() for new in found}
        raise UserError(
            f"[datasets.{dataset}] labels: {said}. If they are the same, set labels = {as_value(there)} and rename = "
            f"{as_value(ours)}; if not, rename = {as_value({label: label for label in similar})} says so"
        )


def _counted(counts: Mapping[str, int]) -> str:
    """Format names with their counts, the most frequent first: `PER (1,204), LOC (3)`."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(ordered) - _MAX_NAMES} more" if len(ordered) > _MAX_NAMES else ""
    return ", ".join(f"{name or 'without a name'} ({number:,})" for name, number in ordered[:_MAX_NAMES]) + more
