"""assets/annotations/manifest.json: the annotations that were pulled, with an account of every record."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from scripts.core.errors import UserError
from scripts.core.files import Count, demand_sum, read_json, restrict, write_state

NAME = "manifest.json"
OUTCOMES = ("kept", "other_labels", "other_annotators", "no_answer", "skipped")  # of a record, and of a span
_MAX_LENGTH = 150  # of a file name; most file systems allow 255 bytes


class Entry(msgspec.Struct, kw_only=True):
    """One dataset. Of its records, and of their spans, read = kept + other_labels + other_annotators + no_answer +
    skipped.

    file (str): The file of its answers, beside the manifest: a Task a line.
    sha256 (str), bytes (int): Of that file.
    records (dict[str, int]), spans (dict[str, int]): Counts by outcome; "answers" are those in the records kept.
    reasons (dict[str, int]): Reasons of the skipped records and spans, each of which is a line in `skipped/<file>`.
    notes (dict[str, int]): Oddities by which nothing was lost, and the kinds of what is no answer.
    other_labels (dict[str, int]): Spans by label that are not taken, since their labels are not asked for.
    other_annotators (dict[str, int]): Answers by annotator that are not taken, since others are asked for.
    renamed (dict[str, int]): Spans by the two names of their label, "PER → PERSON", where ours differs.
    missing_labels (list[str]): Labels of the source that are asked for and of which no answer has a span.
    missing_annotators (list[str]): Annotators who are asked for and have no answer.
    """

    file: str
    sha256: str
    bytes: Count
    labels: list[str]
    records: dict[str, Count]
    spans: dict[str, Count]
    reasons: dict[str, Count]
    notes: dict[str, Count]
    other_labels: dict[str, Count] = {}
    other_annotators: dict[str, Count] = {}
    renamed: dict[str, Count] = {}
    missing_labels: list[str] = []
    missing_annotators: list[str] = []

    def __post_init__(self) -> None:
        """RAISES (ValueError): If the counts do not add up, or the file is elsewhere."""
        for counts in (self.records, self.spans):
            demand_sum(counts, "read", OUTCOMES)
        if "/" in self.file or "\\" in self.file:
            raise ValueError(f"{self.file} is not beside it")


class Manifest(msgspec.Struct):
    """The datasets by name, sorted."""

    datasets: dict[str, Entry]


def file_name(dataset: str) -> str:
    """Return the file name of a dataset: characters that mean something in a path are written as %XX."""
    name = quote(dataset, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _MAX_LENGTH:
        name = f"{name[: _MAX_LENGTH - 17]}-{hashlib.sha256(dataset.encode()).hexdigest()[:16]}"
    return f"{name}.jsonl"


def join_entries(entries: Sequence[Entry]) -> Entry:
    """The account of a dataset from the accounts of its parts."""
    first = entries[0]
    sums = {
        name: sum((Counter(getattr(entry, name)) for entry in entries), Counter[str]())
        for name in ("records", "spans", "reasons", "notes", "other_labels", "other_annotators", "renamed")
    }
    return Entry(
        file=first.file, sha256=hashlib.sha256("\n".join(entry.sha256 for entry in entries).encode()).hexdigest(),
        bytes=sum(entry.bytes for entry in entries), labels=first.labels,
        records={outcome: sums["records"][outcome] for outcome in first.records},
        spans={outcome: sums["spans"][outcome] for outcome in first.spans},
        reasons=dict(sorted(sums["reasons"].items())), notes=dict(sorted(sums["notes"].items())),
        other_labels=dict(sorted(sums["other_labels"].items())),
        other_annotators=dict(sorted(sums["other_annotators"].items())), renamed=dict(sorted(sums["renamed"].items())),
        missing_labels=sorted(set.intersection(*({*entry.missing_labels} for entry in entries))),
        missing_annotators=sorted(set.intersection(*({*entry.missing_annotators} for entry in entries))),
    )  # fmt: skip


def load(folder: Path) -> Manifest:
    """Read a folder's manifest, and let what is made of the annotations be as private as they are.

    RAISES (UserError): If there is none, or it is damaged.
    """
    restrict(folder / NAME)
    return read_json(
        folder / NAME, Manifest, "pull the annotations first: weasel run pull", "pull again: weasel run pull"
    )


def demand_same_datasets(config: Iterable[str], found: Iterable[str], where: str, mend: str) -> None:
    """RAISES (UserError): If a config has other datasets than a previous step found.

    where (str), mend (str): What the step did, and what to do: "assets/annotations: pulled", "pull again".
    """
    more, gone = (", ".join(sorted(names)) for names in (set(config) - set(found), set(found) - set(config)))
    differ = [f"without {more}"] * bool(more) + [f"with {gone}, which the config has not"] * bool(gone)
    if differ:
        raise UserError(f"{where} {' and '.join(differ)}; {mend}")


def digest(manifest: Manifest) -> str:
    """Digest of the manifest, to tell whether anything in it changed."""
    entries = sorted(manifest.datasets.items())
    return hashlib.sha256(msgspec.json.encode(entries, order="sorted")).hexdigest()


def save(manifest: Manifest, folder: Path) -> None:
    """Write a folder's manifest: last, since whoever finds it relies on the files that it names."""
    write_state(folder / NAME, manifest)
