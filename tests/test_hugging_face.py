"""Datasets of Hugging Face's on disk, in Parquet and in Arrow."""

from __future__ import annotations

import json
import sys

import pytest

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.sources.hugging_face import HuggingFace
from tests.prodigy import read

arrow = pytest.importorskip("pyarrow", reason="pip install -r requirements-arrow.txt")
parquet = pytest.importorskip("pyarrow.parquet")

NAMES = ["O", "B-PER", "I-PER", "B-LOC"]
CLASS = {"names": NAMES, "_type": "ClassLabel"}
ROWS = {"tokens": [["Ada", "L.", "met", "🦆"], ["Köln"], ["x"]], "ner_tags": [[1, 2, 0, 0], [3], [0]]}
KINDS = ("parquet", "stream", "file")


def write(folder, kind="parquet", rows=ROWS, feature=None, name="data"):
    """A file of a dataset. feature: the description of the tags in its metadata."""
    table = arrow.table(rows)
    if feature is not None:
        info = {"info": {"features": {"ner_tags": feature}}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps(info).encode()})
    path = folder / f"{name}.{'parquet' if kind == 'parquet' else 'arrow'}"
    if kind == "parquet":
        parquet.write_table(table, path)
        return str(path)
    new = arrow.ipc.new_stream if kind == "stream" else arrow.ipc.new_file
    with arrow.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
        writer.write_table(table)
    return str(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("feature", [{"feature": CLASS, "_type": "Sequence"}, [CLASS], {"feature": [CLASS]}])
def test_tokens_and_tags_become_texts(tmp_path, kind, feature):
    source = HuggingFace(write(tmp_path, kind, feature=feature), ["PER"])
    tasks, intake, _ = read(source)
    assert [(task.text, task.spans) for task in tasks] == [
        ("Ada L. met 🦆", [Span(0, 6, "PER")]), ("Köln", []), ("x", [])
    ]  # fmt: skip
    assert tasks[1].source.endswith(":2")
    assert intake.spans == {"read": 2, "kept": 1, "other_labels": 1}
    assert source.recognizes()
    assert source.labels_found() == {"PER": 1, "LOC": 1}


def test_names_beside_the_file_or_given(tmp_path):
    path = write(tmp_path, "stream")
    _, intake, skipped = read(HuggingFace(path, ["PER"]))
    assert {skip.reason for skip in skipped} == {"tag that is a number without a name: set names"}
    assert intake.records == {"read": 3, "skipped": 3}
    assert read(HuggingFace(path, ["PER"], names=NAMES))[0][0].spans == [Span(0, 6, "PER")]
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {"ner_tags": {"feature": CLASS}}}))
    assert read(HuggingFace(path, ["PER"]))[0][0].spans == [Span(0, 6, "PER")]


@pytest.mark.parametrize("is_folder", [False, True])
def test_other_names_beside_a_file_change_the_source(tmp_path, is_folder):
    path = write(tmp_path, "stream")
    source = HuggingFace(str(tmp_path) if is_folder else path, ["PER"])
    info = tmp_path / "dataset_info.json"
    seen = [(source.state().value, source.digest())]
    for names in (NAMES, ["O", "B-LOC", "I-LOC", "B-PER"]):
        info.write_text(json.dumps({"features": {"ner_tags": {"feature": {"names": names}}}}))
        seen.append((source.state().value, source.digest()))
    assert [len(set(values)) for values in zip(*seen, strict=True)] == [3, 3]


def test_tags_as_texts_in_columns_of_other_names(tmp_path):
    path = write(tmp_path, rows={"words": [["Ada", "met"]], "labels": [["U-PER", "O"]]})
    (task,), intake, _ = read(HuggingFace(path, ["PER"], tokens="words", tags="labels"))
    assert task.spans == [Span(0, 3, "PER")]
    assert intake.notes == {"file with tags read as biluo": 1}


def test_all_files_of_a_folder(tmp_path):
    (tmp_path / "train").mkdir()
    write(tmp_path / "train", "stream", feature=[CLASS])
    write(tmp_path, feature=[CLASS], name="more")
    tasks, _, _ = read(HuggingFace(str(tmp_path), ["PER"]))
    assert [task.source for task in tasks[::3]] == ["more.parquet:1", "train/data.arrow:1"]


