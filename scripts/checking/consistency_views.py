"""The consistency of the annotations on the console, and as a section of the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from scripts.checking.agreement import Agreement, PairAgreement
from scripts.checking.consistency import AmbiguousForm, Consistency, LabelConsistency, SurfaceForm
from scripts.checking.passages import Excerpt, LabelOverlap, excerpt
from scripts.checking.rates import LEVEL, GroupComparison, GroupRate, differing
from scripts.checking.review import Suspect, SuspectKind
from scripts.reporting.console import Console, listed, new_table, plural, ratio

_LINES = 5  # of each sort, on the console
_COLUMNS = ("occurs", "= label", "+ other\nboundary", "+ other\nlabel", "+ none", "suspects", "tier 1")
# On the page: how occurrences are named, and which of `KINDS` they are.
STATES = {
    "annotated": ("annotated", ("annotated",)), "boundary": ("other boundary", ("inside", "partial")),
    "type": ("other label", ("relabeled", "overlapped")), "nothing": ("nothing", ("none",)),
}  # fmt: skip
SUSPECT_KINDS: dict[SuspectKind, str] = {
    "missing": "probably missing", "spurious": "probably no entity", "boundary": "probably another boundary",
    "type": "probably another label",
}  # fmt: skip
_SUSPECTS = 8  # of each label
_FORMS = 6  # of each label
_ROWS = 20  # of other tables
_EXAMPLES = 1  # of each kind


def print_consistency(console: Console, found: Consistency) -> None:
    """Per label, what is annotated where its surface forms occur; then the most inconsistent forms, overlaps,
    agreement, and groups that differ.
    """
    table = new_table("label", *_COLUMNS)
    for label, one in found.labels.items():
        states = _by_state(one.occurrences).values()
        numbers = (sum(states), *states, sum(one.suspects.values()), one.tiers["1"])
        table.add_row(label, *(f"{number:,}" for number in numbers))
    console.print(table)
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
        counts = ", ".join(f"{label} {count:,} ×" for label, count in ambiguous.labels.items())
        yield f"Several labels: {_quoted(ambiguous.surface_form)}: {counts}"


def _label_lines(found: Consistency) -> Iterator[str]:
    if found.overlaps:
        pairs = (f"{' and '.join(overlap.labels)} {overlap.count:,} ×" for overlap in found.overlaps)
        yield f"Overlaps: {listed(pairs, 3)}"
    if found.agreement:
        labels = (f"{label} {ratio(one.f)} ({plural(one.texts, 'text')})" for label, one in found.agreement.items())
        yield f"Agreement of annotators, F of exact spans: {listed(labels, 20)}"


def _group_lines(groups: list[GroupComparison]) -> Iterator[str]:
    found, tested = differing(groups), [one for one in groups if one.p_value is not None]
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


def _quoted(form: str) -> str:
    text = " ".join(form.split())
    return f"“{text if len(text) <= 40 else text[:39] + '…'}”"


class ShownSuspect(NamedTuple):
    """A suspect in its context. proposed (list[str]): Label and wording of what is probably right."""

    kind: str
    tier: int
    excerpt: Excerpt
    reason: str
    proposed: list[str]


class ShownForm(NamedTuple):
    """A surface form: occurrences by `STATES`, and examples of each."""

    surface_form: str
    occurrences: int
    states: dict[str, int]
    examples: list[tuple[str, list[Excerpt]]]


class ShownConsistency(NamedTuple):
    """A label. states (dict[str, int]): Occurrences of its forms. suspects, forms: None if texts are not wanted."""

    name: str
    states: dict[str, int]
    occurrences: int
    number: int
    in_tier_1: int
    suspects: list[ShownSuspect] | None
    forms: list[ShownForm] | None

    @property
    def is_open(self) -> bool:
        """Whether there is more than a row of the table."""
        return bool(self.suspects or self.forms)


class ShownAgreement(NamedTuple):
    """A label that several annotators answered for, and the pair that agrees least, if there is more than one."""

    label: str
    agreement: Agreement
    lowest: PairAgreement | None


class ConsistencySection(NamedTuple):
    """The section of the page. rest_overlaps (int): Not shown. compared (int): Comparisons of groups."""

    labels: list[ShownConsistency]
    ambiguous: list[AmbiguousForm] | None
    ambiguous_total: int
    overlaps: list[LabelOverlap]
    rest_overlaps: int
    agreement: list[ShownAgreement]
    groups: list[tuple[GroupComparison, list[GroupRate]]]
    compared: int
    with_texts: bool


def firsts(suspects: Iterable[Suspect]) -> dict[str, list[Suspect]]:
    """The first suspects of each label."""
    first: dict[str, list[Suspect]] = defaultdict(list)
    for suspect in suspects:
        if len(first[suspect.label]) < _SUSPECTS:
            first[suspect.label].append(suspect)
    return first


def section(found: Consistency, suspects: Mapping[str, Sequence[Suspect]] | None) -> ConsistencySection:
    """Choose what fits on the page.

    suspects (Mapping[str, Sequence[Suspect]] | None): By label; None if no texts shall be shown.
    """
    return ConsistencySection(
        labels=[_shown_label(name, label, suspects) for name, label in found.labels.items()],
        ambiguous=None if suspects is None else found.ambiguous[:_ROWS], ambiguous_total=found.ambiguous_total,
        overlaps=found.overlaps[:_ROWS], rest_overlaps=max(0, len(found.overlaps) - _ROWS),
        agreement=[ShownAgreement(label, one, _lowest(one.pairs)) for label, one in found.agreement.items()],
        groups=[(one, [rate for rate in one.rates if rate.is_tested]) for one in differing(found.groups)[:_ROWS]],
        compared=sum(one.p_value is not None for one in found.groups), with_texts=suspects is not None,
    )  # fmt: skip


def _shown_label(
    name: str, label: LabelConsistency, suspects: Mapping[str, Sequence[Suspect]] | None
) -> ShownConsistency:
    return ShownConsistency(
        name, _by_state(label.occurrences), sum(label.occurrences.values()), sum(label.suspects.values()),
        label.tiers.get("1", 0), None if suspects is None else shown_suspects(suspects.get(name, ())),
        None if suspects is None else [_shown_form(form) for form in label.most_inconsistent[:_FORMS]],
    )  # fmt: skip


def shown_suspects(suspects: Iterable[Suspect]) -> list[ShownSuspect]:
    """Suspects as the page shows them."""
    return [
        ShownSuspect(
            suspect.kind, suspect.tier, excerpt(suspect, suspect.start, suspect.end), suspect.reason,
            [f"{span.label}: {suspect.text[span.start : span.end]}" for span in suspect.proposed],
        )
        for suspect in suspects
    ]  # fmt: skip


def _shown_form(form: SurfaceForm) -> ShownForm:
    counts = {kind: getattr(form, kind) for _, kinds in STATES.values() for kind in kinds}
    examples = [
        (name, [example for kind in kinds for example in form.examples.get(kind, ())][:_EXAMPLES])
        for name, kinds in STATES.values()
    ]
    return ShownForm(form.surface_form, form.occurrences, _by_state(counts), [each for each in examples if each[1]])


def _by_state(counts: Mapping[str, int]) -> dict[str, int]:
    return {state: sum(counts[kind] for kind in kinds) for state, (_, kinds) in STATES.items()}


def _lowest(pairs: Sequence[PairAgreement]) -> PairAgreement | None:
    if len(pairs) < 2:
        return None
    return min((pair for pair in pairs if pair.f is not None), key=lambda pair: pair.f or 0.0, default=None)
