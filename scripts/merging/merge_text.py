"""All answers about one text become one GoldText. The rules, in the order in which they apply:

1. An ignored answer says nothing. Of identical answers of one annotator, the latest stays.
2. Label by label, of the complete answers: an annotator's latest answer replaces the earlier ones; a review overrules
   the versions it shows; an answer that rejects the text says nothing of its spans. Between the annotators who are left
   the policy decides, see `decide`.
3. Binary answers add single spans to labels that are not covered, and are checked against those that are.

Each rule returns the answers that it drops; their outcome is noted, and all outcomes are counted once, at the end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from scripts.core.answers import Answer, GoldText, Kind, Span, Task, annotator_of, position, recency
from scripts.merging.account import ANSWERS, Account
from scripts.merging.decide import Decision, Policy, Spans, Vote, decide, longest_first

_dataset = attrgetter("dataset")


class ConflictAnswer(msgspec.Struct):
    """An answer as a conflict shows it, with the spans that are in conflict."""

    dataset: str
    annotator: str
    timestamp: int | None
    source: str
    kind: Kind
    answer: Answer
    spans: list[Span]


class Conflict(msgspec.Struct, kw_only=True):
    """Answers that cannot all be right; a line of `corpus/conflicts.jsonl`.

    kind (str): "disagreement", "rejected text", "binary", "overlap within a label" or "overlap between labels".
    labels (list[str]): The labels it is about.
    decision (str): How it was decided, in words.
    spans (list[Span]): The spans that were decided on.
    answers (list[ConflictAnswer]): The answers in conflict.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    kind: str
    labels: list[str]
    decision: str
    spans: list[Span]
    answers: list[ConflictAnswer]


class Numbered(NamedTuple):
    """An answer and its number among the answers about the text."""

    number: int
    task: Task


Answers = Sequence[Numbered]


def merge_text(tasks: Iterable[Task], policy: Policy, account: Account) -> tuple[GoldText, list[Conflict]]:
    """Merge all answers about one text. The result does not depend on their order.

    tasks (Iterable[Task]): At least one, all of the same text.
    policy (Policy): How disagreements between annotators are decided.
    account (Account): Counts the outcome of every answer and span.
    RETURNS (tuple[GoldText, list[Conflict]]): The text with all its labels, and its conflicts.
    """
    text = _TextMerge([Numbered(*pair) for pair in enumerate(in_order(tasks))], policy)
    text.merge()
    text.count(account)
    return text.gold, text.conflicts


def in_order(tasks: Iterable[Task]) -> list[Task]:
    """Sort answers by dataset, then as `_all_fields`; most are the only one of their dataset."""
    by_dataset = (list(same) for _, same in groupby(sorted(tasks, key=_dataset), _dataset))
    return [task for same in by_dataset for task in (sorted(same, key=_all_fields) if len(same) > 1 else same)]


def _all_fields(task: Task) -> tuple[Any, ...]:
    """Sort by dataset and time, then by everything else: answers that this does not tell apart are equal."""
    time = -1 if task.timestamp is None else task.timestamp
    meta = msgspec.json.encode(task.meta, order="sorted") if task.meta else b""
    return (
        task.dataset, time, task.source, task.kind, task.answer, task.labels, task.spans, task.annotator,
        task.versions, meta,
    )  # fmt: skip


# The rules. Each returns the numbers of the answers that it drops.


def ignored(answers: Answers) -> set[int]:
    """Answers that Prodigy calls "ignore"."""
    return {number for number, task in answers if task.answer == "ignore"}


def repeated(answers: Answers) -> set[int]:
    """All but the latest of identical answers of one annotator about the same labels."""
    dropped: set[int] = set()
    if len({tuple(task.labels) for _, task in answers}) == len(answers):
        return dropped
    latest: dict[Any, int] = {}
    for number, task in sorted(answers, key=lambda answer: recency(answer.task)):
        versions = tuple(map(tuple, task.versions))
        same = (tuple(task.labels), annotator_of(task), task.kind, task.answer, tuple(task.spans), versions)
        if same in latest:
            dropped.add(latest[same])
        latest[same] = number
    return dropped


