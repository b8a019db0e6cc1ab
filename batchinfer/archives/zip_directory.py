"""The directory of a zip: what it holds, read from its end, entry by entry.

Python's `zipfile` keeps an object of 600 bytes for each file; this keeps none.
"""

from __future__ import annotations

import errno
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from batchinfer.archives.bomb_limits import explain_member_bomb
from batchinfer.archives.member_index import ArchiveMember
from batchinfer.archives.member_names import (
    DEVICE_KIND,
    LINK_KIND,
    UNSAFE_NAME_KIND,
    decode_zip_name,
    normalize_member_name,
)
from batchinfer.inputs.random_reader import RandomReader

_END: Final = struct.Struct("<4s4H2LH")
_END_MAGIC: Final = b"PK\x05\x06"
_LOCATOR: Final = struct.Struct("<4sLQL")
_LOCATOR_MAGIC: Final = b"PK\x06\x07"
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_END64_MAGIC: Final = b"PK\x06\x06"
_ENTRY: Final = struct.Struct("<4s4B4HL2L5H2L")
_ENTRY_MAGIC: Final = b"PK\x01\x02"
_MAX_COMMENT_BYTES: Final = 0xFFFF
_DIRECTORY_BLOCK_BYTES: Final = 1 << 20
_UNKNOWN_32, _UNKNOWN_16 = 0xFFFFFFFF, 0xFFFF
"""What stands where a number is too large: it is in the extra field of zip64 then."""
_ZIP64_FIELD: Final = 0x0001
_UNICODE_PATH_FIELD: Final = 0x7075
_UNICODE_PATH_HEAD_BYTES: Final = 5
_FIELD_HEAD: Final = struct.Struct("<2H")
_ENCRYPTED_FLAG: Final = 0x1
_UTF8_FLAG: Final = 0x800
_WINDOWS_SYSTEMS: Final = frozenset({0, 10, 11, 14})
PASSWORD_PROBLEM: Final = "it is protected by a password; unpack the archive, and name the folder"  # noqa: S105 - none


def make_damage_error(what: str) -> OSError:
    """Something in an archive is not as it must be. To try again is of no use."""
    return OSError(errno.EBADMSG, what)


def is_zip(reader: RandomReader) -> bool:
    """Whether something is a zip, by its end."""
    return _find_end(reader) is not None


def iter_zip_members(reader: RandomReader) -> Iterator[ArchiveMember]:
    """What a zip holds, in the order of its directory. Raises OSError when it is damaged."""
    found = _find_end(reader)
    if found is None:
        raise make_damage_error("it is no zip, or its end is missing: get it whole again")
    place = _locate_directory(reader, found)
    if place.start < 0 or place.start + place.size > reader.size:
        raise make_damage_error("its directory is not where it should be: get it whole again")
    entry_count = 0
    for head, name, extra in _iter_entries(reader, place):
        entry_count += 1
        if (member := _make_zip_member(head, name, extra, place.shift)) is not None:
            yield member
    if entry_count & _UNKNOWN_16 != place.entries & _UNKNOWN_16:
        raise make_damage_error(
            f"its directory lists {entry_count:,} files, and should list {place.entries:,}"
        )


class _EndRecord(NamedTuple):
    position: int
    disk: int
    entries: int
    size: int
    offset: int


class _DirectoryPlace(NamedTuple):
    start: int
    size: int
    entries: int
    shift: int
    """Bytes before the zip: of a program that unpacks it."""


def _find_end(reader: RandomReader) -> _EndRecord | None:
    tail_size = min(reader.size, _END.size + _MAX_COMMENT_BYTES)
    tail_start = reader.size - tail_size
    tail = reader.read_at(tail_start, tail_size)
    at = len(tail)
    while (at := tail.rfind(_END_MAGIC, 0, at)) >= 0:
        if at + _END.size <= len(tail):
            _, disk, _, _, count, size, offset, comment_size = _END.unpack_from(tail, at)
            if at + _END.size + comment_size <= len(tail):
                return _EndRecord(tail_start + at, disk, count, size, offset)
    return None


def _locate_directory(reader: RandomReader, end: _EndRecord) -> _DirectoryPlace:
    position, disk, count, size, offset = end
    locator_at = position - _LOCATOR.size
    locator = reader.read_at(locator_at, _LOCATOR.size) if locator_at >= 0 else b""
    if locator.startswith(_LOCATOR_MAGIC):
        _, _, end64_offset, disk_count = _LOCATOR.unpack(locator)
        position, end64 = _read_end64(reader, locator_at, end64_offset)
        _, _, _, _, disk, _, _, count, size, offset = _END64.unpack(end64)
        disk = max(disk, disk_count - 1)
    if disk not in {0, _UNKNOWN_16}:
        raise make_damage_error("it is one of several parts of a zip: join them first")
    start = position - size
    return _DirectoryPlace(start, size, count, start - offset)


