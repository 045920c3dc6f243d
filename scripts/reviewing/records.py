"""What looking for wrong annotations finds: places in texts, with what is annotated there and what may be right."""

from __future__ import annotations

from typing import Literal

import msgspec

from scripts.annotations.errors import UserError
from scripts.annotations.records import Span

FOLDER = "review"  # in corpus/
Doubt = Literal["missing", "spurious", "boundary", "label"]
Method = Literal["forms", "models"]


class Outdated(UserError):
    """What was found is of other annotations than there are now."""


class Suspect(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One place of one text where the annotation of one label may be wrong; a line of `corpus/review/*.jsonl`.

    input_hash (int), text (str): As in the gold.
    label (str): The label in doubt. It is covered in the text.
    doubt (str): "missing": nothing is annotated there, and perhaps should be. "spurious": the other way round.
        "boundary": perhaps with other borders. "label": perhaps another label.
    start (int), end (int): The place, in code points, end exclusive.
    annotated (list[Span]): What is annotated there, of whatever label.
    proposed (list[Span]): What may be right instead; empty if nothing, or nothing that is known, is.
    reason (str): A sentence for the person who reviews it.
    found_by (list[str]): "forms": the same form is annotated otherwise elsewhere. "models": models that did not learn
        from the text say otherwise.
    tier (int): 1 is the surest.
    score (float): Within a tier, the surest first.
    """

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    label: str
    doubt: Doubt
    start: int
    end: int
    annotated: list[Span]
    proposed: list[Span]
    reason: str
    found_by: list[Method]
    tier: int
    score: float
