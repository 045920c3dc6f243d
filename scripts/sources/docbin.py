"""spaCy's DocBin: .spacy files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files
from scripts.sources.offsets import Mark
from scripts.sources.source import Intake

if TYPE_CHECKING:  # a config that names no .spacy file is read without spaCy
    from spacy.tokens import Doc

_WRONG = "incorrect_spans"  # as spaCy's config of `ner` calls them
_COVERED = "covered"


@registry.readers("labelwise.DocBin.v1")
class DocBinFiles(Files, frozen=True):
    """Read what spaCy trains on. `doc.spans["incorrect_spans"]` are rejected, one by one. Where tokens have no entity
    tag at all (not even "O") no label is covered: then each entity is taken as a binary answer. `doc.spans["covered"]`,
    if a Doc has it, names the labels that are.

    path (str): The file, or a folder with *.spacy files. One file is in memory at a time.
    spans_key (str): Take the spans in `doc.spans` under this key, instead of `doc.ents`.
    """

    endings: ClassVar[tuple[str, ...]] = (".spacy",)
    spans_key: str = ""

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the Docs of a file."""
        for number, doc in enumerate(_docs(path), 1):
            yield Record(f"{name}:{number}", [self._document(doc)])

    def _document(self, doc: Doc) -> Document:
        spans = doc.spans.get(self.spans_key, ()) if self.spans_key else doc.ents
        marks, wrong = (
            [Mark(span.start_char, span.end_char, span.label_) for span in group]
            for group in (spans, doc.spans.get(_WRONG, ()))
        )
        return Document(doc.text, marks, wrong, complete=self._complete(doc), annotator=self.annotator)

    def _complete(self, doc: Doc) -> tuple[str, ...] | None:
        """Return the labels that the Doc is complete for; None: all."""
        if _COVERED in doc.spans:
            covered = doc.spans[_COVERED]
            return tuple(span.label_ for span in covered if (span.start, span.end) == (0, len(doc)))
        if self.spans_key:
            return None if self.spans_key in doc.spans else ()
        return None if all(token.ent_iob for token in doc) else ()


def _docs(path: Path) -> Iterator[Doc]:
    """RAISES (UserError): If it is no DocBin, or damaged."""
    import spacy
    from spacy.tokens import DocBin

    try:
        yield from DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab)
    except OSError:
        raise
    except Exception as err:  # msgpack, zlib and numpy can raise anything on damaged data
        message = f"{type(err).__name__}: {err}".split("\n")[0][:200]
        raise UserError(f"{path}: is no DocBin of spaCy, or damaged ({message})") from err
