"""Hugging Face datasets for token classification, on disk: Arrow, as `save_to_disk` writes it, or Parquet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import replace

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.core.texts import is_written_together
from scripts.sources.columns import are_phrases, is_tag, list_labels, names_predictions
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files, NamedFile, has_ending
from scripts.sources.offsets import UnitEvidence
from scripts.sources.source import Intake
from scripts.sources.tags import JOINED, Scheme, SchemeSetting, check_scheme, entities, find_scheme, tagged_text

if TYPE_CHECKING:  # an extra
    from pyarrow import RecordBatch, Schema

_BATCH = 1000  # rows
_INFO = "dataset_info.json"
_TOKENS, _TAGS = "tokens", "ner_tags"  # as nearly all of them are called


@registry.readers("labelwise.HuggingFace.v1")
class HuggingFace(Files, frozen=True):
    """Read tokens and their tags. The text is the tokens with a space between them, since no more is known of it;
    without, in scripts that have none between words.
    It needs `pip install -r requirements-arrow.txt`.

    path (str): A .parquet or .arrow file, or a folder with such files in it or below.
    tokens (str), tags (str): The columns. By default those that are called `tokens` and `ner_tags`, or else the lists
        of texts, and of tags or of numbers with the names of tags; of several the one with the most entities, phrases
        (NP, VP) and predictions aside.
    names (list[str]): The tags that numbers stand for, from 0: `["O", "B-PER", "I-PER"]`. Needed where the
        files do not say so themselves.
    scheme (str): "iob1", "iob2", "biluo" (also BIOES), "io", or "auto": the one that the files keep to. An entity
        that breaks its rules is skipped.
    """

    endings: ClassVar[tuple[str, ...]] = (".parquet", ".arrow")
    tokens: str = ""
    tags: str = ""
    names: Sequence[str] = ()
    scheme: SchemeSetting = "auto"

    def __post_init__(self) -> None:
        check_scheme(self.scheme)

    def all_files(self) -> list[NamedFile]:
        """The files, and those beside them with the names of their tags."""
        beside = {_described_in(path): f"{name}/{_INFO}" for path, name in self.files()}
        return [*self.files(), *((path, name) for path, name in beside.items() if path.is_file())]

    def first_look(self, intake: Intake) -> tuple[HuggingFace, UnitEvidence]:
        """Return the source with the columns that its first rows tell."""
        return self._with_columns(), UnitEvidence()

    def note_unread(self, intake: Intake) -> None:
        """Note other columns with tags."""
        for name, spans in self._other_columns().items():
            intake.note(f'span in column {name}, which has tags too: tags = "{name}" takes it', spans.total())

    def findings(self) -> list[str]:
        """Tell of columns with tags, and of splits."""
        found = Files.findings(self)
        if others := self._other_columns():
            takes = [f'tags = "{name}" takes {list_labels(spans)}' for name, spans in others.items()]
            found.append("; ".join([f"tags of column {self._with_columns().tags} are taken", *takes]))
        return found

    def _with_columns(self) -> HuggingFace:
        if self.tokens and self.tags:
            return self
        words, tags = self._columns(all_rows=False)
        tokens = self.tokens or (_TOKENS if _TOKENS in words or not words else words[0])
        rank = {
            name: (name == _TAGS, not names_predictions(name), not are_phrases(spans), spans.total())
            for name, spans in tags.items()
        }
        best = max(rank, key=rank.__getitem__, default=_TAGS)
        return replace(self, tokens=tokens, tags=self.tags or best)

    def _other_columns(self) -> dict[str, Counter[str]]:
        """The columns with tags that are not taken, with all their spans; none if the config says which is taken."""
        if self.tags or len(self._columns(all_rows=False)[1]) < 2:
            return {}
        taken = self._with_columns().tags
        return {name: spans for name, spans in self._columns(all_rows=True)[1].items() if name != taken}

    def _columns(self, all_rows: bool) -> tuple[list[str], dict[str, Counter[str]]]:
        """Find the columns with texts, and those with tags and their spans, in the first rows of files or in all."""
        words: list[str] = []
        tags: dict[str, Counter[str]] = {}
        for path, _ in self.files():
            with _batches(path, None) as (schema, batches):
                named = {name: self.names or _names(path, schema, name) for name in _list_columns(schema)}
                for batch in batches if all_rows else islice(batches, 1):
                    for name, names in named.items():
                        rows = batch.slice(0, None if all_rows else _BATCH).column(name).to_pylist()
                        tagged = [found for row in rows if (found := _texts(row, names))]
                        if _are_tags(tagged, names):
                            scheme = find_scheme("auto", tagged)
                            spans = (entity.label for row in tagged for entity in entities(row, scheme))
                            tags.setdefault(name, Counter()).update(spans)
                        elif tagged and not names and name not in words:
                            words.append(name)
        return words, tags

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the rows. The file is read twice, first to find its scheme."""
        scheme = find_scheme(self.scheme, (tags for tokens, tags in self._rows(path) if not _fault(tokens, tags)))
        intake.note(f"file with tags read as {scheme}")
        for number, (tokens, tags) in enumerate(self._rows(path), 1):
            record = self._record(f"{name}:{number}", tokens, tags, scheme)
            if any(is_written_together(document.text) for document in record.documents):
                intake.note(JOINED)
            yield record

    def _record(self, source: str, tokens: Any, tags: Any, scheme: Scheme) -> Record:
        fault = _fault(tokens, tags)
        if fault:
            return Record(source, fault=fault)
        text, marks = tagged_text([(tokens, tags)], scheme)
        fault = "" if all(token.strip() for token in tokens) else "token is empty"
        return Record(source, [Document(text, marks, annotator=self.annotator)], fault)

    def _rows(self, path: Path) -> Iterator[tuple[Any, Any]]:
        """Stream tokens and tags of each row, tags by their names; a number without a name stays a number."""
        with _batches(path, (self.tokens, self.tags)) as (schema, batches):
            names = self.names or _names(path, schema, self.tags)
            for batch in batches:
                columns = (batch.column(name).to_pylist() for name in (self.tokens, self.tags))
                for tokens, tags in zip(*columns, strict=True):
                    if isinstance(tags, list):
                        tags = _with_names(tags, names)
                    yield tokens, tags


