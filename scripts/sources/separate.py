"""Labels of a dataset that never stand in one text: each may have been annotated in texts of its own.

Nothing in the answers proves it, but where they are taken as complete for all labels, the model learns from a text of
one label that it has no entity of the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import lgamma, log

from scripts.core.answers import Task
from scripts.sources.evidence import Evidence, find_repeats

_MIN_TEXTS = 5  # with a label
_MAX_CHANCE = 0.001  # that labels which were all looked for never meet
_MAX_CHANCE_IN_FILES = 0.01  # where each file or folder has its own labels
_MAX_FILES = 10_000
_MAX_NAMED = 6
_Text = tuple[set[str], set[str]]  # its labels, and those that its complete answers are about


class LabelsOfFiles:
    """The labels in each file, or in each folder of files."""

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}

    def add(self, tasks: Iterable[Task]) -> None:
        """Take the labels of the answers of one record."""
        for task in tasks:
            file = task.source.rpartition(":")[0]
            name = file.rpartition("/")[0] or file
            if name in self.found or len(self.found) < _MAX_FILES:
                self.found.setdefault(name, set()).update(span.label for span in task.spans)

    def of_groups(self, groups: Iterable[frozenset[str]]) -> dict[frozenset[str], str]:
        """Return the only file or folder of each group of labels, if none has labels of two groups; else nothing."""
        owned: dict[frozenset[str], str] = {}
        used: set[str] = set()
        for group in groups:
            holding = [name for name, inside in self.found.items() if inside & group]
            if len(holding) != 1 or holding[0] in used:
                return {}
            owned[group] = holding[0]
            used.add(holding[0])
        return owned


def said_of_separate(evidence: Evidence, labels: Iterable[str], files: LabelsOfFiles) -> str:
    """Say which labels, or groups of labels, never stand in one text, though each has spans in many, and is taken as
    looked for in all. Labels that both meet a third one are of one group.

    labels (Iterable[str]): Those that blocks are written for.
    """
    repeats = find_repeats(evidence)
    if repeats.are_passes:  # an answer is only about the labels of its spans
        return ""
    texts = list(_texts(evidence))
    having = Counter(label for found, _ in texts for label in found)
    groups = _groups(texts, [label for label in sorted(set(labels)) if having[label] >= _MIN_TEXTS])
    owned = files.of_groups(groups)
    limit = log(_MAX_CHANCE_IN_FILES if owned else _MAX_CHANCE)
    apart = [
        pair
        for pair in combinations(groups, 2)
        if _log_chance(_number_with(texts, *pair), _number_with(texts, *pair[::-1]), len(texts)) < limit
    ]
    named = [group for group in groups if any(group in pair for pair in apart)]
    return _say(named, having, len(texts), [owned[group] for group in named if group in owned]) if named else ""


def _groups(texts: Iterable[_Text], labels: Iterable[str]) -> list[frozenset[str]]:
    """Divide labels into groups that never stand in one text, in the order of their first labels."""
    groups = [frozenset([label]) for label in labels]
    for found in {frozenset(found) for found, _ in texts}:
        meeting = [group for group in groups if group & found]
        if len(meeting) > 1:
            groups = [group for group in groups if group not in meeting] + [frozenset().union(*meeting)]
    return sorted(groups, key=sorted)


def _number_with(texts: Iterable[_Text], group: frozenset[str], other: frozenset[str]) -> int:
    """Count the texts with a label of a group, that are about another one too."""
    return sum(bool(found & group and asked & other) for found, asked in texts)


def _texts(evidence: Evidence) -> Iterator[_Text]:
    """Yield the sampled texts that have complete answers."""
    for answers in evidence.texts.items.values():
        complete = [answer for answer in answers if answer.kind == "manual"]
        if complete:
            found = {span[2] for answer in complete for span in answer.spans}
            yield found, set().union(*(answer.about for answer in complete))


def _log_chance(one: int, other: int, texts: int) -> float:
    """The logarithm of the chance that labels do not meet, which stand in some of all texts independently."""
    if one + other > texts:
        return -float("inf")
    return _log_ways(texts - one, other) - _log_ways(texts, other)


def _log_ways(total: int, some: int) -> float:
    return lgamma(total + 1) - lgamma(some + 1) - lgamma(total - some + 1)


def _say(groups: Sequence[frozenset[str]], having: Mapping[str, int], texts: int, paths: Sequence[str]) -> str:
    names = [" + ".join(sorted(group)[:_MAX_NAMED]) + " + …" * (len(group) > _MAX_NAMED) for group in groups]
    labels = sorted(label for group in groups for label in group)
    counts = ", ".join(f"{label} in {having[label]:,}" for label in labels[:_MAX_NAMED])
    said = (
        f"{', '.join(names[:-1])} and {names[-1]} never stand in one text ({counts} of {texts:,}), yet a text of one "
        "is taken as having none of the other. If each was annotated in its own texts, import"
    )
    if paths:
        return f"{said} them by their own paths: {', '.join(paths)}"
    return f'{said} these by their own paths, or set repeats = "unite": a text then counts only for labels it has'
