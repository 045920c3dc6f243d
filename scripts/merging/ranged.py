"""Complete answers about a range of a text, those about a contained text, beside those about all of its container.

Label by label, each range is decided on its own:

1. An answer about the range corrects one about the whole text if its dataset corrects the other's, or if it is later:
   times tell, or the order of one annotator's answers in a dataset. In the range only the others count. The other way
   round, one annotator's later answer about the whole text, or a dataset that corrects, replaces that about the range.
2. Between the answers that are left, those about the whole text restricted to the range, the policy decides. Where it
   cannot, the label is not covered in this range.

A whole text that is covered stays so, but for ranges that are not decided. Else the ranges are covered: all of the text
if there is nothing but whitespace between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from scripts.core.answers import Range, Span, Task, annotator_of, place
from scripts.merging.decide import Decision, Policy, Spans, Vote, decide, longest_first
from scripts.merging.rules import MergeRules
from scripts.merging.text_record import REPLACEMENT


class LabelAnswer(NamedTuple):
    """A complete answer about a label: its number, and its spans of the label without overlaps."""

    number: int
    task: Task
    spans: Spans


class DecidedRange(NamedTuple):
    """A range of a text, and what was decided there.

    range (Range): Without the entities of the whole text that reach into it, which stay.
    decision (Decision): As `decide` gives it.
    answers (list[LabelAnswer]): The answers that count: those about the range, and those about the whole text.
    corrected (list[LabelAnswer]): Answers about the whole text that are corrected here.
    replaced (list[LabelAnswer]): Answers about the range that those about the whole text replace.
    """

    range: Range
    decision: Decision
    answers: list[LabelAnswer]
    corrected: list[LabelAnswer]
    replaced: list[LabelAnswer]


class RangedLabel(NamedTuple):
    """A label of a text.

    is_covered (bool): In the whole text.
    ranges (list[Range]): Else: where it is covered.
    entities (Spans): Where it is covered.
    agreed (Spans): Elsewhere: the spans that all annotators agree on.
    decided (list[DecidedRange]): All ranges for which an answer counts.
    whole (Decision | None): Of the answers about the whole text alone. whole_answers (list[LabelAnswer]): These.
    """

    is_covered: bool
    ranges: list[Range]
    entities: Spans
    agreed: Spans
    decided: list[DecidedRange]
    whole: Decision | None
    whole_answers: list[LabelAnswer]

    def outcome(self, answer: LabelAnswer, span: Span) -> str:
        """The outcome of a span of an answer, see `SPANS` in `account`."""
        if span in self.entities:
            return "gold" if self.is_covered else "partial"
        if span in self.agreed:
            return "partial"
        around = [each for each in self.decided if _is_inside(span, each.range)]
        if any(answer in each.corrected or answer in each.replaced for each in around):
            return "replaced"
        if around:
            is_open = any(not each.decision.resolved for each in around)
        else:  # outside of all ranges, or reaching into one
            is_open = answer.task.range is not None or not (self.whole and self.whole.resolved)
        return "unresolved" if is_open else "outvoted"

    def conflicts(self, policy: Policy) -> Iterator[RangeConflict]:
        """What was corrected, and what was not agreed on."""
        for where, decision, answers, corrected, replaced in self.decided:
            dropped = [*corrected, *replaced]
            if any(_within(answer, where) != decision.spans for answer in dropped):
                how = (
                    "corrected in this part of the text"
                    if corrected
                    else "the later answer about the whole text counts"
                )
                yield RangeConflict(where, REPLACEMENT, how, decision.spans, [*dropped, *answers])
            if len({_within(answer, where) for answer in answers}) > 1 or not decision.resolved:
                part = "unresolved in this part of the text: only what all agree on is taken"
                how = f"by {policy}" if decision.resolved else part
                yield RangeConflict(where, "disagreement", how, decision.spans, answers)
        if len({answer.spans for answer in self.whole_answers}) > 1 and self.whole:
            how = f"by {policy}" if self.whole.resolved else "unresolved: only what all agree on is taken"
            yield RangeConflict(None, "disagreement", how, self.whole.spans, self.whole_answers)


class RangeConflict(NamedTuple):
    """Answers about a label that cannot all be right; in a range, or in the whole text."""

    range: Range | None
    kind: str
    decision: str
    spans: Spans
    answers: list[LabelAnswer]


def decide_ranges(
    text: str, whole: Sequence[LabelAnswer], ranged: Mapping[Range, Sequence[LabelAnswer]], rules: MergeRules
) -> RangedLabel:
    """Decide a label of a text, of which there are complete answers about ranges.

    whole (Sequence[LabelAnswer]): The answers about the whole text that count beside each other.
    ranged (Mapping[Range, Sequence[LabelAnswer]]): Those about ranges; at least one.
    """
    base = decide(_votes(whole), rules.policy) if whole else None
    found = [_decide_range(place_, answers, whole, rules) for place_, answers in sorted(ranged.items())]
    decided = _without_contradictions([_beside(each, base) for each in found])
    closed = [each for each in decided if each.decision.resolved]
    entities = [span for each in closed for span in each.decision.spans]
    agreed = [span for each in decided if not each.decision.resolved for span in each.decision.spans]
    inside = [each.range for each in decided]
    rest = [span for span in base.spans if not any(_is_inside(span, r) for r in inside)] if base else []
    if base and base.resolved:
        entities += rest
        ranges = _complement([each.range for each in decided if not each.decision.resolved], len(text))
    else:
        agreed += rest
        ranges = [each.range for each in closed]
    ranges = _joined(ranges, text)
    is_covered = bool(ranges) and not _gaps_with_text(ranges, text)
    kept = longest_first(set(entities))[0]
    outside = tuple(sorted(span for span in set(agreed) if all(_apart(span, other) for other in kept)))
    return RangedLabel(is_covered, [] if is_covered else ranges, kept, outside, decided, base, list(whole))


def _votes(answers: Iterable[LabelAnswer]) -> list[Vote]:
    return [Vote(answer.task.timestamp, answer.spans) for answer in answers]


def _decide_range(
    where: Range, answers: Sequence[LabelAnswer], whole: Sequence[LabelAnswer], rules: MergeRules
) -> DecidedRange:
    """Decide one range, of answers about it and about the whole text."""
    corrected = [other for other in whole if _is_corrected(other, answers, rules)]
    against = [other for other in whole if other not in corrected]
    current = [answer for answer in answers if not any(_replaces(other, answer, rules) for other in against)]
    restricted = [other._replace(spans=_within(other, where)) for other in against]
    deciding = [*restricted, *current]
    replaced = [answer for answer in answers if answer not in current]
    return DecidedRange(where, decide(_votes(deciding), rules.policy), [*against, *current], corrected, replaced)


def _is_corrected(whole: LabelAnswer, answers: Sequence[LabelAnswer], rules: MergeRules) -> bool:
    """Whether answers about a range correct one about the whole text."""
    by_dataset = any(whole.task.dataset in rules.corrects.get(answer.task.dataset, ()) for answer in answers)
    return by_dataset or all(_is_later(answer.task, whole.task) for answer in answers)


def _replaces(whole: LabelAnswer, answer: LabelAnswer, rules: MergeRules) -> bool:
    """Whether an answer about the whole text replaces one about a range."""
    if answer.task.dataset in rules.corrects.get(whole.task.dataset, ()) or _overrules(whole, answer):
        return True
    return annotator_of(whole.task) == annotator_of(answer.task) and _is_later(whole.task, answer.task)


def _overrules(whole: LabelAnswer, answer: LabelAnswer) -> bool:
    """Whether an answer about the whole text is a review that showed the one about a range."""
    if whole.task.kind != "review" or not answer.task.range:
        return False
    if not whole.task.versions:  # a curation, a ground truth
        return whole.task.dataset == answer.task.dataset
    (label,) = {span.label for span in (*answer.spans, *whole.spans)} or {""}
    versions = ([s for s in version if s.label == label] for version in whole.task.versions)
    return any(_spans_within(version, answer.task.range) == answer.spans for version in versions)


def _is_later(task: Task, other: Task) -> bool:
    """Whether an answer is known to be later than another."""
    if task.timestamp is not None and other.timestamp is not None:
        return task.timestamp > other.timestamp
    same = (task.dataset, annotator_of(task)) == (other.dataset, annotator_of(other))
    return same and place(task) > place(other)


def _beside(found: DecidedRange, base: Decision | None) -> DecidedRange:
    """The range without entities of the whole text that reach into it. Those in it may not overlap these."""
    start, end = found.range
    for span in base.spans if base else ():
        if span.start < start < span.end:
            start = min(span.end, end)
        if span.start < end < span.end:
            end = max(span.start, start)
    if (start, end) == found.range:
        return found
    inside = tuple(span for span in found.decision.spans if _is_inside(span, (start, end)))
    resolved = found.decision.resolved and inside == found.decision.spans
    return found._replace(range=(start, end), decision=Decision(resolved, inside))


def _without_contradictions(decided: list[DecidedRange]) -> list[DecidedRange]:
    """Where two ranges overlap and their entities there differ, neither is decided."""
    open_ranges = set()
    for number, one in enumerate(decided):
        for other in decided[number + 1 :]:
            if other.range[0] >= one.range[1]:
                break
            shared = other.range[0], min(one.range[1], other.range[1])
            spans = [{s for s in each.decision.spans if not _apart(s, shared)} for each in (one, other)]
            if spans[0] != spans[1]:
                open_ranges |= {one.range, other.range}
    return [each._replace(decision=Decision(False, ())) if each.range in open_ranges else each for each in decided]


def _within(answer: LabelAnswer, where: Range) -> Spans:
    return _spans_within(answer.spans, where)


def _spans_within(spans: Iterable[Span], where: Range) -> Spans:
    return tuple(span for span in spans if _is_inside(span, where))


def _is_inside(span: Span, where: Range) -> bool:
    return where[0] <= span.start and span.end <= where[1]


def _apart(span: Span, other: Span | Range) -> bool:
    start, end = (other.start, other.end) if isinstance(other, Span) else other
    return span.end <= start or end <= span.start


def _complement(ranges: Iterable[Range], length: int) -> list[Range]:
    """What is in none of the ranges."""
    found, at = [], 0
    for start, end in sorted(ranges):
        if at < start:
            found.append((at, start))
        at = max(at, end)
    return [*found, (at, length)] if at < length else found


def _joined(ranges: Iterable[Range], text: str) -> list[Range]:
    """Sorted ranges, those in one between which there is only whitespace, and none of whitespace alone."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if not text[start:end].strip():
            continue
        if found and not text[found[-1][1] : start].strip():
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def _gaps_with_text(ranges: Iterable[Range], text: str) -> bool:
    return any(text[start:end].strip() for start, end in _complement(ranges, len(text)))
