"""The rules by which answers about one text are dropped: each returns the numbers of the answers that it drops.

What an answer speaks about. In one dataset, several complete answers about a text can be a second look at the same
labels, or passes over the texts for one label after the other, as datasets are that `db-merge` made of others. What
tells them apart are the labels of their spans, taken or not:

- they have a label in common, or the same place has another label: the later answer is about the same, and replaces;
- they have none in common: each answer is about its own labels, and they unite, as `data-to-spacy` unites them
  (https://prodi.gy/docs/recipes#data-to-spacy);
- one of them has no span: the text does not tell; the dataset does, see `made_in_passes`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec

from scripts.core.answers import AGAIN, OTHER, UNCLEAR, Span, Task, annotator_of, place, recency, relation
from scripts.merging.decide import Policy

Mode = Literal["passes", "replace", "text"]  # of several complete answers in a dataset, see `MergeRules`
UNTOLD = "untold"  # texts and labels of a dataset made in passes of which no answer tells whether they were looked for

_dataset = attrgetter("dataset")


class MergeRules(msgspec.Struct, frozen=True):
    """The rules of a merge that do not lie in the answers.

    policy (Policy): How disagreements between annotators are decided.
    corrects (dict[str, frozenset[str]]): By dataset: those that it corrects, directly or through others.
    passes (dict[str, frozenset[str]]): The datasets that were made in passes, with all labels that occur in them: an
        answer is only about the labels of its spans.
    replaced (frozenset[str]): The datasets in which a later answer replaces an earlier one in any case.
    """

    policy: Policy = "majority"
    corrects: dict[str, frozenset[str]] = {}
    passes: dict[str, frozenset[str]] = {}
    replaced: frozenset[str] = frozenset()

    def mode(self, dataset: str) -> Mode:
        """Whether a dataset was made in passes, or a later answer replaces an earlier one, or each text tells."""
        return "passes" if dataset in self.passes else "replace" if dataset in self.replaced else "text"


class Numbered(NamedTuple):
    """An answer and its number among the answers about the text."""

    number: int
    task: Task


Answers = Sequence[Numbered]


def all_corrected(corrects: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Return, by dataset, those that it corrects and those that these correct, and so on. There must be no cycle."""

    def follow(dataset: str) -> frozenset[str]:
        direct = frozenset(corrects.get(dataset, ()))
        return direct.union(*map(follow, direct))

    return {dataset: follow(dataset) for dataset in corrects if corrects[dataset]}


def made_in_passes(evidence: Mapping[str, int]) -> bool:
    """Whether a dataset was made in passes: more of its texts have answers about other labels than about the same.

    evidence (Mapping[str, int]): Its texts by `AGAIN`, `OTHER` and `UNCLEAR`.
    """
    return evidence.get(OTHER, 0) > evidence.get(AGAIN, 0)


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """Sort answers by dataset, then as `_all_fields`; most are the only one of their dataset."""
    by_dataset = (list(same) for _, same in groupby(sorted(tasks, key=_dataset), _dataset))
    return [task for same in by_dataset for task in (sorted(same, key=_all_fields) if len(same) > 1 else same)]


def _all_fields(task: Task) -> tuple[Any, ...]:
    """Sort by dataset and time, then by everything else: answers that this does not tell apart are equal."""
    time = -1 if task.timestamp is None else task.timestamp
    meta = msgspec.json.encode(task.meta, order="sorted") if task.meta else b""
    return (
        task.dataset, time, *place(task), task.kind, task.answer, task.labels, task.spans, task.annotator,
        task.versions, task.range or (), task.other_labels,
        task.other_places, meta,
    )  # fmt: skip


def have_one_label_each(answers: Answers) -> bool:
    """Whether no two answers are about the same labels: then none is repeated, and no dataset has several."""
    return len({tuple(task.labels) for _, task in answers}) == len(answers)


def ignored(answers: Answers) -> set[int]:
    """Answers that Prodigy calls "ignore"."""
    return {number for number, task in answers if task.answer == "ignore"}


def repeated(answers: Answers) -> set[int]:
    """All but the latest of identical answers of one annotator about the same labels."""
    dropped: set[int] = set()
    for own in _grouped(answers, lambda task: (tuple(task.labels), annotator_of(task))):
        latest: dict[Any, int] = {}
        for number, task in sorted(own, key=lambda answer: recency(answer.task)) if len(own) > 1 else ():
            versions = tuple(map(tuple, task.versions))
            others = (tuple(task.other_labels), tuple(task.other_places))
            same = (task.kind, task.answer, tuple(task.spans), versions, task.range, others)
            if same in latest:
                dropped.add(latest[same])
            latest[same] = number
    return dropped


def _grouped(answers: Iterable[Numbered], key: Callable[[Task], Any]) -> Collection[list[Numbered]]:
    """Answers of the same key, in their order. Most are alone: what takes long is for groups of several."""
    groups: dict[Any, list[Numbered]] = defaultdict(list)
    for answer in answers:
        groups[key(answer.task)].append(answer)
    return groups.values()


# ---- Complete answers in one dataset


def span_labels(task: Task) -> set[str]:
    """The labels of an answer's spans, taken or not."""
    return {span.label for span in task.spans}.union(task.other_labels)


def _span_places(task: Task) -> set[tuple[int, int]]:
    """The places of an answer's spans, taken or not."""
    return {(span.start, span.end) for span in task.spans}.union(task.other_places)


