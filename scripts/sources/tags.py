"""Entities as a tag a token, in the schemes IOB1, IOB2, BILUO (and BIOES) and IO.

Their prefixes tell them apart: IOB2 begins every entity with B-, IOB1 only those right after another of the same label,
IO none.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Literal, NamedTuple, get_args

from scripts.core.errors import UserError
from scripts.core.texts import is_unspaced, is_written_together
from scripts.sources.offsets import Mark

Scheme = Literal["iob1", "iob2", "biluo", "io"]
SchemeSetting = Literal["auto", "iob1", "iob2", "biluo", "io"]
SCHEMES = get_args(SchemeSetting)
JOINED = "text of a script without spaces between words: none is put between its tokens"

_PREFIXED = re.compile(r"([BILUESM])-(.+)", re.DOTALL)
_SEVERAL = re.compile(r"(?:O|_|[BILUESM]-[^|]+)(?:\|(?:O|_|[BILUESM]-[^|]+))+")
# Other ways to write B-PER
_STYLES = (
    re.compile(r"(?P<prefix>[BILUESM])[_:](?P<label>.+)"),
    re.compile(r"(?P<label>.+)[-_:](?P<prefix>[BILUESM])"),
)
_SYNONYMS = {"E": "L", "S": "U", "M": "I"}  # as BIOES and BMES call what BILUO calls L, U and I
_OUTSIDE = "O"
UNDERSCORE = "_"  # as CoNLL-U writes that a column says nothing of a token


class TaggedEntity(NamedTuple):
    """An entity: tokens [start, end), its label, and the reason to skip it if its tags break the rules."""

    start: int
    end: int
    label: str
    fault: str = ""


def check_scheme(scheme: str) -> None:
    """RAISES (UserError): If there is no such scheme."""
    if scheme not in SCHEMES:
        raise UserError(f"scheme = {scheme!r}: must be one of {', '.join(SCHEMES)}")


def find_scheme(scheme: SchemeSetting, sentences: Iterable[Sequence[str]]) -> Scheme:
    """Return the scheme, or, if it is "auto", the one that most of the tags of the sentences keep to."""
    if scheme != "auto":
        return scheme
    has_begin = False
    not_iob2 = 0  # I- where an entity starts
    not_iob1 = 0  # B- not after the same label
    for tags in chain.from_iterable(map(_layers, sentences)):
        label_before = ""
        for tag in tags:
            prefix, label = split(tag)
            if prefix in ("L", "U"):
                return "biluo"
            has_begin |= prefix == "B"
            not_iob2 += prefix == "I" and label != label_before
            not_iob1 += prefix == "B" and label != label_before
            label_before = label
    if not has_begin:
        return "io"
    return "iob2" if not_iob1 >= not_iob2 else "iob1"


def usual_tags(tags: Iterable[str]) -> dict[str, str]:
    """Return, for tags that are all written as B_PER or PER-B, what they are usually written as: B-PER.

    None is, if no label is there with two prefixes: B_CELL and I_BAND may be labels.
    """
    entity_tags = {tag for tag in tags if tag not in ("", _OUTSIDE, UNDERSCORE)}
    for style in _STYLES:
        found = {tag: match for tag in entity_tags if (match := style.fullmatch(tag))}
        labels = [match["label"] for match in found.values()]
        if len(found) == len(entity_tags) and len(set(labels)) < len(labels):
            return {tag: f"{match['prefix']}-{match['label']}" for tag, match in found.items()}
    return {}


def split(tag: str) -> tuple[str, str]:
    """Return prefix (B, I, L, U or none) and label of a tag; "O" and "_" have neither."""
    if tag in (_OUTSIDE, UNDERSCORE) or not tag:
        return "", ""
    match = _PREFIXED.fullmatch(tag)
    return (_SYNONYMS.get(match[1], match[1]), match[2]) if match else ("", tag)


def tags_of_token(value: str) -> list[str]:
    """Return the tags in a value: usually one. Where entities may overlap, some files have several: B-PER|I-ORG."""
    return value.split("|") if "|" in value and _SEVERAL.fullmatch(value) else [value]


def _layers(tags: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return the tags of a sentence or, where a token has several, those of each label apart: I-ORG|B-ORG is of an
    entity, and of one inside it.
    """
    if "|" not in "".join(tags) or not any(len(tags_of_token(tag)) > 1 for tag in tags):
        return [tags]
    found: dict[tuple[str, int], list[str]] = {}
    for number, several in enumerate(map(tags_of_token, tags)):
        depth = Counter[str]()
        for tag in several:
            if label := split(tag)[1]:
                found.setdefault((label, depth[label]), [_OUTSIDE] * len(tags))[number] = tag
                depth[label] += 1
    return found.values()


