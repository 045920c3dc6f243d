"""compare: labels are compared on shared texts with equal gold, and changes are told from noise."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from scripts.core.errors import UserError
from scripts.core.files import write_json
from scripts.scoring import counts, runs
from scripts.scoring.bootstrap import adjusted_p_values
from scripts.scoring.changes import compare_counts
from scripts.scoring.comparison import choose_baseline, choose_runs, differences, load_gate
from scripts.scoring.runs import RunCode, RunData, ScoredRun, TrainingData, load
from scripts.scoring.seed_variance import LabelVariance, SeedVariance, seed_spread
from tests.project import ROOT
from tests.runs import CONFIG, counted, made, write
from tests.scored import one_line, step

FIRST = made("ner", "a", 1, counted({"ORG": 5, "PER": 5}))
SECOND = made("ner", "b", 2, counted({"ORG": 6, "PER": 5}))
THIRD = made("trf", "c", 3, counted({"ORG": 8, "PER": 4}))
SCORED = [ScoredRun(found.run, found.metrics) for found in (FIRST, SECOND, THIRD)]


def run_compare(folder, *options):
    return step(folder, "scripts.compare", "metrics", *options)


def succeed(folder, *options):
    done = run_compare(folder, *options)
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "significant" not in done.stdout
    return " ".join(done.stdout.split())


def table(folder):
    content = (folder / "metrics/compare.csv").read_text("utf8")
    return {(row["run"], row["label"]): row for row in csv.DictReader(io.StringIO(content))}


def variance(sd, f=0.6, support=500, **labels):
    """Seed variance measured with five seeds."""
    one = LabelVariance(sd, f, support)
    return SeedVariance(
        run="ner", seeds=[0, 1, 2, 3, 4], data="a", config="a", tests={}, micro=one, macro=one,
        labels={"ORG": one, "PER": one} | labels,
    )  # fmt: skip


# Which runs

DEMO = made("ner", "d", 0, counted({"StreetName": 5, "ZipCode": 6, "Recipient": 1}))
LARGE = made("ner", "e", 4, counted({"ORG": 8, "PER": 4, "LOC": 5, "DATE": 6, "MONEY": 2}))


def test_runs_of_other_labels_are_left_out_and_named(tmp_path):
    write(tmp_path, DEMO, FIRST, SECOND)
    said = succeed(tmp_path)
    assert "⚠ skipped: metrics/ner-dddddddd: has other labels" in said
    assert "StreetName" not in said
    assert {run for run, _ in table(tmp_path)} == {"ner-aaaaaaaa", "ner-bbbbbbbb"}
    page = step(tmp_path, "scripts.report", "metrics", "--without-texts")
    assert page.returncode == 0, page.stderr
    content = (tmp_path / "metrics/report.html").read_text("utf8")
    assert "StreetName" not in content
    assert "ner-dddddddd: has other labels" in content.replace("<wbr>", "")


def test_a_first_run_of_other_labels_has_nothing_to_be_compared_with(tmp_path):
    write(tmp_path, DEMO, THIRD)
    assert "nothing to compare it with yet" in succeed(tmp_path)


def test_more_labels_are_no_other_labels(tmp_path):
    write(tmp_path, FIRST, LARGE)
    said = succeed(tmp_path)
    assert "skipped" not in said
    assert "ner-eeeeeeee, compared with ner-aaaaaaaa:" in said


def test_a_run_of_other_labels_can_be_asked_for(tmp_path):
    write(tmp_path, DEMO, FIRST)
    assert "ner-aaaaaaaa, compared with ner-dddddddd:" in succeed(tmp_path, "--baseline", "ner-dddddddd")


def test_one_run_has_nothing_to_be_compared_with(tmp_path):
    write(tmp_path, FIRST)
    said = succeed(tmp_path)
    assert "nothing to compare it with yet" in said
    assert "ORG .588" in said
    assert table(tmp_path)["ner-aaaaaaaa", "ORG"]["delta"] == ""


def test_the_default_baseline_is_the_run_before_the_newest(tmp_path):
    write(tmp_path, THIRD, FIRST, SECOND)
    said = succeed(tmp_path)
    assert "ner-aaaaaaaa ner-bbbbbbbb trf-cccccccc 01-01 01:00 01-01 02:00 01-01 03:00 F baseline ORG" in said
    assert "trf-cccccccc, compared with ner-bbbbbbbb:" in said
    assert "ORG .667 .800 +.133" in said
    found = table(tmp_path)
    assert found["trf-cccccccc", "ORG"]["delta"] == "0.133333"
    assert found["ner-aaaaaaaa", "ORG"]["delta"] == "-0.078431"
    assert found["trf-cccccccc", "micro"]["baseline"] == "ner-bbbbbbbb"
    assert found["trf-cccccccc", "ORG"]["covered"] == "100"
    assert found["trf-cccccccc", "macro"]["p"] == ""


@pytest.mark.parametrize(
    ("wanted", "chosen"), [(None, 1), ("ner", 1), ("ner-a", 0), ("metrics/ner-aaaaaaaa/", 0), ("trf", 2)]
)
def test_a_baseline_is_named_by_how_it_begins(wanted, chosen):
    assert choose_baseline(SCORED, wanted) is SCORED[chosen]


def test_of_several_the_newest_that_is_not_the_newest_of_all():
    assert choose_baseline(SCORED[:2], "ner") is SCORED[0]
    assert choose_baseline(SCORED[:1], None) is None
    with pytest.raises(UserError, match="no run 'odd'; there are ner-aaaaaaaa, ner-bbbbbbbb"):
        choose_baseline(SCORED[:2], "odd")


def test_the_runs_that_are_asked_for_are_compared():
    assert choose_runs(SCORED, [], SCORED[1], 4) == SCORED
    assert choose_runs(SCORED, [], SCORED[0], 2) == [SCORED[0], SCORED[2]]
    assert choose_runs(SCORED, ["ner-a"], SCORED[1], 4) == SCORED[:2]
    assert choose_runs(SCORED, ["trf", "ner"], SCORED[0], 4) == SCORED


def test_the_last_runs_that_fit_and_the_baseline_are_shown(tmp_path):
    write(tmp_path, *(made("ner", str(n), n, counted({"ORG": n, "PER": 1})) for n in range(1, 7)))
    succeed(tmp_path)
    assert "ner-11111111 ner-44444444 ner-55555555 ner-66666666" in succeed(tmp_path, "--baseline", "ner-1")
    found = table(tmp_path)
    assert len(found) == 6 * 4
    assert (found["ner-22222222", "ORG"]["delta"], found["ner-22222222", "ORG"]["f"]) == ("", "0.285714")


# Noise or not


def verdicts(mine, theirs, seeds=(0,), texts=1500, entities=1000, found=None):
    """Verdicts on ORG with many entities, PER being as it was."""
    run = counted({"ORG": mine, "PER": 500}, seeds, texts, entities)
    base = counted({"ORG": theirs, "PER": 500}, seeds, texts, entities)
    changes = compare_counts(run, base, found)
    return changes.labels["ORG"], changes.labels["PER"]


def test_with_one_seed_a_change_is_at_most_beyond_noise():
    org, per = verdicts(700, 500)
    assert (org.verdict, per.verdict) == ("beyond noise", "within noise")
    assert org.low > 0.1
    assert per.delta == 0
    assert verdicts(505, 500)[0].verdict == "within noise"


def test_with_several_seeds_it_is_better_or_worse():
    org, per = verdicts((700, 702, 698), (500, 498, 502), seeds=(0, 1, 2))
    assert (org.verdict, per.verdict) == ("better", "within noise")
    assert verdicts((500, 498, 502), (700, 702, 698), seeds=(0, 1, 2))[0].verdict == "worse"
    assert verdicts((450, 640, 500), (500, 550, 400), seeds=(0, 1, 2))[0].verdict == "within noise"


def test_one_seed_on_one_side_is_not_enough():
    run = counted({"ORG": (700, 702, 698)}, (0, 1, 2), 1500, 1000)
    assert compare_counts(run, counted({"ORG": 500}, (0,), 1500, 1000)).labels["ORG"].verdict == "beyond noise"


def test_measured_seed_variance_decides():
    assert verdicts(600, 500, found=variance(0.001))[0].verdict == "beyond noise"
    assert verdicts(600, 500, found=variance(0.1))[0].verdict == "within noise"


def test_the_spread_of_few_seeds_is_shrunk_to_a_typical_one():
    support, f = np.array([100, 100]), np.array([0.8, 0.8, 0.8, 0.8])
    seeds = np.array([[0.6, 0.79, 0.7, 0.7], [1.0, 0.81, 0.9, 0.9]])
    usual, wild = (seed_spread(scores, ["ORG", "PER"], support, f, None) for scores in ([], [seeds]))
    assert 0.01 < usual.sd[0] < 0.06
    assert usual.sd[0] < wild.sd[0] < 0.28  # its own
    assert (usual.freedom[0], wild.freedom[0]) == (4, 5)


def test_with_many_labels_one_that_stands_out_a_little_is_within_noise():
    assert adjusted_p_values(np.array([0.04])).tolist() == [0.04]
    assert adjusted_p_values(np.array([0.04, 0.5, np.nan, 0.9])).round(3).tolist()[:2] == [0.12, 0.75]
    assert adjusted_p_values(np.array([0.01, 0.02, 0.03, 0.04])).round(3).tolist() == [0.04] * 4


def test_a_label_whose_annotations_changed_is_tested_apart_from_those_whose_did_not():
    others = {f"L{number:02}": 500 for number in range(20)}
    run, base = (counted({"ORG": hits, **others}, (0,), 1500, 1000) for hits in (560, 500))
    found = variance(0.02, **{label: LabelVariance(0.02, 0.6, 500) for label in others})
    among_all, apart = (compare_counts(run, base, found, annotated).labels for annotated in ((), ("ORG",)))
    assert among_all["ORG"].verdict == "within noise"
    assert apart["ORG"].verdict == "beyond noise"
    assert apart["ORG"].p_value < among_all["ORG"].p_value
    assert {apart[label].verdict for label in others} == {"within noise"}
    assert compare_counts(run, base, found, run.labels).labels["ORG"].p_value == among_all["ORG"].p_value


def test_labels_without_entities_have_no_verdict():
    empty = counted({"ORG": 0}, entities=0)
    found = compare_counts(empty, empty)
    assert (found.labels["ORG"].verdict, found.labels["ORG"].support) == ("no support", 0)


# On which texts


def test_a_label_with_other_gold_is_not_compared(tmp_path):
    write(tmp_path, SECOND, made("ner", "d", 4, counted({"ORG": 9, "PER": 9}, other_gold=["PER"], texts=10)))
    said = succeed(tmp_path)
    assert "ORG .750 .947 +.197" in said
    assert "PER – – – – not comparable" in said
    assert "compared are the 10 texts and 10 entities they share" in said
    found = table(tmp_path)
    assert (found["ner-dddddddd", "PER"]["delta"], found["ner-dddddddd", "PER"]["f"]) == ("", "0.947368")
    assert found["ner-dddddddd", "micro"]["delta"] == found["ner-dddddddd", "ORG"]["delta"]


def test_compared_texts_are_those_of_any_label():
    """As `evaluate` counts them: no label need be covered in all of them."""
    counts = counted({"ORG": 6, "PER": 5}, texts=20)
    is_scored = counts.is_scored.copy()
    is_scored[:8, 0] = is_scored[12:, 1] = False
    found = compare_counts(*[counts._replace(is_scored=is_scored)] * 2)
    assert [found.labels["ORG"].texts, found.labels["PER"].texts, found.micro.texts, found.macro.texts] == [
        12, 12, 20, 20,
    ]  # fmt: skip


def test_runs_are_compared_on_the_texts_they_share():
    larger = counted({"ORG": 6, "PER": 5}, texts=30)
    found = compare_counts(larger, SECOND.counts)
    assert not found.is_whole
    assert (found.labels["ORG"].texts, found.labels["ORG"].delta) == (20, 0)
    assert compare_counts(SECOND.counts, SECOND.counts).is_whole


def test_labels_come_and_go(tmp_path):
    write(tmp_path, SECOND, made("ner", "d", 4, counted({"LOC": 9, "PER": 9})))
    said = succeed(tmp_path)
    assert "Labels: 1 label added (LOC)." in said
    assert "Labels: 1 label removed (ORG)." in said
    assert "Not comparable: 2 labels without a shared text (LOC, ORG)." in said
    found = table(tmp_path)
    assert ("ner-bbbbbbbb", "LOC") not in found
    assert found["ner-dddddddd", "LOC"]["verdict"] == "not comparable"
    assert found["ner-dddddddd", "PER"]["delta"] != ""


# Differences and notes


def test_differences_are_listed(tmp_path):
    more = TrainingData(120, {"ORG": 110, "PER": 100}, {"ORG": 75, "PER": 50})
    other = made(
        "ner", "d", 4, counted({"ORG": 9, "PER": 9}, (0, 1)), config=CONFIG.replace("0.1", "0.2"), trained=more,
        data=RunData("b", "b"), versions={"training": {"spacy": "3.8.9"}},
    )  # fmt: skip
    write(tmp_path, SECOND, other)
    said = succeed(tmp_path)
    assert "Data: +20 training texts; covered in ORG +10 texts; ORG +25 entities." in said
    assert "Config: training.dropout 0.1 → 0.2." in said
    assert "Versions: spacy (training) 3.8.7 → 3.8.9." in said
    assert "Seeds: 0 → 0, 1." in said
    assert "One of the runs has one seed" in said
    assert "Tested apart from the other labels, since the training annotations changed: ORG." in said
    found = differences(other.run, SECOND.run)
    assert (found.code, found.data, found.added, found.test) == (False, True, [], [])


def test_a_component_that_only_one_run_has_is_one_difference(tmp_path):
    heads = '\n[components]\n[components.heads]\nfactory = "heads"\n[components.heads.model]\n@layers = "m"\n'
    other = '\n[components]\n[components.ner]\nfactory = "ner"\nmoves = null\n'
    write(
        tmp_path,
        made("ner", "c", 3, counted({"ORG": 5, "PER": 5}), config=CONFIG + heads),
        made("ner", "d", 4, counted({"ORG": 5, "PER": 5}), config=CONFIG.replace("0.1", "0.2") + other),
    )
    said = "Config: components.heads heads → (none), components.ner (none) → ner, training.dropout 0.1 → 0.2."
    assert said in succeed(tmp_path)


def test_a_block_that_both_runs_have_is_no_single_difference(tmp_path):
    """Its makers are under other keys, so that each is in one run only."""
    model = '\n[components]\n[components.ner]\nfactory = "ner"\n[components.ner.model]\n'
    for name, seed, maker in (("c", 3, '@architectures = "a"\n'), ("d", 4, '@layers = "b"\n')):
        write(tmp_path, made("ner", name, seed, counted({"ORG": 5, "PER": 5}), config=CONFIG + model + maker))
    said = "Config: components.ner.model.@architectures a → (none), components.ner.model.@layers (none) → b."
    assert said in " ".join(succeed(tmp_path).split())


def test_other_scoring_code_is_a_difference(tmp_path):
    write(tmp_path, FIRST, made("ner", "d", 4, counted({"ORG": 5, "PER": 5}), code=RunCode("a", "b")))
    said = succeed(tmp_path)
    assert "- Scoring code changed, by which alone scores can differ." in said
    assert "Training code changed" not in said
    assert "Nothing differs" not in said


OUTDATED = TrainingData(100, {"ORG": 100, "PER": 100}, {}, outdated=["ORG", "PER"])
KNOWS = "was trained on another corpus than it is evaluated on, and may have learned texts of the test"


def test_a_run_that_may_have_learned_test_texts_is_said_to_be_one(tmp_path):
    write(tmp_path, FIRST, made("ner", "d", 4, counted({"ORG": 9, "PER": 9}), trained=OUTDATED))
    said = succeed(tmp_path)
    assert f"- ner-dddddddd {KNOWS}." in said
    assert f"ner-aaaaaaaa {KNOWS}" not in said
    assert KNOWS in (tmp_path / "metrics/compare.md").read_text("utf8")
    assert f"- ner-dddddddd {KNOWS}." in succeed(tmp_path, "--baseline", "ner-d", "--runs", "ner-a")
    one = TrainingData(100, OUTDATED.covered, {}, outdated=["ORG"])  # PER was trained again, alone
    write(tmp_path, made("ner", "e", 5, counted({"ORG": 9, "PER": 9}), trained=one))
    assert KNOWS not in succeed(tmp_path, "--baseline", "ner-a", "--runs", "ner-e")


def test_that_nothing_differs_is_printed(tmp_path):
    write(tmp_path, FIRST, SECOND)
    assert "Nothing differs: the same data, config, code, versions and seeds." in succeed(tmp_path)


def test_the_source_of_the_seed_variance_is_printed(tmp_path):
    write(tmp_path, FIRST, SECOND)
    said = succeed(tmp_path)
    assert "Seed variance is a typical value; to measure yours, once: weasel run seed-variance." in said
    write_json(tmp_path / "metrics" / "seed_variance.json", variance(0.02))
    assert "Seed variance was measured with 5 seeds" in succeed(tmp_path)
    (tmp_path / "metrics" / "seed_variance.json").write_text("{")
    assert "seed_variance.json: is damaged" in one_line(run_compare(tmp_path))


def test_long_names_and_markup_still_fit(tmp_path):
    label = "[bold]A_LABEL_THAT_IS_LONG"
    write(tmp_path, *(made(f"a_run_with_a_long_name_{n}", str(n), n, counted({label: 1})) for n in range(4)))
    assert "[bold]" in succeed(tmp_path)
    assert "&#91;bold&#93;A&#95;LABEL" in (tmp_path / "metrics/compare.md").read_text("utf8")


# The files


def test_json_and_markdown_hold_the_same(tmp_path):
    write(tmp_path, FIRST, THIRD)
    succeed(tmp_path)
    found = json.loads((tmp_path / "metrics/compare.json").read_text())
    assert (found["baseline"], [run["run"] for run in found["runs"]]) == ("ner-aaaaaaaa", ["trf-cccccccc"])
    assert found["runs"][0]["changes"]["labels"]["ORG"]["delta"] == round(0.8 - 10 / 17, 6)
    assert "| ORG | .588 | .800 | +.212 |" in (tmp_path / "metrics/compare.md").read_text("utf8")


def test_the_files_are_the_same_each_time(tmp_path):
    write(tmp_path, FIRST, SECOND, THIRD)
    succeed(tmp_path)
    succeed(tmp_path, "--output", "other")
    for name in ("compare.csv", "compare.json", "compare.md"):
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "metrics" / name).read_bytes()


def test_what_is_saved_is_loaded(tmp_path):
    write(tmp_path, FIRST)
    folder = tmp_path / "metrics" / "ner-aaaaaaaa"
    assert load(folder) == SCORED[0]
    assert (counts.load(folder / "counts.csv.gz").values == FIRST.counts.values).all()


def test_all_runs_are_one_tidy_data_frame(tmp_path):
    assert runs.frame(tmp_path / "metrics").empty
    write(tmp_path, FIRST, THIRD)
    frame = runs.frame(str(tmp_path / "metrics"))
    assert list(frame["run"].unique()) == ["ner-aaaaaaaa", "trf-cccccccc"]
    f = frame.pivot(index="run", columns="label", values="f")
    assert list(f.columns) == ["ORG", "PER", "macro", "micro"]
    assert f.loc["trf-cccccccc", "ORG"] == 0.8
    assert frame.query("row == 'label'")["support"].tolist() == [10] * 4
    assert frame.query("row == 'macro'")["p"].isna().all()


# A gate


@pytest.fixture
def gated(tmp_path):
    """Two runs; the second is worse in ORG by more than noise. A function that compares them at a gate."""
    write(tmp_path, *(made("ner", d, n, counted({"ORG": hits, "PER": 500}, (0,), 1500, 1000)) for d, n, hits in
                      (("a", 1, 700), ("b", 2, 500))))  # fmt: skip

    def compare(*lines, options=()):
        (tmp_path / "gate.cfg").write_text("\n".join(["[gate]", *lines]))
        return run_compare(tmp_path, "--gate", "gate.cfg", *options)

    return compare


def test_a_label_that_fell_by_more_than_the_gate_allows_and_than_noise_fails(gated, tmp_path):
    done = gated("drop = 0.02")
    assert done.returncode == 1
    assert "✘ ORG: F 0.823 → 0.666, more than noise and than 0.020\n" in done.stdout
    assert "✘ PER" not in done.stdout
    assert "✘ ner-bbbbbbbb: 3 of 4 rows do not pass gate.cfg" in done.stderr  # ORG, micro and macro
    assert table(tmp_path)["ner-bbbbbbbb", "ORG"]["verdict"] == "beyond noise"
    assert "- **ORG**: F 0.823 → 0.666, more than noise" in (tmp_path / "metrics/compare.md").read_text("utf8")


def test_what_the_gate_allows_passes(gated, tmp_path):
    assert gated().returncode == 0
    assert gated("drop = 0.5").returncode == 0
    assert gated("drop = 0.02", 'drops = {"ORG": 0.3, "macro": 0.2, "micro": 0.2}').returncode == 0
    done = gated("drop = 0.02", options=("--baseline", "ner-b", "--runs", "ner-a"))
    assert "✔ ner-aaaaaaaa passes gate.cfg" in done.stdout
    assert "✔ It passes the gate." in (tmp_path / "metrics/compare.md").read_text("utf8")


def test_a_label_below_its_floor_fails_whatever_it_was_before(gated):
    done = gated('floors = {"PER": 0.7, "micro": 0.9}', "floor = 0.1")
    assert done.returncode == 1
    assert "✘ PER: F 0.666, floor 0.700\n" in done.stdout
    assert "✘ micro: F 0.666, floor 0.900\n" in done.stdout
    assert "✘ ORG" not in done.stdout


def test_a_label_of_the_baseline_that_cannot_be_compared_fails(gated, tmp_path):
    write(tmp_path, made("ner", "c", 3, counted({"PER": 700}, (0,), 1500, 1000)))
    done = gated("floor = 0.5", "drop = 0.02")
    assert done.returncode == 1
    assert '✘ ORG: not in the run; F cannot be compared, which drops = {"ORG":1} allows\n' in done.stdout
    assert "✘ ner-cccccccc: 1 of 4 rows do not pass gate.cfg" in done.stderr
    assert "- **ORG**: not in the run" in (tmp_path / "metrics/compare.md").read_text("utf8")
    assert gated("floor = 0.5", "drop = 0.02", 'drops = {"ORG": 1}').returncode == 0
    assert gated("floor = 0.5").returncode == 0  # all of F may fall
    other = counted({"ORG": 700, "PER": 700}, (0,), 1500, 1000, other_gold=["ORG"])
    write(tmp_path, made("ner", "d", 4, other))
    done = gated("drop = 0.02", options=("--baseline", "ner-b"))
    assert "✘ ORG: no entity that both runs are scored on; F cannot be compared" in done.stdout
    others = other._replace(texts=[f"other {text}" for text in other.texts])
    write(tmp_path, made("ner", "e", 5, others))
    done = gated("drop = 0.02")
    for name in ("ORG", "PER", "micro", "macro"):
        assert f"✘ {name}: no text that both runs are scored on; F cannot be compared" in done.stdout


def test_a_label_that_the_baseline_lacks_passes(gated, tmp_path):
    write(tmp_path, made("ner", "c", 3, counted({"LOC": 9, "ORG": 500, "PER": 500}, (0,), 1500, 1000)))
    assert gated("drop = 0.02").returncode == 0


def test_one_run_alone_has_floors_only(tmp_path):
    write(tmp_path, FIRST)
    (tmp_path / "gate.cfg").write_text("[gate]\nfloor = 0.9\ndrop = 0.0\n")
    done = run_compare(tmp_path, "--gate", "gate.cfg")
    assert done.returncode == 1
    assert done.stdout.count("floor 0.900") == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('floors = {"ORGG": 0.5}', "[gate] ORGG: no such label; there are ORG, PER, macro, micro"),
        ("floor = 80", "[gate] floor = 80: must be"),
        ('drops = {"ORG": -1}', "[gate] drops"),
        ("flor = 0.8", "[gate] flor: no such key; there are floor, floors, drop, drops"),
    ],
)
def test_a_gate_that_cannot_be_meant_is_one_line(gated, line, said):
    assert said in one_line(gated(line))


def test_the_gate_of_the_template_is_valid():
    assert load_gate(ROOT / "configs/gate.cfg").drop == 0.02


# What a user can mend


def test_damaged_runs_are_skipped_and_named(tmp_path):
    write(tmp_path, FIRST, SECOND, THIRD)
    metrics = tmp_path / "metrics"
    (metrics / "ner-bbbbbbbb" / "metrics.json").write_text("{")
    (metrics / "empty").mkdir()
    said = succeed(tmp_path)
    assert "⚠ skipped: metrics/empty/run.json: " in said
    assert "⚠ skipped: metrics/ner-bbbbbbbb/metrics.json: is damaged" in said
    assert "ORG .588 .800 +.212" in said


def test_counts_that_are_damaged_are_named(tmp_path):
    write(tmp_path, FIRST, SECOND)
    (tmp_path / "metrics" / "ner-aaaaaaaa" / "counts.csv.gz").write_bytes(b"odd")
    assert "ner-aaaaaaaa/counts.csv.gz: is damaged" in one_line(run_compare(tmp_path))


def test_no_runs_and_no_such_baseline(tmp_path):
    assert "there is no run; evaluate a model first: weasel run evaluate" in one_line(run_compare(tmp_path))
    write(tmp_path, FIRST)
    assert "there is no run 'odd'; there are ner-aaaaaaaa" in one_line(run_compare(tmp_path, "--baseline", "odd"))
    assert not (tmp_path / "metrics/compare.csv").exists()
