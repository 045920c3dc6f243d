"""What models suspect and what surface forms suspect: where both do is the first tier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.reviewing import consistency
from scripts.reviewing.records import Doubt, Method, Suspect

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
    doubt: Doubt
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
        place = (one.label, one.doubt, one.start, one.end)
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
            both: list[Method] = ["forms", "models"]
            return msgspec.structs.replace(suspect, tier=BOTH, found_by=both, reason=reason, score=score)
    return suspect


def _agree(suspect: Suspect, form: Form) -> bool:
    if form.start >= suspect.end or suspect.start >= form.end:
        return False
    if not suspect.proposed or not form.labels:
        return suspect.doubt == form.doubt and suspect.label == form.label
    return any(span.label in form.labels for span in suspect.proposed)
