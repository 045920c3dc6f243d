"""DocBins, as `corpus` makes them: https://spacy.io/api/docbin."""

from __future__ import annotations

from spacy.tokens import Doc

from scripts.building.documents import DocMaker
from scripts.building.shards import EntityBin, encoders_looked_up
from scripts.core.answers import GoldText
from scripts.exporting.formats import Export, note_unresolved
from scripts.exporting.tokens import cut

_SHARD = 2**22  # code points; a DocBin of much more than that is slow, and beyond some size an error


class Docbin:
    """A folder of .spacy files. `doc.ents` are the spans without those that overlap a longer one, missing where a
    label is not known; `doc.spans` have all of them ("gold"), the tokens at which a label is known ("covered"), and
    what is known not to be an entity ("incorrect_spans").
    """

    def __init__(self, export: Export) -> None:
        self._export = export
        self._written = 0
        self._start()

    def add(self, text: GoldText) -> None:
        """Add a text to the shard, and write the shard if it is large enough."""
        account = self._export.account
        spans = len(text.spans) + len(text.accepted) + len(text.rejected)
        with encoders_looked_up():
            if (made := self._maker.make(text)) is None:
                account.leave_out("text longer than the pipeline takes", spans)
                return
            self._docs.add(made.doc)
        assert not [misfit for misfit in self._maker.misfits if misfit.fate != "too long"]
        account.note("meta left out", bool(text.meta))
        note_unresolved(text, account)
        account.write(spans)
        self._size += len(text.text)
        if self._size >= _SHARD:
            self.close()

    def close(self) -> None:
        """Write the shard."""
        if len(self._docs):
            self._written += 1
            (self._export.folder / f"{self._written:04}.spacy").write_bytes(self._docs.to_bytes())
            self._start()

    def _start(self) -> None:
        self._docs = EntityBin(self._export.labels)
        self._maker = _Maker(self._export)
        self._size = 0


class _Maker(DocMaker):
    """Cuts tokens, so that no span is off them."""

    def __init__(self, export: Export) -> None:
        super().__init__(export.tokens.nlp, frozenset(export.labels), "skip")
        self._export = export

    def tokenize(self, text: GoldText) -> Doc:
        """The Doc, of which nothing is known yet."""
        whole = self._export.tokens.of(text.text)
        tokens = cut(whole, (*text.spans, *text.accepted, *text.rejected))
        self._export.account.note("tokens cut where a span begins or ends", len(tokens) - len(whole))
        words = [text.text[token.start : token.end] for token in tokens]
        return Doc(self.nlp.vocab, words, [token.blank for token in tokens])
