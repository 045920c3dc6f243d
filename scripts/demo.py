"""Fetch real annotations to try the project with: US addresses, as a Prodigy database with a dataset a label.

The demo's annotations: US addresses, as the Prodigy database of someone who annotated label by label.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sqlite3
import string
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import spacy
import srsly
from rich.console import Console
from rich.table import Table
from spacy.language import Language

from scripts.core.answers import Span
from scripts.core.errors import UserError, run_step
from scripts.core.files import whole_path
from scripts.core.hashing import fraction, input_hash, normalized, task_hash
from scripts.exporting.prodigy import prodigy_span, prodigy_token
from scripts.reporting.console import plain_console

RELEASE = "usaddress-0.5.16"
REQUIREMENT = Path(__file__).parent.parent / "assets" / "demo.txt"

# pip asks a source distribution for its metadata even if it shall only be downloaded, which for this one means to
# fetch eight packages by no hash and to run their code and its own. This stands in for them and runs nothing.
_BACKEND = f"""
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = Path(folder, "{RELEASE}.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: {{}}\\nVersion: {{}}\\n".format(
        *"{RELEASE}".split("-")))
    return info.name
"""


def main() -> None:
    """Fetch the annotations and write the database. One in which somebody annotated since is left alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("assets/demo/prodigy.db"), help="default: %(default)s")
    output = parser.parse_args().output
    console = plain_console()
    if output.exists() and not is_pristine(output):
        console.print(f"⚠ {output} holds more than the demo: left as it is. Remove it to have the demo made anew.")
        return
    with console.status(f"Fetching {RELEASE} …"):
        xml = fetch()
    addresses = parse_addresses(xml)
    report(console, write_database(addresses, output), output)


def fetch() -> bytes:
    """Let pip fetch the source distribution and check its hash, and read the annotations out of it in memory.

    RAISES (UserError): If pip cannot: no network, no such release, or another hash.
    """
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        with tarfile.open(Path(folder, f"{RELEASE}.tar.gz")) as archive:
            member = archive.extractfile(f"{RELEASE}/training/labeled.xml")
            assert member is not None  # a regular file: the hash says so
            return member.read()


def _download(folder: Path) -> None:
    backend = folder / "backend" / "setuptools"
    backend.mkdir(parents=True)
    backend.joinpath("__init__.py").touch()
    backend.joinpath("build_meta.py").write_text(_BACKEND, encoding="utf8")
    options = "--no-deps --no-binary :all: --require-hashes --no-build-isolation --retries 1 --no-input --quiet"
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options.split(), "-r", str(REQUIREMENT), "-d", str(folder)],
        env=os.environ | {"PYTHONPATH": str(backend.parent)},
        capture_output=True,
        encoding="utf8",
        errors="replace",
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        said = next((line for line in lines if line.startswith("ERROR:")), lines[-1])
        raise UserError(f"the demo needs pip and the network to fetch {RELEASE}; nothing was changed. pip: {said}")


