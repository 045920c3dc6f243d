"""compare: what may be compared is, and what may not says so."""

from __future__ import annotations

import csv
import io

import pytest

from scripts.annotations.errors import UserError
from scripts.reporting.comparison import choose_baseline, notes, to_csv
from scripts.scoring.metrics import Macro, Metrics, score
from scripts.scoring.runs import Code, Data, Run, Scored, TrainingConfig, load, save
from tests.scored import one_line, step


def make(name, digest, hour, tests=None, seeds=(0,), **hits):
    """A run in which `hits` of ten entities of a label were found, and two were invented."""
    labels = {label: score((found, 2, 10 - found), 20) for label, found in sorted(hits.items())}
    total = sum(hits.values())
    found = Metrics(labels, score((total, 2 * len(hits), 10 * len(hits) - total), 20), Macro(0.5, len(labels)))
    run = Run(
        run=name, digest=digest * 8, time=f"2026-01-01T{hour:02}:00:00Z", seeds=list(seeds), data=Data("a", "a"),
        code=Code("a", "a"), models={}, model_bytes=1, versions={}, config=TrainingConfig("a", "a"),
        tests=tests or dict.fromkeys(labels, "same"),
    )  # fmt: skip
    return Scored(run, found)


def write(folder, *runs):
    for scored in runs:
        save(*scored, {}, folder / "metrics")


def compare(folder, *options):
    return step(folder, "scripts.compare", "metrics", *options)


def succeed(folder, *options):
    done = compare(folder, *options)
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "significant" not in done.stdout
    return " ".join(done.stdout.split())


def table(content):
    return {(row["run"], row["name"] or row["row"]): row for row in csv.DictReader(io.StringIO(content.decode()))}


FIRST, SECOND, THIRD = (
    make("ner", "a", 1, ORG=5, PER=5), make("ner", "b", 2, ORG=6, PER=5), make("trf", "c", 3, ORG=8, PER=4),
)  # fmt: skip


def test_one_run_has_nothing_to_be_compared_with(tmp_path):
    write(tmp_path, FIRST)
    said = succeed(tmp_path)
    assert "nothing to compare it with yet" in said
    assert "ORG .588" in said
    assert table((tmp_path / "metrics/compare.csv").read_bytes())["ner-aaaaaaaa", "ORG"]["delta_f"] == ""


def test_the_default_baseline_is_the_run_before_the_newest(tmp_path):
    write(tmp_path, THIRD, FIRST, SECOND)
    said = succeed(tmp_path)
    assert "ner-aaaaaaaa ner-bbbbbbbb trf-cccccccc 01-01 01:00 01-01 02:00 01-01 03:00 label baseline ORG" in said
    assert "ORG .588 -.078 .667 .800 +.133" in said
    assert "Each run has one seed. Another seed alone moves a label's F by .014 to .054" in said
    found = table((tmp_path / "metrics/compare.csv").read_bytes())
    assert found["trf-cccccccc", "ORG"]["delta_f"] == "0.133333"
    assert found["trf-cccccccc", "micro"]["baseline"] == "ner-bbbbbbbb"
    assert found["trf-cccccccc", "macro"]["p"] == ""


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [(None, SECOND), ("ner", SECOND), ("ner-a", FIRST), ("metrics/ner-aaaaaaaa/", FIRST), ("trf", THIRD)],
)
def test_a_baseline_is_named_by_how_it_begins(wanted, chosen):
    assert choose_baseline([FIRST, SECOND, THIRD], wanted) is chosen


def test_of_several_the_newest_that_is_not_the_newest_of_all():
    assert choose_baseline([FIRST, SECOND], "ner") is FIRST
    assert choose_baseline([FIRST], None) is None
    with pytest.raises(UserError, match="no run 'odd'; there are ner-aaaaaaaa, ner-bbbbbbbb"):
        choose_baseline([FIRST, SECOND], "odd")


