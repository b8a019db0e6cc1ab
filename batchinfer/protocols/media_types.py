"""Media types of bytes, by how they begin. Pure.

The AI4OS platform gives no media types: a PNG comes back in an object named `.json`
(docs/platform.md, "Output names"), and an input file may have no extension although `file_format`
must not be empty (docs/platform.md, "The payload").

One table serves both ways: bytes to media type, media type to extension.
"""

from __future__ import annotations

import re
from typing import Final

OCTET_STREAM: Final = "application/octet-stream"
"""The media type of bytes nobody knows."""

SNIFF_BYTES: Final = 512
"""How many bytes of a file are enough for `sniff`."""

_MAGIC_NUMBERS: Final[tuple[tuple[int, bytes, str, str], ...]] = (
    # offset, bytes, media type, extension
    (0, b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (0, b"GIF87a", "image/gif", "gif"),
    (0, b"GIF89a", "image/gif", "gif"),
    (0, b"II*\x00", "image/tiff", "tif"),
    (0, b"MM\x00*", "image/tiff", "tif"),
    (0, b"II+\x00", "image/tiff", "tif"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2", "jp2"),
    (4, b"ftypavif", "image/avif", "avif"),
    (4, b"ftypheic", "image/heic", "heic"),
    (4, b"ftypqt  ", "video/quicktime", "mov"),
    (4, b"ftypM4A", "audio/mp4", "m4a"),
    (4, b"ftyp", "video/mp4", "mp4"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska", "mkv"),
    (0, b"OggS", "audio/ogg", "ogg"),
    (0, b"fLaC", "audio/flac", "flac"),
    (0, b"ID3", "audio/mpeg", "mp3"),
    (0, b"\xff\xfb", "audio/mpeg", "mp3"),
    (0, b"\xff\xf3", "audio/mpeg", "mp3"),
    (0, b"\xff\xf2", "audio/mpeg", "mp3"),
    (0, b"PK\x03\x04", "application/zip", "zip"),
    (0, b"PK\x05\x06", "application/zip", "zip"),
    (0, b"\x1f\x8b\x08", "application/gzip", "gz"),
    (0, b"7z\xbc\xaf'\x1c", "application/x-7z-compressed", "7z"),
    (257, b"ustar", "application/x-tar", "tar"),
    (0, b"%PDF-", "application/pdf", "pdf"),
    (0, b"\x93NUMPY", "application/x-npy", "npy"),
    (0, b"\x89HDF\r\n\x1a\n", "application/x-hdf5", "h5"),
    (0, b"PAR1", "application/vnd.apache.parquet", "parquet"),
    (128, b"DICM", "application/dicom", "dcm"),
)
_RIFF_MEDIA_TYPES: Final = {
    b"WAVE": ("audio/wav", "wav"),
    b"WEBP": ("image/webp", "webp"),
    b"AVI ": ("video/x-msvideo", "avi"),
}
_BMP_MEDIA_TYPE: Final = ("image/bmp", "bmp")
_JSON_MEDIA_TYPE: Final = ("application/json", "json")
_JSON_START: Final = re.compile(rb'\s*[{\[]\s*["{\[\]}\d-]')
_EXTENSION_BY_MEDIA_TYPE: Final = {
    media: ext for _, _, media, ext in reversed(_MAGIC_NUMBERS)
} | dict([*_RIFF_MEDIA_TYPES.values(), _BMP_MEDIA_TYPE, _JSON_MEDIA_TYPE, ("text/plain", "txt")])


def sniff_media_type(data: bytes) -> str | None:
    """The media type of binary `data` by its first `SNIFF_BYTES` bytes; None when no magic fits."""
    for offset, magic, media, _ in _MAGIC_NUMBERS:
        if data.startswith(magic, offset):
            return media
    if data.startswith(b"RIFF") and (found := _RIFF_MEDIA_TYPES.get(data[8:12])):
        return found[0]
    # "BM" alone could begin a word; the reserved fields of a bitmap's header are zero.
    if data.startswith(b"BM") and data[6:10] == bytes(4):
        return _BMP_MEDIA_TYPE[0]
    return None


def looks_like_json(head: bytes) -> bool:
    """Whether a file that begins like this is, most likely, a JSON object or array."""
    return _JSON_START.match(head) is not None


def extension_for(media_type: str) -> str:
    """The file extension for a media type, without the dot; "bin" when none is known."""
    return _EXTENSION_BY_MEDIA_TYPE.get(media_type, "bin")
