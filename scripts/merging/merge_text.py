"""All answers about one text become one GoldText. The rules, in the order in which they apply:

1. An ignored answer says nothing. Of identical answers of one annotator, the latest stays.
2. Label by label, of the complete answers: in each dataset an annotator's latest answer that is about the label counts;
   a dataset replaces those that it corrects; an annotator's latest answer in any dataset replaces the earlier ones; a
   review overrules the versions it shows; an answer that rejects the text says nothing of its spans. Between the
   annotators who are left the policy decides, see `decide`.
3. Binary answers add single spans to labels that are not covered, and are checked against those that are; those of a
   dataset that corrects the ones that cover it decide.

Each rule, see `rules`, returns the answers that it drops; their outcome is noted, and all outcomes are counted once, at
the end. What a replacement changes is listed among the conflicts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

import msgspec

from scripts.core.answers import GoldText, Span, Task, annotator_of
from scripts.merging.account import ANSWERS, Account
from scripts.merging.conflicts import REPLACEMENT, Conflict, ConflictAnswer
from scripts.merging.decide import Decision, Spans, Vote, decide, longest_first
from scripts.merging.rules import (
    UNTOLD,
    Answers,
    MergeRules,
    Mode,
    Numbered,
    corrected,
    current_answer,
    evidence_of_passes,
    have_one_label_each,
    ignored,
    in_order,
    is_about_others,
    is_plain,
    overruled,
    rejecting,
    repeated,
    replaced,
    replaced_binary,
    spans_of,
)


def merge_text(tasks: Iterable[Task], rules: MergeRules, account: Account) -> tuple[GoldText, list[Conflict]]:
    """Merge all answers about one text. The result does not depend on their order.

    tasks (Iterable[Task]): At least one, all of the same text.
    rules (MergeRules): Those that do not lie in the answers.
    account (Account): Counts the outcome of every answer and span.
    RETURNS (tuple[GoldText, list[Conflict]]): The text with all its labels, and its conflicts.
    """
    text = _TextMerge([Numbered(*pair) for pair in enumerate(in_order(tasks))], rules)
    text.merge()
    text.count(account)
    return text.gold, text.conflicts


def outcomes_of(tasks: Iterable[Task], rules: MergeRules) -> list[tuple[Task, str]]:
    """Return all answers about one text in their order, each with its outcome: the first of `ANSWERS` for a label."""
    text = _TextMerge([Numbered(*pair) for pair in enumerate(in_order(tasks))], rules)
    text.merge()
    return [(task, text.outcome(number)) for number, task in text.answers]


_LATER = "the later answer counts"


class _TextMerge:
    """The merge of one text: the answers, and the gold, the conflicts and the outcomes as they become known."""

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
        self.passes: Counter[str] = Counter()  # by dataset that was made in passes: complete answers

    def merge(self) -> None:
        """Apply all rules."""
        answers = self.without(ignored(self.answers), self.answers, "ignored")
        if self.rules.passes:
            self.passes.update(task.dataset for _, task in answers if is_plain(task))
        if not have_one_label_each(answers):
            answers = self.without(repeated(answers), answers, "duplicates")
            self.repeats = evidence_of_passes(answers)
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
        if len(answers) > 1 or answers[0].task.dataset in self.rules.passes:
            answers = self.current_of_datasets(label, answers)
            if self.rules.corrects:
                answers = self.replace(corrected(answers, self.rules.corrects), answers, label, "corrected")
            answers = self.replace(replaced(answers), answers, label, _LATER)
            answers = self.replace(overruled(answers, label), answers, label, "the review counts")
        accepting = self.without(rejecting(answers), answers, "rejected", label)
        if 0 < len(accepting) < len(answers):
            self.contested[tuple(number for number, _ in answers)].append(label)
        if accepting:
            self.decide_label(label, accepting)

    def current_of_datasets(self, label: str, answers: Answers) -> Answers:
        """The answers that count in their datasets: of each annotator the latest that is about the label."""
        by_dataset: dict[str, list[Numbered]] = defaultdict(list)
        for answer in answers:
            by_dataset[answer.task.dataset].append(answer)
        if len(by_dataset) == len(answers) and not self.rules.passes:
            return answers
        for dataset, own in by_dataset.items():
            mode = self.rules.mode(dataset)
            if len(own) > 1 or mode == "passes":
                answers = self.current_of_dataset(label, own, mode, answers)
        return answers

    def current_of_dataset(self, label: str, own: Answers, mode: Mode, answers: Answers) -> Answers:
        """The answers without those of one dataset that do not count."""
        by_annotator: dict[tuple[str, str], list[Numbered]] = defaultdict(list)
        for answer in own:
            by_annotator[annotator_of(answer.task)].append(answer)
        current = {annotator: current_answer(found, label, mode) for annotator, found in by_annotator.items()}
        if mode == "passes" and not any(current.values()):
            if self.passes[own[0].task.dataset] >= len(self.rules.passes[own[0].task.dataset]):
                last = [answer for answer in own if is_plain(answer.task)][-1:]
                current |= {annotator_of(answer.task): answer for answer in last}  # each label had its pass
            else:
                self.repeats[own[0].task.dataset, UNTOLD] += 1
        for annotator, found in by_annotator.items():
            standing = current[annotator]
            dropped = [answer for answer in found if answer is not standing]
            others = {answer.number for answer in dropped if is_about_others(answer, label, standing, mode)}
            answers = self.without(others, answers, "other_labels", label)
            again = {answer.number for answer in dropped} - others
            answers = self.replace(again, answers, label, _LATER, [standing] if standing else [])
        return answers

    def replace(
        self, dropped: set[int], answers: Answers, label: str, decision: str, standing: Answers | None = None
    ) -> Answers:
        """The answers without those that are replaced. If their spans differ from those that count, that is listed.

        standing (Answers | None): Those that count instead; None: all that are left.
        """
        left = self.without(dropped, answers, "replaced", label)
        if dropped:
            standing = left if standing is None else standing
            now = {tuple(spans_of(task, label)) for _, task in standing}
            changed = [self.answers[n] for n in dropped if tuple(spans_of(self.answers[n].task, label)) not in now]
            if changed:
                spans = sorted({span for each in now for span in each})
                self.conflict(REPLACEMENT, [label], decision, spans, [*changed, *standing])
        return left

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
        decision = decide(votes, self.rules.policy)
        decided = set(decision.spans)
        won, lost = ("gold", "outvoted") if decision.resolved else ("partial", "unresolved")
        for (number, _), vote in zip(answers, votes, strict=True):
            self.outcomes[number].add("kept")
            self.note(number, label, won, decided.intersection(vote.spans))
            self.note(number, label, lost, set(vote.spans) - decided)
        self.add_to_gold(label, answers, decision)
        if len({vote.spans for vote in votes}) > 1:
            how = f"by {self.rules.policy}" if decision.resolved else "unresolved: only what all agree on is taken"
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
            current = self.without(replaced_binary(by_span[span]), by_span[span], "replaced", label)
            for number, _ in current:
                self.outcomes[number].add("kept")
            correcting = self.correcting(label, current) if is_covered and self.rules.corrects else []
            if correcting:
                self.correct(span, correcting, current)
            elif is_covered or span in decided:
                self.compare(span, current, span in decided)
            elif self.decide_span(span, current):
                accepting[span] = [answer for answer in current if answer.task.answer == "accept"]
        self.keep_disjoint(label, decided, accepting)

    def correcting(self, label: str, answers: Answers) -> Answers:
        """The binary answers of datasets that correct all those by which a label is covered."""
        covering = self.covered_by[label]
        corrects = self.rules.corrects
        return [answer for answer in answers if covering <= corrects.get(answer.task.dataset, frozenset())]

    def correct(self, span: Span, correcting: Answers, answers: Answers) -> None:
        """Let binary answers decide whether a span is an entity of a label that is covered."""
        accepts = sum(task.answer == "accept" for _, task in correcting)
        is_entity = 2 * accepts > len(correcting)
        if 2 * accepts == len(correcting):
            is_entity = span in self.gold.spans
        removed = [
            other for other in self.gold.spans
            if other.label == span.label and other.start < span.end and span.start < other.end
            and (other != span) == is_entity
        ]  # fmt: skip
        for other in removed:
            self.gold.spans.remove(other)
            for number, _ in self.complete[span.label]:
                if other in self.answers[number].task.spans and self.span_outcomes[number, span.label, "gold"]:
                    self.span_outcomes[number, span.label, "gold"] -= 1
                    self.note(number, span.label, "replaced", [other])
        is_new = is_entity and span not in self.gold.spans
        if is_new:
            self.gold.spans.append(span)
        for number, task in answers:
            agrees = (task.answer == "accept") == is_entity
            self.note(number, span.label, "contradicting" if not agrees else "gold" if is_new else "confirming", [span])
        if removed or is_new:
            replaced_answers = [answer for answer in self.complete[span.label] if span.label in answer.task.labels]
            self.conflict(REPLACEMENT, [span.label], "corrected", [span] if is_entity else [],
                          [*replaced_answers, *answers])  # fmt: skip

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

    def outcome(self, number: int) -> str:
        """The outcome of an answer: the first of `ANSWERS` that it has for one of its labels."""
        return next(outcome for outcome in ANSWERS if outcome in self.outcomes[number])

    def count(self, account: Account) -> None:
        """Count all outcomes."""
        for number, task in self.answers:
            outcome = self.outcome(number)
            account.answers[task.dataset, "read"] += 1
            account.answers[task.dataset, outcome] += 1
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
        for span in gold.spans:
            coverage[span.label, "", "spans"] += 1
        for label in gold.unresolved:
            coverage[label, "", "unresolved"] += 1
        for label in {span.label for span in (*gold.accepted, *gold.rejected)}.difference(gold.unresolved):
            coverage[label, "", "partly_covered"] += 1
