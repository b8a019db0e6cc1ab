"""Which way up an image is, as its readers see it: OpenCV, hence YOLO, and browsers.

An orientation can be given in many places, and libraries differ in those they apply. This module
follows OpenCV (measured with versions up to 4.12; a test compares): the EXIF of a JPEG and of a
PNG, the tag of a TIFF. So XMP does not count, and a WebP or AVIF is as it is stored.

======  ================================================  ==========================================
format  what counts                                       what does not
======  ================================================  ==========================================
JPEG    its first APP1 segment                            XMP, further segments, the preview's
PNG     its first chunk eXIf, also behind the pixels      XMP, "Raw profile type exif"
TIFF    tag 274 of the first picture                      XMP
others  nothing: OpenCV shows their pixels as stored      EXIF of WebP and AVIF
======  ================================================  ==========================================
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct, error
from typing import Any, BinaryIO, Final

_ORIENTATION_TAG: Final = 0x0112
_MAX_EXIF_BYTES: Final = 1 << 20
"""Bytes of EXIF that are read at most."""
_MAX_PNG_CHUNKS: Final = 100_000
_JPEG_APP1, _JPEG_SCAN, _JPEG_EOI = 0xE1, 0xDA, 0xD9
_EXIF_PREFIX_BYTES: Final = 6
"""Bytes of a segment before its EXIF; OpenCV skips them unread."""
_IFD_ENTRY_BYTES: Final = 12
_TIFF_MAGIC: Final = 42


def read_orientation(picture: Any) -> int:
    """1 to 8 as EXIF numbers them, of a picture of Pillow that is not loaded yet.

    1, upright, when it is not said, or not so that it makes sense. Never fails.
    """
    with suppress(Exception):  # Pillow raises whatever a broken file leads it to
        if picture.format == "TIFF":
            return _valid_orientation(picture.tag_v2.get(_ORIENTATION_TAG))
        if picture.format in {"JPEG", "MPO"}:
            return _orientation_of_exif(_read_from_start(picture.fp, _exif_of_jpeg))
        if picture.format == "PNG":
            return _orientation_of_exif(_read_from_start(picture.fp, _exif_of_png))
    return 1


def _read_from_start(file: BinaryIO, read: Any) -> bytes:
    """What `read` finds from the beginning of the file, whose position is restored."""
    offset = file.tell()
    try:
        file.seek(0)
        found: bytes = read(file)
        return found
    finally:
        file.seek(offset)


def _exif_of_jpeg(file: BinaryIO) -> bytes:
    """The EXIF of the first APP1 segment."""
    file.seek(2)
    while True:
        mark = file.read(1)
        if mark != b"\xff":
            return b""
        while mark == b"\xff":  # any number of them may fill the gap
            mark = file.read(1)
        if not mark or mark[0] in {_JPEG_SCAN, _JPEG_EOI}:
            return b""
        length = int.from_bytes(file.read(2)) - 2
        if length < 0:
            return b""
        if mark[0] == _JPEG_APP1:
            return file.read(length)[_EXIF_PREFIX_BYTES:]
        file.seek(length, 1)


def _exif_of_png(file: BinaryIO) -> bytes:
    """The first chunk eXIf that is sound."""
    file.seek(8)
    for _ in range(_MAX_PNG_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":  # noqa: PLR2004 - length and name
            return b""
        length = int.from_bytes(head[:4])
        if head[4:] == b"eXIf" and length <= _MAX_EXIF_BYTES:
            data = file.read(length)
            sound = data[:2] in {b"II", b"MM"}
            if sound and int.from_bytes(file.read(4)) == zlib.crc32(head[4:] + data):
                return data
            return b""
        file.seek(length + 4, 1)
    return b""


def _orientation_of_exif(exif: bytes) -> int:
    """The orientation that EXIF says."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    short, offset = Struct(f"{order}H"), Struct(f"{order}I")
    with suppress(error):
        if short.unpack_from(exif, 2)[0] == _TIFF_MAGIC:
            for entry in _iter_ifd_entries(exif, offset.unpack_from(exif, 4)[0], short):
                if short.unpack_from(exif, entry)[0] == _ORIENTATION_TAG:
                    # Whatever its type is: so OpenCV reads it.
                    return _valid_orientation(short.unpack_from(exif, entry + 8)[0])
    return 1


def _iter_ifd_entries(exif: bytes, start: int, short: Struct) -> Iterator[int]:
    """Where the entries of the first directory begin."""
    (count,) = short.unpack_from(exif, start)
    for number in range(count):
        yield start + 2 + number * _IFD_ENTRY_BYTES


def _valid_orientation(value: Any) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1  # noqa: PLR2004 - EXIF
