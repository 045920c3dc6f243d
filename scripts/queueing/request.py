"""The request for a queue, its items, and queues/<label>/<number>/queue.json, which remembers what was asked."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from scripts.building.splits import SplitName
from scripts.core.answers import GoldText, Span
from scripts.core.files import Count, demand_sum, read_json_if_there
from scripts.merging.account import Ledger

NAME = "queue.json"
QueueKind = Literal["uncovered", "suspects", "conflicts"]
Order = Literal["informative", "random"]
Prefill = Literal["gold", "model", "none"]


class Request(msgspec.Struct, kw_only=True, frozen=True):
    """The options of a queue."""

    label: str
    kind: QueueKind = "uncovered"  # texts in which the label is not covered, suspects, or conflicts between answers
    format: str = "prodigy"  # a key of `tasks.FORMATS`
    texts: SplitName = "train"  # the split of uncovered texts
    order: Order = "informative"  # of uncovered texts: the most informative first, or a random sample
    prefill: Prefill = "gold"  # spans in the tasks of uncovered texts: those in the gold, also predicted ones, or none
    limit: int = 100  # tasks
    seed: int = 0  # of the random sample


class QueueItem(NamedTuple):
    """A task before it is written in a format."""

    text: GoldText
    spans: list[Span]  # that the task shows, sorted
    reason: dict[str, Any]  # why it is asked; it becomes part of the task's meta
    asked: list[str]  # keys of what is asked, see `question_key`
    versions: Sequence[tuple[list[Span], list[str]]] = ()  # of a review: spans of the label, and who proposes them


class Selection(NamedTuple):
    """The items of a queue in their order, and the outcomes of all texts, suspects or conflicts that were read."""

    items: list[QueueItem]
    counts: Ledger


class Queue(msgspec.Struct, kw_only=True):
    """queue.json."""

    request: Request
    gold: str  # digest
    models: dict[str, str]  # digests of the models that ranked the texts, by folder
    unit: str  # of the counts: text, suspect or conflict
    counts: dict[str, Count]  # read = queued + the others, by reason
    tasks: Count  # one a text, so that several suspects can be in one
    informativeness: list[float]  # of the first and the last text, if models ranked them
    asked: list[str]  # keys of what was asked, sorted; later queues leave it out

    def __post_init__(self) -> None:
        """RAISES (ValueError): If the counts do not add up."""
        demand_sum(self.counts, "read")


def spans_of(spans: Iterable[Span], label: str) -> list[Span]:
    """Return the spans of a label."""
    return [span for span in spans if span.label == label]


def without_overlap(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """Return the spans that overlap none of the others."""
    others = list(others)
    return [span for span in spans if all(span.end <= other.start or other.end <= span.start for other in others)]


def question_key(*parts: object) -> str:
    """Digest of a question: the text and, for a suspect or a conflict, the place and the annotations in question."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=8).hexdigest()


def asked_before(folder: Path) -> frozenset[str]:
    """Keys of all that was asked in the queues of a label. RAISES (UserError): If a queue.json is damaged."""
    mend = "restore it, or remove the folder to ask again"
    queues = (read_json_if_there(path, Queue, mend) for path in sorted(folder.glob(f"*/{NAME}")))
    return frozenset(key for queue in queues if queue for key in queue.asked)
