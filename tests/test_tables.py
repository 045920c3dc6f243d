"""Screens at 80 columns: names that share a long beginning, and wide characters, are whole in every table."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from rich.cells import cell_len

from scripts.core.errors import plain_console
from scripts.reporting.console import broken, new_table, print_sums
from tests.prodigy import line, task
from tests.project import ROOT, TRAINING
from tests.scored import write_model

LABELS = [f"Pediatric_Adverse_Reaction_Severity_{grade}" for grade in ("Mild", "Moderate", "Severe", "Fatal")]
LABELS += ["重要な有害事象の名前がとても長い場合その一", "重要な有害事象の名前がとても長い場合その二", "ORG", "Dose"]
DATASETS = [f"annotations_of_the_second_campaign_2024_{number}" for number in range(len(LABELS))]
WORDS = [f"word{number}" for number in range(len(LABELS))]
RUN = "a-run-with-a-name-that-says-all-about-it"


def shows(printed, name):
    """Whether a name is in a first column: whole, or its further lines below."""
    lines = printed.splitlines()
    for number, first in enumerate(lines):
        rest = name.removeprefix(first.split(" ")[0])
        for below in lines[number + 1 :]:
            if rest and below.startswith("  ") and rest.startswith(below.split()[0]):
                rest = rest.removeprefix(below.split()[0])
            else:
                break
        if not rest:
            return True
    return False


@pytest.fixture(scope="module")
def screens(tmp_path_factory):
    """What each step prints at 80 columns about a corpus whose datasets and labels have such names."""
    folder = tmp_path_factory.mktemp("tables")
    texts = [f"{' and '.join(WORDS)} in text {number} ." for number in range(60)]
    blocks = ["[split]\ndev = 0.2\ntest = 0.3\n\n[datasets]\n"]
    for name, label, word in zip(DATASETS, LABELS, WORDS, strict=True):
        tasks = [task(text, [(text.index(word), text.index(word) + len(word), label)]) for text in texts]
        (folder / f"{name}.jsonl").write_text("\n".join(map(line, tasks[: 60 - len(word)])), "utf8")
        blocks.append(
            f'[datasets.{name}]\n@readers = "labelwise.ProdigyJsonl.v1"\npath = "{name}.jsonl"\nlabels = ["{label}"]\n'
        )
    (folder / "datasets.cfg").write_text("\n".join(blocks), "utf8")
    (folder / "ner.cfg").write_text(TRAINING)
    found = {}

    def run(step, *options):
        done = subprocess.run(
            [sys.executable, "-m", f"scripts.{step}", *options], cwd=folder, capture_output=True, encoding="utf8",
            env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "PYTHONIOENCODING": "utf8"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[step] = done.stdout

    run("pull", "datasets.cfg", "annotations")
    run("merge", "datasets.cfg", "annotations", "corpus")
    run("corpus", "datasets.cfg", "ner.cfg", "corpus")
    run("consistency", "annotations", "corpus")
    run("coverage", "annotations", "corpus")
    for seed, name in enumerate((f"{RUN}-1", f"{RUN}-2", f"{RUN}-3")):
        patterns = {label: [word] for label, word in list(zip(LABELS, WORDS, strict=True))[seed:]}
        write_model(folder / "training" / name, patterns, folder / "corpus/split.json")
        run("evaluate", "--run", name, "--models", f"training/{name}", "--corpus", "corpus", "--output", "metrics")
    run("compare", "metrics")
    run("next", "corpus", "metrics")
    return found


@pytest.mark.parametrize("step", ["merge", "corpus", "consistency", "coverage", "evaluate", "compare", "next"])
def test_every_label_is_whole(step, screens):
    assert [label for label in LABELS if not shows(screens[step], label)] == []


@pytest.mark.parametrize("step", ["pull", "merge"])
def test_every_dataset_is_whole(step, screens):
    assert [name for name in DATASETS if not shows(screens[step], name)] == []


@pytest.mark.parametrize("step", ["pull", "merge", "corpus", "consistency", "coverage", "evaluate", "compare", "next"])
def test_no_line_is_too_long_and_no_cell_is_cut(step, screens):
    assert max(map(cell_len, screens[step].splitlines())) <= 80
    assert "…" not in screens[step].replace(" … ", "")  # of an interval


def test_runs_whose_names_begin_alike_stay_apart_in_the_headings(screens):
    lines = screens["compare"].splitlines()
    heads = [line.split() for line in lines[: lines.index(next(line for line in lines if line.startswith("F ")))]]
    columns = ["".join(parts) for parts in zip(*(head for head in heads if len(head) == 3), strict=True)]
    assert len(set(columns)) == 3


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("ORG", 12, ["ORG"]),
        ("StreetNamePreDirectional", 16, ["StreetNamePre", "  Directional"]),
        ("adverse_reaction-grade.2", 18, ["adverse_reaction-", "  grade.2"]),
        ("better than before", 12, ["better than", "  before"]),
        ("anameofonewordonly", 12, ["anameofone", "  wordonly"]),
        ("名前がとても長い", 12, ["名前がとて", "  も長い"]),
        ("名前", 1, ["名", "前"]),
        ("", 12, [""]),
    ],
)
def test_a_name_is_broken_where_its_words_end(name, width, lines):
    assert broken(name, width) == lines


def test_sums_that_are_too_wide_take_a_table_for_each_unit(capsys):
    outcomes = ("kept", "other_labels", "other_annotators", "no_answer", "skipped")
    counts = {"read": 50_000_000, **dict.fromkeys(outcomes, 10_000_000)}
    rows = {label: {"records": counts, "spans": counts} for label in LABELS}
    print_sums(plain_console(80), "dataset", rows, dict.fromkeys(("records", "spans"), outcomes))
    printed = capsys.readouterr().out
    assert max(map(cell_len, printed.splitlines())) <= 80
    assert printed.count("50,000,000") == 2 * len(LABELS)
    assert printed.count("400,000,000") == 2  # in the last row of both
    assert "…" not in printed
    assert [label for label in LABELS if not shows(printed, label)] == []


def test_names_in_a_table_show_what_a_terminal_would_obey(capsys):
    table = new_table("label", "texts")
    table.add_row("a\x1b[31mb", "1")
    plain_console(80).print(table)
    assert "a\\x1b[31mb" in capsys.readouterr().out
