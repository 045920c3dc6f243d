"""Code points, UTF-16 or grapheme clusters: told by the texts in the spans, or asked for."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from scripts.sources.doccano import Doccano
from scripts.sources.documents import Document, DocumentReader, Record
from scripts.sources.offsets import AMBIGUOUS, Mark, graphemes_to_codepoints, in_codepoints, utf16_to_codepoints
from tests.prodigy import read

TEXT = "🦆 Ada met 🦆🦆 Bob"
ADA = Mark(2, 5, "PER", "Ada")  # in code points
ADA_UTF16 = Mark(3, 6, "PER", "Ada")
BOB_UTF16 = Mark(16, 19, "PER", "Bob")
texts = st.text(st.sampled_from("ab 🦆😀é"), min_size=1, max_size=30)


def units(text, offset):
    """How many UTF-16 units are before an offset in code points."""
    return len(text[:offset].encode("utf-16-le", "surrogatepass")) // 2


@given(texts)
def test_utf16_and_back(text):
    codepoint = utf16_to_codepoints(text)
    assert [codepoint(units(text, offset)) for offset in range(len(text) + 3)] == [
        *range(len(text) + 1), *[len(text)] * 2
    ]  # fmt: skip
    boundaries = {units(text, offset) for offset in range(len(text) + 1)}
    inside = set(range(units(text, len(text)))) - boundaries
    assert all(codepoint(offset) is None for offset in inside)


@given(texts, st.data())
def test_spans_that_carry_their_text_are_found_however_they_are_counted(text, data):
    boundaries = st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True).map(sorted)
    spans = data.draw(st.lists(boundaries, min_size=1, max_size=4))
    expected = [Mark(start, end, "X", text[start:end]) for start, end in spans]
    utf16 = [mark._replace(start=units(text, mark.start), end=units(text, mark.end)) for mark in expected]
    for usual in ("codepoints", "utf16"):
        for marks in (expected, utf16):
            found = in_codepoints(text, marks, "auto", usual)
            assert all(mark.fits(text) for mark in found)
    assert in_codepoints(text, utf16, "auto", "utf16") == expected
    assert in_codepoints(text, expected, "auto", "codepoints") == expected
    assert in_codepoints(text, utf16, "utf16", "codepoints") == expected
    assert in_codepoints(text, expected, "codepoints", "utf16") == expected


def test_all_marks_of_a_record_are_counted_in_one_way():
    assert in_codepoints(TEXT, [ADA_UTF16, BOB_UTF16], "auto", "codepoints") == [ADA, Mark(13, 16, "PER", "Bob")]


def test_nothing_is_asked_where_it_does_not_matter():
    before = [Mark(0, 3, "PER")]
    assert in_codepoints("Ada 🦆", before, "auto", "codepoints") == before
    assert in_codepoints("Ada é", [Mark(4, 5, "PER")], "auto", "codepoints") == [Mark(4, 5, "PER")]
    assert in_codepoints("🦆 Ada", [Mark(2, 5, "PER")], "auto", "codepoints") is None


def answers(marks, offsets="auto", labels=("PER",)):
    reader = DocumentReader("data", list(labels), "annotated", offsets)
    records = [Record("file:1", [Document(TEXT, marks)])]
    return read(SimpleNamespace(read=lambda _, intake: reader.read(records, intake)))


def test_ambiguous_offsets_are_skipped_and_the_reason_names_the_setting():
    tasks, _, skipped = answers([Mark(3, 6, "PER"), Mark(3, 6, "ORG")])
    assert not tasks
    assert [(skip.reason, skip.spans) for skip in skipped] == [(AMBIGUOUS, 2)]
    assert 'set offsets to "codepoints", "utf16" or "graphemes"' in AMBIGUOUS
    (task,), _, _ = answers([Mark(3, 6, "PER")], "utf16")
    assert TEXT[task.spans[0].start : task.spans[0].end] == "Ada"


def test_a_span_that_fits_no_unit_alone_is_skipped():
    odd = Mark(4, 7, "PER", "Ada")
    tasks, _, skipped = answers([ADA_UTF16, BOB_UTF16, odd, Mark(0, 2, "ORG", "🦆")], labels=("PER", "ORG"))
    assert [skip.reason for skip in skipped] == ["quoted text differs from the text at the offsets"]
    assert [(task.kind, task.labels, len(task.spans)) for task in tasks] == [
        ("manual", ["ORG"], 1), ("binary", ["PER"], 1), ("binary", ["PER"], 1)
    ]  # fmt: skip


def test_an_offset_inside_a_character_is_skipped():
    _, _, skipped = answers([Mark(1, 6, "PER")], "utf16")
    assert skipped[0].reason == "offset inside a character of two UTF-16 units"


FAMILY = "👨\u200d👩\u200d👧\u200d👦"
CLUSTERS = {
    "a family": FAMILY,
    "a flag": "🇩🇪",
    "two flags": "🇩🇪🇫🇷",
    "a skin colour": "👍🏽",
    "a flag of tags": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "a keycap": "1\ufe0f\u20e3",
    "a heart": "❤\ufe0f\u200d🔥",
    "an accent of its own": "e\u0301",
    "many accents": "Z\u0351\u036b\u0343",
    "a vowel sign": "नि",
    "jamo": "\u1112\u1161\u11ab",
    "the end of a line": "\r\n",
    "a plain letter": "é",
}


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_counts_as_one(name):
    cluster, count = CLUSTERS[name], 2 if name == "two flags" else 1
    text = f"{cluster} Ada met {cluster}Bob"
    start = len(f"{cluster} Ada met {cluster}")
    marks = [Mark(count + 1, count + 4, "PER"), Mark(2 * count + 9, 2 * count + 12, "PER")]
    found = in_codepoints(text, marks, "graphemes", "codepoints")
    assert [(mark.start, mark.end) for mark in found] == [(len(cluster) + 1, len(cluster) + 4), (start, start + 3)]
    assert [text[mark.start : mark.end] for mark in found] == ["Ada", "Bob"]


clusters = st.lists(st.sampled_from([*CLUSTERS.values(), "x", " ", "ß"]), min_size=1, max_size=12)


@given(clusters.map("".join))
def test_every_cluster_is_between_two_boundaries_and_none_is_cut(text):
    codepoint = graphemes_to_codepoints(text)
    found = regex.findall(r"\X", text)
    assert [text[codepoint(n) : codepoint(n + 1)] for n in range(len(found))] == found
    assert [codepoint(len(found) + beyond) for beyond in range(3)] == [len(text) + beyond for beyond in range(3)]


@given(clusters, st.data())
def test_quotes_tell_when_clusters_are_counted(parts, data):
    text = "".join(parts)
    boundaries = [match.start() for match in regex.finditer(r"\X", text)] + [len(text)]
    start, end = sorted(data.draw(st.sets(st.integers(0, len(boundaries) - 1), min_size=2, max_size=2)))
    quote = text[boundaries[start] : boundaries[end]]
    for usual in ("codepoints", "utf16"):
        (mark,) = in_codepoints(text, [Mark(start, end, "X", quote)], "auto", usual)
        assert mark.fits(text)
    asked = in_codepoints(text, [Mark(start, end, "X", quote)], "graphemes", "codepoints")
    assert asked == [Mark(boundaries[start], boundaries[end], "X", quote)]


def test_what_fits_in_several_ways_is_read_in_the_usual_one():
    text = "👍🏽 aaaaaa"
    assert in_codepoints(text, [Mark(4, 5, "X", "a")], "auto", "codepoints") == [Mark(4, 5, "X", "a")]
    assert in_codepoints(text, [Mark(5, 6, "X", "a")], "auto", "utf16") == [Mark(3, 4, "X", "a")]


def test_accents_alone_ask_for_nothing():
    """A project has to be told to count clusters, so texts without emoji are taken to be in code points."""
    assert in_codepoints("e\u0301 Ada", [Mark(3, 6, "PER")], "auto", "codepoints") == [Mark(3, 6, "PER")]


def test_doccano_counts_clusters_if_set_so(tmp_path):
    path = tmp_path / "admin.jsonl"
    path.write_text(json.dumps({"text": f"{FAMILY} Ada met 🇩🇪 Bob", "label": [[2, 5, "PER"], [12, 15, "PER"]]}))
    (task,), _, _ = read(Doccano(str(path), ["PER"], offsets="graphemes"))
    assert [task.text[span.start : span.end] for span in task.spans] == ["Ada", "Bob"]
    assert read(Doccano(str(path), ["PER"]))[2][0].reason == AMBIGUOUS
