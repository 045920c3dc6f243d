"""CoNLL: a token and its tag (IOB2) a line, a blank line after each text."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from scripts.core.answers import GoldText, Span
from scripts.exporting.formats import Export, entities, side
from scripts.exporting.tokens import Token, cut
from scripts.merging.decide import longest_first


class Conll:
    """complete.conll has the texts in which all labels are known, incomplete.conll the others. Tokens of blanks are
    left out, and so are spans that overlap a longer one.
    """

    def __init__(self, export: Export) -> None:
        self._export = export
        self._open = ExitStack()
        self._files = {
            name: self._open.enter_context((export.folder / f"{name}.conll").open("wb"))
            for name in ("complete", "incomplete")
        }

    def add(self, text: GoldText) -> None:
        """Write a text."""
        account = self._export.account
        found = entities(text, self._export, keeps_meta=False)
        spans, overlapping = longest_first(found)
        account.leave_out_spans("overlaps a longer span of another label", len(overlapping))
        whole = self._export.tokens.of(text.text)
        tokens = cut(whole, spans)
        account.note("tokens cut where a span begins or ends", len(tokens) - len(whole))
        words = [(token, _one_line(text.text[token.start : token.end])) for token in tokens]
        words = [(token, word) for token, word in words if word]
        account.note("other blanks between tokens than one each", " ".join(word for _, word in words) != text.text)
        tags = _tags([token for token, _ in words], spans)
        lines = "".join(f"{word}\t{tag}\n" for (_, word), tag in zip(words, tags, strict=True))
        self._files[side(text, self._export.labels)].write(f"{lines}\n".encode())
        account.write(len(spans))

    def close(self) -> None:
        """Close the files."""
        self._open.close()


def _tags(tokens: list[Token], spans: Sequence[Span]) -> list[str]:
    tags = []
    pending = iter([*spans, Span(2**62, 2**62, "")])
    span = next(pending)
    for token in tokens:
        while span.end <= token.start:
            span = next(pending)
        inside = span.start <= token.start
        tags.append(f"{'B' if span.start == token.start else 'I'}-{span.label}" if inside else "O")
    return tags


def _one_line(word: str) -> str:
    """A token of a tokenizer of one's own may hold blanks; but it has one line, and one column."""
    return " ".join(word.split())
