"""Where annotations disagree, on one screen.

Where annotations disagree: a label's forms and findings, annotators, and groups, as a page shows them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from scripts.checking.agreement import Agreement, Pair
from scripts.checking.consistency import Consistency, Form, Label, Several
from scripts.checking.findings import Suspect
from scripts.checking.passages import Context, Overlap, context
from scripts.checking.rates import LEVEL, Groups, Rate
from scripts.reporting.console import listed, plural, ratio

_LINES = 5  # of each sort
_COLUMNS = ("places", "= marked", "+ other\nborders", "+ other\nlabel", "+ nothing", "found", "sure")


def print_consistency(console: Console, found: Consistency) -> None:
    """Per label: where its forms stand, and what is annotated there; then the worst forms, overlaps, agreement,
    and groups that differ.
    """
    table = Table("label", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.columns[0].overflow = "fold"
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for label, each in found.labels.items():
        places = each.places
        numbers = (
            sum(places.values()), places["annotated"], places["inside"] + places["partly"],
            places["relabelled"] + places["other"], places["none"], sum(each.suspects.values()), each.tiers["1"],
        )  # fmt: skip
        table.add_row(label, *(f"{number:,}" for number in numbers))
    console.print(table)
    for line in _lines(found):
        console.print(line)


def _lines(found: Consistency) -> Iterator[str]:
    yield ""
    worst = sorted(
        ((form, label) for label, each in found.labels.items() for form in each.table),
        key=lambda pair: (-min(pair[0].annotated, pair[0].none), pair[1], pair[0].form),
    )
    yield from (f"Uneven: {_form(form, label)}" for form, label in worst[:_LINES] if form.none)
    for each in found.several[:_LINES]:
        counts = ", ".join(f"{label} {count:,} ×" for label, count in each.labels.items())
        yield f"Several labels: {_short(each.form)}: {counts}"
    if found.overlaps:
        pairs = (f"{' and '.join(each.labels)} {each.count:,} ×" for each in found.overlaps)
        yield f"Overlaps: {listed(pairs, 3)}"
    if found.agreement:
        said = (f"{label} {ratio(each.f)} ({plural(each.texts, 'text')})" for label, each in found.agreement.items())
        yield f"Annotators agree, F of exact spans: {listed(said, 20)}"
    yield from _groups(found.groups)
    if found.places > found.suspects:
        yield (
            f"{plural(found.places, 'doubtful place')}: those that are about the same place as a surer one, or less "
            "likely, are no findings"
        )


def _form(form: Form, label: str) -> str:
    return (
        f"{_short(form.form)} is {label} at {form.annotated:,} of {plural(form.places, 'place')}, "
        f"and nothing at {form.none:,}"
    )


def _short(form: str) -> str:
    said = " ".join(form.split())
    return f"“{said if len(said) <= 40 else said[:39] + '…'}”"


def _groups(groups: list[Groups]) -> Iterator[str]:
    tested = [each for each in groups if each.chance is not None]
    differing = sorted((each for each in tested if each.differs), key=lambda each: (each.chance, each.label, each.by))
    for each in differing[:_LINES]:
        rates = {rate.name: rate for rate in each.rates}
        far = rates[each.farthest]
        rest = [rate for rate in each.rates if rate.name != far.name and rate.is_tested]
        other = 1000 * sum(rate.spans for rate in rest) / sum(rate.characters for rate in rest)
        yield (
            f"{each.by.capitalize()}s differ in {each.label}: {each.farthest} marks {far.rate:.2f} in 1,000 "
            f"characters, the others {other:.2f} (p {_chance(each.chance)})"
        )
    if tested:
        more = f", {len(differing) - _LINES} not shown" if len(differing) > _LINES else ""
        compared = f"{plural(len(tested), 'comparison')} of datasets, annotators or periods"
        yield f"{compared}, {len(differing)} beyond chance at {LEVEL}{more}"


def _chance(value: float | None) -> str:
    return "–" if value is None else "< .001" if value < 0.001 else ratio(value)


_FINDINGS = 8  # of each label
_FORMS = 6  # of each label
_ROWS = 20  # of other tables
_EXAMPLES = 1  # of each kind
# How places are shown, and which kinds these are, see `Form`.
STATES = {
    "marked": ("annotated so", ("annotated",)), "borders": ("other borders", ("inside", "partly")),
    "relabelled": ("another label", ("relabelled", "other")), "nothing": ("nothing", ("none",)),
}  # fmt: skip


class Finding(NamedTuple):
    """A place in doubt, and why. proposed (list[str]): Labels that may be right."""

    doubt: str
    tier: int
    where: Context
    reason: str
    proposed: list[str]


class Row(NamedTuple):
    """A form: where it stands by `STATES`, and some places of each."""

    form: str
    places: int
    states: dict[str, int]
    examples: list[tuple[str, list[Context]]]


class Shown(NamedTuple):
    """A label. states (dict[str, int]): Places of its forms. findings, rows: None if texts are not wanted."""

    name: str
    label: Label
    states: dict[str, int]
    places: int
    number: int
    sure: int
    findings: list[Finding] | None
    rows: list[Row] | None

    @property
    def is_open(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.findings or self.rows)


class Agreed(NamedTuple):
    """A label that several annotators answered for, and the two that agree least, if there are more than two."""

    label: str
    found: Agreement
    worst: Pair | None


class Section(NamedTuple):
    """All of it. `rest` of each table: how many rows there is no room for. Of groups: how many were compared."""

    labels: list[Shown]
    several: list[Several] | None
    all_several: int
    overlaps: list[Overlap]
    rest_overlaps: int
    agreement: list[Agreed]
    groups: list[tuple[Groups, list[Rate]]]
    compared: int
    with_texts: bool


def firsts(suspects: Iterable[Suspect]) -> dict[str, list[Suspect]]:
    """The first of each label."""
    first: dict[str, list[Suspect]] = defaultdict(list)
    for suspect in suspects:
        if len(first[suspect.label]) < _FINDINGS:
            first[suspect.label].append(suspect)
    return first


def section(found: Consistency, suspects: dict[str, list[Suspect]] | None) -> Section:
    """Choose what fits on a page.

    suspects (dict[str, list[Suspect]] | None): By label; None if no texts shall be shown.
    """
    several = None if suspects is None else found.several[:_ROWS]
    tested = [each for each in found.groups if each.chance is not None]
    differing = sorted((each for each in tested if each.differs), key=lambda each: (each.chance, each.label, each.by))
    return Section(
        labels=[_label(name, label, suspects) for name, label in found.labels.items()], several=several,
        all_several=found.all_several, overlaps=found.overlaps[:_ROWS],
        rest_overlaps=max(0, len(found.overlaps) - _ROWS),
        agreement=[Agreed(label, each, _worst(each.pairs)) for label, each in found.agreement.items()],
        groups=[(each, [rate for rate in each.rates if rate.is_tested]) for each in differing[:_ROWS]],
        compared=len(tested), with_texts=suspects is not None,
    )  # fmt: skip


def _label(name: str, label: Label, suspects: dict[str, list[Suspect]] | None) -> Shown:
    known = suspects is not None
    return Shown(
        name, label, _states(label.places), sum(label.places.values()), sum(label.suspects.values()),
        label.tiers.get("1", 0), [finding(one) for one in suspects.get(name, ())] if suspects is not None else None,
        [_row(form) for form in label.table[:_FORMS]] if known else None,
    )  # fmt: skip


def finding(one: Suspect) -> Finding:
    """A suspect as it is shown."""
    proposed = [f"{span.label}: {one.text[span.start : span.end]}" for span in one.proposed]
    return Finding(one.doubt, one.tier, context(one, one.start, one.end), one.reason, proposed)


def _row(form: Form) -> Row:
    counts = {kind: getattr(form, kind) for _, kinds in STATES.values() for kind in kinds}
    examples = [
        (name, [where for kind in kinds for where in form.examples.get(kind, ())][:_EXAMPLES])
        for name, kinds in STATES.values()
    ]
    return Row(form.form, form.places, _states(counts), [each for each in examples if each[1]])


def _states(counts: dict[str, int]) -> dict[str, int]:
    return {state: sum(counts[kind] for kind in kinds) for state, (_, kinds) in STATES.items()}


def _worst(pairs: Sequence[Pair]) -> Pair | None:
    if len(pairs) < 2:
        return None
    return min((pair for pair in pairs if pair.f is not None), key=lambda pair: pair.f or 0.0, default=None)
