"""What is asked of a person: the request, the items, and queues/<label>/<number>/queue.json."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from scripts.building.splits import Side
from scripts.core.answers import GoldText, Span
from scripts.core.errors import UserError


class Version(NamedTuple):
    """Spans of the label that somebody, or something, takes to be right: who."""

    spans: list[Span]
    by: list[str]


class Item(NamedTuple):
    """A task to be.

    text (GoldText): The text, and what is known of it.
    spans (list[Span]): What is marked in it when it is shown, sorted.
    reason (dict[str, Any]): Why it is asked, for its meta.
    asked (list[str]): Keys of what is asked, so that it is not asked again.
    versions (Sequence[Version]): For a review: between which to decide.
    """

    text: GoldText
    spans: list[Span]
    reason: dict[str, Any]
    asked: list[str]
    versions: Sequence[Version] = ()


def of_label(spans: Iterable[Span], label: str) -> list[Span]:
    """The spans of a label."""
    return [span for span in spans if span.label == label]


def free_of(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """The spans that overlap none of the others."""
    others = list(others)
    return [span for span in spans if all(span.end <= one.start or one.end <= span.start for one in others)]


NAME = "queue.json"
Kind = Literal["uncovered", "suspects", "conflicts"]
Order = Literal["useful", "random"]
Prefill = Literal["known", "model"]


class Request(msgspec.Struct, kw_only=True, frozen=True):
    """What is asked for.

    label (str): The label to annotate.
    kind (Kind): Texts of which the label is not known yet, places where its annotation may be wrong, or texts about
        which answers disagree.
    format (str): A key of `tasks.FORMATS`.
    texts (Side): Of which side the uncovered texts are.
    order (Order): Whether of these the most useful come first, or they are drawn at random.
    prefill (Prefill): Which spans are in their tasks: those that are known, or those that the models find too.
    limit (int): The most tasks.
    seed (int): Of what is drawn at random.
    """

    label: str
    kind: Kind = "uncovered"
    format: str = "prodigy"
    texts: Side = "train"
    order: Order = "useful"
    prefill: Prefill = "known"
    limit: int = 100
    seed: int = 0


class Queue(msgspec.Struct, kw_only=True):
    """queue.json.

    request (Request): What was asked for.
    gold (str): Digest of the gold.
    models (dict[str, str]): Digests of the models that took part, by their folders.
    unit (str): What is counted: "text", "suspect" or "conflict".
    counts (dict[str, int]): read = queued + left out, by reason.
    tasks (int): How many; one a text, so that several suspects can be in one.
    worth (list[float]): Of the first and of the last text, where models chose them.
    asked (list[str]): What was asked, sorted: digests, see `key`. It is not asked again.
    """

    request: Request
    gold: str
    models: dict[str, str]
    unit: str
    counts: dict[str, int]
    tasks: int
    worth: list[float]
    asked: list[str]


def key(*parts: object) -> str:
    """A digest of what is asked: the text, and for more than the text, what of it."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


def asked_before(folder: Path) -> frozenset[str]:
    """All that was asked in the queues of a label. RAISES (UserError): If one is damaged."""
    return frozenset(one for _, queue in queues(folder) for one in queue.asked)


def queues(folder: Path) -> Iterator[tuple[Path, Queue]]:
    """The queues of a label, in the order of their numbers. RAISES (UserError): If one is damaged."""
    for path in sorted(folder.glob(f"*/{NAME}")):
        try:
            yield path.parent, msgspec.json.decode(path.read_bytes(), type=Queue)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise UserError(f"{path}: is damaged ({err}); restore it, or remove the folder to ask again") from err


def next_folder(folder: Path) -> Path:
    """001, 002, …: the number after the largest that there is."""
    taken = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return folder / f"{max(taken, default=0) + 1:03}"
