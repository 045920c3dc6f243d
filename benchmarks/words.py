"""Text: synthetic, of words by a Zipf-like vocabulary, a few of them not ASCII; or real ones, repeated with other
numbers and names; and texts whose input hashes collide.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, count
from pathlib import Path
from random import Random
from typing import NamedTuple

import spacy

from scripts.core.texts import input_hash

_TYPES = 30_000
_EXPONENT = 1.05
_RARE_EVERY = 20  # one word in twenty is not ASCII, from frequent to rare: about 5 % of a text too
_ONSETS = ("", *"bcdfghklmnprstvw", "br", "ch", "cl", "cr", "dr", "fr", "gr", "pl", "pr", "sh", "st", "th", "tr")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ee", "ou")
_CODAS = ["", "", "", "l", "m", "n", "nd", "ng", "r", "rt", "s", "st", "t"]
_ACCENTS = str.maketrans("aeioucns", "áéïöüçñš")
_CJK = "東京大阪名古屋会社銀行北海道新聞電力株式中国科学技術"
_ASTRAL = "😀🚀🏦𝒜𝔹𐍈𠮷🌍"


class Vocabulary:
    """Words, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        random = Random(f"vocabulary {seed}")
        self.words = [_word(random, rank) for rank in range(_TYPES)]
        self.weights = list(accumulate((rank + 2.7) ** -_EXPONENT for rank in range(_TYPES)))

    def draw(self, random: Random, number: int) -> list[str]:
        """Draw words, each with its probability."""
        return random.choices(self.words, cum_weights=self.weights, k=number)


def _word(random: Random, rank: int) -> str:
    """A word of a rank. Frequent words are short; words that are not ASCII are accented, CJK or astral."""
    syllables = 1 if rank < 100 else random.choice((1, 2, 2, 3) if rank < 3000 else (2, 3, 3, 4))
    word = "".join(map(random.choice, (_ONSETS, _VOWELS, _CODAS) * syllables))
    if rank % _RARE_EVERY != _RARE_EVERY // 2:
        return word
    kind = rank // _RARE_EVERY % 20
    if kind < 11:
        return (word + random.choice("aeiou")).translate(_ACCENTS)
    if kind < 18:
        return "".join(random.choices(_CJK, k=random.choice((2, 3, 4))))
    return random.choice(_ASTRAL)


class Text(NamedTuple):
    """A text as tasks need it, encoded once.

    text (bytes), tokens (bytes): As JSON.
    starts (array), ends (array): Of the tokens, in code points.
    """

    content: str
    text: bytes
    tokens: bytes
    starts: array[int]
    ends: array[int]


def make_text(words: list[str], random: Random) -> Text:
    """Make sentences of words, with commas and full stops as separate tokens."""
    tokens: list[tuple[str, bool]] = []
    left = 0
    for word in words:
        if not left:
            left = random.randint(6, 24)
            word = word.capitalize()
        left -= 1
        mark = "." if not left else "," if random.random() < 0.05 else ""
        tokens.append((word, not mark))
        if mark:
            tokens.append((mark, True))
    return encode(tokens)


def encode(tokens: list[tuple[str, bool]]) -> Text:
    """Encode tokens, each with whether a space follows it."""
    tokens[-1] = (tokens[-1][0], False)
    content = "".join(token + " " if space else token for token, space in tokens)
    starts, ends, encoded = array("I"), array("I"), []
    position = 0
    for number, (token, space) in enumerate(tokens):
        end = position + len(token)
        starts.append(position)
        ends.append(end)
        encoded.append(
            f'{{"text":{json.dumps(token, ensure_ascii=False)},"start":{position},"end":{end},"id":{number},'
            f'"ws":{"true" if space else "false"}}}'
        )
        position = end + space
    text = json.dumps(content, ensure_ascii=False).encode()
    return Text(content, text, f"[{','.join(encoded)}]".encode(), starts, ends)


_CHANGES = re.compile(r"\d+|(?<=[a-z,] )[A-Z]\w+")  # numbers, and words that have a capital within a sentence


def repeat_texts(folder: Path, random: Random) -> Iterator[Text]:
    """Yield the texts of a folder's .txt files again and again, each time with other numbers of as many digits, and
    with names that are drawn from all of them; tokens are spaCy's, whitespace is single spaces.
    """
    texts = [" ".join(path.read_text("utf8").split()) for path in sorted(folder.rglob("*.txt"))]
    names = [found for text in texts for found in _CHANGES.findall(text) if not found.isdecimal()]
    tokenizer = spacy.blank("en").tokenizer
    while True:
        for text in texts:
            changed = _CHANGES.sub(lambda match: _other(match[0], names, random), text)
            yield encode([(token.text, bool(token.whitespace_)) for token in tokenizer(changed)])


def _other(found: str, names: Sequence[str], random: Random) -> str:
    return "".join(random.choices("0123456789", k=len(found))) if found.isdecimal() else random.choice(names)


def collisions(vocabulary: Vocabulary, random: Random, pairs: int) -> list[Text]:
    """Pairs of different texts with the same input hash, found by a birthday search over short texts.

    Among 200,000 texts there are 4.7 such pairs, since hashes have 32 bits.
    """
    stem = " ".join(vocabulary.draw(random, 5))
    seen: dict[int, int] = {}
    found: list[Text] = []
    for number in count():
        if len(found) == 2 * pairs:
            return found
        other = seen.setdefault(input_hash(f"{stem} {number}"), number)
        if other != number:
            found += (encode([(word, True) for word in f"{stem} {one}".split()]) for one in (other, number))
    raise AssertionError
