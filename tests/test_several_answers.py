"""Several answers of one annotator about a text, from an export to the gold, and what the screen says of them."""

from __future__ import annotations

import json

import pytest

from scripts.merging.merged import load, read_gold
from tests.prodigy import line, task
from tests.project import succeed

TEXTS = {
    "Lena flew to Porto with Acme .": {"PERSON": (0, 4), "CITY": (13, 18), "FIRM": (24, 28)},
    "Omar lives in Turin .": {"PERSON": (0, 4), "CITY": (14, 19)},
    "Nothing of note happened .": {},
}
BLOCK = """
[datasets.{name}]
@readers = "labelwise.ProdigyJsonl.v1"
path = "all.jsonl"
labels = {labels}
{more}
"""


def passes(labels=("PERSON", "CITY", "FIRM")):
    """A dataset into which a dataset a label was merged: each text is there once a label."""
    return [
        task(text, [(*spans[label], label)] if label in spans else [])
        for label in labels
        for text, spans in TEXTS.items()
    ]


def merge(folder, tasks, *blocks, more=""):
    """The screen of merge, its gold by text, and merge.json."""
    (folder / "all.jsonl").write_text("\n".join(map(line, tasks)))
    config = [BLOCK.format(name="_".join(block).lower(), labels=json.dumps(block), more=more) for block in blocks]
    (folder / "datasets.cfg").write_text("[datasets]\n" + "".join(config))
    succeed(folder, "pull")
    screen = succeed(folder, "merge")
    return screen, {text.text: text for text in read_gold(folder / "corpus/gold.jsonl")}, load(folder / "corpus")


def found(text):
    return {span.label: (span.start, span.end) for span in text.spans}


@pytest.mark.parametrize("blocks", [[["PERSON"], ["CITY"], ["FIRM"]], [["PERSON", "CITY", "FIRM"]], [["CITY", "FIRM"]]])
def test_datasets_a_label_that_were_merged_into_one_unite(blocks, tmp_path):
    screen, gold, merged = merge(tmp_path, passes(), *blocks)
    labels = {label for block in blocks for label in block}
    for text, spans in TEXTS.items():
        assert found(gold[text]) == {label: spans[label] for label in spans if label in labels}
        assert set(gold[text].covered) == labels
    assert 'Taken for passes, each for its own labels (repeats = "unite")' in screen
    assert len(merged.passes) == len(blocks)
    assert (tmp_path / "corpus/conflicts.jsonl").read_bytes() == b""


def test_a_text_that_a_pass_did_not_reach_is_not_covered_for_its_label(tmp_path):
    screen, gold, _ = merge(tmp_path, passes()[:-2], ["PERSON", "CITY", "FIRM"])  # FIRM reached the first text only
    assert gold["Omar lives in Turin ."].covered == ["CITY", "PERSON"]
    assert gold["Nothing of note happened ."].covered == []
    assert "text × label pairs where no answer tells whether the label was looked for" in screen


def test_an_answer_without_spans_is_a_correction_that_is_listed_until_told_otherwise(tmp_path):
    tasks = [task("Lena left .", [(0, 4, "PERSON")]), task("Lena left .")]
    screen, gold, _ = merge(tmp_path, tasks, ["PERSON"])
    assert found(gold["Lena left ."]) == {}
    assert "One without spans is taken for a correction" in screen
    assert "Conflicts: 1 × replacement" in screen
    (tmp_path / "united").mkdir()
    _, gold, _ = merge(tmp_path / "united", tasks, ["PERSON"], more='repeats = "unite"')
    assert found(gold["Lena left ."]) == {"PERSON": (0, 4)}


def test_what_is_judged_again_says_nothing_but_the_replacements(tmp_path):
    tasks = [task("Lena left .", [(0, 4, "PERSON")]), task("Lena left .", [(0, 9, "PERSON")])]
    screen, gold, merged = merge(tmp_path, tasks, ["PERSON"])
    assert found(gold["Lena left ."]) == {"PERSON": (0, 9)}
    assert "several complete answers" not in screen
    assert merged.repeated == {"person": {"again": 1}}


def test_one_line_for_all_blocks_of_a_dataset(tmp_path):
    screen, _, _ = merge(tmp_path, passes(), ["PERSON"], ["CITY"], ["FIRM"])
    assert screen.count("several complete answers") == 1
    assert (
        "⚠ city, firm and 1 more: 2 texts with several complete answers of one annotator: 2 about other labels."
        in screen
    )
