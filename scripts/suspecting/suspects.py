"""corpus/review/suspects.jsonl: places where models contradict the annotation, and suspects.json, their account.

What models suspect and what surface forms suspect: where both do is the first tier.

Where models that did not learn from a text contradict its annotation, label by label, where the label is covered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.checking import consistency
from scripts.checking.review import FOLDER, Method, Suspect, SuspectKind, load_current, stream_suspects
from scripts.core.answers import GoldText, Span
from scripts.suspecting.cross_validation import Given, Vote

NAME, LINES = "suspects.json", "suspects.jsonl"
_MEND = "look again: weasel run suspects"
TIERS = {
    1: "that surface forms suspect too",
    2: "where all models are sure of an entity, and nothing is annotated",
    3: "where all models are sure of another label, or of other borders",
    4: "where a half of the models or more find what is not annotated, and are less sure",
    5: "where they find nothing, and something is annotated",
}


class Suspects(msgspec.Struct, kw_only=True):
    """corpus/review/suspects.json.

    gold (str): Digest of the gold.
    votes (str): Digest of what the models depend on: the gold, config, code and folds.
    forms (str | None): Digest of consistency.jsonl; None if it was not there.
    run (str): The name of the config.
    label (str | None): The one that was looked at; None for all.
    folds (int), seeds (list[int]): A model for each fold and seed.
    texts (int): Of the gold, in all folds together.
    unjudged (int): Of these, the texts that are too long for the pipeline.
    unseen (float): Of all entities, the share whose form is in no text that their models learned from.
    suspects (int): Lines of suspects.jsonl.
    labels (dict[str, dict[SuspectKind, dict[int, int]]]): How many, by label, doubt and tier.
    """

    gold: str
    votes: str
    forms: str | None
    run: str
    label: str | None
    folds: int
    seeds: list[int]
    texts: int
    unjudged: int = 0
    unseen: float = 0.0
    suspects: int = 0
    labels: dict[str, dict[SuspectKind, dict[int, int]]] = {}

    def count(self, suspect: Suspect) -> None:
        """Add a suspect."""
        self.suspects += 1
        tiers = self.labels.setdefault(suspect.label, {}).setdefault(suspect.kind, {})
        tiers[suspect.tier] = tiers.get(suspect.tier, 0) + 1

    def sort(self) -> None:
        """Put the counts in order."""
        self.labels = {
            label: {doubt: dict(sorted(tiers.items())) for doubt, tiers in sorted(doubts.items())}
            for label, doubts in sorted(self.labels.items())
        }


def load(corpus: Path) -> Suspects | None:
    """Read suspects.json; None if there is none.

    RAISES (UserError): If it is damaged; `Outdated` if it is of another gold than there is now.
    """
    return load_current(corpus / FOLDER / NAME, Suspects, corpus, _MEND)


def read_suspects(corpus: Path) -> Iterator[Suspect]:
    """The suspects, the surest first. RAISES (UserError): If there are none, or they are damaged."""
    return stream_suspects(corpus / FOLDER / LINES, _MEND)


BOTH = 1  # the tier
_LIKELY = 0.5  # the least product of both scores in it: more likely wrong than right


class Form(NamedTuple):
    """What is kept of a suspect that surface forms found.

    text (int): Hash of the text, since input hashes can be shared.
    labels (frozenset[str]): Of what may be right instead.
    score (float): How sure it is, 0 to 1.
    """

    text: int
    label: str
    doubt: SuspectKind
    start: int
    end: int
    labels: frozenset[str]
    score: float
    reason: str


def read_forms(corpus: Path) -> dict[int, list[Form]] | None:
    """What surface forms are sure enough of: by input hash, without the texts; None if nobody has looked.

    RAISES (UserError): If that was of other annotations, or is damaged.
    """
    if consistency.load(corpus) is None:
        return None
    found: dict[int, list[Form]] = defaultdict(list)
    for one in consistency.read_suspects(corpus):
        if one.score < _LIKELY:
            break
        labels = frozenset(span.label for span in one.proposed)
        place = (one.label, one.kind, one.start, one.end)
        found[one.input_hash].append(Form(hash(one.text), *place, labels, one.score, one.reason))
    return found


def join(suspect: Suspect, forms: Iterable[Form]) -> Suspect:
    """A suspect of models; one of the first tier if surface forms say the same of the place, and both together are
    more likely right than wrong. Its score is then the product of both.

    forms (Iterable[Form]): Those of its text, the surest first.
    """
    for form in forms:
        score = round(suspect.score * form.score, 4)
        if score >= _LIKELY and form.text == hash(suspect.text) and _agree(suspect, form):
            reason = f"{suspect.reason} {form.reason}"
            both: list[Method] = ["surface_forms", "models"]
            return msgspec.structs.replace(suspect, tier=BOTH, found_by=both, reason=reason, score=score)
    return suspect


def _agree(suspect: Suspect, form: Form) -> bool:
    if form.start >= suspect.end or suspect.start >= form.end:
        return False
    if not suspect.proposed or not form.labels:
        return suspect.kind == form.doubt and suspect.label == form.label
    return any(span.label in form.labels for span in suspect.proposed)


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
    doubt: SuspectKind = "boundary" if same else "type" if there else "missing"
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
    text: GoldText, doubt: SuspectKind, label: str, annotated: Sequence[Opinion], proposed: list[Span], reason: str,
    tier: int, score: float,
) -> Suspect:  # fmt: skip
    spans = [one.span for one in annotated]
    place = [*spans, *proposed]
    return Suspect(
        input_hash=text.input_hash, text=text.text, label=label, kind=doubt,
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
