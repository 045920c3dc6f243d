"""Whatever stands in a source: nothing raises, everything is accounted for, and what is kept is sound."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from scripts.core.answers import Task
from scripts.core.errors import UserError
from scripts.core.texts import input_hash
from scripts.sources.brat import Brat
from scripts.sources.prodigy_jsonl import ProdigyJsonl
from scripts.sources.prodigy_tasks import TaskReader, labels_in
from scripts.sources.source import Intake
from tests.prodigy import read, task

LABELS = ["PERSON", "ORG", 'ÖD "D"\n']
KINDS = ("auto", "manual", "binary")
MEGABYTE = "a🦆\u00a0" * 400_000

any_char = st.characters()  # surrogates too
texts = st.text(any_char, max_size=30) | st.sampled_from(
    ["", " ", "\0", "Ada met Bob.", "👩‍💻 🦆", "\u00a0x\u2028", "\ud800", "a\udc00b"]
)
numbers = st.integers(-3, 40) | st.integers() | st.floats() | st.sampled_from([2**31, 2**63, 10**30, -(2**70), 1e300])
scalars = st.none() | st.booleans() | numbers | texts
jsons = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
offsets = st.integers(-2, 35)
labels = st.sampled_from([*LABELS, "", "OTHER"])
answers = st.sampled_from(["accept", "reject", "ignore", None])
views = st.sampled_from(["ner", "ner_manual", "review", "choice", None])


def records(anything):
    """Tasks with some of a task's fields; each is of its type, or anything."""

    def maybe(of):
        return of | jsons if anything else of

    span = st.fixed_dictionaries(
        {"start": maybe(offsets), "end": maybe(offsets), "label": maybe(labels)}, optional={"answer": maybe(answers)}
    )
    spans = maybe(st.lists(maybe(span), max_size=5) | st.none())
    version = st.fixed_dictionaries({}, optional={"spans": spans, "answer": maybe(answers)})
    return st.fixed_dictionaries(
        {"text": maybe(texts)},
        optional={
            "spans": spans,
            "answer": maybe(answers),
            "meta": jsons,
            "versions": maybe(st.lists(maybe(version), max_size=3) | st.none()),
            "_input_hash": jsons,
            "_view_id": maybe(views),
            "_is_binary": maybe(st.booleans() | st.none()),
            "_session_id": maybe(texts | st.none()),
            "_annotator_id": maybe(texts | st.none()),
            "_timestamp": maybe(numbers | st.none()),
        },
    )


@st.composite
def plausible(draw):
    """Tasks whose fields are of the right type, and whose spans mostly lie inside the text."""
    text = draw(st.text("Aé🦆 \u00a0\n", min_size=1, max_size=20).map(lambda text: text + "x"))
    boundaries = st.lists(st.integers(0, len(text)), min_size=2, max_size=2, unique=True).map(sorted)
    span = st.tuples(boundaries, st.sampled_from([*LABELS, *LABELS, "OTHER"]), answers).map(
        lambda one: {"start": one[0][0], "end": one[0][1], "label": one[1], "answer": one[2]}
    )
    spans = draw(st.lists(span, min_size=1, max_size=4))
    return draw(records(anything=False)) | {"text": text, "spans": spans, "answer": draw(answers), "meta": {"a": [1.5]}}


def dumped(record, ascii_only):
    """JSON of what JSON should not hold: NaN, Infinity, lone surrogates, escaped or not."""
    return json.dumps(record, ensure_ascii=ascii_only).encode("utf8", "surrogatepass")


contents = st.builds(dumped, records(anything=True) | plausible() | jsons, st.booleans())


@st.composite
def damaged(draw):
    """A task in which bytes were cut, changed or repeated, or which is in another encoding."""
    content = draw(contents)
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, len(content)))
    encoded = content.decode("utf8", "surrogatepass").encode("utf-16", "surrogatepass")
    return draw(
        st.sampled_from([content[:start], content[:start] + content[end:], content[:end] + content[start:], encoded])
        | st.binary(max_size=5).map(lambda more: content[:start] + more + content[end:])
    )


