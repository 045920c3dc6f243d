"""Files that steps leave for each other, damaged in every way: one line, or the same result without the file."""

from __future__ import annotations

import gzip
import json
import random
import re
from itertools import product

import pytest

from tests import crashes
from tests.test_crash_points import APART, BY_NAME, POINTS, call, one_line, prepare, succeed

RUN, MODEL = "metrics/ner-????????", "training/ner/seed-0/model-best"
STATE = {
    "assets/annotations/manifest.json": ("pull", "merge", "consistency", "coverage", "show"),
    "assets/annotations/.fingerprints.json": ("pull", "merge"),
    "assets/annotations/loc.jsonl": ("pull", "merge", "show"),
    "corpus/merge.json": ("merge", "corpus", "coverage", "consistency", "export", "next", "suspects", "queue", "show"),
    "corpus/gold.jsonl": ("merge", "corpus", "coverage", "export", "suspects"),
    "corpus/conflicts.jsonl": ("merge", "queue-conflicts", "show"),
    "corpus/contained.jsonl": ("merge", "corpus", "show"),
    "corpus/duplicates.jsonl": ("merge", "show"),
    "corpus/coverage.csv": ("merge", "report"),
    "corpus/split.json": ("corpus", "train", "train-label", "evaluate", "debug", "queue"),
    "corpus/labels.json": ("corpus", "train", "train-label", "evaluate", "debug"),
    "corpus/train/0000.spacy": ("corpus", "train", "evaluate", "train-label", "debug"),
    "corpus/test/0000.spacy": ("corpus", "evaluate"),
    "corpus/review/consistency.json": ("consistency", "next", "report", "suspects"),
    "corpus/review/consistency.jsonl": ("consistency", "report", "suspects"),
    "corpus/review/coverage.json": ("coverage", "next", "report"),
    "corpus/review/suspects.json": ("queue-suspects", "next", "report"),
    "corpus/review/suspects.jsonl": ("queue-suspects", "report"),
    f"{MODEL}/meta.json": ("evaluate", "train-label", "package", "queue", "show"),
    f"{MODEL}/config.cfg": ("evaluate", "train-label", "package", "queue", "show"),
    f"{MODEL}/label_heads/model": ("evaluate", "train-label", "package"),
    f"{MODEL}/vocab/strings.json": ("evaluate", "package"),
    "training/ner-suspects/predictions.json": ("suspects",),
    "training/ner-suspects/fold-0-seed-0.jsonl": ("suspects",),
    f"{RUN}/run.json": ("evaluate", "compare", "next", "report", "package"),
    f"{RUN}/metrics.json": ("evaluate", "compare", "next", "report", "package"),
    f"{RUN}/counts.csv.gz": ("evaluate", "compare"),
    f"{RUN}/confusion.json": ("evaluate", "report", "next"),
    f"{RUN}/errors.jsonl.gz": ("evaluate", "report", "next"),
    "metrics/compare.json": ("compare", "next", "report"),
    "metrics/next.json": ("next", "report"),
    "metrics/seed_variance.json": ("compare",),
    "metrics/learning-curve.json": ("next", "report"),
    "queues/PER/001/queue.json": ("queue",),
    "exports/brat/all/export.json": ("export",),
}


NOT_MADE_ANEW = {
    f"{MODEL}/meta.json",
    f"{MODEL}/config.cfg",
    f"{MODEL}/label_heads/model",
    f"{MODEL}/vocab/strings.json",
    "corpus/review/suspects.json",
    "corpus/review/suspects.jsonl",
    "metrics/seed_variance.json",
    "metrics/learning-curve.json",
    "queues/PER/001/queue.json",
}  # by the first of its steps
ADDS_UP = {"assets/annotations/manifest.json", "corpus/merge.json", "corpus/split.json", "corpus/review/coverage.json",
           f"{RUN}/metrics.json", "queues/PER/001/queue.json"}  # fmt: skip


def whole(content):
    """A file's content without gzip, and how to get it back."""
    return (gzip.decompress(content), gzip.compress) if content[:2] == b"\x1f\x8b" else (content, lambda data: data)


def changed(change):
    """A damage of what a file holds, packed or not."""

    def damage(path):
        inside, pack = whole(path.read_bytes())
        path.write_bytes(pack(change(inside)))

    return damage


def folder_in_its_place(path):
    path.unlink()
    path.mkdir()


