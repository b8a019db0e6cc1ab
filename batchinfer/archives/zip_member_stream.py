"""The bytes of a file in a zip, unpacked and compared with their checksum while they are read.

Never more is unpacked than is asked for: what Python's `zipfile` reads of bzip2 and LZMA has no
bound.
"""

from __future__ import annotations

import bz2
import errno
import io
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol, TypeAlias, cast

from batchinfer.archives.member_index import ArchiveMember
from batchinfer.archives.zip_directory import make_damage_error
from batchinfer.inputs.random_reader import RandomReader, ReaderStream

if TYPE_CHECKING:
    from typing_extensions import Buffer

_HEADER: Final = struct.Struct("<4s5H3L2H")
_HEADER_MAGIC: Final = b"PK\x03\x04"
_LZMA_HEADER: Final = struct.Struct("<2B H B L")
_METHOD_NAMES: Final = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES"}
_PACKED_BLOCK_BYTES: Final = 1 << 16
_SMALL_BYTES: Final = 4 << 20
"""Packed bytes up to which a file is read at once with its header: one request, if it is remote."""
_NAME_BYTES: Final = 512
"""Bytes for the name and the extra fields in the header; when they are more, it is read again."""
_MIN_DICTIONARY_BYTES: Final = 4_096

UnpackBytes: TypeAlias = Callable[[int], bytes]
"""Unpacks at most so many bytes; none: that was all."""


def open_zip_member(reader: RandomReader, member: ArchiveMember) -> BinaryIO:
    """Open a file in a zip. Raises OSError, also while it is read."""
    is_small = member.packed_size <= _SMALL_BYTES
    expected_size = _HEADER.size + (_NAME_BYTES + member.packed_size if is_small else 0)
    block = reader.read_at(member.offset, expected_size)
    if len(block) < _HEADER.size or not block.startswith(_HEADER_MAGIC):
        raise make_damage_error("it is not where the archive's directory says: it is damaged")
    name_size, extra_size = _HEADER.unpack_from(block)[9:11]
    start = _HEADER.size + name_size + extra_size
    end = start + member.packed_size
    packed: BinaryIO = (
        io.BytesIO(block[start:end])
        if is_small and end <= len(block)
        else io.BufferedReader(
            ReaderStream(reader, member.offset + start, member.packed_size), _PACKED_BLOCK_BYTES
        )
    )
    return cast("BinaryIO", _ZipMemberStream(_open_unpacker(packed, member), member))


class _ZipMemberStream(io.RawIOBase):
    """What is unpacked of a member, with its checksum compared at the end."""

    def __init__(self, unpack: UnpackBytes, member: ArchiveMember) -> None:
        self._unpack = unpack
        self._expected_crc = member.crc
        self._crc = 0
        self._left = member.size

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read and unpack some. Raises OSError when it is damaged."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._left)
        if not wanted:
            return 0
        try:
            data = self._unpack(wanted)
        except (zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
            raise make_damage_error(f"it is damaged in the archive ({error})") from error
        except OSError as error:
            if error.errno is None:  # as bzip2 says it
                raise make_damage_error(f"it is damaged in the archive ({error})") from error
            raise
        if not data:
            raise make_damage_error("it is damaged in the archive: some of it is missing")
        self._crc = zlib.crc32(data, self._crc)
        self._left -= len(data)
        if not self._left and self._crc != self._expected_crc:
            raise make_damage_error("it is damaged in the archive: its checksum is another one")
        view[: len(data)] = data
        return len(data)


def _open_unpacker(packed: BinaryIO, member: ArchiveMember) -> UnpackBytes:
    match member.method:
        case 0:
            return packed.read
        case 8:
            return _InflatingUnpacker(packed).unpack
        case 12:
            return _BoundedUnpacker(packed, bz2.BZ2Decompressor()).unpack
        case 14:
            return _BoundedUnpacker(packed, _make_lzma_decompressor(packed, member.size)).unpack
        case number:
            name = _METHOD_NAMES.get(number, f"method {number}")
            raise OSError(
                errno.ENOTSUP,
                f"it is compressed in a way that is not read here ({name}); unpack the archive, and"
                " name the folder",
            )


class _InflatingUnpacker:
    """Deflate, by far the most frequent."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def unpack(self, size: int) -> bytes:
        """As `UnpackBytes`."""
        data = b""
        while not data and not self._inflater.eof:
            packed = self._inflater.unconsumed_tail or self._packed.read(_PACKED_BLOCK_BYTES)
            data = self._inflater.decompress(packed, size)
            if not packed and not data:
                break
        return data


class _BoundedDecompressor(Protocol):
    """What `bz2` and `lzma` have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _BoundedUnpacker:
    """bzip2 and LZMA."""

    def __init__(self, packed: BinaryIO, decompressor: _BoundedDecompressor) -> None:
        self._packed = packed
        self._decompressor = decompressor

    def unpack(self, size: int) -> bytes:
        """As `UnpackBytes`."""
        data = b""
        while not data and not self._decompressor.eof:
            needs_input = self._decompressor.needs_input
            packed = self._packed.read(_PACKED_BLOCK_BYTES) if needs_input else b""
            data = self._decompressor.decompress(packed, size)
            if needs_input and not packed and not data:
                break
        return data


def _make_lzma_decompressor(packed: BinaryIO, size: int) -> lzma.LZMADecompressor:
    """As a zip says it: its own header, then LZMA without one. Raises OSError."""
    header = packed.read(_LZMA_HEADER.size)
    if len(header) < _LZMA_HEADER.size:
        raise make_damage_error("it is damaged in the archive: some of it is missing")
    _, _, _, properties, dictionary_size = _LZMA_HEADER.unpack(header)
    rest, literal_context_bits = divmod(properties, 9)
    position_bits, literal_position_bits = divmod(rest, 5)
    lzma_filter = {
        "id": lzma.FILTER_LZMA1,
        # A dictionary larger than the file is of no use, and its memory would be taken.
        "dict_size": max(_MIN_DICTIONARY_BYTES, min(dictionary_size, size)),
        "lc": literal_context_bits,
        "lp": literal_position_bits,
        "pb": position_bits,
    }
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[lzma_filter])
    except (lzma.LZMAError, ValueError) as error:
        raise make_damage_error(f"it is damaged in the archive ({error})") from error
