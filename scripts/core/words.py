"""Boundaries of words, in scripts that put spaces between them and in those that do not."""

import re
import unicodedata

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
