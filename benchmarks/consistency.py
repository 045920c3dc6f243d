"""Where a label's forms stand in all texts: the step `consistency` beside spaCy's PhraseMatcher.

    python -m benchmarks.consistency

Texts of 300 words with ten labels, each with forms of its own, of one to three words; a twentieth of their places is
not annotated, and a fifth of the pairs of text and label is not covered. The obvious way makes a Doc of every text,
matches all forms of all labels, and counts. It writes benchmarks/results/consistency.json.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import spacy
from rich.console import Console
from rich.table import Table
from spacy.matcher import PhraseMatcher

from benchmarks.measure import Measured, measure
from benchmarks.words import Vocabulary
from scripts.core.answers import GoldText, Span, Task
from scripts.core.files import sha256, write_json
from scripts.core.hashing import input_hash
from scripts.core.manifest import Entry, Manifest, save
from scripts.merging.merged import NAME, Merged

OUTPUT = Path("benchmarks/results/consistency.json")
LABELS = [f"LABEL_{number}" for number in range(10)]
_FORMS = 2_000  # of each label
_ROUNDS = 3
_DROPPED, _UNKNOWN, _TWICE = 0.05, 0.2, 0.02


def generate(folder: Path, texts: int, words: int, seed: int = 0) -> None:
    """Write annotations/ and corpus/, as pull and merge would leave them: the same for the same arguments."""
    found = sorted(_texts(texts, words, seed), key=lambda one: (one.input_hash, one.text))
    for name in ("annotations", "corpus"):
        (folder / name).mkdir(parents=True)
    encode = msgspec.json.Encoder().encode_lines
    gold = folder / "corpus" / "gold.jsonl"
    gold.write_bytes(encode(found))
    manifest = write_answers(list(_answers(found)), LABELS, folder / "annotations")
    save(manifest, folder / "annotations")
    coverage = {label: _states(found, label) for label in LABELS}
    merged = Merged(
        policy="majority", parts="keep", code="", manifest="", inputs={"all": manifest.datasets["all"].sha256},
        labels=LABELS, outputs={"gold.jsonl": sha256(gold)}, totals={"texts": texts}, coverage=coverage,
    )  # fmt: skip
    write_json(folder / "corpus" / NAME, merged)


def write_answers(answers: Sequence[Task], labels: list[str], folder: Path) -> Manifest:
    """The answers of one dataset, sorted by hash, as `pull` would leave them."""
    content = msgspec.json.Encoder().encode_lines(answers)
    (folder / "all.jsonl").write_bytes(content)
    entry = Entry(
        file="all.jsonl", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), labels=labels, records={},
        spans={}, reasons={}, notes={},
    )  # fmt: skip
    return Manifest({"all": entry})


def _texts(number: int, words: int, seed: int) -> Iterator[GoldText]:
    random_, generator, vocabulary = Random(seed), np.random.default_rng(seed), Vocabulary(seed)
    weights = np.diff(np.array([0.0, *vocabulary.weights]))
    weights /= weights.sum()
    forms = {
        label: [" ".join(random_.choices(vocabulary.words[1_000:], k=1 + rank % 3)).title() for rank in range(_FORMS)]
        for label in LABELS
    }
    for _ in range(number):
        chosen = [vocabulary.words[place] for place in generator.choice(len(weights), words, p=weights)]
        covered = [label for label in LABELS if random_.random() >= _UNKNOWN]
        named = {}
        for label, place in zip(LABELS, random_.sample(range(words), len(LABELS)), strict=True):
            chosen[place] = random_.choice(forms[label])
            named[place] = label
        starts = np.cumsum([0, *(len(word) + 1 for word in chosen)])
        spans = [
            Span(int(starts[place]), int(starts[place]) + len(chosen[place]), label)
            for place, label in sorted(named.items())
            if label in covered and random_.random() >= _DROPPED
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
            yield Task(
                input_hash=one.input_hash, text=one.text, labels=one.covered, spans=one.spans, answer="accept",
                kind="manual", annotator=who, timestamp=1_700_000_000 + 60 * number, dataset="all",
                source=f"link:{number}", meta={},
            )  # fmt: skip


def _states(found: list[GoldText], label: str) -> dict[str, int]:
    covered = sum(label in one.covered for one in found)
    spans = sum(span.label == label for one in found for span in one.spans)
    states = {"covered": covered, "partly_covered": 0, "unresolved": 0, "not_covered": len(found) - covered}
    return {"texts": len(found), **states, "spans": spans}


def obvious(corpus: Path) -> None:
    """Match the forms of each label in all texts, and print how often one stands where it is not annotated."""
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
    parser.add_argument("--most", type=int, default=12_500, help="texts that the obvious way is run with")
    parser.add_argument("--obvious", type=Path, help="only the obvious way, of this corpus")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    if args.obvious:
        obvious(args.obvious)
        return
    rows = []
    for texts in args.texts:
        with tempfile.TemporaryDirectory() as name:
            generate(Path(name), texts, args.words)
            places = [f"{name}/annotations", f"{name}/corpus"]
            ways = {
                f"{step}, {processes} process{'es' * (processes > 1)}": [
                    *("python", "-m", f"scripts.{step}", *places, "--processes", str(processes))
                ]
                for step in ("consistency", "coverage")
                for processes in (1, 2)
            }
            if texts <= args.most:
                ways["obvious"] = ["python", "-m", "benchmarks.consistency", "--obvious", f"{name}/corpus"]
            rows += [_row(way, texts, _quickest(command)) for way, command in ways.items()]
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    write_json(args.output, {"machine": machine, "words": args.words, "measured": rows})
    table = Table("what", "texts", "seconds", "peak MB", box=None)
    for row in rows:
        table.add_row(row["what"], f"{row['texts']:,}", f"{row['seconds']:.1f}", f"{row['peak_mb']:,.0f}")
    Console().print(table)


def _quickest(command: list[str]) -> Measured:
    """Of some rounds: machines are not equally quick all the time."""
    return min((measure(command) for _ in range(_ROUNDS)), key=lambda measured: measured.seconds)


def _row(what: str, texts: int, measured: Measured) -> dict[str, object]:
    return {
        "what": what, "texts": texts, "seconds": round(measured.seconds, 2), "cpu": round(measured.cpu, 2),
        "peak_mb": round(measured.peak_mb, 1),
    }  # fmt: skip


if __name__ == "__main__":
    main()
