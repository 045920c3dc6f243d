"""The JSON of Prodigy's tasks, decoded as far as it matters.

Most of a task's bytes are its tokens. Nobody needs them, so they are cut out before the rest is decoded; that takes a
third of the time in which a decoder would pass over them. Most of the others are its text, which comes again in
dataset after dataset: as long as there is room, texts are remembered, and looked up instead of decoded.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from scripts.core.answers import Answer

_TOKENS = b'"tokens":[{'
_SPACED_TOKENS = b'"tokens": [{'
_END_AND_KEY = re.compile(rb'\}\], ?"\w+":')
_CUT = 7_046_029_254  # stands for the tokens, and for the text
_CUT_TOKENS = b'"tokens":%d' % _CUT
_TEXT = b'{"text":'
_SPACED_TEXT = b'{"text": '
_CUT_TEXT = b'{"text":%d' % _CUT
_MOST_TEXTS = 12 * 2**20  # bytes of JSON; in memory they are four times as much, with what Python notes of a text
_AFTER_ARRAYS = b",]} \t\r\n"
_BACKSLASH = ord("\\")
_QUOTE = b'"'


class SpanRecord(msgspec.Struct, gc=False):
    """A span of a task, as it stands there."""

    start: int
    end: int
    label: str
    answer: Answer | None = None


class Version(msgspec.Struct, gc=False):
    """One of the answers that a review shows."""

    spans: list[SpanRecord] | None = None


class Record(msgspec.Struct, gc=False):
    """A task: the fields that matter."""

    text: str
    spans: list[SpanRecord] | None = None
    answer: Answer | None = None
    meta: Any = None
    versions: list[Version] | None = None
    input_hash: Any = msgspec.field(name="_input_hash", default=None)
    view_id: str | None = msgspec.field(name="_view_id", default=None)
    is_binary: bool | None = msgspec.field(name="_is_binary", default=None)
    session_id: str | None = msgspec.field(name="_session_id", default=None)
    annotator_id: str | None = msgspec.field(name="_annotator_id", default=None)
    timestamp: float | None = msgspec.field(name="_timestamp", default=None)


class _Slim(Record, gc=False):
    text: str | int  # type: ignore[assignment]
    tokens: int | None = None


decode_whole = msgspec.json.Decoder(Record).decode
_decode_slim = msgspec.json.Decoder(_Slim).decode
_decode_text = msgspec.json.Decoder(str).decode


class _Texts:
    """The first texts met, by their JSON."""

    def __init__(self, most: int) -> None:
        self._room = most
        self._known: dict[bytes, str] = {}

    def decode(self, content: bytes) -> str:
        text = self._known.get(content)
        if text is None:
            text = _decode_text(content)
            if self._room >= len(content):
                self._room -= len(content)
                self._known[content] = text
        return text


_texts = _Texts(_MOST_TEXTS)


def decode(content: Any) -> Record:
    """Decode a task. What is malformed inside its tokens may pass.

    content (Any): The JSON, as bytes or text.
    RAISES (UNREADABLE): If it is something else.
    """
    if isinstance(content, bytes):
        text, text_end = _text_in(content)
        tokens, tokens_end = tokens_in(content, text_end)
        if tokens:
            beginning = _CUT_TEXT if text_end else b""
            try:
                record = _decode_slim(beginning + content[text_end:tokens] + _CUT_TOKENS + content[tokens_end:])
                if record.text == _CUT:
                    record.text = _texts.decode(content[text:text_end])
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return decode_whole(content)
            # Else it was the tokens of something inside the task, or its text is a number.
            if record.tokens == _CUT and isinstance(record.text, str):
                return record
    return decode_whole(content)


def _text_in(task: bytes) -> tuple[int, int]:
    """Where the text of a task is that begins with it, with its quotes; (0, 0) if it does not."""
    start = len(_TEXT) if task.startswith(_TEXT) else len(_SPACED_TEXT) if task.startswith(_SPACED_TEXT) else 0
    if not start or not task.startswith(_QUOTE, start):
        return 0, 0
    end = task.find(_QUOTE, start + 1)
    while end > 0 and _is_escaped(task, end):
        end = task.find(_QUOTE, end + 1)
    return start, end + 1


def _is_escaped(task: bytes, place: int) -> bool:
    """Whether an odd number of backslashes stands before a place."""
    before = place
    while task[before - 1] == _BACKSLASH:
        before -= 1
    return (place - before) % 2 == 1


def tokens_in(task: bytes, start: int = 0) -> tuple[int, int]:
    """Where an array of objects called tokens is that another key follows, with its name: from where to before where.

    In JSON a quote that no backslash precedes begins or ends a string, and no name follows the end of one. So what is
    found is a key, outside of strings, and so is a bracket between the end of an object and a key. Brackets before it
    are inside strings: what follows them could not follow the end of an array. If this bracket ends an array inside a
    token, then what is left has brackets without partners, and cannot be decoded.

    task (bytes): JSON.
    start (int): A place in it that is not inside a string; what stands before is passed over.
    RETURNS (tuple[int, int]): (0, 0) if there are none such, or it cannot be told.
    """
    begin = task.find(_TOKENS, start)
    if begin < 0:
        begin = task.find(_SPACED_TOKENS, start)
    if begin < 1 or task[begin - 1] == _BACKSLASH:
        return 0, 0
    end = task.find(b"]", begin)
    while not _END_AND_KEY.match(task, end - 1):
        if end < 0 or task[end + 1 : end + 2] in _AFTER_ARRAYS:
            return 0, 0
        end = task.find(b"]", end + 1)
    return begin, end + 1
