"""What two runs were made of that is not the same: data, labels, config, code, versions, seeds.

Chosen runs of a folder, compared with a baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from confection import Config

from scripts.core.errors import UserError
from scripts.core.files import read_json_if_there
from scripts.scoring import seed_variance as noises
from scripts.scoring.comparison import BEYOND, WORSE, Changes, compare
from scripts.scoring.runs import Run, Scored, load_counts


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


NAME = "compare.json"


class Compared(msgspec.Struct):
    """A run beside its baseline.

    run (str): Its folder.
    time (str): When it was evaluated first.
    seeds (int), baseline_seeds (int): How many each has.
    changes (Changes): What became of its labels.
    differences (Differences): What it is made of that the baseline is not.
    """

    run: str
    time: str
    seeds: int
    baseline_seeds: int
    changes: Changes
    differences: Differences


class Comparisons(msgspec.Struct):
    """metrics/compare.json.

    baseline (str | None): A folder; None if there is but one run.
    noise_seeds (int): With how many seeds the noise was measured that is used for runs with one; 0: it was not.
    runs (list[Compared]): By time.
    """

    baseline: str | None
    noise_seeds: int
    runs: list[Compared]

    def of(self, scored: Scored) -> Compared | None:
        """What was found of a run, if it was compared."""
        return next((found for found in self.runs if found.run == scored.run.folder), None)


def choose_baseline(runs: Sequence[Scored], wanted: str | None) -> Scored | None:
    """The run the others are compared with.

    runs (Sequence[Scored]): By time.
    wanted (str | None): Its name, its folder, or how that begins: the newest that fits, if possible not the newest
        of all. None: the run before the newest.
    RETURNS (Scored | None): None if there is but one run, and no other is wanted.
    RAISES (UserError): If none fits.
    """
    if wanted is None:
        return runs[-2] if len(runs) > 1 else None
    fitting = named(runs, wanted)
    return fitting[-2] if len(fitting) > 1 and fitting[-1] is runs[-1] else fitting[-1]


def choose(runs: Sequence[Scored], wanted: Sequence[str], baseline: Scored | None, most: int) -> list[Scored]:
    """The runs that are shown, by time: the newest of each that is wanted, or the last ones, and the baseline.

    RAISES (UserError): If one does not fit.
    """
    chosen = [named(runs, name)[-1] for name in wanted] or list(runs[-most:])
    if baseline is not None and baseline not in chosen:
        chosen = [baseline, *(chosen if wanted else chosen[1:])]
    return [scored for scored in runs if scored in chosen]


def named(runs: Sequence[Scored], wanted: str) -> list[Scored]:
    """Runs of a name, or else those whose folder begins like this. RAISES (UserError): If there is none."""
    exact = [scored for scored in runs if scored.run.run == wanted]
    fitting = exact or [run for run in runs if run.run.folder.startswith(wanted.rstrip("/").rpartition("/")[2])]
    if not fitting:
        raise UserError(f"there is no run {wanted!r}; there are {', '.join(scored.run.folder for scored in runs)}")
    return fitting


def compare_runs(folder: Path, runs: Sequence[Scored], baseline: Scored | None) -> Comparisons:
    """Compare runs with a baseline.

    folder (Path): Holds the runs, and the noise if it was measured.
    RAISES (UserError): If counts are missing or damaged.
    """
    noise = noises.load(folder)
    result = Comparisons(baseline.run.folder if baseline else None, len(noise.seeds) if noise else 0, [])
    others = [scored for scored in runs if scored is not baseline]
    if baseline is None or not others:
        return result
    counts = load_counts(folder / baseline.run.folder)
    for scored in others:
        found = differences(scored.run, baseline.run)
        changes = compare(load_counts(folder / scored.run.folder), counts, noise, {*found.covered, *found.entities})
        sizes = len(scored.run.seeds), len(baseline.run.seeds)
        result.runs.append(Compared(scored.run.folder, scored.run.time, *sizes, changes, found))
    return result


def drops(compared: Compared, threshold: float) -> list[str]:
    """Labels, and micro and macro, whose F fell by more than a threshold, and by more than noise."""
    found = {**compared.changes.labels, "micro": compared.changes.micro, "macro": compared.changes.macro}
    return [
        f"{name} {change.delta:+.3f}"
        for name, change in found.items()
        if change.delta is not None and change.delta < -threshold and change.verdict in (BEYOND, WORSE)
    ]


def load(folder: Path) -> Comparisons | None:
    """Read metrics/compare.json, if there is one. RAISES (UserError): If it is damaged."""
    return read_json_if_there(folder / NAME, Comparisons, "compare again: weasel run compare")
