"""What models suspect and what surface forms suspect: where both do is the first tier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from scripts.annotations.errors import UserError
from scripts.annotations.files import BUFFER
from scripts.reviewing.records import Doubt, Suspect

BOTH = 1  # the tier


class Form(NamedTuple):
    """What is kept of a suspect that surface forms found.

    text (int): Hash of the text, since input hashes can be shared.
    labels (frozenset[str]): Of what may be right instead.
    """

    text: int
    label: str
    doubt: Doubt
    start: int
    end: int
    labels: frozenset[str]
    reason: str


def read_forms(path: Path) -> dict[int, list[Form]]:
    """Suspects of consistency.jsonl by input hash, without their texts. Nothing, if there is no such file.

    RAISES (UserError): If it is damaged.
    """
    found: dict[int, list[Form]] = defaultdict(list)
    decode = msgspec.json.Decoder(Suspect).decode
    try:
        with path.open("rb", BUFFER) as lines:
            for line in lines:
                one = decode(line)
                labels = frozenset(span.label for span in one.proposed)
                found[one.input_hash].append(
                    Form(hash(one.text), one.label, one.doubt, one.start, one.end, labels, one.reason)
                )
    except FileNotFoundError:
        pass
    except msgspec.DecodeError as err:
        raise UserError(f"{path}: is damaged ({err}); look again: weasel run consistency") from err
    return found


def join(suspect: Suspect, forms: Iterable[Form]) -> Suspect:
    """A suspect of models; one of the first tier if surface forms say the same of the place."""
    for form in forms:
        if form.text == hash(suspect.text) and _agree(suspect, form):
            reason = f"{suspect.reason} {form.reason}"
            return msgspec.structs.replace(suspect, tier=BOTH, found_by=["forms", "models"], reason=reason)
    return suspect


def _agree(suspect: Suspect, form: Form) -> bool:
    if form.start >= suspect.end or suspect.start >= form.end:
        return False
    if not suspect.proposed or not form.labels:
        return suspect.doubt == form.doubt and suspect.label == form.label
    return any(span.label in form.labels for span in suspect.proposed)
