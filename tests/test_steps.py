"""The steps as a user runs them, above all when something is wrong: one clear line, exit 1, and nothing harmed."""

from __future__ import annotations

import json

import pytest

from tests.project import STEPS, fail, make, outputs, run, succeed


@pytest.fixture
def fresh(tmp_path):
    """A folder with a config and two datasets."""
    return make(tmp_path)


@pytest.fixture
def done(fresh):
    """The same, with all three steps done."""
    for step in STEPS:
        succeed(fresh, step)
    return fresh


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_three_steps_make_a_corpus(fresh):
    assert "all 200 200 200 200 ✔ annotations: 2 datasets" in succeed(fresh, "pull")
    assert "label texts = covered spans ORG 100 100 100 PER 100 100 100" in succeed(fresh, "merge")
    assert "label train dev test ORG" in succeed(fresh, "corpus")
    assert json.loads((fresh / "corpus" / "labels.json").read_text()) == ["ORG", "PER"]


def test_a_second_time_nothing_changes(done):
    before = outputs(done)
    assert "2 datasets, 2 unchanged" in succeed(done, "pull")
    assert "as before" in succeed(done, "merge")
    assert "1 shard, 1 of them unchanged" in succeed(done, "corpus")
    assert outputs(done) == before


def test_a_second_time_no_large_package_is_loaded(done, monkeypatch):
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    for step in STEPS:
        loaded = {line.rpartition("|")[2].strip() for line in run(done, step).stderr.splitlines()}
        assert "msgspec" in loaded
        assert loaded.isdisjoint({"numpy", "pandas", "spacy", "torch"})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("labelwise.ProdigyJsonl.v1", "labelwise.Odd.v1", "there is no 'labelwise.Odd.v1'; there is labelwise.Brat.v1"),
        ('path = "per.jsonl"', 'file = "per.jsonl"', "takes path, labels, kind"),
        ('"per.jsonl"', '"nowhere.jsonl"', "[datasets.per] nowhere.jsonl: no such file"),
        ('"prodigy.db"', '"nowhere.db"', "[datasets.org] nowhere.db: no such file"),
        (
            '"prodigy.db"',
            '"per.jsonl"',
            "[datasets.org] per.jsonl: cannot be read as a Prodigy database in SQLite (file is not a database)",
        ),
        ('"org_2024"', '"org_2042"', "has no dataset 'org_2042'. There is org_2024, org_2023"),
        ("dev = 0.2", "dev = 0.9", "dev + test"),
    ],
)
def test_a_wrong_config_is_explained_and_harms_nothing(old, new, said, done):
    before = outputs(done)
    replace(done / "datasets.cfg", old, new)
    assert said in fail(done, "pull")
    assert outputs(done) == before


def test_damaged_lines_are_skipped_and_the_rest_is_used(fresh):
    path = fresh / "per.jsonl"
    path.write_text(path.read_text() + '\n{"text": "half a l\n\xff\n{"text": 3}\n')
    assert "3" in succeed(fresh, "pull")
    places = [json.loads(line)["place"] for line in (fresh / "annotations/skipped/per.jsonl").read_text().splitlines()]
    assert places == ["per.jsonl:101", "per.jsonl:102", "per.jsonl:103"]
    manifest = json.loads((fresh / "annotations/manifest.json").read_text())
    assert manifest["datasets"]["per"]["records"]["kept"] == 100


def test_an_empty_dataset_is_named(done):
    replace(done / "datasets.cfg", '"org_2024"', '"org_2023"')
    assert "⚠ no records in org" in succeed(done, "pull")


@pytest.mark.parametrize("step", ["merge", "corpus"])
def test_a_step_before_its_time_says_what_comes_first(step, fresh):
    assert "first" in fail(fresh, step)


def test_an_unknown_option_is_explained(fresh):
    assert "not an option" in fail(fresh, "pull", "--frehs")