def replaced(answers: Answers) -> set[int]:
    """Answers that a later answer of the same annotator replaces.

    Where all of an annotator's answers have a time, the newest stays; else the last of each dataset does, since
    nothing orders answers of several datasets.
    """
    by_annotator = defaultdict(list)
    for answer in answers:
        by_annotator[annotator_of(answer.task)].append(answer)
    current = {answer.number for own in by_annotator.values() for answer in _newest(own)}
    return {number for number, _ in answers if number not in current}


def _newest(answers: Answers) -> Answers:
    times = [answer.task.timestamp for answer in answers]
    if None not in times:
        answers = [answer for answer in answers if answer.task.timestamp == max(times)]  # type: ignore[type-var]
    by_position = sorted(answers, key=lambda answer: position(answer.task))
    return list({answer.task.dataset: answer for answer in by_position}.values())


def overruled(answers: Answers, label: str) -> set[int]:
    """Answers about a label that a review showed and decided otherwise."""
    dropped = set()
    for _, review in (answer for answer in answers if answer.task.kind == "review"):
        shown = [[span for span in version if span.label == label] for version in review.versions]
        for number, task in answers:
            spans = spans_of(task, label)
            is_same = task.answer == review.answer and spans == spans_of(review, label)
            if task.kind != "review" and not is_same and spans in shown:
                dropped.add(number)
    return dropped


def rejecting(answers: Answers) -> set[int]:
    """Answers that reject the text."""
    return {number for number, task in answers if task.answer == "reject"}


def spans_of(task: Task, label: str) -> list[Span]:
    """A task's spans of one label. Most tasks have one label only; no list is made for them."""
    return task.spans if len(task.labels) == 1 else [span for span in task.spans if span.label == label]


