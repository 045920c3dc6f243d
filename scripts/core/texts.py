"""Texts: Prodigy's hashes, the hash that decides the split of a text, and where words end."""

import hashlib
import html
import json
import re
import unicodedata
from json.encoder import encode_basestring_ascii
from typing import Any

from murmurhash.mrmr import hash as murmur

_MAX_CACHED = 2**15  # texts; their hashes take some 8 MB
_cached: dict[int, tuple[int, int]] = {}
_NO_LETTERS = re.compile(r"[\W_]+")  # all but what isalnum() says yes to
_ASCII_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())
# Keys that are no part of a Prodigy task hash, in the task or in its spans.
_NOT_HASHED = frozenset(
    {"score", "rank", "model", "source", "pattern", "priority", "path"}
    | {"_view_id", "_session_id", "_annotator_id", "answer"}
)


def input_hashes(text: str) -> tuple[int, int]:
    """Return Prodigy's `_input_hash` of a text, and the one in exports of old versions: signed 32 bits.

    They are no identity, since different texts can share one. Found on 5,585 and 1,800 real records: murmurhash of
    "text=" and the ASCII-escaped JSON of the text; of old versions without "text=".
    """
    # The same texts come in dataset after dataset, and escaping one takes eight times as long as Python's own hash of
    # it. That has 64 bits: the chance that any two of a million texts share one is 1 in 37 million.
    key = hash(text)
    hashes = _cached.get(key)
    if hashes is None:
        if len(_cached) == _MAX_CACHED:
            _cached.clear()
        escaped = encode_basestring_ascii(text)
        hashes = _cached[key] = murmur(f"text={escaped}"), murmur(escaped)
    return hashes


def input_hash(text: str) -> int:
    """Return Prodigy's `_input_hash` of a text, see `input_hashes`."""
    return input_hashes(text)[0]


def task_hash(input_hash: int, spans: list[dict[str, Any]]) -> int:
    """Return Prodigy's `_task_hash` of a task with spans: signed 32 bits (2,180 of 2,180 real records)."""
    hashed = [{key: value for key, value in span.items() if key not in _NOT_HASHED} for span in spans]
    return murmur(f"{input_hash}spans=" + json.dumps(hashed, sort_keys=True, separators=(",", ":")))


def normalized(text: str) -> str:
    """Normalize a text: HTML entities as their characters, NFKC, case folded, letters and digits only. Texts that are
    nearly equal become equal.
    """
    folded = unicodedata.normalize("NFKC", unescaped(text)).casefold()
    # Nearly all other characters are ASCII, and deleting these from UTF-8 bytes takes a tenth of the time.
    less = folded.encode("utf-8", "surrogatepass").translate(None, _ASCII_NO_LETTERS).decode("utf-8", "surrogatepass")
    return _NO_LETTERS.sub("", less) or " ".join(folded.split())


def unescaped(text: str) -> str:
    """The text with its HTML entities as characters, also those that were escaped twice."""
    while "&" in text and (shorter := html.unescape(text)) != text:
        text = shorter
    return text


def fraction(key: str) -> float:
    """Return a number in [0, 1) that a text keeps for ever: the first 52 bits of the BLAKE2b digest of its key."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 12) / 2**52


# Words

# Scripts that put no space between words, and Korean, whose particles are written to the name: a boundary between two
# of their characters is no sign of anything.
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\ua4cf\ua960-\ua9df\uaa00-\uaadf"
    "\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef\U00016fe0-\U00018cff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff]"
)

_JOINER = "\u200d"  # between emoji that are one
_JOINED = {_JOINER, *map(chr, range(0x1F3FB, 0x1F400))}  # and skin tones


def is_inside_word(text: str, position: int) -> bool:
    """Whether the characters before and after a position belong to one word: both letters, or both digits; or to one
    character, as a letter and its accent do. Letters of scripts without spaces between words never do.
    """
    if not 0 < position < len(text):
        return False
    before, after = text[position - 1], text[position]
    if after in _JOINED or (after > "\u02ff" and unicodedata.category(after).startswith("M")) or before == _JOINER:
        return True
    if not (before.isalnum() and after.isalnum() and before.isdigit() == after.isdigit()):
        return False
    return (before.isascii() and after.isascii()) or not (is_unspaced(before) or is_unspaced(after))


def is_unspaced(character: str) -> bool:
    """Whether a character is of a script that puts no space between words, or particles to them, as Korean does."""
    return bool(_UNSPACED.match(character))


_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc]")


def is_written_together(text: str) -> bool:
    """Whether more of a text are letters of a script without spaces between words (not Korean, which has them) than
    words of others.
    """
    if text.isascii():
        return False
    letters = [character for character in text if character.isalpha() and _is_together(character)]
    others = "".join(" " if _is_together(character) else character for character in text).split()
    return len(letters) > sum(any(map(str.isalnum, word)) for word in others)


def _is_together(character: str) -> bool:
    return is_unspaced(character) and not _HANGUL.match(character)
