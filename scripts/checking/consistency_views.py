"""The consistency of the annotations on the console and the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from msgspec.structs import asdict

from scripts.checking.consistency import Consistency, SurfaceForm
from scripts.checking.passages import Excerpt, excerpt
from scripts.checking.rates import LEVEL, GroupComparison, differing
from scripts.checking.review import Suspect, SuspectKind
from scripts.reporting.console import Console, listed, new_table, plural, ratio

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
