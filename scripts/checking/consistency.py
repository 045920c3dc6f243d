"""Consistency of the annotations: surface forms annotated here and not there, overlaps, agreement and rates.

Writes corpus/review/consistency.json, and consistency.jsonl with the suspects.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
from msgspec.structs import asdict

from scripts.checking.answers import compare_answers
from scripts.checking.groups import LEVEL, Agreement, GroupComparison, differing
from scripts.checking.occurrences import (
    ALL,
    EXAMPLES,
    SOME,
    Occurrence,
    OccurrenceJob,
    count_occurrences,
    read_occurrences,
)
from scripts.checking.passages import Excerpt, LabelOverlap, excerpt
from scripts.checking.ranking import TIERS, FormEvidence, rank
from scripts.checking.review import FOLDER, Suspect, SuspectKind, load_current, stream_suspects
from scripts.checking.surface_forms import ANNOTATED, KINDS, NONE, PARTIAL, RELABELED, FormTable, collect_forms
from scripts.core.files import Count, demand_sum, exclusive, sha256, whole_file, work_folder, write_json
from scripts.core.manifest import Manifest
from scripts.merging.merge import validate_answers
from scripts.merging.merged import annotated_labels, gold_as_merged
from scripts.merging.survey import blocks
from scripts.reporting.console import Console, listed, new_table, plural, ratio

NAME = "consistency.json"
SUSPECTS = "consistency.jsonl"
_ADVICE = "check again: weasel run consistency"
_MOST_FORMS = 20  # of a label that are shown
_MOST_AMBIGUOUS = 50  # forms with several labels that are shown


class SurfaceForm(msgspec.Struct, kw_only=True):
    """A surface form of a label, and what is annotated where it occurs."""

    surface_form: str  # its wording
    occurrences: Count  # where the label is covered; the sum of the next six
    annotated: Count  # this and the next five: see `KINDS`
    inside: Count
    partial: Count
    relabeled: Count
    overlapped: Count
    none: Count
    examples: dict[str, list[Excerpt]]  # by kind, the first few occurrences

    def __post_init__(self) -> None:
        """RAISES (ValueError): If the counts do not add up."""
        kinds = ("annotated", "inside", "partial", "relabeled", "overlapped", "none")
        demand_sum({name: getattr(self, name) for name in ("occurrences", *kinds)}, "occurrences", kinds)


class LabelConsistency(msgspec.Struct, kw_only=True):
    """The consistency of a label."""

    texts: Count  # in which it is covered, in the whole or in a range
    spans: Count  # in these
    inside_words: Count  # spans that begin or end inside a word, whose surface forms are not searched for
    surface_forms: Count  # distinct ones of the other spans
    occurrences: dict[str, Count]  # of these, by kind, see `KINDS`. Those annotated and `inside_words` add up to spans
    inconsistent: Count  # surface forms that are annotated in some places and not in others
    suspects: dict[str, Count] = {}  # by kind
    tiers: dict[str, Count] = {}  # the same by tier
    most_inconsistent: list[SurfaceForm] = []  # those whose occurrences differ most


class AmbiguousForm(msgspec.Struct):
    """A surface form with several labels."""

    surface_form: str
    labels: dict[str, Count]  # spans by label, the most frequent first
    examples: dict[str, Excerpt]  # one of each


class Consistency(msgspec.Struct, kw_only=True):
    """corpus/review/consistency.json."""

    gold: str  # digest of the gold
    texts: Count  # of it
    labels: dict[str, LabelConsistency]  # sorted
    ambiguous: list[AmbiguousForm]  # surface forms with several labels, the most evenly divided first
    ambiguous_total: Count  # their number, of which `ambiguous` has the first
    overlaps: list[LabelOverlap]  # spans of different labels that overlap
    agreement: dict[str, Agreement]  # of labels that several annotators answered for in a text
    groups: list[GroupComparison]  # rates of datasets, annotators and periods, where there are several
    candidates: Count  # occurrences that may be wrong
    suspects: Count  # those listed in consistency.jsonl
    listed: str = ""  # digest of consistency.jsonl


def load(corpus: Path) -> Consistency | None:
    """Read consistency.json; None if there is none. RAISES (UserError): See `load_current`."""
    return load_current(corpus / FOLDER / NAME, Consistency, corpus, _ADVICE)


def read_suspects(corpus: Path) -> Iterator[Suspect]:
    """The suspects, the most certain first. RAISES (UserError): If there is no file, or it is damaged."""
    return stream_suspects(corpus / FOLDER / SUSPECTS, _ADVICE)


def check(corpus: Path, annotations: Path, manifest: Manifest, processes: int) -> Consistency:
    """Check all of the gold and all answers, and write consistency.json and consistency.jsonl.

    corpus (Path): Has the gold, and gets the results.
    annotations (Path), manifest (Manifest): The answers it was made of.
    processes (int): At a time; the result does not depend on it.
    RAISES (UserError): If the gold or the answers are missing or have changed.
    """
    merged, gold = gold_as_merged(corpus)
    validate_answers(annotations, manifest, merged)
    labels = tuple(annotated_labels(merged))
    with exclusive(corpus / FOLDER), work_folder(corpus / FOLDER) as work:
        agreement, groups, annotators = compare_answers(annotations, manifest, merged, labels, work, processes)
        forms = _FormComparison(gold, labels, annotators, work, processes)
        result = Consistency(
            gold=merged.outputs[gold.name], texts=merged.totals["texts"], labels=forms.by_label(),
            ambiguous=forms.ambiguous(), ambiguous_total=len(forms.ambiguous_rows),
            overlaps=forms.inventory.overlaps, agreement=agreement, groups=groups,
            candidates=forms.evidence.candidates, suspects=len(forms.suspects),
        )  # fmt: skip
        with whole_file(corpus / FOLDER / SUSPECTS) as file:
            file.write(msgspec.json.Encoder().encode_lines(forms.suspects))
    result.listed = sha256(corpus / FOLDER / SUSPECTS)
    write_json(corpus / FOLDER / NAME, result)
    return result


class _FormComparison:
    """The surface forms of the gold, compared in three passes. Only texts that are listed are kept in memory.

    inventory (Inventory), evidence (FormEvidence): All forms, and how they are annotated.
    ambiguous_rows (list[list[int]]): Rows of the forms with several labels, by form, the most evenly divided first.
    suspects (list[Suspect]): The most certain first.
    """

    def __init__(self, gold: Path, labels: tuple[str, ...], annotators: Path, work: Path, processes: int) -> None:
        parts = blocks(gold)
        self._labels = labels
        self.inventory = collect_forms(parts, labels, processes)
        self._table = self.inventory.table
        jobs = [OccurrenceJob(part, labels, annotators, work) for part in parts]
        counted = count_occurrences(jobs, work, self._table, processes)
        self.evidence = FormEvidence(self._table, labels, counted)
        self.ambiguous_rows = _ambiguous_rows(self._table)
        self._shown = [self._most_inconsistent(number) for number in range(len(labels))]
        self._wordings: dict[int, str] = {}  # by row
        self._examples: dict[int, dict[str, list[Excerpt]]] = defaultdict(lambda: defaultdict(list))  # by row and kind
        shown = {row for rows in [*self._shown, *self.ambiguous_rows[:_MOST_AMBIGUOUS]] for row in rows}
        wanted = self.evidence.wanted()
        some = np.isin(counted.rows, list(shown))
        wanted[some] = np.maximum(wanted[some], np.where(counted.counts[some] > 0, SOME, 0))
        occurrences = self._collect_examples(read_occurrences(jobs, work, counted, wanted, processes), shown)
        self.suspects = rank((each for each in occurrences if wanted[each.counted, each.kind] == ALL), self.evidence)

    def _most_inconsistent(self, label: int) -> list[int]:
        """Rows of the forms of a label that are about as often annotated as not."""
        rows = np.flatnonzero(self._table["label"] == label)
        counts = self.evidence.counts[rows]
        minority = np.minimum(counts[:, ANNOTATED], counts[:, [PARTIAL, RELABELED, NONE]].sum(1))
        order = np.lexsort((rows, -counts.sum(1), -minority))
        return rows[order[minority[order] > 0][:_MOST_FORMS]].tolist()

    def _collect_examples(self, occurrences: Iterable[Occurrence], shown: set[int]) -> Iterator[Occurrence]:
        """Pass occurrences on, and keep examples of the forms that are shown."""
        for occurrence in occurrences:
            yield occurrence
            if occurrence.row in shown:
                self._wordings[occurrence.row] = occurrence.text.text[occurrence.start : occurrence.end]
                examples = self._examples[occurrence.row][KINDS[occurrence.kind]]
                if len(examples) < EXAMPLES:
                    examples.append(excerpt(occurrence.text, occurrence.start, occurrence.end))

    def by_label(self) -> dict[str, LabelConsistency]:
        """The consistency of each label."""
        kinds = Counter((suspect.label, suspect.kind) for suspect in self.suspects)
        tiers = Counter((suspect.label, str(suspect.tier)) for suspect in self.suspects)
        result = {}
        for number, label in enumerate(self._labels):
            counts = self.evidence.counts[self._table["label"] == number]
            result[label] = LabelConsistency(
                texts=int(self.inventory.texts[number]), spans=int(self.inventory.spans[number]),
                inside_words=int(self.inventory.inside_words[number]), surface_forms=len(counts),
                occurrences=dict(zip(KINDS, counts.sum(0).tolist(), strict=True)),
                inconsistent=int((counts[:, NONE] > 0).sum()),
                suspects={kind: kinds[label, kind] for kind in get_args(SuspectKind)},
                tiers={tier: tiers[label, tier] for tier in TIERS},
                most_inconsistent=[self._surface_form(row) for row in self._shown[number]],
            )  # fmt: skip
        return result

    def _surface_form(self, row: int) -> SurfaceForm:
        counts = dict(zip(KINDS, self.evidence.counts[row].tolist(), strict=True))
        examples = {kind: self._examples[row][kind] for kind in KINDS if kind in self._examples[row]}
        occurrences = sum(counts.values())
        return SurfaceForm(surface_form=self._wordings[row], occurrences=occurrences, examples=examples, **counts)

    def ambiguous(self) -> list[AmbiguousForm]:
        """The forms with several labels that are shown."""
        result = []
        for rows in self.ambiguous_rows[:_MOST_AMBIGUOUS]:
            names = {row: self._labels[self._table["label"][row]] for row in rows}
            counts = {name: int(self._table["count"][row]) for row, name in names.items()}
            examples = {name: self._examples[row][KINDS[ANNOTATED]][0] for row, name in names.items()}
            result.append(AmbiguousForm(self._wordings[rows[0]], counts, examples))
        return result


def _ambiguous_rows(table: FormTable) -> list[list[int]]:
    """Rows of the forms with several labels, by form, the most evenly divided first."""
    _, edges, sizes = np.unique(table["key"], return_index=True, return_counts=True)
    found = []
    for edge, size in zip(edges[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        rows = sorted(range(edge, edge + size), key=lambda row: (-int(table["count"][row]), row))
        second, first = (-int(table["count"][row]) for row in rows[1::-1])
        found.append((second, first, rows))
    return [rows for *_, rows in sorted(found)]


# ---- On the console and the page

_LINES = 5  # of each sort, on the console
_COLUMNS = ("occurs", "= label", "+ other\nboundary", "+ other\nlabel", "+ none", "suspects", "tier 1")
# How occurrences are shown, and which of `KINDS` they are.
STATES = {
    "annotated": ("annotated", ("annotated",)), "boundary": ("other boundary", ("inside", "partial")),
    "type": ("other label", ("relabeled", "overlapped")), "nothing": ("nothing", ("none",)),
}  # fmt: skip
SUSPECT_KINDS: dict[SuspectKind, str] = {
    "missing": "probably missing", "spurious": "probably no entity", "boundary": "probably another boundary",
    "type": "probably another label",
}  # fmt: skip
_SUSPECTS = 8  # of each label, on the page


def print_consistency(console: Console, found: Consistency) -> None:
    """Per label, what is annotated where its surface forms occur; then the most striking forms, labels and groups."""
    table = new_table("label", *_COLUMNS)
    for label, one in found.labels.items():
        states = _by_state(one.occurrences).values()
        numbers = (sum(states), *states, sum(one.suspects.values()), one.tiers["1"])
        table.add_row(label, *(f"{number:,}" for number in numbers))
    console.print(table)
    console.print("\nsuspects: annotations that are probably wrong; tier 1: the most certain of them")
    for line in ["", *_form_lines(found), *_label_lines(found), *_group_lines(found.groups)]:
        console.print(line)
    if found.candidates > found.suspects:
        console.print(f"{plural(found.candidates, 'candidate')}; overlapping and low-scoring ones are not listed")


def _form_lines(found: Consistency) -> Iterator[str]:
    forms = [(form, label) for label, one in found.labels.items() for form in one.most_inconsistent]
    forms.sort(key=lambda pair: (-min(pair[0].annotated, pair[0].none), pair[1], pair[0].surface_form))
    for form, label in forms[:_LINES]:
        if form.none:
            yield (
                f"Inconsistent: {_quoted(form.surface_form)} is {label} in {form.annotated:,} of "
                f"{plural(form.occurrences, 'occurrence')}, and nothing in {form.none:,}"
            )
    for ambiguous in found.ambiguous[:_LINES]:
        counts = ", ".join(f"{count:,} × {label}" for label, count in ambiguous.labels.items())
        yield f"Several labels: {_quoted(ambiguous.surface_form)}: {counts}"


def _label_lines(found: Consistency) -> Iterator[str]:
    if found.overlaps:
        pairs = (f"{overlap.count:,} × {' and '.join(overlap.labels)}" for overlap in found.overlaps)
        yield f"Overlaps: {listed(pairs, 3)}"
    if found.agreement:
        labels = (f"{label} {ratio(one.f)} ({plural(one.texts, 'text')})" for label, one in found.agreement.items())
        yield f"Agreement of annotators, F of exact spans: {listed(labels, 20)}"


def _group_lines(groups: list[GroupComparison]) -> Iterator[str]:
    found, tested = differing(groups), [comparison for comparison in groups if comparison.p_value is not None]
    for comparison in found[:_LINES]:
        rates = {rate.name: rate for rate in comparison.rates}
        farthest = rates.pop(comparison.farthest)
        others = [rate for rate in rates.values() if rate.is_tested]
        rate = 1000 * sum(other.spans for other in others) / sum(other.characters for other in others)
        p_value = "< .001" if (comparison.p_value or 0) < 0.001 else ratio(comparison.p_value)
        yield (
            f"{comparison.by.capitalize()}s differ in {comparison.label}: {comparison.farthest} annotates "
            f"{farthest.rate:.2f} in 1,000 characters, the others {rate:.2f} (p {p_value})"
        )
    if tested:
        more = f", {len(found) - _LINES} not shown" if len(found) > _LINES else ""
        compared = f"{plural(len(tested), 'comparison')} of datasets, annotators or periods"
        yield f"{compared}: {len(found)} significant at {LEVEL}{more}"


def _by_state(counts: Mapping[str, int]) -> dict[str, int]:
    return {state: sum(counts[kind] for kind in kinds) for state, (_, kinds) in STATES.items()}


def _quoted(form: str) -> str:
    text = " ".join(form.split())
    return f"“{text if len(text) <= 40 else text[:39] + '…'}”"


# The page


def firsts(suspects: Iterable[Suspect]) -> dict[str, list[Suspect]]:
    """The first suspects of each label."""
    first: dict[str, list[Suspect]] = defaultdict(list)
    for suspect in suspects:
        if len(first[suspect.label]) < _SUSPECTS:
            first[suspect.label].append(suspect)
    return first


def anchors(found: Consistency | None, suspects: Mapping[str, Sequence[Suspect]] | None) -> dict[str, str]:
    """By label, the anchor of its details on the page, if it has any. suspects: None if no texts shall be shown."""
    if found is None or suspects is None:
        return {}
    labels = enumerate(found.labels.items(), 1)
    return {
        name: f"consistency-{number}" for number, (name, one) in labels if suspects.get(name) or one.most_inconsistent
    }


def _examples(form: SurfaceForm) -> list[tuple[str, Excerpt]]:
    """One of each state."""
    by_state = ((name, [form.examples.get(kind, []) for kind in kinds]) for name, kinds in STATES.values())
    return [(name, examples[0]) for name, by_kind in by_state if (examples := list(chain(*by_kind)))]


FILTERS = {
    "excerpt": excerpt, "by_state": _by_state, "fields": asdict, "examples": _examples, "differing": differing,
}  # fmt: skip
