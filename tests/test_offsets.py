"""Code points or UTF-16: told by the texts in the spans, or asked for."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from scripts.sources.documents import Document, DocumentReader, Record
from scripts.sources.offsets import AMBIGUOUS, Mark, in_codepoints, utf16_to_codepoints
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
    borders = {units(text, offset) for offset in range(len(text) + 1)}
    inside = set(range(units(text, len(text)))) - borders
    assert all(codepoint(offset) is None for offset in inside)


@given(texts, st.data())
def test_spans_that_carry_their_text_are_found_however_they_are_counted(text, data):
    borders = st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True).map(sorted)
    spans = data.draw(st.lists(borders, min_size=1, max_size=4))
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


def test_what_cannot_be_told_is_refused_and_says_what_to_set():
    tasks, _, refusals = answers([Mark(3, 6, "PER"), Mark(3, 6, "ORG")])
    assert not tasks
    assert [(refusal.reason, refusal.spans) for refusal in refusals] == [(AMBIGUOUS, 2)]
    assert 'set offsets to "codepoints" or "utf16"' in AMBIGUOUS
    (task,), _, _ = answers([Mark(3, 6, "PER")], "utf16")
    assert TEXT[task.spans[0].start : task.spans[0].end] == "Ada"


def test_what_fits_neither_way_is_refused_alone():
    odd = Mark(4, 7, "PER", "Ada")
    tasks, _, refusals = answers([ADA_UTF16, BOB_UTF16, odd, Mark(0, 2, "ORG", "🦆")], labels=("PER", "ORG"))
    assert [refusal.reason for refusal in refusals] == ["quoted text is not what stands at the offsets"]
    assert [(task.kind, task.labels, len(task.spans)) for task in tasks] == [
        ("manual", ["ORG"], 1), ("binary", ["PER"], 1), ("binary", ["PER"], 1)
    ]  # fmt: skip


def test_an_offset_inside_a_character_is_refused():
    _, _, refusals = answers([Mark(1, 6, "PER")], "utf16")
    assert refusals[0].reason == "offset inside a character of two UTF-16 units"