@pytest.mark.parametrize(
    ("tokens", "tags", "reason"),
    [
        (["a", "b"], [0], "not as many tags as tokens"),
        (None, [0], "tokens are no list of texts"),
        (["a", None], [0, 0], "tokens are no list of texts"),
        (["a"], None, "not as many tags as tokens"),
        (["a"], [-100], "tag that is a number without a name: set names"),
        (["a", " "], [0, 1], "token is empty"),
        ([], [], "text is empty"),
    ],
)
def test_a_row_that_cannot_be_used_is_skipped_with_its_place(tmp_path, tokens, tags, reason):
    path = write(tmp_path, rows={"tokens": [["Ada"], tokens], "ner_tags": [[1], tags]}, feature=[CLASS])
    tasks, intake, (skip,) = read(HuggingFace(path, ["PER"]))
    assert (len(tasks), skip.place, skip.reason) == (1, "data.parquet:2", reason)
    assert intake.records["skipped"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_file_is_an_error(tmp_path, kind):
    path = write(tmp_path, kind)
    with pytest.raises(UserError, match="has no column 'tags'; there is tokens, ner_tags"):
        read(HuggingFace(path, ["PER"], tags="tags"))
    content = (tmp_path / path).read_bytes()
    for damaged in (b"", b"nothing of the kind", content[: len(content) // 2]):
        (tmp_path / path).write_bytes(damaged)
        with pytest.raises(UserError, match="cannot be read"):
            read(HuggingFace(path, ["PER"], names=NAMES))


@pytest.mark.parametrize(
    "info", [b"no JSON", b"[]", b'{"features": 3}', b'{"features": {"ner_tags": {"names": 5}}}', b"\xff"]
)
def test_a_description_of_anything(tmp_path, info):
    path = write(tmp_path)
    (tmp_path / "dataset_info.json").write_bytes(info)
    assert read(HuggingFace(path, ["PER"]))[1].records["skipped"] == 3


def test_without_pyarrow_it_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-arrow\.txt"):
        HuggingFace(path, []).check()


# Columns

FEW = {"coarse": ["O", "person", "place"], "fine": ["O", "person-artist", "place-town"]}


def described(folder, rows, names, name="data"):
    """A file whose numbers have names."""
    features = {column: {"feature": {"names": found, "_type": "ClassLabel"}} for column, found in names.items()}
    table = arrow.table(rows).replace_schema_metadata(
        {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    )
    parquet.write_table(table, folder / f"{name}.parquet")
    return str(folder / f"{name}.parquet")


@pytest.mark.parametrize(
    ("rows", "names", "labels", "others"),
    [
        ({"words": [["Ada", "O"]], "labels": [["U-PER", "O"]]}, {}, {"PER": 1}, {}),
        (
            {
                "id": ["1"],
                "tokens": [["Ada", "met"]],
                "pos_tags": [[0, 1]],
                "chunk_tags": [[1, 2]],
                "ner_tags": [[1, 0]],
            },
            {"pos_tags": ["NNP", "VBD"], "chunk_tags": ["O", "B-NP", "B-VP"], "ner_tags": ["O", "B-PER"]},
            {"PER": 1},
            {"chunk_tags": 2},
        ),
        (
            {"tokens": [["Ada", "met"]], "chunks": [["B-NP", "B-VP"]], "entities": [["B-PER", "O"]]},
            {},
            {"PER": 1},
            {"chunks": 2},
        ),
        (
            {"tokens": [["Ada", "met"]], "predicted_tags": [["B-PER", "B-ORG"]], "tags": [["B-PER", "O"]]},
            {},
            {"PER": 1},
            {"predicted_tags": 2},
        ),
        (
            {"tokens": [["Ada", "in", "Rome"]], "ner_tags": [[1, 0, 2]], "fine_ner_tags": [[1, 0, 2]]},
            {"ner_tags": FEW["coarse"], "fine_ner_tags": FEW["fine"]},
            {"person": 1, "place": 1},
            {"fine_ner_tags": 2},
        ),
        (
            {"spans": [["PER: A"]], "tokens": [["A"]], "langs": [["en"]], "ner_tags": [["U-PER"]]},
            {},
            {"PER": 1},
            {},
        ),
    ],
)
def test_the_columns_are_found_and_the_others_are_named(tmp_path, rows, names, labels, others):
    source = HuggingFace(described(tmp_path, rows, names), sorted(labels))
    assert source.labels_found() == labels
    _, intake, skipped = read(source)
    assert not skipped
    notes = {f'span in column {n}, which has tags too: tags = "{n}" takes it': count for n, count in others.items()}
    assert notes.items() <= intake.notes.items()
    assert len(intake.notes) == len(notes) + 1


def test_import_is_told_of_the_columns_and_splits(tmp_path):
    rows = {"tokens": [["Ada"]], "ner_tags": [[1]], "fine": [[1]]}
    (tmp_path / "data").mkdir()
    for split in ("train", "validation", "test"):
        described(tmp_path / "data", rows, {"ner_tags": FEW["coarse"], "fine": FEW["fine"]}, f"{split}-00000-of-00001")
    source = HuggingFace(str(tmp_path), [])
    assert source.split_paths() == {
        split: str(tmp_path / "data" / f"{name}-00000-of-00001.parquet")
        for split, name in (("train", "train"), ("dev", "validation"), ("test", "test"))
    }
    assert source.findings()[1] == 'tags of column ner_tags are taken; tags = "fine" takes 3 × person-artist'


def test_a_column_that_the_config_names_is_taken_as_it_is(tmp_path):
    rows = {"tokens": [["Ada"]], "ner_tags": [[1]], "fine": [[1]]}
    path = described(tmp_path, rows, {"ner_tags": FEW["coarse"], "fine": FEW["fine"]})
    (task,), intake, _ = read(HuggingFace(path, ["person-artist"], tags="fine"))
    assert (len(task.spans), intake.notes) == (1, {"file with tags read as io": 1})
