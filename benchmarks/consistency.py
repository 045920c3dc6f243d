"""Occurrences of each label's surface forms in all texts: the step `consistency` beside spaCy's PhraseMatcher.

    python -m benchmarks.consistency

Texts of 300 words with ten labels, each with surface forms of one to three words; a twentieth of their occurrences
is not annotated, and a fifth of the pairs of text and label is not covered. The usual way makes a Doc of every text,
matches all surface forms of all labels, and counts. It writes benchmarks/results/consistency.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import spacy
from rich.console import Console
from rich.table import Table
from spacy.matcher import PhraseMatcher

from benchmarks.measure import Measured, machine, quickest, write_results
from benchmarks.words import Vocabulary
from scripts.core.answers import GoldText, Span, Task
from scripts.core.files import sha256, write_json
from scripts.core.texts import input_hash
from scripts.merging.merged import NAME, MergeRecord
from tests.annotated import task, write

LABELS = [f"LABEL_{number}" for number in range(10)]
_SURFACE_FORMS = 2_000  # of each label
_MISSED, _NOT_COVERED, _TWICE = 0.05, 0.2, 0.02  # shares of the entities, pairs of text and label, texts


def generate(folder: Path, texts: int, words: int, seed: int = 0) -> None:
    """Write annotations/ and corpus/, as pull and merge would leave them: the same for the same arguments."""
    found = sorted(_texts(texts, words, seed), key=lambda one: (one.input_hash, one.text))
    (folder / "corpus").mkdir(parents=True)
    gold = folder / "corpus" / "gold.jsonl"
    gold.write_bytes(msgspec.json.Encoder().encode_lines(found))
    manifest = write(folder / "annotations", list(_answers(found)))
    coverage = {label: _states(found, label) for label in LABELS}
    merged = MergeRecord(
        policy="majority", contained="keep", code="", manifest="", inputs={"all": manifest.datasets["all"].sha256},
        labels=LABELS, outputs={"gold.jsonl": sha256(gold)}, totals={"texts": texts}, coverage=coverage,
    )  # fmt: skip
    write_json(folder / "corpus" / NAME, merged)


def _texts(number: int, words: int, seed: int) -> Iterator[GoldText]:
    random_, generator, vocabulary = Random(seed), np.random.default_rng(seed), Vocabulary(seed)
    weights = np.diff(np.array([0.0, *vocabulary.weights]))
    weights /= weights.sum()
    forms = {
        label: [
            " ".join(random_.choices(vocabulary.words[1_000:], k=1 + rank % 3)).title()
            for rank in range(_SURFACE_FORMS)
        ]
        for label in LABELS
    }
    for _ in range(number):
        chosen = [vocabulary.words[position] for position in generator.choice(len(weights), words, p=weights)]
        covered = [label for label in LABELS if random_.random() >= _NOT_COVERED]
        named = {}
        for label, position in zip(LABELS, random_.sample(range(words), len(LABELS)), strict=True):
            chosen[position] = random_.choice(forms[label])
            named[position] = label
        starts = np.cumsum([0, *(len(word) + 1 for word in chosen)])
        spans = [
            Span(int(starts[position]), int(starts[position]) + len(chosen[position]), label)
            for position, label in sorted(named.items())
            if label in covered and random_.random() >= _MISSED
        ]
        text = " ".join(chosen)
        yield GoldText(
            input_hash=input_hash(text), text=text, spans=spans, covered=covered, accepted=[], rejected=[],
            unresolved=[], sources=["all"], meta={},
        )  # fmt: skip


def _answers(found: list[GoldText]) -> Iterator[Task]:
    random_ = Random(1)
    for number, one in enumerate(found):
        for who in ("ana", "ben") if random_.random() < _TWICE else (random_.choice(("ana", "ben")),):
            fields = {"labels": one.covered, "annotator": who, "timestamp": 1_700_000_000 + 60 * number}
            spans = ((span.start, span.end, span.label) for span in one.spans)
            yield task(one.text, *spans, **fields, dataset="all", source=f"link:{number}")


def _states(found: list[GoldText], label: str) -> dict[str, int]:
    covered = sum(label in one.covered for one in found)
    spans = sum(span.label == label for one in found for span in one.spans)
    states = {"covered": covered, "partly_covered": 0, "unresolved": 0, "not_covered": len(found) - covered}
    return {"texts": len(found), **states, "spans": spans}


def match_all(corpus: Path) -> None:
    """Match the surface forms of each label in all texts; print how many matches are annotated."""
    nlp = spacy.blank("en")
    decode = msgspec.json.Decoder(GoldText).decode
    gold = [decode(line) for line in (corpus / "gold.jsonl").read_bytes().splitlines()]
    forms: dict[str, set[str]] = defaultdict(set)
    for one in gold:
        for span in one.spans:
            forms[span.label].add(one.text[span.start : span.end])
    matcher = PhraseMatcher(nlp.vocab)
    for label in sorted(forms):
        matcher.add(label, [nlp.make_doc(form) for form in sorted(forms[label])])
    counts: Counter[str] = Counter()
    for one in gold:
        doc = nlp.make_doc(one.text)
        annotated = {(span.start, span.end, span.label) for span in one.spans}
        for match in matcher(doc, as_spans=True):
            if match.label_ in one.covered:
                counts[(match.start_char, match.end_char, match.label_) in annotated] += 1
    print(f"{counts[True]} annotated, {counts[False]} not")


def main() -> None:
    """Generate, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, nargs="+", default=[12_500, 50_000])
    parser.add_argument("--words", type=int, default=300, help="of a text")
    parser.add_argument("--most", type=int, default=12_500, help="texts that PhraseMatcher is run with")
    parser.add_argument("--matcher", type=Path, help="run PhraseMatcher alone, on this corpus")
    args = parser.parse_args()
    if args.matcher:
        match_all(args.matcher)
        return
    rows = []
    for texts in args.texts:
        with tempfile.TemporaryDirectory() as name:
            generate(Path(name), texts, args.words)
            positions = [f"{name}/annotations", f"{name}/corpus"]
            ways = {
                f"{step}, {processes} process{'es' * (processes > 1)}": [
                    *("python", "-m", f"scripts.{step}", *positions, "--processes", str(processes))
                ]
                for step in ("consistency", "coverage")
                for processes in (1, 2)
            }
            if texts <= args.most:
                ways["PhraseMatcher"] = ["python", "-m", "benchmarks.consistency", "--matcher", f"{name}/corpus"]
            rows += [_row(way, texts, quickest(command)) for way, command in ways.items()]
    write_results("consistency", {"machine": machine(), "words": args.words, "measured": rows})
    table = Table("what", "texts", "seconds", "peak MB", box=None)
    for row in rows:
        table.add_row(row["what"], f"{row['texts']:,}", f"{row['seconds']:.1f}", f"{row['peak_mb']:,.0f}")
    Console().print(table)


def _row(what: str, texts: int, measured: Measured) -> dict[str, object]:
    return {
        "what": what, "texts": texts, "seconds": round(measured.seconds, 2), "cpu": round(measured.cpu, 2),
        "peak_mb": round(measured.peak_mb, 1),
    }  # fmt: skip


if __name__ == "__main__":
    main()
