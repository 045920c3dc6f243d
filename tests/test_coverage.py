"""Coverage: which texts a label lacks, which of them are much like others, and what they would cost."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.checking import coverage
from scripts.checking.coverage import Lacking
from scripts.core import manifest as manifests
from scripts.core.errors import UserError
from scripts.core.hashing import normalized
from scripts.merging import survey
from scripts.merging.duplicates import SIMILAR, alike, bands, shingled
from scripts.merging.merge import Resources, merge
from tests.annotated import task, write
from tests.project import fail, succeed

BEGAN = 1_700_000_000
LONG = "The committee of the national society for bees met Ada in the old town hall of Rome on day {}"


def made(folder, tasks):
    """Pulled, merged, and looked at."""
    tasks = [msgspec.structs.replace(one, source=f"link:{number}") for number, one in enumerate(tasks)]
    manifest = write(folder / "annotations", tasks)
    merge(manifest, folder / "annotations", folder / "corpus", "majority", Resources(256, 1))
    return coverage.look(folder / "corpus", folder / "annotations", manifest, 1)


def lacking(folder):
    lines = (folder / "corpus/review/coverage.jsonl").read_bytes().splitlines()
    return {one.text: one for one in map(msgspec.json.Decoder(Lacking).decode, lines)}


def org(text, **fields):
    return task(text, dataset="org", labels=["ORG"], **fields)


def per(text, **fields):
    return task(text, dataset="per", labels=["PER"], **fields)


def test_what_a_label_lacks(tmp_path):
    texts = ["one two three", "four five", "six"]
    found = made(tmp_path, [*map(org, texts), per("six"), per("four five", annotator="ada")])
    assert (found.texts, found.complete) == (3, 2)
    assert list(found.labels) == ["ORG", "PER"]
    assert (found.labels["ORG"].lacking, found.labels["ORG"].words) == (0, 0)
    assert (found.labels["PER"].lacking, found.labels["PER"].words) == (1, 3)
    for known in found.labels.values():
        assert known.covered + known.lacking == known.texts == 3
        assert known.lacking == known.partly + known.unresolved + known.unknown
    assert {text: one.labels for text, one in lacking(tmp_path).items()} == {"one two three": ["PER"]}


def test_what_is_partly_known_or_unresolved_is_lacking(tmp_path):
    span = (0, 3, "ORG")
    found = made(
        tmp_path,
        [
            org("IBM one", annotator="a"), task("IBM one", span, dataset="org", annotator="b"),
            task("IBM two", span, dataset="org", kind="binary"), org("IBM three"),
        ],
    )  # fmt: skip
    known = found.labels["ORG"]
    assert (known.covered, known.partly, known.unresolved, known.lacking) == (1, 1, 1, 2)
    assert set(lacking(tmp_path)) == {"IBM one", "IBM two"}


def test_texts_much_like_others_are_counted_once(tmp_path):
    texts = [LONG.format(number) for number in range(4)]
    others = ["Something else altogether, of which there is but one", "Neither is this like anything"]
    found = made(tmp_path, [*map(org, [*texts, *others]), per(texts[0]), per(others[0]), org(LONG.format(0).upper())])
    known = found.labels["PER"]
    assert found.similar == 4
    assert (known.lacking, known.like_covered, known.twins) == (5, 4, 0)
    assert found.labels["ORG"].twins == 0
    likes = {one.like for text, one in lacking(tmp_path).items() if text not in others}
    assert len(likes - {None}) == 1
    assert lacking(tmp_path)[others[1]].like is None


def test_what_would_be_annotated_twice(tmp_path):
    found = made(tmp_path, [*(org(LONG.format(number)) for number in range(5)), per("Ada")])
    assert (found.labels["PER"].lacking, found.labels["PER"].twins, found.labels["PER"].like_covered) == (5, 4, 0)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=60, max_size=60), st.integers(0, 59))
def test_texts_that_are_nearly_equal_meet(letters, place):
    one = "".join(letters)
    other = one[:place] + "z" + one[place + 1 :]
    if alike(shingled(one), shingled(other)) >= 0.9:
        assert (bands(shingled(one)) == bands(shingled(other))).any()


def test_most_texts_that_are_alike_meet_and_few_others():
    generator = np.random.default_rng(0)
    met = {True: [], False: []}
    for _ in range(400):
        words = generator.integers(0, 10_000, 40)
        other = np.where(generator.random(40) < generator.choice([0.05, 0.9]), generator.integers(0, 10_000, 40), words)
        one, two = (shingled(" ".join(map(str, each))) for each in (words, other))
        met[alike(one, two) >= SIMILAR].append((bands(one) == bands(two)).any())
    assert np.mean(met[True]) > 0.98
    assert np.mean(met[False]) < 0.3


@given(st.text(max_size=30) | st.text(st.characters(max_codepoint=127), max_size=30))
def test_the_short_way_to_letters_is_the_long_one(text):
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
    assert (speed.seconds, speed.gaps, speed.together) == (6, 60, 1)
    assert found.labels["ORG"].hours == 0
    assert found.labels["PER"].hours is None
    assert found.labels["PER"].speed.why == "answers have no time"


def test_hours_are_texts_times_seconds(tmp_path):
    answers = [
        task(f"text number {n}", labels=["ORG", "PER"], timestamp=BEGAN + n * n % 50 + 10 * n) for n in range(40)
    ]
    found = made(tmp_path, [*answers, *(org(f"another {n}") for n in range(90))])
    known = found.labels["PER"]
    assert known.speed.together == 2
    assert known.lacking == 90
    assert known.hours == pytest.approx(90 * known.speed.seconds / 3600, abs=0.006)


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ([BEGAN + 2 * n for n in range(50)], "all alike"), ([BEGAN] * 50, "all alike"),
        ([BEGAN + n * n for n in range(9)], "too few"), ([BEGAN + 9_999 * n for n in range(50)], "no time"),
        ([None] * 50, "no time"),
    ],
)  # fmt: skip
def test_time_that_says_nothing_is_not_taken_for_any(tmp_path, times, why):
    found = made(tmp_path, [org(f"text number {n}", timestamp=time) for n, time in enumerate(times)])
    assert found.labels["ORG"].speed.seconds is None
    assert why in found.labels["ORG"].speed.why
    assert found.labels["ORG"].hours is None


# What is written


def test_the_result_depends_on_neither_processes_nor_parts(tmp_path, monkeypatch):
    made(
        tmp_path,
        [*(org(LONG.format(n % 50) + "x" * (n // 50)) for n in range(200)), *(per(f"a {n}") for n in range(99))],
    )
    folder = tmp_path / "corpus/review"
    before = [(folder / name).read_bytes() for name in ("coverage.json", "coverage.jsonl")]
    monkeypatch.setattr(survey, "_BLOCK", 5_000)
    coverage.look(tmp_path / "corpus", tmp_path / "annotations", manifests.load(tmp_path / "annotations"), 2)
    assert [(folder / name).read_bytes() for name in ("coverage.json", "coverage.jsonl")] == before


def test_what_is_of_other_annotations_is_not_believed(tmp_path):
    made(tmp_path, [org("one")])
    assert coverage.load(tmp_path / "corpus").texts == 1
    (tmp_path / "annotations").rename(tmp_path / "before")
    manifest = write(tmp_path / "annotations", [org("two")])
    merge(manifest, tmp_path / "annotations", tmp_path / "corpus", "majority", Resources(256, 1))
    with pytest.raises(UserError, match=r"coverage\.json: the annotations have changed .* weasel run coverage"):
        coverage.load(tmp_path / "corpus")


def test_the_step_says_what_it_found(tmp_path):
    assert "pull the annotations first" in fail(tmp_path, "coverage", "annotations", "corpus")
    made(tmp_path, [*map(org, ["one two three", "four five", "six"]), per("six")])
    said = succeed(tmp_path, "coverage", "annotations", "corpus")
    assert "ORG 3 3 0 0 0 0 – – PER 3 1 2 5 0 0 – –" in said
    assert "1 of 3 texts are annotated for all 2 labels" in said
    assert "Time not measured, answers have no time: ORG, PER" in said
    assert "✔ corpus/review/coverage.jsonl: 2 texts that a label lacks" in said
