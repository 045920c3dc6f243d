"""Fetch real annotations to try the project with: US addresses, as a Prodigy database with a dataset a label.

All of the demo is in this module, configs/datasets.cfg and assets/demo.txt: nothing else depends on it.
"""

import argparse
import itertools
import re
import sqlite3
import string
import struct
import tarfile
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import srsly
from rich.console import Console

from scripts.core.answers import Span
from scripts.core.errors import UserError, plain_console, run_step
from scripts.core.files import download, whole_path
from scripts.core.texts import fraction, input_hash, normalized, task_hash
from scripts.exporting.prodigy import ProdigyTokens
from scripts.exporting.tokens import Tokens
from scripts.reporting.console import new_table

RELEASE = "usaddress-0.5.16"
REQUIREMENT = Path(__file__).parent.parent / "assets" / "demo.txt"
MIN_ENTITIES = 50  # of a label, to get a dataset
MISSING = 0.2  # share of a label's annotations that are left out of the training texts
EVALUATION = 0.3  # share of the texts that configs/datasets.cfg puts into dev and test
ANNOTATOR = "demo"

# Stripped from the boundaries of spans. Not ".", "#" and "-": they belong to the tokens "St.", "#4" and "Monroe-".
_PUNCTUATION = ',;:()"' + string.whitespace
_CREATED = 1_735_689_600  # 2025-01-01, fixed so that the file's bytes are too
_SECONDS_PER_TASK = 2
_MARK = 0x1ABE1  # the database's user_version, which Prodigy leaves at 0

# pip asks a source distribution for its metadata even if it only downloads it, which for this one means to fetch eight
# packages without hashes and to run their code and its own. This build backend stands in for them and runs nothing.
_BACKEND = f"""
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = Path(folder, "{RELEASE}.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: {{}}\\nVersion: {{}}\\n".format(
        *"{RELEASE}".split("-")))
    return info.name
"""

# The schema of Prodigy's own databases, statement by statement.
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


class DemoDataset(NamedTuple):
    """A Prodigy dataset in which texts are annotated for one label."""

    name: str
    label: str
    texts: int
    entities: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("assets/demo/prodigy.db"), help="default: %(default)s")
    output = parser.parse_args().output
    console = plain_console()
    if output.exists() and not is_pristine(output):
        console.print(f"⚠ {output} has other annotations too and is left as it is; remove it to make the demo again")
        return
    with console.status(f"Fetching {RELEASE} …"):
        xml = fetch()
    print_datasets(console, write_database(parse_addresses(xml), output), output)


def print_datasets(console: Console, datasets: list[DemoDataset], output: Path) -> None:
    table = new_table("dataset", "label", "texts", "entities", text=["label"], gap=2)
    for name, label, texts, entities in datasets:
        table.add_row(name, label, f"{texts:,}", f"{entities:,}")
    console.print(table)
    total = sum(dataset.entities for dataset in datasets)
    console.print(f"\n✔ {output}: {len(datasets)} Prodigy datasets, {total:,} entities, by one annotator.")
    console.print("A fifth of each label's annotations is missing in the training texts, as if not made yet.")
    console.print("These are US addresses, not prose: short, formulaic texts on which scores are high.")


def fetch() -> bytes:
    """Download the source distribution with pip, which checks its hash, and return its file of annotations.

    RAISES (UserError): If pip fails: no network, no such release, or another hash.
    """
    with tempfile.TemporaryDirectory() as folder:
        _download(Path(folder))
        with tarfile.open(Path(folder, f"{RELEASE}.tar.gz")) as archive:
            member = archive.extractfile(f"{RELEASE}/training/labeled.xml")
            assert member is not None  # a regular file, by the hash
            return member.read()


def _download(folder: Path) -> None:
    backend = folder / "backend" / "setuptools"
    backend.mkdir(parents=True)
    backend.joinpath("__init__.py").touch()
    backend.joinpath("build_meta.py").write_text(_BACKEND, encoding="utf8")
    needs = f"the demo needs pip and the network to fetch {RELEASE}"
    options = ["--no-binary", ":all:", "--no-build-isolation"]
    download(REQUIREMENT, folder, needs, options, {"PYTHONPATH": str(backend.parent)})


