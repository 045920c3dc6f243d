"""Coverage: the texts to annotate for a label, near-duplicates among them, and the time they take."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.checking import coverage
from scripts.checking.coverage import TextToAnnotate
from scripts.core import manifest as manifests
from scripts.core.errors import UserError
from scripts.core.texts import normalized
from scripts.merging import survey
from scripts.merging.duplicates import NEAR_DUPLICATE, shingles, signature, similarity
from scripts.merging.merge import Resources, merge
from tests.annotated import task, write
from tests.project import fail, succeed

BEGAN = 1_700_000_000
LONG = "The committee of the national society for bees met Ada in the old town hall of Rome on day {}"


def made(folder, tasks):
    """Pulled, merged, and checked."""
    tasks = [msgspec.structs.replace(one, source=f"link:{number}") for number, one in enumerate(tasks)]
    manifest = write(folder / "annotations", tasks)
    merge(manifest, folder / "annotations", folder / "corpus", "majority", Resources(256, 1))
    return coverage.check(folder / "corpus", folder / "annotations", manifest, 1)


def to_annotate(folder):
    lines = (folder / "corpus/review/coverage.jsonl").read_bytes().splitlines()
    return {one.text: one for one in map(msgspec.json.Decoder(TextToAnnotate).decode, lines)}


def org(text, **fields):
    return task(text, dataset="org", labels=["ORG"], **fields)


def per(text, **fields):
    return task(text, dataset="per", labels=["PER"], **fields)


def test_texts_to_annotate(tmp_path):
    texts = ["one two three", "four five", "six"]
    found = made(tmp_path, [*map(org, texts), per("six"), per("four five", annotator="ada")])
    assert (found.texts, found.complete) == (3, 2)
    assert list(found.labels) == ["ORG", "PER"]
    assert (found.labels["ORG"].to_annotate, found.labels["ORG"].words) == (0, 0)
    assert (found.labels["PER"].to_annotate, found.labels["PER"].words) == (1, 3)
    for label in found.labels.values():
        assert label.covered + label.to_annotate == label.texts == 3
        assert label.to_annotate == label.partly_covered + label.unresolved + label.not_covered
    assert {text: one.labels for text, one in to_annotate(tmp_path).items()} == {"one two three": ["PER"]}


def test_partly_covered_and_unresolved_texts_are_to_annotate(tmp_path):
    span = (0, 3, "ORG")
    found = made(
        tmp_path,
        [
            org("IBM one", annotator="a"), task("IBM one", span, dataset="org", annotator="b"),
            task("IBM two", span, dataset="org", kind="binary"), org("IBM three"),
        ],
    )  # fmt: skip
    label = found.labels["ORG"]
    assert (label.covered, label.partly_covered, label.unresolved, label.to_annotate) == (1, 1, 1, 2)
    assert set(to_annotate(tmp_path)) == {"IBM one", "IBM two"}


def test_near_duplicates_of_covered_texts(tmp_path):
    texts = [LONG.format(number) for number in range(4)]
    others = ["Something else altogether, of which there is but one", "Neither is this like anything"]
    found = made(tmp_path, [*map(org, [*texts, *others]), per(texts[0]), per(others[0]), org(LONG.format(0).upper())])
    label = found.labels["PER"]
    assert found.near_duplicates == 4
    assert (label.to_annotate, label.near_duplicates_of_covered, label.near_duplicates) == (5, 4, 0)
    assert found.labels["ORG"].near_duplicates == 0
    likes = {one.near_duplicate_of for text, one in to_annotate(tmp_path).items() if text not in others}
    assert len(likes - {None}) == 1
    assert to_annotate(tmp_path)[others[1]].near_duplicate_of is None


def test_near_duplicates_among_texts_to_annotate(tmp_path):
    label = made(tmp_path, [*(org(LONG.format(number)) for number in range(5)), per("Ada")]).labels["PER"]
    assert (label.to_annotate, label.near_duplicates, label.near_duplicates_of_covered) == (5, 4, 0)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=60, max_size=60), st.integers(0, 59))
def test_texts_that_are_nearly_equal_share_a_band(letters, place):
    one = "".join(letters)
    other = one[:place] + "z" + one[place + 1 :]
    if similarity(shingles(one), shingles(other)) >= 0.9:
        assert (signature(shingles(one)) == signature(shingles(other))).any()


def test_most_near_duplicates_share_a_band_and_few_others_do():
    generator = np.random.default_rng(0)
    met = {True: [], False: []}
    for _ in range(400):
        words = generator.integers(0, 10_000, 40)
        other = np.where(generator.random(40) < generator.choice([0.05, 0.9]), generator.integers(0, 10_000, 40), words)
        one, two = (shingles(" ".join(map(str, each))) for each in (words, other))
        met[similarity(one, two) >= NEAR_DUPLICATE].append((signature(one) == signature(two)).any())
    assert np.mean(met[True]) > 0.98
    assert np.mean(met[False]) < 0.3


@given(st.text(max_size=30) | st.text(st.characters(max_codepoint=127), max_size=30))
def test_normalization_of_ascii_is_that_of_all_texts(text):
    import unicodedata

    folded = unicodedata.normalize("NFKC", text).casefold()
    assert normalized(text) == ("".join(filter(str.isalnum, folded)) or " ".join(folded.split()))


# Time


def test_time_is_measured_between_answers_without_pauses(tmp_path):
    gaps = [4, 6, 8] * 10 + [4_000] * 9
    times = [BEGAN + sum(gaps[:number]) for number in range(40)]
    answers = [org(f"text number {n}", annotator="ada", timestamp=time) for n, time in enumerate(times)]
    answers += [org(f"text number {n}", annotator="bob", timestamp=time + 2) for n, time in enumerate(times)]
    found = made(tmp_path, [*answers, per("text number 1")])
    speed = found.labels["ORG"].speed
    assert (speed.seconds, speed.gaps, speed.labels_at_once) == (6, 60, 1)
    assert found.labels["ORG"].hours == 0
    assert found.labels["PER"].hours is None
    assert found.labels["PER"].speed.reason == "answers have no time"


def test_hours_are_texts_times_seconds(tmp_path):
    answers = [
        task(f"text number {n}", labels=["ORG", "PER"], timestamp=BEGAN + n * n % 50 + 10 * n) for n in range(40)
    ]
    found = made(tmp_path, [*answers, *(org(f"another {n}") for n in range(90))])
    label = found.labels["PER"]
    assert label.speed.labels_at_once == 2
    assert label.to_annotate == 90
    assert label.hours == pytest.approx(90 * label.speed.seconds / 3600, abs=0.006)


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ([BEGAN + 2 * n for n in range(50)], "at equal intervals"), ([BEGAN] * 50, "at equal intervals"),
        ([BEGAN + n * n for n in range(9)], "too few"), ([BEGAN + 9_999 * n for n in range(50)], "no time"),
        ([None] * 50, "no time"),
    ],
)  # fmt: skip
def test_times_that_are_no_measure(tmp_path, times, reason):
    found = made(tmp_path, [org(f"text number {n}", timestamp=time) for n, time in enumerate(times)])
    assert found.labels["ORG"].speed.seconds is None
    assert reason in found.labels["ORG"].speed.reason
    assert found.labels["ORG"].hours is None


# coverage.json


def test_the_result_depends_on_neither_processes_nor_blocks(tmp_path, monkeypatch):
    made(
        tmp_path,
        [*(org(LONG.format(n % 50) + "x" * (n // 50)) for n in range(200)), *(per(f"a {n}") for n in range(99))],
    )
    folder = tmp_path / "corpus/review"
    before = [(folder / name).read_bytes() for name in ("coverage.json", "coverage.jsonl")]
    monkeypatch.setattr(survey, "_BLOCK", 5_000)
    coverage.check(tmp_path / "corpus", tmp_path / "annotations", manifests.load(tmp_path / "annotations"), 2)
    assert [(folder / name).read_bytes() for name in ("coverage.json", "coverage.jsonl")] == before


def test_a_result_of_other_annotations_is_outdated(tmp_path):
    made(tmp_path, [org("one")])
    assert coverage.load(tmp_path / "corpus").texts == 1
    (tmp_path / "annotations").rename(tmp_path / "before")
    manifest = write(tmp_path / "annotations", [org("two")])
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(256, 1))
    with pytest.raises(UserError, match=r"coverage\.json: the annotations have changed .* weasel run coverage"):
        coverage.load(tmp_path / "corpus")


def test_the_step_prints_the_result(tmp_path):
    assert "pull the annotations first" in fail(tmp_path, "coverage", "annotations", "corpus")
    made(tmp_path, [*map(org, ["one two three", "four five", "six"]), per("six")])
    said = succeed(tmp_path, "coverage", "annotations", "corpus")
    assert "ORG 3 3 0 0 0 0 – – PER 3 1 2 5 0 0 – –" in said
    assert "1 of 3 texts are covered for all 2 labels" in said
    assert "Time not measured, answers have no time: ORG, PER" in said
    assert "✔ corpus/review/coverage.jsonl: 2 texts to annotate" in said