def judge(content, kind):
    """Read a content as a task: nothing raises, the account settles, and what comes out is sound."""
    skipped = []
    intake = Intake(skipped.append)
    found = TaskReader("data", frozenset(LABELS), kind, "origin").answers(content, "file:1", intake)
    if found:
        intake.keep(len(found), sum(len(answer.spans) for answer in found))
    intake.assert_adds_up()
    assert intake.records["read"] == 1
    assert sum(intake.reasons.values()) == len(skipped)
    assert all("\n" not in skip.reason and len(skip.reason) < 200 for skip in skipped)
    msgspec.json.encode(skipped)
    for answer in found:
        sound(answer)
    return found


def sound(answer):
    assert answer.text.strip()
    assert answer.input_hash == input_hash(answer.text)
    for spans in (answer.spans, *answer.versions):
        assert spans == sorted(set(spans))
        for span in spans:
            covered = answer.text[span.start : span.end]
            assert 0 <= span.start < span.end <= len(answer.text)
            assert covered == covered.strip() != ""
            assert span.label in LABELS
    if answer.kind == "binary":
        assert answer.labels == [span.label for span in answer.spans]
    else:
        assert answer.labels == sorted(set(LABELS) & set(answer.labels))
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Task) == answer


@given(st.binary(max_size=200) | damaged(), st.sampled_from(KINDS))
@example(b"", "auto")
@example(b"\xef\xbb\xbf{}", "auto")
@example(b"[" * 100_000, "auto")
@example(b'{"text": ' + b'{"a":' * 100_000, "auto")
@example(b'{"text": "x", "meta": ' + b"[" * 950 + b"]" * 950 + b"}", "auto")
@example(b'{"text": "x", "meta": {"n": 1e999}}', "auto")
@example(b'{"text": "x", "meta": {"n": ' + b"9" * 5000 + b"}}", "auto")
@example(b'{"text": "x", "spans": [{"start": 1e999, "end": 3, "label": "ORG"}]}', "auto")
@example(b'{"text": "x", "spans": [{"start": 0, "end": ' + b"9" * 5000 + b', "label": "ORG"}]}', "auto")
@example(b'{"text": "x", "text": 5, "text": "y", "spans": [], "spans": null}', "auto")
@example(b'{"text": "\\ud83d\\ude00 \\ud83d", "spans": []}', "auto")
@example(b'{"text": "x", "_timestamp": NaN}', "auto")
@example(b'{"text": "x", "_timestamp": -Infinity}', "auto")
@example(b'{"text": "x", "answer": "' + b"y" * 1_000_000 + b'"}', "auto")
def test_arbitrary_bytes(content, kind):
    judge(content, kind)


@given(contents, st.sampled_from(KINDS))
def test_fields_of_any_type(content, kind):
    judge(content, kind)


@given(plausible(), st.sampled_from(KINDS))
def test_fields_of_the_right_type(record, kind):
    record["_timestamp"], record["_session_id"], record["_annotator_id"] = 1.5, None, "ada"
    record["versions"] = [{"spans": record["spans"]}] if record.get("versions") else None
    for found in judge(dumped(record, ascii_only=False), kind):
        event(f"{found.kind}, {min(2, len(found.spans))} spans or more")


@given(st.text(any_char, max_size=50) | st.none() | st.integers() | st.floats() | st.booleans())
def test_content_of_any_type(content):
    judge(content, "auto")


@given(st.lists(contents | st.binary(max_size=50) | st.none() | st.integers(), max_size=5))
def test_the_labels_in_whatever_it_is(found):
    assert all(isinstance(label, str) for label in labels_in(lambda: found))


@pytest.mark.parametrize("text", [MEGABYTE, " " * 1_000_000 + "x", "\0" * 1_000_000, "é" * 1_000_000])
def test_a_text_of_megabytes(text):
    end = len(text)
    content = dumped(task("") | {"text": text, "spans": [{"start": end - 2, "end": end, "label": "ORG"}]}, False)
    (found,) = judge(content, "auto")
    assert found.text == text


