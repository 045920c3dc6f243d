"""CoNLL: a token and its tag (IOB2) a line, an empty line after each text."""

from collections.abc import Sequence

from scripts.core.answers import GoldText, Span
from scripts.exporting.tokens import Token
from scripts.exporting.writer import Writer
from scripts.merging.decide import longest_first


class ConllWriter(Writer):
    """complete.conll has the texts in which all labels are covered, incomplete.conll the others. Tokens of whitespace
    are not written, nor are spans that overlap a longer one; a text that lacks such a span is not complete.
    """

    suffix = ".conll"

    def add(self, text: GoldText) -> None:
        spans, overlapping = longest_first(self.entities(text, keeps_meta=False))
        self.spans["overlaps a longer span of another label"] += len(overlapping)
        tokens = self.cut(self.tokens.of(text.text), spans)
        # A token of a custom tokenizer may hold whitespace, but has one line and one column.
        words = [(token, " ".join(text.text[token.start : token.end].split())) for token in tokens]
        words = [(token, word) for token, word in words if word]
        is_other = " ".join(word for _, word in words) != text.text
        self.notes["texts with other whitespace than one space between tokens"] += is_other
        tags = _tags([token for token, _ in words], spans)
        lines = "".join(f"{word}\t{tag}\n" for (_, word), tag in zip(words, tags, strict=True))
        self.parts["incomplete" if overlapping else self.completeness(text)].write(f"{lines}\n".encode())
        self.count("written", len(spans))


def _tags(tokens: list[Token], spans: Sequence[Span]) -> list[str]:
    """Return a tag a token. The spans are sorted, do not overlap, and end where tokens do."""
    tags = []
    pending = iter([*spans, Span(2**62, 2**62, "")])
    span = next(pending)
    for token in tokens:
        while span.end <= token.start:
            span = next(pending)
        inside = span.start <= token.start
        tags.append(f"{'B' if span.start == token.start else 'I'}-{span.label}" if inside else "O")
    return tags
