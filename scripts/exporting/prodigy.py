"""Tokens and spans in the form of Prodigy's tasks.

Prodigy JSONL: a file a label, each of them a dataset for `prodigy db-in`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import msgspec

from scripts.core.answers import Answer, GoldText, Span
from scripts.core.hashing import task_hash
from scripts.core.manifest import file_name
from scripts.exporting.formats import Export, note_unresolved
from scripts.exporting.tokens import Token, cut


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


_encode = msgspec.json.Encoder().encode_lines


class Prodigy:
    """Where the label is covered, a task as `ner.manual` makes it; where single spans are known, a task a span as
    `ner.teach` does. Of a text there is nothing in the file of a label of which nothing is known.
    """

    def __init__(self, export: Export) -> None:
        self._export = export
        self._open = ExitStack()
        names = [file_name(label) for label in export.labels]
        twins = {name.casefold() for name in names if sum(name.casefold() == one.casefold() for one in names) > 1}
        self._files = {
            label: self._open.enter_context(
                (export.folder / (f"{number}-{name}" if name.casefold() in twins else name)).open("wb")
            )
            for number, (label, name) in enumerate(zip(export.labels, names, strict=True), 1)
        }

    def add(self, text: GoldText) -> None:
        """Write a text to the file of each label of which something is known."""
        whole = Shown(text.text, self._export.tokens.of(text.text))
        for label in text.covered:
            spans = [span for span in text.spans if span.label == label]
            self._write(text, whole, label, spans, "accept", False)
        answers: list[tuple[Answer, list[Span]]] = [("accept", text.accepted), ("reject", text.rejected)]
        for answer, spans in answers:
            for span in spans:
                self._write(text, whole, span.label, [span], answer, True)
        note_unresolved(text, self._export.account)
        self._export.account.write(len(text.spans) + len(text.accepted) + len(text.rejected))

    def close(self) -> None:
        """Close the files."""
        self._open.close()

    def _write(
        self, text: GoldText, whole: Shown, label: str, spans: list[Span], answer: Answer, is_binary: bool
    ) -> None:
        tokens = cut(whole.tokens, spans)
        cuts = len(tokens) - len(whole.tokens)
        shown = Shown(text.text, tokens) if cuts else whole
        task = prodigy_task(text, shown, spans, "ner" if is_binary else "ner_manual")
        self._export.account.note("tokens cut where a span begins or ends", cuts)
        self._files[label].write(_encode([task | {"_is_binary": is_binary, "answer": answer}]))


class Shown:
    """The tokens of a text, in the form of tasks.

    text (str): The text. tokens (list[Token]): Its tokens.
    """

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.json = msgspec.Raw(
            msgspec.json.encode([prodigy_token(text, number, *token) for number, token in enumerate(tokens)])
        )
        self._starts = {token.start: number for number, token in enumerate(tokens)}
        self._ends = {token.end: number for number, token in enumerate(tokens)}

    def span(self, span: Span) -> dict[str, Any]:
        """A span of whole tokens. RAISES (KeyError): If it begins or ends in one."""
        return prodigy_span(span, self._starts[span.start], self._ends[span.end])


def prodigy_task(text: GoldText, shown: Shown, spans: Iterable[Span], view: str) -> dict[str, Any]:
    """A task with spans and hashes that nobody has answered yet.

    text (GoldText), shown (Shown): The text and its tokens, such that the spans are of whole ones.
    spans (Iterable[Span]): What is marked in it.
    view (str): Prodigy's name of the interface: "ner_manual" or "ner".
    RETURNS (dict[str, Any]): The task, for msgspec to encode.
    """
    found = [shown.span(span) for span in spans]
    return {
        "text": text.text,
        **({"meta": text.meta} if text.meta else {}),
        "_input_hash": text.input_hash,
        "_task_hash": task_hash(text.input_hash, found),
        "tokens": shown.json,
        "_view_id": view,
        "spans": found,
    }
