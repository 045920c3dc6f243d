"""metrics/<run>-<digest>/: the record, scores and counts of a run. The same inputs make the same folder.

All runs as one data frame, for instance in a notebook:

    from scripts.scoring import runs

    frame = runs.frame("metrics")
    f = frame.pivot(index="time", columns="label", values="f")
    f.plot(style="o-", ylim=(0, 1))
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from scripts.core.errors import UserError
from scripts.core.files import UNREADABLE, Count, damaged, whole_file, write_json
from scripts.scoring import counts as counting
from scripts.scoring import examples
from scripts.scoring.counts import Counts
from scripts.scoring.examples import ErrorExample
from scripts.scoring.metrics import COLUMNS, Macro, Metrics, Score
from scripts.scoring.reliability import ReliabilityDiagrams

if TYPE_CHECKING:
    import pandas as pd

METRICS, COUNTS, CONFUSION, RUN = "metrics.json", "counts.csv.gz", "confusion.json", "run.json"
RELIABILITY = "reliability.json"
_AGAIN = "evaluate again, or remove the folder"
_SHOWN = 8  # characters of the digest in the folder's name
MAY_KNOW_TESTS = "was trained on another corpus than it is evaluated on, and may have learned texts of the test"
T = TypeVar("T")


class RunData(msgspec.Struct):
    """Digests of the corpora that a run was trained on (None: its models have no record of it) and evaluated on."""

    trained: str | None
    evaluated: str


class RunCode(msgspec.Struct):
    """Digests of the project's modules used in training (None: no record), in scoring, and in all of an evaluation."""

    training: str | None
    scoring: str
    commit: str | None = None  # of git, at the first evaluation; None outside of a repository
    uncommitted: list[str] = []  # files of code and configuration with uncommitted changes
    evaluation: str = ""


class TrainingData(msgspec.Struct):
    """Numbers of training texts of a run, of those in which a label is covered, and of each label's entities."""

    texts: Count
    covered: dict[str, Count]
    entities: dict[str, Count]  # empty if the corpus has changed since
    outdated: list[str] = []  # labels that were trained on another corpus than the run is evaluated on


class Confusion(msgspec.Struct):
    """confusion.json: entities by their label and the label they are predicted as, whatever the boundaries.

    seeds (dict[str, list[list[int]]]): By seed: a row for each label of the gold, and a last one for spurious
        predictions; a column for each predicted label, and a last one for missed entities.
    """

    labels: list[str]  # sorted
    seeds: dict[str, list[list[Count]]]

    def __post_init__(self) -> None:
        """RAISES (ValueError): If a table has other rows or columns."""
        size = len(self.labels) + 1
        if any({len(table), *map(len, table)} != {size} for table in self.seeds.values()):
            raise ValueError(f"a table has not {size} rows and columns")


class TrainingConfig(msgspec.Struct):
    """The models' config without paths and seeds, and its digest."""

    digest: str
    text: str


class Run(msgspec.Struct, kw_only=True):
    """run.json.

    tests (dict[str, str]): By label: digest of the texts it is scored on and their gold. Scores of a label can be
        compared if and only if these are equal.
    """

    run: str  # its name
    digest: str  # see `identity`
    time: str  # of the first evaluation, in UTC
    seeds: list[int]  # a model each
    data: RunData
    code: RunCode
    models: dict[str, str]  # digests of the models' files, by seed
    model_bytes: Count  # of the first
    versions: dict[str, dict[str, str]]  # of Python and packages, and "blas", in "training" and "evaluation"
    tests: dict[str, str]
    config: TrainingConfig
    trained: TrainingData | None = None  # None if the models have no record of it
    words_per_second: dict[str, Count] = {}  # by seed, at the first evaluation: tokens of the raw texts

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.run}-{self.digest[:_SHOWN]}"

    @property
    def relearned(self) -> list[str]:
        """Labels that were trained on the data it is evaluated on, if the others were not: by `train-label`."""
        outdated = self.trained.outdated if self.trained else []
        return [label for label in self.tests if label not in outdated] if outdated else []

    @property
    def is_outdated(self) -> bool:
        """Whether no label was trained on the data it is evaluated on, so that test texts may have been learned."""
        return bool(self.trained and self.trained.outdated) and not self.relearned


