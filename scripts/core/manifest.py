"""assets/annotations/manifest.json: which annotations there are, and what became of every record on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

import msgspec

from scripts.core.files import read_json, write_json

NAME = "manifest.json"
_LONGEST = 150  # of a file name: what is longer is cut, most file systems allow 255 bytes


class Entry(msgspec.Struct, kw_only=True):
    """One dataset. Of its records, and of their spans, read = kept + other_labels + skipped.

    file (str): Where its answers are, beside the manifest: a Task a line.
    sha256 (str), bytes (int): Of that file.
    labels (list[str]): What was annotated in it.
    records (dict[str, int]): "read" and their outcomes; "answers" is how many answers the kept ones hold.
    spans (dict[str, int]): "read" and their outcomes.
    reasons (dict[str, int]): Why records and spans were skipped; each of them is a line in `skipped/<file>`.
    notes (dict[str, int]): What was changed or looked odd without anything being lost.
    """

    file: str
    sha256: str
    bytes: int
    labels: list[str]
    records: dict[str, int]
    spans: dict[str, int]
    reasons: dict[str, int]
    notes: dict[str, int]


class Manifest(msgspec.Struct):
    """The datasets by name, sorted."""

    datasets: dict[str, Entry]


def file_name(dataset: str) -> str:
    """A dataset's file: its name, with what could lead elsewhere or fail on some system written as %XX."""
    name = quote(dataset, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 17]}-{hashlib.sha256(dataset.encode()).hexdigest()[:16]}"
    return f"{name}.jsonl"


def load(folder: Path) -> Manifest:
    """Read a folder's manifest. RAISES (UserError): If there is none, or it is damaged."""
    return read_json(folder / NAME, Manifest, "pull the annotations first", "pull the annotations again")


def digest(manifest: Manifest) -> str:
    """Digest of all that is known of the datasets."""
    entries = sorted(manifest.datasets.items())
    return hashlib.sha256(msgspec.json.encode(entries, order="sorted")).hexdigest()


def save(manifest: Manifest, folder: Path) -> None:
    """Write a folder's manifest; it comes last and vouches for the rest."""
    write_json(folder / NAME, manifest)
