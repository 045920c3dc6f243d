"""Where annotations disagree, on one screen."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scripts.reporting.accounts import listed, plural
from scripts.reporting.scores import ratio
from scripts.reviewing.consistency import Consistency, Form
from scripts.reviewing.groups import LEVEL, Groups

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
        table.add_row(escape(label), *(f"{number:,}" for number in numbers))
    console.print(table)
    for line in _lines(found):
        console.print(line, markup=False, highlight=False)


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
