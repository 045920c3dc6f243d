"""brat: a .txt and an .ann a text. See https://brat.nlplab.org/standoff.html."""

import re

from scripts.core.answers import GoldText, Span
from scripts.exporting.writer import Writer

_TYPE = re.compile(r"[\w-]+")  # names of types that brat accepts
_FRAGMENT = re.compile(r"\S(?:[^\n]*\S)?")  # brat divides a span at ends of lines: without whitespace around it
_BOM = "\ufeff"


class BratWriter(Writer):
    """A folder `complete` for texts in which all labels are covered, `incomplete` for the others, below one
    annotation.conf. Files are named by the text's hash.
    """

    def start(self) -> None:
        self._last: tuple[int, int] = (0, 0)  # the hash of the last text, and the number of texts in a row that had it
        types = [label for label in self.labels if _TYPE.fullmatch(label)]
        sections = ["[entities]", *types, "[relations]", "[events]", "[attributes]"]
        (self.folder / "annotation.conf").write_bytes("".join(f"{line}\n" for line in sections).encode())

    def add(self, text: GoldText) -> None:
        entities = self.entities(text, keeps_meta=False)
        spans = [span for span in entities if _TYPE.fullmatch(span.label)]
        self.spans["label with characters that brat does not allow"] += len(entities) - len(spans)
        self.notes["texts with a byte order mark at the start, which readers drop"] += text.text.startswith(_BOM)
        if not spans and self.completeness(text) == "complete":
            self.notes[
                'texts without entities, whose empty .ann says nothing: without_spans = "annotated" reads it'
            ] += 1
        path = self.folder / self.completeness(text) / self._name(text.input_hash)
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".txt").write_bytes(text.text.encode())
        lines = (_line(number, text.text, span) for number, span in enumerate(spans, 1))
        path.with_suffix(".ann").write_bytes("".join(lines).encode())
        self.count("written", len(spans))

    def _name(self, input_hash: int) -> str:
        """Return the hash as eight digits, with a number for texts that share it; these follow each other."""
        last, times = self._last
        self._last = (input_hash, times + 1 if times and last == input_hash else 1)
        name = f"{input_hash & 0xFFFFFFFF:08x}"
        return name if self._last[1] == 1 else f"{name}-{self._last[1]}"


def _line(number: int, text: str, span: Span) -> str:
    fragments = list(_FRAGMENT.finditer(text, span.start, span.end))
    offsets = ";".join(f"{match.start()} {match.end()}" for match in fragments)
    quote = " ".join(match[0] for match in fragments)
    return f"T{number}\t{span.label} {offsets}\t{quote}\n"