def negative(content):
    return re.sub(rb"(?<=[ :,\[])([1-9]\d*)(?=[,\s\]}])", rb"-\1", content)


def huge(content):
    return re.sub(rb"(?<=[ :,\[])([1-9]\d*)(?=[,\s\]}])", rb"\g<1>" + b"0" * 400, content)


def other_sums(content):
    """Each count is another one more than the last."""
    numbers = iter(range(1, 10**6))
    return re.sub(
        rb"(?<=[ :,])([1-9]\d*)(?=[,\s\]}])", lambda match: str(int(match[1]) + next(numbers)).encode(), content
    )


def fewer_rows(content):
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: len(lines) // 2]) if len(lines) > 1 else b""


def without_keys(content):
    try:
        data = json.loads(content)
    except ValueError:
        return fewer_rows(content)
    return json.dumps(_without_keys(data)).encode()


def _without_keys(data):
    if isinstance(data, dict):
        return {key: _without_keys(value) for key, value in list(data.items())[1:]}
    return data[1:] if isinstance(data, list) else data


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "not UTF-8": changed(lambda content: content.replace(b"e", b"\xff", 3)),
    "other bytes": lambda path: path.write_bytes(b"\x00\x01\xfe\xff" * 64),
    "deep": changed(lambda content: b"[" * 100_000),
    "deep inside": changed(lambda content: b'{"labels":' + b'{"a":' * 100_000),
    "another type": changed(lambda content: b'[{"a": 1}, null]'),
    "null": changed(lambda content: b"null"),
    "a folder": folder_in_its_place,
    "negative": changed(negative),
    "huge": changed(huge),
    "other sums": changed(other_sums),
    "fewer rows": changed(fewer_rows),
    "fewer keys": changed(without_keys),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project in which everything was run twice; and what each step makes of it."""
    place = tmp_path_factory.mktemp("damaged")
    crashes.preload()
    prepare(place / "project")
    for step in BY_NAME.values():
        if step.command not in APART:
            succeed(place / "project", step)
    return place, {}


def expected(reader, made):
    place, known = made
    if reader not in known:
        folder = crashes.copy(place / "project", place / "undamaged")
        known[reader] = (call(folder, BY_NAME[reader]), crashes.content(folder))
    return known[reader]


def sample():
    """For each file, some damages and steps that read it; all of them for LABELWISE_CRASH_POINTS=all."""
    for name, readers in STATE.items():
        cases = list(product(DAMAGES, readers))
        yield from ((name, *case) for case in (cases if POINTS == "all" else random.Random(name).sample(cases, 2)))


@pytest.mark.parametrize(("name", "damage", "reader"), list(sample()))
def test_damaged_state_is_said_in_one_line_or_made_anew(name, damage, reader, made):
    assert _damaged(name, damage, made, reader) is None


def _damaged(name, damage, made, reader):
    place, _ = made
    folder = crashes.copy(place / "project", place / "now")
    path = max(folder.glob(name), key=lambda path: path.stat().st_mtime)
    before = path.read_bytes()
    DAMAGES[damage](path)
    if path.is_file() and path.read_bytes() == before:
        return None
    done = call(folder, BY_NAME[reader])
    if one_line(done):
        return None
    if done.code:
        return f"{reader} of {name}, {damage}: {done.code} {done.err[-500:]}"
    _, content = expected(reader, made)
    shown = path.relative_to(folder).as_posix()
    differ = crashes.differences(crashes.content(folder), content)
    if reader != STATE[name][0] or name in NOT_MADE_ANEW:
        differ = [each for each in differ if each != shown]
    said = "⚠" in done.out and (path.name in done.out or path.parent.name in done.out)
    said |= f"{shown}: is damaged" in " ".join(done.out.split())  # as a note of next
    if reader == "report":  # which says on the page what it leaves out
        page = (folder / "metrics/report.html").read_text("utf8").replace("<wbr>", "").replace("\u200b", "")
        said = path.parent.name in page and "A folder was skipped" in page
    if damage == "other sums" and name not in ADDS_UP:  # another number is as good as the first
        return None
    if name.endswith("strings.json") and damage == "fewer keys" and all(each.endswith("/run.json") for each in differ):
        return None  # a word that nothing needs: a model of another digest, as its run says
    return f"{reader} of {name}, {damage}: ✔ with other {differ}" if differ and not said else None
