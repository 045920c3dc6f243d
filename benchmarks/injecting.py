"""Errors put into annotations that are right for the most part, and which suspects lie on them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from benchmarks.corpora import text
from scripts.checking.review import Suspect
from scripts.core.answers import GoldText, Span
from scripts.core.hashing import fraction

Kind = Literal["dropped", "relabelled", "boundary"]
Way = Literal["uniform", "careless"]
KINDS: tuple[Kind, ...] = ("dropped", "relabelled", "boundary")
WAYS: tuple[Way, ...] = ("uniform", "careless")
ANNOTATORS = ("ana", "ben", "cleo", "dan", "eva")  # of a fifth of the texts each; the first may be careless
_WORD = re.compile(r"\S+")


class Injected(NamedTuple):
    """One error: where it is, and which labels are wrong or missing there."""

    text: str
    kind: Kind
    start: int
    end: int
    labels: frozenset[str]


def annotator(words: str, seed: int) -> str:
    """Who annotated a text."""
    return ANNOTATORS[int(fraction(f"{seed} annotator {words}") * len(ANNOTATORS))]


def inject(texts: Iterable[GoldText], rate: float, way: Way, seed: int) -> tuple[list[GoldText], list[Injected]]:
    """Make a share of all spans wrong: a third of them each is dropped, gets another label, gets another border.

    way (Way): "uniform": anywhere, by chance. "careless": in a fifth of the texts, as if one person had annotated
        them: what is done to a form there is done to it each time.
    RETURNS (tuple[list[GoldText], list[Injected]]): All texts, and the errors.
    """
    texts = list(texts)
    labels = sorted({span.label for each in texts for span in each.spans})
    result, errors = [], []
    for each in texts:
        is_own = way == "uniform" or annotator(each.text, seed) == ANNOTATORS[0]
        share = (rate if way == "uniform" else rate * len(ANNOTATORS)) * is_own
        spans: list[Span] = []
        pending = list(each.spans)
        while pending:
            span = pending.pop(0)
            form = each.text[span.start : span.end]
            key = f"{seed} {span.label} {form.casefold()}" if way == "careless" else f"{seed} {span} {each.text}"
            wrong = _wrong(each.text, span, [*spans, *pending], labels, key) if fraction(key) < share else None
            if wrong:
                kind, became = wrong
                errors.append(_error(each.text, kind, [span, became] if became else [span]))
                spans += [became] if became else []
            else:
                spans.append(span)
        result.append(text(each.text, spans, each.covered))
    return result, errors


def _error(words: str, kind: Kind, spans: Sequence[Span]) -> Injected:
    labels = frozenset(span.label for span in spans)
    return Injected(words, kind, min(span.start for span in spans), max(span.end for span in spans), labels)


def _wrong(
    words: str, span: Span, others: Sequence[Span], labels: list[str], key: str
) -> tuple[Kind, Span | None] | None:
    """What becomes of a span, None where that kind of error cannot be made."""
    chance = fraction(f"{key} kind")
    kind = KINDS[int(chance * len(KINDS))]
    if kind == "dropped":
        return kind, None
    if kind == "relabelled":
        rest = [label for label in labels if label != span.label]
        became = Span(span.start, span.end, rest[int(fraction(f"{key} label") * len(rest))])
    else:
        ways = _other_borders(words, span)
        if not ways:
            return None
        became = ways[int(fraction(f"{key} border") * len(ways))]
    clash = any(
        other.label == became.label and other.start < became.end and became.start < other.end for other in others
    )
    return None if clash else (kind, became)


def _other_borders(words: str, span: Span) -> list[Span]:
    """A word more or less at either end."""
    found = [match.span() for match in _WORD.finditer(words)]
    inside = [word for word in found if span.start <= word[0] and word[1] <= span.end]
    before = [word for word in found if word[1] < span.start and "\n" not in words[word[1] : span.start]][-1:]
    after = [word for word in found if word[0] > span.end and "\n" not in words[span.end : word[0]]][:1]
    ways = [Span(word[0], span.end, span.label) for word in before] + [
        Span(span.start, word[1], span.label) for word in after
    ]
    if len(inside) > 1:
        ways += [Span(inside[1][0], span.end, span.label), Span(span.start, inside[-2][1], span.label)]
    return [way for way in ways if words[way.start].isalnum() and words[way.end - 1].isalnum()]


class Errors:
    """Errors by text, to look suspects up in."""

    def __init__(self, errors: Sequence[Injected]) -> None:
        self.all = errors
        self._of: dict[str, list[int]] = defaultdict(list)
        for number, error in enumerate(errors):
            self._of[error.text].append(number)

    def under(self, suspect: Suspect) -> list[int]:
        """The errors that a suspect lies on: it overlaps them, and one of their labels is in doubt or proposed."""
        labels = {suspect.label, *(span.label for span in (*suspect.annotated, *suspect.proposed))}
        found = ((number, self.all[number]) for number in self._of.get(suspect.text, ()))
        return [
            number
            for number, error in found
            if error.start < suspect.end and suspect.start < error.end and error.labels & labels
        ]