def _read_end64(reader: RandomReader, locator_at: int, offset: int) -> tuple[int, bytes]:
    for position in (locator_at - _END64.size, offset):
        data = reader.read_at(position, _END64.size) if position >= 0 else b""
        if data.startswith(_END64_MAGIC) and len(data) == _END64.size:
            return position, data
    raise make_damage_error("its directory (zip64) is damaged: get it whole again")


def _iter_entries(
    reader: RandomReader, place: _DirectoryPlace
) -> Iterator[tuple[tuple[int, ...], bytes, bytes]]:
    """Of each entry its numbers, its name and its extra fields."""
    position, end, buffer, at = place.start, place.start + place.size, b"", 0

    def need(size: int) -> None:
        nonlocal buffer, position, at
        if len(buffer) - at >= size:
            return
        more = reader.read_at(position, min(max(_DIRECTORY_BLOCK_BYTES, size), end - position))
        position += len(more)
        buffer, at = buffer[at:] + more, 0
        if len(buffer) < size:
            raise make_damage_error("its directory is cut off: get it whole again")

    while at < len(buffer) or position < end:
        need(_ENTRY.size)
        magic, *head = _ENTRY.unpack_from(buffer, at)
        if magic != _ENTRY_MAGIC:
            raise make_damage_error("its directory is damaged: get it whole again")
        name_size, extra_size, comment_size = head[11], head[12], head[13]
        total = _ENTRY.size + name_size + extra_size + comment_size
        need(total)
        name_at = at + _ENTRY.size
        extra_at = name_at + name_size
        yield tuple(head), buffer[name_at:extra_at], buffer[extra_at : extra_at + extra_size]
        at += total


def _make_zip_member(
    head: tuple[int, ...], raw_name: bytes, extra: bytes, shift: int
) -> ArchiveMember | None:
    """The member of an entry; None: it is a folder."""
    system, flags, method, crc = head[1], head[4], head[5], head[8]
    packed_size, size, attributes, offset = head[9], head[10], head[16], head[17]
    fields = _split_extra(extra)
    size, packed_size, offset = _read_zip64(fields, size, packed_size, offset)
    text = _read_name(raw_name, fields, is_utf8=bool(flags & _UTF8_FLAG))
    if system in _WINDOWS_SYSTEMS and "/" not in text:
        text = text.replace("\\", "/")
    mode = attributes >> 16
    if text.endswith("/") or stat.S_ISDIR(mode):
        return None
    if (kind := _find_member_kind(mode)) is not None:
        return ArchiveMember("", skipped_as=kind)
    if (name := normalize_member_name(text)) is None:
        return ArchiveMember("", skipped_as=UNSAFE_NAME_KIND)
    problem = PASSWORD_PROBLEM if flags & _ENCRYPTED_FLAG else None
    problem = problem or explain_member_bomb(size, packed_size)
    return ArchiveMember(name, offset + shift, size, packed_size, crc, method, problem)


def _find_member_kind(mode: int) -> str | None:
    if stat.S_ISLNK(mode):
        return LINK_KIND
    return None if stat.S_IFMT(mode) in {0, stat.S_IFREG} else DEVICE_KIND


def _read_name(raw: bytes, fields: Mapping[int, bytes], *, is_utf8: bool) -> str:
    """The name; the field of Info-ZIP counts if it belongs to the name that stands there."""
    unicode_path = fields.get(_UNICODE_PATH_FIELD, b"")
    if unicode_path[1:_UNICODE_PATH_HEAD_BYTES] == struct.pack("<L", zlib.crc32(raw)):
        return decode_zip_name(unicode_path[_UNICODE_PATH_HEAD_BYTES:], is_utf8=True)
    return decode_zip_name(raw, is_utf8=is_utf8)


def _split_extra(extra: bytes) -> Mapping[int, bytes]:
    fields: dict[int, bytes] = {}
    while len(extra) >= _FIELD_HEAD.size:
        kind, size = _FIELD_HEAD.unpack_from(extra)
        end = _FIELD_HEAD.size + size
        fields.setdefault(kind, extra[_FIELD_HEAD.size : end])
        extra = extra[end:]
    return fields


def _read_zip64(
    fields: Mapping[int, bytes], size: int, packed_size: int, offset: int
) -> tuple[int, int, int]:
    data = fields.get(_ZIP64_FIELD, b"")
    numbers = iter(struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]))
    try:
        return (
            next(numbers) if size == _UNKNOWN_32 else size,
            next(numbers) if packed_size == _UNKNOWN_32 else packed_size,
            next(numbers) if offset == _UNKNOWN_32 else offset,
        )
    except StopIteration:
        raise make_damage_error("its directory (zip64) is damaged: get it whole again") from None