class ScoredRun(NamedTuple):
    """A run and its scores."""

    run: Run
    metrics: Metrics

    @property
    def digest(self) -> str:
        """Digest of the scores: evaluated again, by other code for example, the same run may have others."""
        return hashlib.sha256(msgspec.json.encode(self.metrics, order="sorted")).hexdigest()

    def of_seed(self, seed: int) -> Metrics:
        """Scores of the model of a seed; those of the run are means if it has several."""
        return self.metrics.seeds.get(str(seed), self.metrics)

    def rows(self) -> Iterator[tuple[str, str, Score | Macro]]:
        """Yield kind ("label", "micro" or "macro"), name and scores of all rows of a table."""
        yield from (("label", label, score) for label, score in self.metrics.labels.items())
        yield "micro", "micro", self.metrics.micro
        yield "macro", "macro", self.metrics.macro

    def scores(self, kind: str, name: str) -> Score | Macro | None:
        """Scores of a row, see `rows`; None if there is no such label."""
        return self.metrics.labels.get(name) if kind == "label" else getattr(self.metrics, kind)


class EvaluatedRun(NamedTuple):
    """A run and all results of its evaluation."""

    run: Run
    metrics: Metrics
    counts: Counts
    confusion: Confusion
    errors: Sequence[ErrorExample]  # of the first seed
    reliability: ReliabilityDiagrams | None = None  # None if predicted spans have no calibrated probabilities


def identity(
    data: RunData, config: str, seeds: list[int], code: str | None, blas: str | None, models: Mapping[str, str]
) -> str:
    """Digest of a run. That of its models matters only if they have no record of their training data and code.

    blas (str | None): What its models were trained with: see `scripts.model.models.blas`.
    """
    parts = [data, config, seeds, code, blas, None if data.trained and code else models]
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def save(found: EvaluatedRun, output: Path) -> Path:
    """Write a run's folder; run.json comes last, so that without it the folder is incomplete.

    A run that is there already keeps what differs from one evaluation to the next: time, speed and commit.
    RAISES (UserError): If it is there already and is scored on more.
    """
    run = found.run
    folder = output / run.folder
    previous = None
    with suppress(UserError):
        previous = load(folder)
    if previous and previous.run.digest == run.digest:
        _demand_as_much(found, previous, folder)
        run.time, run.words_per_second = previous.run.time, previous.run.words_per_second
        run.code.commit, run.code.uncommitted = previous.run.code.commit, previous.run.code.uncommitted
    for name, content in ((COUNTS, counting.pack(found.counts)), (examples.NAME, examples.pack(found.errors))):
        with whole_file(folder / name) as file:
            file.write(content)
    write_json(folder / CONFUSION, found.confusion)
    if found.reliability:
        write_json(folder / RELIABILITY, found.reliability)
    write_json(folder / METRICS, found.metrics)
    write_json(folder / RUN, run)
    return folder


def _demand_as_much(found: EvaluatedRun, previous: ScoredRun, folder: Path) -> None:
    """RAISES (UserError): If an evaluation of the same run has fewer texts or labels than the previous one."""
    texts, before = found.metrics.micro.texts, previous.metrics.micro.texts
    gone = sorted(previous.metrics.labels.keys() - found.metrics.labels.keys())
    if texts < before or gone:
        without = f" and without {', '.join(gone)}" if gone else ""
        raise UserError(
            f"{folder}: is scored on {before:,} texts, which stays: now it would be on {texts:,}{without}; make the "
            "corpus again: weasel run corpus"
        )


def load(folder: Path) -> ScoredRun:
    """Read a run and its scores. RAISES (UserError): If a file is missing or damaged."""
    return ScoredRun(_read(folder / RUN, Run), _read(folder / METRICS, Metrics))


def load_same(run: Run, output: Path) -> ScoredRun | None:
    """Read a run if it is stored whole, of the same models, by the same code and packages: evaluated again it would
    have the same scores.

    run (Run): As it is known before an evaluation.
    """
    folder = output / run.folder
    errors = folder / examples.NAME
    try:
        found = load(folder)
        load_counts(folder, found)
        is_whole = load_confusion(folder) is not None and errors.exists()
        is_whole = is_whole and _are_all(examples.load(errors), found.of_seed(found.run.seeds[0]))
        load_reliability(folder)
    except UserError:
        return None
    made_by = (
        (each.digest, each.models, each.code.evaluation, {**each.versions["evaluation"], "blas": ""})
        for each in (run, found.run)
    )
    return found if is_whole and len(set(map(msgspec.json.encode, made_by))) == 1 else None


def _are_all(errors: Iterable[ErrorExample], metrics: Metrics) -> bool:
    """Whether the errors of a model are as many as its scores say, or the most that are kept of a label and kind."""
    numbers = Counter[tuple[str, str]]()
    for label, score in metrics.labels.items():
        if score.errors:
            of_kinds = {**msgspec.structs.asdict(score.errors.fn), "spurious": score.errors.fp.spurious}
            numbers.update({(label, kind): min(int(number), examples.LIMIT) for kind, number in of_kinds.items()})
    return Counter((error.label, error.kind) for error in errors) == numbers


