"""Stored results of an earlier state, and the table that renames their keys and words to today's."""

from __future__ import annotations

import gzip
import importlib
import json
import re
from pathlib import Path

import pytest

from tests.generated import write_project

GOLDEN = Path(__file__).parent / "golden"
BEFORE = GOLDEN / "before"

# By published file: keys, columns and words as they were, and as they are. What is not listed stayed as it was.
FILES = {"parts.jsonl": "contained.jsonl", "lookalikes.jsonl": "duplicates.jsonl"}
RENAMED = {
    "gold.jsonl": {},
    "conflicts.jsonl": {},
    "coverage.csv": {"partly": "partly_covered", "unknown": "not_covered"},
    "parts.jsonl": {"whole": "container", "places": "occurrences"},
    "lookalikes.jsonl": {
        "blanks": "whitespace", "blanks and Unicode form": "whitespace and Unicode form",
    },
    "merge.json": {
        "known": "partial", "refused": "skipped", "partly": "partly_covered", "unknown": "not_covered",
        "lookalikes": "duplicates", "parts": "contained",
    },
    "split.json": {"fates": "outcomes"},
    "metrics.json": {},
    "compare.json": {"chance": "p_value", "larger than seed noise": "beyond noise"},
    "compare.csv": {"name": "label", "known_in": "covered", "chance": "p_value"},
}  # fmt: skip


def renamed(value, words):
    """A value of JSON with its keys and its strings renamed."""
    if isinstance(value, dict):
        return {words.get(key, key): renamed(found, words) for key, found in value.items()}
    if isinstance(value, list):
        return [renamed(found, words) for found in value]
    return words.get(value, value) if isinstance(value, str) else value


def before(project, name):
    """The bytes of a stored file."""
    path = BEFORE / project / name
    return path.read_bytes() if path.exists() else gzip.decompress(path.with_name(f"{name}.gz").read_bytes())


def json_lines(content):
    return [json.loads(line) for line in content.splitlines()]


def without_other_sources(content):
    """Lines of texts without the datasets whose answers do not count, which were not listed."""
    return re.sub(rb',"other_sources":\[[^]]*\]', b"", content)


def run_step(step, *options):
    """Run a step in this process, in the current folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [step, *map(str, options)])
        importlib.import_module(f"scripts.{step}").main()


def pulled_project(folder):
    """The larger project, pulled into a folder."""
    write_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_step("pull", "datasets.cfg", "annotations", "--system.processes", 1)
    return folder
