"""What looking for wrong annotations finds: places in texts, with what is annotated there and what may be right.

What the steps before found in the annotations, read again; none of it is of use once these have changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, read_json_if_there
from scripts.merging import merged

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


class Found(Protocol):
    """What was found, and the digest of the gold that it was found in."""

    gold: str


T = TypeVar("T", bound=Found)


def load_current(path: Path, of: type[T], corpus: Path, mend: str) -> T | None:
    """Read what was found; None if there is no such file.

    corpus (Path): Holds the gold that it must be of.
    mend (str): What to do about it: "look again: weasel run suspects".
    RAISES (UserError): If it is damaged; `Outdated` if it is of another gold than there is now.
    """
    found = read_json_if_there(path, of, mend)
    if found and found.gold != merged.load(corpus).outputs.get("gold.jsonl"):
        raise Outdated(f"{path}: is of annotations that have changed since; {mend}")
    return found


def stream_suspects(path: Path, mend: str) -> Iterator[Suspect]:
    """The suspects of a list, in its order. RAISES (UserError): If there is none, or it is damaged."""
    decode = msgspec.json.Decoder(Suspect).decode
    try:
        with path.open("rb", BUFFER) as lines:
            yield from map(decode, lines)
    except FileNotFoundError as err:
        raise UserError(f"{path}: no such file; {mend}") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise UserError(f"{path}: is damaged ({err}); {mend}") from err
