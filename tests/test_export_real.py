"""Real annotations out and back: texts with astral characters, and a real Label Studio."""

from __future__ import annotations

import json

import pytest

from scripts.exporting.exporting import export
from scripts.merging.merge import Resources, merge
from scripts.merging.pull import pull
from scripts.sources.conll import Conll
from scripts.sources.doccano import Doccano
from scripts.sources.label_studio import LabelStudio
from tests.label_studio import executable, running
from tests.prodigy import read

LABELS = ["corporation", "creative-work", "group", "location", "person", "product"]


@pytest.fixture(scope="module")
def tweets(shared_data, tmp_path_factory):
    """The gold of conll-wnut17: its folder, and the spans by text."""
    folder = tmp_path_factory.mktemp("wnut17")
    paths = sorted(
        path for path in (shared_data / "conll-wnut17").rglob("*") if path.suffix in (".conll", ".annotated")
    )
    sources = {path.stem: Conll(str(path), LABELS) for path in paths}
    manifest, _ = pull(sources, folder / "annotations", 0.2, 1)
    merge(manifest, folder / "annotations", folder / "corpus", "union", Resources(512, 1))
    lines = [json.loads(line) for line in (folder / "corpus/gold.jsonl").open("rb")]
    spans = {line["text"]: [(s["start"], s["end"], s["label"]) for s in line["spans"]] for line in lines}
    astral = sum(any(char > "\uffff" for char in text) for text in spans)
    assert len(spans) > 5_000
    assert astral > 80
    return folder / "corpus", spans


def found(source):
    tasks, _, skipped = read(source)
    assert not skipped
    return {task.text: [(span.start, span.end, span.label) for span in task.spans] for task in tasks}


@pytest.mark.parametrize("name", ["label_studio", "doccano"])
def test_no_offset_moves_after_an_emoji(name, tweets, tmp_path):
    corpus, spans = tweets
    target, account = export(corpus, tmp_path, name, "all", {"lang": "en"})
    assert account.texts == {"read": len(spans), "written": len(spans)}
    if name == "label_studio":
        assert found(LabelStudio(str(target / "tasks.json"), LABELS, offsets="codepoints")) == spans
    else:
        path = str(target / "complete.jsonl")
        assert found(Doccano(path, LABELS, without_spans="annotated", offsets="codepoints")) == spans


def test_a_real_label_studio_takes_the_tasks_and_gives_the_same_spans_back(tweets, tmp_path):
    """Takes a minute or two. Of the texts those with astral characters, and as many others."""
    program = executable()
    if program is None:
        pytest.skip("Label Studio is not installed (or set LABELWISE_LABEL_STUDIO to its executable)")
    corpus, spans = tweets
    target, _ = export(corpus, tmp_path / "exports", "label_studio", "all", {"lang": "en"})
    tasks = json.loads((target / "tasks.json").read_bytes())
    astral = [task for task in tasks if any(char > "\uffff" for char in task["data"]["text"])]
    sent = [
        *astral,
        *[task for task in tasks if task["predictions"][0]["result"] and task not in astral][: len(astral)],
    ]
    for task in sent[::2]:  # these are to be annotated yet: their spans are shown, and somebody says they are right
        del task["annotations"]
    (tmp_path / "server").mkdir()
    with running(program, tmp_path / "server") as call:
        config = (target / "labeling.xml").read_text("utf8")
        project = call("POST", "/api/projects/", {"title": "tweets", "label_config": config})["id"]
        took = call("POST", f"/api/projects/{project}/import?commit_to_project=true", sent)
        assert (took["task_count"], took["annotation_count"]) == (len(sent), len(sent) // 2)
        everything = {"all": True, "excluded": []}
        call("POST", f"/api/dm/actions?id=predictions_to_annotations&project={project}", {"selectedItems": everything})
        given = call("GET", f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
    (tmp_path / "export.json").write_text(json.dumps(given), "utf8")
    answers, _, skipped = read(LabelStudio(str(tmp_path / "export.json"), LABELS))
    assert not skipped
    expected = {task["data"]["text"]: spans[task["data"]["text"]] for task in sent}
    assert {answer.text for answer in answers} == set(expected)
    for answer in answers:
        assert [(span.start, span.end, span.label) for span in answer.spans] == expected[answer.text]
