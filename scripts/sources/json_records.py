"""JSON records of a file, one at a time: its lines, or the elements of an array; plain or gzipped."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.sources.files import opened
from scripts.sources.limits import Oversized, TooLarge, lines, max_record

UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError, TypeError, TooLarge)
_MAX_DEPTH = 100
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_BACKSLASH = ord("\\")


def json_lines(path: str) -> Iterator[tuple[str, bytes]]:
    """Stream place and content of each line that is not blank. RAISES (UserError), see `opened`."""
    with opened(path) as file:
        yield from _lines(path, file)


def json_records(path: str) -> Iterator[tuple[str, bytes]]:
    """Stream place and JSON of each record: the elements of the array that the file is, its objects, or its lines.

    RAISES (UserError): If the file is UTF-16, gzipped and damaged, or an array that does not end.
    """
    with opened(path) as file:
        start = b""
        while not start.strip() and (block := file.read(BUFFER)):
            start = block.removeprefix(codecs.BOM_UTF8)
        if start.lstrip().startswith(b"["):
            records = _elements(path, file, start)
        elif start.lstrip().split(b"\n", 1)[0].strip() == b"{":  # objects with a line for each key, as `jq` writes them
            records = _objects(file, start)
        else:
            file.seek(0)
            yield from _lines(path, file)
            return
        for number, record in enumerate(records, 1):
            yield f"{Path(path).name}:{number}", record


def any_record(files: Iterable[tuple[Path, str]], looks_right: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether a record in any of the files is an object that looks right. Prodigy's tasks never do."""
    for path, _ in files:
        for _, content in json_records(str(path)):
            try:
                record = _decode_object(content)
            except UNREADABLE:
                continue
            if "_input_hash" in record or "_task_hash" in record:
                return False
            if looks_right(record):
                return True
    return False


def reason(err: Exception) -> str:
    """Return the reason why a record cannot be read: the same words for the same fault."""
    if isinstance(err, TooLarge):
        return str(err)
    if isinstance(err, RecursionError):
        return "JSON is nested too deeply"
    if isinstance(err, UnicodeError) or str(err).startswith("Invalid UTF-8"):  # msgspec before 0.23, and since
        return "not UTF-8"
    if isinstance(err, TypeError):
        return "content is neither text nor bytes"
    if isinstance(err, msgspec.ValidationError):
        message = re.sub(r"\[\.*\d*\]", "[]", str(err))  # `$.spans[3].start` and `$.spans[7].start`
        return re.sub(r"Invalid enum value .*(?= - at )", "not accept, reject or ignore", message, flags=re.DOTALL)
    message = re.sub(r" \(byte \d+\)", "", str(err))
    return f"malformed JSON: {message.removeprefix('JSON is malformed: ')}"


def is_too_deep(value: Any, depth: int = _MAX_DEPTH) -> bool:
    """Whether JSON is nested so deeply that a later step, with a deeper stack, cannot decode it."""
    if not isinstance(value, (dict, list)):
        return False
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, (dict, list)) and (depth == 0 or is_too_deep(item, depth - 1)):
            return True
    return False


def _lines(path: str, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    name = Path(path).name
    for number, line in enumerate(lines(file), 1):
        if number == 1 and line.startswith(codecs.BOM_UTF8):
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.isspace():
            yield f"{name}:{number}", line


def _elements(path: str, file: IO[bytes], block: bytes) -> Iterator[bytes]:
    """Stream the elements of the array that a file is, of which the first block has been read."""
    array = _PartialArray()
    while block:
        yield from array.feed(block)
        if array.ended:
            if (array.rest + file.read(BUFFER)).strip():
                raise UserError(f"{path}: holds something more after its JSON array")
            return
        block = file.read(max(BUFFER, len(array.rest)))
    raise UserError(f"{path}: ends inside a JSON array: it is cut off, or no JSON")


def _objects(file: IO[bytes], block: bytes) -> Iterator[bytes]:
    """Stream the objects in a file, of which the first block has been read; at last what is no whole one."""
    objects = _PartialArray(is_array=False)
    while block:
        yield from objects.feed(block)
        block = file.read(max(BUFFER, len(objects.rest)))
    if objects.is_oversized:
        yield Oversized()
    elif objects.rest.strip():
        yield objects.rest.strip()


class _PartialArray:
    """An array as far as it is read, divided by its brackets alone: errors inside are found by whoever decodes it.

    is_array (bool): Else objects without anything between them.
    """

    def __init__(self, is_array: bool = True) -> None:
        self.is_array = is_array
        self.rest = b""  # from the first element that is not complete yet
        self.ended = False
        self._position = 0  # in the rest: what stands before is known
        self._depth = 0
        self._in_string = False
        self.is_oversized = False  # the first element that is not complete yet

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Yield the elements that are complete now."""
        self.rest += block
        start = 0
        for end in self._ends_of_elements():
            element = self.rest[start:end].strip()
            start = end + self.is_array  # the comma
            if self.is_oversized or len(element) > max_record():
                self.is_oversized = False
                yield Oversized()
            elif element:  # none before the first bracket, nor in an empty array
                yield element
        self.rest = self.rest[start:]
        if len(self.rest) > max_record():
            self.is_oversized = True
        if self.is_oversized:  # all that counts is whether the next character is escaped
            backslashes = len(self.rest) - len(self.rest.rstrip(b"\\"))
            self.rest = b"\\" * (backslashes % 2)
        self._position = len(self.rest)

    def _ends_of_elements(self) -> list[int]:
        """Return where the array begins, elements end, and it ends, in the part that is new."""
        import numpy as np  # takes a while, and most files have lines

        new = np.frombuffer(self.rest, np.uint8)[self._position :]
        quotes = new == ord('"')
        after_backslash = np.flatnonzero(quotes[1:] & (new[:-1] == _BACKSLASH)) + 1
        for quote in (0, *after_backslash.tolist()):
            if len(new) and self._is_escaped(quote):
                quotes[quote] = False
        in_string = (np.cumsum(quotes, dtype=np.uint8) & 1).astype(bool) ^ self._in_string
        places = np.flatnonzero(np.isin(new, list(b"[]{},")) & ~in_string)
        found = new[places]
        depths = self._depth + np.cumsum(np.isin(found, list(b"[{")).astype(np.int64) - np.isin(found, list(b"]}")))
        is_end = depths == 0
        ends = places[is_end | ((depths == 1) & np.isin(found, list(b",[")))]
        if not self.is_array:
            ends = places[is_end & (found == ord("}"))] + 1
        elif is_end.any():
            self.ended = True
            return (ends[ends <= places[is_end.argmax()]] + self._position).tolist()
        if len(new):
            self._in_string = bool(in_string[-1])
        if len(depths):
            self._depth = int(depths[-1])
        return (ends + self._position).tolist()

    def _is_escaped(self, quote: int) -> bool:
        """Whether an odd number of backslashes stands before a quote in the new part."""
        place = before = self._position + quote
        while before and self.rest[before - 1] == _BACKSLASH:
            before -= 1
        return (place - before) % 2 == 1
