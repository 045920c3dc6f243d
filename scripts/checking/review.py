"""corpus/review/: the results of `consistency`, `coverage` and `suspects`, each bound to the gold it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import msgspec

from scripts.core.answers import Span
from scripts.core.errors import UserError
from scripts.core.files import BUFFER, UNREADABLE, damaged, read_json_if_there, sha256
from scripts.merging import merged

FOLDER = "review"  # in corpus/
SuspectKind = Literal["missing", "spurious", "boundary", "type"]
Method = Literal["surface_forms", "models"]


class Outdated(UserError):
    """The annotations have changed since a result was made."""


class Suspect(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """An annotation of one label that is probably wrong; a line of `corpus/review/*.jsonl`."""

    input_hash: int = msgspec.field(name="_input_hash")
    text: str
    label: str  # that is in question; it is covered there
    # "missing": nothing is annotated, and an entity probably should be. "spurious": the reverse. "boundary": probably
    # other boundaries. "type": probably another label.
    kind: SuspectKind
    start: int  # in code points
    end: int  # exclusive
    annotated: list[Span]  # what is annotated there, of any label
    proposed: list[Span]  # what is probably right instead; empty for no entity, or if that is not covered
    reason: str  # a sentence for the reviewer
    # "surface_forms": the same wording is annotated differently elsewhere. "models": models that did not learn from
    # the text predict something else.
    found_by: list[Method]
    tier: int  # 1 is the most certain
    score: float  # orders the suspects of a tier, the highest first


class BoundToGold(Protocol):
    """A result that names the digest of the gold it was made of."""

    gold: str


T = TypeVar("T", bound=BoundToGold)


def load_current(path: Path, of: type[T], corpus: Path, advice: str) -> T | None:
    """Read a result; None if there is no such file.

    corpus (Path): Holds the gold that the result must belong to.
    advice (str): Ends the message: "check again: weasel run suspects".
    RAISES (UserError): If it is damaged; `Outdated` if the gold has changed since.
    """
    result = read_json_if_there(path, of, advice)
    if result and result.gold != merged.load(corpus).outputs.get("gold.jsonl"):
        raise Outdated(f"{path}: the annotations have changed since; {advice}")
    return result


class _Listed(msgspec.Struct):
    """The digest of the list, in the result beside it."""

    listed: str


def stream_suspects(path: Path, advice: str) -> Iterator[Suspect]:
    """The suspects of a file, in its order.

    RAISES (UserError): If there is none, it is damaged, or it is not the one that the result beside it was made with.
    """
    result = read_json_if_there(path.with_suffix(".json"), _Listed, advice)
    if result and path.is_file() and sha256(path) != result.listed:
        raise UserError(f"{path}: is not as it was made; {advice}")
    decode = msgspec.json.Decoder(Suspect).decode
    try:
        with path.open("rb", BUFFER) as lines:
            yield from map(decode, lines)
    except FileNotFoundError as err:
        raise UserError(f"{path}: no such file; {advice}") from err
    except UNREADABLE as err:
        raise damaged(path, err, advice) from err
