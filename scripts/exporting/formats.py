"""What a format must do, and what formats without a place for coverage make of a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scripts.core.answers import GoldText, Span
from scripts.exporting.account import Account
from scripts.exporting.tokens import Tokens


@dataclass(frozen=True)
class Export:
    """What is exported, and where to.

    folder (Path): An empty folder for the files.
    labels (list[str]): The labels that are exported, sorted.
    tokens (Tokens): Tokenizes as the pipeline will.
    account (Account): A format tells it of each text that it is written, or why it is not, and of each span.
    """

    folder: Path
    labels: list[str]
    tokens: Tokens
    account: Account


class Format(Protocol):
    """Writes texts, one after the other, into the folder of its export."""

    def add(self, text: GoldText) -> None:
        """Write a text, of which only what is about the exported labels is left."""

    def close(self) -> None:
        """There are no more texts."""


def is_complete(text: GoldText, labels: list[str]) -> bool:
    """Whether all labels are covered."""
    return len(text.covered) == len(labels)


def entities(text: GoldText, export: Export, keeps_meta: bool) -> list[Span]:
    """The spans known to be entities, sorted: all that a format has a place for which knows texts and spans only.

    What it has no place for is told to the account: rejected spans, coverage where it is not complete, and meta.
    """
    account = export.account
    account.leave_out_spans("known not to be an entity", len(text.rejected))
    if not is_complete(text, export.labels):
        account.note("not known for all labels: among the incomplete, and for which it is known is left out")
    note_unresolved(text, account)
    if not keeps_meta:
        account.note("meta left out", bool(text.meta))
    return sorted([*text.spans, *text.accepted])


def note_unresolved(text: GoldText, account: Account) -> None:
    """What differs from a label that nobody was asked about only by what is in corpus/conflicts.jsonl."""
    account.note("labels unresolved in a text, given as not annotated", len(text.unresolved))


def side(text: GoldText, labels: list[str]) -> str:
    """The name of the file or folder for the text: what can be trained on as it is, and what cannot."""
    return "complete" if is_complete(text, labels) else "incomplete"
