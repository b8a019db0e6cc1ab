"""Reads single cells of a column of a table, in bounded memory.

Items are sent about in the order of their rows. So a column is read forwards, and what was read
last is kept: each part of the table is read once. A row further back (a retry, say) is looked for
by a second pass, from the beginning of its row group (Parquet) or record batch (Arrow), beside the
first one. Many threads may ask at once.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from batchinfer.inputs.local_files import LocalFiles
from batchinfer.inputs.table_errors import TableError, translate_errors
from batchinfer.inputs.table_files import (
    RowBatch,
    Table,
    TableIdentity,
    find_content_leaf,
    identify_table,
    look_at_table,
    open_table_file,
)

MAX_PASSES: Final = 3
"""Passes over one column at a time."""
MAX_OPEN_COLUMNS: Final = 4
"""Columns that are held open, of all tables."""
KEPT_BYTES: Final = 32 << 20
"""Bytes of what a pass has read last that are kept; at least one batch is."""
_MAX_KEPT_SIZES: Final = 8_192
"""Cells of which the size is remembered."""


class CellReaders:
    """The columns that cells were read from last, each with its table open."""

    def __init__(self) -> None:
        self._readers: OrderedDict[tuple[str, str], ColumnReader] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, path: str, column: str) -> ColumnReader:
        """The reader of a column of the table that is at a path now. Raises OSError, TableError."""
        identity = look_at_table(path)
        with self._lock:
            reader = self._readers.get((path, column))
            if reader is None or reader.identity != identity:
                reader = ColumnReader(path, column, identity)
                self._readers[path, column] = reader
            self._readers.move_to_end((path, column))
            while len(self._readers) > MAX_OPEN_COLUMNS:
                self._readers.popitem(last=False)  # who reads it at this moment keeps it
        return reader


@dataclass(slots=True)
class _Pass:
    """A reading of a column from some row on."""

    batches: Iterator[RowBatch]
    next_row: int
    """The row that the next batch begins with."""
    kept: deque[RowBatch] = field(default_factory=deque)
    kept_bytes: int = 0

    def find(self, row: int) -> Any | None:
        """The cell of a row, if it is among what is kept."""
        for batch in self.kept:
            if 0 <= row - batch.first_row < len(batch.columns[0]):
                return batch.columns[0][row - batch.first_row]
        return None

    def advance(self) -> bool:
        """Read the next batch; False: there is none."""
        if (batch := next(self.batches, None)) is None:
            return False
        self.kept.append(batch)
        self.kept_bytes += batch.size
        while len(self.kept) > 1 and self.kept_bytes > KEPT_BYTES:
            self.kept_bytes -= self.kept.popleft().size
        self.next_row = batch.first_row + len(batch.columns[0])
        return True


class ColumnReader:
    """Reads the cells of one column, each as bytes."""

    def __init__(self, path: str, column: str, identity: TableIdentity) -> None:
        self.identity = identity
        self._path, self._column = path, column
        self._file: BinaryIO | None = None
        self._table: Table | None = None
        self._leaf = column
        self._passes: list[_Pass] = []
        """Those used last are at the end."""
        self._sizes: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def measure(self, row: int) -> int:
        """Bytes of the content of a cell. Raises as `read`."""
        with self._lock:
            size = self._sizes.get(row)
        return len(self.read(row)) if size is None else size

    def read(self, row: int) -> bytes:
        """The content of a cell.

        Raises FileNotFoundError for a row that is not there, TableError for a cell that is null,
        and for a damaged table; OSError.
        """
        with self._lock, translate_errors():
            content = self._find_cell(self._table or self._open(), row).as_py()
            if not isinstance(content, bytes):
                what = "is null" if content is None else f"holds {type(content).__name__}, no bytes"
                raise TableError(f"column {self._column!r} {what} in row {row}")
            self._sizes[row] = len(content)
            if len(self._sizes) > _MAX_KEPT_SIZES:
                self._sizes.popitem(last=False)
            return content

    def _open(self) -> Table:
        with ExitStack() as stack:
            file = stack.enter_context(LocalFiles().open(self._path))
            if identify_table(os.fstat(file.fileno())) != self.identity:
                raise OSError(errno.ESTALE, "it was replaced while it was opened")
            table = open_table_file(self._path, file)
            if (leaf := find_content_leaf(table.schema, self._column)) is None:
                raise FileNotFoundError(f"{self._path} has no file in column {self._column!r}")
            stack.pop_all()
        self._file, self._table, self._leaf = file, table, leaf
        return table

    def _find_cell(self, table: Table, row: int) -> Any:
        for each in self._passes:
            if (cell := each.find(row)) is not None:
                return cell
        if row >= table.row_count:
            raise FileNotFoundError(f"{self._path} has no row {row}")
        current = self._choose_pass(table, row)
        while current.next_row <= row and current.advance():
            pass
        if (cell := current.find(row)) is None:
            raise TableError(f"row {row} cannot be found in it: it is damaged")
        return cell

    def _choose_pass(self, table: Table, row: int) -> _Pass:
        """The pass that gets to a row soonest: one that is before it, else a new one."""
        start = table.find_start(row)
        before = [each for each in self._passes if start <= each.next_row <= row]
        if before:
            chosen = max(before, key=lambda each: each.next_row)
            self._passes.remove(chosen)
        else:
            chosen = _Pass(table.iter_batches([self._leaf], row), start)
        while self._passes and (
            len(self._passes) >= MAX_PASSES
            or sum(each.kept_bytes for each in self._passes) > MAX_PASSES * KEPT_BYTES
        ):
            self._passes.pop(0)
        self._passes.append(chosen)
        return chosen