def test_a_hundred_thousand_spans():
    spans = [{"start": number % 1000, "end": number % 1000 + 1, "label": "ORG"} for number in range(100_000)]
    (found,) = judge(dumped({"text": "x" * 1000, "spans": spans}, True), "auto")
    assert len(found.spans) == 1000


# Whole files


CUT = dumped({"text": "Ax", "spans": [{"start": 0, "end": 1, "label": "PERSON"}]}, False)


@given(st.lists(contents | damaged() | st.binary(max_size=60), max_size=6), st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
@example([CUT] * 5, b"\n")
def test_files_of_anything(lines, end):
    content = end.join(lines)
    if content.startswith((b"\x1f\x8b", b"\xff\xfe", b"\xfe\xff")):
        return  # what says that it is gzip or UTF-16 is an error, which has its own tests
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "people.jsonl")
        path.write_bytes(content)
        try:
            found, intake, _ = read(ProdigyJsonl(str(path), LABELS))
        except UserError as err:  # most offsets are off all words: what it says to set takes them as they are
            assert "set offsets, to codepoints" in str(err)
            found, intake, _ = read(ProdigyJsonl(str(path), LABELS, offsets="codepoints"))
    for answer in found:
        sound(answer)
    filled = [line for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    assert intake.records["read"] == len(filled)


places = st.integers(-1, 15)
ann_lines = st.builds(
    "T{}\t{} {}\t{}".format,
    st.integers(0, 5),
    st.sampled_from(["PERSON", "ORG", "OTHER", "", "a b"]),
    st.lists(st.builds("{} {}".format, places, places), max_size=3).map(";".join) | st.text(max_size=6),
    st.text(max_size=8),
)
brats = st.lists(ann_lines | st.text(max_size=20), max_size=6).map("\n".join)


policies = st.sampled_from(["skip", "cover", "split"])


@given(
    brats.map(lambda ann: ann.encode("utf8", "surrogatepass")) | st.binary(max_size=60),
    texts.map(lambda text: text.encode("utf8", "surrogatepass")) | st.binary(max_size=40) | st.none(),
    policies,
    st.sampled_from(["skip", "keep"]),
)
def test_brat_documents_of_anything(ann, text, discontinuous, mismatch):
    judge_brat(ann, text, discontinuous, mismatch)


fragments = st.lists(st.integers(1, 15), min_size=2, max_size=2, unique=True).map(sorted)
sound_lines = st.builds(
    lambda label, pairs: f"T1\t{label} {';'.join(f'{start} {end}' for start, end in pairs)}\tquote",
    st.sampled_from(["PERSON", "ORG", "OTHER"]),
    st.lists(fragments, min_size=1, max_size=3),
)


@given(st.lists(sound_lines | sound_lines | ann_lines, min_size=1, max_size=8), policies)
def test_brat_annotations_of_any_place(lines, discontinuous):
    judge_brat("\n".join(lines).encode(), "\ufeff Ada\r\nmet Böb🦆.".encode(), discontinuous, "keep")


def judge_brat(ann, text, discontinuous, mismatch):
    """Read a document: nothing raises, the account settles, and what comes out is sound."""
    taken = ["PERSON", "ORG"]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "doc.ann").write_bytes(ann)
        if text is not None:
            Path(folder, "doc.txt").write_bytes(text)
        found, intake, _ = read(Brat(folder, taken, discontinuous=discontinuous, mismatch=mismatch))
    assert intake.records["read"] == 1
    for answer in found:
        event(f"{answer.kind}, {min(2, len(answer.spans))} spans or more")
        assert set(answer.labels) <= set(taken)
        assert msgspec.json.decode(msgspec.json.encode(answer), type=Task) == answer
        for span in answer.spans:
            covered = answer.text[span.start : span.end]
            assert 0 <= span.start < span.end <= len(answer.text)
            assert covered == covered.strip() != ""
            assert span.label in answer.labels
