"""Where models that did not learn from a text contradict its annotation, label by label, where the label is covered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from scripts.annotations.records import GoldText, Span
from scripts.reviewing.records import Doubt, Suspect
from scripts.reviewing.votes import Given, Vote

MISSED, CONTRADICTED, UNSURE, UNFOUND = 2, 3, 4, 5  # tiers; 1 is for what surface forms suspect too
_SURE = 0.8  # from which score on models are


class Claim(NamedTuple):
    """An entity that models find, which is not annotated.

    models (int): How many find exactly it.
    probability (float): Its mean over all models, 0 for those that do not find it.
    """

    span: Span
    models: int
    probability: float


class Opinion(NamedTuple):
    """What models say of an annotated span.

    span (Span): As annotated.
    start (int), end (int): Of its tokens.
    probability (float), nothing (float): Means over models, see `Given`.
    models (int): How many find an entity of its label there, with whatever borders.
    is_found (bool): Whether a half of them find exactly it.
    """

    span: Span
    start: int
    end: int
    probability: float
    nothing: float
    models: int
    is_found: bool


def doubts(text: GoldText, said: Sequence[Vote]) -> Iterator[Suspect]:
    """The places of a text where a half of the models or more say otherwise than the annotation.

    text (GoldText): The text. Spans of labels that are not covered are never in doubt, nor missing.
    said (Sequence[Vote]): What models say that did not learn from it.
    """
    opinions = _opinions(text, said)
    contested: set[Span] = set()
    for claim in _claims(text, said, opinions):
        there = [one for one in opinions if one.start < claim.span.end and claim.span.start < one.end]
        if not any(one.is_found for one in there):
            suspect = _claimed(text, claim, there, len(said))
            contested.update(suspect.annotated)
            yield suspect
    for one in opinions:
        absent = len(said) - one.models
        if one.span not in contested and 2 * absent >= len(said):
            yield _spurious(text, one, absent, len(said))


def _opinions(text: GoldText, said: Sequence[Vote]) -> list[Opinion]:
    found = [{(g.start, g.end, g.label) for g in vote.found} for vote in said]
    return [_opinion(span, [vote.given[number] for vote in said], found) for number, span in enumerate(text.spans)]


def _opinion(span: Span, given: Sequence[Given], found: Sequence[set[tuple[int, int, str]]]) -> Opinion:
    start, end = given[0].start, given[0].end
    exactly = sum((start, end, span.label) in each for each in found)
    overlapping = sum(any(a < end and start < z and k == span.label for a, z, k in each) for each in found)
    probability, nothing = _mean(each.probability for each in given), _mean(each.nothing for each in given)
    return Opinion(span, start, end, probability, nothing, overlapping, 2 * exactly >= len(given))


def _claims(text: GoldText, said: Sequence[Vote], opinions: Iterable[Opinion]) -> list[Claim]:
    """The entities of covered labels that a half of the models find, of those that overlap the surest."""
    annotated = {(one.start, one.end, one.span.label) for one in opinions}
    found: dict[Span, list[float]] = defaultdict(list)
    for guess in (guess for vote in said for guess in vote.found):
        if (guess.start, guess.end, guess.label) not in annotated and guess.label in text.covered:
            found[Span(guess.start, guess.end, guess.label)].append(guess.probability)
    claims = [
        Claim(span, len(each), sum(each) / len(said)) for span, each in found.items() if 2 * len(each) >= len(said)
    ]
    kept: list[Claim] = []
    for claim in sorted(claims, key=lambda each: (-each.models, -each.probability, each.span)):
        if not any(claim.span.start < other.span.end and other.span.start < claim.span.end for other in kept):
            kept.append(claim)
    return kept


def _claimed(text: GoldText, claim: Claim, there: Sequence[Opinion], models: int) -> Suspect:
    """A suspect of what is found and not annotated, and what is annotated in its place."""
    same = [one for one in there if one.span.label == claim.span.label]
    doubt: Doubt = "boundary" if same else "label" if there else "missing"
    annotated = same or list(there)
    is_in_place = bool(same) or [(one.start, one.end) for one in there] == [(claim.span.start, claim.span.end)]
    is_there = ", ".join(f'"{text.text[one.span.start : one.span.end]}" as {one.span.label}' for one in annotated)
    score = claim.probability * min((1 - one.probability for one in annotated), default=1.0)
    is_sure = claim.models == models and score >= _SURE
    says = f"{_of(claim.models, models)} {claim.span.label} (probability {claim.probability:.2f})"
    return _suspect(
        text, doubt, annotated[0].span.label if annotated else claim.span.label, annotated, [claim.span],
        f"{says}; annotated is {is_there or 'nothing'}.",
        UNSURE if not is_sure else MISSED if not there else CONTRADICTED if is_in_place else UNSURE, score,
    )  # fmt: skip


def _spurious(text: GoldText, one: Opinion, absent: int, models: int) -> Suspect:
    reason = f"{_of(absent, models)} no {one.span.label} (probability of none {one.nothing:.2f}); it is annotated."
    return _suspect(text, "spurious", one.span.label, [one], [], reason, UNFOUND, one.nothing)


def _suspect(
    text: GoldText, doubt: Doubt, label: str, annotated: Sequence[Opinion], proposed: list[Span], reason: str,
    tier: int, score: float,
) -> Suspect:  # fmt: skip
    spans = [one.span for one in annotated]
    place = [*spans, *proposed]
    return Suspect(
        input_hash=text.input_hash, text=text.text, label=label, doubt=doubt,
        start=min(span.start for span in place), end=max(span.end for span in place), annotated=spans,
        proposed=proposed, reason=reason, found_by=["models"], tier=tier, score=round(score, 4),
    )  # fmt: skip


def _of(some: int, models: int) -> str:
    """`Both models that did not learn from this text find`."""
    which = "The model" if models == 1 else "All models" if some == models else f"{some} of {models} models"
    return f"{which} that did not learn from this text {'finds' if models == 1 else 'find'}"


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
