"""Reading an input at any place: a local file, what a scheme can seek in, or else a copy of it.

A reader is closed when nobody holds it any more: streams hold the one that they read from, so no
file is closed, and its number given to another one, while it is read.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from batchinfer.inputs.local_files import NotRegularFileError, OpenLocalFile
from batchinfer.inputs.opener import is_local, open_raw
from batchinfer.inputs.ordered_lock import OrderedLock
from batchinfer.inputs.uri_scheme import call_plugin

if TYPE_CHECKING:
    from typing_extensions import Buffer

_COPY_BLOCK_BYTES: Final = 1 << 20
_MAX_SKIP_BYTES: Final = 1 << 20
"""Bytes ahead that are read and dropped rather than sought."""
_KEPT_BYTES: Final = 1 << 16
"""Bytes that were read last, of which some may be asked for again."""


def close_quietly(stream: BinaryIO) -> None:
    """Close what was read and is of no more use."""
    with suppress(Exception):
        stream.close()


class RandomReader(Protocol):
    """Something of a known size. Several threads may read at once."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Read `size` bytes from `offset` on, fewer only at the end. Raises OSError."""


def open_random_reader(path: str, *, may_copy: bool = True) -> RandomReader | None:
    """Open an input to be read at any place. Raises OSError.

    What cannot be read so is copied to a temporary file; without `may_copy` the answer is None.
    """
    if is_local(path):
        return _FileReader(path)
    stream = open_raw(path)
    if call_plugin(stream.seekable):
        return SeekingReader(path, stream)
    try:
        return _CopyReader(stream) if may_copy else None
    finally:
        call_plugin(stream.close)


class _DescriptorReader:
    """Reads by a file descriptor, which it closes in the end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)
        self.size = os.fstat(descriptor).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        """As `RandomReader.read_at`."""
        data = os.pread(self._descriptor, size, offset)
        while len(data) < size and (
            more := os.pread(self._descriptor, size - len(data), offset + len(data))
        ):
            data += more
        return data


class _FileReader(_DescriptorReader):
    def __init__(self, path: str) -> None:
        opened = OpenLocalFile(path)
        try:
            if not opened.is_regular:
                raise NotRegularFileError(errno.EINVAL, "it is not a regular file")
            super().__init__(opened.duplicate())
        finally:
            opened.close()


class _CopyReader(_DescriptorReader):
    def __init__(self, stream: BinaryIO) -> None:
        with tempfile.TemporaryFile(prefix="batchinfer-") as copy:
            while block := call_plugin(stream.read, _COPY_BLOCK_BYTES):
                copy.write(block)
            copy.flush()
            super().__init__(os.dup(copy.fileno()))


class SeekingReader:
    """Reads through a stream that can seek, one thread at a time.

    To seek costs a request. So what is a little ahead is read up to, and the last bytes are kept;
    threads are let in by their place. After an error the stream is opened anew.
    """

    def __init__(self, path: str, stream: BinaryIO) -> None:
        self._path = path
        self._lock = OrderedLock()
        self._last = b""
        self._position = 0
        self._stream: BinaryIO | None = None
        self._use(stream)
        self.size: int = call_plugin(stream.seek, 0, os.SEEK_END)
        call_plugin(stream.seek, 0)

    def read_at(self, offset: int, size: int) -> bytes:
        """As `RandomReader.read_at`."""
        with self._lock.hold(offset):
            try:
                return self._read_at(offset, min(size, self.size - offset))
            except BaseException:
                self._stream = None
                raise

    def _use(self, stream: BinaryIO) -> None:
        self._stream = stream
        weakref.finalize(self, close_quietly, stream)

    def _read_at(self, offset: int, size: int) -> bytes:
        if self._stream is None:
            self._use(open_raw(self._path))
            self._last, self._position = b"", 0
        start = self._position - len(self._last)
        data = b""
        if start <= offset <= self._position:
            data = self._last[offset - start :][:size]
        elif 0 < offset - self._position <= _MAX_SKIP_BYTES:
            self._read_on(offset - self._position)
        else:
            self._position = call_plugin(self._require_stream().seek, offset)
        if len(data) < size:
            data += self._read_on(size - len(data))
        return data

    def _read_on(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (
            more := call_plugin(self._require_stream().read, size - len(data))
        ):
            data += more
        self._position += len(data)
        self._last = data[-_KEPT_BYTES:]
        return data

    def _require_stream(self) -> BinaryIO:
        assert self._stream is not None  # noqa: S101 - it is opened where it is read
        return self._stream


class ReaderStream(io.RawIOBase):
    """A part of what a reader reads, as a stream that can seek."""

    def __init__(self, reader: RandomReader, start: int = 0, size: int | None = None) -> None:
        self._reader = reader
        self._start = start
        self._size = max(0, reader.size - start) if size is None else size
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place that is read next."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to another place; to the end, if that is behind it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = min(max(0, base + offset), self._size)
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        """Read as much as there is and fits. Raises OSError where the bytes should be and end."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._position)
        if wanted <= 0:
            return 0
        data = self._reader.read_at(self._start + self._position, wanted)
        if len(data) < wanted:
            raise OSError(errno.EBADMSG, "it is cut off: some of its bytes are not there")
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
