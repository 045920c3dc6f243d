"""Answers as `pull` leaves them, for the tests of the steps that follow."""

from __future__ import annotations

import hashlib

import msgspec

from scripts.core.answers import Span, Task
from scripts.core.files import write_json
from scripts.core.manifest import Entry, Manifest, file_name
from scripts.core.texts import input_hash


def task(text, *spans, labels=("ORG",), **fields):
    """A complete answer about a text; spans are (start, end, label)."""
    found = {
        "input_hash": input_hash(text), "text": text, "labels": sorted(labels),
        "spans": sorted(Span(*span) for span in spans), "answer": "accept", "kind": "manual", "annotator": "",
        "timestamp": None, "dataset": "data", "source": "link:1", "meta": {},
    }  # fmt: skip
    return Task(**(found | fields))


def write(folder, tasks):
    """Write the files and the manifest; two records a dataset were skipped."""
    folder.mkdir(parents=True)
    entries = {}
    for name in sorted({task.dataset for task in tasks}):
        own = sorted((task for task in tasks if task.dataset == name), key=lambda task: task.input_hash)
        content = msgspec.json.Encoder().encode_lines(own)
        (folder / file_name(name)).write_bytes(content)
        records = {"read": len(own) + 2, "kept": len(own), "other_labels": 0, "skipped": 2, "answers": len(own)}
        spans = sum(len(task.spans) for task in own)
        entries[name] = Entry(
            file=file_name(name), sha256=hashlib.sha256(content).hexdigest(), bytes=len(content),
            labels=sorted({label for task in own for label in task.labels}), records=records,
            spans={"read": spans, "kept": spans, "other_labels": 0, "skipped": 0}, reasons={"odd": 2}, notes={},
        )  # fmt: skip
    manifest = Manifest(entries)
    write_json(folder / "manifest.json", manifest)
    return manifest
