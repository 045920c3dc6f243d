"""What the steps before found in the annotations, read again; none of it is of use once these have changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from scripts.annotations.errors import UserError
from scripts.annotations.files import BUFFER, read_json_if_there
from scripts.merging import merged
from scripts.reviewing.records import Outdated, Suspect


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
