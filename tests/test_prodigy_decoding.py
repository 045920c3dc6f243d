"""Tokens are cut out of tasks unread: what is decoded is what is decoded of the whole."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from scripts.sources.prodigy_decoding import decode, decode_whole, find_tokens
from scripts.sources.prodigy_views import is_given, marks_of

# Strings that look like the ends and beginnings that are searched for.
STRINGS = st.one_of(
    st.text(max_size=5),
    st.lists(st.sampled_from(['"', "\\", "}],", "]", '"tokens":[{', "tokens", "a:", ',"x":', "é"]), max_size=4).map(
        "".join
    ),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), STRINGS)
TOKENS = st.lists(st.dictionaries(st.sampled_from(["text", "id", "tokens", "ws"]), LEAVES, max_size=3), max_size=3)
ANY = st.recursive(
    LEAVES | TOKENS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tokens", "text", "a"]) | STRINGS, inner, max_size=3)
    ),
    max_leaves=6,
)
SPANS = st.lists(st.fixed_dictionaries({"start": st.just(0), "end": st.just(1), "label": STRINGS}), max_size=2)
VALUES = {
    "meta": ANY,
    "tokens": TOKENS | ANY,
    "spans": SPANS,
    "other": ANY,
    "answer": st.just("accept"),
    "_view_id": STRINGS,
}


@st.composite
def tasks(draw):
    """The JSON of a task, with its keys in any order and some of them twice."""
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=7))
    pairs = [("text", draw(STRINGS)), *((name, draw(VALUES[name])) for name in names)]
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    ascii_only = draw(st.booleans())
    encoded = (
        json.dumps(name) + separators[1] + json.dumps(value, separators=separators, ensure_ascii=ascii_only)
        for name, value in draw(st.permutations(pairs))
    )
    return ("{" + separators[0].join(encoded) + "}").encode("utf8", "surrogatepass")


def outcome(read, content):
    """What a decoder gives, or that it refuses."""
    try:
        record = read(content)
    except (msgspec.DecodeError, UnicodeError):
        return "skipped"
    return {name: getattr(record, name) for name in decode_whole(b'{"text":""}').__struct_fields__}


@given(tasks())
def test_a_task_is_decoded_as_if_nothing_had_been_cut_out(content):
    assert outcome(decode, content) == outcome(decode_whole, content)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_tokens_of_a_usual_task_are_cut_out(separators):
    tokens = [{"text": word, "start": 0, "end": 1, "id": 0, "ws": True} for word in ("a", "]", "[x]", '"', "x\\")]
    task = {"text": "a", "meta": {"tokens": 5}, "tokens": tokens, "_view_id": "ner_manual", "spans": []}
    content = json.dumps(task, separators=separators).encode()
    start, end = find_tokens(content)
    assert json.loads(content[start:end].partition(b":")[2]) == tokens
    assert json.loads(content[:start] + b'"x":0' + content[end:]).keys() == {*task, "x"} - {"tokens"}
    assert decode(content).view_id == "ner_manual"


def test_tokens_in_the_meta_stay():
    task = {"text": "a", "meta": {"tokens": [{"text": "a"}], "by": "x"}, "answer": "accept"}
    assert decode(json.dumps(task, separators=(",", ":")).encode()).meta == task["meta"]


def test_a_truncated_task_is_an_error():
    content = json.dumps({"text": "a", "tokens": [{"text": "a"}, {"text": "b"}], "answer": "accept"}).encode()
    for end in range(len(content)):
        with pytest.raises(msgspec.DecodeError):
            decode(content[:end])


@pytest.mark.parametrize("text", ["", "a", '"', "\\", '\\"', 'a\\\\"', 'é\n"日本"', '","text":"b'])
@pytest.mark.parametrize("start", ['{"text":', '{"text": ', '{ "text":', '{"a":1,"text":'])
def test_a_text_is_the_same_when_it_comes_again(text, start):
    content = (start + json.dumps(text) + ',"tokens":[{"text":"a"}],"answer":"reject"}').encode()
    for _ in range(2):
        assert (decode(content).text, decode(content).answer) == (text, "reject")


@pytest.mark.parametrize("second", [b'"b"', b"5", b"null"])
def test_of_two_texts_in_a_task_the_last_counts(second):
    content = b'{"text":"a","tokens":[{"text":"a"}],"text":' + second + b"}"
    assert outcome(decode, content) == outcome(decode_whole, content)


@given(st.dictionaries(st.sampled_from(["text", "tokens", "spans", "versions", "_view_id", "a"]) | STRINGS, ANY))
def test_what_a_task_is_about_is_told_without_its_tokens_too(record):
    for separators in ((",", ":"), (", ", ": ")):
        content = json.dumps(record, separators=separators).encode()
        cut, whole = (asdict(marks_of(one)) for one in (content, content.decode()))
        assert (is_given(cut.pop("tokens")), cut) == (is_given(whole.pop("tokens")), whole)
