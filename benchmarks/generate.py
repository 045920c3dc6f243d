"""Generate the typical input of merging: many Prodigy datasets, one a label, over the same texts.

Every text is in nearly every dataset. Some texts are answered again later, some by a second annotator who disagrees,
some answers are ignored or rejected; half of the datasets have the hashes of old Prodigy versions, a few texts share
their hash with another, and session datasets link every example a second time.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import IO, Literal, NamedTuple, TypeVar

import msgspec
from rich.console import Console
from rich.progress import track

from benchmarks.words import Text, Vocabulary, collisions, make_text, repeat_texts
from scripts.core.files import BUFFER, code_digest, whole_path, write_json
from scripts.core.texts import input_hashes, task_hash
from tests.prodigy import SCHEMA

Format = Literal["sqlite", "jsonl"]
Item = TypeVar("Item")

NAME = "generated.json"
DATABASE = "prodigy.db"
COLLIDING = 3  # pairs of texts
ANNOTATORS = ("ana", "ben")

# Shares of the texts of a dataset
MISSING = 0.01
IGNORED = 0.02
REJECTED = 0.01
SECOND = 0.02
AGAIN = 0.03
# Shares of the answers
CROSSING = 0.02  # overlap with another label
WITHIN = 0.003  # overlap within the label

_BYTES_A_TOKEN = 66  # of a task's JSON
_SLOTS = 4  # positions of a label in a text, so that labels rarely overlap
_BEGAN = 1_700_000_000
_RULES = """[merge]
memory_mb = 512

[system]
processes = 0

[datasets]
"""
_BLOCKS: dict[Format, str] = {
    "sqlite": '\n[datasets.{name}]\n@readers = "labelwise.ProdigyDatabase.v1"\npath = "{path}"\n'
    'dataset = "{name}"\nlabels = ["{label}"]\n',
    "jsonl": '\n[datasets.{name}]\n@readers = "labelwise.ProdigyJsonl.v1"\npath = "{path}"\nlabels = ["{label}"]\n',
}


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Size of the generated data, which is the same for the same size.

    datasets (int), tasks (int): Number of datasets, and of texts.
    kilobytes (float): JSON of a task, on average, in kB of 1,000 bytes.
    shuffle (int | None): Seed of another order of the rows and lines; None for the order in which they were answered.
    formats (list[Format]): Formats that are written.
    texts_from (str): A folder of real texts, whose lengths they keep; empty for synthetic ones.
    """

    datasets: int = 20
    tasks: int = 6000
    seed: int = 0
    kilobytes: float = 20
    shuffle: int | None = None
    formats: tuple[Format, ...] = ("sqlite", "jsonl")
    texts_from: str = ""


class Generated(msgspec.Struct, kw_only=True):
    """generated.json: content of a folder.

    answers (int): Tasks in all datasets.
    bytes (int): Size of their JSON.
    code (str): Digest of the generator.
    added (int): Answers that were added later.
    """

    size: Size
    answers: int
    bytes: int
    code: str
    added: int = 0


def name(dataset: int) -> str:
    """Name of a dataset, in Prodigy and in the config."""
    return f"label_{dataset:02}"


def label(dataset: int) -> str:
    """The one label of a dataset."""
    return f"LABEL_{dataset:02}"


# Texts


class TextInSpool(NamedTuple):
    """Position of a text's JSON in the spool, its hashes, and the offsets of its tokens. See `Text`."""

    position: int
    text_bytes: int
    token_bytes: int
    hashes: tuple[int, int]
    starts: memoryview
    ends: memoryview


class Texts:
    """All texts; their JSON, which is large, is on disk."""

    def __init__(self, size: Size, spool: IO[bytes]) -> None:
        self.spool = spool.fileno()
        self.kept: list[TextInSpool] = []
        position = 0
        for text in _watched(_texts(size), "Texts", size.tasks):
            spool.write(text.text + text.tokens)
            hashes = input_hashes(text.content)
            edges = memoryview(text.starts), memoryview(text.ends)
            self.kept.append(TextInSpool(position, len(text.text), len(text.tokens), hashes, *edges))
            position += len(text.text) + len(text.tokens)
        spool.flush()

    def json(self, number: int) -> tuple[bytes, bytes]:
        """The text and its tokens."""
        found = self.kept[number]
        both = os.pread(self.spool, found.text_bytes + found.token_bytes, found.position)
        return both[: found.text_bytes], both[found.text_bytes :]


