"""Where the record batches of an Arrow file or stream are, found without reading them.

A stream is a sequence of messages: `ffffffff`, the length of the metadata, the metadata (a
flatbuffer), the body. A file is `ARROW1`, a stream, and a footer. Any batch is read by itself, as a
stream of its own: the schema, the dictionaries, the batch. So both kinds are read in any order, a
batch in memory at a time.
"""

from __future__ import annotations

import errno
import os
from array import array
from bisect import bisect_right
from struct import Struct
from struct import error as struct_error
from typing import Any, BinaryIO, Final

from batchinfer.extras import import_optional
from batchinfer.inputs.table_errors import TableError, translate_errors

FILE_MAGIC: Final = b"ARROW1"
CONTINUATION: Final = b"\xff\xff\xff\xff"
MAX_BATCH_BYTES: Final = 1 << 30
"""Bytes of a record batch: it is in memory as a whole."""

_MAX_METADATA_BYTES: Final = 1 << 26
_SCHEMA_MESSAGE, _DICTIONARY_MESSAGE, _BATCH_MESSAGE = 1, 2, 3
_UINT8, _UINT16, _INT32 = Struct("<B"), Struct("<H"), Struct("<i")
_UINT32, _INT64 = Struct("<I"), Struct("<q")


class ArrowBatches:
    """The record batches of an open Arrow file or stream; they can be read one by one."""

    def __init__(self, file: BinaryIO) -> None:
        """Find all messages. Raises OSError, TableError for what is no whole Arrow file."""
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._head = b""
        """The messages of the schema and the dictionaries."""
        self._offsets, self._lengths = array("q"), array("q")
        self.first_rows = array("q")
        """The number of the first row of each batch, from 0."""
        self.row_count = 0
        self._index_messages()
        if not self._head:
            raise TableError("it has no schema: it is damaged, or no Arrow file")
        pyarrow = import_optional("pyarrow", "Reading Arrow files", "tables")
        with translate_errors():
            self.schema: Any = pyarrow.ipc.open_stream(self._head).schema

    def __len__(self) -> int:
        """How many batches there are."""
        return len(self._offsets)

    def find_batch(self, row: int) -> int:
        """The number of the batch that holds a row, which there must be."""
        return bisect_right(self.first_rows, row) - 1

    def read(self, index: int) -> Any:
        """A batch, as a `pyarrow.RecordBatch`. Raises OSError, TableError."""
        length = self._lengths[index]
        if length > MAX_BATCH_BYTES:
            raise TableError(
                f"the record batch at row {self.first_rows[index]} has {length:,} bytes, and more"
                f" than {MAX_BATCH_BYTES:,} are not read: write the table with fewer rows in a"
                " batch (or as Parquet)"
            )
        data = bytearray(len(self._head) + length)
        data[: len(self._head)] = self._head
        self._read_into(memoryview(data)[len(self._head) :], self._offsets[index])
        pyarrow = import_optional("pyarrow", "Reading Arrow files", "tables")
        with translate_errors():
            batch = pyarrow.ipc.open_stream(pyarrow.py_buffer(data)).read_next_batch()
            batch.validate(full=True)  # to use a damaged one could end the process
        return batch

    def _read_into(self, view: memoryview, offset: int) -> None:
        done = 0
        while done < len(view):
            if not (count := os.preadv(self._file.fileno(), [view[done:]], offset + done)):
                raise TableError("it ends in the middle of a record batch: it was cut off")
            done += count

    def _index_messages(self) -> None:
        offset = self._find_start()
        while (found := self._read_header(offset)) is not None:
            metadata_start, metadata = found
            try:
                kind, body_length, rows = _parse_message(metadata)
            except (struct_error, IndexError) as error:
                raise TableError(f"it is damaged at byte {offset:,}") from error
            end = metadata_start + len(metadata) + body_length
            if min(body_length, rows) < 0:
                raise TableError(f"it is damaged at byte {offset:,}")
            if end > self._size:
                raise TableError("it ends in the middle of a record batch: it was cut off")
            if kind == _BATCH_MESSAGE:
                self._offsets.append(offset)
                self._lengths.append(end - offset)
                self.first_rows.append(self.row_count)
                self.row_count += rows
            elif kind in {_SCHEMA_MESSAGE, _DICTIONARY_MESSAGE}:
                self._add_head(offset, end)
            offset = end

    def _find_start(self) -> int:
        magic = os.pread(self._file.fileno(), len(FILE_MAGIC), 0)
        if magic != FILE_MAGIC:
            return 0
        if os.pread(self._file.fileno(), len(FILE_MAGIC), self._size - len(FILE_MAGIC)) != magic:
            raise TableError("it does not end as Arrow files do: it was cut off")
        return 8

    def _read_header(self, offset: int) -> tuple[int, bytes] | None:
        """Where the metadata of a message begins, and the metadata; None: there is no more."""
        head = os.pread(self._file.fileno(), 8, offset)
        if len(head) < 4:  # noqa: PLR2004 - the length itself
            return None
        start = offset + 4
        (length,) = _INT32.unpack_from(head)
        if head.startswith(CONTINUATION):
            if len(head) < 8:  # noqa: PLR2004 - both words
                return None
            (length,) = _INT32.unpack_from(head, 4)
            start += 4
        if not length:
            return None
        if not 0 < length <= _MAX_METADATA_BYTES:
            raise TableError(f"it is damaged at byte {offset:,}")
        metadata = os.pread(self._file.fileno(), length, start)
        if len(metadata) < length:
            raise TableError("it ends in the middle of a record batch: it was cut off")
        return start, metadata

    def _add_head(self, offset: int, end: int) -> None:
        if end - offset + len(self._head) > MAX_BATCH_BYTES:
            raise TableError("its dictionaries are too large to be read; write it without them")
        data = bytearray(end - offset)
        self._read_into(memoryview(data), offset)
        self._head += data


def _parse_message(metadata: bytes) -> tuple[int, int, int]:
    """The kind of a message, the length of its body, and of a batch its rows.

    Flatbuffers: a table begins with the distance back to its vtable, which says where its fields
    are. `Message`: 1 kind, 2 header, 3 bodyLength; `RecordBatch`: 0 length.
    """
    message = _UINT32.unpack_from(metadata)[0]
    kind_at = _find_field(metadata, message, 1)
    header_at = _find_field(metadata, message, 2)
    body_at = _find_field(metadata, message, 3)
    kind = _UINT8.unpack_from(metadata, kind_at)[0] if kind_at else 0
    body_length = _INT64.unpack_from(metadata, body_at)[0] if body_at else 0
    if kind != _BATCH_MESSAGE or not header_at:
        return kind, body_length, 0
    header = header_at + _UINT32.unpack_from(metadata, header_at)[0]
    rows_at = _find_field(metadata, header, 0)
    return kind, body_length, _INT64.unpack_from(metadata, rows_at)[0] if rows_at else 0


def _find_field(metadata: bytes, table: int, index: int) -> int:
    """Where a field of a table is; 0: it has its default."""
    vtable = table - _INT32.unpack_from(metadata, table)[0]
    if vtable < 0:
        raise IndexError(errno.EBADMSG)
    entry = 4 + 2 * index
    if entry >= _UINT16.unpack_from(metadata, vtable)[0]:
        return 0
    distance = _UINT16.unpack_from(metadata, vtable + entry)[0]
    return table + distance if distance else 0
