"""What several copies of a text in a collection of files stand for: annotators, or labels that were annotated apart.

People keep them as `ana/doc1.ann` and `ben/doc1.ann`, `train/ana/doc1.ann`, `doc1_ana.ann` or `city/doc1.ann`. The
copies of a text have names that differ in one word; the words in this place are whom or what they stand for.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import msgspec

Copies = Literal["auto", "annotators", "labels", "versions"]

_WORDS = re.compile(r"[^\W_]+")
_MIN_SHARED = 0.1  # of the files: fewer copies are texts that happen to repeat
_MIN_NAMED = 0.8  # of the files have one of the words of the copies in that place
_STRAY = 0.1  # of a label's spans, at most, are outside the files that were annotated for it
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("dev", "devel", "development", "valid", "validation", "val", "testa"), "dev"),
    **dict.fromkeys(("test", "testing", "testb", "eval", "evaluation"), "test"),
}
_SPLIT = re.compile(f"(?<![^\\W\\d_])({'|'.join(sorted(_SPLITS, key=len, reverse=True))})(?![^\\W\\d_])")
_VERSION = re.compile(r"(v|ver|version|rev|revision)[ _.-]?[0-9]+", re.IGNORECASE)
_DECIDING = re.compile(
    "gold.*|curat(ed|ion|or)|adjudicat(ed|ion|or)|consensus|harmoni[sz]ed|reconciled|final|corrected", re.IGNORECASE
)


class Role(NamedTuple):
    """Whom or what a file stands for.

    annotator (str): Empty where the files of a text are not of several annotators.
    labels (frozenset[str] | None): The labels that it is complete for; None: all.
    decides (bool): Whether it overrules the copies of others, as a file of curated annotations.
    """

    annotator: str = ""
    labels: frozenset[str] | None = None
    decides: bool = False


class CopiedFiles(msgspec.Struct, frozen=True):
    """Files that hold copies of the same texts.

    roles (dict[str, Role]): By the name of the file.
    words (list[str]): The words that tell the copies apart, sorted.
    kind (str): "annotators", "labels" or "versions".
    texts (int): Number of texts, or of files of texts, that have copies.
    """

    roles: dict[str, Role]
    words: list[str]
    kind: str
    texts: int

    def note(self) -> str:
        """Say of a text what its copies are taken for."""
        words = ", ".join(self.words[:6]) + (", …" if len(self.words) > 6 else "")
        return f"text in several files, taken as those of {self.kind}: {words}"

    def __str__(self) -> str:
        others = " or ".join(f'"{other}"' for other in ("annotators", "labels", "versions") if other != self.kind)
        return f"{self.texts:,} × {self.note()}. copies = {others} takes them otherwise"


def find_copies(
    names: Sequence[str],
    content_of: Callable[[str], Hashable],
    labels_of: Callable[[str], Mapping[str, int]],
    copies: Copies,
) -> CopiedFiles | None:
    """Find files with the same texts, and what they stand for; None if there are none.

    content_of (Callable[[str], Hashable]): By the name of a file: its text, or a digest of it. None: unknown.
    labels_of (Callable[[str], Mapping[str, int]]): Number of its spans by label.
    copies (Copies): "auto": versions, if they are called so (v1, v2), labels, if each of them has its spans in files
        of its own, else annotators. "versions": of one annotator, so that there is nothing to tell.
    """
    if copies == "versions" or len(names) < 2:
        return None
    by_content = defaultdict(list)
    for name in names:
        if (content := content_of(name)) is not None:
            by_content[content].append(name)
    groups = [group for group in by_content.values() if len(group) > 1]
    word_of, texts = _telling_words(groups, names)
    if not word_of:
        return None
    spans: dict[str, Counter[str]] = {word: Counter() for word in sorted(set(word_of.values()))}
    for name, word in word_of.items():
        spans[word].update(labels_of(name))
    if copies == "auto" and all(map(_VERSION.fullmatch, spans)):
        return CopiedFiles({}, list(spans), "versions", texts)
    shared_by = _labels_of_words(spans)
    are_labels = copies == "labels" or (copies == "auto" and len(set(filter(None, shared_by.values()))) > 1)
    words = list(spans)
    by_word = {word: _role(word, shared_by, are_labels) for word in words}
    roles = {name: by_word[word] for name, word in word_of.items()}
    return CopiedFiles(roles, words, "labels" if are_labels else "annotators", texts)


def split_of(name: str) -> str:
    """Return "train", "dev" or "test" if a word in the name of a file or folder says so, else nothing."""
    match = _SPLIT.search(name.casefold())
    return _SPLITS[match[1]] if match else ""


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORDS.findall(name)]


def _parts(name: str) -> list[str]:
    """Return the folders of a path, and the words in the name of the file."""
    *folders, file = name.split("/")
    return folders + _WORDS.findall(file)


def _telling_words(groups: Iterable[Sequence[str]], names: Sequence[str]) -> tuple[dict[str, str], int]:
    """Return, by file, the word of its name that tells it from the copies of its text, and the number of such texts.

    Nothing, if copies are rare, or their names differ in more than one word, in the names of splits, or in a number
    that no two texts have in common.
    """
    words = {name: _parts(name) for name in names}
    places: Counter[int] = Counter()  # of the word in the name
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    for group in groups:
        place = _differing_place([words[name] for name in group])
        if place is not None:
            places[place] += 1
            seen[place].update(words[name][place] for name in group)
    if not places:
        return {}, 0
    place, texts = max(places.items(), key=lambda item: (item[1], -item[0]))
    told = {name: found[place] for name, found in words.items() if len(found) > place and found[place] in seen[place]}
    is_rare = len(told) < _MIN_NAMED * len(names) or texts * 2 < _MIN_SHARED * len(names)
    if is_rare or (texts > 1 and max(seen[place].values()) == 1):
        return {}, 0
    return ({}, 0) if all(split_of(word) for word in seen[place]) else (told, texts)


def _differing_place(names: Sequence[Sequence[str]]) -> int | None:
    """Return the first place in which names of words differ, all from each other, if they differ by one word only.

    It may be repeated: `ana/doc1_ana.ann`.
    """
    if len({len(words) for words in names}) > 1:
        return None
    columns = list(zip(*names, strict=True))
    differing = [column for column in columns if len(set(column)) > 1]
    if not differing or len(set(differing)) > 1 or len(set(differing[0])) < len(names):
        return None
    return columns.index(differing[0])


def _labels_of_words(spans: Mapping[str, Counter[str]]) -> dict[str, frozenset[str]]:
    """Return by word the labels that its files were annotated for: those of all words that share a label with it."""
    totals = sum(spans.values(), Counter[str]())
    used = {
        word: {label for label, number in counts.items() if number > _STRAY * totals[label]}
        for word, counts in spans.items()
    }
    for _ in used:  # a shares a label with b, and b with c
        for one, other in combinations(used, 2):
            if used[one] & used[other]:
                used[one] = used[other] = used[one] | used[other]
    return {word: frozenset(labels) for word, labels in used.items()}


def _role(word: str, shared_by: Mapping[str, frozenset[str]], are_labels: bool) -> Role:
    decides = any(map(_DECIDING.fullmatch, _words(word)))
    if not are_labels:
        return Role(word, None, decides)
    labels = shared_by[word]
    sharing = sum(labels == others for others in shared_by.values())
    return Role(word if sharing > 1 and labels else "", labels, decides and sharing > 1)
