"""What of the places of a form is probably wrong, the surest first.

A form that is annotated as a label nearly wherever it stands is probably one where it is not: the surer, the more often
it is, and the fewer exceptions there are. That is the lower end of an interval of the share of its places that are
annotated just so (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953). Where it is known who annotated, the
places of the others count, if they have any: who always does the same to a form never contradicts themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.checking.answers import UNKNOWN
from scripts.checking.findings import Doubt, Suspect
from scripts.checking.scan import ALL, Counts, Pairs, Place
from scripts.checking.surface_forms import ANNOTATED, INSIDE, KINDS, NONE, PARTLY, RELABELLED, Rows
from scripts.core.answers import Span
from scripts.merging.fingerprints import Hashes

MOST = 10_000  # findings
TIERS = ("1", "2", "3")
_Z = 1.0  # of the interval: 84 % of the shares are above its lower end
_FEWEST = 2  # spans of a form from which anything follows
_SURE, _LIKELY, _LEAST = 0.5, 0.25, 0.1  # scores: of tier 1, of tier 2, of what is listed
_HYPHENS = frozenset("-–/&")
_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
_TOKEN = re.compile(r"\w+|[^\w\s]")

Floats = NDArray[np.float64]


class _Rule(NamedTuple):
    """Places of one kind that are in doubt where places of another kind are the rule.

    weight (float): How far to trust it: names that mean two things, and longer ones that are meant, are no errors.
        From corpora with errors put into them.
    """

    kind: int
    usual: int
    doubt: Doubt
    weight: float


RULES = (
    _Rule(NONE, ANNOTATED, "missing", 1.0),
    _Rule(RELABELLED, ANNOTATED, "label", 0.8),
    _Rule(PARTLY, ANNOTATED, "boundary", 1.0),
    _Rule(INSIDE, ANNOTATED, "boundary", 0.35),
    _Rule(ANNOTATED, PARTLY, "boundary", 1.0),
    _Rule(ANNOTATED, NONE, "spurious", 0.2),
)


def lower_share(part: Counts, whole: Counts) -> Floats:
    """The lower end of the interval of a share; 0 where there is nothing to share."""
    number = np.maximum(whole, 1)
    share = part / number
    spread = _Z * np.sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2))
    return np.where(whole > 0, (share + _Z**2 / (2 * number) - spread) / (1 + _Z**2 / number), 0.0)


def scores(counts: Counts) -> Floats:
    """Of each form and rule: how sure it is that what is there is wrong, 0 to 1."""
    whole = counts.sum(1)
    found = np.zeros((len(counts), len(RULES)))
    for column, rule in enumerate(RULES):
        applies = (counts[:, rule.usual] >= _FEWEST) & (counts[:, rule.kind] > 0)
        found[:, column] = np.where(applies, rule.weight * lower_share(counts[:, rule.usual], whole), 0)
    found[found < _LEAST] = 0
    return found


def by_others(pairs: Pairs, counts: Counts) -> Counts:
    """Of each form and annotator: the counts of the form in the texts of others; of all, where nobody is known."""
    return counts[pairs.rows] - np.where(pairs.authors[:, None] == UNKNOWN, 0, pairs.counts)


def scores_by_others(pairs: Pairs, counts: Counts, others: Counts) -> Floats:
    """Of each form, annotator and rule: how sure it is that what this annotator did is wrong, 0 to 1."""
    overall = scores(counts)[pairs.rows]
    is_known = pairs.authors != UNKNOWN
    whole = others.sum(1) + is_known  # and the place itself
    found = np.zeros((len(others), len(RULES)))
    for column, rule in enumerate(RULES):
        said = rule.weight * lower_share(others[:, rule.usual], whole)
        score = np.where(is_known & (others[:, rule.usual] >= _FEWEST), said, overall[:, column])
        found[:, column] = np.where(pairs.counts[:, rule.kind] > 0, score, 0)
    found[found < _LEAST] = 0
    return found


def wanted(pairs: Pairs, sure: Floats) -> NDArray[np.int8]:
    """Pairs × kinds of which all places are wanted: those with the best scores, at most `MOST` places."""
    result = np.zeros(pairs.counts.shape, np.int8)
    rows, rules = np.nonzero(sure)
    order = np.lexsort((rules, rows, -sure[rows, rules]))
    rows, rules = rows[order], rules[order]
    kinds = np.array([rule.kind for rule in RULES])[rules]
    room = np.cumsum(pairs.counts[rows, kinds]) <= MOST
    result[rows[room], kinds[room]] = ALL
    return result


@dataclass
class Evidence:
    """What is known of the forms.

    table (Rows), labels (Sequence[str]): All forms, and the names of their labels.
    pairs (Pairs): Counts by form and annotator.
    """

    table: Rows
    labels: Sequence[str]
    pairs: Pairs

    @cached_property
    def counts(self) -> Counts:
        """By form."""
        found = np.zeros((len(self.table), len(KINDS)), np.int64)
        np.add.at(found, self.pairs.rows, self.pairs.counts)
        return found

    @cached_property
    def sure(self) -> Floats:
        """See `scores_by_others`."""
        return scores_by_others(self.pairs, self.counts, self._others)

    @cached_property
    def _keys(self) -> Hashes:
        return np.ascontiguousarray(self.table["key"])

    @cached_property
    def _others(self) -> Counts:
        return by_others(self.pairs, self.counts)

    def uses(self, place: Place) -> dict[str, int]:
        """How often the form at a place was annotated as each label; without those of who annotated it here, if they
        never annotate it otherwise, but for this one.
        """
        key = self.table["key"][place.row]
        first, last = (int(np.searchsorted(self._keys, key, side)) for side in _SIDES)
        own = self.pairs.counts[place.pair, ANNOTATED]
        found = {}
        for row in range(first, last):
            number = int(self.table["label"][row])
            times = int(self.counts[row, ANNOTATED])
            if not own and place.authors[number] != UNKNOWN:
                times -= int(self._of(row, int(place.authors[number]))[ANNOTATED]) - 1
            found[self.labels[number]] = times
        return found

    def _of(self, row: int, author: int) -> Counts:
        first, last = (int(np.searchsorted(self.pairs.rows, row, side)) for side in _SIDES)
        at = first + int(np.searchsorted(self.pairs.authors[first:last], author))
        is_there = at < last and self.pairs.authors[at] == author
        return self.pairs.counts[at] if is_there else np.zeros(len(KINDS), np.int64)

    def judged(self, place: Place) -> Iterator[Judged]:
        """The rules that a place falls under."""
        others = self._others[place.pair]
        is_known = self.pairs.authors[place.pair] != UNKNOWN
        for rule, score in zip(RULES, self.sure[place.pair].tolist(), strict=True):
            if rule.kind == place.kind and score:
                is_of_others = bool(is_known and others[rule.usual] >= _FEWEST)
                counts = others if is_of_others else self.counts[place.row]
                yield Judged(rule, score, int(counts[rule.usual]), int(counts.sum()), is_of_others)


class Judged(NamedTuple):
    """A rule that a place falls under."""

    rule: _Rule
    score: float
    times: int  # how often what is usual was found
    whole: int
    is_of_others: bool  # in the texts of other annotators


def suspects(places: Iterable[Place], evidence: Evidence) -> list[Suspect]:
    """The findings, best first: of those that overlap, the best; of what is missing, the longest.

    places (Iterable[Place]): What was `wanted`.
    """
    found = []
    for place in places:
        times = evidence.uses(place) if place.kind == RELABELLED else {}
        for judged in evidence.judged(place):
            found.append(_suspect(place, judged, evidence.labels[evidence.table["label"][place.row]], times))
    return _distinct(one for one in found if one.score >= _LEAST)


def _suspect(place: Place, judged: Judged, label: str, times: dict[str, int]) -> Suspect:
    rule, known = judged.rule, place.known
    form = Span(place.start, place.end, label)
    touching = [span for span in known.spans if span.start < place.end and place.start < span.end]
    own = [span for span in touching if span.label == label]
    in_doubt, proposed, score = own[0] if own else form, [form], judged.score
    if rule.kind in (NONE, INSIDE):
        score *= _alone(known.text, form)
    if rule.kind == RELABELLED:
        in_doubt = next(span for span in touching if (span.start, span.end) == (form.start, form.end))
        score /= max(1, times.get(in_doubt.label, 1))  # if it is so more than once, it is likely to be meant
    elif rule.kind == INSIDE:
        score *= place.longer <= 1 and _adds_one_word(known.text, form, in_doubt)
    elif rule.kind == ANNOTATED:
        proposed = []
    return Suspect(
        input_hash=known.input_hash, text=known.text, label=in_doubt.label, doubt=rule.doubt, start=in_doubt.start,
        end=in_doubt.end, annotated=touching, proposed=proposed, reason=_reason(judged, label, in_doubt.label),
        found_by=["forms"], tier=_tier(score), score=round(score, 4),
    )  # fmt: skip


def _tier(score: float) -> int:
    return 1 if score >= _SURE else 2 if score >= _LIKELY else 3


def _reason(judged: Judged, label: str, in_doubt: str) -> str:
    whose = "in the texts of others " if judged.is_of_others else ""
    times = f"{judged.times:,} of {judged.whole:,} places of this form {whose}".rstrip()
    if judged.rule.kind == NONE:
        return f"{times} are annotated as {label}; this one is not."
    if judged.rule.kind == RELABELLED:
        return f"{times} are annotated as {label}; this one as {in_doubt}."
    if judged.rule.kind == PARTLY:
        return f"{times} are annotated as {label}; of this one only a part is."
    if judged.rule.kind == INSIDE:
        return f"{times} are annotated as {label}; this one with a word or sign more."
    if judged.rule.usual == PARTLY:
        return f"Of {times} only a part is annotated as {label}; of this one all."
    return f"At {times} nothing is annotated; here it is as {label}."


def _alone(text: str, form: Span) -> float:
    """Less than 1 where the form is likely to be a part of something: of a compound, or of a longer name."""
    before, after = text[max(0, form.start - 40) : form.start], text[form.end : form.end + 2]
    joined = (before[-1:] in _HYPHENS and not before[-2:-1].isspace()) or (after[:1] in _HYPHENS and after[1:].strip())
    return (0.5 if joined and (before or after).strip() else 1.0) * (
        0.6 if _in_a_name(text, form, before, after) else 1.0
    )


def _in_a_name(text: str, form: Span, before: str, after: str) -> bool:
    """Whether it has a capital, and a word beside it too, but for one with which a sentence begins."""
    if not text[form.start].isupper():
        return False
    if after.lstrip()[:1].isupper():
        return True
    words = before.split()
    is_first = len(words) < 2 or words[-2][-1] in ".!?:"
    return before[-1:].isspace() and bool(words) and words[-1][0].isupper() and words[-1].isalnum() and not is_first


def _adds_one_word(text: str, form: Span, longer: Span) -> bool:
    return len(_TOKEN.findall(f"{text[longer.start : form.start]} {text[form.end : longer.end]}")) == 1


def _order(one: Suspect) -> tuple[int, float, int, str, int, int, str]:
    return one.tier, -one.score, one.input_hash, one.text, one.start, one.end, one.label


def _distinct(found: Iterable[Suspect]) -> list[Suspect]:
    """One finding a place: the best."""
    by_text: dict[tuple[int, str], list[Suspect]] = {}
    for one in sorted(found, key=_order):
        by_text.setdefault((one.input_hash, one.text), []).append(one)
    kept = [one for of_text in by_text.values() for one in _apart(_longest(of_text))]
    return sorted(kept, key=_order)


def _longest(found: list[Suspect]) -> list[Suspect]:
    """Without what is missing inside something longer that is missing too."""
    missing = [(one.start, one.end) for one in found if one.doubt == "missing"]
    return [one for one in found if one.doubt != "missing" or not any(_holds(place, one) for place in missing)]


def _holds(place: tuple[int, int], one: Suspect) -> bool:
    return place[0] <= one.start and one.end <= place[1] and place != (one.start, one.end)


def _apart(found: list[Suspect]) -> Iterator[Suspect]:
    kept: list[Suspect] = []
    for one in found:
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
            yield one
