"""Decisions between annotators who answered about the same label of a text. Pure functions over spans."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from scripts.core.answers import Span, are_apart, overlapping

Policy = Literal["majority", "union", "intersection", "latest"]
Spans = tuple[Span, ...]


class Vote(NamedTuple):
    """One annotator's complete answer for one label: its time, and its spans without overlaps."""

    timestamp: int | None
    spans: Spans


class Decision(NamedTuple):
    """The entities of a label; if it is not resolved, the spans that all annotators agree on."""

    resolved: bool
    spans: Spans


def longest_first(spans: Iterable[Span]) -> tuple[Spans, Spans]:
    """Remove overlaps within one label, which no tagger can learn: the longest stays, of equally long ones the first.

    RETURNS (tuple[Spans, Spans]): The spans that stay and the spans that are removed, both sorted.
    """
    found = tuple(spans)
    if are_apart(found):  # as nearly all, in their order
        return found, ()
    ordered = sorted(found)
    kept: list[Span] = []
    for span in sorted(ordered, key=lambda s: (s.start - s.end, s.start)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return tuple(sorted(kept)), tuple(sorted(set(ordered) - set(kept)))


def decide(votes: Sequence[Vote], policy: Policy) -> Decision:
    """Decide one label of one text between annotators.

    votes (Sequence[Vote]): One for each annotator, at least one.
    policy (Policy): "majority": what more than half of the annotators marked; "union": what anyone marked;
        "intersection": what all marked; "latest": the newest answer.
    RETURNS (Decision): Unresolved on a tie: half of the annotators against half; more than half marked
        something in one place, but not the same span; or no answer is known to be the newest.
    """
    every = {vote.spans for vote in votes}
    if len(every) == 1:
        return Decision(True, votes[0].spans)
    agreed = tuple(sorted(set.intersection(*map(set, every))))
    if policy == "intersection":
        return Decision(True, agreed)
    if policy == "union":
        return Decision(True, longest_first(set().union(*every))[0])
    spans = _latest(votes) if policy == "latest" else _majority(votes)
    return Decision(False, agreed) if spans is None else Decision(True, spans)


def _latest(votes: Sequence[Vote]) -> Spans | None:
    times = [vote.timestamp for vote in votes]
    if None in times:
        return None
    newest = {vote.spans for vote in votes if vote.timestamp == max(times)}  # type: ignore[type-var]
    return newest.pop() if len(newest) == 1 else None


def _majority(votes: Sequence[Vote]) -> Spans | None:
    half = len(votes) / 2
    counts = Counter(span for vote in votes for span in vote.spans)
    winners = []
    for place in map(set, overlapping(sorted(counts))):
        won = [span for span in place if counts[span] > half]
        marked = sum(not place.isdisjoint(vote.spans) for vote in votes)
        if not won and marked >= half:
            return None
        winners += won
    return tuple(sorted(winners))
