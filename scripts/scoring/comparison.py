"""metrics/compare.json: runs compared with a baseline, their scores and what they were made of; and the gate that the
newest must pass.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from confection import Config
from pydantic import Field, ValidationError

from scripts.core.errors import UserError
from scripts.core.files import Count, read_json_if_there
from scripts.core.settings import ConfigSection, explain
from scripts.scoring import seed_variance
from scripts.scoring.changes import NO_SUPPORT, NOT_COMPARABLE, Change, Changes, compare_counts
from scripts.scoring.runs import Run, ScoredRun, load_counts

NAME = "compare.json"
F1 = Annotated[float, Field(ge=0, le=1)]


class ValueChange(msgspec.Struct):
    """A value of a config, or a version, in the baseline and in the run; None where it is missing."""

    name: str
    before: str | None
    after: str | None


class Differences(msgspec.Struct):
    """Differences between a run and its baseline in what they were made of.

    None where one of the runs has no record. `covered` and `entities` have the labels whose number changed.
    """

    data: bool | None  # whether the corpora differ
    texts: int | None  # additional training texts
    covered: dict[str, int]  # additional training texts in which a label is covered
    entities: dict[str, int]  # additional ones of a label
    test: list[str]  # labels that are scored on other texts, or with other gold
    added: list[str]  # labels
    removed: list[str]  # labels
    config: list[ValueChange]  # values of the training config, by dotted key
    code: bool | None  # whether the training code changed
    versions: list[ValueChange]  # of Python and packages, in training or in evaluation
    seeds: tuple[list[int], list[int]] | None  # of the baseline and of the run, if they differ
    scoring: bool = False  # whether the code that scores changed
    outdated: list[str] = []  # folders of those that were trained on another corpus than they are evaluated on


class RunComparison(msgspec.Struct):
    """A run beside the baseline."""

    run: str  # its folder
    time: str  # of the first evaluation
    seeds: Count
    baseline_seeds: Count
    changes: Changes
    differences: Differences


class Comparisons(msgspec.Struct):
    """metrics/compare.json."""

    baseline: str | None  # its folder; None if there is only one run
    variance_seeds: int  # of metrics/seed_variance.json; 0 without it
    runs: list[RunComparison]  # by time
    scores: dict[str, str] = {}  # digests of the scores that were compared, by the run's folder

    def is_of(self, runs: Sequence[ScoredRun]) -> bool:
        """Whether the scores that were compared are those that the runs have now."""
        now = {scored.run.folder: scored.digest for scored in runs}
        return all(now.get(folder, digest) == digest for folder, digest in self.scores.items())

    def of(self, scored: ScoredRun) -> RunComparison | None:
        """Comparison of a run, if it was compared."""
        return next((found for found in self.runs if found.run == scored.run.folder), None)


def differences(run: Run, baseline: Run) -> Differences:
    """Find the differences in what two runs were made of."""
    now, before = run.trained, baseline.trained
    shared = set(run.tests) & set(baseline.tests)
    versions = (
        {f"{package} ({when})": number for when, found in each.versions.items() for package, number in found.items()}
        for each in (baseline, run)
    )
    return Differences(
        data=_differ(run.data.trained, baseline.data.trained),
        texts=now.texts - before.texts if now and before else None,
        covered=_increases(now.covered, before.covered) if now and before else {},
        entities=_increases(now.entities, before.entities) if now and before else {},
        test=sorted(label for label in shared if run.tests[label] != baseline.tests[label]),
        added=sorted(set(run.tests) - shared),
        removed=sorted(set(baseline.tests) - shared),
        config=_value_changes(config_values(baseline), config_values(run)),
        code=_differ(run.code.training, baseline.code.training),
        versions=_value_changes(*versions),
        seeds=None if run.seeds == baseline.seeds else (baseline.seeds, run.seeds),
        scoring=run.code.scoring != baseline.code.scoring,
        outdated=[each.folder for each in (baseline, run) if each.is_outdated],
    )


def _differ(digest: str | None, other: str | None) -> bool | None:
    return None if digest is None or other is None else digest != other


def _increases(numbers: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    if not numbers or not before:  # that corpus is gone
        return {}
    increases = Counter(numbers)
    increases.subtract(before)
    return {label: increase for label, increase in sorted(increases.items()) if increase}


def _value_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[ValueChange]:
    changes = [ValueChange(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
    return [change for change in changes if change.before != change.after]


def config_values(run: Run) -> dict[str, str]:
    """Values of a run's training config by dotted key, as they are written in it."""
    return dict(_leaves(Config().from_str(run.config.text, interpolate=False)))


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else msgspec.json.encode(value).decode()