def _names(path: Path, schema: Schema, column: str) -> Sequence[str]:
    """Return the names of the numbers in a column that the file itself, or dataset_info.json beside it, has."""
    inside = _json((schema.metadata or {}).get(b"huggingface", b"{}"))
    beside = _described_in(path)
    infos = [inside.get("info"), _json(beside.read_bytes()) if beside.is_file() else {}]
    return next((names for info in infos if (names := _class_names(info, column))), [])


def _described_in(path: Path) -> Path:
    return path.with_name(_INFO)


def _with_names(tags: list[Any], names: Sequence[str]) -> list[Any]:
    return [names[tag] if isinstance(tag, int) and 0 <= tag < len(names) else tag for tag in tags]


def _texts(row: Any, names: Sequence[str]) -> list[str]:
    """Return a row with names for numbers; nothing if it is no list of texts then."""
    named = _with_names(row, names) if isinstance(row, list) else []
    return named if all(isinstance(value, str) for value in named) else []


def _are_tags(rows: Sequence[list[str]], names: Sequence[str]) -> bool:
    """Whether nearly all values look like tags; of numbers with names, whether one of these is "O"."""
    values = Counter(value for row in rows for value in row)
    tags = sum(number for value, number in values.items() if is_tag(value))
    return bool(values) and (tags > 0.95 * values.total() or "O" in names)


def _list_columns(schema: Schema) -> list[str]:
    return [field.name for field in schema if str(field.type).startswith(("list<", "large_list<"))]


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _class_names(info: Any, column: str) -> list[str]:
    """Return the names in the description of a column, in any of the forms that versions of `datasets` write."""
    features = info.get("features") if isinstance(info, dict) else None
    feature = features.get(column) if isinstance(features, dict) else None
    for _ in range(3):  # a list of a feature, or a feature of a feature
        if isinstance(feature, list):
            feature = feature[0] if feature else None
        if isinstance(feature, dict) and "names" not in feature:
            feature = feature.get("feature")
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _fault(tokens: Any, tags: Any) -> str:
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        return "tokens are no list of texts"
    if not isinstance(tags, list) or len(tags) != len(tokens):
        return "not as many tags as tokens"
    if not all(isinstance(tag, str) for tag in tags):
        return "tag that is a number without a name: set names"
    return ""


@contextmanager
def _batches(path: Path, columns: tuple[str, ...] | None) -> Iterator[tuple[Schema, Iterator[RecordBatch]]]:
    """Open a file: its schema, and its rows in batches. RAISES (UserError): If it is none, or lacks a column.

    columns (tuple[str, ...] | None): Those to read; None: all lists.
    """
    try:
        import pyarrow as arrow
        from pyarrow import ipc, parquet
    except ImportError as err:
        raise UserError(f"{path}: to read it, pip install -r requirements-arrow.txt") from err
    try:
        if has_ending(path, ".parquet"):
            with parquet.ParquetFile(path) as file:
                _check_columns(path, file.schema_arrow, columns or ())
                wanted = _list_columns(file.schema_arrow) if columns is None else list(columns)
                yield file.schema_arrow, file.iter_batches(_BATCH, columns=wanted)
        else:
            with arrow.OSFile(str(path)) as source:  # no map of its memory: to cut the file would kill the process
                schema, batches = _ipc(source, ipc, arrow.ArrowInvalid)
                _check_columns(path, schema, columns or ())
                yield schema, batches
    except (arrow.ArrowException, OSError) as err:
        raise UserError(f"{path}: cannot be read ({err})") from err


def _ipc(source: Any, ipc: Any, error: type[Exception]) -> tuple[Schema, Iterator[RecordBatch]]:
    """Read Arrow as a stream, as `datasets` writes it, or else as a file."""
    try:
        stream = ipc.open_stream(source)
        return stream.schema, iter(stream)
    except error:
        source.seek(0)
        file = ipc.open_file(source)
        return file.schema, (file.get_batch(number) for number in range(file.num_record_batches))


def _check_columns(path: Path, schema: Schema, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in schema.names:
            raise UserError(f"{path}: has no column {column!r}; there is {', '.join(schema.names)}")