def test_a_wrong_training_config_is_explained(done):
    before = outputs(done)
    (done / "training.cfg").write_text('[nlp]\nlang = "xx-odd"\n')
    assert '[nlp] lang = "xx-odd" of the training config' in fail(done, "corpus")
    (done / "training.cfg").write_text("no config")
    assert "training.cfg: " in fail(done, "corpus")
    assert outputs(done) == before


def test_import_without_a_path_says_how_it_is_given(fresh):
    assert "weasel run import . --vars.path PATH" in fail(fresh, "import")


# ---- A config that was changed between two steps

ADDED = """
[datasets.new]
@readers = "labelwise.ProdigyJsonl.v1"
path = "per.jsonl"
labels = ["PER"]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[datasets.per]", "[datasets.people]", "without people and with per, which the config has not"),
        ("\n[datasets.per]", f"{ADDED}\n[datasets.per]", "without new"),
        ('labels = ["PER"]', 'labels = ["PER"]\nrename = {"PER": "PERSON"}', None),
    ],
)
def test_no_step_goes_on_with_other_datasets_than_those_of_the_config(old, new, said, done):
    before = outputs(done)
    replace(done / "datasets.cfg", old, new)
    pulled = f"pulled {said}" if said else "[datasets.per] has the labels PERSON, but PER were pulled"
    assert f"{pulled}; pull again: weasel run pull" in fail(done, "merge")
    if said:
        assert f"merged {said}" in fail(done, "corpus")
    assert outputs(done) == before
    assert "pulled" not in " ".join(succeed(done, step) for step in STEPS)


def test_merge_says_which_datasets_were_pulled_otherwise(done):
    replace(done / "datasets.cfg", 'path = "per.jsonl"', 'path = "per.jsonl"\nannotators = ["ana"]')
    said = succeed(done, "merge")
    assert "⚠ [datasets.per] was pulled with other settings, or by other code: weasel run pull ✔" in said
    assert "datasets.org" not in said


WHERE = ("--annotations", "annotations")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('labels = ["PER"]', 'labels = ["PER"]\nannotators = ["ana"]'),
        ('labels = ["PER"]', 'labels = ["PER"]\nrename = {"PER": "PER"}'),
        ('path = "per.jsonl"', 'path = "people.jsonl"'),
    ],
)
def test_corpus_says_which_datasets_were_pulled_otherwise(old, new, done):
    assert "⚠" not in succeed(done, "corpus", *WHERE)
    replace(done / "datasets.cfg", old, new)
    said = succeed(done, "corpus", *WHERE)
    assert "⚠ [datasets.per] was pulled with other settings, or by other code: weasel run data ✔" in said
    assert "datasets.org" not in said
    (done / "per.jsonl").rename(done / "people.jsonl") if "people" in new else None
    if "annotators" not in new:  # nobody is called ana
        assert "⚠" not in [succeed(done, step, *(WHERE if step == "corpus" else ())) for step in STEPS][-1]


def test_corpus_stops_where_other_labels_were_pulled(done):
    before = outputs(done)
    replace(done / "datasets.cfg", 'labels = ["PER"]', 'labels = ["PER"]\nrename = {"PER": "PERSON"}')
    said = "[datasets.per] has the labels PERSON, but PER were pulled; pull again: weasel run pull"
    assert said in fail(done, "corpus", *WHERE)
    assert outputs(done) == before


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("\n[split]", '\n[merge]\nbetween_annotators = "union"\ncontained = "keep"\n[split]', "[merge] contained"),
        ('labels = ["PER"]', 'labels = ["PER"]\ncorrects = ["org"]', "[datasets.per] corrects"),
        ('labels = ["PER"]', 'labels = ["PER"]\nrepeats = "unite"', "[datasets.per] repeats"),
    ],
)
def test_corpus_says_which_rules_of_the_merge_were_changed(old, new, key, done):
    replace(done / "datasets.cfg", old, new)
    assert f"⚠ {key} was another when the answers were merged; merge again: weasel run merge" in succeed(done, "corpus")
    succeed(done, "merge")
    assert "⚠" not in succeed(done, "corpus")