def _texts(size: Size) -> Iterator[Text]:
    vocabulary = Vocabulary(size.seed)
    random = Random(f"texts {size.seed}")
    special = collisions(vocabulary, random, min(COLLIDING, size.tasks // 2))
    positions = dict(zip(random.sample(range(size.tasks), len(special)), special, strict=True))
    real = size.texts_from and Path(size.texts_from)
    texts = repeat_texts(real, random) if real else _synthetic_texts(size, vocabulary, random)
    for number, text in zip(range(size.tasks), texts, strict=False):
        yield positions.get(number, text)


def _synthetic_texts(size: Size, vocabulary: Vocabulary, random: Random) -> Iterator[Text]:
    mean = size.kilobytes * 1000 / _BYTES_A_TOKEN
    while True:
        words = max(8, round(mean * 0.88 * random.triangular(0.4, 1.6)))  # the rest is punctuation
        yield make_text(vocabulary.draw(random, words), random)


# Answers


class Answer(NamedTuple):
    """One answer: its dataset, text, version of the spans, annotator, and time."""

    dataset: int
    text: int
    version: int
    annotator: str
    answer: str
    timestamp: int


def answers(size: Size, dataset: int) -> list[Answer]:
    """The answers of a dataset in the order of time: all texts once, then those that are answered again."""
    random = Random(f"answers {size.seed} {dataset}")
    texts = [text for text in range(size.tasks) if random.random() >= MISSING]
    given = [(text, 0, "ana", _judgement(random)) for text in texts]
    given += [(text, 1, "ben", "accept") for text in texts if random.random() < SECOND]
    given += [(text, 2, "ana", "accept") for text in texts if random.random() < AGAIN]
    began = _BEGAN + 4 * dataset * size.tasks
    return [Answer(dataset, *rest, began + 2 * number) for number, rest in enumerate(given)]


def _judgement(random: Random) -> str:
    draw = random.random()
    return "ignore" if draw < IGNORED else "reject" if draw < IGNORED + REJECTED else "accept"


def new_answers(size: Size, before: int, number: int) -> list[Answer]:
    """Further answers for the first dataset, later than all others."""
    random = Random(f"added {size.seed} {before}")
    began = _BEGAN + 4 * (size.datasets + 1) * size.tasks
    texts = random.sample(range(size.tasks), number)
    return [Answer(0, text, 3 + before, "ana", "accept", began + before + i) for i, text in enumerate(texts)]


def spans(size: Size, answer: Answer, tokens: int) -> list[tuple[int, int]]:
    """First and last token of the spans of an answer, about three of them."""
    random = Random(f"spans {size.seed} {answer.dataset} {answer.text}")
    slots = _SLOTS * size.datasets
    rotated = 7919 * answer.text  # so that a label is not always in the same part of a text
    found = []
    for number in range(min(random.choice((2, 3, 3, 4)), max(1, tokens // slots * _SLOTS))):
        slot = answer.dataset * _SLOTS + number + _SLOTS * (random.random() < CROSSING)
        slot = (slot * 37 + rotated) % slots if slots % 37 else slot
        first = slot * tokens // slots
        width = max(1, (slot + 1) * tokens // slots - first)
        found.append((first, first + random.randrange(min(width, 3))))
    if random.random() < WITHIN and found[0][1] + 1 < tokens:
        found.append((found[0][0], found[0][1] + 1))
    if answer.version:
        found = _revised(found, Random(f"{answer.version} {answer.text}"), tokens)
    return sorted(found)


def _revised(found: list[tuple[int, int]], random: Random, tokens: int) -> list[tuple[int, int]]:
    """Slightly different spans: one is removed, one is longer."""
    changed = random.sample(found, len(found))
    first, last = changed.pop()
    if changed:
        first, last = changed.pop()
    longer = (first, min(last + 1, tokens - 1))
    return [*(span for span in changed if span != longer), longer]


class ExampleRow(NamedTuple):
    """A row of Prodigy's table `example`, and the annotator."""

    input_hash: int
    task_hash: int
    content: bytes
    annotator: str


class TaskWriter:
    """Makes rows of answers, and counts them and their bytes."""

    def __init__(self, size: Size, texts: Texts) -> None:
        self.size = size
        self.texts = texts
        self.answers = 0
        self.bytes = 0

    def order(self) -> Iterable[int]:
        """The datasets in their order; resets the counts."""
        self.answers = self.bytes = 0
        order = list(range(self.size.datasets))
        if self.size.shuffle is not None:
            Random(f"datasets {self.size.shuffle}").shuffle(order)
        return _watched(order, "Datasets", len(order))

    def row(self, answer: Answer) -> ExampleRow:
        """An answer as today's Prodigy stores it; every second dataset has the hashes of an old version."""
        kept = self.texts.kept[answer.text]
        text, tokens = self.texts.json(answer.text)
        hashed = kept.hashes[answer.dataset % 2]
        task = task_hash(hashed, [])
        session = f"{name(answer.dataset)}-{answer.annotator}"
        content = b"".join((
            b'{"text":', text,
            f',"meta":{{"document":"document-{answer.text:06}"}},"_input_hash":{hashed},"_task_hash":{task},'
            '"_is_binary":false,"tokens":'.encode(), tokens,
            f',"_view_id":"ner_manual","spans":[{self._spans(answer, kept)}],"answer":"{answer.answer}",'
            f'"_timestamp":{answer.timestamp},"_annotator_id":"{session}","_session_id":"{session}"}}'.encode(),
        ))  # fmt: skip
        self.answers += 1
        self.bytes += len(content)
        return ExampleRow(hashed, task, content, answer.annotator)

    def _spans(self, answer: Answer, kept: TextInSpool) -> str:
        return ",".join(
            f'{{"start":{kept.starts[first]},"end":{kept.ends[last]},"token_start":{first},"token_end":{last},'
            f'"label":"{label(answer.dataset)}"}}'
            for first, last in spans(self.size, answer, len(kept.starts))
        )

    def rows(self, dataset: int) -> Iterator[ExampleRow]:
        """All rows of a dataset, in the order of time, or shuffled."""
        given = answers(self.size, dataset)
        if self.size.shuffle is not None:
            Random(f"order {self.size.shuffle} {dataset}").shuffle(given)
        return map(self.row, given)


# Files


def generate(folder: Path, size: Size) -> Generated:
    """Write the data into a folder, unless they are there already.

    folder (Path): Gets `prodigy.db` or `label_00.jsonl` and so on, `datasets-<format>.cfg`, and `generated.json`.
    size (Size): Number of datasets and texts, and formats.
    RETURNS (Generated): Counts of what was written.
    """
    code = code_digest(Path(__file__), Path(__file__).with_name("words.py"))
    found = load(folder)
    if found and (found.size, found.code, found.added) == (size, code, 0):
        return found
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)
    with tempfile.TemporaryFile(dir=folder) as spool:
        writer = TaskWriter(size, Texts(size, spool))
        for kind in size.formats:
            (_write_database if kind == "sqlite" else _write_jsonl)(folder, writer)
            write_config(folder / f"datasets-{kind}.cfg", folder, kind, size.datasets)
    generated = Generated(size=size, answers=writer.answers, bytes=writer.bytes, code=code)
    write_json(folder / NAME, generated)
    return generated


def load(folder: Path) -> Generated | None:
    """Read generated.json; None if it is missing or of another version."""
    try:
        return msgspec.json.decode((folder / NAME).read_bytes(), type=Generated)
    except (OSError, msgspec.DecodeError):
        return None


def write_config(path: Path, folder: Path, kind: Format, datasets: int) -> None:
    """Write a config of the first datasets of a folder.

    datasets (int): Their number.
    """
    files = [folder / (DATABASE if kind == "sqlite" else f"{name(dataset)}.jsonl") for dataset in range(datasets)]
    blocks = (
        _BLOCKS[kind].format(name=name(dataset), label=label(dataset), path=file.absolute().as_posix())
        for dataset, file in enumerate(files)
    )
    path.write_text(_RULES + "".join(blocks), encoding="utf8")


def add(folder: Path, number: int) -> None:
    """Append new answers to the first dataset, in every format of the folder."""
    generated = load(folder)
    if generated is None:
        raise SystemExit(f"{folder}: nothing was generated there")
    with tempfile.TemporaryFile(dir=folder) as spool:
        writer = TaskWriter(generated.size, Texts(generated.size, spool))
        rows = [writer.row(answer) for answer in new_answers(generated.size, generated.added, number)]
    if (folder / DATABASE).exists():
        with closing(sqlite3.connect(folder / DATABASE)) as database, database:
            _insert(database, 0, rows)
    if (lines := folder / f"{name(0)}.jsonl").exists():
        with lines.open("ab") as file:
            file.writelines(row.content + b"\n" for row in rows)
    generated.added += number
    write_json(folder / NAME, generated)


def _write_database(folder: Path, writer: TaskWriter) -> None:
    with whole_path(folder / DATABASE) as path, closing(sqlite3.connect(path)) as database, database:
        database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA} BEGIN;")
        for dataset in writer.order():
            owners = ((name(dataset), 0), *((f"{name(dataset)}-{who}", 1) for who in ANNOTATORS))
            rows = ((owner, _BEGAN, b"{}", is_session) for owner, is_session in owners)
            database.executemany("INSERT INTO dataset (name, created, meta, session) VALUES (?, ?, ?, ?)", rows)
            _insert(database, dataset, writer.rows(dataset))


def _insert(database: sqlite3.Connection, dataset: int, rows: Iterable[ExampleRow]) -> None:
    """Insert examples, each linked to its dataset and to that of its session."""
    ids = dict(database.execute("SELECT name, id FROM dataset"))
    for row in rows:
        insert = "INSERT INTO example (input_hash, task_hash, content) VALUES (?, ?, ?)"
        example = database.execute(insert, row[:3]).lastrowid
        owners = (name(dataset), f"{name(dataset)}-{row.annotator}")
        links = [(example, ids[owner]) for owner in owners]
        database.executemany("INSERT INTO link (example_id, dataset_id) VALUES (?, ?)", links)


def _write_jsonl(folder: Path, writer: TaskWriter) -> None:
    for dataset in writer.order():
        with whole_path(folder / f"{name(dataset)}.jsonl") as path, path.open("wb", BUFFER) as file:
            file.writelines(row.content + b"\n" for row in writer.rows(dataset))


def _watched(items: Iterable[Item], title: str, total: int) -> Iterable[Item]:
    console = Console(stderr=True)
    return track(items, title, total, console=console, transient=True, disable=not console.is_terminal)


def main() -> None:
    """Parse, generate or add, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="for the data: benchmarks/data/any")
    parser.add_argument("--datasets", type=int, default=20, help="each has one label")
    parser.add_argument("--tasks", type=int, default=6000, help="number of texts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kilobytes", type=float, default=20, help="JSON of a task, on average")
    parser.add_argument("--format", choices=("sqlite", "jsonl", "both"), default="both")
    parser.add_argument("--shuffle", type=int, help="seed of another order of the rows and lines")
    parser.add_argument("--texts-from", default="", help="folder of real texts, instead of synthetic ones")
    parser.add_argument("--add", type=int, help="append this number of answers to the first dataset")
    args = parser.parse_args()
    if args.add:
        add(args.folder, args.add)
        print(f"✔ {args.folder}: {args.add} new answers in {name(0)}")
        return
    size = Size(
        datasets=args.datasets, tasks=args.tasks, seed=args.seed, kilobytes=args.kilobytes, shuffle=args.shuffle,
        formats=("sqlite", "jsonl") if args.format == "both" else (args.format,), texts_from=args.texts_from,
    )  # fmt: skip
    generated = generate(args.folder, size)
    print(f"✔ {args.folder}: {generated.answers:,} answers, {generated.bytes / 1e6:,.0f} MB of JSON")


if __name__ == "__main__":
    main()
