"""DocBins, as `corpus` makes them: https://spacy.io/api/docbin."""

from spacy.tokens import Doc

from scripts.building.documents import DocMaker
from scripts.building.shards import EntityBin
from scripts.core.answers import GoldText, Span
from scripts.exporting.writer import Writer, span_count

_SHARD = 2**22  # code points: a DocBin of many more is slow, and at some size an error


class DocbinWriter(Writer):
    """Shards of Docs. `doc.ents` has the spans without those that overlap a longer one, missing where a label is not
    covered; `doc.spans` has all of them ("gold"), the tokens at which a label is covered ("covered"), and rejected
    spans ("incorrect_spans").
    """

    def start(self) -> None:
        self._shards = 0
        self._start_shard()

    def add(self, text: GoldText) -> None:
        if (doc := self._maker.make(text)) is None:
            self.count("too long for the pipeline", span_count(text))
            return
        self._docs.add(doc)
        assert all(span.outcome == "too long" for span in self._maker.misaligned)
        self.notes["texts without their meta"] += bool(text.meta)
        self.note_unresolved(text)
        self.count("written", span_count(text))
        self._size += len(text.text)
        if self._size >= _SHARD:
            self._write_shard()

    def close(self) -> None:
        self._write_shard()
        super().close()

    def _write_shard(self) -> None:
        if len(self._docs):
            self._shards += 1
            (self.folder / f"{self._shards:04}.spacy").write_bytes(self._docs.to_bytes())
            self._start_shard()

    def _start_shard(self) -> None:
        self._docs = EntityBin(self.labels)
        self._maker = CuttingDocMaker(self)
        self._size = 0


class CuttingDocMaker(DocMaker):
    """Cuts tokens at the boundaries of spans and covered ranges, so that none is misaligned."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer.tokens.nlp, frozenset(writer.labels), "skip")
        self._writer = writer

    def tokenize(self, text: GoldText) -> Doc:
        """Return the Doc without annotations."""
        ranges = (Span(start, end, label) for label, found in text.covered_ranges.items() for start, end in found)
        spans = (*text.spans, *text.accepted, *text.rejected, *ranges)
        tokens = self._writer.cut(self._writer.tokens.of(text.text), spans)
        words = [text.text[token.start : token.end] for token in tokens]
        return Doc(self.nlp.vocab, words, [token.space for token in tokens])
