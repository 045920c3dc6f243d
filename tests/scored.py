"""Small corpora with coverage, and models that need no training: they predict by patterns."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import spacy
from spacy.tokens import DocBin, Span

from scripts.core.files import sha256
from tests.project import ROOT


def covered_doc(nlp, text, gold=(), covered=(), partly=()):
    """A Doc of the corpus.

    gold, partly: (start, end, label) in tokens. covered: labels that are covered everywhere, or such triples.
    """
    doc = nlp.make_doc(text)
    whole = [(0, len(doc), label) if isinstance(label, str) else label for label in covered]
    doc.spans["gold"] = [Span(doc, *span) for span in gold]
    doc.spans["covered"] = [Span(doc, *span) for span in [*whole, *partly]]
    doc.spans["incorrect_spans"] = []
    doc.set_ents(spacy.util.filter_spans(list(doc.spans["gold"])), default="outside")
    return doc


def write_corpus(folder, docs, digest="d" * 8, per_shard=3, **splits):
    """A corpus as the step makes it; `docs` are its test texts."""
    splits = {"train": [], "dev": [], **splits, "test": docs}
    for name, found in splits.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for start in range(0, len(found), per_shard):
            DocBin(docs=found[start : start + per_shard]).to_disk(folder / name / f"{start:04}.spacy")
    labels = {span.label_ for found in splits.values() for doc in found for span in doc.spans["covered"]}
    (folder / "labels.json").write_text(json.dumps(sorted(labels)))
    sign(folder, digest=digest, texts={name: len(found) for name, found in splits.items()})
    return folder


def sign(folder, **account):
    """Write into split.json what `account` says, and the digests of the files as they are now."""
    path = folder / "split.json"
    split = json.loads(path.read_text()) if path.exists() else {}
    shards = {str(shard.relative_to(folder)): sha256(shard) for shard in sorted(folder.glob("*/*.spacy"))}
    files = {"labels.json": sha256(folder / "labels.json")}
    split |= account
    shard = {"gold": "", "files": shards, "texts": split["texts"]}
    path.write_text(json.dumps(split | {"files": files, "shards": {"0000": shard}}))


def write_model(folder, patterns, split=None, seed=0):
    """A model `seed-<n>/model-best` that finds words by label, with a record of its data if there is a split.json."""
    from scripts.model.models import record_data

    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": text} for label, texts in patterns.items() for text in texts])
    nlp.config["system"]["seed"] = seed
    if split:
        record_data(str(split))(nlp)
    (folder / f"seed-{seed}").mkdir(parents=True, exist_ok=True)
    nlp.to_disk(folder / f"seed-{seed}" / "model-best")
    return folder


def step(folder, name, *options):
    """Run a step in a folder."""
    return subprocess.run(
        [sys.executable, "-m", *name.split(), *map(str, options)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"}, capture_output=True, encoding="utf8",
    )  # fmt: skip


def one_line(done):
    """The one line that a step fails with."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("✘ ")
    assert done.stderr.count("\n") == 1
    return done.stderr
