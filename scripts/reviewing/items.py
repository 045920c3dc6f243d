"""What a person is asked about one text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from scripts.annotations.records import GoldText, Span


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
