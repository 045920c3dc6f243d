"""metrics/<run>-<digest>/: what a run was made of and what it scored. The same inputs land in the same folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from scripts.core.errors import UserError
from scripts.core.files import whole_file, write_json
from scripts.scoring import counts as counting
from scripts.scoring import examples as errors
from scripts.scoring.counts import Counts
from scripts.scoring.examples import Example
from scripts.scoring.metrics import Metrics

METRICS, COUNTS, CONFUSION, ERRORS, RUN = (
    "metrics.json", "counts.csv.gz", "confusion.json", "errors.jsonl.gz", "run.json"
)  # fmt: skip
_SHOWN = 8  # characters of the digest in the folder's name
T = TypeVar("T")


class Data(msgspec.Struct):
    """Digests of the corpora with which a run was trained (None: its models do not say) and evaluated."""

    trained: str | None
    evaluated: str


class Code(msgspec.Struct):
    """Digests of the project's modules that took part in training (None: not known) and in scoring.

    commit (str | None): Of git, when it was evaluated; None outside of a repository.
    uncommitted (list[str]): Files of code and configuration that were not as committed.
    """

    training: str | None
    scoring: str
    commit: str | None = None
    uncommitted: list[str] = []


class Trained(msgspec.Struct):
    """What the models were trained on.

    texts (int): How many.
    covered (dict[str, int]): By label: texts in which it is known everywhere.
    entities (dict[str, int]): By label: its entities; empty if the corpus is no longer there.
    """

    texts: int
    covered: dict[str, int]
    entities: dict[str, int]


class Confusion(msgspec.Struct):
    """confusion.json: how often entities of one label were found as another, whatever the borders.

    labels (list[str]): Sorted.
    seeds (dict[str, list[list[int]]]): By seed: a row for each label of the gold, and a last one for what was found
        where there is nothing; a column for each label that was found, and a last one for what was missed.
    """

    labels: list[str]
    seeds: dict[str, list[list[int]]]


class TrainingConfig(msgspec.Struct):
    """The models' config without paths and seeds, see `Trained`, and its digest."""

    digest: str
    text: str


class Run(msgspec.Struct, kw_only=True):
    """run.json.

    run (str): Its name.
    digest (str): Of its data, config, seeds and training code (of the models, if these do not say): `identity`.
    time (str): When it was first evaluated, in UTC.
    seeds (list[int]): A model each.
    models (dict[str, str]): Digests of the models' files, by seed.
    model_bytes (int): Size of the first.
    versions (dict[str, dict[str, str]]): Of Python and packages, in "training" and "evaluation".
    tests (dict[str, str]): By label: digest of the texts it is scored on and their gold. Scores of a label are of
        the same test if and only if these are equal.
    config (TrainingConfig): What the models were trained with.
    trained (Trained | None): What they were trained on; None if they do not say.
    words_per_second (dict[str, int]): By seed, when it was first evaluated: tokens of the raw texts.
    """

    run: str
    digest: str
    time: str
    seeds: list[int]
    data: Data
    code: Code
    models: dict[str, str]
    model_bytes: int
    versions: dict[str, dict[str, str]]
    tests: dict[str, str]
    config: TrainingConfig
    trained: Trained | None = None
    words_per_second: dict[str, int] = {}

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.run}-{self.digest[:_SHOWN]}"


class Scored(NamedTuple):
    """A run and its scores."""

    run: Run
    metrics: Metrics


def identity(data: Data, config: str, seeds: list[int], code: str | None, models: Mapping[str, str]) -> str:
    """The digest of a run. That of its models matters only if they do not say what they were trained on."""
    what = [data, config, seeds, code, None if data.trained and code else models]
    return hashlib.sha256(msgspec.json.encode(what, order="sorted")).hexdigest()


class Evaluated(NamedTuple):
    """A run and all that was found out about it.

    counts (Counts): By seed, text and label.
    errors (Sequence[Example]): Some of the first seed's.
    """

    run: Run
    metrics: Metrics
    counts: Counts
    confusion: Confusion
    errors: Sequence[Example]


def save(found: Evaluated, output: Path) -> Path:
    """Write a run's folder; run.json comes last and vouches for the rest.

    A run that was there keeps what is not the same each time: when it was evaluated, how fast, at which commit.

    output (Path): Holds the runs.
    RETURNS (Path): The folder.
    """
    run = found.run
    folder = output / run.folder
    try:
        before = load(folder).run
        if before.digest == run.digest:
            run.time, run.words_per_second = before.time, before.words_per_second
            run.code.commit, run.code.uncommitted = before.code.commit, before.code.uncommitted
    except UserError:
        pass
    for name, content in ((COUNTS, counting.pack(found.counts)), (ERRORS, errors.pack(found.errors))):
        with whole_file(folder / name) as file:
            file.write(content)
    write_json(folder / CONFUSION, found.confusion)
    write_json(folder / METRICS, found.metrics)
    write_json(folder / RUN, run)
    return folder


def load(folder: Path) -> Scored:
    """Read a run's folder. RAISES (UserError): If something in it is missing or damaged."""
    return Scored(_read(folder / RUN, Run), _read(folder / METRICS, Metrics))


def load_counts(folder: Path) -> Counts:
    """Read a run's counts. RAISES (UserError): If they are missing or damaged."""
    path = folder / COUNTS
    try:
        return counting.unpack(path.read_bytes())
    except OSError as err:
        raise UserError(f"{path}: {err.strerror}") from err
    except UserError as err:
        raise UserError(f"{path}: {err}") from err


def load_confusion(folder: Path) -> Confusion:
    """Read a run's confusion. RAISES (UserError): If it is missing or damaged."""
    return _read(folder / CONFUSION, Confusion)


def load_errors(folder: Path) -> list[Example]:
    """Read a run's examples of errors; none where they are not at hand. RAISES (UserError): If they are damaged."""
    return errors.load(folder / ERRORS)


def load_all(folder: Path) -> tuple[list[Scored], list[str]]:
    """All runs in a folder, by time, then name; and why others were left out."""
    runs, left_out = [], []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and not path.name.startswith("."):
            try:
                runs.append(_named(load(path), path))
            except UserError as err:
                left_out.append(str(err))
    return sorted(runs, key=lambda scored: (scored.run.time, scored.run.folder)), left_out


def _named(scored: Scored, path: Path) -> Scored:
    """RAISES (UserError): If the folder is a copy under another name, which would be the same run twice."""
    if path.name != scored.run.folder:
        raise UserError(f"{path}: holds the run {scored.run.folder}; give it that name")
    return scored


def _read(path: Path, of: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=of)
    except OSError as err:
        raise UserError(f"{path}: {err.strerror}") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise UserError(f"{path}: is damaged ({err})") from err


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
