"""Parquet, for pandas, polars, DuckDB and whatever else reads tables: a row a text, with all columns of the gold."""

from typing import Any

import msgspec

from scripts.core.answers import GoldText
from scripts.core.errors import UserError
from scripts.exporting.writer import Writer, span_count

_ROWS = 1000  # in memory at a time


class ParquetWriter(Writer):
    """gold.parquet has the columns of gold.jsonl: nothing is lost. meta is JSON, since its keys differ by text."""

    def start(self) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as err:
            raise UserError("Parquet needs pyarrow: pip install -r requirements-arrow.txt") from err
        self._pyarrow = pyarrow
        self._schema = _schema(pyarrow)
        self._writer = pyarrow.parquet.ParquetWriter(self.folder / "gold.parquet", self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, text: GoldText) -> None:
        row = msgspec.to_builtins(text)
        row["meta"] = msgspec.json.encode(text.meta).decode()
        row["other_sources"] = text.other_sources
        row["covered_ranges"] = [
            {"start": start, "end": end, "label": label}
            for label, ranges in text.covered_ranges.items()
            for start, end in ranges
        ]
        self._rows.append(row)
        self.count("written", span_count(text))
        if len(self._rows) >= _ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()
        super().close()

    def _flush(self) -> None:
        self._writer.write_table(self._pyarrow.Table.from_pylist(self._rows, self._schema))
        self._rows = []


def _schema(pyarrow: Any) -> Any:
    offset = pyarrow.int64()
    string, strings = pyarrow.string(), pyarrow.list_(pyarrow.string())
    spans = pyarrow.list_(pyarrow.struct({"start": offset, "end": offset, "label": string}))
    columns = {"_input_hash": pyarrow.int32(), "text": string, "spans": spans, "covered": strings, "accepted": spans}
    columns |= {"covered_ranges": spans, "rejected": spans, "unresolved": strings, "sources": strings}
    columns |= {"other_sources": strings, "meta": string}
    return pyarrow.schema(columns)
