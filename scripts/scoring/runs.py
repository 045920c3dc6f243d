"""metrics/<run>-<digest>/: what a run was made of and what it scored. The same inputs land in the same folder."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec
import numpy as np

from scripts.annotations.errors import UserError
from scripts.annotations.files import whole_file, write_json
from scripts.scoring.metrics import Metrics

if TYPE_CHECKING:  # what only looks at scores needs no spaCy
    from scripts.scoring.counts import Counts

METRICS, COUNTS, RUN = "metrics.json", "counts.csv.gz", "run.json"
_SHOWN = 8  # characters of the digest in the folder's name
T = TypeVar("T")


class Data(msgspec.Struct):
    """Digests of the corpora with which a run was trained (None: its models do not say) and evaluated."""

    trained: str | None
    evaluated: str


class Code(msgspec.Struct):
    """Digests of the project's modules that took part in training (None: not known) and in scoring."""

    training: str | None
    scoring: str


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


def save(run: Run, metrics: Metrics, counts: Mapping[int, Counts], output: Path) -> Path:
    """Write a run's folder; run.json comes last and vouches for the rest. A run that was there keeps its time.

    counts (Mapping[int, Counts]): By seed.
    output (Path): Holds the runs.
    RETURNS (Path): The folder.
    """
    folder = output / run.folder
    try:
        before = load(folder).run
        run.time = before.time if before.digest == run.digest else run.time
    except UserError:
        pass
    with whole_file(folder / COUNTS) as file:
        file.write(pack(counts))
    write_json(folder / METRICS, metrics)
    write_json(folder / RUN, run)
    return folder


def load(folder: Path) -> Scored:
    """Read a run's folder. RAISES (UserError): If something in it is missing or damaged."""
    return Scored(_read(folder / RUN, Run), _read(folder / METRICS, Metrics))


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


def pack(counts: Mapping[int, Counts]) -> bytes:
    """counts.csv.gz: seed, text, label, tp, fp, fn; a line for each text and label that is scored, sorted."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["seed", "text", "label", "tp", "fp", "fn"])
    for seed in sorted(counts):
        found = counts[seed]
        for row, column in np.argwhere(found.is_scored).tolist():
            rows.writerow([seed, found.texts[row], found.labels[column], *found.values[row, column].tolist()])
    return gzip.compress(text.getvalue().encode(), mtime=0)
