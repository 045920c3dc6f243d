"""The record of a merge of one text: its gold, the outcome of every answer and span, and its conflicts.

Conflicts, the lines of corpus/conflicts.jsonl, are answers that cannot all be right, and answers that were replaced.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

import msgspec

from scripts.core.answers import Answer, GoldText, Kind, Range, Span
from scripts.merging.account import ANSWERS, Account
from scripts.merging.rules import Answers, MergeRules, Numbered, spans_of

REPLACEMENT = "replacement"  # is no dispute: what counts is known


class ConflictAnswer(msgspec.Struct):
    """An answer as a conflict shows it, with the spans that are in conflict."""

    dataset: str
    annotator: str
    timestamp: int | None
    source: str
    kind: Kind
    answer: Answer
    spans: list[Span]


class Conflict(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Answers that cannot all be right; a line of `corpus/conflicts.jsonl`.

    kind (str): "disagreement", "rejected text", "binary", "overlap within a label", "overlap between labels", or
        "replacement": the answers that were replaced, and those that count instead.
    labels (list[str]): The labels it is about.
    decision (str): How it was decided, in words.
    spans (list[Span]): The spans that were decided on.
    answers (list[ConflictAnswer]): The answers in conflict.
    range (Range | None): The part of the text that it is about, if it is not all of it: the answers' spans are those
        inside.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    kind: str
    labels: list[str]
    decision: str
    spans: list[Span]
    answers: list[ConflictAnswer]
    range: Range | None = None


class TextRecord:
    """The answers about one text, and the gold, the conflicts and the outcomes as they become known."""

    def __init__(self, answers: Answers, rules: MergeRules) -> None:
        first = answers[0].task
        self.answers = answers
        self.rules = rules
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
        self.repeats: Counter[tuple[str, str]] = Counter()  # by dataset and kind, see `evidence_of_passes`
        self.passes: Counter[tuple[str, Range | None]] = Counter()  # by dataset made in passes: its complete answers

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

    # The end

    def finish(self) -> None:
        """Put the gold in order, and list the conflicts that concern several labels."""
        gold = self.gold
        kept = [answer.task for answer in self.answers if "kept" in self.outcomes[answer.number]]
        gold.sources = sorted({task.dataset for task in kept})
        if len(kept) < len(self.answers):
            gold.other_sources = sorted({answer.task.dataset for answer in self.answers}.difference(gold.sources))
        for _, task in self.answers:  # also those that were replaced: a text stays in its document
            for key, value in task.meta.items():
                if gold.meta.get(key) in (None, ""):
                    gold.meta[key] = value
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
        end = 0
        for span in self.gold.spans:
            if span.start >= end:  # as nearly all
                open_spans, end = [span], span.end
                continue
            end = max(end, span.end)
            open_spans = [other for other in open_spans if other.end > span.start]
            for other in open_spans:
                labels = sorted({span.label, other.label})
                answers = {a.number: a for s in (other, span) for a in self.complete[s.label] if s in a.task.spans}
                self.conflict("overlap between labels", labels, "both are kept", [other, span], answers.values())
            open_spans.append(span)

    def conflict(
        self, kind: str, labels: list[str], decision: str, spans: Iterable[Span], answers: Iterable[Numbered],
        within: Range | None = None,
    ) -> None:  # fmt: skip
        """List a conflict, with its answers in the order of their numbers, and their spans in the text or a range."""
        first, last = within or (0, len(self.gold.text))
        shown = [
            ConflictAnswer(
                task.dataset, task.annotator, task.timestamp, task.source, task.kind, task.answer,
                [span for span in task.spans if span.label in labels and first <= span.start and span.end <= last],
            )
            for _, task in sorted(answers, key=lambda answer: answer.number)
        ]  # fmt: skip
        found = Conflict(
            input_hash=self.gold.input_hash, text=self.gold.text, kind=kind, labels=labels, decision=decision,
            spans=list(spans), answers=shown, range=within,
        )  # fmt: skip
        self.conflicts.append(found)

    def outcome(self, number: int) -> str:
        """The outcome of an answer: the first of `ANSWERS` that it has for one of its labels."""
        found = self.outcomes[number]
        return "kept" if "kept" in found else next(outcome for outcome in ANSWERS if outcome in found)

    def count(self, account: Account) -> None:
        """Count all outcomes."""
        account.answers.update([(task.dataset, "read") for _, task in self.answers])
        account.answers.update([(task.dataset, self.outcome(number)) for number, task in self.answers])
        for _, task in self.answers:
            for label in task.labels:
                account.spans[task.dataset, label, "read"] += len(spans_of(task, label))
        for (number, label, outcome), spans in self.span_outcomes.items():
            account.spans[self.answers[number].task.dataset, label, outcome] += spans
        self.count_states(account)
        account.repeats.update(self.repeats)
        for found in self.conflicts:
            account.totals[f"conflicts: {found.kind}"] += 1
        account.totals["texts"] += 1
        for kind in ("spans", "accepted", "rejected"):
            account.totals[kind] += len(getattr(self.gold, kind))

    def count_states(self, account: Account) -> None:
        """Count the state of each label in this text."""
        gold, coverage = self.gold, account.coverage
        for label, datasets in self.covered_by.items():
            for dataset in ("", *datasets):
                coverage[label, dataset, "covered"] += 1
        for label, spans in Counter([span.label for span in gold.spans]).items():
            coverage[label, "", "spans"] += spans
        for label in gold.unresolved:
            coverage[label, "", "unresolved"] += 1
        partly = {span.label for span in (*gold.accepted, *gold.rejected)}.union(gold.covered_ranges)
        for label in partly.difference(gold.unresolved, gold.covered):
            coverage[label, "", "partly_covered"] += 1
