"""What a tar holds, header by header.

Python's `TarFile.next` takes a damaged header for the end; here it is an error, so that no file is
left out unseen.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, Final, Protocol, cast

from batchinfer.archives.member_index import ArchiveMember
from batchinfer.archives.member_names import (
    DEVICE_KIND,
    LINK_KIND,
    UNSAFE_NAME_KIND,
    normalize_member_name,
)
from batchinfer.archives.zip_directory import make_damage_error

_MAX_HEADER_BYTES: Final = 1 << 24
"""Bytes of a long name, or of extended headers: beyond it something else was meant."""
SPARSE_PROBLEM: Final = (
    "it is stored without its empty parts (a sparse file), which is not read here; unpack the "
    "archive, and name the folder"
)


class TarStream(Protocol):
    """What headers are read from; goes forwards only."""

    def read(self, size: int, /) -> bytes:
        """Read `size` bytes, fewer only at its end."""

    def tell(self) -> int:
        """The place that is read next."""

    def seek(self, position: int, /) -> int:
        """Go on to a later place; its end, if that is before it."""


def iter_tar_members(stream: TarStream) -> Iterator[ArchiveMember]:
    """What a tar holds, in its order. Raises OSError when it is damaged or cut off."""
    headers = _HeaderStream(stream)
    try:
        tar = tarfile.TarFile(
            fileobj=cast("IO[bytes]", headers), encoding="utf-8", errors="surrogateescape"
        )
    except (tarfile.TarError, RecursionError, ValueError) as error:
        raise make_damage_error(f"it is no tar ({error})") from error
    info = tar.next()
    while info is not None:
        if (member := _make_tar_member(info)) is not None:
            yield member
        info = _read_next(tar, info, headers)


def _read_next(
    tar: tarfile.TarFile, last: tarfile.TarInfo, headers: _HeaderStream
) -> tarfile.TarInfo | None:
    """The next header; None: that was the last one."""
    end = last.offset_data + (0 if last.issparse() or not last.isreg() else last.size)
    if headers.seek(end) < end:
        raise make_damage_error(
            f"it is cut off in the middle of {_shorten(last.name)}: get it whole again"
        )
    headers.seek(tar.offset)
    try:
        return tarfile.TarInfo.fromtarfile(tar)
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined] # unknown to the stubs
        return None
    except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]
        raise make_damage_error(
            f"it ends behind {_shorten(last.name)} without the mark of its end: it may be cut off; "
            "get it whole again"
        ) from error
    except (tarfile.TarError, RecursionError, ValueError) as error:
        raise make_damage_error(
            f"it is damaged behind {_shorten(last.name)} ({error}): get it whole again"
        ) from error


def _make_tar_member(info: tarfile.TarInfo) -> ArchiveMember | None:
    """The member of a header; None: it is a folder."""
    if info.isdir():
        return None
    if info.issym() or info.islnk():
        return ArchiveMember("", skipped_as=LINK_KIND)
    if not info.isreg():
        return ArchiveMember("", skipped_as=DEVICE_KIND)
    if (name := normalize_member_name(info.name)) is None:
        return ArchiveMember("", skipped_as=UNSAFE_NAME_KIND)
    problem = SPARSE_PROBLEM if info.issparse() else None
    return ArchiveMember(name, info.offset_data, info.size, info.size, problem=problem)


def _shorten(name: str) -> str:
    return ascii(name)[1:-1][-80:]


class _HeaderStream:
    """A tar as `tarfile` reads headers from it."""

    def __init__(self, stream: TarStream) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Read a header. Raises OSError when it is too long to be one."""
        if size > _MAX_HEADER_BYTES:
            raise make_damage_error(f"a header in it has {size:,} bytes: it is damaged")
        return self._stream.read(size)

    def tell(self) -> int:
        """The place that is read next."""
        return self._stream.tell()

    def seek(self, position: int) -> int:
        """Go on to a later place; where it ends, if that is before it."""
        return self._stream.seek(position)