def choose_baseline(runs: Sequence[ScoredRun], wanted: str | None) -> ScoredRun | None:
    """Choose the run that the others are compared with.

    runs (Sequence[ScoredRun]): By time.
    wanted (str | None): Its name, its folder, or the beginning of that: the newest that fits, if possible not the
        newest of all. None: the run before the newest, if there is one.
    RAISES (UserError): If none fits.
    """
    if wanted is None:
        return runs[-2] if len(runs) > 1 else None
    fitting = _named(runs, wanted)
    return fitting[-2] if len(fitting) > 1 and fitting[-1] is runs[-1] else fitting[-1]


def choose_runs(
    runs: Sequence[ScoredRun], wanted: Sequence[str], baseline: ScoredRun | None, limit: int
) -> list[ScoredRun]:
    """Choose the runs to show, by time: the newest of each wanted name, or else the last ones, and the baseline.

    RAISES (UserError): If no run has a wanted name.
    """
    chosen = [_named(runs, name)[-1] for name in wanted] or list(runs[-limit:])
    if baseline is not None and baseline not in chosen:
        chosen = [baseline, *(chosen if wanted else chosen[1:])]
    return [scored for scored in runs if scored in chosen]


def _named(runs: Sequence[ScoredRun], wanted: str) -> list[ScoredRun]:
    """Find runs of a name, or else those whose folder begins with it. RAISES (UserError): If there is none."""
    exact = [scored for scored in runs if scored.run.run == wanted]
    fitting = exact or [run for run in runs if run.run.folder.startswith(wanted.rstrip("/").rpartition("/")[2])]
    if not fitting:
        raise UserError(f"there is no run {wanted!r}; there are {', '.join(scored.run.folder for scored in runs)}")
    return fitting


def compare_runs(folder: Path, runs: Sequence[ScoredRun], baseline: ScoredRun | None) -> Comparisons:
    """Compare runs of a folder with a baseline. RAISES (UserError): If counts are missing or damaged."""
    stored = seed_variance.load(folder)
    result = Comparisons(baseline.run.folder if baseline else None, len(stored.seeds) if stored else 0, [])
    others = [scored for scored in runs if scored is not baseline]
    if baseline is None or not others:
        return result
    result.scores = {scored.run.folder: scored.digest for scored in (baseline, *others)}
    baseline_counts = load_counts(folder / baseline.run.folder, baseline)
    for scored in others:
        found = differences(scored.run, baseline.run)
        annotated = {*found.covered, *found.entities}
        changes = compare_counts(load_counts(folder / scored.run.folder, scored), baseline_counts, stored, annotated)
        sizes = len(scored.run.seeds), len(baseline.run.seeds)
        result.runs.append(RunComparison(scored.run.folder, scored.run.time, *sizes, changes, found))
    return result


def load(folder: Path) -> Comparisons | None:
    """Read metrics/compare.json, if there is one. RAISES (UserError): If it is damaged."""
    return read_json_if_there(folder / NAME, Comparisons, "compare again: weasel run compare")


# ---- The gate


