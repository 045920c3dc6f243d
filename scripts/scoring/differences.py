"""What two runs were made of that is not the same: data, labels, config, code, versions, seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from confection import Config

from scripts.scoring.runs import Run


class Changed(msgspec.Struct):
    """A value of a config, or a version, in the baseline and in the run; None where it is not there."""

    name: str
    before: str | None
    after: str | None


class Differences(msgspec.Struct):
    """What is not the same in a run as in its baseline.

    data (bool | None): Whether it was trained on another corpus; None if one of them does not say.
    texts (int | None): How many texts more it was trained on; None if one of them does not say.
    covered (dict[str, int]), entities (dict[str, int]): By label whose number changed: in how many more texts it is
        known, how many more entities it has.
    test (list[str]): Labels that are scored on other texts, or with other gold.
    added (list[str]), removed (list[str]): Labels.
    config (list[Changed]): Values of the training config, by dotted key.
    code (bool | None): Whether the code that trains is another; None if one of them does not say.
    versions (list[Changed]): Of Python and packages in training, or in evaluation.
    seeds (tuple[list[int], list[int]] | None): Before and after, if they differ.
    """

    data: bool | None
    texts: int | None
    covered: dict[str, int]
    entities: dict[str, int]
    test: list[str]
    added: list[str]
    removed: list[str]
    config: list[Changed]
    code: bool | None
    versions: list[Changed]
    seeds: tuple[list[int], list[int]] | None


def differences(run: Run, baseline: Run) -> Differences:
    """Compare what two runs were made of."""
    mine, theirs = run.trained, baseline.trained
    both = set(run.tests) & set(baseline.tests)
    return Differences(
        data=_differ(run.data.trained, baseline.data.trained),
        texts=mine.texts - theirs.texts if mine and theirs else None,
        covered=_more(mine.covered, theirs.covered) if mine and theirs else {},
        entities=_more(mine.entities, theirs.entities) if mine and theirs else {},
        test=sorted(label for label in both if run.tests[label] != baseline.tests[label]),
        added=sorted(set(run.tests) - both),
        removed=sorted(set(baseline.tests) - both),
        config=_changed(_config(baseline), _config(run)),
        code=_differ(run.code.training, baseline.code.training),
        versions=_changed(_versions(baseline), _versions(run)),
        seeds=None if run.seeds == baseline.seeds else (baseline.seeds, run.seeds),
    )


def _differ(mine: str | None, theirs: str | None) -> bool | None:
    return None if mine is None or theirs is None else mine != theirs


def _more(mine: Mapping[str, int], theirs: Mapping[str, int]) -> dict[str, int]:
    if not mine or not theirs:  # the corpus was no longer there
        return {}
    found = {label: mine.get(label, 0) - theirs.get(label, 0) for label in sorted({*mine, *theirs})}
    return {label: more for label, more in found.items() if more}


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[Changed]:
    names = sorted({*before, *after})
    return [Changed(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _versions(run: Run) -> dict[str, str]:
    return {
        f"{package} ({when})": version for when, found in run.versions.items() for package, version in found.items()
    }


def _config(run: Run) -> dict[str, str]:
    return flat(Config().from_str(run.config.text, interpolate=False))


def flat(config: Mapping[str, Any]) -> dict[str, str]:
    """The values of a config by dotted key, as they are written in it."""
    return dict(_leaves(config))


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value if isinstance(value, str) else msgspec.json.encode(value).decode()
