"""Tokens and spans in the form of Prodigy's tasks."""

from __future__ import annotations

from typing import Any

from scripts.annotations.records import Span


def prodigy_token(text: str, number: int, start: int, end: int, blank: bool) -> dict[str, Any]:
    """A token of a text; blank says whether a blank follows that is no part of a token."""
    return {"text": text[start:end], "start": start, "end": end, "id": number, "ws": blank}


def prodigy_span(span: Span, token_start: int, token_end: int) -> dict[str, Any]:
    """A span with the numbers of its first and of its last token."""
    return {
        "start": span.start,
        "end": span.end,
        "token_start": token_start,
        "token_end": token_end,
        "label": span.label,
    }
