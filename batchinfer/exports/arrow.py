"""Parquet, Arrow and tables in memory: typed columns, for pandas, polars, DuckDB, R.

pyarrow is imported when it is used. Rows are gathered into batches that are bounded in rows and in
bytes, one row group each. Times are UTC, in milliseconds; JSON is text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Final

from batchinfer.exports import flat_rows, item_rows
from batchinfer.exports.export_format import INTERPRETATION_OPTIONS, FileExport
from batchinfer.exports.export_source import ExportOptions, ExportSource
from batchinfer.extras import import_optional

_MAX_BATCH_ROWS: Final = 25_000
_MAX_BATCH_CHARS: Final = 8 * 2**20
"""Rows, and characters of their long texts, after which a batch ends."""

_INTEGER_COLUMNS: Final = frozenset(("attempts", "number"))
_FLOAT_COLUMNS: Final = frozenset(
    ("score", "left", "top", "right", "bottom", "seconds", "start", "end")
)
_TIMESTAMP_COLUMNS: Final = frozenset(("started_at", "finished_at"))
_LONG_TEXT_COLUMNS: Final = frozenset(
    (
        *("key", "path", "message", "label", "outline", "text", "prediction"),
        *("outlines", "mask", "keypoints"),
    )
)
"""Columns whose texts may be of any length. `params`, too, but not of many items."""


class ParquetExport(FileExport):
    """The flat rows as Parquet."""

    name = "parquet"
    extensions = (".parquet",)
    description = "a row, the same, typed"
    consumers = "pandas, polars, DuckDB, R"
    options = INTERPRETATION_OPTIONS | {"found_only"}

    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:
        """See `FileExport`."""
        parquet = _import_pyarrow("pyarrow.parquet")
        schema = _make_schema(flat_rows.FLAT_COLUMNS)
        with parquet.ParquetWriter(
            _PositionTrackingWriter(file), schema, compression="zstd"
        ) as writer:
            return _write_batches(source, writer, options)


class ArrowExport(FileExport):
    """The flat rows as an Arrow file (Feather, version 2)."""

    name = "arrow"
    extensions = (".arrow", ".feather")
    description = "a row, the same, typed"
    consumers = "pandas, polars, R"
    options = INTERPRETATION_OPTIONS | {"found_only"}

    def write(self, source: ExportSource, file: BinaryIO, options: ExportOptions) -> int:
        """See `FileExport`."""
        ipc = _import_pyarrow("pyarrow.ipc")
        ipc_options = ipc.IpcWriteOptions(compression="lz4")
        with ipc.new_file(
            _PositionTrackingWriter(file), _make_schema(flat_rows.FLAT_COLUMNS), options=ipc_options
        ) as writer:
            return _write_batches(source, writer, options)


def build_table(source: ExportSource, *, flat: bool) -> Any:
    """A pyarrow.Table of the flat rows, or of one row per item with the fields of `Result`."""
    fields = flat_rows.FLAT_COLUMNS if flat else item_rows.ITEM_COLUMNS
    selected_rows = flat_rows.iter_rows(source) if flat else item_rows.iter_rows(source)
    schema = _make_schema(fields)
    return _import_pyarrow("pyarrow").Table.from_batches(
        _iter_batches(selected_rows, fields), schema
    )


def _write_batches(source: ExportSource, writer: Any, options: ExportOptions) -> int:
    count = 0
    found_rows = flat_rows.iter_rows(source, found_only=options.found_only)
    for batch in _iter_batches(found_rows, flat_rows.FLAT_COLUMNS):
        writer.write_batch(batch)
        count += batch.num_rows
    return count


def _iter_batches(row_iterable: Iterable[Sequence[Any]], fields: Sequence[str]) -> Iterator[Any]:
    pyarrow = _import_pyarrow("pyarrow")
    schema = _make_schema(fields)
    for page in _iter_pages(
        row_iterable, [at for at, name in enumerate(fields) if name in _LONG_TEXT_COLUMNS]
    ):
        columns = [
            # Times are texts that Arrow parses itself.
            pyarrow.array(cells, pyarrow.string()).cast(field.type)
            if field.name in _TIMESTAMP_COLUMNS
            else pyarrow.array(cells, field.type)
            for field, cells in zip(schema, zip(*page, strict=True), strict=True)
        ]
        yield pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def _iter_pages(
    row_iterable: Iterable[Sequence[Any]], long_columns: Sequence[int]
) -> Iterator[list[Sequence[Any]]]:
    page: list[Sequence[Any]] = []
    size = 0
    for row in row_iterable:
        page.append(row)
        for at in long_columns:
            if row[at]:
                size += len(row[at])
        if size > _MAX_BATCH_CHARS or len(page) >= _MAX_BATCH_ROWS:
            yield page
            page, size = [], 0
    if page:
        yield page


def _make_schema(fields: Sequence[str]) -> Any:
    pyarrow = _import_pyarrow("pyarrow")
    type_by_column = {
        **dict.fromkeys(_INTEGER_COLUMNS, pyarrow.int32()),
        **dict.fromkeys(_FLOAT_COLUMNS, pyarrow.float64()),
        **dict.fromkeys(_TIMESTAMP_COLUMNS, pyarrow.timestamp("ms", "UTC")),
    }
    return pyarrow.schema([(name, type_by_column.get(name, pyarrow.string())) for name in fields])


def _import_pyarrow(module: str) -> Any:
    return import_optional(module, "Writing Parquet and Arrow", "tables")


class _PositionTrackingWriter:
    """What pyarrow writes to: it counts its own position, and never closes the file."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def write(self, data: Any) -> int:
        written = memoryview(data).nbytes
        self._file.write(data)
        self._position += written
        return written

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False