class Gate(ConfigSection):
    """[gate] of configs/gate.cfg: what a run must reach to pass.

    floor (float): The lowest F of a label, from 0 to 1.
    floors (dict[str, float]): The same of single labels, and of "micro" and "macro".
    drop (float): How much F of a label, and micro and macro F, may fall from the baseline to the run, from 0 to 1.
        A label that fell by more fails if that is more than noise, too. One that the baseline has and that cannot be
        compared fails unless all of its F may fall: 1.
    drops (dict[str, float]): The same of single labels, and of "micro" and "macro".
    """

    floor: F1 = 0.0
    floors: dict[str, F1] = Field({})
    drop: F1 = 1.0
    drops: dict[str, F1] = Field({})


def load_gate(path: Path) -> Gate:
    """Read [gate] of a config. RAISES (UserError): If there is none, or a key or a value is invalid."""
    try:
        return Gate.model_validate(Config().from_disk(path)["gate"])
    except KeyError as err:
        raise UserError(f"{path}: has no [gate]") from err
    except ValidationError as err:
        raise UserError(f"{path}: {explain(err, 'gate', Gate)}") from err
    except (OSError, ValueError) as err:
        raise UserError(f"{path}: {getattr(err, 'strerror', None) or err}") from err


class Gated(NamedTuple):
    """A run at the gate."""

    run: str  # its folder
    rows: int  # its labels, micro and macro
    failures: dict[str, str]  # what does not pass, sorted, with the reason


def pass_gate(gate: Gate, shown: Sequence[ScoredRun], found: Comparisons) -> Gated:
    """Check the newest run that is compared; if there is but one run, its floors alone.

    shown (Sequence[ScoredRun]): By time.
    RAISES (UserError): If the gate names a label that neither the run nor its baseline has.
    """
    compared = found.runs[-1] if found.runs else None
    scored = next(run for run in reversed(shown) if compared is None or run.run.folder == compared.run)
    changed = {name: change for _, name, change in compared.changes.rows()} if compared else {}
    before = next((run for run in shown if run.run.folder == found.baseline), None)
    rows = {"micro": "micro", "macro": "macro"} | dict.fromkeys(scored.metrics.labels, "label")
    if unknown := sorted({*gate.floors, *gate.drops} - {*rows, *changed}):
        raise UserError(f"[gate] {', '.join(unknown)}: no such label; there are {', '.join(sorted(rows))}")
    failures = {}
    for name in sorted({*rows, *changed, *gate.floors}):
        score = scored.scores(rows[name], name) if name in rows else None
        floor = gate.floors.get(name, gate.floor if rows.get(name) == "label" else 0.0)
        reasons = [*_below(score.f if score else None, floor, name in gate.floors)]
        if before and name in changed:
            drop = gate.drops.get(name, gate.drop)
            reasons += [*_fallen(changed[name], drop), *_lost(name, changed[name], before, rows.get(name), drop)]
        if reasons:
            failures[name] = "; ".join(reasons)
    return Gated(scored.run.folder, len({*rows, *changed}), failures)


def _below(f: float | None, floor: float, is_named: bool) -> Iterator[str]:
    if f is None and is_named:
        yield f"no F, since no test text has it; floor {floor:.3f}"
    elif f is not None and f < floor:
        yield f"F {f:.3f}, floor {floor:.3f}"


def _fallen(change: Change, drop: float) -> Iterator[str]:
    if change.is_clear and change.delta is not None and change.delta < -drop:
        yield f"F {change.before:.3f} → {change.f:.3f}, more than noise and than {drop:.3f}"


def _lost(name: str, change: Change, baseline: ScoredRun, row: str | None, drop: float) -> Iterator[str]:
    """Say that F of a label with entities in the baseline, or micro or macro F, cannot be compared.

    row (str | None): Its kind in the run, see `ScoredRun.rows`; None if it is not there.
    """
    score = baseline.metrics.labels.get(name) if row in (None, "label") else baseline.metrics.micro
    if drop < 1 and score and score.support and change.verdict in (NOT_COMPARABLE, NO_SUPPORT):
        allowed = msgspec.json.encode({name: 1}).decode()
        reason = f"no {'text' if change.verdict == NOT_COMPARABLE else 'entity'} that both runs are scored on"
        yield f"{reason if row else 'not in the run'}; F cannot be compared, which drops = {allowed} allows"