def load_counts(folder: Path, scored: ScoredRun) -> Counts:
    """Read a run's counts. RAISES (UserError): If they are missing or damaged, or not those of its scores."""
    path = folder / COUNTS
    found = counting.load(path)
    scores = {label: score for label, score in scored.metrics.labels.items() if score.texts}
    if counting.digests(found) != {label: scored.run.tests.get(label) for label in scores}:
        raise UserError(f"{path}: is damaged (not the texts that the run is scored on); {_AGAIN}")
    for label, counted in zip(found.labels, found.values.sum(1).mean(0)[:, :3].tolist(), strict=True):
        score = scores[label]
        if any(abs(one - other) > 1 for one, other in zip(counted, (score.tp, score.fp, score.fn), strict=True)):
            raise UserError(f"{path}: is damaged (other counts of {label} than the run's); {_AGAIN}")
    return found


def load_confusion(folder: Path) -> Confusion | None:
    """Read a run's confusion, if there is a file of it. RAISES (UserError): If it is damaged."""
    path = folder / CONFUSION
    return _read(path, Confusion) if path.exists() else None


def load_reliability(folder: Path) -> ReliabilityDiagrams | None:
    """Read a run's reliability diagrams, if there is a file of them. RAISES (UserError): If it is damaged."""
    path = folder / RELIABILITY
    return _read(path, ReliabilityDiagrams) if path.exists() else None


def load_all(folder: Path) -> tuple[list[ScoredRun], list[str]]:
    """Read all runs in a folder, by time, then name. Return them, and the reason for each folder that was skipped."""
    runs, skipped = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and not path.name.startswith("."):
            try:
                scored = load(path)
                if path.name != scored.run.folder:  # a copy, which would be the same run twice
                    raise UserError(f"{path}: holds the run {scored.run.folder}; give it that name")
                runs.append(scored)
            except UserError as err:
                skipped.append(str(err))
    return sorted(runs, key=lambda scored: (scored.run.time, scored.run.folder)), skipped


def load_some(folder: Path) -> tuple[list[ScoredRun], list[str]]:
    """Read all runs as `load_all`. RAISES (UserError): If there is none."""
    runs, skipped = load_all(folder)
    if not runs:
        raise UserError(f"{folder}: there is no run; evaluate a model first: weasel run evaluate")
    return runs, skipped


def of_model(digest: str, folder: Path) -> tuple[ScoredRun, int] | None:
    """Find the newest run in a folder that has a model, by the digest of its files, and the model's seed."""
    for scored in reversed(load_all(folder)[0]):
        for seed, evaluated in scored.run.models.items():
            if evaluated == digest:
                return scored, int(seed)
    return None


def load_comparable(folder: Path) -> tuple[list[ScoredRun], list[str]]:
    """Read the runs that are about the newest run's labels: those of another project, as the demo's, are skipped.

    Labels come and go in a project, so half of the labels of the run that has fewer of them must be the same.
    RAISES (UserError): If there is no run at all.
    """
    runs, skipped = load_some(folder)
    newest = set(runs[-1].run.tests)
    comparable = [scored for scored in runs if _share_labels(set(scored.run.tests), newest)]
    skipped += [f"{folder / scored.run.folder}: has other labels" for scored in runs if scored not in comparable]
    return comparable, skipped


def _share_labels(one: set[str], other: set[str]) -> bool:
    return 2 * len(one & other) >= min(len(one), len(other))


def _read(path: Path, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except FileNotFoundError as err:
        raise UserError(f"{path}: {err.strerror}") from err
    except UNREADABLE as err:
        raise damaged(path, err, _AGAIN) from err


def frame(folder: str | Path) -> pd.DataFrame:
    """Return all runs in a folder as a tidy data frame: a row for each run and label, a column for each metric.

    Rows of all labels together are "micro" and "macro" in `row`, and have these names in `label`.
    """
    return to_frame(load_all(Path(folder))[0])


def to_frame(runs: Sequence[ScoredRun]) -> pd.DataFrame:
    """Return runs as a data frame, see `frame`: run, time, seeds, row, label, `COLUMNS`, covered (training texts)."""
    import pandas as pd  # a third of a second, for the steps that make no table

    rows = [
        {"run": scored.run.folder, "time": scored.run.time, "seeds": len(scored.run.seeds), "row": row, "label": label}
        | {column.name: column.of(score) for column in COLUMNS}
        | {"covered": scored.run.trained.covered.get(label) if scored.run.trained and row == "label" else None}
        for scored in runs
        for row, label, score in scored.rows()
    ]
    columns = ["run", "time", "seeds", "row", "label", *(column.name for column in COLUMNS), "covered"]
    numbers = {"support": "Int64", "texts": "Int64", "covered": "Int64"}
    scores = {column.name: "float64" for column in COLUMNS if column.name not in numbers}
    return pd.DataFrame(rows, columns=columns).astype(numbers | scores)
