"""Prodigy's task JSON, decoded as far as answers need it.

Most of a task's bytes are its tokens, which nobody needs: they are cut out before the rest is decoded, in a third of
the time in which a decoder passes over them. Most of the others are its text, which occurs again in dataset after
dataset: as long as there is room, texts are cached by their JSON.
"""

import re
from typing import Any

import msgspec

from scripts.core.answers import Answer
from scripts.sources.limits import sized


class SpanRecord(msgspec.Struct, gc=False):
    start: int
    end: int
    label: str
    answer: Answer | None = None


class VersionRecord(msgspec.Struct, gc=False):
    """One of the answers that a review shows."""

    spans: list[SpanRecord] | None = None


class TaskRecord(msgspec.Struct, gc=False):
    text: str
    spans: list[SpanRecord] | None = None
    answer: Answer | None = None
    meta: Any = None
    versions: list[VersionRecord] | None = None
    input_hash: Any = msgspec.field(name="_input_hash", default=None)
    view_id: str | None = msgspec.field(name="_view_id", default=None)
    is_binary: bool | None = msgspec.field(name="_is_binary", default=None)
    session_id: str | None = msgspec.field(name="_session_id", default=None)
    annotator_id: str | None = msgspec.field(name="_annotator_id", default=None)
    timestamp: float | None = msgspec.field(name="_timestamp", default=None)


_TOKENS = b'"tokens":[{'
_SPACED_TOKENS = b'"tokens": [{'
_END_AND_KEY = re.compile(rb'\}\], ?"\w+":')
_CUT = 7_046_029_254  # stands for the tokens, and for the text
CUT_TOKENS = b'"tokens":%d' % _CUT
_TEXT = b'{"text":'
_SPACED_TEXT = b'{"text": '
_CUT_TEXT = b'{"text":%d' % _CUT
_AFTER_ARRAYS = b",]} \t\r\n"
_BACKSLASH = ord("\\")
_QUOTE = b'"'
_MAX_CACHED = 12 * 2**20  # bytes of JSON; texts take four times as much, with what Python notes of them


class _CutRecord(TaskRecord, gc=False):
    text: str | int  # type: ignore[assignment]
    tokens: int | None = None


decode_whole = msgspec.json.Decoder(TaskRecord).decode
_decode_cut = msgspec.json.Decoder(_CutRecord).decode
_decode_text = msgspec.json.Decoder(str).decode
_cached: dict[bytes, str] = {}
_cached_bytes = 0


def decode(content: Any) -> TaskRecord:
    """Decode a task. What is malformed inside its tokens may pass. RAISES (UNREADABLE): If it is no JSON of one."""
    if isinstance(content, bytes):
        text, text_end = _find_text(content)
        tokens, tokens_end = find_tokens(content, text_end)
        if tokens:
            beginning = _CUT_TEXT if text_end else b""
            try:
                record = _decode_cut(beginning + content[text_end:tokens] + CUT_TOKENS + content[tokens_end:])
                if record.text == _CUT:
                    record.text = _cached_text(content[text:text_end])
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return decode_whole(content)
            # Else it was the tokens of something inside the task, or its text is a number.
            if record.tokens == _CUT and isinstance(record.text, str):
                return record
        sized(content)
    return decode_whole(content)


def _cached_text(content: bytes) -> str:
    global _cached_bytes
    text = _cached.get(content)
    if text is None:
        text = _decode_text(content)
        if _cached_bytes + len(content) <= _MAX_CACHED:
            _cached_bytes += len(content)
            _cached[content] = text
    return text


def _find_text(task: bytes) -> tuple[int, int]:
    """Return start and end of the text of a task that begins with it, with its quotes; (0, 0) if it does not."""
    start = len(_TEXT) if task.startswith(_TEXT) else len(_SPACED_TEXT) if task.startswith(_SPACED_TEXT) else 0
    if not start or not task.startswith(_QUOTE, start):
        return 0, 0
    end = task.find(_QUOTE, start + 1)
    while end > 0 and _is_escaped(task, end):
        end = task.find(_QUOTE, end + 1)
    return start, end + 1


def _is_escaped(task: bytes, position: int) -> bool:
    before = position
    while task[before - 1] == _BACKSLASH:
        before -= 1
    return (position - before) % 2 == 1


def find_tokens(task: bytes, start: int = 0) -> tuple[int, int]:
    """Find an array of objects called tokens, with its name, that another key follows.

    In JSON a quote that no backslash precedes begins or ends a string, and no name follows the end of one. So what is
    found is a key, outside of strings, and so is a bracket between the end of an object and a key. Brackets before it
    are inside strings: what follows them could not follow the end of an array. If this bracket ends an array inside a
    token, then what is left has brackets without partners, and cannot be decoded.

    task (bytes): JSON.
    start (int): A position in it that is not inside a string; what stands before is passed over.
    RETURNS (tuple[int, int]): Start and end; (0, 0) if there is none, or it cannot be told.
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
