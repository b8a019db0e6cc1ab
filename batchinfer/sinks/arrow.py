"""Parquet, Arrow and tables in memory: typed columns, for pandas, polars, DuckDB, R.

Rules: pyarrow is brought when it is used; rows are gathered into batches that are bounded in rows
and in bytes, one row group each. Moments are UTC, in milliseconds; JSON is text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Final

from batchinfer.extras import bring
from batchinfer.sinks import flat, rows
from batchinfer.sinks.book import Book

_ROWS: Final = 25_000
_BYTES: Final = 8 * 2**20
"""Rows, and characters of their long texts, after which a batch ends."""

_INTEGERS: Final = frozenset(("attempts", "number"))
_NUMBERS: Final = frozenset(("score", "left", "top", "right", "bottom", "seconds", "start", "end"))
_MOMENTS: Final = frozenset(("started_at", "finished_at"))
_LONG: Final = frozenset(
    (
        *("key", "path", "message", "label", "outline", "text", "prediction"),
        *("outlines", "mask", "keypoints"),
    )
)
"""Columns whose texts may be of any length. `params`, too, but not of many items."""


def write_parquet(book: Book, file: BinaryIO) -> int:
    """The flat rows as Parquet, to a stream that need not be seekable; how many."""
    parquet = _pyarrow("pyarrow.parquet")
    schema = _schema(flat.FIELDS)
    with parquet.ParquetWriter(_Sink(file), schema, compression="zstd") as writer:
        return _written(book, writer)


def write_arrow(book: Book, file: BinaryIO) -> int:
    """The flat rows as an Arrow file (Feather, version 2); how many."""
    ipc = _pyarrow("pyarrow.ipc")
    options = ipc.IpcWriteOptions(compression="lz4")
    with ipc.new_file(_Sink(file), _schema(flat.FIELDS), options=options) as writer:
        return _written(book, writer)


def table(book: Book, *, flat_rows: bool) -> Any:
    """A pyarrow.Table of the flat rows, or of one row per item with the fields of `Result`."""
    fields = flat.FIELDS if flat_rows else rows.FIELDS
    given = flat.rows(book) if flat_rows else rows.rows(book)
    schema = _schema(fields)
    return _pyarrow("pyarrow").Table.from_batches(_batches(given, fields), schema)


def _written(book: Book, writer: Any) -> int:
    count = 0
    for batch in _batches(flat.rows(book), flat.FIELDS):
        writer.write_batch(batch)
        count += batch.num_rows
    return count


def _batches(given: Iterable[Sequence[Any]], fields: Sequence[str]) -> Iterator[Any]:
    pyarrow = _pyarrow("pyarrow")
    schema = _schema(fields)
    for page in _pages(given, [at for at, name in enumerate(fields) if name in _LONG]):
        columns = [
            # Moments are texts that Arrow reads itself.
            pyarrow.array(cells, pyarrow.string()).cast(field.type)
            if field.name in _MOMENTS
            else pyarrow.array(cells, field.type)
            for field, cells in zip(schema, zip(*page, strict=True), strict=True)
        ]
        yield pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def _pages(given: Iterable[Sequence[Any]], long: Sequence[int]) -> Iterator[list[Sequence[Any]]]:
    page: list[Sequence[Any]] = []
    size = 0
    for row in given:
        page.append(row)
        for at in long:
            if row[at]:
                size += len(row[at])
        if size > _BYTES or len(page) >= _ROWS:
            yield page
            page, size = [], 0
    if page:
        yield page


def _schema(fields: Sequence[str]) -> Any:
    pyarrow = _pyarrow("pyarrow")
    kinds = {
        **dict.fromkeys(_INTEGERS, pyarrow.int32()),
        **dict.fromkeys(_NUMBERS, pyarrow.float64()),
        **dict.fromkeys(_MOMENTS, pyarrow.timestamp("ms", "UTC")),
    }
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in fields])


def _pyarrow(module: str) -> Any:
    return bring(module, "Writing Parquet and Arrow", "tables")


class _Sink:
    """What pyarrow writes to: counts for itself where it is, and never closes the file."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0

    def write(self, data: Any) -> int:
        written = memoryview(data).nbytes
        self._file.write(data)
        self._at += written
        return written

    def tell(self) -> int:
        return self._at

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