def parse_addresses(xml: bytes) -> list[Address]:
    """Return the addresses in usaddress's training data, each text once.

    Neighboring tokens with the same label are one span; commas, colons, brackets and quotes at its boundaries are not
    part of it. Of equal texts the first is kept, as Prodigy would not ask a second time: 25 of 1,513, all of them
    annotated alike.

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
    spans = []
    for label, group in itertools.groupby(tokens, key=lambda token: token.label):
        start, *_, end = (offset for token in group for offset in (token.start, token.end))
        words = text[start:end]
        start = end - len(words.lstrip(_PUNCTUATION))
        spans.append(Span(start, start + len(words.strip(_PUNCTUATION)), label))
    return Address(text.rstrip(), [span for span in spans if span.start < span.end])


def choose_datasets(addresses: list[Address]) -> list[DemoDataset]:
    """Return a dataset for each label with at least 50 entities, sorted by name: the label in snake case."""
    labels = Counter(span.label for address in addresses for span in address.spans)
    datasets = []
    for label in (label for label, entities in labels.items() if entities >= MIN_ENTITIES):
        annotated = [address for address in addresses if is_annotated(address.text, label)]
        entities = sum(span.label == label for address in annotated for span in address.spans)
        datasets.append(DemoDataset(dataset_name(label), label, len(annotated), entities))
    return sorted(datasets)


def is_annotated(text: str, label: str) -> bool:
    """Whether a text is in the dataset of a label. A fifth is missing, chosen by hash, but no text to evaluate on.

    Real annotations are as incomplete, and the model has to learn from them.
    """
    return fraction(normalized(text)) < EVALUATION or fraction(f"{label} {text}") >= MISSING


def dataset_name(label: str) -> str:
    """`USPSBoxID` becomes `usps_box_id`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", label).lower()


def write_database(addresses: list[Address], path: Path) -> list[DemoDataset]:
    """Write a Prodigy database, whole or not at all; the same addresses give the same bytes.

    addresses (list[Address]): Different texts.
    """
    datasets = choose_datasets(addresses)
    tokens = Tokens({"lang": "en"})
    tasks = [_task(address, tokens) for address in addresses]
    with whole_path(path) as temporary, closing(sqlite3.connect(temporary)) as database, database:
        database.executescript(f"PRAGMA journal_mode = MEMORY; BEGIN; {_SCHEMA} PRAGMA user_version = {_MARK};")
        for number, dataset in enumerate(datasets):
            _insert(database, dataset, tasks, _CREATED + number * len(tasks) * _SECONDS_PER_TASK)
    return datasets


def is_pristine(path: Path) -> bool:
    """Whether a database is the demo as it was written, and nothing was written to it since.

    RAISES (UserError): If the file is not an SQLite database.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise UserError(f"{path}: is no Prodigy database, and is not overwritten; choose another --output")
    # The demo is written in one transaction, and SQLite counts transactions in the file's header, beside our mark. In
    # WAL mode it does not, so a database in that mode, or with a log or journal beside it, was in use.
    # See https://www.sqlite.org/fileformat.html#the_database_header.
    versions, transactions, mark = header[18:20], *struct.unpack(">24xI32xI", header[:64])
    has_log = any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal"))
    return (versions, transactions, mark) == (b"\1\1", 1, _MARK) and not has_log


def _task(address: Address, tokens: Tokens) -> dict[str, Any]:
    text, spans = address
    in_prodigy = ProdigyTokens(text, tokens.of(text))
    return {
        "text": text,
        "_input_hash": input_hash(text),
        "_task_hash": task_hash(input_hash(text), []),  # a task is hashed as it is shown, before it is annotated
        "_is_binary": False,
        "tokens": srsly.json_loads(bytes(in_prodigy.json)),
        "_view_id": "ner_manual",
        "spans": [in_prodigy.span(span) for span in spans],
    }


def _insert(database: sqlite3.Connection, dataset: DemoDataset, tasks: list[dict[str, Any]], began: int) -> None:
    """Insert a dataset, the dataset of its one session, and the examples, which are linked to both."""
    session = f"{dataset.name}-{ANNOTATOR}"
    add_dataset = "INSERT INTO dataset (name, created, meta, session) VALUES (?, ?, ?, ?)"
    add_example = "INSERT INTO example (input_hash, task_hash, content) VALUES (?, ?, ?)"
    ids = [
        database.execute(add_dataset, (name, began, b"{}", is_session)).lastrowid
        for name, is_session in ((dataset.name, 0), (session, 1))
    ]
    examples = []
    annotated = (task for task in tasks if is_annotated(task["text"], dataset.label))
    for number, task in enumerate(annotated, 1):
        answer = task | {
            "spans": [span for span in task["spans"] if span["label"] == dataset.label],
            "answer": "accept",
            "_timestamp": began + number * _SECONDS_PER_TASK,
            "_annotator_id": session,
            "_session_id": session,
        }
        row = (task["_input_hash"], task["_task_hash"], srsly.json_dumps(answer).encode("utf8"))
        examples.append(database.execute(add_example, row).lastrowid)
    links = itertools.product(ids, examples)
    database.executemany("INSERT INTO link (dataset_id, example_id) VALUES (?, ?)", links)


if __name__ == "__main__":
    run_step(main)
