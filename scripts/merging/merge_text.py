"""All answers about one text become one GoldText. The rules, in the order in which they apply:

1. An ignored answer says nothing. Of identical answers of one annotator, the latest stays.
2. Label by label, of the complete answers: in each dataset an annotator's latest answer that is about the label counts;
   a dataset replaces those that it corrects; an annotator's latest answer in any dataset replaces the earlier ones; a
   review overrules the versions it shows; an answer that rejects the text says nothing of its spans. Between the
   annotators who are left the policy decides, see `decide`.
3. Binary answers add single spans to labels that are not covered, and are checked against those that are; those of a
   dataset that corrects the ones that cover it decide.

Complete answers about a range of the text, see `ranged`, go through 1 and 2 for each range on its own.

Each rule, see `rules`, returns the answers that it drops; their outcome is noted, and all outcomes are counted once, at
the end. What a replacement changes is listed among the conflicts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from scripts.core.answers import GoldText, Range, Span, Task, annotator_of
from scripts.merging.account import Account
from scripts.merging.decide import Spans, Vote, decide, longest_first
from scripts.merging.ranged import LabelAnswer, RangedLabel, decide_ranges
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
from scripts.merging.text_record import REPLACEMENT, Conflict, TextRecord


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


class _TextMerge(TextRecord):
    """The merge of one text."""

    def merge(self) -> None:
        """Apply all rules."""
        answers = self.without(ignored(self.answers), self.answers, "ignored")
        if self.rules.passes:
            self.passes.update((task.dataset, task.range) for _, task in answers if is_plain(task))
        if not have_one_label_each(answers):
            answers = self.without(repeated(answers), answers, "duplicates")
            self.repeats = evidence_of_passes(answers)
        binary: dict[str, list[Numbered]] = defaultdict(list)
        for answer in answers:
            for label in answer.task.labels:
                (binary if answer.task.kind == "binary" else self.complete)[label].append(answer)
        merge_label = self.merge_ranges if any(task.range for _, task in answers) else self.merge_label
        for label in sorted(self.complete):
            merge_label(label, self.complete[label])
        for label in sorted(binary):
            self.merge_binary(label, binary[label])
        self.finish()

    def merge_label(self, label: str, answers: Answers) -> None:
        """Merge the complete answers for a label."""
        if accepting := self.counting(label, answers):
            self.decide_label(label, accepting)

    def counting(self, label: str, answers: Answers) -> Answers:
        """The complete answers that count beside each other, of those about the text or about one range of it."""
        one = answers[0].task
        is_passed = one.dataset in self.rules.passes
        if len(answers) == 1 and one.answer == "accept" and not is_passed:
            return answers  # as of nearly all labels of nearly all texts
        if len(answers) > 1 or is_passed:
            answers = self.current_of_datasets(label, answers)
            if self.rules.corrects:
                answers = self.replace(corrected(answers, self.rules.corrects), answers, label, "corrected")
            answers = self.replace(replaced(answers, label), answers, label, _LATER)
            answers = self.replace(overruled(answers, label), answers, label, "the review counts")
        accepting = self.without(rejecting(answers), answers, "rejected", label)
        if 0 < len(accepting) < len(answers):
            self.contested[tuple(number for number, _ in answers)].append(label)
        return accepting

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
            dataset = own[0].task.dataset
            if self.passes[dataset, own[0].task.range] >= len(self.rules.passes[dataset]):
                last = [answer for answer in own if is_plain(answer.task)][-1:]
                current |= {annotator_of(answer.task): answer for answer in last}  # each label had its pass
            else:
                self.repeats[dataset, UNTOLD] += 1
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

    # Complete answers

    def decide_label(self, label: str, answers: Answers) -> None:
        """Decide between the annotators who are left, and note what their spans became."""
        if len(answers) == 1:  # as of nearly all labels of nearly all texts
            number, task = answers[0]
            spans = self.without_overlaps(label, number, task)
            self.outcomes[number].add("kept")
            self.note(number, label, "gold", spans)
            self.cover(label, answers, spans)
            return
        votes = [Vote(task.timestamp, self.without_overlaps(label, number, task)) for number, task in answers]
        decision = decide(votes, self.rules.policy)
        decided = set(decision.spans)
        won, lost = ("gold", "outvoted") if decision.resolved else ("partial", "unresolved")
        for (number, _), vote in zip(answers, votes, strict=True):
            self.outcomes[number].add("kept")
            self.note(number, label, won, decided.intersection(vote.spans))
            self.note(number, label, lost, set(vote.spans) - decided)
        if decision.resolved:
            self.cover(label, answers, decision.spans)
        else:
            self.gold.unresolved.append(label)
            self.gold.accepted.extend(decision.spans)
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

    def cover(self, label: str, answers: Iterable[Numbered | LabelAnswer], entities: Iterable[Span]) -> None:
        """Put a label that is covered in the whole text into the gold, with its entities."""
        self.gold.covered.append(label)
        self.gold.spans.extend(entities)
        self.covered_by[label] = {answer.task.dataset for answer in answers}

    # Complete answers about ranges

    def merge_ranges(self, label: str, answers: Answers) -> None:
        """Merge the complete answers for a label, some of which are about a range only."""
        by_range: dict[Range | None, list[Numbered]] = defaultdict(list)
        for answer in answers:
            by_range[answer.task.range].append(answer)
        whole = by_range.pop(None, [])
        if not by_range:
            self.merge_label(label, whole)
            return
        about_all = self.label_answers(label, whole)
        ranged = {
            where: found for where, own in by_range.items() if where and (found := self.label_answers(label, own))
        }
        if about_all or ranged:
            decided = decide_ranges(self.gold.text, about_all, ranged, self.rules)
            self.add_ranges(label, decided, [answer for some in (about_all, *ranged.values()) for answer in some])

    def label_answers(self, label: str, answers: Answers) -> list[LabelAnswer]:
        """The complete answers about the text or about one range that count, without overlaps."""
        counting = self.counting(label, answers) if answers else []
        return [LabelAnswer(number, task, self.without_overlaps(label, number, task)) for number, task in counting]

    def add_ranges(self, label: str, found: RangedLabel, answers: Sequence[LabelAnswer]) -> None:
        """Put what was decided into the gold, note what the spans became, and list what was corrected or disputed."""
        if found.is_covered:
            self.cover(label, answers, found.entities)
        elif found.ranges:
            self.gold.covered_ranges[label] = found.ranges
            self.gold.accepted.extend(sorted({*found.entities, *found.agreed}))
        else:
            self.gold.unresolved.append(label)
            self.gold.accepted.extend(found.agreed)
        for answer in answers:
            is_replaced = any(answer in each.replaced for each in found.decided)
            self.outcomes[answer.number].add("replaced" if is_replaced else "kept")
            for span in answer.spans:
                self.note(answer.number, label, found.outcome(answer, span), [span])
        for conflict in found.conflicts(self.rules.policy):
            shown = [Numbered(answer.number, answer.task) for answer in conflict.answers]
            self.conflict(conflict.kind, [label], conflict.decision, conflict.spans, shown, conflict.range)

    # Binary answers

    def merge_binary(self, label: str, answers: Answers) -> None:
        """Merge the answers that judge single spans of a label."""
        known = self.gold.spans if label in self.gold.covered else self.gold.accepted
        decided = {span for span in known if span.label == label}
        by_span: dict[Span, list[Numbered]] = defaultdict(list)
        for answer in answers:
            by_span[answer.task.spans[0]].append(answer)
        accepting: dict[Span, Answers] = {}  # of the spans that the binary answers decide
        for span in sorted(by_span):
            current = self.without(replaced_binary(by_span[span]), by_span[span], "replaced", label)
            for number, _ in current:
                self.outcomes[number].add("kept")
            is_covered = self.gold.covers(label, span.start, span.end)
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
        covering = self.covered_by.get(label)
        corrects = self.rules.corrects
        return [answer for answer in answers if covering and covering <= corrects.get(answer.task.dataset, frozenset())]

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