def entities(tags: Sequence[str], scheme: Scheme) -> Iterator[TaggedEntity]:
    """Stream the entities in the tags of a sentence; one that breaks the rules of the scheme has a fault."""
    return chain.from_iterable(_entities(layer, scheme) for layer in _layers(tags))


def _entities(tags: Iterable[str], scheme: Scheme) -> Iterator[TaggedEntity]:
    entity: TaggedEntity | None = None
    for number, tag in enumerate([*tags, _OUTSIDE]):
        prefix, label = split(tag)
        if entity and not _continues(entity, prefix, label, scheme):
            unended = "entity without its last token, L-" if scheme == "biluo" else ""
            yield entity._replace(fault=entity.fault or unended)
            entity = None
        if not label:
            continue
        if entity:
            entity = entity._replace(end=number + 1)
        else:
            entity = TaggedEntity(number, number + 1, label, _start_fault(prefix, scheme))
        if prefix in ("L", "U"):
            yield entity
            entity = None


def tagged_text(sentences: Sequence[tuple[Sequence[str], Sequence[str]]], scheme: Scheme) -> tuple[str, list[Mark]]:
    """Return the text of tokens and as many tags, a line a sentence, and its spans. See `gaps`."""
    lines: list[str] = []
    marks = []
    position = 0
    for tokens, tags in sentences:
        offsets = []
        between = gaps(tokens)
        for token, gap in zip(tokens, between, strict=True):
            offsets.append((position, position + len(token)))
            position += len(token) + len(gap)
        position += 1
        lines.append("".join(token + gap for token, gap in zip(tokens, between, strict=True)))
        for start, end, label, fault in entities(tags, scheme):
            marks.append(Mark(offsets[start][0], offsets[end - 1][1], label, fault=fault))
    return "\n".join(lines), marks


def gaps(tokens: Sequence[str]) -> list[str]:
    """Return what stands after each token of a sentence: a space, as far as anybody can know, and nothing at the end.

    In Chinese, Japanese or Thai, nothing stands beside a token of that script; nor beside others, if each token is a
    character, as in many Chinese corpora.
    """
    by_character = all(len(token) == 1 for token in tokens)
    if not is_written_together(("" if by_character else " ").join(tokens)):
        return [" "] * (len(tokens) - 1) + [""] * bool(tokens)
    return [
        "" if by_character or is_unspaced(left[-1:]) or is_unspaced(right[:1]) else " "
        for left, right in pairwise(tokens)
    ] + [""]


def positions_in(text: str, joined: str) -> list[int]:
    """Return the position in a text of each character of its joined tokens; nothing if they are not all of the text."""
    positions, position = [], 0
    for character in joined:
        if not character.isspace():
            while position < len(text) and text[position].isspace():
                position += 1
            if text[position : position + 1] != character:
                return []
            position += 1
        positions.append(max(position - 1, 0))
    return [] if text[position:].strip() else positions


def _continues(entity: TaggedEntity, prefix: str, label: str, scheme: Scheme) -> bool:
    return label == entity.label and prefix in (
        ("I", "L") if scheme == "biluo" else ("I", "") if scheme == "io" else "I"
    )


def _start_fault(prefix: str, scheme: Scheme) -> str:
    """Return the fault of an entity that starts with a prefix, if it must not."""
    allowed = {"iob1": "BI", "iob2": "B", "biluo": "BU", "io": "I"}[scheme]
    if not prefix:
        return "" if scheme == "io" else f"tag without a prefix in {scheme}"
    return "" if prefix in allowed else f"{prefix}- where an entity starts, in {scheme}"
