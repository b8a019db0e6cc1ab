"""What bytes are, by how they begin."""

import pytest

from batchinfer.protocols.media_types import extension_for, sniff_media_type

KNOWN = [
    (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg", "jpg"),
    (b"\x89PNG\r\n\x1a\n....", "image/png", "png"),
    (b"GIF89a", "image/gif", "gif"),
    (b"II*\x00\x08", "image/tiff", "tif"),
    (b"MM\x00*\x08", "image/tiff", "tif"),
    (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "image/webp", "webp"),
    (b"RIFF\x10\x00\x00\x00WAVEfmt ", "audio/wav", "wav"),
    (b"RIFF\x10\x00\x00\x00AVI LIST", "video/x-msvideo", "avi"),
    (b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36", "image/bmp", "bmp"),
    (b"ID3\x03\x00", "audio/mpeg", "mp3"),
    (b"\xff\xfb\x90\x64", "audio/mpeg", "mp3"),
    (b"OggS\x00", "audio/ogg", "ogg"),
    (b"fLaC\x00", "audio/flac", "flac"),
    (b"\x00\x00\x00\x18ftypmp42", "video/mp4", "mp4"),
    (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime", "mov"),
    (b"\x1aE\xdf\xa3", "video/x-matroska", "mkv"),
    (b"PK\x03\x04\x14\x00", "application/zip", "zip"),
    (b"PK\x05\x06" + bytes(18), "application/zip", "zip"),
    (b"\x1f\x8b\x08\x00", "application/gzip", "gz"),
    (b"%PDF-1.7", "application/pdf", "pdf"),
    (b"\x93NUMPY\x01\x00", "application/x-npy", "npy"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5", "h5"),
    (bytes(128) + b"DICM", "application/dicom", "dcm"),
    (bytes(257) + b"ustar", "application/x-tar", "tar"),
]


@pytest.mark.parametrize(("head", "media_type", "ending"), KNOWN)
def test_magic_tells_the_media_type_and_that_the_extension(head, media_type, ending):
    assert sniff_media_type(head) == media_type
    assert extension_for(media_type) == ending


@pytest.mark.parametrize("head", [b"", b"hello", b"BM is a word", b"RIFF", b"{}", b"\x89PN", b"PK"])
def test_what_has_no_magic_is_not_guessed(head):
    assert sniff_media_type(head) is None


def test_media_types_without_a_magic_have_extensions_too():
    assert extension_for("application/json") == "json"
    assert extension_for("text/plain") == "txt"
    assert extension_for("application/octet-stream") == "bin"
