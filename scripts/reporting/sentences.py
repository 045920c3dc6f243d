"""What a reader of a comparison should know, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from scripts.reporting.accounts import listed, plural
from scripts.scoring.compared import Compared, Comparisons
from scripts.scoring.comparison import NOT_COMPARABLE
from scripts.scoring.differences import Changed, Differences

_MOST = 12  # values of a config


def differs(compared: Compared) -> Iterator[str]:
    """What the run is made of that the baseline is not."""
    found = compared.differences
    lines = [*_data(found), *_labels(found), *_made_by(found)]
    yield from lines or ["Nothing differs: the same data, config, code, versions and seeds."]


def _data(found: Differences) -> Iterator[str]:
    if found.data is None:
        yield "Data: one of the models does not say what it was trained on."
    elif found.data:
        more = [f"{found.texts:+,} texts to train on"] if found.texts else []
        more += [f"known in {_signed(found.covered)} texts"] if found.covered else []
        more += [f"{_signed(found.entities)} entities"] if found.entities else []
        yield f"Data: {'; '.join(more) or 'another corpus, of as many texts and entities'}."


def _signed(numbers: Mapping[str, int]) -> str:
    ordered = sorted(numbers.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    return listed(f"{label} {more:+,}" for label, more in ordered)


def _labels(found: Differences) -> Iterator[str]:
    parts = (
        (found.added, "new"), (found.removed, "no longer there"),
        (found.test, "scored on other texts, or with other gold"),
    )  # fmt: skip
    for labels, what in parts:
        if labels:
            yield f"Labels: {plural(len(labels), 'label')} {what} ({listed(labels)})."


def _made_by(found: Differences) -> Iterator[str]:
    if found.config:
        yield f"Config: {_values(found.config)}."
    if found.code:
        yield "Code: what trains is another."
    if found.versions:
        yield f"Versions: {_values(found.versions)}."
    if found.seeds:
        before, after = (", ".join(map(str, seeds)) for seeds in found.seeds)
        yield f"Seeds: {before} → {after}."


def _values(changed: Sequence[Changed]) -> str:
    return listed((f"{one.name} {_value(one.before)} → {_value(one.after)}" for one in changed), _MOST)


def _value(value: str | None) -> str:
    return "(none)" if value is None else value


def notes(compared: Compared, found: Comparisons) -> Iterator[str]:
    """On what it was compared, and how sure that is."""
    changes = compared.changes
    if not changes.is_whole:
        shared = f"{plural(changes.micro.texts, 'text')} and {plural(changes.micro.support, 'entity', 'entities')}"
        yield f"The runs were not scored on all the same texts with the same gold: compared are {shared} they share."
    missing = [label for label, change in changes.labels.items() if change.verdict == NOT_COMPARABLE]
    if missing:
        yield f"Not comparable: {plural(len(missing), 'label')} without a common text ({listed(missing)})."
    worked_on = sorted({*compared.differences.covered, *compared.differences.entities})
    if worked_on and len(worked_on) < len(changes.labels):
        whose = "its annotations are" if len(worked_on) == 1 else "their annotations are"
        yield f"Tested apart from the others, since {whose} not the same: {listed(worked_on)}."
    single = [seeds for seeds in (compared.seeds, compared.baseline_seeds) if seeds == 1]
    if single:
        who = "Both runs have" if len(single) == 2 else "One of the runs has"
        yield f"{who} one seed: a change can be larger than seed noise, but to be sure takes more: --vars.seeds 3."
    if found.noise_seeds:
        yield f"Seed noise was measured with {found.noise_seeds} seeds (metrics/noise.json)."
    elif single:
        yield "Seed noise is taken to be what is usual; to measure yours, once: weasel run noise-floor."
