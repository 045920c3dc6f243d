"""What every reader promises, checked for all of them by one table: a reader without a row fails."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import spacy
from msgspec.structs import replace
from spacy.tokens import DocBin

from scripts.core import settings
from scripts.merging import reading
from scripts.sources.files import Files
from scripts.sources.source import Divisible, Source
from scripts.sources.web import fetch
from tests import web
from tests.prodigy import line, read, task, write_database
from tests.servers import fill, temporary_database
from tests.test_divided import is_divided, read_by
from tests.web import TOKEN, serving, studio_task

RECORDS = 12
SERVERS = ExitStack()  # of the test that runs
LABELS = ["LOC", "PER"]


def text_of(number, name):
    return f"{name} met number {number} in Rome ."


def spans_of(number, name):
    """PER in all records but every third, LOC in every fourth."""
    start = text_of(number, name).index("Rome")
    people = [(0, 3, "PER")] if number % 3 else []
    return people + ([(start, start + 4, "LOC")] if number % 4 == 0 else [])


def numbered(name):
    return [(text_of(number, name), spans_of(number, name)) for number in range(RECORDS)]


def prodigy_jsonl(folder, name):
    lines = [line(task(text, spans)) for text, spans in numbered(name)]
    (folder / "a.jsonl").write_text("\n".join(lines), "utf8")
    return {"path": str(folder / "a.jsonl")}


def prodigy_database(folder, name):
    """As Prodigy edits: the examples are dropped, and others are added."""
    (folder / "prodigy.db").unlink(missing_ok=True)
    write_database(folder / "prodigy.db", {"ner": [task(*record) for record in numbered(name)]})
    return {"path": str(folder / "prodigy.db"), "dataset": "ner"}


def prodigy_server(folder, name):
    from tests.servers import engine

    url = os.environ["LABELWISE_CONTRACT_URL"]
    with engine(url).begin() as database:
        for table in ("link", "example", "dataset"):
            database.exec_driver_sql(f"DELETE FROM {table}")
    fill(url, {"ner": [task(*record) for record in numbered(name)]})
    return {"connection": "LABELWISE_CONTRACT_URL", "dataset": "ner"}


def brat(folder, name):
    for number, (text, spans) in enumerate(numbered(name)):
        lines = [f"T{n}\t{label} {start} {end}\t{text[start:end]}\n" for n, (start, end, label) in enumerate(spans, 1)]
        (folder / f"{number:02}.txt").write_text(text, "utf8")
        (folder / f"{number:02}.ann").write_text("".join(lines), "utf8")
    return {"path": str(folder), "without_spans": "annotated"}


def conll(folder, name):
    for part in range(3):
        sentences = []
        for text, spans in numbered(name)[part::3]:
            tags = {text[start:end]: f"B-{label}" for start, end, label in spans}
            sentences.append("".join(f"{word} {tags.get(word, 'O')}\n" for word in text.split()))
        (folder / f"{part}.conll").write_text("\n".join(sentences), "utf8")
    return {"path": str(folder)}


def docbin(folder, name):
    nlp = spacy.blank("en")
    for part in range(3):
        docs = []
        for text, spans in numbered(name)[part::3]:
            doc = nlp(text)
            doc.set_ents([doc.char_span(*span[:2], label=span[2]) for span in spans])
            docs.append(doc)
        DocBin(docs=docs).to_disk(folder / f"{part}.spacy")
    return {"path": str(folder)}


def doccano(folder, name):
    records = [{"text": text, "label": [list(span) for span in spans]} for text, spans in numbered(name)]
    (folder / "all.jsonl").write_text("\n".join(map(json.dumps, records)), "utf8")
    return {"path": str(folder / "all.jsonl"), "without_spans": "annotated"}


def hugging_face(folder, name):
    arrow = pytest.importorskip("pyarrow", reason="pip install -r requirements-arrow.txt")
    from pyarrow import parquet

    for part in range(3):
        records = numbered(name)[part::3]
        tags = [{text[start:end]: f"B-{label}" for start, end, label in spans} for text, spans in records]
        tokens = [text.split() for text, _ in records]
        named = [[found.get(word, "O") for word in words] for found, words in zip(tags, tokens, strict=True)]
        parquet.write_table(arrow.table({"tokens": tokens, "ner_tags": named}), folder / f"{part}.parquet")
    return {"path": str(folder)}


def label_studio(folder, name):
    tasks = []
    for number, (text, spans) in enumerate(numbered(name)):
        found = [
            {"type": "labels", "value": {"start": start, "end": end, "text": text[start:end], "labels": [label]}}
            for start, end, label in spans
        ]
        tasks.append({"id": number, "data": {"text": text}, "annotations": [{"result": found}]})
    (folder / "all.json").write_text(json.dumps(tasks), "utf8")
    return {"path": str(folder / "all.json")}


def cas_xmi(folder, name):
    pytest.importorskip("cassis", reason="pip install -r requirements-dev.txt")
    from tests.test_cas_xmi import made

    for number, (text, spans) in enumerate(numbered(name)):
        place = folder / f"{number:02}"
        place.mkdir(exist_ok=True)
        document, types = made(text, spans)
        (place / "a.xmi").write_text(document, "utf8")
        (place / "TypeSystem.xml").write_text(types, "utf8")
    return {"path": str(folder)}


def training_data(folder, name):
    for part in range(3):
        rows = [[text, {"entities": spans}] for text, spans in numbered(name)[part::3]]
        (folder / f"{part}.json").write_text(json.dumps(rows), "utf8")
    return {"path": str(folder)}


def from_server(reader, respond, folder):
    """Fetch a project of a server, which runs until the test ends."""
    pytest.importorskip("httpx", reason="pip install -r requirements-servers.txt")
    options = {"project": "ner", "connection": "LABELWISE_CONTRACT", "folder": str(folder)}
    url, _ = SERVERS.enter_context(serving(respond))
    os.environ |= {"LABELWISE_CONTRACT_URL": url, "LABELWISE_CONTRACT_TOKEN": TOKEN}
    fetch({"ner": settings.readers()[reader](**options, labels=LABELS)})
    return options


def label_studio_server(folder, name):
    tasks = [studio_task(n, text, spans, updated=name) for n, (text, spans) in enumerate(numbered(name), 1)]
    return from_server("labelwise.LabelStudioServer.v1", web.label_studio(tasks, "ner"), folder)


def doccano_server(folder, name):
    texts = {n: (text, spans, True) for n, (text, spans) in enumerate(numbered(name), 1)}
    return from_server("labelwise.DoccanoServer.v1", web.doccano(texts, name="ner"), folder)


class Row(NamedTuple):
    """A reader: how its input is written, with a name of three letters in it, and whether it can be divided."""

    write: Callable[[Path, str], dict]
    is_divisible: bool


READERS = {
    "labelwise.Brat.v1": Row(brat, True),
    "labelwise.CasXmi.v1": Row(cas_xmi, True),
    "labelwise.Conll.v1": Row(conll, True),
    "labelwise.DocBin.v1": Row(docbin, True),
    "labelwise.Doccano.v1": Row(doccano, False),
    "labelwise.DoccanoServer.v1": Row(doccano_server, False),
    "labelwise.HuggingFace.v1": Row(hugging_face, True),
    "labelwise.LabelStudio.v1": Row(label_studio, False),
    "labelwise.LabelStudioServer.v1": Row(label_studio_server, False),
    "labelwise.ProdigyDatabase.v1": Row(prodigy_database, True),
    "labelwise.ProdigyJsonl.v1": Row(prodigy_jsonl, True),
    "labelwise.ProdigyServer.v1": Row(prodigy_server, True),
    "labelwise.TrainingData.v1": Row(training_data, True),
}


def test_every_reader_has_a_row():
    assert sorted(settings.readers()) == sorted(READERS)


@pytest.fixture(params=READERS)
def reader(request, tmp_path, monkeypatch):
    """Writes the input of a reader with a name in it, and gives the source that reads it."""
    (tmp_path / "input").mkdir()
    row = READERS[request.param]

    def write(name="Ada", labels=LABELS):
        return settings.readers()[request.param](**row.write(tmp_path / "input", name), labels=list(labels))

    write.is_divisible = row.is_divisible
    if row.write is not prodigy_server:
        with SERVERS:  # closes them
            yield write
        return
    with temporary_database("postgresql", "labelwise_contracts") as url:
        monkeypatch.setenv("LABELWISE_CONTRACT_URL", url.render_as_string(hide_password=False))
        yield write


def test_it_is_a_source(reader):
    source = reader()
    assert isinstance(source, Source)
    assert source.check() is None
    assert source.labels == LABELS


def test_it_pickles(reader):
    source = reader()
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    assert read(copy)[0] == read(source)[0]


def test_its_digest_changes_with_the_content_and_not_without(reader):
    first = reader()
    digest = first.digest()
    assert first.digest() == pickle.loads(pickle.dumps(first)).digest() == digest
    read(first)
    assert first.digest() == digest
    time.sleep(0.02)  # longer than a file system's clock ticks
    second = reader("Eva")  # of the same length
    assert second.digest() != digest
    assert "Eva" in read(second)[0][0].text


def test_the_labels_it_finds_are_those_it_reads(reader):
    source = reader()
    tasks, _, skipped = read(source)
    assert not skipped
    assert Counter(span.label for task in tasks for span in task.spans) == source.labels_found()
    assert sorted(source.labels_found()) == LABELS


def test_it_reads_every_record_with_its_spans(reader):
    tasks, intake, _ = read(reader())
    found = {task.text: [(span.start, span.end, span.label) for span in task.spans] for task in tasks}
    assert found == dict(numbered("Ada"))
    assert intake.records["read"] == intake.records["kept"] == RECORDS
    assert all(task.labels == LABELS for task in tasks)
    assert len({task.source for task in tasks}) == RECORDS


def test_files_of_a_folder_may_end_in_upper_case(reader, tmp_path):
    source = reader()
    if not isinstance(source, Files):
        pytest.skip("it reads no folder")
    for path in [path for path in (tmp_path / "input").rglob("*") if path.is_file()]:
        path.rename(path.with_suffix(path.suffix.upper()))
    source = replace(source, path=str(tmp_path / "input"))
    assert source.recognizes()
    tasks, intake, skipped = read(source)
    found = {task.text: [(span.start, span.end, span.label) for span in task.spans] for task in tasks}
    assert (found, skipped) == (dict(numbered("Ada")), [])
    assert not [note for note in intake.notes if "TypeSystem" in note or "without" in note]


def test_it_accounts_for_labels_that_are_not_taken(reader):
    tasks, intake, _ = read(reader(labels=["PER"]))
    assert {span.label for task in tasks for span in task.spans} == {"PER"}
    assert intake.spans["read"] - intake.spans["kept"] == sum(
        label == "LOC" for _, spans in numbered("Ada") for *_, label in spans
    )


@pytest.mark.parametrize("size", [1, 300])
def test_its_parts_give_what_the_whole_gives(reader, size):
    source = reader(labels=["PER", "LOC", "ORG"])
    assert isinstance(source, Divisible) or not reader.is_divisible
    if isinstance(source, Divisible):
        assert is_divided(source, size) or not reader.is_divisible


def test_several_processes_make_the_same_of_it_as_one(reader, tmp_path, monkeypatch):
    source = reader(labels=["PER", "ORG"])
    if not reader.is_divisible:
        pytest.skip("it is not divided")
    monkeypatch.setattr(reading, "PART_BYTES", 300)
    assert read_by(2, source, tmp_path / "many") == read_by(1, source, tmp_path / "one")
