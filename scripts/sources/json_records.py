"""JSON records of a file, one at a time, whether it holds one a line or an array of them; plain or gzipped."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.sources.files import opened

UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError, TypeError)
_DEEPEST = 100
_LONE_QUOTE = b'"'
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)


def json_lines(path: str) -> Iterator[tuple[str, bytes]]:
    """Where each line stands, and the line. Blank ones do not count.

    RAISES (UserError): If the file is UTF-16, or gzipped and damaged.
    """
    with opened(path) as file:
        yield from _lines(_name(path), file)


def json_records(path: str) -> Iterator[tuple[str, bytes]]:
    """Where each record stands, and its JSON: the elements of the array that the file is, or else its lines.

    RAISES (UserError): If the file is UTF-16, gzipped and damaged, or an array that does not end.
    """
    with opened(path) as file:
        start = b""
        while not start.strip() and (block := file.read(BUFFER)):
            start = block.removeprefix(codecs.BOM_UTF8)
        if not start.lstrip().startswith(b"["):
            file.seek(0)
            yield from _lines(_name(path), file)
            return
        for number, element in enumerate(_elements(path, file, start), 1):
            yield f"{_name(path)}:{number}", element


def reason(err: Exception) -> str:
    """Why a record cannot be read; the same fault is the same reason."""
    if isinstance(err, RecursionError):
        return "JSON is nested too deeply"
    if isinstance(err, UnicodeError):
        return "not UTF-8"
    if isinstance(err, TypeError):
        return "content is neither text nor bytes"
    if isinstance(err, msgspec.ValidationError):
        said = re.sub(r"\[\.*\d*\]", "[]", str(err))  # `$.spans[3].start` and `$.spans[7].start`
        return re.sub(r"Invalid enum value .*(?= - at )", "not accept, reject or ignore", said, flags=re.DOTALL)
    said = re.sub(r" \(byte \d+\)", "", str(err))
    return f"malformed JSON: {said.removeprefix('JSON is malformed: ')}"


def is_too_deep(value: Any, depth: int = _DEEPEST) -> bool:
    """Whether JSON is nested so deeply that a later step, with a deeper stack, could not decode it."""
    if not isinstance(value, (dict, list)):
        return False
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)) and (depth == 0 or is_too_deep(item, depth - 1)):
            return True
    return False


def _name(path: str) -> str:
    return Path(path).name


def _lines(name: str, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(file, 1):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.isspace():
            yield f"{name}:{number}", line


def _elements(path: str, file: IO[bytes], block: bytes) -> Iterator[bytes]:
    """What stands between the commas of the array that a file is, of which the first block has been read."""
    array = _Array()
    while block:
        yield from array.feed(block)
        if array.ended:
            if (array.rest + file.read(BUFFER)).strip():
                raise UserError(f"{path}: holds something more after its JSON array")
            return
        block = file.read(max(BUFFER, len(array.rest)))
    raise UserError(f"{path}: ends inside a JSON array: it is cut off, or no JSON")


class _Array:
    """An array as far as it is read, divided by its brackets alone: what is wrong inside is for who decodes it."""

    def __init__(self) -> None:
        self.rest = b""  # what begins with the element that is not whole yet
        self.ended = False
        self._depth = 0
        self._seen = 0  # how far into the rest

    def feed(self, block: bytes) -> Iterator[bytes]:
        """The elements that are whole now."""
        self.rest += block
        start = 0
        for match in _TOKEN.finditer(self.rest, self._seen):
            token = match[0]
            if token == _LONE_QUOTE:  # a string whose end is not read yet
                break
            self._seen = match.end()
            self._depth += (token in b"[{") - (token in b"]}")
            self.ended = self._depth == 0
            if self.ended or (token in b"[," and self._depth == 1):
                element = self.rest[start : match.start()].strip()
                start = self._seen
                if element:  # before the first bracket, and in an empty array, is nothing
                    yield element
            if self.ended:
                break
        self.rest = self.rest[start:]
        self._seen -= start
