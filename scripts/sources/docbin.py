"""spaCy's DocBin: .spacy files."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace

from scripts.core.errors import UserError
from scripts.core.files import BUFFER
from scripts.core.settings import registry
from scripts.sources.columns import names_predictions
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files
from scripts.sources.limits import max_record
from scripts.sources.offsets import Mark, UnitEvidence
from scripts.sources.source import Intake

if TYPE_CHECKING:  # a config that names no .spacy file is read without spaCy
    from spacy.tokens import Doc, Span

_WRONG = "incorrect_spans"  # as spaCy's config of `ner` calls them
_COVERED = "covered"
_RECORDS = 16  # of the largest size, in a file
_MAX_RATIO = 1032  # of zlib's, see https://zlib.net/zlib_tech.html
_GOLD = "gold"  # of our own Docs, whose entities are these spans without overlaps
_OURS = (_GOLD, "misaligned")
_ACCEPTED = 2  # the id of accepted spans that have all tokens of a text that is not covered


@registry.readers("labelwise.DocBin.v1")
class DocBinFiles(Files, frozen=True):
    """Read what spaCy trains on. `doc.spans["incorrect_spans"]` are rejected, one by one. Where tokens have no entity
    tag at all (not even "O") no label is covered: then each entity is taken as a binary answer. `doc.spans["covered"]`,
    if a Doc has it, names the labels that are; with `doc.spans["gold"]` beside it, as `corpus` and `export` write them,
    the entities are taken from that, since those of `doc.ents` do not overlap.

    path (str): The file, or a folder with *.spacy files. One file is in memory at a time.
    spans_key (str): Take the spans in `doc.spans` under this key, instead of `doc.ents`. If not given, and no Doc has
        an entity, that with the most spans is taken, as `spancat` has them, one of predictions last.
    """

    endings: ClassVar[tuple[str, ...]] = (".spacy",)
    spans_key: str = ""

    def first_look(self, intake: Intake) -> tuple[DocBinFiles, UnitEvidence]:
        """Return the source with the key of its spans, if it has no entities."""
        if self.spans_key or any(_entities(doc) for doc in self._all_docs()):
            return self, UnitEvidence()
        keys = _spans_by_key(self._all_docs())
        if not keys:
            return self, UnitEvidence()
        key = max(keys, key=lambda key: (not names_predictions(key), keys[key].total()))
        intake.note(f"file without entities, spans taken from doc.spans[{key!r}]")
        return replace(self, spans_key=key), UnitEvidence()

    def findings(self) -> list[str]:
        """Tell where else there are spans."""
        chosen = self.first_look(Intake(lambda _: None))[0].spans_key
        entities = (
            Counter(entity.label_ for doc in self._all_docs() for entity in _entities(doc))
            if chosen
            else Counter[str]()
        )
        told = [f'{_labelled(entities)} in doc.ents too: spans_key = "{chosen}" does not take them'] if entities else []
        for key, labels in sorted(_spans_by_key(self._all_docs()).items()):
            if key == chosen and not self.spans_key:
                told.append(f'no entity in doc.ents, so spans are taken from doc.spans: spans_key = "{key}"')
            elif key != chosen:
                told.append(f'{_labelled(labels)} in doc.spans under another key: spans_key = "{key}"')
        return told + Files.findings(self)

    def _all_docs(self) -> Iterator[Doc]:
        return chain.from_iterable(_docs(path) for path, _ in self.files())

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the Docs of a file."""
        for number, doc in enumerate(_docs(path), 1):
            for span in doc.spans.get(_COVERED, ()):
                is_range = span.id not in (0, _ACCEPTED)  # as `corpus` and `export` write them
                if is_range and not _is_whole(span, doc):
                    intake.note("range in which a label is covered, of which only the entities are taken")
            yield Record(f"{name}:{number}", [self._document(doc)])

    def _document(self, doc: Doc) -> Document:
        spans = doc.spans.get(self.spans_key, ()) if self.spans_key else _entities(doc)
        marks, wrong = (
            [Mark(span.start_char, span.end_char, span.label_) for span in group]
            for group in (spans, doc.spans.get(_WRONG, ()))
        )
        return Document(doc.text, marks, wrong, complete=self._complete(doc), annotator=self.annotator)

    def _complete(self, doc: Doc) -> tuple[str, ...] | None:
        """Return the labels that the Doc is complete for; None: all."""
        if _COVERED in doc.spans:
            covered = doc.spans[_COVERED]
            return tuple(span.label_ for span in covered if _is_whole(span, doc) and span.id != _ACCEPTED)
        if self.spans_key:
            return None if self.spans_key in doc.spans else ()
        return None if all(token.ent_iob for token in doc) else ()


def _is_whole(span: Span, doc: Doc) -> bool:
    return (span.start, span.end) == (0, len(doc))


def _entities(doc: Doc) -> Iterable[Span]:
    """Return the entities of a Doc. Those in `doc.ents` do not overlap."""
    return doc.spans[_GOLD] if _GOLD in doc.spans and _COVERED in doc.spans else doc.ents


def _spans_by_key(docs: Iterable[Doc]) -> dict[str, Counter[str]]:
    """Count the spans in `doc.spans` by key and label; what this project puts there does not count."""
    found: dict[str, Counter[str]] = {}
    for doc in docs:
        for key, group in doc.spans.items():
            if len(group) and key not in (_WRONG, _COVERED, *_OURS):
                found.setdefault(key, Counter()).update(span.label_ for span in group)
    return found


def _labelled(labels: Counter[str]) -> str:
    """Say how many spans there are, and of which labels."""
    names = sorted(labels)
    return f"{labels.total():,} spans ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"


def _check_size(path: Path) -> None:
    """RAISES (UserError): If the Docs of a file, which are unpacked at once, may be made to fill the memory."""
    limit = _RECORDS * max_record()
    if path.stat().st_size * _MAX_RATIO <= limit:
        return
    unpacked, size = zlib.decompressobj(), 0
    with path.open("rb") as file:
        while block := unpacked.unconsumed_tail or file.read(BUFFER):
            size += len(unpacked.decompress(block, BUFFER))
            if size > limit:
                mb = limit // 2**20
                raise UserError(
                    f"{path}: unpacked, it is larger than {mb:,} MiB, {_RECORDS} times [pull] max_record_mb; save its "
                    "Docs in several files"
                )


def _docs(path: Path) -> Iterator[Doc]:
    """RAISES (UserError): If it is no DocBin, or damaged."""
    import spacy
    from spacy.tokens import DocBin

    try:
        _check_size(path)
        yield from DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab)
    except (OSError, UserError):
        raise
    except Exception as err:  # msgpack, zlib and numpy can raise anything on damaged data
        # The error may quote the text.
        raise UserError(f"{path}: is no DocBin of spaCy, or damaged ({type(err).__name__})") from err
