"""Hugging Face datasets for token classification, on disk: Arrow, as `save_to_disk` writes it, or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scripts.core.errors import UserError
from scripts.core.settings import registry
from scripts.sources.documents import Document, Record
from scripts.sources.files import Files
from scripts.sources.source import Intake
from scripts.sources.tags import Scheme, SchemeSetting, check_scheme, find_scheme, tagged_text

if TYPE_CHECKING:  # an extra
    from pyarrow import RecordBatch, Schema

_BATCH = 1000  # rows


@registry.readers("labelwise.HuggingFace.v1")
class HuggingFace(Files, frozen=True):
    """Read tokens and their tags. The text is the tokens with a space between them, since no more is known of it.
    It needs `pip install -r requirements-arrow.txt`.

    path (str): A .parquet or .arrow file, or a folder with such files in it or below.
    tokens (str), tags (str): The columns.
    names (list[str]): The tags that numbers stand for, from 0: `["O", "B-PER", "I-PER"]`. Needed where the
        files do not say so themselves.
    scheme (str): "iob1", "iob2", "biluo" (also BIOES), "io", or "auto": the one that the files keep to. An entity
        that breaks its rules is skipped.
    """

    endings: ClassVar[tuple[str, ...]] = (".parquet", ".arrow")
    tokens: str = "tokens"
    tags: str = "ner_tags"
    names: Sequence[str] = ()
    scheme: SchemeSetting = "auto"

    def __post_init__(self) -> None:
        check_scheme(self.scheme)

    def records(self, path: Path, name: str, intake: Intake) -> Iterator[Record]:
        """Stream the rows. The file is read twice, first to find its scheme."""
        scheme = find_scheme(self.scheme, (tags for tokens, tags in self._rows(path) if not _fault(tokens, tags)))
        intake.note(f"file with tags read as {scheme}")
        for number, (tokens, tags) in enumerate(self._rows(path), 1):
            yield self._record(f"{name}:{number}", tokens, tags, scheme)

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
            names = self.names or self._names(path, schema)
            for batch in batches:
                columns = (batch.column(name).to_pylist() for name in (self.tokens, self.tags))
                for tokens, tags in zip(*columns, strict=True):
                    if isinstance(tags, list):
                        tags = [names[t] if isinstance(t, int) and 0 <= t < len(names) else t for t in tags]
                    yield tokens, tags

    def _names(self, path: Path, schema: Schema) -> Sequence[str]:
        """Return the names of numbers that the file itself, or dataset_info.json beside it, has."""
        inside = _json((schema.metadata or {}).get(b"huggingface", b"{}"))
        beside = path.with_name("dataset_info.json")
        infos = [inside.get("info"), _json(beside.read_bytes()) if beside.is_file() else {}]
        return next((names for info in infos if (names := _class_names(info, self.tags))), [])


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
def _batches(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[Schema, Iterator[RecordBatch]]]:
    """Open a file: its schema, and its rows in batches. RAISES (UserError): If it is none, or lacks a column."""
    try:
        import pyarrow as arrow
        from pyarrow import ipc, parquet
    except ImportError as err:
        raise UserError(f"{path}: to read it, pip install -r requirements-arrow.txt") from err
    try:
        if path.suffix == ".parquet":
            with parquet.ParquetFile(path) as file:
                _check_columns(path, file.schema_arrow, columns)
                yield file.schema_arrow, file.iter_batches(_BATCH, columns=list(columns))
        else:
            with arrow.memory_map(str(path)) as source:
                schema, batches = _ipc(source, ipc, arrow.ArrowInvalid)
                _check_columns(path, schema, columns)
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
