"""No error, reason or note has a word of a text, whatever is wrong with the file that has it."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress

import pytest
import spacy
from spacy.tokens import DocBin, Span

from scripts.core import settings
from scripts.core.errors import UserError
from scripts.merging.pull import pull
from scripts.sources.importing import find_datasets
from tests.prodigy import line, task, write_database

WORD = "Zebrafinkenstr"  # in each text, never in a label
TEXTS = [f"Ada {WORD}asse {number} met IBM in Köln ." for number in range(3)]
SPAN = {"start": 0, "end": 3, "label": "PER"}


def prodigy(folder):
    found = [task(text, [(0, 3, "PER")], meta={"note": text}) for text in TEXTS]
    (folder / "a.jsonl").write_text("".join(line(one) + "\n" for one in found), "utf8")
    return folder / "a.jsonl"


def doccano(folder):
    rows = [{"id": n, "text": text, "label": [[0, 3, "PER"]], "Comments": [text]} for n, text in enumerate(TEXTS)]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf8")
    return folder / "a.jsonl"


def label_studio(folder):
    value = {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}
    result = [{"type": "labels", "from_name": "label", "to_name": "text", "value": value}]
    rows = [{"id": n, "data": {"text": text}, "annotations": [{"result": result}]} for n, text in enumerate(TEXTS)]
    (folder / "a.json").write_text(json.dumps(rows, indent=1), "utf8")
    return folder / "a.json"


def conll(folder):
    lines = [[f"{word} {'B-PER' if word == 'Ada' else 'O'}" for word in text.split()] for text in TEXTS]
    (folder / "a.conll").write_text("\n\n".join("\n".join(sentence) for sentence in lines) + "\n", "utf8")
    return folder / "a.conll"


def brat(folder):
    (folder / "brat").mkdir()
    for number, text in enumerate(TEXTS):
        (folder / "brat" / f"{number}.txt").write_text(text, "utf8")
        lines = f"T1\tPER 0 3\tAda\nT2\tLOC 4 20\t{WORD}asse\n#1\tAnnotatorNotes T1\t{text}\n"
        (folder / "brat" / f"{number}.ann").write_text(lines, "utf8")
    return folder / "brat"


def docbin(folder):
    nlp = spacy.blank("en")
    found = DocBin(store_user_data=True)
    for text in TEXTS:
        doc = nlp.make_doc(text)
        doc.ents = [Span(doc, 0, 1, "PER")]
        doc.user_data["note"] = text
        found.add(doc)
    found.to_disk(folder / "a.spacy")
    return folder / "a.spacy"


def parquet(folder):
    arrow = pytest.importorskip("pyarrow", reason="pip install -r requirements-arrow.txt")
    from pyarrow import parquet

    words = [text.split() for text in TEXTS]
    tags = [["B-PER" if word == "Ada" else "O" for word in sentence] for sentence in words]
    parquet.write_table(arrow.table({"tokens": words, "ner_tags": tags}), folder / "a.parquet", compression="none")
    return folder / "a.parquet"


def training_data(folder):
    rows = [[text, {"entities": [[0, 3, "PER"]]}] for text in TEXTS]
    (folder / "a.json").write_text(json.dumps(rows, ensure_ascii=False), "utf8")
    return folder / "a.json"


def xmi(folder):
    pytest.importorskip("cassis", reason="pip install -r requirements-dev.txt")
    from tests.test_cas_xmi import TYPES
    from tests.test_cas_xmi import xmi as written

    (folder / "xmi").mkdir()
    (folder / "xmi" / "TypeSystem.xml").write_text(TYPES, "utf8")
    content = written((0, 3, "PER")).replace('sofaString="', f'sofaString="Ada {WORD} ')
    assert WORD in content
    (folder / "xmi" / "a.xmi").write_text(content, "utf8")
    return folder / "xmi"


def database(folder):
    write_database(folder / "p.db", {"people": [task(text, [(0, 3, "PER")]) for text in TEXTS]})
    return folder / "p.db"


FORMATS = {
    "prodigyjsonl": prodigy, "doccano": doccano, "labelstudio": label_studio, "conll": conll, "brat": brat,
    "docbin": docbin, "huggingface": parquet, "trainingdata": training_data, "casxmi": xmi, "prodigydatabase": database,
}  # fmt: skip
DAMAGE = [b"", b"\xff", b'"', b"}", b"]", b"\x00", b"\n", b"\\", b"&", b"-", b"{" * 20, b'"x":1,']


def damaged(content, steps=8):
    """A file cut off, or with some bytes put, changed or gone, near the texts above all."""
    first = max(content.find(WORD[:6].encode()), 0)
    places = {*range(0, len(content), max(1, len(content) // steps)), *range(max(0, first - 12), first + 30, 8)}
    for number, at in enumerate(sorted(places)):
        yield content[:at]
        for odd in (DAMAGE[number % len(DAMAGE)], DAMAGE[(5 * number + 1) % len(DAMAGE)]):
            yield content[:at] + odd + content[at:]
            yield content[:at] + odd + content[at + 7 :]
    yield content.replace(b"Ada", b"Ada\\ud800")
    yield content.replace(b"PER", b"")
    for old, new in ((b"0, 3", b"5, 900"), (b"[0,3", b'["x",3'), (b'"start":0', b'"start":6'), (b"B-PER", b"Q-PER")):
        yield content.replace(old, new)


def told(folder, kind, path, target):
    """All that is said about a source by import and pull, and what they list."""
    labels = ["PER"]
    try:
        found = find_datasets(kind, str(path), {})
        labels = sorted({label for dataset in found for label in dataset.labels})
        for dataset in found:
            yield from (*dataset.intake.reasons, *dataset.intake.notes)
    except UserError as err:
        yield str(err)
    with suppress(UserError):
        find_datasets("", str(path), {})
    (name,) = (name for name in settings.readers() if name.split(".")[1].lower() == kind)
    options = {"dataset": "people"} if kind == "prodigydatabase" else {}
    try:
        source = settings.readers()[name](path=str(path), labels=[x for x in labels if WORD not in x], **options)
        entry = pull({"x": source}, target, 1.0, 1).manifest.datasets["x"]
        yield from (*entry.reasons, *entry.notes)
    except UserError as err:
        yield str(err)
    for listed in target.glob("skipped/*"):
        yield listed.read_text("utf8")


@pytest.mark.parametrize("kind", FORMATS)
def test_no_word_of_a_text_is_told(kind, tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    path = FORMATS[kind](folder)
    files = [path] if path.is_file() else sorted(path.iterdir())
    said: Counter[str] = Counter()
    for file in files[-1:]:
        content = file.read_bytes()
        for odd in damaged(content):
            file.write_bytes(odd)
            said.update(told(folder, kind, path, tmp_path / "annotations"))
        file.write_bytes(content)
    assert said
    # The path of the test has the name of the format, and never the word.
    assert [text for text in said if WORD[:8] in text] == []