def evidence_of_passes(answers: Answers) -> Counter[tuple[str, str]]:
    """Count for each dataset in which an annotator has several answers, about the text or about one range, whether they
    are about the same labels.
    """
    kinds: dict[str, set[str]] = defaultdict(set)
    plain = (answer for answer in answers if is_plain(answer.task))
    for own in _grouped(plain, lambda task: (task.dataset, annotator_of(task), task.range)):
        if len(own) > 1:
            kinds[own[0].task.dataset].update(_relation(*pair) for pair in pairwise(in_time(own)))
    return Counter(
        (dataset, next((kind for kind in (AGAIN, OTHER) if kind in found), UNCLEAR)) for dataset, found in kinds.items()
    )


def is_plain(task: Task) -> bool:
    """Whether an answer is complete and accepts the text, and does not decide between others as a review does."""
    return task.kind == "manual" and task.answer == "accept"


def _relation(one: Numbered, other: Numbered) -> str:
    """Whether two complete answers in one dataset are about the same labels."""
    if not (is_plain(one.task) and is_plain(other.task)):
        return AGAIN
    first, second = one.task, other.task
    return relation(span_labels(first), _span_places(first), span_labels(second), _span_places(second))


def in_time(own: Answers) -> list[Numbered]:
    """Sort the answers in one dataset by time; if one has none, by their places: file, then line."""
    timed = all(task.timestamp is not None for _, task in own)
    return sorted(own, key=lambda answer: ((answer.task.timestamp or 0) if timed else 0, place(answer.task)))


def current_answer(own: Answers, label: str, mode: Mode) -> Numbered | None:
    """The answer that counts for a label, of the complete ones of one annotator in one dataset.

    RETURNS (Numbered | None): The latest that has a span of the label, or a later one that is about the same labels
        and took it away. If none has a span of it: the last one; None in passes, since none is known to be about it.
    """
    ordered = in_time(own)
    if mode == "replace":
        return ordered[-1]
    if mode == "passes":  # rejecting a text in one pass says nothing of the others
        ordered = [answer for answer in ordered if answer.task.answer == "accept"] or ordered[-1:]
    with_label = [answer for answer in ordered if label in span_labels(answer.task) or not is_plain(answer.task)]
    if not with_label:
        return None if mode == "passes" else ordered[-1]
    latest = with_label[-1]
    later = ordered[ordered.index(latest) + 1 :]
    return next((answer for answer in reversed(later) if _is_again(latest, answer, mode)), latest)


def _is_again(one: Numbered, other: Numbered, mode: Mode) -> bool:
    """Whether a later answer is about the labels of an earlier one. In passes the same place can have two labels."""
    if mode == "passes" and is_plain(one.task) and is_plain(other.task):
        return not span_labels(one.task).isdisjoint(span_labels(other.task))
    return _relation(one, other) in (AGAIN, UNCLEAR)


def is_about_others(answer: Numbered, label: str, current: Numbered | None, mode: Mode) -> bool:
    """Whether an answer that does not count for a label is about other labels, rather than replaced by the current."""
    labels = span_labels(answer.task)
    if mode == "replace" or not is_plain(answer.task) or label in labels:
        return False
    return mode == "passes" or current is None or (bool(labels) and _relation(answer, current) == OTHER)


# ---- Complete answers about a label, of all datasets


def corrected(answers: Answers, corrects: Mapping[str, frozenset[str]]) -> set[int]:
    """Answers of datasets that another one corrects, which has an answer too."""
    dropped = frozenset().union(*(corrects.get(task.dataset, ()) for _, task in answers if task.answer == "accept"))
    return {number for number, task in answers if task.dataset in dropped}


def replaced(answers: Answers, label: str) -> set[int]:
    """Answers that a later answer of the same annotator, in another dataset, replaces.

    Where all of an annotator's answers have a time, the newest stays; else all do, since nothing orders answers of
    several datasets. Of those that stay, each that says the same about the label counts once.
    """
    current: set[int] = set()
    for own in _grouped(answers, annotator_of):
        found = _newest(own) if len(own) > 1 else own
        said = {(t.kind, t.answer, tuple(spans_of(t, label)), tuple(map(tuple, t.versions))): n for n, t in found}
        current.update(said.values())
    return {number for number, _ in answers if number not in current}


def _newest(answers: Answers) -> Answers:
    times = [answer.task.timestamp for answer in answers]
    if None in times:
        return answers
    return [answer for answer in answers if answer.task.timestamp == max(times)]  # type: ignore[type-var]


def overruled(answers: Answers, label: str) -> set[int]:
    """Answers about a label that a review decided otherwise: those that it showed, or, where it shows none (a curation,
    a ground truth), all others of its dataset.
    """
    dropped = set()
    for _, review in (answer for answer in answers if answer.task.kind == "review"):
        shown = [[span for span in version if span.label == label] for version in review.versions]
        for number, task in answers:
            spans = spans_of(task, label)
            is_same = task.answer == review.answer and spans == spans_of(review, label)
            is_judged = spans in shown if shown else task.dataset == review.dataset
            if task.kind != "review" and not is_same and is_judged:
                dropped.add(number)
    return dropped


def replaced_binary(answers: Answers) -> set[int]:
    """Answers about one span that a later one of the same annotator replaces, in any dataset, or says again."""
    last: dict[tuple[Any, str], Numbered] = {}
    for answer in in_time(answers):
        last[annotator_of(answer.task), answer.task.dataset] = answer
    by_annotator = defaultdict(list)
    for (annotator, _), answer in last.items():
        by_annotator[annotator].append(answer)
    said = ({task.answer: number for number, task in _newest(own)} for own in by_annotator.values())
    current = {number for own in said for number in own.values()}
    return {number for number, _ in answers if number not in current}


def rejecting(answers: Answers) -> set[int]:
    """Answers that reject the text."""
    return {number for number, task in answers if task.answer == "reject"}


def spans_of(task: Task, label: str) -> list[Span]:
    """A task's spans of one label. Most tasks have one label only; no list is made for them."""
    return task.spans if len(task.labels) == 1 else [span for span in task.spans if span.label == label]