def test_a_label_that_was_scored_on_other_texts_is_not_compared(tmp_path):
    other = make("ner", "d", 4, tests={"ORG": "same", "PER": "other"}, ORG=9, PER=9)
    write(tmp_path, SECOND, other)
    said = succeed(tmp_path)
    assert "ORG .667 .857 +.190" in said
    assert "PER .588 .857 n/c" in said
    assert "n/c: ner-dddddddd cannot be compared in micro and macro: 1 label scored on other texts, or with" in said
    found = table((tmp_path / "metrics/compare.csv").read_bytes())
    assert [found["ner-dddddddd", name]["same_test"] for name in ("ORG", "PER", "micro", "macro")] == [
        "yes",
        *["no"] * 3,
    ]
    assert [found["ner-dddddddd", name]["delta_f"] for name in ("PER", "micro", "macro")] == [""] * 3


def test_labels_come_and_go():
    other = make("ner", "d", 4, LOC=9, PER=9)
    (line,) = [note for note in notes([SECOND, other], [SECOND, other], SECOND) if note.startswith("n/c")]
    assert "1 label not in the baseline (LOC); 1 label of the baseline not in this run (ORG)" in line
    found = table(to_csv([SECOND, other], SECOND))
    assert ("ner-bbbbbbbb", "LOC") not in found
    assert found["ner-dddddddd", "LOC"]["same_test"] == "no"
    assert found["ner-dddddddd", "PER"]["delta_f"] != ""


def test_the_last_runs_that_fit_and_the_baseline_are_shown(tmp_path):
    runs = [make("ner", str(number), number, ORG=number, PER=1) for number in range(1, 7)]
    write(tmp_path, *runs)
    assert "2 earlier runs not shown" in succeed(tmp_path)
    said = succeed(tmp_path, "--baseline", "ner-1")
    assert "ner-11111111 ner-44444444 ner-55555555 ner-66666666" in said
    assert len(table((tmp_path / "metrics/compare.csv").read_bytes())) == 6 * 4


def test_long_names_and_markup_still_fit(tmp_path):
    write(
        tmp_path,
        *(make(f"a_run_with_a_long_name_{n}", str(n), n, **{"[bold]A_LABEL_THAT_IS_LONG": 1}) for n in range(4)),
    )
    assert "[bold]" in succeed(tmp_path)


def test_seed_noise_is_a_matter_of_runs_with_one_seed():
    many = make("ner", "d", 4, seeds=(0, 1), ORG=9, PER=9)
    assert "1 of these runs has one seed" in list(notes([SECOND, many], [SECOND, many], SECOND))[-1]
    other = make("ner", "e", 5, seeds=(0, 1), ORG=9, PER=9)
    assert list(notes([many, other], [many, other], many)) == []


def test_damaged_runs_are_left_out_and_named(tmp_path):
    write(tmp_path, FIRST, SECOND, THIRD)
    metrics = tmp_path / "metrics"
    (metrics / "ner-bbbbbbbb" / "metrics.json").write_text("{")
    (metrics / "empty").mkdir()
    said = succeed(tmp_path)
    assert "⚠ left out: metrics/empty/run.json: " in said
    assert "⚠ left out: metrics/ner-bbbbbbbb/metrics.json: is damaged" in said
    assert "ORG .588 .800 +.212" in said


def test_the_file_is_the_same_each_time(tmp_path):
    write(tmp_path, FIRST, SECOND, THIRD)
    succeed(tmp_path)
    before = (tmp_path / "metrics/compare.csv").read_bytes()
    succeed(tmp_path, "--output", "other.csv")
    assert (tmp_path / "other.csv").read_bytes() == before


def test_what_is_saved_is_loaded(tmp_path):
    write(tmp_path, FIRST)
    assert load(tmp_path / "metrics" / "ner-aaaaaaaa") == FIRST


def test_no_runs_and_no_such_baseline(tmp_path):
    assert "there is no run; evaluate a model first" in one_line(compare(tmp_path))
    write(tmp_path, FIRST)
    assert "there is no run 'odd'; there are ner-aaaaaaaa" in one_line(compare(tmp_path, "--baseline", "odd"))
    assert not (tmp_path / "metrics/compare.csv").exists()
