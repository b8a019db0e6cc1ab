"""A tar from its beginning on, unpacked as it is read: what can only go forwards.

How it is compressed is told by its first bytes, not by its name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import weakref
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from batchinfer.archives.bomb_limits import FREE_STREAM_BYTES, check_stream_bomb
from batchinfer.archives.zip_directory import make_damage_error
from batchinfer.extras import import_optional
from batchinfer.inputs import open_raw
from batchinfer.inputs.random_reader import close_quietly
from batchinfer.inputs.uri_scheme import call_plugin

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SKIP_BLOCK_BYTES: Final = 1 << 18
_MAX_WINDOW_BYTES: Final = 1 << 27
"""Bytes that a Zstandard stream may make us keep of what was unpacked."""
COMPRESSION_MAGICS: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class _Unpacker(Protocol):
    def read(self, size: int, /) -> bytes: ...


def find_compression(head: bytes) -> str | None:
    """How something is compressed that begins like this; None: it is not, or in another way."""
    found = (name for magic, name in COMPRESSION_MAGICS.items() if head.startswith(magic))
    return next(found, None)


class UnpackedStream:
    """What a compressed file unpacks to. Raises OSError where it is damaged or cut off."""

    def __init__(self, path: str, free_bytes: int = FREE_STREAM_BYTES) -> None:
        """`free_bytes`: as of `check_stream_bomb`."""
        self._free_bytes = free_bytes
        self._packed = _PackedInput(open_raw(path))
        packed = io.BufferedReader(self._packed, _SKIP_BLOCK_BYTES)
        self._unpacker = _open_unpacking(packed, find_compression(packed.peek(8)))
        self._position = 0

    def tell(self) -> int:
        """The place that is read next."""
        return self._position

    def read(self, size: int) -> bytes:
        """Read `size` bytes, fewer only at its end."""
        data = self._read_some(size)
        while len(data) < size and (more := self._read_some(size - len(data))):
            data += more
        return data

    def seek(self, position: int) -> int:
        """Go on to a later place; its end, if that is before it."""
        while self._position < position:
            if not self._read_some(min(_SKIP_BLOCK_BYTES, position - self._position)):
                break
        return self._position

    def _read_some(self, size: int) -> bytes:
        check_stream_bomb(self._position, self._packed.count, self._free_bytes)
        try:
            data = self._unpacker.read(size)
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise self._make_error(error) from error
        except OSError as error:
            if error.errno is None and not isinstance(error, ConnectionError | TimeoutError):
                raise self._make_error(error) from error  # as gzip and bzip2 say it
            raise
        except Exception as error:
            if type(error).__name__ == "ZstdError":
                raise self._make_error(error) from error
            raise
        self._position += len(data)
        return data

    def _make_error(self, error: Exception) -> OSError:
        return make_damage_error(
            f"it is cut off or damaged behind {self._position:,} unpacked bytes ({error}): get it "
            "whole again"
        )


class _PackedInput(io.RawIOBase):
    """The packed bytes, counted."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        weakref.finalize(self, close_quietly, stream)
        self.count = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read some."""
        view = memoryview(buffer).cast("B")
        data = call_plugin(self._stream.read, len(view))
        view[: len(data)] = data
        self.count += len(data)
        return len(data)


def _open_unpacking(packed: io.BufferedReader[Any], compression: str | None) -> _Unpacker:
    match compression:
        case "gzip":
            return gzip.GzipFile(fileobj=packed)
        case "bzip2":
            return bz2.BZ2File(packed)
        case "xz":
            return lzma.LZMAFile(packed)
        case "zstd":
            zstandard = import_optional("zstandard", "Reading archives in .zst", "archives")
            unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
            reader: _Unpacker = unpacker.stream_reader(packed, read_across_frames=True)
            return reader
        case _:
            return packed
