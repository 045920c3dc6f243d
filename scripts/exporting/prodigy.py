"""Prodigy JSONL: a file a label, each a dataset for `prodigy db-in`; and tasks in Prodigy's form."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from scripts.core.answers import Answer, GoldText, Span
from scripts.core.manifest import file_name
from scripts.core.texts import input_hash, task_hash
from scripts.exporting.tokens import Token
from scripts.exporting.writer import Writer, span_count

_encode = msgspec.json.Encoder().encode_lines


class ProdigyTokens:
    """The tokens of a text in the form of Prodigy's tasks.

    json (msgspec.Raw): The value of a task's "tokens", encoded: tasks about the same text share it.
    """

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.tokens = tokens
        shown = [
            {"text": text[start:end], "start": start, "end": end, "id": number, "ws": space}
            for number, (start, end, space) in enumerate(tokens)
        ]
        self.json = msgspec.Raw(msgspec.json.encode(shown))
        self._starts = {token.start: number for number, token in enumerate(tokens)}
        self._ends = {token.end: number for number, token in enumerate(tokens)}

    def span(self, span: Span) -> dict[str, Any]:
        """A span with the numbers of its first and last token. RAISES (KeyError): If a boundary is inside a token."""
        first, last = self._starts[span.start], self._ends[span.end]
        return {"start": span.start, "end": span.end, "token_start": first, "token_end": last, "label": span.label}


def prodigy_task(text: GoldText, tokens: ProdigyTokens, spans: Iterable[Span], view: str) -> dict[str, Any]:
    """A task without an answer, for msgspec to encode.

    spans (Iterable[Span]): The spans that it shows, with boundaries between tokens.
    view (str): Prodigy's interface: "ner_manual" or "ner".
    """
    shown = [tokens.span(span) for span in spans]
    return {
        "text": text.text,
        **({"meta": text.meta} if text.meta else {}),
        "_input_hash": text.input_hash,
        "_task_hash": task_hash(text.input_hash, shown),
        "tokens": tokens.json,
        "_view_id": view,
        "spans": shown,
    }


class ProdigyWriter(Writer):
    """A text becomes, in the file of each label, a task as of `ner.manual` if the label is covered, else a task a
    decided span as of `ner.teach`. A range in which the label is covered becomes a task of its own about that part of
    the text, as Prodigy makes them of sentences.
    """

    def start(self) -> None:
        names = [file_name(label) for label in self.labels]
        times = Counter(name.casefold() for name in names)  # file systems may not tell "Org" from "ORG"
        self._by_label = {
            label: self.open(name if times[name.casefold()] == 1 else f"{number}-{name}")
            for number, (label, name) in enumerate(zip(self.labels, names, strict=True), 1)
        }

    def add(self, text: GoldText) -> None:
        tokens = ProdigyTokens(text.text, self.tokens.of(text.text))
        for label in text.covered:
            spans = [span for span in text.spans if span.label == label]
            self._write(text, tokens, label, spans, "accept", is_binary=False)
        for label, ranges in text.covered_ranges.items():
            for start, end in ranges:
                self._write_part(text, label, start, end)
        for span in text.accepted:
            if text.covers(span.label, span.start, span.end):
                continue  # it is in a part
            self._write(text, tokens, span.label, [span], "accept", is_binary=True)
        for span in text.rejected:
            self._write(text, tokens, span.label, [span], "reject", is_binary=True)
        self.note_unresolved(text)
        self.count("written", span_count(text))

    def _write_part(self, text: GoldText, label: str, start: int, end: int) -> None:
        """Write a range in which a label is covered as a text of its own, without whitespace around it."""
        start += len(text.text[start:end]) - len(text.text[start:end].lstrip())
        wording = text.text[start:end].rstrip()
        if not wording:
            return
        spans = [
            Span(span.start - start, span.end - start, label)
            for span in text.accepted
            if span.label == label and start <= span.start and span.end <= start + len(wording)
        ]
        part = msgspec.structs.replace(text, text=wording, input_hash=input_hash(wording))
        self._write(part, ProdigyTokens(wording, self.tokens.of(wording)), label, spans, "accept", is_binary=False)
        self.notes["ranges in which a label is covered, written as texts of their own"] += 1

    def _write(
        self, text: GoldText, tokens: ProdigyTokens, label: str, spans: list[Span], answer: Answer, is_binary: bool
    ) -> None:
        pieces = self.cut(tokens.tokens, spans)
        shown = tokens if pieces is tokens.tokens else ProdigyTokens(text.text, pieces)
        task = prodigy_task(text, shown, spans, "ner" if is_binary else "ner_manual")
        self._by_label[label].write(_encode([task | {"_is_binary": is_binary, "answer": answer}]))
