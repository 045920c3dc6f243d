"""The gold in other tools' formats, and back: exact where the format can hold it, counted where it cannot."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.core.answers import GoldText, Span
from scripts.core.errors import UserError
from scripts.core.texts import input_hash, task_hash
from scripts.exporting.exporting import FORMATS, export
from scripts.merging.decide import longest_first
from scripts.merging.merge import Resources, merge
from scripts.sources.brat import Brat
from scripts.sources.conll import Conll
from scripts.sources.docbin import DocBinFiles
from scripts.sources.doccano import Doccano
from scripts.sources.label_studio import LabelStudio
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from scripts.sources.source import fit_span
from tests.annotated import task, write
from tests.prodigy import read

LABELS = ["ORG", "PER", "org"]
NLP = {"lang": "en"}
few = settings(max_examples=settings.default.max_examples // 3)  # each goes through files
RESOURCES = Resources(memory_mb=512, processes=1)
# Characters that other formats trip over: astral, combined, line ends and whitespace of all kinds, markup, separators.
CHARS = "aAb .,'-_<&\"\\#\t\n\r\u00a0\u2028\u0301ß漢🦆𝒳\u200d"


def merged(tasks, folder):
    """The gold of answers, in a folder as `merge` leaves it."""
    shutil.rmtree(folder, ignore_errors=True)
    merge(write(folder / "annotations", tasks), folder / "annotations", folder / "corpus", "majority", RESOURCES)
    return folder / "corpus"


def gold(corpus):
    """The texts of a corpus, by text, without the names of datasets."""
    lines = (corpus / "gold.jsonl").read_bytes().splitlines()
    texts = [msgspec.json.decode(line, type=GoldText) for line in lines]
    return {text.text: msgspec.structs.replace(text, sources=[]) for text in texts}


def known(text):
    return bool(text.covered or text.accepted or text.rejected)


def complete(texts, labels):
    """The spans of the texts in which all labels are covered."""
    return {text.text: text.spans for text in texts.values() if text.covered == labels}


def found(source):
    """The spans of each text that a source holds."""
    tasks, _, skipped = read(source)
    assert not skipped
    assert all(task.kind == "manual" and task.labels == sorted(source.labels) for task in tasks)
    return {task.text: task.spans for task in tasks}


@st.composite
def answers(draw):
    """Answers about some texts, complete ones and binary ones, a dataset a label. Meta says which text it is."""
    texts = draw(
        st.lists(st.text(CHARS, min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=5, unique=True)
    )
    tasks = []
    for number, text in enumerate(texts):
        for label in LABELS:
            kind = draw(st.sampled_from(["none", "manual", "manual", "manual", "binary", "disagree"]))
            place = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 8))
            fitted = [
                fit_span(text, at, min(len(text), at + size), label) for at, size in draw(st.lists(place, max_size=3))
            ]
            spans = [(span.start, span.end, label) for span in set(fitted) if isinstance(span, Span)]
            about = {
                "labels": [label],
                "dataset": f"data {label}{label.islower()}",
                "meta": {"n": number} if number else {},
            }
            if kind in ("manual", "disagree"):
                tasks.append(task(text, *spans, annotator="a", source=f"link:{number}", **about))
            if kind == "disagree":
                tasks.append(task(text, annotator="b", source=f"link:{number}", **about))
            if kind == "binary":
                answer = draw(st.sampled_from(["accept", "reject"]))
                tasks += [
                    task(text, span, kind="binary", answer=answer, source=f"link:{number}", **about) for span in spans
                ]
    return tasks


def exported(tasks, folder, name, label="all"):
    """The gold, where it is exported to, and the account."""
    corpus = merged(tasks, folder / "first")
    shutil.rmtree(folder / "exports", ignore_errors=True)
    target, account = export(corpus, folder / "exports", name, label, NLP)
    for counts in (account.texts, account.spans):
        assert counts["read"] == sum(counts.values()) - counts["read"]
    return gold(corpus), target, account


@few
@given(tasks=answers().filter(bool))
def test_prodigy_files_lose_nothing_but_which_labels_were_unresolved(tasks, tmp_path):
    before, target, account = exported(tasks, tmp_path, "prodigy")
    again = []
    for number, label in enumerate(account.labels):
        path = next(path for path in target.glob("*.jsonl") if re.fullmatch(rf"(\d-)?{label}\.jsonl", path.name))
        answers, _, skipped = read(ProdigyJsonl(str(path), [label]))
        assert not skipped
        again += [msgspec.structs.replace(answer, dataset=str(number)) for answer in answers]
    after = gold(merged(again, tmp_path / "second")) if again else {}
    assert after == {name: msgspec.structs.replace(text, unresolved=[]) for name, text in before.items() if known(text)}
    assert sum(account.notes.get(note, 0) for note in account.notes if "unresolved" in note) == sum(
        len(text.unresolved) for text in before.values() if known(text)
    )


def test_a_prodigy_task_is_as_prodigy_would_store_it(tmp_path):
    tasks = [task("Ada runs IBM-Zürich.", (9, 12, "ORG"), meta={"page": 3})]
    _, target, _ = exported(tasks, tmp_path, "prodigy")
    found = json.loads((target / "ORG.jsonl").read_text("utf8"))
    assert found["_input_hash"] == input_hash(found["text"])
    assert found["_task_hash"] == task_hash(found["_input_hash"], found["spans"])
    assert (found["_view_id"], found["answer"], found["_is_binary"]) == ("ner_manual", "accept", False)
    assert found["meta"] == {"page": 3}
    assert "".join(token["text"] + " " * token["ws"] for token in found["tokens"]) == found["text"]
    assert [token["id"] for token in found["tokens"]] == list(range(len(found["tokens"])))
    span = found["spans"][0]
    assert found["tokens"][span["token_start"]]["start"] == span["start"]
    assert found["tokens"][span["token_end"]]["end"] == span["end"]


def test_tokens_are_cut_where_a_span_begins_or_ends(tmp_path):
    _, target, account = exported([task("the IBMers", (4, 7, "ORG"))], tmp_path, "prodigy")
    found = json.loads((target / "ORG.jsonl").read_text("utf8"))
    assert [token["text"] for token in found["tokens"]] == ["the", "IBM", "ers"]
    assert [token["ws"] for token in found["tokens"]] == [True, False, False]
    assert account.notes == {"tokens cut at the boundary of a span": 1}


@few
@given(tasks=answers().filter(bool))
def test_brat_keeps_spans_of_all_labels(tasks, tmp_path):
    before, target, account = exported(tasks, tmp_path, "brat")
    expected = complete(before, account.labels)
    written = Brat(str(target / "complete"), account.labels, without_spans="annotated")
    after = found(written) if expected else {}
    assert after == expected
    for path in target.rglob("*.txt"):
        assert path.with_suffix(".ann").is_file()
        assert re.fullmatch(r"[0-9a-f]{8}(-\d+)?", path.stem)
    assert (target / "annotation.conf").read_text("utf8").startswith("[entities]\n")


def test_brat_texts_that_share_a_hash_have_files_of_their_own(tmp_path):
    tasks = [task(text, input_hash=7, source=f"x:{number}") for number, text in enumerate(["a", "b", "c"])]
    _, target, _ = exported([*tasks, task("d", input_hash=8)], tmp_path, "brat")
    texts = {path.stem: path.read_text() for path in (target / "complete").glob("*.txt")}
    assert texts == {"00000007": "a", "00000007-2": "b", "00000007-3": "c", "00000008": "d"}


def test_labels_that_brat_does_not_allow_are_counted(tmp_path):
    tasks = [task("IBM", (0, 3, "BIG ORG"), labels=["BIG ORG", "ORG"])]
    _, target, account = exported(tasks, tmp_path, "brat")
    assert account.spans["written"] == 0
    assert account.spans["label with characters that brat does not allow"] == 1
    assert "BIG" not in (target / "annotation.conf").read_text()


@few
@given(tasks=answers().filter(bool))
def test_doccano_keeps_spans_and_meta(tasks, tmp_path):
    before, target, account = exported(tasks, tmp_path, "doccano")
    expected = complete(before, account.labels)
    path = str(target / "complete.jsonl")
    assert found(Doccano(path, account.labels, without_spans="annotated", offsets="codepoints")) == expected
    lines = [json.loads(line) for name in ("complete", "incomplete") for line in (target / f"{name}.jsonl").open("rb")]
    assert {line["text"]: line.get("meta", {}) for line in lines} == {
        name: text.meta for name, text in before.items() if known(text)
    }


@few
@given(tasks=answers().filter(bool))
def test_label_studio_keeps_spans_whose_texts_stand_at_their_offsets(tasks, tmp_path):
    before, target, account = exported(tasks, tmp_path, "label_studio")
    expected = complete(before, account.labels)
    for offsets in ("codepoints", "auto"):
        assert found(LabelStudio(str(target / "tasks.json"), account.labels, offsets=offsets)) == expected
    made = json.loads((target / "tasks.json").read_bytes())
    predicted = {one["data"]["text"]: one["predictions"][0]["result"] for one in made}
    assert {text: len(result) for text, result in predicted.items()} == {
        name: len(text.spans) + len(text.accepted) for name, text in before.items() if known(text)
    }
    config = ElementTree.fromstring((target / "labeling.xml").read_bytes())
    assert [label.attrib["value"] for label in config.iter("Label")] == account.labels


@few
@given(tasks=answers().filter(bool))
def test_complete_conll_has_all_tokens_and_spans_of_the_texts_without_overlaps(tasks, tmp_path):
    """The text is that of the tokens with one space between them, so spans are compared by their characters."""
    before, target, account = exported(tasks, tmp_path, "conll")
    expected = [
        without_whitespace(text, spans)
        for text, spans in complete(before, account.labels).items()
        if not longest_first(spans)[1]
    ]
    again, _, skipped = read(Conll(str(target / "complete.conll"), account.labels, scheme="iob2"))
    assert not skipped
    assert sorted(without_whitespace(one.text, one.spans) for one in again) == sorted(expected)


def without_whitespace(text, spans):
    """A text without its whitespace, and its spans in it."""
    before = [sum(not char.isspace() for char in text[:at]) for at in range(len(text) + 1)]
    return "".join(text.split()), [(before[span.start], before[span.end], span.label) for span in spans]


@few
@given(tasks=answers().filter(bool))
def test_docbins_lose_nothing_but_meta(tasks, tmp_path):
    before, target, account = exported(tasks, tmp_path, "docbin")
    again, _, skipped = read(DocBinFiles(str(target), account.labels)) if any(target.glob("*.spacy")) else ([], 0, [])
    assert not skipped
    after = gold(merged(again, tmp_path / "second")) if again else {}
    assert after == {
        name: msgspec.structs.replace(text, unresolved=[], meta={}) for name, text in before.items() if known(text)
    }


@few
@given(tasks=answers().filter(bool))
def test_parquet_keeps_everything(tasks, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: requirements-arrow.txt")
    before, target, _ = exported(tasks, tmp_path, "parquet")
    rows = parquet.read_table(target / "gold.parquet").to_pylist()
    assert all(row.pop("covered_ranges") == [] for row in rows)
    after = [msgspec.convert(row | {"meta": json.loads(row["meta"])}, GoldText) for row in rows]
    assert {text.text: msgspec.structs.replace(text, sources=[]) for text in after} == {
        name: text for name, text in before.items() if known(text)
    }


def test_conll_skips_and_counts_overlapping_spans(tmp_path):
    tasks = [
        task("Bank of\nAda, x", (0, 11, "ORG"), (8, 11, "PER"), labels=["ORG", "PER"], source="x:1"),
        task("Ada Ada", (0, 3, "PER"), (4, 7, "PER"), labels=["ORG", "PER"], source="x:2"),
        task("IBM", (0, 3, "ORG"), source="x:3"),
    ]
    _, target, account = exported(tasks, tmp_path, "conll")
    assert (target / "complete.conll").read_text() == "Ada\tB-PER\nAda\tB-PER\n\n"
    incomplete = (target / "incomplete.conll").read_text().split("\n\n")  # also the text that lacks a span
    assert sorted(incomplete) == sorted(["Bank\tB-ORG\nof\tI-ORG\nAda\tI-ORG\n,\tO\nx\tO", "IBM\tB-ORG", ""])
    assert account.spans == {"read": 5, "written": 4, "overlaps a longer span of another label": 1}
    assert account.notes["texts with other whitespace than one space between tokens"] == 1


@few
@given(tasks=answers().filter(bool), label=st.sampled_from(LABELS), name=st.sampled_from(sorted(FORMATS)))
def test_an_export_of_one_label_has_its_annotations_only(tasks, label, name, tmp_path):
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: requirements-arrow.txt")
    labels = {found.labels[0] for found in tasks if found.annotator != "b"}
    try:
        before, _, account = exported(tasks, tmp_path, name, label)
    except UserError as err:
        assert f"there is no label {label!r} in the gold" in str(err)
        return
    assert label in labels
    about = [
        text for text in before.values()
        if label in text.covered or any(span.label == label for span in (*text.accepted, *text.rejected))
    ]  # fmt: skip
    assert account.texts["written"] == len(about)
    others = sum(
        span.label != label for text in before.values() for span in (*text.spans, *text.accepted, *text.rejected)
    )
    assert account.spans.get("other labels", 0) == others


@pytest.fixture
def corpus(tmp_path):
    tasks = [task(f"IBM number {n}", (0, 3, "ORG"), source=f"x:{n}") for n in range(20)]
    return merged(tasks, tmp_path / "first")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_gold_makes_the_same_bytes_and_replaces_what_was_there(name, corpus, tmp_path):
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: requirements-arrow.txt")
    made = []
    for _ in range(2):
        target, _ = export(corpus, tmp_path / "exports", name, "all", NLP)
        made.append({path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()})
    assert made[0] == made[1]
    assert Path("export.json") in made[0]
    assert [path.name for path in (tmp_path / "exports").iterdir() if path.name != ".lock"] == [name]


def test_an_export_that_somebody_changed_is_not_overwritten(corpus, tmp_path):
    target, _ = export(corpus, tmp_path / "exports", "brat", "all", NLP)
    edited = next(target.rglob("*.ann"))
    edited.write_text("T1\tORG 0 2\tIB\n")
    with pytest.raises(UserError, match="was changed since it was exported"):
        export(corpus, tmp_path / "exports", "brat", "all", NLP)
    assert edited.read_text() == "T1\tORG 0 2\tIB\n"


@pytest.mark.parametrize(
    ("name", "label", "said"),
    [
        ("word", "all", "there is no format 'word'; there are prodigy"),
        ("brat", "X", "no label 'X' in the gold; there are ORG"),
    ],
)
def test_an_unknown_format_or_label_is_explained(name, label, said, corpus, tmp_path):
    with pytest.raises(UserError, match=said):
        export(corpus, tmp_path / "exports", name, label, NLP)


def test_gold_that_was_edited_is_not_exported(corpus, tmp_path):
    (corpus / "gold.jsonl").write_text("")
    with pytest.raises(UserError, match="is not as it was merged"):
        export(corpus, tmp_path / "exports", "brat", "all", NLP)
