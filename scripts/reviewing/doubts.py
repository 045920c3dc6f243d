"""Where models that did not learn from a text contradict its annotation, label by label, where the label is covered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scripts.annotations.records import GoldText, Span
from scripts.reviewing.records import Doubt, Suspect
from scripts.reviewing.votes import Given, Vote

UNANIMOUS, DIVIDED = 2, 3  # tiers; 1 is for what other methods find too


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


class Judged(NamedTuple):
    """A text, judged.

    suspects (list[Suspect]): Places where a half of the models or more say otherwise than the annotation; their score
        is how sure these are.
    claimed (list[tuple[str, float]]): All that a half of the models or more find, annotated or not: label, probability.
    denied (list[tuple[str, float]]): All that is annotated: label, probability that there is nothing of it.
    is_too_long (bool): It is not judged: pipelines do not take it.
    """

    suspects: list[Suspect]
    claimed: list[tuple[str, float]]
    denied: list[tuple[str, float]]
    is_too_long: bool = False


def judge(text: GoldText, said: Sequence[Vote]) -> Judged:
    """Set what models say of a text against its annotation.

    text (GoldText): The text. Spans of labels that are not covered are never in doubt, nor missing.
    said (Sequence[Vote]): What models say that did not learn from it.
    """
    if any(vote.is_too_long for vote in said):
        return Judged([], [], [], is_too_long=True)
    opinions = _opinions(text, said)
    claims = _claims(text, said, opinions)
    contested: set[Span] = set()
    suspects = []
    for claim in claims:
        there = [one for one in opinions if one.start < claim.span.end and claim.span.start < one.end]
        if not any(one.is_found for one in there):
            suspects.append(_claimed(text, claim, there, len(said)))
            contested.update(suspects[-1].annotated)
    for one in opinions:
        absent = len(said) - one.models
        if one.span not in contested and 2 * absent >= len(said):
            suspects.append(_spurious(text, one, absent, len(said)))
    agreed = [(one.span.label, one.probability) for one in opinions if one.is_found]
    claimed = [(claim.span.label, claim.probability) for claim in claims]
    return Judged(suspects, [*claimed, *agreed], [(one.span.label, one.nothing) for one in opinions])


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
    says = f"{_of(claim.models, models)} {claim.span.label} (probability {claim.probability:.2f})"
    is_there = ", ".join(f'"{text.text[one.span.start : one.span.end]}" as {one.span.label}' for one in annotated)
    return _suspect(
        text, doubt, annotated[0].span.label if annotated else claim.span.label, [one.span for one in annotated],
        [claim.span], f"{says}; annotated is {is_there or 'nothing'}", claim.models == models,
        claim.probability * min((1 - one.probability for one in annotated), default=1.0),
    )  # fmt: skip


def _spurious(text: GoldText, one: Opinion, absent: int, models: int) -> Suspect:
    reason = f"{_of(absent, models)} no {one.span.label} (probability of none {one.nothing:.2f}); annotated it is"
    return _suspect(text, "spurious", one.span.label, [one.span], [], reason, absent == models, one.nothing)


def _suspect(
    text: GoldText, doubt: Doubt, label: str, annotated: list[Span], proposed: list[Span], reason: str,
    is_unanimous: bool, score: float,
) -> Suspect:  # fmt: skip
    place = [*annotated, *proposed]
    return Suspect(
        input_hash=text.input_hash, text=text.text, label=label, doubt=doubt,
        start=min(span.start for span in place), end=max(span.end for span in place),
        annotated=annotated, proposed=proposed, reason=f"{reason}.", found_by=["models"],
        tier=UNANIMOUS if is_unanimous else DIVIDED, score=round(score, 4),
    )  # fmt: skip


def _of(some: int, models: int) -> str:
    """`Both models that did not learn from this text find`."""
    which = "The model" if models == 1 else "All models" if some == models else f"{some} of {models} models"
    return f"{which} that did not learn from this text {'finds' if models == 1 else 'find'}"


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
