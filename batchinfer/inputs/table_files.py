"""Opens tables: Parquet, and Arrow files and streams (Feather, what `datasets` saves).

What a file is, its first bytes say. A table is read in batches of rows that are bounded in bytes,
and no file is mapped into memory: one that is cut off while it is read is an error, not a crash.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from batchinfer.extras import import_optional
from batchinfer.inputs.arrow_messages import CONTINUATION, FILE_MAGIC, ArrowBatches
from batchinfer.inputs.local_files import LocalFiles, NotRegularFileError
from batchinfer.inputs.table_errors import ENCRYPTED_TEXT, TableError, translate_errors

_PARQUET_MAGIC: Final = b"PAR1"
_ENCRYPTED_PARQUET_MAGIC: Final = b"PARE"
_OLD_FEATHER_MAGIC: Final = b"FEA1"
MAX_BATCH_ROWS: Final = 4_096
_MAX_BATCH_CELLS: Final = 1 << 18
_TABLE_BATCH_BYTES: Final = 4 << 20
"""Rows, cells, and roughly bytes, of what is read of Parquet at a time."""
_READ_AHEAD_BYTES: Final = 64 << 20
_MAX_BUFFER_BYTES, _MIN_BUFFER_BYTES = 1 << 20, 1 << 12
"""Bytes that are read in advance, of all columns and of one."""


class TableIdentity(NamedTuple):
    """Another value whenever a table may be another."""

    mtime_ns: int
    size: int
    inode: int

    @property
    def fingerprint(self) -> str:
        """For a run to keep; without the inode, which a copy does not have."""
        return f"{self.mtime_ns}-{self.size}"


class RowBatch(NamedTuple):
    """Some rows of a table."""

    first_row: int
    """The number of the first of them, from 0."""
    columns: Sequence[Any]
    """A `pyarrow.Array` of each column that was asked for; a leaf of a struct as a column."""
    size: int
    """Bytes that are in memory for them, about."""


class Table(Protocol):
    """An open table."""

    path: str
    row_count: int

    @property
    def schema(self) -> Any:
        """Its `pyarrow.Schema`."""

    def iter_batches(self, columns: Sequence[str], first_row: int = 0) -> Generator[RowBatch]:
        """Rows from `find_start(first_row)` on.

        A column is named by its name, or by `name.child` for a leaf of a struct. Raises OSError,
        TableError.
        """

    def find_start(self, row: int) -> int:
        """The row at which reading can begin to get to a row that there is."""

    def has_nulls(self, column: str) -> bool | None:
        """Whether there is a null in a column or leaf; None: only reading it would tell."""


def look_at_table(path: str) -> TableIdentity:
    """Which table is at a path now. Raises OSError."""
    status = os.stat(path)  # noqa: PTH116 - once per input: no Path is built for it
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularFileError(errno.EINVAL, "it is not a regular file")
    return identify_table(status)


def identify_table(status: os.stat_result) -> TableIdentity:
    """Which table has this status."""
    return TableIdentity(status.st_mtime_ns, status.st_size, status.st_ino)


def find_content_leaf(schema: Any, column: str) -> str | None:
    """What is read of a column that holds files: the column, or the bytes of its struct.

    None when there is no such column, or it holds no files.
    """
    index = schema.get_field_index(column)
    if index < 0:
        return None
    value_type = schema.field(index).type
    types = import_optional("pyarrow", "Reading tables", "tables").types
    if types.is_struct(value_type):
        child = value_type.get_field_index("bytes")
        if child < 0 or not _is_binary(types, value_type.field(child).type):
            return None
        return f"{column}.bytes"
    return column if _is_binary(types, value_type) else None


def _is_binary(types: Any, value_type: Any) -> bool:
    return bool(
        types.is_binary(value_type)
        or types.is_large_binary(value_type)
        or types.is_fixed_size_binary(value_type)
        or types.is_binary_view(value_type)
    )


@contextmanager
def open_table(path: str) -> Iterator[Table]:
    """Open a table. Raises OSError; TableError for what is none, or damaged; ConfigError when
    pyarrow is not installed.
    """  # noqa: D205 - one thought
    with LocalFiles().open(path) as file:
        yield open_table_file(path, file)


def open_table_file(path: str, file: BinaryIO) -> Table:
    """The same of an open file, which stays open as long as the table is used."""
    head = file.read(8)
    file.seek(0)
    if head.startswith(_PARQUET_MAGIC):
        return ParquetTable(path, file)
    if head.startswith((FILE_MAGIC, CONTINUATION)):
        return ArrowTable(path, file)
    if head.startswith(_ENCRYPTED_PARQUET_MAGIC):
        raise TableError(ENCRYPTED_TEXT)
    if head.startswith(_OLD_FEATHER_MAGIC):
        raise TableError("it is Feather version 1: write it as version 2 (or as Parquet)")
    if not head:
        raise TableError("it is empty (0 bytes): it was never written to its end")
    raise TableError("it begins neither as Parquet nor as an Arrow file does")


class ParquetTable:
    """A Parquet file."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        parquet = import_optional("pyarrow.parquet", "Reading Parquet", "tables")
        self.path = path
        with translate_errors():
            metadata = _read_metadata(parquet, file)
            width = max(metadata.num_columns, 1)
            buffer_bytes = min(_MAX_BUFFER_BYTES, _READ_AHEAD_BYTES // width)
            file.seek(0)
            self._parquet = parquet.ParquetFile(
                _reopen_natively(file),
                metadata=metadata,
                pre_buffer=False,
                buffer_size=max(buffer_bytes, _MIN_BUFFER_BYTES),
                page_checksum_verification=True,
            )
            self.schema: Any = self._parquet.schema_arrow
        self._metadata = metadata
        self.row_count: int = metadata.num_rows

    def iter_batches(self, columns: Sequence[str], first_row: int = 0) -> Generator[RowBatch]:
        """See `Table`: from the beginning of a row group."""
        with translate_errors():
            group, row = self._find_row_group(first_row)
            batches = self._parquet.iter_batches(
                self._choose_batch_rows(columns, group),
                row_groups=list(range(group, self._metadata.num_row_groups)),
                columns=list(columns),
                use_threads=False,
            )
        while True:
            with translate_errors():
                if (batch := next(batches, None)) is None:
                    return
                chosen = _pick_columns(batch, columns)
            yield RowBatch(row, chosen, batch.nbytes)
            row += batch.num_rows

    def find_start(self, row: int) -> int:
        """See `Table`."""
        return self._find_row_group(row)[1]

    def has_nulls(self, column: str) -> bool | None:
        """See `Table`: as the statistics of all row groups say."""
        total = 0
        with translate_errors():
            for chunk in self._iter_column_chunks(column):
                statistics = chunk.statistics if chunk.is_stats_set else None
                if statistics is None or not statistics.has_null_count:
                    return None
                total += statistics.null_count
        return bool(total)

    def _find_row_group(self, row: int) -> tuple[int, int]:
        """The row group that holds a row, and its first row."""
        first = 0
        for group in range(self._metadata.num_row_groups):
            rows = self._metadata.row_group(group).num_rows
            if row < first + rows:
                return group, first
            first += rows
        return self._metadata.num_row_groups, first

    def _choose_batch_rows(self, columns: Sequence[str], group: int) -> int:
        """So many that a batch is not large, if the rows of a row group are alike."""
        rows = min(MAX_BATCH_ROWS, _MAX_BATCH_CELLS // max(len(columns), 1))
        if group < self._metadata.num_row_groups:
            row_group = self._metadata.row_group(group)
            wanted = set(columns)
            size = sum(
                chunk.total_uncompressed_size
                for chunk in map(row_group.column, range(row_group.num_columns))
                if _is_wanted(chunk.path_in_schema, wanted)
            )
            rows = min(rows, _TABLE_BATCH_BYTES * max(row_group.num_rows, 1) // max(size, 1))
        return max(rows, 1)

    def _iter_column_chunks(self, column: str) -> Iterator[Any]:
        for group in range(self._metadata.num_row_groups):
            row_group = self._metadata.row_group(group)
            for chunk in map(row_group.column, range(row_group.num_columns)):
                if chunk.path_in_schema == column:
                    yield chunk


def _reopen_natively(file: BinaryIO) -> Any:
    """The same open file without Python in between: half the memory for a large page."""
    pyarrow = import_optional("pyarrow", "Reading Parquet", "tables")
    try:
        return pyarrow.OSFile(f"/dev/fd/{file.fileno()}")
    except OSError:  # a system without that folder
        return file


def _read_metadata(parquet: Any, file: BinaryIO) -> Any:
    """The footer of a Parquet file. Raises TableError, also when it is of an encrypted file."""
    file.seek(-4, os.SEEK_END)
    if file.read(4) != _PARQUET_MAGIC:
        raise TableError("it does not end as Parquet does: it was cut off")
    file.seek(0)
    metadata = parquet.read_metadata(file)
    file.seek(-8, os.SEEK_END)
    # Of a file with encrypted columns the readable footer is signed. To ask pyarrow for the size of
    # such a column would end the process.
    if int.from_bytes(file.read(4), "little") != metadata.serialized_size:
        raise TableError(ENCRYPTED_TEXT)
    return metadata


class ArrowTable:
    """An Arrow file or stream."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self.path = path
        self.batches = ArrowBatches(file)
        self.schema: Any = self.batches.schema
        self.row_count = self.batches.row_count

    def iter_batches(self, columns: Sequence[str], first_row: int = 0) -> Generator[RowBatch]:
        """See `Table`: from the beginning of a record batch."""
        start = (
            self.batches.find_batch(first_row) if first_row < self.row_count else len(self.batches)
        )
        for index in range(max(start, 0), len(self.batches)):
            batch = self.batches.read(index)
            with translate_errors():
                chosen = _pick_columns(batch, columns)
            yield RowBatch(self.batches.first_rows[index], chosen, batch.get_total_buffer_size())

    def find_start(self, row: int) -> int:
        """See `Table`."""
        return int(self.batches.first_rows[self.batches.find_batch(row)])

    def has_nulls(self, column: str) -> bool | None:  # noqa: ARG002 - the protocol's
        """See `Table`: a batch is read as a whole, so nothing is gained by knowing before."""
        return None


def _pick_columns(batch: Any, names: Sequence[str]) -> list[Any]:
    """Columns of a batch, or leaves of structs; nulls of a struct are nulls of its leaves."""
    compute = import_optional("pyarrow.compute", "Reading tables", "tables")
    schema = batch.schema
    picked = []
    for name in names:
        if (index := schema.get_field_index(name)) >= 0:
            picked.append(batch.column(index))
            continue
        column, _, child = name.rpartition(".")
        picked.append(compute.struct_field(batch.column(schema.get_field_index(column)), child))
    return picked


def _is_wanted(path: str, columns: set[str]) -> bool:
    """Whether a leaf belongs to a column that is read, or is one."""
    while path:
        if path in columns:
            return True
        path = path.rpartition(".")[0]
    return False