class _TextMerge:
    """The merge of one text: the answers, and the gold, the conflicts and the outcomes as they become known."""

    def __init__(self, answers: Answers, policy: Policy) -> None:
        first = answers[0].task
        self.answers = answers
        self.policy = policy
        self.gold = GoldText(
            input_hash=first.input_hash, text=first.text, spans=[], covered=[], accepted=[], rejected=[],
            unresolved=[], sources=[], meta={},
        )  # fmt: skip
        self.conflicts: list[Conflict] = []
        self.complete: dict[str, list[Numbered]] = defaultdict(list)  # by label
        self.outcomes: list[set[str]] = [set() for _ in answers]  # by number: one for each label
        self.span_outcomes: Counter[tuple[int, str, str]] = Counter()  # by number, label and outcome
        self.covered_by: dict[str, set[str]] = {}  # by label: datasets
        # By the numbers of the answers that accept or reject the text: the labels for which some do either.
        self.contested: dict[tuple[int, ...], list[str]] = defaultdict(list)

    def merge(self) -> None:
        """Apply all rules."""
        answers = self.without(ignored(self.answers), self.answers, "ignored")
        answers = self.without(repeated(answers), answers, "duplicates")
        binary: dict[str, list[Numbered]] = defaultdict(list)
        for answer in answers:
            for label in answer.task.labels:
                (binary if answer.task.kind == "binary" else self.complete)[label].append(answer)
        for label in sorted(self.complete):
            self.merge_label(label, self.complete[label])
        for label in sorted(binary):
            self.merge_binary(label, binary[label])
        self.finish()

    def merge_label(self, label: str, answers: Answers) -> None:
        """Merge the complete answers for a label."""
        if len(answers) > 1:
            answers = self.without(replaced(answers), answers, "replaced", label)
            answers = self.without(overruled(answers, label), answers, "replaced", label)
        accepting = self.without(rejecting(answers), answers, "rejected", label)
        if 0 < len(accepting) < len(answers):
            self.contested[tuple(number for number, _ in answers)].append(label)
        if accepting:
            self.decide_label(label, accepting)

    def without(self, dropped: set[int], answers: Answers, outcome: str, label: str | None = None) -> Answers:
        """The answers without those that are dropped, whose outcome is noted for one label or for all of theirs."""
        if not dropped:
            return answers
        for number in dropped:
            task = self.answers[number].task
            self.outcomes[number].add(outcome)
            for each in task.labels if label is None else [label]:
                self.note(number, each, outcome, spans_of(task, each))
        return [answer for answer in answers if answer.number not in dropped]

    def note(self, number: int, label: str, outcome: str, spans: Collection[Span]) -> None:
        """Note the outcome of some spans of an answer."""
        if spans:
            self.span_outcomes[number, label, outcome] += len(spans)

    # Complete answers

    def decide_label(self, label: str, answers: Answers) -> None:
        """Decide between the annotators who are left, and note what their spans became."""
        votes = [Vote(task.timestamp, self.without_overlaps(label, number, task)) for number, task in answers]
        decision = decide(votes, self.policy)
        decided = set(decision.spans)
        won, lost = ("gold", "outvoted") if decision.resolved else ("partial", "unresolved")
        for (number, _), vote in zip(answers, votes, strict=True):
            self.outcomes[number].add("kept")
            self.note(number, label, won, decided.intersection(vote.spans))
            self.note(number, label, lost, set(vote.spans) - decided)
        self.add_to_gold(label, answers, decision)
        if len({vote.spans for vote in votes}) > 1:
            how = f"by {self.policy}" if decision.resolved else "unresolved: only what all agree on is taken"
            self.conflict("disagreement", [label], how, decision.spans, answers)

    def without_overlaps(self, label: str, number: int, task: Task) -> Spans:
        """An answer's spans of a label; of those that overlap, the longest."""
        kept, overlapping = longest_first(spans_of(task, label))
        if overlapping:
            self.note(number, label, "overlapping", overlapping)
            self.conflict("overlap within a label", [label], "the longest span stays", kept, [Numbered(number, task)])
        return kept

    def add_to_gold(self, label: str, answers: Answers, decision: Decision) -> None:
        """Put what was decided into the gold."""
        if decision.resolved:
            self.gold.covered.append(label)
            self.gold.spans.extend(decision.spans)
            self.covered_by[label] = {task.dataset for _, task in answers}
        else:
            self.gold.unresolved.append(label)
            self.gold.accepted.extend(decision.spans)

    # Binary answers

    def merge_binary(self, label: str, answers: Answers) -> None:
        """Merge the answers that judge single spans of a label."""
        is_covered = label in self.gold.covered
        decided = {span for span in (self.gold.spans if is_covered else self.gold.accepted) if span.label == label}
        by_span: dict[Span, list[Numbered]] = defaultdict(list)
        for answer in answers:
            by_span[answer.task.spans[0]].append(answer)
        accepting: dict[Span, Answers] = {}  # of the spans that the binary answers decide
        for span in sorted(by_span):
            current = self.without(replaced(by_span[span]), by_span[span], "replaced", label)
            for number, _ in current:
                self.outcomes[number].add("kept")
            if is_covered or span in decided:
                self.compare(span, current, span in decided)
            elif self.decide_span(span, current):
                accepting[span] = [answer for answer in current if answer.task.answer == "accept"]
        self.keep_disjoint(label, decided, accepting)

    def compare(self, span: Span, answers: Answers, is_entity: bool) -> None:
        """Compare binary answers with complete ones, which have decided whether a span is an entity."""
        contradicting = {number for number, task in answers if (task.answer == "accept") != is_entity}
        for number, _ in answers:
            self.note(number, span.label, "contradicting" if number in contradicting else "confirming", [span])
        if contradicting:
            decision = "the complete answers count"
            self.conflict("binary", [span.label], decision, [span] if is_entity else [], answers)

    def decide_span(self, span: Span, answers: Answers) -> bool:
        """Decide between binary answers about a span of a label that is not covered. RETURNS: If it is accepted."""
        accepts = sum(task.answer == "accept" for _, task in answers)
        rejects = len(answers) - accepts
        winner = "accept" if accepts > rejects else "reject" if rejects > accepts else None
        for number, task in answers:
            if task.answer != winner:
                self.note(number, span.label, "outvoted" if winner else "unresolved", [span])
            elif winner == "reject":
                self.note(number, span.label, "partial", [span])
        if winner == "reject":
            self.gold.rejected.append(span)
        if accepts and rejects:
            decision = "by majority" if winner else "unresolved: neither is taken"
            self.conflict("binary", [span.label], decision, [span] if winner == "accept" else [], answers)
        return winner == "accept"

    def keep_disjoint(self, label: str, decided: set[Span], accepting: dict[Span, Answers]) -> None:
        """Accept spans; of those that overlap, the ones that complete answers agree on stay, then the longest."""
        free = [s for s in accepting if all(s.end <= other.start or other.end <= s.start for other in decided)]
        kept = {*decided, *longest_first(free)[0]}
        for span, answers in accepting.items():
            for number, _ in answers:
                self.note(number, label, "partial" if span in kept else "overlapping", [span])
            if span in kept:
                self.gold.accepted.append(span)
            else:
                self.conflict("overlap within a label", [label], "the longest span stays", sorted(kept), answers)

    # The end

    def finish(self) -> None:
        """Put the gold in order, and list the conflicts that concern several labels."""
        gold = self.gold
        kept = [answer.task for answer in self.answers if "kept" in self.outcomes[answer.number]]
        gold.sources = sorted({task.dataset for task in kept})
        for task in kept:
            for key, value in task.meta.items():
                gold.meta.setdefault(key, value)
        gold.covered.sort()
        for spans in (gold.spans, gold.accepted, gold.rejected):
            spans.sort()
        self.list_overlapping_labels()
        for numbers, labels in self.contested.items():
            answers = [self.answers[number] for number in numbers]
            self.conflict("rejected text", labels, "the answers that accept it count", [], answers)
        if len(self.conflicts) > 1:
            self.conflicts.sort(key=lambda c: msgspec.json.encode((c.kind, c.labels, c.spans, c.answers)))

    def list_overlapping_labels(self) -> None:
        """List spans of different labels that overlap. Both are kept."""
        open_spans: list[Span] = []
        for span in self.gold.spans:
            open_spans = [other for other in open_spans if other.end > span.start]
            for other in open_spans:
                labels = sorted({span.label, other.label})
                answers = {a.number: a for s in (other, span) for a in self.complete[s.label] if s in a.task.spans}
                self.conflict("overlap between labels", labels, "both are kept", [other, span], answers.values())
            open_spans.append(span)

    def conflict(
        self, kind: str, labels: list[str], decision: str, spans: Iterable[Span], answers: Iterable[Numbered]
    ) -> None:
        """List a conflict, with its answers in the order of their numbers."""
        shown = [
            ConflictAnswer(
                task.dataset, task.annotator, task.timestamp, task.source, task.kind, task.answer,
                [span for span in task.spans if span.label in labels],
            )
            for _, task in sorted(answers, key=lambda answer: answer.number)
        ]  # fmt: skip
        found = Conflict(
            input_hash=self.gold.input_hash, text=self.gold.text, kind=kind, labels=labels, decision=decision,
            spans=list(spans), answers=shown,
        )  # fmt: skip
        self.conflicts.append(found)

    def count(self, account: Account) -> None:
        """Count all outcomes: of an answer the first of `ANSWERS` that it has for one of its labels."""
        for number, task in self.answers:
            outcome = next(outcome for outcome in ANSWERS if outcome in self.outcomes[number])
            account.answers[task.dataset, "read"] += 1
            account.answers[task.dataset, outcome] += 1
            for label in task.labels:
                account.spans[task.dataset, label, "read"] += len(spans_of(task, label))
        for (number, label, outcome), spans in self.span_outcomes.items():
            account.spans[self.answers[number].task.dataset, label, outcome] += spans
        self.count_states(account)
        for found in self.conflicts:
            account.totals[f"conflicts: {found.kind}"] += 1
        account.totals["texts"] += 1
        account.totals["spans"] += len(self.gold.spans)

    def count_states(self, account: Account) -> None:
        """Count the state of each label in this text."""
        gold, coverage = self.gold, account.coverage
        for label, datasets in self.covered_by.items():
            for dataset in ("", *datasets):
                coverage[label, dataset, "covered"] += 1
        for span in gold.spans:
            coverage[span.label, "", "spans"] += 1
        for label in gold.unresolved:
            coverage[label, "", "unresolved"] += 1
        for label in {span.label for span in (*gold.accepted, *gold.rejected)}.difference(gold.unresolved):
            coverage[label, "", "partly_covered"] += 1
