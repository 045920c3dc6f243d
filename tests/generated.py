"""A project of 160 texts in four formats, with all that annotators do: the same bytes for the same seed."""

from __future__ import annotations

import json
import random
from pathlib import Path

NAMES = ["Ada Lovelace", "Bob", "Zoë Kravitz", "Charles Babbage", "Eve"]
FIRMS = ["IBM", "Bank of Bonn", "O'Reilly", "漢字 Ltd.", "Apple"]
PLACES = ["Bonn", "New York", "London", "Rome", "Berlin-Mitte"]
WORDS = ["hired", "met", "sued", "visited", "paid", "🦆", "in", "near", "for", "with"]
ANNOTATORS = ["ana", "ben", "cyn"]
CONFIG = """
[datasets]

[datasets.org]
@readers = "labelwise.ProdigyJsonl.v1"
path = "org.jsonl"
labels = ["ORG"]

[datasets.per]
@readers = "labelwise.ProdigyJsonl.v1"
path = "per.jsonl"
labels = ["PER"]

[datasets.teach]
@readers = "labelwise.ProdigyJsonl.v1"
path = "teach.jsonl"
labels = ["LOC", "PER"]

[datasets.review]
@readers = "labelwise.ProdigyJsonl.v1"
path = "review.jsonl"
labels = ["ORG"]

[datasets.loc]
@readers = "labelwise.Doccano.v1"
path = "loc.jsonl"
labels = ["LOC"]
without_spans = "annotated"
offsets = "codepoints"

[datasets.both]
@readers = "labelwise.Brat.v1"
path = "both"
labels = ["LOC", "PER"]
"""
TRAINING = '[nlp]\nlang = "en"\npipeline = []\n'


class Chance:
    """Draws that are the same in all versions of Python."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def happens(self, share: float) -> bool:
        return self._random() < share

    def choose(self, values: list) -> object:
        return values[int(self._random() * len(values))]


def write_project(folder: Path, seed: int = 20) -> Path:
    """Write datasets.cfg, training.cfg and the annotations of all datasets."""
    draw = Chance(seed)
    texts = make_texts(draw)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "datasets.cfg").write_text(CONFIG, "utf8")
    (folder / "training.cfg").write_text(TRAINING, "utf8")
    _write_lines(folder / "org.jsonl", complete_answers(draw, texts, "ORG", 0.9))
    _write_lines(folder / "per.jsonl", complete_answers(draw, texts, "PER", 0.7))
    _write_lines(folder / "teach.jsonl", binary_answers(draw, texts))
    _write_lines(folder / "review.jsonl", reviews(draw, texts))
    _write_lines(folder / "loc.jsonl", [doccano_record(text, draw) for text in texts if draw.happens(0.4)])
    (folder / "both").mkdir(exist_ok=True)
    for number, text in enumerate(texts[::9]):
        _write_brat(folder / "both" / f"{number}", text, draw)
    return folder


def make_texts(draw: Chance) -> list[str]:
    """Texts; some are contained in others, some are equal but for whitespace or Unicode form."""
    texts = []
    for number in range(120):
        words = [draw.choose(FIRMS), draw.choose(WORDS), draw.choose(NAMES), draw.choose(WORDS), draw.choose(PLACES)]
        texts.append(f"{' '.join(words)} on day {number}.")
    texts += [f"{texts[number]} {texts[number + 1]}" for number in range(0, 40, 2)]
    texts += [text.replace(" ", "  ", 1) for text in texts[40:50]]
    texts += [text.replace("Zoë", "Zoe\u0308") for text in texts[:60] if "Zoë" in text]
    return texts


def complete_answers(draw: Chance, texts: list[str], label: str, share: float) -> list[dict]:
    """Answers of ner_manual by one to three annotators, who forget, blur, overlap, reject, ignore and repeat."""
    answers = []
    for text in texts:
        if not draw.happens(share):
            continue
        for annotator in ANNOTATORS[: 1 + draw.happens(0.4) + draw.happens(0.3)]:
            spans = [span for span in find(text, label) if not draw.happens(0.15)]
            spans = [blurred(text, span) if draw.happens(0.1) else span for span in spans]
            spans += [inner(span) for span in spans if draw.happens(0.08)]
            answer = "reject" if draw.happens(0.04) else "ignore" if draw.happens(0.04) else "accept"
            answers.append(task(text, spans, answer, annotator, len(answers), _view_id="ner_manual"))
            if draw.happens(0.06):
                answers.append({**answers[-1], "_timestamp": 5_000 + len(answers)})
    return answers


def binary_answers(draw: Chance, texts: list[str]) -> list[dict]:
    """Answers of ner.teach, accepted and rejected, also about contained texts."""
    answers = []
    for text in texts:
        for label in ("LOC", "PER"):
            for span in find(text, label):
                if draw.happens(0.3):
                    answer = "reject" if draw.happens(0.3) else "accept"
                    fields = {"_view_id": "ner", "_is_binary": True, "meta": {"score": 0.5}}
                    answers.append(task(text, [span], answer, draw.choose(ANNOTATORS), len(answers), **fields))
    return answers


def reviews(draw: Chance, texts: list[str]) -> list[dict]:
    """Decisions over versions with and without spans."""
    chosen = [text for text in texts if draw.happens(0.1)]
    return [
        task(text, find(text, "ORG"), "accept", "dan", number, _view_id="review",
             versions=[{"spans": []}, {"spans": find(text, "ORG")}])
        for number, text in enumerate(chosen)
    ]  # fmt: skip


def find(text: str, label: str) -> list[dict]:
    """All names of a label in a text."""
    names = {"ORG": FIRMS, "PER": NAMES, "LOC": PLACES}[label]
    starts = [(start, name) for name in names for start in range(len(text)) if text.startswith(name, start)]
    return [{"start": start, "end": start + len(name), "label": label} for start, name in sorted(starts)]


def blurred(text: str, span: dict) -> dict:
    """A span that ends inside a token, or takes a word more."""
    longer = text.find(" ", span["end"] + 1)
    return span | {"end": span["end"] - 1 if span["start"] % 2 else longer if longer > 0 else span["end"]}


def inner(span: dict) -> dict:
    """The beginning of a span."""
    return span | {"end": span["start"] + 1}


def task(text: str, spans: list[dict], answer: str, annotator: object, time: int, **fields: object) -> dict:
    """A record of Prodigy's."""
    spans = sorted(spans, key=lambda span: (span["start"], span["end"]))
    return {"text": text, "spans": spans, "answer": answer, "_annotator_id": annotator, "_timestamp": time} | fields


def doccano_record(text: str, draw: Chance) -> dict:
    """A record of doccano's, of the places in a text."""
    spans = [[span["start"], span["end"], "LOC"] for span in find(text, "LOC") if not draw.happens(0.1)]
    return {"text": text, "label": spans}


def _write_brat(path: Path, text: str, draw: Chance) -> None:
    spans = [span for label in ("LOC", "PER") for span in find(text, label) if not draw.happens(0.1)]
    lines = [
        f"T{number}\t{span['label']} {span['start']} {span['end']}\t{text[span['start'] : span['end']]}\n"
        for number, span in enumerate(spans, 1)
    ]
    path.with_suffix(".txt").write_text(text, "utf8")
    path.with_suffix(".ann").write_text("".join(lines), "utf8")


def _write_lines(path: Path, records: list[dict]) -> None:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf8")
