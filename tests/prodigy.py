"""Prodigy's tasks and databases, as the tests need them, and what a source holds."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

from scripts.core.texts import input_hash, task_hash
from scripts.sources.source import Intake

# As in databases of 2018 to 2023.
SCHEMA = """
CREATE TABLE "dataset" ("id" INTEGER NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL,
    "created" INTEGER NOT NULL, "meta" BLOB NOT NULL, "session" INTEGER NOT NULL);
CREATE UNIQUE INDEX "dataset_name" ON "dataset" ("name");
CREATE TABLE "example" ("id" INTEGER NOT NULL PRIMARY KEY, "input_hash" INTEGER NOT NULL,
    "task_hash" INTEGER NOT NULL, "content" BLOB NOT NULL);
CREATE TABLE "link" ("id" INTEGER NOT NULL PRIMARY KEY, "example_id" INTEGER NOT NULL,
    "dataset_id" INTEGER NOT NULL, FOREIGN KEY ("example_id") REFERENCES "example" ("id"),
    FOREIGN KEY ("dataset_id") REFERENCES "dataset" ("id"));
CREATE INDEX "link_example_id" ON "link" ("example_id");
CREATE INDEX "link_dataset_id" ON "link" ("dataset_id");
"""
CREATED = 1_735_689_600


def task(text, spans=(), **fields):
    """A task of ner_manual, its tokens split at whitespace.

    spans: (start, end, label), in any place, also where no span can be.
    fields: Put over the others; with None where a key shall be null.
    """
    hashed = input_hash(text)
    tokens = [
        {"text": m[0], "start": m.start(), "end": m.end(), "id": number, "ws": text[m.end() :][:1] == " "}
        for number, m in enumerate(re.finditer(r"\S+", text))
    ]
    found = {
        "text": text,
        "_input_hash": hashed,
        "_task_hash": task_hash(hashed, []),
        "_is_binary": False,
        "tokens": tokens,
        "_view_id": "ner_manual",
        "spans": [_span(tokens, *span) for span in spans],
        "answer": "accept",
        "_timestamp": CREATED,
    }
    return found | fields


def _span(tokens, start, end, label):
    inside = [token["id"] for token in tokens if start < token["end"] and token["start"] < end] or [0]
    return {"start": start, "end": end, "token_start": inside[0], "token_end": inside[-1], "label": label}


def line(task):
    """A task as a line of JSONL, without a newline."""
    return json.dumps(task, ensure_ascii=False)


def write_database(path, datasets, sessions=None):
    """A database of Prodigy's.

    datasets: The tasks of each dataset, by its name. One that is no dict is stored as it is: bytes, NULL, a number.
    sessions: The name of the dataset of each session, by the name of the session dataset: it has the same tasks.
    """
    with closing(sqlite3.connect(path)) as database, database:
        nulls = any(content is None for tasks in datasets.values() for content in tasks)
        database.executescript(SCHEMA.replace('"content" BLOB NOT NULL', '"content" BLOB') if nulls else SCHEMA)
        for name, tasks in datasets.items():
            ids = [add_dataset(database, name)]
            ids += [add_dataset(database, one, 1) for one, of in (sessions or {}).items() if of == name]
            for content in tasks:
                add_task(database, ids, content)
    return path


def add_dataset(database, name, session=0):
    """A new dataset; its id."""
    insert = "INSERT INTO dataset (name, created, meta, session) VALUES (?, ?, ?, ?)"
    return database.execute(insert, (name, CREATED, b"{}", session)).lastrowid


def add_task(database, dataset_ids, content):
    """A new example, linked to all these datasets."""
    hashes = (0, 0)
    if isinstance(content, dict):
        hashes = (content.get("_input_hash") or 0, content.get("_task_hash") or 0)
        content = json.dumps(content).encode()
    insert = "INSERT INTO example (input_hash, task_hash, content) VALUES (?, ?, ?)"
    example = database.execute(insert, (*hashes, content)).lastrowid
    for dataset_id in dataset_ids:
        database.execute("INSERT INTO link (example_id, dataset_id) VALUES (?, ?)", (example, dataset_id))


def read(source):
    """What a source of any format holds: its answers, the account, which adds up, and the skipped."""
    skipped = []
    intake = Intake(skipped.append)
    tasks = []
    for answers in source.read("data", intake):
        assert answers
        intake.keep(len(answers), sum(len(answer.spans) for answer in answers))
        tasks += answers
    intake.assert_adds_up()
    assert sum(intake.reasons.values()) == len(skipped)
    return tasks, intake, skipped