def report(console: Console, datasets: list[Dataset], output: Path) -> None:
    """Say on one screen what is in the database."""
    table = Table("dataset", "label", "texts", "entities", box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for dataset in datasets:
        table.add_row(dataset.name, dataset.label, f"{dataset.texts:,}", f"{dataset.entities:,}")
    console.print(table)
    entities = sum(dataset.entities for dataset in datasets)
    console.print(f"\n✔ {output}: {len(datasets)} Prodigy datasets, {entities:,} entities, by one annotator.")
    console.print("A fifth of each label's annotations is left out of the texts to train on, as if not made yet.")
    console.print("These are US addresses, not prose: short, formulaic texts on which scores come out high.")


MIN_ENTITIES = 50
LEFT_OUT = 0.2  # share of a label's annotations, among texts to train on
EVALUATION = 0.3  # share of the texts that configs/datasets.cfg puts into dev and test
ANNOTATOR = "demo"

# Stripped from the edges of spans. Not ".", "#" and "-": they are inside the tokens "St.", "#4" and "Monroe-".
_EDGE = ',;:()"' + string.whitespace
_CREATED = 1_735_689_600  # 2025-01-01, fixed so that the file's bytes are too
_SECONDS_A_TASK = 2
_MARK = 0x1ABE1  # the database's user_version, which Prodigy leaves at 0
# The schema of real Prodigy databases, statement by statement.
_SCHEMA = """
CREATE TABLE "dataset" ("id" INTEGER NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL, "created" INTEGER NOT NULL, \
"meta" BLOB NOT NULL, "session" INTEGER NOT NULL);
CREATE UNIQUE INDEX "dataset_name" ON "dataset" ("name");
CREATE TABLE "example" ("id" INTEGER NOT NULL PRIMARY KEY, "input_hash" INTEGER NOT NULL, \
"task_hash" INTEGER NOT NULL, "content" BLOB NOT NULL);
CREATE TABLE "link" ("id" INTEGER NOT NULL PRIMARY KEY, "example_id" INTEGER NOT NULL, \
"dataset_id" INTEGER NOT NULL, FOREIGN KEY ("example_id") REFERENCES "example" ("id"), \
FOREIGN KEY ("dataset_id") REFERENCES "dataset" ("id"));
CREATE INDEX "link_example_id" ON "link" ("example_id");
CREATE INDEX "link_dataset_id" ON "link" ("dataset_id");
"""


class Address(NamedTuple):
    """A text and the spans of all its labels."""

    text: str
    spans: list[Span]


class Dataset(NamedTuple):
    """A Prodigy dataset in which texts were annotated for one label."""

    name: str
    label: str
    texts: int
    entities: int


def parse_addresses(xml: bytes) -> list[Address]:
    """The addresses in usaddress's training data, each text once.

    Neighbouring tokens of one label are one span; commas, colons, brackets and quotes are stripped off its edges.
    Of texts that repeat only the first is kept, as Prodigy would not ask a second time: 25 of 1,513, all of them
    annotated as before.

    xml (bytes): `training/labeled.xml`: an element a token, named by its label.
    """
    addresses: dict[str, Address] = {}
    for element in ElementTree.fromstring(xml):
        address = _address(element)
        addresses.setdefault(address.text, address)
    return list(addresses.values())


def _address(element: ElementTree.Element) -> Address:
    text = ""
    tokens = []
    for token in element:
        tokens.append(Span(len(text), len(text) + len(token.text or ""), token.tag))
        text += (token.text or "") + (token.tail or "")
    joined = [list(group) for _, group in itertools.groupby(tokens, key=lambda token: token.label)]
    spans = (_stripped(text, Span(group[0].start, group[-1].end, group[0].label)) for group in joined)
    return Address(text.rstrip(), [span for span in spans if span.start < span.end])


def _stripped(text: str, span: Span) -> Span:
    covered = text[span.start : span.end]
    start = span.end - len(covered.lstrip(_EDGE))
    return Span(start, start + len(covered.strip(_EDGE)), span.label)


def datasets(addresses: list[Address]) -> list[Dataset]:
    """One dataset a label that has at least 50 entities, named like the label in snake case, sorted by name."""
    labels = Counter(span.label for address in addresses for span in address.spans)
    found = []
    for label in (label for label, count in labels.items() if count >= MIN_ENTITIES):
        own = [address for address in addresses if is_annotated(address.text, label)]
        entities = sum(span.label == label for address in own for span in address.spans)
        found.append(Dataset(dataset_name(label), label, len(own), entities))
    return sorted(found)


def is_annotated(text: str, label: str) -> bool:
    """Whether a text is in the dataset of a label: a hash leaves a fifth out, but none of the texts to evaluate on.

    So it is with real annotations, of which some are always missing, and so a model must learn from what there is.
    """
    return fraction(normalized(text)) < EVALUATION or fraction(f"{label} {text}") >= LEFT_OUT


def dataset_name(label: str) -> str:
    """`USPSBoxID` becomes `usps_box_id`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", label).lower()


def write_database(addresses: list[Address], path: Path) -> list[Dataset]:
    """Write a Prodigy database, whole or not at all; the same addresses make the same bytes.

    addresses (list[Address]): Texts without repeats.
    path (Path): Where. A file that is there is replaced.
    RETURNS (list[Dataset]): What is in it.
    """
    found = datasets(addresses)
    prepared = list(_prepare(addresses))
    with whole_path(path) as temporary, closing(sqlite3.connect(temporary)) as database, database:
        database.executescript(f"PRAGMA journal_mode = MEMORY; BEGIN; {_SCHEMA} PRAGMA user_version = {_MARK};")
        for number, dataset in enumerate(found):
            _insert(database, dataset, prepared, _CREATED + number * len(prepared) * _SECONDS_A_TASK)
    return found


def is_pristine(path: Path) -> bool:
    """Whether a database is a demo as it was written: nothing was written to it since.

    It was written in one transaction, and SQLite counts those in the file's header, where our mark is too. In
    WAL mode it does not; so whatever is in that mode, or has a log or journal beside it, was in use.
    See https://www.sqlite.org/fileformat.html#the_database_header.

    RAISES (UserError): If the file is no SQLite database at all.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise UserError(f"{path}: is no Prodigy database, and is not overwritten; choose another --output")
    versions, transactions, mark = header[18:20], *struct.unpack(">24xI32xI", header[:64])
    beside = any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal"))
    return (versions, transactions, mark) == (b"\1\1", 1, _MARK) and not beside


class _Prepared(NamedTuple):
    """What the tasks of all labels share for one text."""

    task: dict[str, Any]
    spans: list[dict[str, Any]]


def _prepare(addresses: Iterable[Address]) -> Iterator[_Prepared]:
    nlp = spacy.blank("en")
    for text, spans in addresses:
        tokens = _tokens(nlp, text)
        starts = {token["start"]: token["id"] for token in tokens}
        ends = {token["end"]: token["id"] for token in tokens}
        hashed = input_hash(text)
        task = {
            "text": text,
            "_input_hash": hashed,
            "_task_hash": task_hash(hashed, []),  # a task is hashed as it is shown, before it is annotated
            "_is_binary": False,
            "tokens": tokens,
            "_view_id": "ner_manual",
        }
        yield _Prepared(task, [prodigy_span(span, starts[span.start], ends[span.end]) for span in spans])


def _tokens(nlp: Language, text: str) -> list[dict[str, Any]]:
    return [
        prodigy_token(text, token.i, token.idx, token.idx + len(token), bool(token.whitespace_))
        for token in nlp.make_doc(text)
    ]


def _insert(database: sqlite3.Connection, dataset: Dataset, prepared: list[_Prepared], began: int) -> None:
    """Add the dataset, the dataset of its one session, and the examples, which are linked to both."""
    session = f"{dataset.name}-{ANNOTATOR}"
    add_dataset = "INSERT INTO dataset (name, created, meta, session) VALUES (?, ?, ?, ?)"
    add_example = "INSERT INTO example (input_hash, task_hash, content) VALUES (?, ?, ?)"
    ids = [
        database.execute(add_dataset, (name, began, b"{}", is_session)).lastrowid
        for name, is_session in ((dataset.name, 0), (session, 1))
    ]
    examples = []
    annotated = (each for each in prepared if is_annotated(each.task["text"], dataset.label))
    for number, (task, spans) in enumerate(annotated, 1):
        answered = task | {
            "spans": [span for span in spans if span["label"] == dataset.label],
            "answer": "accept",
            "_timestamp": began + number * _SECONDS_A_TASK,
            "_annotator_id": session,
            "_session_id": session,
        }
        row = (task["_input_hash"], task["_task_hash"], srsly.json_dumps(answered).encode("utf8"))
        examples.append(database.execute(add_example, row).lastrowid)
    links = itertools.product(ids, examples)
    database.executemany("INSERT INTO link (dataset_id, example_id) VALUES (?, ?)", links)


if __name__ == "__main__":
    run_step(main)
